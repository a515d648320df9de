"""What is held back, against the error that only the clean image shows."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_frames import chequered, smooth

from skadl.noise.noise_level import NoiseLevel
from skadl.prediction.blocks import BLOCK
from skadl.prediction.safeguard import (
    LEAST_PIXELS,
    MARGIN,
    MOST_SIGMAS,
    WINDOW,
    WINDOWS,
    clip_to_noise,
    estimate_trust,
)

SIDE = 96
texture = partial(chequered, SIDE)


def trust_of(removed, noisy, noise, levels=None):
    rng, residual = np.random.default_rng(1), removed(noisy)
    if levels is None:
        levels = np.zeros([-(-side // BLOCK) for side in noisy.shape[1:]])
    return estimate_trust(removed, noisy, residual, residual, noise, levels, rng)


def shrinkage_of(removed, noisy, noise):
    """The trust in an image whose levels are all the same."""
    (part,) = trust_of(removed, noisy, noise).parts
    return part


def photograph(clean, noise, seed):
    rng = np.random.default_rng(seed)
    sigma = np.sqrt(noise.shot * np.maximum(clean, 0) + noise.read)
    return (clean + sigma * rng.standard_normal(clean.shape)).astype(np.float32)


def best_trust(removed, noisy, clean):
    """The shrinkage that a person with the clean image would choose."""
    residual = removed(noisy).astype(float)
    best = np.sum((noisy - clean) * residual) / np.sum(residual**2)
    return float(np.clip(MARGIN * best, 0, 1))


@given(
    amplitude=st.floats(0, 0.3),
    sigma=st.floats(0.005, 0.2),
    shot=st.sampled_from([0.0, 1e-3, 1e-2]),
    seed=st.integers(0, 2**16),
)
def test_trust_is_what_the_clean_image_would_have_said(amplitude, sigma, shot, seed):
    noise = NoiseLevel(shot, sigma**2)
    clean = texture(amplitude)
    noisy = photograph(clean, noise, seed)
    found = shrinkage_of(smooth, noisy, noise)
    assert found == pytest.approx(best_trust(smooth, noisy, clean), abs=0.04)


@given(amplitude=st.floats(0, 0.3), sigma=st.floats(0.005, 0.2))
def test_a_trusted_correction_never_does_harm(amplitude, sigma):
    noise = NoiseLevel(0.0, sigma**2)
    clean = texture(amplitude)
    noisy = photograph(clean, noise, 3)
    shrinkage = shrinkage_of(smooth, noisy, noise)
    before = np.mean((noisy - clean) ** 2)
    after = np.mean((noisy - shrinkage * smooth(noisy) - clean) ** 2)
    assert after <= before * 1.005  # 0.02 dB: the estimate's own error


def test_what_does_not_respond_to_noise_is_not_trusted():
    noise = NoiseLevel(0.0, 0.01)
    noisy = photograph(texture(0.0), noise, 0)
    assert shrinkage_of(lambda x: np.full_like(x, 0.1), noisy, noise) == 0.0


def test_a_denoiser_that_removes_nothing_is_trusted():
    noisy = photograph(texture(0.2), NoiseLevel(0.0, 0.01), 0)
    assert shrinkage_of(np.zeros_like, noisy, NoiseLevel(0.0, 0.01)) == 1.0


def test_a_noise_level_that_is_a_fifth_too_high_still_does_no_harm():
    clean = texture(0.05)
    noisy = photograph(clean, NoiseLevel(0.0, 0.02**2), 5)
    overrated = NoiseLevel(0.0, 1.2 * 0.02**2)
    shrinkage = shrinkage_of(smooth, noisy, overrated)
    after = np.mean((noisy - shrinkage * smooth(noisy) - clean) ** 2)
    assert after < np.mean((noisy - clean) ** 2)


def test_trust_is_that_of_each_level():
    """Texture in one half alone: the other's noise is removed all the same."""
    side = 256
    grid = np.indices((side, side)).sum(axis=0) % 2
    textured = np.arange(side) >= side // 2
    clean = np.broadcast_to(np.where(textured, 0.5 + 0.1 * grid, 0.55), (4, side, side))
    noise = NoiseLevel(0.0, 0.02**2)
    noisy = photograph(clean, noise, 0)
    levels = np.broadcast_to(textured[::BLOCK], (side // BLOCK, side // BLOCK)) * 1.0
    assert 2 * LEAST_PIXELS < noisy.size
    parts = trust_of(smooth, noisy, noise, levels).at(np.array([0.0, 1.0]))
    halves = np.s_[:, :, : side // 2 - 2], np.s_[:, :, side // 2 + 2 :]
    for found, half in zip(parts, halves, strict=True):
        residual = smooth(noisy)[half]
        best = np.sum((noisy - clean)[half] * residual) / np.sum(residual**2)
        assert found == pytest.approx(min(MARGIN * best, 1), abs=0.05)
    assert parts[0] > 0.9 > 0.3 > parts[1]


@given(n_blocks=st.integers(1, 40), seed=st.integers(0, 2**16))
def test_few_pixels_are_judged_as_a_whole(n_blocks, seed):
    rng = np.random.default_rng(seed)
    noisy = rng.normal(size=(4, BLOCK, BLOCK * n_blocks)).astype(np.float32)
    levels = rng.normal(size=(1, n_blocks))
    trust = trust_of(lambda x: x / 2, noisy, NoiseLevel(0.0, 1.0), levels)
    assert len(trust.parts) == 1


def test_a_large_image_is_judged_by_windows_of_it():
    side = 2 * WINDOWS * WINDOW
    noise = NoiseLevel(0.0, 0.01)
    clean = np.broadcast_to(np.linspace(0, 1, side), (4, side, side))
    noisy = photograph(clean, noise, 0)
    sizes = []

    def removed(planes):
        sizes.append(planes.size)
        return 0.3 * smooth(planes) + 0.2 * planes

    residual = removed(noisy)
    sizes.clear()
    rng, levels = np.random.default_rng(1), np.zeros((side // BLOCK, side // BLOCK))
    trust = estimate_trust(removed, noisy, residual, residual, noise, levels, rng)
    (found,) = trust.parts
    assert sum(sizes) == 4 * (WINDOWS * WINDOW) ** 2
    assert found == pytest.approx(best_trust(removed, noisy, clean), abs=0.03)


@given(shot=st.floats(0, 0.01), sigma=st.floats(1e-3, 0.1), seed=st.integers(0, 2**16))
def test_no_pixel_changes_by_more_than_noise_can(shot, sigma, seed):
    rng = np.random.default_rng(seed)
    planes = rng.uniform(-0.1, 2, (4, 6, 6))
    residual = rng.normal(scale=1.0, size=planes.shape)
    noise = NoiseLevel(shot, sigma**2)
    limited = clip_to_noise(residual, planes, noise)
    brighter = np.maximum(np.maximum(planes, planes - residual), 0)
    most = MOST_SIGMAS * np.sqrt(shot * brighter + sigma**2)
    assert (np.abs(limited) <= most * (1 + 1e-6)).all()
    assert (limited * residual >= 0).all()
    within = np.abs(residual) <= most
    np.testing.assert_array_equal(limited[within], residual[within])


def test_the_noise_of_a_flat_frame_is_hardly_limited():
    noise = NoiseLevel(0.01, 0.001)
    clean = np.full((4, 128, 128), 0.2)
    error = photograph(clean, noise, 0) - clean
    limited = clip_to_noise(error, clean + error, noise)
    assert np.mean((error - limited) ** 2) < 1e-4 * np.mean(error**2)
