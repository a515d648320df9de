"""The command: what it prints, how it ends, and what it says to a mistake."""

from __future__ import annotations

import importlib.util
import runpy
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
from click.testing import CliRunner

import skadl
from skadl import cli
from skadl.datasets import camera_names
from skadl.demo import DEFAULT_TARGET, SIZES
from skadl.demo_folder import FILES


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command in an empty folder, the tiny size made minute."""
    minute = replace(
        SIZES["tiny"],
        n_target_pairs=3,
        n_source_pairs=1,
        n_test_pairs=2,
        side=48,
        shown=(64, 64),
        n_pretrain_iter=1,
        n_iter=2,
        n_finetune_iter=1,
        network={"base_channels": 2, "n_levels": 2, "mlp_width": 4, "batch_size": 2},
    )
    monkeypatch.setitem(SIZES, "tiny", minute)
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        return CliRunner().invoke(cli.main, arguments)

    return invoke


def test_demo__tiny__prints_the_table_and_writes_the_folder(run, tmp_path):
    outcome = run("demo", "--size", "tiny", "--target", "Pixel4a", "--seed", "5")
    assert outcome.exit_code == 0, outcome.output
    for words in (
        "Pixel4a plays a new camera",
        "noisy input",
        "ADL took",
        "Open first",
    ):
        assert words in " ".join(outcome.stdout.split())
    assert outcome.stderr == ""  # no bars where nobody watches
    assert "\x1b" not in outcome.stdout and "\r" not in outcome.stdout
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    assert {path.name for path in (tmp_path / "skadl-demo").iterdir()} == set(FILES)


def test_demo__second_time__replaces_the_first(run, tmp_path):
    for seed in ("1", "2"):
        assert run("demo", "--size", "tiny", "--seed", seed).exit_code == 0
    assert '"seed": 2' in (tmp_path / "skadl-demo" / "results.json").read_text()


def test_demo__folder_of_other_files__is_refused_before_any_work(run, tmp_path):
    (tmp_path / "photo.jpg").write_text("precious")
    outcome = run("demo", "--size", "tiny", "--out", ".")
    assert outcome.exit_code == 1
    assert "--force" in outcome.stderr and "Traceback" not in outcome.output
    assert "Simulating" not in outcome.output
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_demo__force__writes_beside_other_files(run, tmp_path):
    (tmp_path / "photo.jpg").write_text("precious")
    assert run("demo", "--size", "tiny", "--out", ".", "--force").exit_code == 0
    assert (tmp_path / "photo.jpg").read_text() == "precious"
    assert (tmp_path / "report.html").exists()


def test_demo__folder_that_cannot_be_made__one_sentence(run, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = run("demo", "--size", "tiny", "--out", "file/results")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("Error: cannot write to the folder")
    assert "Simulating" not in outcome.output


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("demo", "--target", "Kodak"), "CanonEOS70D"),
        (("demo", "--size", "huge"), "tiny"),
        (("demo", "--seed", "-1"), "0"),
        (("denoise",), "denoise"),
    ],
)
def test_main__wrong_argument__exit_code_2_and_what_is_possible(run, arguments, hint):
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert hint in outcome.stderr and "Traceback" not in outcome.output


def test_demo__without_matplotlib__says_how_to_get_it(run, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "matplotlib" else find_spec(name, *rest),
    )
    outcome = run("demo", "--size", "tiny")
    assert outcome.exit_code == 1
    assert "pip install matplotlib" in outcome.stderr
    assert "Simulating" not in outcome.output


def test_demo__warning__is_shown_as_a_sentence(run, monkeypatch):
    from skadl import demo

    def warn_and_run(*arguments, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("sources are scarce.", UserWarning, stacklevel=1)
        return run_demo(*arguments, **options)

    run_demo = demo.run_demo
    monkeypatch.setattr(demo, "run_demo", warn_and_run)
    outcome = run("demo", "--size", "tiny")
    assert outcome.exit_code == 0
    assert outcome.stderr == "Note: sources are scarce.\n"


def test_help__names_every_camera_and_option(run):
    text = " ".join(run("demo", "--help").stdout.split())
    for name in (*cli.CAMERAS, "--out", "--size", "--seed", "--force"):
        assert name in text


def test_choices__are_those_of_the_library():
    assert cli.CAMERAS == camera_names()
    assert cli.SIZES == tuple(SIZES)
    options = {option.name: option for option in cli.demo.params}
    assert options["target"].default == DEFAULT_TARGET


def test_version(run):
    assert run("--version").stdout == f"skadl, version {skadl.__version__}\n"


def test_python_m_skadl__is_the_same_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["skadl", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("skadl", run_name="__main__")
    assert ended.value.code == 0
    assert skadl.__version__ in capsys.readouterr().out


def test_import__cli__loads_no_matplotlib():
    check = "import sys, skadl.cli; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
