"""Frames that drift: stars matched, clean means in place, noisy frames as captured."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from night import BLACK, GAIN, field, light_of

from skadl import check_pairs, load_pairs, read_raw
from skadl.commands.main import main
from skadl.data.folders.registration import (
    Place,
    UnregisteredError,
    Window,
    match_stars,
    move_counts,
    register,
    without_defects,
)
from skadl.data.folders.star_places import locate_stars
from skadl.raw.image import RawImage

fits = pytest.importorskip("astropy.io.fits")
pytest.importorskip("astroalign")

SIDE, N_FRAMES, READ = 224, 6, 8.0


def turned(places, degrees, shift):
    """Places turned about the middle of the frame, and moved."""
    angle, middle = np.deg2rad(degrees), SIDE / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (places - middle) @ turn.T + middle + np.asarray(shift)


def drifts(index):
    return 0.1 * index, (1.7 * index, -0.9 * index)


def true_light(index, degrees=None):
    places, electrons = field(SIDE, 14, 0)
    angle, shift = drifts(index)
    return light_of(turned(places, degrees or angle, shift), electrons, SIDE)


def write_frame(path, light, seed, **cards):
    rng = np.random.default_rng(seed)
    counts = GAIN * rng.poisson(light) + BLACK + rng.normal(0, READ, light.shape)
    rng = np.random.default_rng(99)  # defects stay where they are
    counts[tuple(rng.integers(0, len(light), (12, 2)).T)] += 9000
    hdu = fits.PrimaryHDU(np.clip(np.rint(counts), 0, 65535).astype(np.uint16))
    card = {"BAYERPAT": "RGGB", "INSTRUME": "Sim", "GAIN": 100, "EXPTIME": 30.0}
    hdu.header.update({**card, "PEDESTAL": BLACK, "IMAGETYP": "Light", **cards})
    path.parent.mkdir(exist_ok=True)
    hdu.writeto(path)
    return path


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night") / "m31"
    for index in range(N_FRAMES):
        write_frame(folder / f"{index}.fit", true_light(index), index)
    write_frame(folder / "dark.fit", np.zeros((SIDE, SIDE)) + 1, 50, IMAGETYP="Dark")
    return folder


def test_load_pairs__night_that_drifts__every_frame_has_its_clean_one(night):
    pairs = load_pairs(night)
    assert len(pairs) == N_FRAMES
    assert "6 frames registered" in pairs.notes[0] and "dark" in str(pairs.problems)
    for index, pair in enumerate(pairs):
        counts, mosaic = read_raw(pair.noisy.path).mosaic, pair.noisy.mosaic
        assert mosaic.shape == pair.clean.mosaic.shape
        assert min(mosaic.shape) > 0.85 * SIDE
        # The noisy frame is a part of what was captured, at an even place.
        found = [
            (top, left)
            for top in range(0, SIDE - mosaic.shape[0] + 1, 2)
            for left in range(0, SIDE - mosaic.shape[1] + 1, 2)
            if (counts[top, left : left + 40] == mosaic[0, :40]).all()
        ]
        (top, left) = found[0]
        window = Window(top, left, *mosaic.shape)
        np.testing.assert_array_equal(mosaic, window.cut(counts))
        # The clean one is what the frame was expected to be, stars and all.
        scale = (pair.clean.white_level) / pair.noisy.white_level
        clean = (pair.clean.mosaic / scale - BLACK) / GAIN
        truth = window.cut(true_light(index))
        noise = np.sqrt((truth + (READ / GAIN) ** 2) / (N_FRAMES - 1))
        misfit = (clean - truth) / np.hypot(noise, 0.03 * truth)
        assert abs(np.median(misfit)) < 0.1
        assert np.mean(np.abs(misfit) > 4) < 4e-3
    assert check_pairs(pairs).bad == ()


def test_load_pairs__not_registered__stars_lie_elsewhere(night):
    pairs = load_pairs(night, register=False)
    assert len(pairs) == N_FRAMES and not pairs.notes
    assert pairs[0].noisy.mosaic.shape == (SIDE, SIDE)
    assert len(check_pairs(pairs).good) == 0


def test_check__folder_of_a_night__says_how_far_it_drifts(night):
    outcome = CliRunner().invoke(main, ["check", str(night)])
    assert "registered by their stars" in outcome.output, outcome.output
    assert "dark.fit: is a dark frame" in outcome.output
    assert outcome.exit_code == 1  # for the dark


def test_load_pairs__frame_of_another_field__is_left_out(night, tmp_path):
    for index in range(4):
        write_frame(tmp_path / f"{index}.fit", true_light(index), index)
    places, electrons = field(SIDE, 14, 5)
    write_frame(tmp_path / "other.fit", light_of(places, electrons, SIDE), 9)
    pairs = load_pairs(tmp_path)
    assert len(pairs) == 4
    assert [problem.path.name for problem in pairs.problems] == ["other.fit"]


def test_load_pairs__no_stars_but_told_to_register__says_so(tmp_path):
    for index in range(4):
        write_frame(tmp_path / f"{index}.fit", np.full((96, 96), 90.0), index)
    assert len(load_pairs(tmp_path)) == 4  # of flat frames the mean as they are
    with pytest.raises(ValueError, match="cannot be registered: only 0 of 4"):
        load_pairs(tmp_path, register=True)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_load_pairs__other_numbers_than_16_bits__are_averaged(tmp_path, dtype):
    rng = np.random.default_rng(0)
    scene = rng.uniform(60, 160, (8, 8)).repeat(12, 0).repeat(12, 1)
    for index in range(4):
        counts = rng.normal(scene, 4).clip(0, 255)
        counts = counts.astype(dtype) if dtype == "u1" else (counts / 255).astype("f4")
        hdu = fits.PrimaryHDU(counts)
        hdu.header.update(BAYERPAT="RGGB", INSTRUME="Cam", GAIN=0, PEDESTAL=1e-3)
        hdu.writeto(tmp_path / f"{index}.fit")
    pair = load_pairs(tmp_path)[0]
    expected = scene[::2, ::2] / 255
    np.testing.assert_allclose(pair.clean.normalised()[0], expected, atol=0.05)
    residual = pair.noisy.normalised() - pair.clean.normalised()
    assert residual.std() == pytest.approx(4 / 255 * (4 / 3) ** 0.5, rel=0.1)


@pytest.mark.parametrize("degrees", [0, 3, 180])
def test_match_stars__turned_and_moved__are_found(degrees):
    stars = np.random.default_rng(1).uniform(20, 200, (20, 2))
    place = match_stars(stars, turned(stars, degrees, (5.3, -2.6))[:18])
    np.testing.assert_allclose(
        place.of(stars), turned(stars, degrees, (5.3, -2.6)), atol=1e-6
    )
    np.testing.assert_allclose(place.inverse().of(place.of(stars)), stars, atol=1e-6)
    assert place.error < 1e-6


def test_match_stars__other_field__is_none():
    stars, others = np.random.default_rng(2).uniform(0, 900, (2, 25, 2))
    assert match_stars(stars, others) is None


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.8), (1.5, 3.1)])
def test_locate_stars__known_places__are_found_to_a_tenth_of_a_pixel(shift):
    places, _ = field(SIDE, 14, 0)
    electrons = np.full(14, 3e4)
    light = light_of(places + np.array(shift), electrons, SIDE)
    found = locate_stars(RawImage(GAIN * light + BLACK, "RGGB", BLACK, 65535, "s", 100))

    apart = [np.min(np.hypot(*(places + shift - star).T)) for star in found]
    assert len(found) >= 10 and np.median(apart) < 0.1 and np.max(apart) < 0.5


@pytest.mark.parametrize("cfa", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_move_counts__even_shift__moves_every_colour_unchanged(cfa):
    counts = np.random.default_rng(0).uniform(0, 1000, (40, 48))
    place = Place(np.eye(2), np.array([4.0, -2.0]))
    moved = move_counts(counts, cfa, place, Window(8, 8, 24, 24))
    np.testing.assert_allclose(moved, counts[4:28, 10:34], atol=1e-3)


def test_without_defects__hot_pixels_go_and_stars_stay():
    places, electrons = field(SIDE, 14, 0)
    rng = np.random.default_rng(0)
    light = rng.poisson(light_of(places, electrons, SIDE)) * GAIN
    hot = light.copy()
    hot[100, 60] += 5000
    repaired = without_defects(hot, "RGGB")
    assert abs(repaired[100, 60] - light[100, 60]) < 200
    assert (repaired != hot).sum() <= 3


def test_load_pairs__black_levels_of_a_night_differ__no_offset_is_left(tmp_path):
    for index in range(4):
        black = BLACK + 3 * index
        write_frame(
            tmp_path / f"{index}.fit",
            true_light(index) + 3 * index / GAIN,
            index,
            PEDESTAL=black,
        )
    pairs = load_pairs(tmp_path)
    assert "4 frames registered" in pairs.notes[0]
    for pair in pairs:
        noisy, clean = (
            (frame.mosaic - frame.black_level) / frame.span
            for frame in (pair.noisy, pair.clean)
        )
        # In counts; a Poisson distribution's median lies a sixth below its mean.
        offset = np.median(noisy - clean) * pair.noisy.span + GAIN / 6
        assert abs(offset) < 1


def test_load_pairs__stack_beside_frames_that_drift__is_left_out(tmp_path):
    for index in range(4):
        write_frame(tmp_path / f"{index}.fit", true_light(index), index)
    light = true_light(0)
    rng = np.random.default_rng(7)
    stacked = rng.poisson(20 * light) / 20 - light  # a twentieth of the variance
    counts = GAIN * (light + stacked) + BLACK + rng.normal(0, 2, light.shape)
    hdu = fits.PrimaryHDU(np.clip(np.rint(counts), 0, 65535).astype(np.uint16))
    card = {"BAYERPAT": "RGGB", "INSTRUME": "Sim", "GAIN": 100, "EXPTIME": 30.0}
    hdu.header.update({**card, "PEDESTAL": BLACK, "IMAGETYP": "Light"})
    hdu.writeto(tmp_path / "stack.fit")
    pairs = load_pairs(tmp_path)
    assert len(pairs) == 4 and "4 frames registered" in pairs.notes[0]
    ((path, reason),) = ((p.path.name, p.reason) for p in pairs.problems)
    assert path == "stack.fit" and "stack" in reason


def test_check_pairs__denoiser_of_a_night__finds_nothing_more(night):
    pairs = load_pairs(night)
    clean = {pair.noisy.path: pair.clean.normalised() for pair in pairs}

    def denoise(image):
        planes = clean[image.path]
        sides = zip(planes.shape[1:], image.normalised().shape[1:], strict=True)
        rows, columns = (slice((n - m) // 2, (n - m) // 2 + m) for n, m in sides)
        return planes[:, rows, columns]

    assert check_pairs(pairs, denoiser=denoise).bad == ()


def test_register__x_trans__says_which_mosaics_it_knows():
    shots = [SimpleNamespace(cfa="XTRANS-GBG", stars=np.zeros((9, 2)))] * 2
    with pytest.raises(UnregisteredError, match="Bayer mosaics, .* X-Trans"):
        register(shots)
