"""Pairs of the night sky are judged between their stars; other scenes as ever."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from night import BLACK, GAIN, SKY, WHITE, field, light_of

from skadl import RawImage, RawPair, check_pairs
from skadl.datasets import make_domain
from skadl.noise.noise_level import noise_level
from skadl.noise.residual import measure_residual
from skadl.screening.screen import analyse_residual
from skadl.screening.sky import judged_on_sky, sky_between_stars
from skadl.screening.witness import judge_pair

SIDE, READ = 224, 8.0


def image(counts, ratio=1.0):
    return RawImage(counts, "RGGB", BLACK, WHITE, "sky", 100, ratio)


def expose(light, seed):
    rng = np.random.default_rng(seed)
    counts = GAIN * rng.poisson(light) + BLACK + rng.normal(0, READ, light.shape)
    return np.clip(np.rint(counts), 0, WHITE).astype(np.uint16)


def night_pair(seed=0, drift=(0.0, 0.0), n_frames=12, glow=1.0, clean=None):
    """A noisy frame whose stars are off those of its clean mean by a drift."""
    stars = field(SIDE, 12, seed)
    light = light_of(*stars, SIDE)
    if clean is None:
        frames = [expose(light, 100 * seed + k) for k in range(1, n_frames)]
        clean = np.mean(frames, axis=0).astype(np.float32)
    moved = light_of(stars[0] + np.array(drift), stars[1], SIDE) + (glow - 1) * SKY
    return RawPair(image(expose(moved, 100 * seed)), image(clean), scene=f"n{seed}")


def checked(bad):
    return check_pairs([bad]).pairs[0]


@pytest.mark.parametrize("drift", [(0, 0), (0.4, 0), (0.7, -0.7), (0, 1.2)])
def test_check_pairs__stars_drift_by_parts_of_a_pixel__is_good(drift):
    found = checked(night_pair(drift=drift))
    assert found.verdict == "good", found.findings


def test_check_pairs__stars_drift__is_stated_all_the_same():
    found = checked(night_pair(drift=(1.0, 0.0)))
    assert found.shift_rows == pytest.approx(1.0, abs=3 * found.shift_error)


@pytest.mark.parametrize("drift", [(6, 0), (20, -10)])
def test_check_pairs__stars_far_off__is_no_good_pair(drift):
    assert checked(night_pair(drift=drift)).verdict != "good"


def test_check_pairs__clean_frame_of_another_field__is_bad():
    other = night_pair(3).clean.mosaic
    assert checked(night_pair(0, clean=other)).verdict == "bad"


def test_check_pairs__half_the_light__is_no_good_pair():
    pair = night_pair()
    wrong = replace(pair, noisy=replace(pair.noisy, ratio=2.0))
    assert checked(wrong).verdict != "good"


def test_check_pairs__glow_of_the_sky_drifts__is_good():
    assert checked(night_pair(glow=1.04)).verdict == "good"


def test_check_pairs__hot_pixels_and_cosmic_rays__are_no_fault():
    pair = night_pair(drift=(0.4, 0.2))
    counts = pair.noisy.mosaic.copy()
    rng = np.random.default_rng(5)
    hot = rng.integers(0, SIDE, (60, 2))
    counts[tuple(hot.T)] = WHITE
    for row, column in rng.integers(20, SIDE - 20, (6, 2)):
        for step in range(7):  # a ray that runs at an angle
            counts[row + step, column + step // 2] += 9000
    found = checked(replace(pair, noisy=pair.noisy.with_mosaic(counts)))
    assert found.verdict == "good", found.findings


def test_check_pairs__satellite_trail__is_looked_at():
    pair = night_pair()
    counts = pair.noisy.mosaic.copy()
    for column in range(SIDE):
        row = 40 + column // 2
        counts[row : row + 3, column] += 900
    found = checked(replace(pair, noisy=pair.noisy.with_mosaic(counts)))
    assert "motion" in [finding.check for finding in found.findings]


def test_judge_pair__stars_drift__are_kept_and_far_ones_refused():
    noise = noise_level(GAIN, READ**2, 1.0, WHITE - BLACK)

    def judge(pair, drift):
        stars = field(SIDE, 12, 0)
        moved = light_of(stars[0] + np.array(drift), stars[1], SIDE)
        denoised = image(GAIN * moved + BLACK).normalised()
        return judge_pair(pair, denoised, noise, analyse_residual(pair).screening)

    assert not judge(night_pair(drift=(0.8, 0.6)), (0.8, 0.6)).is_faulty
    assert judge(night_pair(drift=(9, 4)), (9, 4)).is_faulty


def test_judged_on_sky__stars__are_left_out_and_noise_is_right():
    sky = judged_on_sky(measure_residual(night_pair(drift=(0.9, 0.5))))
    assert 0.7 < sky.known.mean() < 1
    variance = GAIN**2 * 0.825 * SKY + READ**2  # without that of the clean frame
    assert np.mean(sky.curve.variance) == pytest.approx(variance, rel=0.1)


@pytest.mark.parametrize("camera", ["SonyA7S2", "OppoReno10x"])
def test_judged_on_sky__textured_scenes__are_none(camera):
    pairs = make_domain(camera, 8, size=96, random_state=1)
    assert all(judged_on_sky(measure_residual(pair)) is None for pair in pairs)


@pytest.mark.parametrize("side", [8, 64])
def test_sky_between_stars__nothing_but_noise__is_none(side):
    rng = np.random.default_rng(0)
    noisy, clean = rng.normal(0, 1, (2, 4, side, side))
    assert sky_between_stars(noisy, clean / 5, np.ones((4, side, side))) is None
