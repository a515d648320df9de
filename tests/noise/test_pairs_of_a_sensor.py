"""What pairs tell beside two figures: planes, a pattern, a noisy clean frame."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skadl import RawImage, RawPair, calibrate_sensor
from skadl.datasets import make_domain
from skadl.noise.pair_pattern import LEAST_PAIRS, with_pair_pattern
from skadl.noise.residual import transfer_curve

BLACK, WHITE, GAIN, READ, SIDE = 256.0, 16383.0, 0.5, 3.0, 128
FACTS = ("RGGB", BLACK, WHITE, "S", 400.0)


def scene(seed):
    """Light in counts, with plane means that differ as colours do."""
    rng = np.random.default_rng(seed)
    light = np.kron(rng.uniform(20, 900, (8, 8)), np.ones((SIDE // 8, SIDE // 8)))
    return light * np.tile([[0.5, 1.0], [1.0, 0.6]], (SIDE // 2, SIDE // 2))


def pair_of(seed, *, factors=(1, 1, 1, 1), pattern=0.0, n_clean=None):
    """A pair whose planes are multiplied after they caught light."""
    rng = np.random.default_rng(100 + seed)
    gains = GAIN * np.tile(np.reshape(factors, (2, 2)), (SIDE // 2, SIDE // 2))
    light = scene(seed)

    def expose():
        counts = gains * rng.poisson(light / gains) + rng.normal(0, READ, light.shape)
        return np.rint(counts + BLACK + pattern).clip(0).astype(np.uint16)

    clean = light + BLACK
    if n_clean:
        clean = np.mean([expose() for _ in range(n_clean)], axis=0)
    noisy = RawImage(expose(), *FACTS)
    return RawPair(noisy, RawImage(clean.astype(np.float32), *FACTS), seed)


def measure(pairs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return calibrate_sensor(pairs)


def test_calibrate_sensor__red_and_blue_scaled__gains_by_plane_are_found():
    factors = np.array([1.3, 1.0, 1.0, 1.2])
    info = measure([pair_of(seed, factors=factors) for seed in range(4)])
    expected = factors / factors.mean()
    np.testing.assert_allclose(info.plane_gain[400], expected, rtol=0.03)
    assert info.gain[400] == pytest.approx(GAIN * factors.mean(), rel=0.04)


def test_calibrate_sensor__planes_alike__have_no_gains_of_their_own():
    info = measure([pair_of(seed) for seed in range(3)])
    assert info.plane_gain is None
    assert info.gain[400] == pytest.approx(GAIN, rel=0.04)


@pytest.mark.parametrize("n_clean", [3, 8])
def test_transfer_curve__clean_frame_is_a_mean_of_few__noise_is_that_of_the_noisy(
    n_clean,
):
    curve = transfer_curve(pair_of(0, n_clean=n_clean))
    ratio = curve.variance / (GAIN * curve.signal + READ**2)
    # Of the residual it would be higher by 1 / n_clean.
    assert np.mean(ratio) == pytest.approx(1, abs=0.05)


def test_with_pair_pattern__columns_in_every_pair__are_found():
    columns = np.random.default_rng(5).normal(0, 2.0, SIDE)
    pairs = [pair_of(seed, pattern=columns) for seed in range(6)]
    info = measure(pairs)
    found = info.fixed_pattern.at(400)
    assert np.corrcoef(found.columns, columns)[0, 1] > 0.9
    # A pair that was not measured on loses noise by it.
    other = pair_of(50, pattern=columns)
    residual = other.noisy.mosaic - other.clean.mosaic
    shot = GAIN * (other.clean.mosaic - BLACK) + READ**2
    before, after = (
        np.mean((residual - taken) ** 2 / shot) for taken in (0.0, found.counts("RGGB"))
    )
    assert after < before - 0.5 * np.mean(columns.var() / shot)


@settings(max_examples=5)
@given(st.integers(0, 10**6))
def test_with_pair_pattern__no_pattern__takes_off_next_to_nothing(seed):
    pairs = make_domain("NikonD850", 4, size=64, iso=800, ratio=4, random_state=seed)
    info = measure(pairs)
    if info.fixed_pattern is not None:
        taken = info.fixed_pattern.at(800).counts("RGGB").var()
        assert taken < 0.1 * info.noise_at(800)[1]


def test_with_pair_pattern__few_pairs_or_several_sizes__are_left_alone():
    pairs = [pair_of(seed, pattern=20.0 * np.sin(np.arange(SIDE))) for seed in range(6)]
    info = measure([pair_of(seed) for seed in range(2)])
    assert with_pair_pattern(info, pairs[: LEAST_PAIRS - 1]) is info
    small = [
        RawPair(*(image.with_mosaic(image.mosaic[:64]) for image in (p.noisy, p.clean)))
        for p in pairs[:2]
    ]
    assert with_pair_pattern(info, [*pairs[:2], *small]) is info
