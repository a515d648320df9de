"""X-Trans files on the command line: shown, checked, fitted on, denoised."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from skadl import read_raw, write_dng
from skadl.commands import main as cli
from skadl.datasets import Camera, make_domain

CAMERA = Camera(
    "FUJIFILM X-T9",
    "XTRANS-GRG",
    1024,
    16383,
    gain={800: 4.0, 3200: 16.0},
    read_scale={800: 12.0, 3200: 40.0},
)
TINY = {
    "start": "random",
    "n_pretrain_iter": 1,
    "n_finetune_iter": 1,
    "n_iter": 0,
    "base_channels": 2,
    "n_levels": 2,
    "mlp_width": 4,
    "batch_size": 2,
    "patch_size": 48,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("x-trans")
    pairs = make_domain(CAMERA, 3, size=(120, 134), iso=[800, 3200] * 2, random_state=1)
    for index, pair in enumerate(pairs):
        for name in ("noisy", "clean"):
            (folder / name).mkdir(exist_ok=True)
            image = getattr(pair, name)
            whole = np.rint(image.mosaic).astype(np.uint16)
            write_dng(folder / name / f"{index}.dng", image.with_mosaic(whole))
    return folder


def run(*words):
    return CliRunner().invoke(cli.main, [str(word) for word in words])


def test_info__x_trans__names_the_mosaic(folder):
    outcome = run("info", folder / "noisy" / "0.dng")
    assert outcome.exit_code == 0, outcome.output
    assert "mosaic  XTRANS-GRG" in outcome.stdout


def test_denoise__x_trans_without_a_model__takes_noise_away(folder, tmp_path):
    noisy, out = folder / "noisy" / "1.dng", tmp_path / "out"
    outcome = run("denoise", noisy, "--out", out, "--noise", "3200,16,40")
    assert outcome.exit_code == 0, outcome.output
    clean = read_raw(folder / "clean" / "1.dng").normalised()
    before, after = (
        np.square(read_raw(path).normalised() - clean).mean()
        for path in (noisy, *out.iterdir())
    )
    assert after < before


def test_check_fit_and_denoise__x_trans__end_in_a_dng(folder, tmp_path):
    checked = run("check", folder, "--ratio", 1)
    assert checked.exit_code == 0, checked.output
    assert "3 pairs: 3 good" in checked.stdout
    model = tmp_path / "x.safetensors"
    sets = [w for name, value in TINY.items() for w in ("--set", f"{name}={value}")]
    fitted = run("fit", folder, "--ratio", 1, "--out", model, *sets)
    assert fitted.exit_code == 0, fitted.output
    photo = folder / "noisy" / "1.dng"
    outcome = run("denoise", "--model", model, photo, "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.output
    (written,) = (tmp_path / "out").iterdir()
    noisy, denoised = read_raw(photo), read_raw(written)
    assert denoised.cfa == noisy.cfa and denoised.mosaic.shape == noisy.mosaic.shape
