"""Previews of `skadl denoise`: the right part, beside the result, on one sheet."""

from __future__ import annotations

import json

import numpy as np
from click.testing import CliRunner
from PIL import Image

from skadl import write_dng
from skadl.commands.main import main
from skadl.commands.previews import preview_path, write_preview, write_sheet
from skadl.datasets import make_domain


def frames(size=(48, 64)):
    (pair,) = make_domain("SonyA7S2", 1, size=size, iso=6400, random_state=0)
    return pair.noisy, pair.clean


def test_write_preview__small_frame__shows_all_of_it_before_and_after(tmp_path):
    noisy, clean = frames()
    write_preview(tmp_path / "a.jpg", noisy, clean)
    with Image.open(tmp_path / "a.jpg") as picture:
        pixels = np.asarray(picture, float)
    assert pixels.shape == (24, 32 + 6 + 32, 3)
    rough = [
        np.abs(np.diff(p, axis=0)).mean() for p in (pixels[:, :31], pixels[:, 39:])
    ]
    assert rough[1] < rough[0]


def test_write_preview__large_frame__is_cut_around_its_structure(tmp_path):
    noisy, _ = frames((1000, 2200))
    counts = np.full((1000, 2200), noisy.black_planes.max() + 100, np.uint16)
    counts[:, 1700:1740] = 4000  # a stripe in the right half
    flat = noisy.with_mosaic(counts)
    write_preview(tmp_path / "a.jpg", flat, flat)
    with Image.open(tmp_path / "a.jpg") as picture:
        pixels = np.asarray(picture, float)
    assert pixels.shape == (480, 966, 3)
    assert pixels[:, :480].std() > 10


def test_write_sheet__names_of_any_letters__are_on_it(tmp_path):
    noisy, clean = frames()
    paths = [preview_path(tmp_path / f"{name}.dng") for name in ("a", "夜")]
    for path in paths:
        write_preview(path, noisy, clean)
    sheet = write_sheet(tmp_path, paths)
    with Image.open(sheet) as picture:
        assert picture.size == (960, 2 * (24 + 18 + 6))


def test_denoise__preview__lies_beside_the_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in "ab":
        write_dng(tmp_path / "photos" / f"{name}.dng", frames()[0])
    outcome = CliRunner().invoke(
        main, ["denoise", "photos", "--out", "out", "--preview", "--json"]
    )
    assert outcome.exit_code == 0, outcome.output
    previews = [file["preview"] for file in json.loads(outcome.stdout)["files"]]
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == [
        "a-preview.jpg",
        "a.dng",
        "b-preview.jpg",
        "b.dng",
        "contact-sheet.jpg",
    ]
    assert all((tmp_path / path).exists() for path in previews)
