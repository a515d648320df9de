"""What the site promises: its code runs, its names exist, its tables are committed."""

from __future__ import annotations

import ast
import codeop
import csv
import functools
import importlib
import importlib.util
import inspect
import re
import shlex
import sys
import textwrap
import tomllib
from pathlib import Path

import click
import numpy as np
import numpydoc.docscrape
import pytest
from click.testing import CliRunner
from numpydoc.validate import validate

import skadl
import skadl.commands.fit  # noqa: F401 (its module, not its command)
import skadl.datasets
import skadl.estimators.fitting
from benchmarks.tables.cli import bench
from skadl.adaptation.gates import Gate
from skadl.adaptation.stage_record import StageRecord
from skadl.commands.main import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))
PAGES = sorted(
    path
    for path in DOCS.rglob("*.rst")
    if not {"_build", "generated", "gallery"} & set(path.relative_to(DOCS).parts)
)
BLOCK = re.compile(
    r"^(?P<indent> *)\.\. (?:invisible-)?code-block::? (?P<language>\w+)\n"
    r"(?P<options>(?:(?P=indent) +:.*\n)*)\n"
    r"(?P<body>(?:(?P=indent)   .*\n|\n)+)",
    re.MULTILINE,
)
# The long commands are only parsed; they have tests of their own.
LONG_COMMANDS = ("app", "demo")
TABLES = ["python", "-m", "benchmarks.tables"]


def blocks(page: Path) -> list[tuple[str, int, str]]:
    """Language, line and text of each code block of a page."""
    text = page.read_text(encoding="utf-8") + "\n"
    return [
        (
            found["language"],
            text.count("\n", 0, found.start("body")),
            textwrap.dedent(found["body"]),
        )
        for found in BLOCK.finditer(text)
    ]


def page_names(pages: list[Path]) -> list[str]:
    return [path.relative_to(DOCS).as_posix() for path in pages]


@pytest.fixture(scope="module")
def tiny_start(tmp_path_factory):
    """One model of the shape of skadl's own, that the fits of all pages begin at."""
    pairs = skadl.datasets.make_domain("SonyA7S2", 2, size=32, random_state=0)
    denoiser = skadl.ADLDenoiser(
        start="random",
        network="pyramid_unet",
        base_channels=2,
        n_levels=2,
        mlp_width=4,
        n_pretrain_iter=1,
        n_finetune_iter=1,
        batch_size=1,
        random_state=0,
    )
    path = tmp_path_factory.mktemp("start") / "tiny.safetensors"
    denoiser.fit(pairs).save(path)
    return path


@pytest.fixture
def small_budget(monkeypatch, tiny_start):
    """Fits of a few steps with a tiny network, on small frames."""
    schedule = skadl.estimators.fitting.Schedule
    build = skadl.estimators.start.build_network
    make_domain = skadl.datasets.make_domain

    def short_schedule(**lengths):
        for name in ("n_pretrain_iter", "n_iter", "n_finetune_iter"):
            lengths[name] = min(lengths[name], 2)
        return schedule(**{**lengths, "batch_size": 2})

    def tiny_network(n_metadata, base_channels, n_levels, mlp_width, *where):
        return build(n_metadata, 2, 2, 4, *where)

    @functools.wraps(make_domain)
    def small_domain(camera, n_pairs, *, size, **options):
        n_pairs = 4 if n_pairs > 30 else n_pairs  # sources
        return make_domain(camera, n_pairs, size=64 if size > 128 else size, **options)

    begin = StageRecord._begin

    def begin_short(
        record, stage, n_iter
    ):  # of a baseline, whose stages have no schedule
        return begin(record, stage, min(n_iter, 2))

    for name in ("OTHER_SCENES", "ONLY_SCENES"):  # of skadl's own, shown in each fit
        monkeypatch.setattr(skadl.estimators.preparation, name, 4)
    monkeypatch.setattr(skadl.estimators.start, "UNIVERSAL_FILE", tiny_start)
    monkeypatch.setattr(StageRecord, "_begin", begin_short)
    monkeypatch.setattr(skadl.estimators.fitting, "Schedule", short_schedule)
    monkeypatch.setattr(skadl.estimators.start, "build_network", tiny_network)
    monkeypatch.setattr(skadl.datasets, "make_domain", small_domain)
    monkeypatch.setattr(skadl.commands.fit, "SIMULATED_PAIRS", 4)
    monkeypatch.setattr(skadl.commands.fit, "SIMULATED_SIDE", 64)


PAGES_WITH_CODE = [page for page in PAGES if blocks(page)]


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=page_names(PAGES_WITH_CODE))
def test_page__code__runs(page, small_budget, monkeypatch, tmp_path, capsys):
    """All blocks of a page in order, in one session and an empty folder.

    A block of language text is what the code before it printed, in a fit of full
    length: here the figures may be others.
    """
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    printed = ""
    for language, line, text in blocks(page):
        if language == "console":
            run_commands(text)
        if language == "text":
            assert is_shown(without_figures(text), without_figures(printed)), line
        if language != "python":
            continue
        if "dask" in text:
            if importlib.util.find_spec("distributed") is None:
                continue  # an optional part of one page
            use_dask_in_this_process(monkeypatch)
        code = compile("\n" * line + text, str(page), "exec")
        capsys.readouterr()
        exec(code, names)
        printed = capsys.readouterr().out


def test_first_denoiser__blocks__can_be_pasted_into_a_terminal():
    """Python 3.12 and older take them line by line; a block ends with an empty line."""
    for language, _, text in blocks(DOCS / "first_denoiser.rst"):
        entered: list[str] = []
        for line in [*text.splitlines(), ""] if language == "python" else []:
            entered.append(line)
            if codeop.compile_command("\n".join(entered)) is not None:
                entered.clear()
        assert not entered


def test_gallery__every_page__has_its_place_in_the_order():
    from gallery_order import NAMES

    pages = {path.stem for path in (ROOT / "examples").glob("plot_*.py")}
    assert pages == {f"plot_{name}" for name in NAMES}
    assert len(pages) == len(NAMES)


def use_dask_in_this_process(monkeypatch) -> None:
    """Workers in threads: those in processes would not train on the small budget."""
    distributed = importlib.import_module("dask.distributed")
    client = functools.partial(distributed.Client, processes=False)
    monkeypatch.setattr(distributed, "Client", client)


def run_commands(text: str) -> None:
    """Each command of a block; where output is shown, it must be that output."""
    for entry in re.split(r"^(?=\$ )", text, flags=re.MULTILINE):
        if not entry.startswith("$ "):
            continue
        line, _, shown = entry.partition("\n")
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words[: len(TABLES)] == TABLES:
            bench.make_context("bench", words[len(TABLES) :])
            continue
        if words[0] != "skadl":
            check_shell_line(line)
            continue
        name, arguments = words[1], words[2:]
        if name in LONG_COMMANDS:
            command = main.get_command(click.Context(main), name)
            command.make_context(name, arguments)
            continue
        result = CliRunner().invoke(main, words[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}"
        # What a fit prints depends on its length, which is another here.
        plain = without_figures if name == "fit" else without_times
        if shown.strip():
            assert is_shown(plain(shown), plain(result.output)), line


def is_shown(page: str, output: str) -> bool:
    """Whether a page shows this output; ``...`` stands for any part of it."""
    return (
        re.fullmatch(".*".join(map(re.escape, page.split("..."))), output) is not None
    )


def without_times(output: str) -> str:
    """Output without line breaks and times, which differ between runs."""
    return re.sub(r"\d+(\.\d+)? s\b", "# s", " ".join(output.split()))


def without_figures(output: str) -> str:
    """Output without numbers, or signs that there is none, and without line breaks."""
    joined = " ".join(output.split())
    return re.sub(r"[-+]?\d+(\.\d+)?(e[-+]\d+)?( %)?|(?<= )-(?= )", "#", joined)


def check_shell_line(line: str) -> None:
    """Extras, files and modules that a command names are there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r'"\.\[(.+?)\]"', line):
        assert set(extras.split(",")) <= set(project["optional-dependencies"]), line
    for name in re.findall(r"-c (\S+)", line):
        assert (ROOT / name).is_file(), line


def test_blocks__of_the_pages__are_all_found():
    """The pattern misses none, whatever its indent or options."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        announced = re.findall(r"\.\. (?:invisible-)?code-block::? ", text)
        assert len(blocks(page)) == len(announced), page


def test_faq__every_answer__names_what_checks_it():
    pages = sorted(DOCS.glob("faq*.rst"))
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    questions = re.split(r"\n(?=[^\n]+\n~{5,}\n)", text)[1:]
    assert len(questions) > 40
    for question in questions:
        title, answer = question.split("\n", 1)
        checks = re.findall(r"``((?:tests|examples)/\S+)``", answer)
        assert checks, f"no test or example for: {title}"
        for check in checks:
            path, _, name = check.partition("::")
            assert (ROOT / path).is_file(), check
            if name:
                functions = re.findall(r"^def (\w+)", (ROOT / path).read_text(), re.M)
                assert name in functions, check


def test_paper__tables__come_from_committed_files():
    from results_table import choose, read_tables

    pattern = re.compile(r"^\.\. results-table:: (\S+)\n((?: +:.*\n)*)", re.MULTILINE)
    n_tables = 0
    for page in PAGES:
        for name, options in pattern.findall(page.read_text(encoding="utf-8") + "\n"):
            settings = dict(re.findall(r":(\w+): (.*)", options))
            path = (page.parent / name).resolve()
            assert path.is_relative_to(ROOT / "benchmarks" / "results")
            tables = read_tables(path.read_text(encoding="utf-8"))
            table = tables[settings["section"]]
            chosen = (split(settings.get(key)) for key in ("columns", "rows"))
            assert len(choose(table, *chosen)) > 1
            n_tables += 1
    assert n_tables
    for page in DOCS.glob("paper*.rst"):
        typed = re.findall(r"\d\d\.\d\d dB", page.read_text(encoding="utf-8"))
        assert not typed, f"measured figures belong into result files: {typed}"


def split(names: str | None) -> list[str] | None:
    return names and [name.strip() for name in names.split("|")]


def test_read_tables__two_tables__are_found_by_their_headings():
    from results_table import choose, read_tables

    page = "# A\n\n| x | y |\n| --- | --- |\n| 1 | `2` |\n| 3 | 4 |\n\n## B\n\n| z |\n"
    tables = read_tables(page)
    assert tables == {"A": [["x", "y"], ["1", "`2`"], ["3", "4"]], "B": [["z"]]}
    assert choose(tables["A"], ["y"], ["3"]) == [["y"], ["4"]]
    with pytest.raises(ValueError, match="no column"):
        choose(tables["A"], ["q"], None)
    with pytest.raises(ValueError, match="no row"):
        choose(tables["A"], None, ["9"])


def test_benchmark__defaults__harm_no_test_image():
    path = ROOT / "benchmarks" / "results" / "bench" / "images.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["strategy"] == "adl"]
    assert len(rows) > 100
    assert min(float(row["psnr"]) - float(row["noisy"]) for row in rows) > -0.05


def test_compare__own_method__has_the_places_that_the_page_names():
    page = (DOCS / "guide/compare_methods.rst").read_text(encoding="utf-8")
    from benchmarks.tables.methods import METHODS, Method
    from skadl.estimators.baselines import _BASELINES

    assert _BASELINES["FineTuning"] == "fine_tuning"  # as the page's line
    (line,) = re.findall(r"Method\(.*?takes_sources=False\)", page)
    assert isinstance(eval(line, {"Method": Method}), type(METHODS["FineTuning"]))


def test_card__figures_of_the_network__are_measured_ones():
    from results_table import read_tables

    card = (ROOT / "skadl/estimators/universal.rst").read_text(encoding="utf-8")
    results = (ROOT / "benchmarks/results/start/results.md").read_text("utf-8")
    tables = read_tables(results)
    for said, heading, rows in (
        ("simulated benchmark", "benchmark, noise told", "mean"),
        ("... its images", "benchmark, noise told: by light factor", "300.0"),
        ("held-out photographs", "photographs", "mean"),
        ("real: IMX296", "real", "imx296"),
        ("real: Flea3", "real", "flea3"),
        ("real: Nikon D7000", "real", "nikon_d7000"),
        ("real: Seestar", "real, sky", "seestar"),
    ):
        (figures,) = re.findall(rf'^ +"{re.escape(said)}.*", ([\d., ]+)$', card, re.M)
        head, *body = tables[heading]
        names = "noisy", "PMRID", "BM3D", "universal"
        places = [head.index(name) for name in names]
        own = [row for row in body if row[0].startswith(rows)]
        means = np.mean([[float(row[i]) for i in places] for row in own], axis=0)
        given = [float(figure) for figure in figures.split(", ")]
        assert given == pytest.approx(list(means), abs=0.011), said


def test_times__of_the_demo__are_what_the_pages_say():
    path = ROOT / "benchmarks" / "results" / "times.csv"
    with path.open(encoding="utf-8", newline="") as file:
        seconds = {row["what"]: float(row["processor"]) for row in csv.DictReader(file)}
    assert 45 < seconds["demo"] < 120  # of all threads
    for page in ("README.md", "docs/cameras.rst"):
        words = " ".join((ROOT / page).read_text(encoding="utf-8").split())
        assert "one to two minutes" in words


SERVER = ("commands", "app", "command.py")


def test_package__modules__open_no_connection():
    """What the pages say of photographs: nothing is sent, nothing is downloaded."""
    clients = {"http", "requests", "socket", "urllib", "ftplib", "httpx", "aiohttp"}
    for path in (ROOT / "skadl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", [])]
            names.append(getattr(node, "module", None) or "")
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                found = {name.partition(".")[0] for name in names} & clients
                if path.parts[-3:] == SERVER:  # it listens to this machine alone
                    found -= {"socket"}
                assert not found, path


def test_licence__of_the_package__covers_the_weights():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "BSD-3-Clause"
    card = (ROOT / "skadl/estimators/universal.rst").read_text(encoding="utf-8")
    assert "weights have the licence of the package, BSD-3-Clause" in card


def test_ask__address__is_that_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (DOCS / "ask.rst").read_text(encoding="utf-8")
    for address in project.get("urls", {}).values():
        assert address in page
    assert ("no public address" in page) is not bool(project.get("urls"))


def test_citation__bibtex__agrees_with_the_citation_file():
    page = (DOCS / "citing.rst").read_text(encoding="utf-8")
    card = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version = {{{skadl.__version__}}}" in page
    for family in re.findall(r"family-names: (\w+)", card):
        assert f"{family}, " in page
    assert "arXiv:2411.01472" in page and "arXiv:2411.01472" in card


@pytest.mark.parametrize("word", ["jpeg", "lightroom", "fits", "darktable", "siril"])
def test_search__word_of_a_user__is_answered(word):
    """The word is in a title, which search shows first, or in a page for users."""
    titled = re.compile(r"^([^\n]+)\n[=~-]{4,}$", re.MULTILINE)
    titles = [
        title.lower()
        for page in PAGES
        for title in titled.findall(page.read_text(encoding="utf-8"))
    ]
    assert any(word in title for title in titles)


MOST_WORDS = 30
ASIDE = re.compile(  # code, tables of results and everything else that is no prose
    r"^(?P<indent> *)\.\. (?:invisible-)?(?:code-block|results-table|toctree|meta|"
    r"include|autosummary|csv-table|automodule|currentmodule|\||_)[^\n]*\n"
    r"(?:(?P=indent) +[^\n]*\n|\n(?=(?P=indent) +\S))*"
    r"|^ *={3,} +=[^\n]*\n(?:.+\n)+",
    re.MULTILINE,
)


def sentences(text: str) -> list[str]:
    text = ASIDE.sub("\n", text + "\n")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)  # of Markdown
    text = re.sub(r"::\n\n(?: +[^\n]*\n|\n)+", ":\n\n", text)
    text = re.sub(r"^ *(?:[-*#]\.? +|\d\. )+", "\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"^ *\.\. [\w-]+::.*\n(?: +:.*\n)*", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"^ *[=~-]{4,}.*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"``[^`]+``", "code", text)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    return [s for part in paragraphs for s in re.split(r"(?<=[.!?])[)*\"”]* ", part)]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda p: p.name)
def test_prose__sentences__are_short(page):
    words = re.compile(r"[A-Za-z0-9][\w'’/.-]*")
    found = sentences(page.read_text(encoding="utf-8"))
    assert not [s for s in found if len(words.findall(s)) > MOST_WORDS]


def listed_names() -> list[str]:
    """Full names in the reference's tables."""
    names = []
    for page in sorted((DOCS / "api").glob("*.rst")):
        module, inside = "", False
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith(".. currentmodule:: "):
                module = line.split()[-1]
            if line.startswith(".. "):
                inside = line.startswith(".. autosummary::")
                if line.startswith(".. autodata:: "):
                    names.append(f"{module}.{line.split()[-1]}")
            elif inside and re.fullmatch(r"   [\w.]+", line):
                names.append(f"{module}.{line.strip()}")
    return names


NAMES = listed_names()


def resolve(name: str):
    module, rest = name, []
    while True:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    return functools.reduce(getattr, rest, found)


def test_reference__every_public_name__is_listed():
    top = [f"skadl.{name}" for name in skadl.__all__ if is_public(skadl, name)]
    data = [f"skadl.datasets.{n}" for n in skadl.datasets.__all__ if n[0].islower()]
    missing = sorted({*top, *data} - set(NAMES))
    assert not missing, f"add to docs/api: {missing}"


def is_public(module, name: str) -> bool:
    return not name.startswith("_") and not inspect.ismodule(getattr(module, name))


def documented(names: list[str]) -> list[str]:
    """The functions and classes among the names, and the classes' own methods."""
    found = []
    for name in names:
        thing = resolve(name)
        if not callable(thing):
            continue
        is_protocol = getattr(thing, "_is_protocol", False)
        found += [] if is_protocol else [name]
        if inspect.isclass(thing):
            own = [m for m, f in vars(thing).items() if is_function(f) and m[0] != "_"]
            if issubclass(thing, Gate) and thing is not Gate:
                own = [m for m in own if m not in vars(Gate)]  # documented there
            found += [f"{name}.{method}" for method in own]
    return found


def is_function(thing) -> bool:
    return inspect.isfunction(thing) or isinstance(thing, (classmethod, staticmethod))


# What a docstring of skadl need not have: an extended summary, See Also, Examples; a
# description where name and type say all; the text starts beside the quotes.
NOT_ASKED = {"ES01", "SA01", "EX01", "GL01", "GL02", "GL03", "SS05", "PR07"}
NOT_ASKED |= {"PR03", "PR04", "PR08", "PR09", "RT02", "RT03", "RT04", "RT05", "YD01"}
# Known slips; take a name out when its docstring is complete.


@pytest.mark.parametrize("name", documented(NAMES))
def test_public_name__docstring__is_complete(name):
    errors = [e for e in validate(name)["errors"] if e[0] not in NOT_ASKED]
    if not inspect.signature(resolve(name)).parameters.keys() - {"self"}:
        # "Return the arrays by name." says all of a method without arguments.
        errors = [error for error in errors if error[0] != "RT01"]
    assert not errors
    thing = resolve(name)
    page = numpydoc.docscrape.NumpyDocString(inspect.getdoc(thing))
    for parameter in page["Parameters"] + page["Returns"]:
        if "ndarray" in parameter.type and "callable" not in parameter.type:
            said = " ".join([parameter.type, *parameter.desc, *page["Summary"]])
            assert re.search(r"shape|\(.*[,)]|layout|same kind", said), (
                f"{parameter}: no shape"
            )
    source = textwrap.dedent(inspect.getsource(thing))
    if inspect.isfunction(thing) and raises(source):
        inherits = "Raises" in inspect.getdoc(thing)
        assert page["Raises"] or inherits, "raises errors that it does not document"


def raises(source: str) -> bool:
    nodes = ast.walk(ast.parse(source))
    return any(isinstance(node, ast.Raise) and node.exc for node in nodes)
