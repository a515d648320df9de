"""Curves off the line of the others are told by how far off they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skadl.noise.residual import TransferCurve
from skadl.screening.outliers import noise_shifts

ISOS = [100.0, 160.0, 200.0, 400.0, 640.0, 800.0, 1600.0, 2500.0, 3200.0, 6400.0]


def curve(iso, *, label=1.0, seed=0, brightest=5000.0, read_power=0.6):
    """Variance against signal of a sensor with gain in proportion to ISO."""
    rng = np.random.default_rng([seed, int(iso)])
    signal = np.geomspace(1, brightest, 16)
    variance = 0.002 * iso * signal + (1.5 * (iso / 100) ** read_power) ** 2
    variance = variance * np.exp(rng.normal(0, 0.05, 16))
    return TransferCurve(label * iso, signal, variance, 1.0, np.zeros(4), 0.0, 16383.0)


@pytest.mark.parametrize("read_power", [0.3, 0.6, 1.0])
def test_noise_shifts__right_labels__are_small(read_power):
    shifts, sigmas = noise_shifts([curve(iso, read_power=read_power) for iso in ISOS])
    assert np.abs(shifts).max() < 0.25 and np.abs(sigmas).max() < 1


@settings(max_examples=20)
@given(
    st.sampled_from([0.125, 0.25, 0.5, 2.0, 4.0, 8.0]),
    st.sets(st.integers(0, len(ISOS) - 1), min_size=1, max_size=2),
    st.floats(100, 1e4),
)
def test_noise_shifts__wrong_labels__stand_out(label, wrong, brightest):
    curves = [
        curve(iso, label=label if i in wrong else 1.0, brightest=brightest)
        for i, iso in enumerate(ISOS)
    ]
    shifts, sigmas = noise_shifts(curves)
    found = np.flatnonzero((np.abs(sigmas) > 2.5) & (np.abs(shifts) > 0.5))
    if label in (0.5, 2.0):  # a factor two in noise is the limit of what is told
        assert set(found) <= wrong
    else:
        assert set(found) == wrong
        assert all(np.sign(shifts[i]) == -np.sign(np.log(label)) for i in found)


def test_noise_shifts__one_iso__compares_levels():
    curves = [curve(800.0, seed=seed) for seed in range(8)]
    loud = TransferCurve(
        800.0, curves[0].signal, 4 * curves[0].variance, 1.0, np.zeros(4), 0.0, 16383.0
    )
    shifts, sigmas = noise_shifts([*curves, loud])
    assert shifts[-1] == pytest.approx(np.log(4), abs=0.1) and sigmas[-1] > 5
    assert np.abs(shifts[:-1]).max() < 0.1


def test_noise_shifts__far_from_all_others__is_less_certain():
    others = [curve(iso) for iso in ISOS[:6]]
    near, far = curve(1000.0, label=0.5), curve(25600.0, label=0.5)
    _, sigmas_near = noise_shifts([*others, near])
    _, sigmas_far = noise_shifts([*others, far])
    assert 0 < sigmas_far[-1] < sigmas_near[-1]


def test_noise_shifts__black_frames__are_compared_by_their_read_noise():
    dark = [curve(iso, brightest=1.5) for iso in ISOS]
    shifts, _ = noise_shifts(dark)
    assert np.abs(shifts).max() < 0.1
