"""The generalised Anscombe transform against sums and draws of its own definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.noise.noise_level import NoiseLevel
from skadl.noise.variance_stabilisation import stabilise, unstabilise


def draws(electrons, read, rng, size=200_000):
    """Electrons of a pixel with read noise of some variance, in electrons."""
    return rng.poisson(electrons, size) + rng.normal(0, read**0.5, size)


@pytest.mark.parametrize("read", [0.0, 0.5, 4.0, 150.0, 300.0])
@pytest.mark.parametrize("electrons", [0.0, 0.3, 2.0, 30.0, 180.0, 1000.0])
def test_unstabilise__mean_of_draws__is_their_signal(read, electrons):
    shot, rng = 2e-3, np.random.default_rng(0)
    noise = NoiseLevel(shot, read * shot**2)
    z = stabilise(shot * draws(electrons, read, rng), noise)
    back = unstabilise(np.array([z.mean()]), noise).item() / shot
    # Of the draws themselves, and of the series where electrons are many.
    error = 5 * ((electrons + read) / 200_000) ** 0.5 + 0.02
    assert back == pytest.approx(electrons, abs=error)


@pytest.mark.parametrize("electrons", [0.0, 0.1, 0.7, 3.0, 12.0])
def test_unstabilise__photons_alone__inverts_the_sum_over_counts(electrons):
    mean = sum(
        math.exp(-electrons) * electrons**k / math.factorial(k) * 2 * (k + 0.375) ** 0.5
        for k in range(80)
    )
    back = unstabilise(np.array([mean]), NoiseLevel(1.0, 0.0)).item()
    assert back == pytest.approx(electrons, abs=1e-4)


def test_unstabilise__few_electrons__lies_above_the_algebraic_inverse():
    z = np.array([2 * 0.375**0.5 + 0.5])
    algebraic = z.item() ** 2 / 4 - 0.375
    assert unstabilise(z, NoiseLevel(1.0, 0.0)).item() > algebraic + 0.05


@pytest.mark.parametrize("level", [0.01, 0.5])
def test_stabilise__noise__is_one(level):
    noise, rng = NoiseLevel(0.002, 1e-5), np.random.default_rng(0)
    noisy = 0.002 * draws(level / 0.002, 1e-5 / 0.002**2, rng)
    assert stabilise(noisy, noise).std() == pytest.approx(1, abs=0.03)


@given(
    st.floats(1e-9, 1.0), st.floats(0.0, 1.0), st.floats(-0.5, 2.0), st.integers(0, 9)
)
def test_unstabilise__more__is_more_and_everything_is_finite(shot, read, x, seed):
    noise = NoiseLevel(shot, read)
    z = stabilise(np.array([x]), noise).item()
    steps = np.sort(z + np.random.default_rng(seed).normal(0, 3, 50))
    back = unstabilise(steps, noise)
    assert np.isfinite(back).all()
    # Where the series takes over it lies a hundredth of an electron off.
    assert (np.diff(back) >= -0.02 * shot).all()


def test_unstabilise__below_black__keeps_the_mean_of_dark_places():
    noise = NoiseLevel(1.0, 4.0)
    black = stabilise(np.array([0.0]), noise).item()
    # What is denoised scatters about the transform of black: no side is cut off.
    z = np.random.default_rng(0).normal(0, 0.1, 10_000)
    mean_of_black = np.array([black - 0.06])  # E[transform], lower than at the mean
    back = unstabilise(mean_of_black + z, noise)
    assert back.mean() == pytest.approx(
        unstabilise(mean_of_black, noise).item(), abs=0.02
    )
