"""Names of files, folders and cameras that would steer a terminal or break a page."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from dng_files import TEXT, write_camera_dng
from tiny_fits import BRIEF, target_pairs, tiny_denoiser

from skadl.commands import main as cli
from skadl.commands.terminal import never_fail_to_print
from skadl.data.folders.load import LoadedPairs
from skadl.data.folders.matching import Problem
from skadl.plots import plot_before_after
from skadl.raw.rawfile import read_raw

EVIL = "Evil\x1b]0;pwn\x07\x1b[2J\u202e<b>&\nError: forged"
FILE = "s\x1b[31m\nKept: x\u202e.dng"


def counts(seed=0):
    rng = np.random.default_rng(seed)
    light = np.kron(rng.uniform(600, 3000, (3, 4)), np.ones((16, 16)))
    return rng.normal(light, 30).clip(0, 4095).astype(np.uint16)


@pytest.fixture
def evil(tmp_path):
    """A sound photograph of bad names."""
    names = {272: (TEXT, EVIL.encode() + b"\0")}
    (tmp_path / "card").mkdir()
    return write_camera_dng(
        tmp_path / "card" / FILE, counts(), first=names, without=(271,)
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    tiny_denoiser(**BRIEF).fit(target_pairs()).save(path)
    return path


def run(*words):
    outcome = CliRunner().invoke(cli.main, [*map(str, words)])
    lines = [*outcome.stdout.splitlines(), *outcome.stderr.splitlines()]
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith(("Error: forged", "Kept: x")) for line in lines)
    return outcome


def test_info__bad_names__are_shown_without_what_steers(evil):
    assert "camera  Evil\ufffd]0;pwn" in run("info", evil).stdout
    facts = json.loads(run("info", "--json", evil).stdout)
    assert facts["file"] == str(evil)  # a script gets the name itself


def test_denoise__bad_names__every_outcome_is_one_line(evil, model, tmp_path):
    words = ["denoise", evil, "--model", model, "--noise", "800,1,5"]
    words += ["--out", tmp_path / "out"]
    written = run(*words)
    assert written.exit_code == 0, written.output
    assert run(*words).stdout.startswith("Kept: ")
    evil.write_bytes(b"no photograph" * 99)
    failed = run(*words, "--force")
    assert failed.exit_code == 1 and failed.stderr.count("\n") == 1


def test_usage_errors__bad_names__are_one_line(tmp_path, model):
    for words in (
        ("info", tmp_path / FILE),
        ("denoise", "a.dng", "--model", tmp_path / FILE),
        ("check", tmp_path / FILE),
    ):
        assert run(*words).exit_code == 2


def test_load_pairs_summary__bad_names__are_lines_of_their_own():
    folder = Path("pairs\x1b[2J\nError: forged")
    problem = Problem(folder / FILE, f"{FILE} is bad\nError: forged")
    lines = LoadedPairs(folder, (), (problem,)).summary().splitlines()
    assert len(lines) == 2 and all(line.isprintable() for line in lines)


def test_plot__bad_title__gives_sound_svg():
    planes = np.full((4, 24, 24), 0.2, np.float32)
    figure = plot_before_after(planes, planes, titles=(EVIL, "$\\frac{a$"))
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    text = file.getvalue().decode()
    ElementTree.fromstring(text)
    assert "\x1b" not in text and "\u202e" not in text


@pytest.mark.parametrize("name", [b"\xe9t\xe9_1.dng", "été_1.dng".encode()])
def test_denoise__name_or_locale_that_is_no_utf_8__is_written(model, tmp_path, name):
    source = tmp_path / os.fsdecode(name)
    try:
        write_camera_dng(source, counts())
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    words = ["denoise", str(tmp_path), "--model", str(model), "--noise", "800,1,5"]
    outcome = run(*words, "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.output
    [path] = (tmp_path / "out").iterdir()
    assert os.fsencode(path.name) == name
    assert read_raw(path).mosaic.shape == (48, 64)


@pytest.mark.skipif(os.name != "posix", reason="locales of POSIX")
def test_info__c_locale__says_the_same(tmp_path):
    source = write_camera_dng(tmp_path / "été.dng", counts())
    path = [str(Path(cli.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:strict"}
    finished = subprocess.run(
        [sys.executable, "-m", "skadl", "info", source],
        capture_output=True,
        env=os.environ | locale | {"PYTHONPATH": os.pathsep.join(path)},
    )
    assert finished.returncode == 0, finished.stderr
    assert b"camera  Lab Camera" in finished.stdout


def test_never_fail_to_print__letters_that_a_terminal_lacks__are_replaced(monkeypatch):
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), "ascii", "strict")
        monkeypatch.setattr(sys, name, stream)
    never_fail_to_print()
    print("été\ufffd", file=sys.stdout, flush=True)
    assert sys.stdout.buffer.getvalue() == b"?t??\n"
