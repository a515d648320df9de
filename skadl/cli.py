"""The command ``skadl``. Heavy imports wait until a command runs."""

from __future__ import annotations

import importlib.util
import json
import shlex
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import click

import skadl

# Written out so that --help needs no imports; a test compares them with the library.
CAMERAS = (
    "SonyA7S2",
    "NikonD850",
    "CanonEOS5D4",
    "CanonEOS70D",
    "CanonEOS700D",
    "IMX686",
    "OppoReno10x",
    "Pixel4a",
)
SIZES = ("tiny", "full")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(skadl.__version__, prog_name="skadl")
def main() -> None:
    """Fit a denoiser for a new camera sensor from about twenty RAW pairs.

    Start with `skadl demo`. To fit your own pairs, use skadl from Python; the README
    has an example.
    """


@main.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("skadl-demo"),
    show_default=True,
    help="Folder for the results; made if it does not exist.",
)
@click.option(
    "--target",
    type=click.Choice(CAMERAS),
    metavar="CAMERA",
    default="CanonEOS70D",
    show_default=True,
    help=f"Simulated camera that plays the new one: {', '.join(CAMERAS)}.",
)
@click.option(
    "--size",
    type=click.Choice(SIZES),
    default="full",
    show_default=True,
    help="full: a few minutes. tiny: under a minute, to see that all works; too "
    "little training to judge by.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    default=0,
    show_default=True,
    help="Another seed gives other scenes, noise and networks.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Write into --out although it holds other files. They stay, except those "
    "with the name of a result.",
)
def demo(out: Path, target: str, size: str, seed: int, force: bool) -> None:
    """Show on simulated cameras what skadl does and gains.

    One camera plays a new one, of which only twenty noisy/clean pairs exist. Three
    denoisers are trained for it with equally many steps: on these pairs only; on
    pairs of other cameras, some of them harmful, and then on these; and by adaptive
    domain learning (ADL), which chooses among the others. The results are printed
    and written to a folder: a report, pictures, and RAW files (DNG).
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException(
            "the demo draws pictures with matplotlib, which is not installed. "
            "Install it with: python -m pip install matplotlib"
        )
    # Importing these takes seconds, so that --help does not wait for them.
    from skadl.demo import SIZES as budgets
    from skadl.demo import run_demo
    from skadl.demo_folder import FILES, check_folder, write_folder
    from skadl.demo_text import describe_setting, summarise, wrap

    try:
        check_folder(out, force)
    except ValueError as error:
        raise click.ClickException(
            f"the folder {str(out)!r} holds other files and no earlier demo. Choose "
            "another with --out, or add --force to write into this one."
        ) from error
    except OSError as error:
        raise click.ClickException(_cannot_write(out, error)) from error

    budget = budgets[size]
    _say(wrap(describe_setting(target, budget)))
    _say(["", f"This takes about {budget.duration} on two CPU cores.", ""])
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        result = run_demo(
            target,
            budget,
            seed,
            verbose=int(sys.stderr.isatty()),
            announce=lambda sentence: _say(wrap(sentence)),
        )
    _say(["", summarise(result), ""])
    if size == "tiny":
        _say(["This was the tiny size: too little training to judge by.", ""])
    try:
        write_folder(result, out)
    except OSError as error:
        raise click.ClickException(_cannot_write(out, error)) from error
    width = max(map(len, FILES))
    _say([f"Written to the folder {out}:"])
    _say(f"  {name:<{width}}  {what}" for name, what in FILES.items())
    _say(
        [
            "",
            f"Open first:  {out / 'report.html'}",
            f"Try next:    {_next(target, size, out)}",
        ]
    )


@main.command()
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--targets", help="Cameras taken as new, with commas between.")
@click.option("--seeds", help="Integers, with commas between.")
@click.option("--target-pairs", help="Pairs of the target, with commas between.")
@click.option("--strategies", help="Only these of a table, with commas between.")
@click.option("--pools", help="Only these of a table, with commas between.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Runs at a time.")
@click.option("--threads", type=click.IntRange(1), default=1, help="Of each run.")
@click.option("--size", type=click.IntRange(16), help="Side of mosaics, in pixels.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Parameter of ADLDenoiser, for every strategy; may be repeated.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("skadl-bench"),
    show_default=True,
    help="Folder of the finished runs and the tables.",
)
@click.option(
    "--reduced",
    is_flag=True,
    help="The whole path in a minute or two, with figures that mean nothing.",
)
@click.option("--list", "only_lists", is_flag=True, help="List the tables and stop.")
def bench(
    tables: tuple[str, ...],
    targets: str | None,
    seeds: str | None,
    target_pairs: str | None,
    strategies: str | None,
    pools: str | None,
    jobs: int,
    threads: int,
    size: int | None,
    assignments: tuple[str, ...],
    out: Path,
    reduced: bool,
    only_lists: bool,
) -> None:
    """Measure the benchmark's tables on simulated cameras; all without TABLE.

    Every finished run is kept in --out: stop at any time, and start the same command
    again to go on. A run that two tables need is done once.
    """
    try:
        from skadl.bench.command import list_tables, read_campaign, run_bench
        from skadl.bench.tables import TABLES
    except ImportError as error:
        raise click.ClickException(str(error)) from error

    names = tables or tuple(TABLES)
    try:
        campaign = read_campaign(
            targets,
            seeds,
            target_pairs,
            strategies,
            pools,
            size,
            assignments,
            reduced,
        )
        lines = list(list_tables(campaign, out, names))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if only_lists:
        _say(lines)
        return
    try:
        pages = run_bench(campaign, out, names, jobs, threads, announce=click.echo)
    except OSError as error:
        raise click.ClickException(_cannot_write(out, error)) from error
    except (RuntimeError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    _say([f"Written: {page}" for page in pages])


@main.command()
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def info(file: Path, as_json: bool) -> None:
    """Say what FILE holds: a model that skadl saved, or a camera's RAW file.

    Of a model: its sensors with ISO range and noise, the stages of its training, and
    how much of each source was accepted. Of a RAW file: camera, ISO, size, mosaic,
    levels and counts.
    """
    from skadl.info import describe_file

    try:
        facts, text = describe_file(file)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(facts, allow_nan=False) if as_json else text)


def _next(target: str, size: str, out: Path) -> str:
    """Choose the command that shows most after this one."""
    if size == "tiny":
        return "skadl demo"
    other = CAMERAS[(CAMERAS.index(target) + 1) % len(CAMERAS)]
    return f"skadl demo --target {other} --out {shlex.quote(f'{out}-{other}')}"


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _show_warning(message: Warning, *where: object) -> None:
    click.echo(f"Note: {message}", err=True)


def _cannot_write(folder: Path, error: OSError) -> str:
    return (
        f"cannot write to the folder {str(folder)!r} ({error.strerror}). Choose "
        "another with --out."
    )
