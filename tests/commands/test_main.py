"""The command: what it prints, how it ends, and what it says to a mistake."""

from __future__ import annotations

import importlib.util
import json
import pickle
import runpy
import subprocess
import sys
import warnings
from dataclasses import replace

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import skadl
from skadl import ADLDenoiser, RawImage, write_dng
from skadl.adaptation.report import (
    BatchDecision,
    DataSelectionReport,
    DecisionRecorder,
    TrainingStage,
)
from skadl.commands import main as cli
from skadl.commands import terminal
from skadl.commands.demo.folder import FILES
from skadl.commands.demo.sizes import SIZES
from skadl.datasets import camera_names
from skadl.noise.sensors import SensorInfo


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
        n_iter=2,
        n_finetune_iter=1,
        steps={"patch_size": 32, "batch_size": 2},
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
    assert "pip install 'skadl[plot]'" in outcome.stderr
    assert "Simulating" not in outcome.output


def test_demo__warning__is_shown_as_a_sentence(run, monkeypatch):
    from skadl.commands.demo import run as demo

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


@pytest.fixture
def model(make_network, sensor_table, conditioning) -> ADLDenoiser:
    """A model as a fit would leave it behind, without the fit."""
    recorder = DecisionRecorder(["near", "black\x1b[2J frames"])
    for domain, accepted in enumerate((True, False)):
        recorder.append(
            BatchDecision(
                domain,
                recorder.finish().domains[domain],
                (0,),
                (800.0,),
                accepted,
                31.0 + accepted,
                31.5,
                "queue",
            )
        )
    model = ADLDenoiser()
    model.module_ = make_network(conditioning.length, noise=0.1)
    model.sensors_ = sensor_table.updated({"spare": SensorInfo("RGGB", 64, 1023)})
    model.device_ = torch.device("cpu")
    model.n_iter_ = 7
    model.conditioning_ = conditioning
    model.selection_report_ = DataSelectionReport(
        recorder.finish(), [TrainingStage("pre-training", 7, 30.25)], ["a note."]
    )
    return model


@pytest.fixture
def dng(tmp_path):
    mosaic = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) % 3000 + 500
    image = RawImage(mosaic, "GRBG", 512, 4095, "NIKON D850", 800)
    return write_dng(tmp_path / "night.dng", image)


def test_info__model__says_sensors_noise_stages_and_acceptance(run, model, tmp_path):
    model.save(tmp_path / "model")
    outcome = run("info", "model")
    assert outcome.exit_code == 0, outcome.output
    words = " ".join(outcome.stdout.split())
    for expected in (
        f"model: a model, saved by skadl {skadl.__version__}",
        "sensor A: RGGB, black 512, white 16383, seen in fit at ISO 100 to 6400",
        "100 0.2 2",
        "sensor B: GBRG, black 60 64 66 70, white 1023",
        "sensor spare: RGGB, black 64, white 1023, not seen in fit",
        "near 1 1 100 %",
        "pre-training 7 30.25",
        "note: a note.",
    ):
        assert expected in words
    assert "\x1b" not in outcome.stdout and outcome.stderr == ""


def test_info__model_as_json__holds_plain_values(run, model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    facts = json.loads(run("info", "--json", "model.safetensors").stdout)
    assert (facts["kind"], facts["n_iter"]) == ("model", 7)
    assert facts["parameters"]["gate"] == model.gate
    first, _, spare = facts["sensors"]
    assert first["name"] == "A" and first["seen_in_fit"] and not spare["seen_in_fit"]
    assert [row["iso"] for row in first["noise"]] == [100, 6400]
    assert spare["noise"] == [] and spare["iso_range"] is None
    assert [row["rate"] for row in facts["domains"]] == [1, 0]
    assert facts["stages"] == [{"name": "pre-training", "n_iter": 7, "psnr": 30.25}]


def test_info__raw_file__says_what_read_raw_sees(run, dng):
    outcome = run("info", dng.name)
    assert outcome.exit_code == 0, outcome.output
    assert [line.split(maxsplit=1) for line in outcome.stdout.splitlines()[1:7]] == [
        ["camera", "NIKON D850"],
        ["ISO", "800"],
        ["size", "80 x 64 pixels"],
        ["mosaic", "GRBG"],
        ["levels", "black 512, white 4095"],
        ["counts", "500 to 3499, median 1779.5"],
    ]
    facts = json.loads(run("info", "--json", dng.name).stdout)
    assert facts["kind"] == "raw"
    assert (facts["width"], facts["height"], facts["cfa"]) == (80, 64, "GRBG")
    assert (facts["camera"], facts["iso"]) == ("NIKON D850", 800)


def test_info__raw_file__says_its_noise_and_how_well(run, tmp_path):
    rng = np.random.default_rng(0)
    light = np.tile(np.linspace(100, 9000, 192), (192, 1))
    mosaic = 0.5 * rng.poisson(light / 0.5) + 512 + 3 * rng.standard_normal(light.shape)
    image = RawImage(np.rint(mosaic).astype(np.uint16), "RGGB", 512, 16383, "mine", 800)
    write_dng(tmp_path / "a.dng", image)
    text = " ".join(run("info", "a.dng").stdout.split())
    assert "noise gain 0.5" in text and "estimated from the image itself" in text
    noise = json.loads(run("info", "--json", "a.dng").stdout)["noise"]
    assert noise["source"] == "estimated"
    assert noise["gain"] == pytest.approx(0.5, rel=0.15)
    assert 0 < noise["gain_error"] < 0.2 < noise["read_noise_error"]


def test_info__noise_that_nothing_tells__says_why(run, tmp_path):
    mosaic = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80) % 3000 + 500
    write_dng(tmp_path / "a.dng", RawImage(mosaic, "RGGB", 512, 4095, "mine", 800))
    outcome = run("info", "a.dng")
    assert outcome.exit_code == 0
    assert "the image of 64x80 pixels is too small" in " ".join(outcome.stdout.split())
    assert json.loads(run("info", "--json", "a.dng").stdout)["noise"]["source"] is None


def test_info__raw_file_without_iso__says_the_rest(run, dng, monkeypatch):
    monkeypatch.setattr("skadl.raw.rawfile.libraw_iso", lambda raw: None)
    monkeypatch.setattr("skadl.raw.exif._ISO_CODES", ())
    assert "ISO not in the file" in " ".join(run("info", dng.name).stdout.split())
    facts = json.loads(run("info", "--json", dng.name).stdout)
    assert (facts["camera"], facts["iso"]) == ("NIKON D850", None)


def test_info__levels_given__replace_those_of_a_raw_file_alone(
    run, dng, model, tmp_path
):
    levels = ("--black-level", "500,501,502,503", "--white-level", "4000")
    facts = json.loads(run("info", "--json", dng.name, *levels).stdout)
    assert (facts["black_level"], facts["white_level"]) == ([500, 501, 502, 503], 4000)
    model.save(tmp_path / "model")
    outcome = run("info", "model", "--white-level", "4000")
    assert outcome.exit_code == 1 and "leave --black-level" in outcome.stderr


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("cut.safetensors", b"\x07", "Give a file that ADLDenoiser.save wrote"),
        ("old.safetensors", pickle.dumps([1]), "a pickle"),
        ("letter.txt", b"Dear reader", "not a RAW file"),
    ],
)
def test_info__other_file__one_line_and_exit_code_1(run, tmp_path, name, content, hint):
    (tmp_path / name).write_bytes(content)
    for arguments in (("info", name), ("info", "--json", name)):
        outcome = run(*arguments)
        assert outcome.exit_code == 1 and outcome.stdout == ""
        assert outcome.stderr.count("\n") == 1
        assert outcome.stderr.startswith(f"Error: {name}") and hint in outcome.stderr


def test_info__no_file__exit_code_2(run):
    for arguments in (("info",), ("info", "nothing.dng"), ("info", ".")):
        outcome = run(*arguments)
        assert outcome.exit_code == 2 and "Traceback" not in outcome.output


def test_help__names_every_camera_and_option(run):
    text = " ".join(run("demo", "--help").stdout.split())
    for name in (*camera_names(), "--out", "--size", "--seed", "--force"):
        assert name in text


def test_help__of_all__shows_each_command_with_its_first_sentence(run):
    text = " ".join(run("--help").stdout.split())
    context = click.Context(cli.main)
    for name in cli.main.list_commands(context):
        command = cli.main.get_command(context, name)
        assert f"{name} {command.get_short_help_str(limit=200)}" in text


def test_what_is_printed__names_that_would_steer_a_terminal__are_harmless(capsys):
    terminal.say(["a table\n  of \x1b[2J"])
    terminal.note("\x1b]0;title\x07 is left\nout")
    terminal.failure(ValueError("no \x9b1m\nhere")).show()
    out, err = capsys.readouterr()
    assert out == "a table\n  of \ufffd[2J\n"
    assert err == "Note: \ufffd]0;title\ufffd is left out\nError: no \ufffd1m here\n"


def test_unknown_command__exit_code_2(run):
    outcome = run("paint")
    assert outcome.exit_code == 2 and "No such command 'paint'" in outcome.stderr


def test_version(run):
    assert run("--version").stdout == f"skadl, version {skadl.__version__}\n"


def test_python_m_skadl__is_the_same_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["skadl", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("skadl", run_name="__main__")
    assert ended.value.code == 0
    assert skadl.__version__ in capsys.readouterr().out


def test_import__cli__loads_no_matplotlib():
    check = "import sys, skadl.commands.main; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
