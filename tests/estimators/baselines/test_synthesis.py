"""Synthetic noise has the variance that physics and the dark frames say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skadl import RawImage, RawPair, SensorInfo
from skadl.estimators.baselines.synthesis import (
    GAINS,
    DarkFrameNoise,
    TukeyLambdaReadNoise,
    recover_bits,
    virtual_cameras,
    with_random_noise,
    with_virtual_noise,
)
from skadl.noise.renoising import renoise
from skadl.raw.mosaic import CFA_PATTERNS, unpack_mosaic

SIDE = 128
BLACK, WHITE, ISO = 512.0, 16383.0, 800.0
INFO = SensorInfo(
    "RGGB", BLACK, WHITE, gain={ISO: 4.0}, read_noise={ISO: 9.0}, row_noise={ISO: 0.0}
)


def frame(mosaic, cfa="RGGB", iso=ISO, ratio=1.0):
    return RawImage(mosaic, cfa, BLACK, WHITE, "S", iso, ratio)


def flat(level):
    clean = np.full((2 * SIDE, 2 * SIDE), BLACK + level * (WHITE - BLACK))
    return RawPair(frame(clean), frame(clean))


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shape", [-0.2, 0.14, 0.5])
@pytest.mark.parametrize("level", [0.0, 0.02, 0.2])
def test_read_noise__of_any_shape__lies_on_the_photon_transfer_line(shape, level):
    model = frame(np.zeros((2, 2), np.float32))
    pair = renoise(
        flat(level),
        np.ones(4),
        model,
        INFO,
        rng(),
        read_noise=TukeyLambdaReadNoise(shape),
    )
    noise = pair.noisy.mosaic - pair.clean.mosaic
    expected = 4.0 * level * (WHITE - BLACK) + 81.0
    # Long tails make the variance itself vary.
    assert noise.var() == pytest.approx(expected, rel=0.1 if shape < 0 else 0.02)
    assert abs(noise.mean()) < 4 * (expected / noise.size) ** 0.5


def test_dark_frame_noise__variance_and_mean__are_those_of_the_frame():
    dark = rng(1).normal(BLACK + 3, 9.0, (64, 64)).round().astype(np.uint16)
    noise = DarkFrameNoise([frame(dark)])
    drawn = noise(frame(np.zeros((2, 2), np.uint16)), INFO, (4, 32, 32), rng(2))
    assert drawn.var() == pytest.approx(dark.var() - 1 / 12, rel=0.02)
    assert drawn.mean() == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 40, 56)])
def test_dark_frame_noise__planes__keep_their_places(cfa, shape):
    planes = np.ones((4, 16, 16)) * (BLACK + np.arange(4)[:, None, None])
    dark = frame(unpack_mosaic(planes, cfa).astype(np.float32), cfa)
    drawn = DarkFrameNoise([dark])(frame(np.zeros((2, 2))), INFO, shape, rng())
    np.testing.assert_array_equal(drawn, np.ones(shape) * np.arange(4)[:, None, None])


def test_dark_frame_noise__other_iso__is_scaled_as_the_read_noise():
    info = SensorInfo(
        "RGGB", BLACK, WHITE, gain={800: 4, 1600: 8}, read_noise={800: 9, 1600: 18}
    )
    dark = rng(1).normal(BLACK, 9.0, (64, 64)).astype(np.float32)
    at_1600 = frame(np.zeros((2, 2), np.uint16), iso=1600)
    drawn = DarkFrameNoise([frame(dark)])(at_1600, info, (4, 32, 32), rng())
    assert drawn.std() == pytest.approx(2 * dark.std(), rel=1e-3)


def test_dark_frame_noise__nearest_iso__is_taken():
    levels = {400: 1.0, 800: 2.0, 1600: 3.0}
    frames = [
        frame(np.full((8, 8), BLACK + value, np.float32), iso=iso)
        for iso, value in levels.items()
    ]
    noise = DarkFrameNoise(frames)
    for iso, value in levels.items():
        drawn = noise(frame(np.zeros((2, 2)), iso=iso), INFO, (4, 4, 4), rng())
        np.testing.assert_allclose(drawn, value)


@pytest.mark.parametrize("frames", [[], ["dark.dng"]])
def test_dark_frame_noise__no_frames__are_refused(frames):
    with pytest.raises(ValueError, match="dark_frames"):
        DarkFrameNoise(frames)


def test_dark_frame_noise__mixed_patterns__are_refused():
    dark = np.full((8, 8), 512, np.uint16)
    with pytest.raises(ValueError, match="CFA"):
        DarkFrameNoise([frame(dark), frame(dark, "BGGR")])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.05, 30), st.floats(0, 2000))
def test_recover_bits__rounded__is_what_it_was(seed, scale, mean):
    counts = rng(seed).normal(mean, scale, (4, 6, 6)).round().clip(0).astype(np.uint16)
    recovered = recover_bits(counts, rng(seed))
    assert np.isfinite(recovered).all()
    np.testing.assert_array_equal(recovered.round(), counts)


def test_recover_bits__coarse_counts__have_the_variance_of_before():
    exact = rng(3).normal(100, 0.8, (4, 100, 100))
    recovered = recover_bits(exact.round().astype(np.uint16), rng(4))
    assert recovered.var() == pytest.approx(exact.var(), rel=0.03)


def test_virtual_cameras__noise__is_what_they_say():
    (camera,) = virtual_cameras(1, rng())
    model = frame(np.zeros((2, 2), np.float32))
    ((pair, info),) = with_virtual_noise([flat(0.1)], [model], camera, rng(5))
    gain, read_variance = info.noise_at(ISO)
    assert GAINS[0] <= gain / ((WHITE - BLACK) / 16383) <= GAINS[1]
    noise = pair.noisy.mosaic - pair.clean.mosaic
    expected = gain * 0.1 * (WHITE - BLACK) + read_variance
    assert noise.var() == pytest.approx(expected, rel=0.05)


def test_virtual_cameras__lines__are_all_different():
    cameras = virtual_cameras(5, rng())
    assert len(set(cameras)) == 5
    for name in ("read_slope", "read_bias", "row_slope", "row_bias"):
        assert len({getattr(camera, name) for camera in cameras}) == 5


def test_random_noise__level__is_what_it_says():
    model = frame(np.zeros((2, 2), np.float32))
    for pair, info in with_random_noise([flat(0.1)] * 3, [model] * 3, rng(6)):
        gain, read_variance = info.noise_at(ISO)
        noise = pair.noisy.mosaic - pair.clean.mosaic
        expected = gain * 0.1 * (WHITE - BLACK) + read_variance
        assert noise.var() == pytest.approx(expected, rel=0.05)
