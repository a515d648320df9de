"""Darks and flats of a sensor whose noise and pattern are known."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skadl import RawImage, SensorInfo, calibrate_sensor
from skadl.noise.calibration_frames import kind_of
from skadl.noise.dark_frames import measure_darks
from skadl.noise.fixed_pattern import FixedPattern, PatternAtIso, pattern_to_subtract

HEIGHT, WIDTH, BLACK = 96, 128, 512
GAIN, READ, ROW = 0.8, 4.0, 1.5


def true_pattern(seed=7):
    """Columns, a smooth ramp and 12 hot pixels, in counts."""
    rng = np.random.default_rng(seed)
    pattern = rng.normal(0, 1.0, (1, WIDTH)) + np.linspace(-3, 3, HEIGHT)[:, None]
    hot = rng.choice(HEIGHT * WIDTH, 12, replace=False)
    return pattern, hot


def photograph(light, n_frames, *, iso=800, pattern=0.0, hot=(), seed=0, factors=None):
    """Frames (H, W) of even light in counts above black."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n_frames):
        electrons = rng.poisson(light / GAIN, (HEIGHT, WIDTH)).astype(float)
        counts = GAIN * electrons
        if factors is not None:
            counts *= np.tile(np.reshape(factors, (2, 2)), (HEIGHT // 2, WIDTH // 2))
        counts += rng.normal(0, READ, counts.shape) + pattern
        counts += rng.normal(0, ROW, (HEIGHT, 1))
        counts.flat[list(hot)] += 400
        mosaic = np.clip(np.rint(counts + BLACK), 0, 16383).astype(np.uint16)
        frames.append(RawImage(mosaic, "RGGB", BLACK, 16383, "S", iso))
    return frames


def measure(**frames):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return calibrate_sensor(**frames)


def test_calibrate_sensor__darks_and_flats__within_their_errors_of_the_truth():
    flats = photograph(4000, 4, seed=1) + photograph(1000, 2, seed=2)
    info = measure(darks=photograph(0, 8), flats=flats)
    truth = np.sqrt(READ**2 + ROW**2 + 1 / 12)
    assert info.read_noise[800] == pytest.approx(truth, rel=0.02)
    assert info.gain[800] == pytest.approx(GAIN, rel=0.03)
    assert abs(np.log(info.gain[800] / GAIN)) < 4 * info.gain_error[800]
    assert info.row_noise[800] == pytest.approx(ROW, rel=0.15)
    np.testing.assert_allclose(info.plane_gain[800], 1, atol=0.04)
    assert info.notes == ()


def test_calibrate_sensor__red_scaled_in_the_camera__has_gains_by_plane():
    flats = photograph(4000, 6, factors=(1.3, 1.0, 1.0, 1.0))
    info = measure(darks=photograph(0, 2), flats=flats)
    ratio = info.plane_gain[800][0] / np.mean(info.plane_gain[800][1:])
    assert ratio == pytest.approx(1.3, rel=0.06)


def test_calibrate_sensor__known_pattern__is_found_to_its_stated_error():
    pattern, hot = true_pattern()
    darks = photograph(0, 16, pattern=pattern, hot=hot)
    found = measure(darks=darks).fixed_pattern.by_iso[800]
    assert set(hot.tolist()) <= set(found.hot.tolist())
    assert found.hot.size <= hot.size + 2
    good = np.ones(pattern.shape, bool)
    good.flat[found.hot] = False
    apart = (found.counts("RGGB") - pattern)[good]
    apart -= apart.mean()  # the mean is in black_offset
    assert apart.std() < 1.5 * found.error
    assert found.error < 0.25 * pattern.std()
    assert np.corrcoef(found.counts("RGGB")[good], pattern[good])[0, 1] > 0.98


@settings(max_examples=10)
@given(st.integers(2, 9), st.integers(0, 10**6))
def test_measure_darks__noise_alone__adds_less_than_two_percent(n_frames, seed):
    found = measure_darks(photograph(0, n_frames, seed=seed)).pattern
    added = found.counts("RGGB").var()
    assert added < 0.02 * READ**2
    assert found.hot.size == 0


@pytest.mark.parametrize("pattern", [0.0, true_pattern()[0]])
def test_measure_darks__frames_that_are_equal__are_their_own_pattern(pattern):
    (frame,) = photograph(0, 1, pattern=pattern)
    found = measure_darks([frame] * 4)
    offset = np.tile(found.offset.reshape(2, 2), (HEIGHT // 2, WIDTH // 2))
    apart = found.pattern.counts("RGGB") + offset - (frame.mosaic.astype(float) - BLACK)
    assert np.median(np.abs(apart)) < 0.01 * READ
    assert np.isfinite([found.read_noise, found.read_noise_error]).all()


def test_subtracting__measured_pattern__lowers_the_error_of_another_frame():
    pattern, hot = true_pattern()
    info = measure(darks=photograph(0, 8, pattern=pattern, hot=hot))
    (other,) = photograph(50, 1, pattern=pattern, hot=hot, seed=99)
    taken = pattern_to_subtract(other.mosaic, "RGGB", info.fixed_pattern.at(800))
    before = other.mosaic - BLACK - 50.0
    after = before - taken
    after -= info.offset_at(800).mean()
    expected = GAIN * 50 + READ**2 + ROW**2
    assert np.mean(after**2) < 1.15 * expected < 0.5 * np.mean(before**2)


def ending_at_black(frames):
    return [frame.with_mosaic(np.maximum(frame.mosaic, BLACK)) for frame in frames]


@settings(max_examples=5)
@given(shift=st.floats(-1, 1), seed=st.integers(0, 10**6))
def test_measure_darks__files_end_at_black__finds_what_whole_ones_show(shift, seed):
    pattern, hot = true_pattern()
    frames = photograph(0, 16, pattern=pattern / 2 + shift, hot=hot, seed=seed)
    whole, found = measure_darks(frames), measure_darks(ending_at_black(frames))
    assert found.read_noise == pytest.approx(whole.read_noise, rel=0.15)
    assert found.row_noise == pytest.approx(whole.row_noise, rel=0.25)
    np.testing.assert_allclose(found.offset, whole.offset, atol=0.1 * READ)
    assert set(hot) <= set(found.pattern.hot.tolist())
    both = [figures.pattern.counts("RGGB") for figures in (found, whole)]
    off, all_of_it = both[0] - both[1], both[1] - both[1].mean()
    assert np.var(off) < 0.15 * np.var(all_of_it)


def test_pattern_to_subtract__cluster_of_hot_pixels__takes_good_neighbours():
    mosaic = np.full((12, 12), 100.0)
    hot = [13, 15, 37, 39]  # 2x2 of one plane
    mosaic.flat[hot] = 4000
    pattern = PatternAtIso(np.zeros(12), np.zeros(12), hot=np.array(hot))
    taken = pattern_to_subtract(mosaic, "RGGB", pattern)
    np.testing.assert_array_equal(mosaic - taken, 100)


def test_fixed_pattern__window__is_the_part_of_the_whole():
    rng = np.random.default_rng(0)
    whole = PatternAtIso(
        rng.normal(size=32), rng.normal(size=40), hot=np.array([5, 10 * 40 + 9])
    )
    part = FixedPattern({100: whole}).window(4, 6, 20, 24).by_iso[100]
    np.testing.assert_array_equal(part.counts("RGGB"), whole.counts("RGGB")[4:24, 6:30])
    assert part.hot.tolist() == [6 * 24 + 3]


@pytest.mark.parametrize("corner", [(1, 0), (0, 3), (0, 20)])
def test_fixed_pattern__window_that_cannot_be__is_refused(corner):
    whole = FixedPattern({100: PatternAtIso(np.zeros(16), np.zeros(16))})
    with pytest.raises(ValueError, match="a part begins|do not lie"):
        whole.window(*corner, 8, 8)


def test_fixed_pattern__between_isos__is_linear_in_iso():
    low, high = (PatternAtIso(np.zeros(4), np.full(4, x)) for x in (1.0, 5.0))
    pattern = FixedPattern({100: low, 500: high})
    assert pattern.at(300).columns == pytest.approx(3.0)
    assert pattern.at(50).columns == pytest.approx(1.0)
    assert pattern.at(9999).columns == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"darks": photograph(0, 1)}, "one frame only of the dark frames at ISO 800"),
        ({"darks": photograph(2000, 2)}, "holds light.*lens cap"),
        ({"flats": photograph(15900, 2)}, "burnt out.*Expose less"),
        ({"flats": photograph(20, 2)}, "too dark.*Expose more"),
        (
            {"flats": photograph(2000, 1) + photograph(5000, 1)},
            "no two of the same exposure",
        ),
        (
            {"darks": photograph(0, 2) + photograph(0, 1, iso=100)},
            r"at ISO 100; ISOs are \[100.0, 800.0\]",
        ),
        ({"darks": []}, "0 pairs, 0 dark frames and 0 flats of none"),
    ],
)
def test_calibrate_sensor__frames_that_cannot_serve__say_what_to_do(frames, message):
    with pytest.raises(ValueError, match=message):
        calibrate_sensor(**frames)


def test_calibrate_sensor__sizes_differ__are_counted():
    (other,) = photograph(0, 1)
    other = other.with_mosaic(other.mosaic[:64])
    with pytest.raises(ValueError, match="2 of 96x128 RGGB, 1 of 64x128 RGGB"):
        calibrate_sensor(darks=[*photograph(0, 2), other])


def test_calibrate_sensor__darks_alone__say_that_the_gain_is_open():
    with pytest.warns(UserWarning, match="do not show the gain; read noise is 4"):
        info = calibrate_sensor(darks=photograph(0, 2))
    assert not info.knows_noise
    assert info.fixed_pattern.shape == (HEIGHT, WIDTH)


def test_calibrate_sensor__paths_for_darks__are_no_frames():
    with pytest.raises(
        TypeError, match="darks must hold RawImage, but item 0 is a str"
    ):
        calibrate_sensor(darks=["a.dng"])


def test_kind_of__dark_flat_and_picture__are_told_apart():
    (dark,), (flat,) = photograph(0, 1), photograph(5000, 1)
    assert kind_of(dark) == "dark"
    assert kind_of(flat) == "flat"
    picture = np.kron(np.random.default_rng(0).random((12, 16)), np.ones((8, 8)))
    counts = (BLACK + 9000 * picture).astype(np.uint16)
    assert kind_of(flat.with_mosaic(counts)) is None


def test_sensor_info__pattern_of_another_kind__is_refused():
    with pytest.raises(TypeError, match="must be a FixedPattern, got dict"):
        replace(SensorInfo("RGGB", 0, 1), fixed_pattern={})
