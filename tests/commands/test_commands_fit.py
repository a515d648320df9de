"""``skadl fit``: folders in, a model that denoises out; or one line that says why."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from click.testing import CliRunner
from raw_folders import CAMERA, make_scenes, write_scenes, write_shot
from tiny_fits import TINY

import skadl
from skadl.adaptation.snapshot import Snapshots
from skadl.commands import fit as room
from skadl.commands import main as cli
from skadl.datasets import make_domain

SETTINGS = [
    f"--set={name}={value}" for name, value in TINY.items() if name != "random_state"
]


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        return CliRunner().invoke(cli.main, ["fit", *map(str, arguments)])

    return invoke


@pytest.fixture
def shots(tmp_path):
    """A folder of three pairs and a broken file."""
    write_scenes(tmp_path / "shots", 3)
    (tmp_path / "shots" / "scene1" / "bad.dng").write_bytes(b"no DNG")
    return tmp_path / "shots"


def test_fit__folder__writes_a_model_that_denoises(run, shots, tmp_path):
    outcome = run("shots", "--out", "my model.safetensors", *SETTINGS)
    assert outcome.exit_code == 0, outcome.output
    words = " ".join(outcome.stdout.split())
    for expected in (
        f"3 pairs found in shots {CAMERA}: 3 pairs of 3 scenes, light factor 8",
        "pairs by ISO: 1600 (3)",
        "left out: scene1/bad.dng: is damaged",
        "--simulated-sources or --sources FOLDER.",
        "No source batches were offered.",
        "Written: my model.safetensors",
        "skadl denoise RAW... --model 'my model.safetensors'",
    ):
        assert expected in words
    assert "\r" not in outcome.output
    model = skadl.load(tmp_path / "my model.safetensors")
    raw = skadl.read_raw(shots / "scene0" / "b.dng")
    assert model.predict(raw).mosaic.shape == raw.mosaic.shape
    assert model.get_params()["n_iter"] == TINY["n_iter"]


def test_fit__sources__are_offered_and_reported_as_json(run, shots, tmp_path):
    for index, pair in enumerate(
        make_domain("NikonD850", 2, size=64, iso=1600, ratio=4, random_state=1)
    ):
        write_shot(tmp_path / "others" / "noisy" / f"{index}.dng", pair.noisy, 0.01)
        clean = pair.clean
        write_shot(tmp_path / "others" / "clean" / f"{index}.dng", clean, 0.04)
    outcome = run(
        "shots",
        *("--sources", "others", "--out", "m", "--json", "--sensor", "Mine"),
        *("--iterations", 3, "--seed", 7),
        *(text for text in SETTINGS if "=n_iter" not in text),
    )
    assert outcome.exit_code == 0, outcome.output
    facts = json.loads(outcome.stdout)
    (sensor,) = facts["target"]["sensors"]
    assert (sensor["name"], sensor["pairs_by_iso"]) == ("Mine", {"1600": 3})
    assert facts["source_domains"] == {"NikonD850": 2}
    (problem,) = facts["target"]["problems"]
    assert problem["path"].endswith("bad.dng")
    assert facts["parameters"]["n_iter"] == 3
    assert facts["report"]["offered"] == sum(
        row["offered"] for row in facts["report"]["domains"]
    )
    assert skadl.load(tmp_path / "m").get_params()["random_state"] == 7


def test_fit__iterations_without_sources__are_those_on_the_pairs(run, shots, tmp_path):
    settings = [text for text in SETTINGS if "=n_pretrain_iter" not in text]
    settings = [text for text in settings if "=n_iter" not in text]
    outcome = run("shots", "--out", "m", "--iterations", 3, *settings)
    assert outcome.exit_code == 0, outcome.output
    assert "does nothing" not in outcome.output
    assert skadl.load(tmp_path / "m").n_iter_ == 3 + TINY["n_finetune_iter"]


def test_fit__simulated_sources__every_camera_is_a_domain(run, shots, monkeypatch):
    monkeypatch.setattr(room, "SIMULATED_PAIRS", 1)
    monkeypatch.setattr(room, "SIMULATED_SIDE", 32)
    outcome = run("shots", "--simulated-sources", "--out", "m", "--json", *SETTINGS)
    assert outcome.exit_code == 0, outcome.output
    domains = json.loads(outcome.stdout)["source_domains"]
    assert domains == dict.fromkeys(skadl.datasets.camera_names(), 1)


def test_fit__same_seed__same_model(run, shots, tmp_path):
    for name in ("a", "b"):
        assert run("shots", "--out", name, *SETTINGS).exit_code == 0
    raw = skadl.read_raw(shots / "scene0" / "b.dng")
    first, second = (skadl.load(tmp_path / name).predict(raw) for name in "ab")
    np.testing.assert_array_equal(first.mosaic, second.mosaic)


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (("gone", "--out", "m"), 2, "gone"),
        (("shots",), 2, "--out"),
        (("shots", "--out", "m", "--set", "n_itre=3"), 2, "n_itre"),
        (("shots", "--out", "m", "--set", "n_iter"), 2, "name=value"),
        (("shots", "--out", "m", "--iso", "-1"), 2, "--iso"),
        (("shots", "--out", "m", "--set", "gate=shut"), 1, "gate"),
        (("shots", "--out", "m", "--device", "abacus"), 1, "abacus"),
        (("shots", "--out", "gone/m"), 1, "create it first"),
        (("shots", "--out", "there"), 1, "--force"),
        (("shots", "--out", "m", "--sources", "empty"), 1, "no RAW files"),
        (("empty", "--out", "m"), 1, "pairs.csv"),
        (("single", "--out", "m"), 1, "at least 2"),
    ],
)
def test_fit__mistake__one_line_and_no_model(
    run, shots, tmp_path, arguments, code, hint
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "there").write_text("precious")
    (pair,) = make_scenes(1)
    write_shot(tmp_path / "single" / "a.dng", pair.noisy, 0.1)
    write_shot(tmp_path / "single" / "b.dng", pair.clean, 0.8)
    outcome = run(*arguments, "--json")
    assert outcome.exit_code == code, outcome.output
    assert hint in outcome.stderr and "Traceback" not in outcome.output
    assert outcome.stdout == "" and outcome.stderr.count("Error: ") == 1
    assert code == 2 or outcome.stderr.count("\n") == 1
    assert not (tmp_path / "m").exists()
    assert (tmp_path / "there").read_text() == "precious"


def test_fit__training_diverges__leaves_no_file(run, shots, tmp_path, monkeypatch):
    def diverge(*arguments, **options):
        raise FloatingPointError("training diverged.\nLower learning_rate.")

    monkeypatch.setattr(skadl.ADLDenoiser, "fit", diverge)
    outcome = run("shots", "--out", "m")
    assert outcome.exit_code == 1
    assert outcome.stderr == "Error: training diverged. Lower learning_rate.\n"
    assert {path.name for path in tmp_path.iterdir()} == {"shots"}


def test_fit__force__replaces_the_model(run, shots, tmp_path):
    (tmp_path / "m").write_text("old")
    assert run("shots", "--out", "m", "--force", *SETTINGS).exit_code == 0
    assert skadl.load(tmp_path / "m").sensors_.names == (CAMERA,)


# Stopped and resumed


@pytest.fixture
def stop_fit(run, monkeypatch):
    """A function that starts a fit and stops it as Ctrl-C does, after some steps."""

    def stop(n_steps, *arguments):
        numbers = itertools.count(1)
        offer = Snapshots.offer

        def offer_and_stop(self, take):
            offer(self, take)
            if next(numbers) == n_steps:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Snapshots, "offer", offer_and_stop)
            return run("shots", "--out", "m", *arguments, *SETTINGS)

    return stop


def test_fit__stopped__says_how_to_go_on_and_resumes(run, shots, tmp_path, stop_fit):
    assert run("shots", "--out", "whole", *SETTINGS).exit_code == 0
    outcome = stop_fit(5, "--checkpoint-every", "0")
    assert outcome.exit_code == 1 and not (tmp_path / "m").exists()
    for words in (
        "'m.checkpoint' holds the fit up to iteration 1 of 2 of fine-tuning",
        "The same command with --resume",
        "skadl denoise RAW... --model m.checkpoint uses the network so far",
    ):
        assert words in outcome.stderr
    outcome = run("shots", "--out", "m", *SETTINGS)
    assert outcome.exit_code == 1 and "Add --resume" in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    outcome = run("shots", "--out", "m", "--resume", *SETTINGS)
    assert outcome.exit_code == 0, outcome.output
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()
    assert not (tmp_path / "m.checkpoint").exists()


@pytest.mark.filterwarnings("default:.*is not finished")
@pytest.mark.parametrize(
    ("n_steps", "place"),
    [(3, "iteration 2 of 3 of pre-training"), (5, "iteration 1 of 2 of fine-tuning")],
)
def test_denoise__checkpoint_of_a_stopped_fit__uses_the_network_so_far(
    shots, tmp_path, stop_fit, n_steps, place
):
    stop_fit(n_steps, "--checkpoint-every", "0")
    raw = shots / "scene0" / "b.dng"
    words = ["denoise", raw, "--model", "m.checkpoint", "--out", "out"]
    outcome = CliRunner().invoke(cli.main, [*map(str, words), "--format", "npy"])
    assert outcome.exit_code == 0, outcome.output
    assert f"is not finished: the network is as it was before {place}" in outcome.stderr
    with pytest.warns(UserWarning, match="is not finished"):
        model = skadl.load("m.checkpoint")
    expected = model.predict(skadl.read_raw(raw), dtype=np.float32).mosaic
    (written,) = (tmp_path / "out").iterdir()
    np.testing.assert_array_equal(np.load(written), expected)
    # What it is stays as it was: the fit goes on from it.
    assert (tmp_path / "m.checkpoint").exists()


def test_fit__stopped_early__says_that_nothing_is_kept(shots, tmp_path, stop_fit):
    outcome = stop_fit(1, "--checkpoint", "place")
    assert outcome.exit_code == 1
    assert "before the first checkpoint" in outcome.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"shots"}


def test_fit__resume_without_a_checkpoint__begins_anew(run, shots, tmp_path):
    outcome = run("shots", "--out", "m", "--resume", *SETTINGS)
    assert outcome.exit_code == 0
    assert "there is no checkpoint 'm.checkpoint'" in outcome.stderr


def test_fit__force__begins_anew_beside_a_checkpoint(run, shots, tmp_path, stop_fit):
    stop_fit(5, "--checkpoint-every", "0")
    assert run("shots", "--out", "m", "--force", *SETTINGS).exit_code == 0
    assert not (tmp_path / "m.checkpoint").exists()


def test_fit__checkpoint_of_another_fit__says_what_differs(
    run, shots, tmp_path, stop_fit
):
    stop_fit(5, "--checkpoint-every", "0")
    outcome = run("shots", "--out", "m", "--resume", "--seed", 3, *SETTINGS)
    assert outcome.exit_code == 1 and "random_state: 0 then, 3 now" in outcome.stderr
    outcome = run("shots", "--out", "m", "--resume", "--checkpoint", "m", *SETTINGS)
    assert outcome.exit_code == 2 and "are the same file" in outcome.stderr
