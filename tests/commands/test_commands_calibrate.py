"""``skadl calibrate``: frames sorted, measured and kept, and the file put to use."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from raw_folders import write_shot

from skadl import RawImage, load_sensors, read_raw
from skadl.commands import main as cli

HEIGHT, WIDTH, BLACK, READ, GAIN = 96, 128, 512, 5.0, 0.9
COLUMNS = 4.0 * np.sin(np.arange(WIDTH) * 2.4)
HOT = (40, 60)


def frame(light, seed):
    rng = np.random.default_rng(seed)
    counts = GAIN * rng.poisson(light / GAIN, (HEIGHT, WIDTH)) + COLUMNS + BLACK
    counts = counts + rng.normal(0, READ, counts.shape)
    counts[HOT] += 900
    mosaic = np.clip(np.rint(counts), 0, 16383).astype(np.uint16)
    return RawImage(mosaic, "RGGB", BLACK, 16383, "Maker Camera", 800)


def run(*words):
    return CliRunner().invoke(cli.main, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Darks in a folder of that name, flats told by their content."""
    place = tmp_path_factory.mktemp("calibration")
    for index in range(4):
        write_shot(place / "darks" / f"{index}.dng", frame(0, index))
    for index in range(2):
        write_shot(place / "wall" / f"{index}.dng", frame(5000, 10 + index))
    return place


@pytest.fixture(scope="module")
def calibration(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "camera.safetensors"
    result = run("calibrate", folder, "--out", path)
    assert result.exit_code == 0, result.output
    assert "4 dark frames, 2 flats" in result.output
    return path


def test_calibrate__darks_and_flats__are_in_the_file(calibration):
    table = load_sensors(calibration)
    info = table.get(table.names[0])
    assert info.gain[800] == pytest.approx(GAIN, rel=0.05)
    assert info.read_noise[800] == pytest.approx(READ, rel=0.03)
    found = info.fixed_pattern.by_iso[800]
    assert np.corrcoef(found.columns, COLUMNS)[0, 1] > 0.98
    assert found.hot.tolist() == [HOT[0] * WIDTH + HOT[1]]


def test_calibrate__again__keeps_the_file_unless_forced(folder, calibration):
    before = calibration.read_bytes()
    result = run("calibrate", folder, "--out", calibration)
    assert result.exit_code == 1 and "--force" in result.output
    result = run("calibrate", folder, "--out", calibration, "--force", "--json")
    assert result.exit_code == 0
    record = json.loads(result.output)
    (sensor,) = record["sensors"].values()
    assert sensor["frames"] == {"dark": 4, "flat": 2}
    assert sensor["fixed_pattern"]["800"]["hot_pixels"] == 1
    assert calibration.read_bytes() == before


def test_denoise__calibration__takes_the_pattern_off(tmp_path, calibration):
    photo = write_shot(tmp_path / "photo.dng", frame(400, 77))
    out = tmp_path / "out"
    result = run("denoise", photo, "--calibration", calibration, "--out", out)
    assert result.exit_code == 0, result.output
    assert "fixed pattern taken off, 1 hot pixels replaced" in result.output
    counts = read_raw(out / "photo.dng").normalised() * 15871
    # Of the pattern in the plane R; the rest of its column means is noise.
    pattern = COLUMNS[::2] - COLUMNS[::2].mean()
    left = (counts[0].mean(axis=0) @ pattern) / (pattern @ pattern)
    assert abs(left) < 0.1
    assert counts.max() < 600


def test_calibrate__nothing_to_measure__says_what_to_shoot(tmp_path):
    result = run("calibrate", tmp_path, "--out", tmp_path / "a")
    assert result.exit_code == 1
    assert "lens cap" in result.output and "Traceback" not in result.output
    assert not (tmp_path / "a").exists()


def test_calibrate__picture_among_them__is_named_and_left_out(tmp_path):
    for index in range(2):
        write_shot(tmp_path / f"{index}.dng", frame(0, index))
    picture = np.kron(np.random.default_rng(0).random((12, 16)), np.ones((8, 8)))
    image = frame(0, 5).with_mosaic((BLACK + 9000 * picture).astype(np.uint16))
    write_shot(tmp_path / "holiday.dng", image)
    result = run("calibrate", tmp_path, "--out", tmp_path / "a.safetensors")
    assert result.exit_code == 1  # as where a file could not be used
    assert "holiday.dng is neither a dark frame nor a flat" in result.output
    assert load_sensors(tmp_path / "a.safetensors").names


def test_check__dark_frames__are_sent_to_calibrate(tmp_path):
    for index in range(4):
        write_shot(tmp_path / "cap" / f"{index}.dng", frame(0, index), 0.1, 4)
    result = run("check", tmp_path)
    assert result.exit_code == 1
    assert "taken with the lens cap on" in result.output
    assert "skadl calibrate" in result.output
    assert "align" not in result.output
