"""A denoised frame as witness: known faults in known size, sound pairs kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as move

from skadl.noise.noise_level import NoiseLevel
from skadl.raw.image import RawImage
from skadl.raw.mosaic import unpack_mosaic
from skadl.raw.pair import RawPair
from skadl.screening.screen import FAULTS, Screening
from skadl.screening.witness import compare_planes, judge_pair

SIDE = 64  # packed pixels
NOISE = NoiseLevel(shot=2e-3, read=1e-5)
LEFT = 0.3  # of the noise's deviation that the denoiser leaves, all in fine grain


def scene(seed=0, side=SIDE):
    """Smooth detail of several pixels: known between the pixels, too."""
    rng = np.random.default_rng(seed)
    light = gaussian_filter(rng.standard_normal((side, side)), 2.0, mode="wrap")
    colours = np.array([0.6, 1.0, 1.0, 0.5])[:, None, None]
    return 0.25 * colours * (1 + 0.3 * light / light.std()).clip(0.05)


def frames(seed=0, noise=NOISE, clean=None, bias=0.0):
    """Noisy, clean and denoised planes; the denoised one errs as told."""
    clean = scene(seed) if clean is None else clean
    rng = np.random.default_rng(seed + 1)
    sigma = np.sqrt(noise.shot * clean + noise.read)
    grain = sigma * rng.standard_normal(clean.shape)
    denoised = (1 + bias) * clean + LEFT * grain
    return clean + grain, clean, denoised


def is_kept(evidence):
    return max(evidence.parts.values()) <= 1


@given(
    st.floats(-5, -1),
    st.floats(-7, -3),
    st.integers(0, 50),
    st.floats(-0.005, 0.005),
)
def test_compare_planes__sound_pair_at_any_noise_level__is_kept(shot, read, seed, bias):
    noise = NoiseLevel(10**shot, 10**read)
    assert is_kept(compare_planes(*frames(seed, noise, bias=bias), noise))


@pytest.mark.parametrize("level", [1e-6, 1e-4, 1e-2])
def test_compare_planes__flat_frame__is_kept(level):
    noise = NoiseLevel(level, level / 10)
    flat = np.full((4, SIDE, SIDE), 0.2)
    assert is_kept(compare_planes(*frames(3, noise, clean=flat), noise))


@pytest.mark.parametrize("offset", [(0.25, 0.0), (0.0, -0.25), (0.2, 0.2)])
def test_compare_planes__clean_frame_half_a_pixel_off__tells_how_far(
    offset,
):
    noisy, clean, denoised = frames(1)
    moved = np.stack([move(plane, offset, order=5, mode="wrap") for plane in clean])
    found = compare_planes(noisy, moved, denoised, NOISE)
    expected = 2 * np.array(offset)  # of the mosaic
    error = np.hypot(*(np.array([found.rows, found.columns]) - expected))
    # Sharp here, and to a twentieth of a pixel of the mosaic for what curves between.
    assert error < 4 * found.shift_error + 0.05
    assert found.shift_error < 0.1
    assert found.parts["misaligned"] > 1


@pytest.mark.parametrize("factor", [0.95, 1.05, 1.1])
def test_compare_planes__exposure_off__tells_how_much(factor):
    noisy, clean, denoised = frames(2)
    found = compare_planes(noisy, factor * clean, denoised, NOISE)
    assert abs(found.exposure - factor) < 4 * found.exposure_error
    assert found.parts["brightness"] > 1
    assert found.parts["differs"] < 1  # light is no other content


def test_compare_planes__black_level_and_row_noise__are_kept():
    noisy, clean, denoised = frames(4)
    rows = 0.3 * np.sqrt(NOISE.read) * np.random.default_rng(0).standard_normal(SIDE)
    shared = rows[:, None] + 0.4 * np.sqrt(NOISE.read)
    assert is_kept(compare_planes(noisy + shared, clean, denoised + shared, NOISE))


def test_compare_planes__another_scene__differs():
    noisy, _, denoised = frames(5)
    found = compare_planes(noisy, scene(6), denoised, NOISE)
    assert found.parts["differs"] > 1


def test_compare_planes__something_moved_in_one_place__differs():
    noisy, clean, denoised = frames(7)
    clean = clean.copy()
    clean[:, 10:18, 30:38] *= 1.6
    found = compare_planes(noisy, clean, denoised, NOISE)
    assert found.local > 60
    assert found.parts["differs"] > 1


def test_compare_planes__smoothed_truth__lacks_detail():
    rng = np.random.default_rng(8)
    fine = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 0.7)
    clean = 0.2 * (1 + 0.3 * fine / fine.std()).clip(0.05) * np.ones((4, 1, 1))
    noisy, clean, denoised = frames(8, clean=clean)
    found = compare_planes(noisy, gaussian_filter(clean, (0, 1, 1)), denoised, NOISE)
    assert found.missing > 0.5
    assert found.parts["smoothed"] > 1
    assert compare_planes(noisy, clean, denoised, NOISE).parts["smoothed"] < 0.5


def test_compare_planes__noise_that_neighbours_share__is_processed():
    _, clean, _ = frames(9)
    rng = np.random.default_rng(9)
    grain = gaussian_filter(rng.standard_normal(clean.shape), (0, 0.8, 0.8))
    grain *= np.sqrt(NOISE.shot * clean + NOISE.read) / grain.std()
    found = compare_planes(clean + grain, clean, clean + 0.9 * grain, NOISE)
    assert found.correlation > 0.3
    assert found.parts["processed"] > 1


def test_compare_planes__noise_measured_too_strong_on_a_wrong_pair__still_differs():
    # What is measured on two scenes is their difference, and would explain it.
    noisy, _, denoised = frames(10)
    loud = NoiseLevel(NOISE.shot, 0.05)
    assert compare_planes(noisy, scene(11), denoised, loud).parts["differs"] > 1


@pytest.mark.parametrize("side", [1, 8, 15])
def test_compare_planes__too_small_or_all_clipped__says_nothing(side):
    small = np.full((4, side, side), 0.2)
    assert max(compare_planes(small, small, small, NOISE).parts.values()) == 0
    noisy, clean, denoised = frames(0)
    nothing = np.zeros(clean.shape, bool)
    found = compare_planes(noisy, 2 * clean, denoised, NOISE, nothing)
    assert max(found.parts.values()) == 0


@given(st.sampled_from(["noisy", "clean", "denoised", "all"]))
def test_compare_planes__frames_without_light__gives_finite_numbers(which):
    dark = dict(zip(("noisy", "clean", "denoised"), frames(12), strict=True))
    for name in dark if which == "all" else [which]:
        dark[name] = np.zeros_like(dark[name])
    found = compare_planes(**dark, noise=NOISE)
    assert np.isfinite(list(found.parts.values())).all()


def raw_pair(noisy, clean):
    facts = dict(
        cfa="RGGB", black_level=512, white_level=16383, sensor="cam", iso=100.0
    )
    facts |= dict(sensor="cam", iso=100.0)
    images = (
        RawImage((512 + 15871 * unpack_mosaic(x, "RGGB")).astype(np.float32), **facts)
        for x in (noisy, clean)
    )
    return RawPair(*images)


def test_judge_pair__middle_denoised_alone__is_compared_in_place():
    noisy, clean, denoised = frames(13)
    inner = denoised[:, 10:-10, 10:-10]
    assert judge_pair(raw_pair(noisy, clean), inner, NOISE).fault is None
    inner = denoised[:, :-20, :-20]
    assert judge_pair(raw_pair(noisy, clean), inner, NOISE).is_faulty


def test_judge_pair__what_was_known__is_kept_where_graver():
    noisy, clean, denoised = frames(14)
    before = Screening(exchanged=0.3, picture=1.7)
    seen = judge_pair(raw_pair(noisy, clean), denoised, NOISE, before)
    assert (seen.exchanged, seen.picture) == (0.3, 1.7)
    wrong = replace(raw_pair(noisy, clean), clean=raw_pair(noisy, scene(15)).clean)
    seen = judge_pair(wrong, denoised, NOISE)
    assert seen.fault is FAULTS["differs"]
    assert "something else" in seen.reason
