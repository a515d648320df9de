"""Clean frames with noise of their own: it is found, and the noisy frame's is told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from skadl import RawImage, RawPair, calibrate_sensor
from skadl.noise.frame_differences import noise_samples
from skadl.noise.residual import measure_residual

BLACK, WHITE, GAIN, READ, SIDE = 100.0, 4095.0, 0.5, 3.0, 192
FACTS = dict(cfa="RGGB", black_level=BLACK, white_level=WHITE, sensor="S", iso=400.0)


def texture(seed, contrast=0.2):
    """Light in counts: paper of fine structure, and dark disks on it."""
    rng = np.random.default_rng(seed)
    fine = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1.5)
    paper = 600 * (1 + contrast * fine / fine.std())
    disks = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 12) > 0.03
    return np.where(disks, 0.1 * paper, paper).clip(5)


def expose(light, seed, n_frames=1, exposure=1.0):
    """Mean of frames, as floats above black at the exposure of the light."""
    rng = np.random.default_rng(seed)
    frames = [
        GAIN * rng.poisson(exposure * light / GAIN) + rng.normal(0, READ, light.shape)
        for _ in range(n_frames)
    ]
    return np.mean(frames, axis=0) / exposure


def pair_of(light, seed, n_clean, exposure=1.0, scene=None):
    noisy = np.rint(exposure * expose(light, seed, exposure=exposure) + BLACK)
    clean = exposure * expose(light, seed + 1000, n_clean) + BLACK
    return RawPair(
        RawImage(noisy.clip(0, WHITE).astype(np.uint16), **FACTS),
        RawImage(clean.astype(np.float32), **FACTS),
        scene,
    )


def measure(pairs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        info = calibrate_sensor(pairs)
    return info.gain[400], info.read_noise[400]


@pytest.mark.parametrize("contrast", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("n_clean", [2, 4, 16])
def test_clean_shares__means_of_few__are_their_part_of_the_variance(contrast, n_clean):
    # On paper without structure bins of signal are bins of the noise itself, and the
    # residual within them holds less of it: see how it is used, below.
    light = texture(0, contrast)
    pairs = [pair_of(light, seed, n_clean) for seed in range(3)]
    shares = [measure_residual(pair).clean_shares[0] for pair in pairs]
    assert np.mean(shares) == pytest.approx(1 / (n_clean + 1), abs=0.025)


def test_clean_shares__no_noise_in_the_clean_frame__next_to_nothing():
    light = texture(1, 0.1)
    truth = (light + BLACK).astype(np.float32)
    noisy = [pair_of(light, seed, 1).noisy for seed in range(4)]
    found = [
        measure_residual(RawPair(one, one.with_mosaic(truth))).clean_shares
        for one in noisy
    ]
    assert np.mean([whole for whole, _ in found]) < 0.01
    assert np.mean([by_bin for _, by_bin in found]) < 0.02


def test_clean_shares__longer_exposures_burnt_out__are_larger_where_it_is_bright():
    light = texture(2, 0.05)
    dark = light < 300
    few, many = expose(light, 5, 2), expose(light, 6, 30)
    noisy = pair_of(light, 7, 1).noisy
    clean = noisy.with_mosaic((np.where(dark, many, few) + BLACK).astype(np.float32))
    measured = measure_residual(RawPair(noisy, clean))
    signal = np.array([measured.signal.flat[pixels].mean() for pixels in measured.bins])
    shares = measured.clean_shares[1]
    assert np.median(shares[signal > 400]) == pytest.approx(1 / 3, abs=0.08)
    assert np.median(shares[signal < 100]) < 0.08


@pytest.mark.parametrize("n_clean", [2, 4])
def test_transfer_curve__noisy_clean_frame_of_fine_structure__is_the_noisy_frames(
    n_clean,
):
    light = texture(3)
    ratios = []
    for seed in range(3):
        curve = measure_residual(pair_of(light, seed, n_clean)).curve
        ratios.append(np.median(curve.variance / (GAIN * curve.signal + READ**2)))
    # As it was before the clean frame's part was taken off: 1 + 1 / n_clean.
    assert np.mean(ratios) == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("exposures", [(1, 1), (1, 2), (0.5, 1, 1, 0.6)])
def test_calibrate_sensor__frames_of_one_scene__noise_of_their_differences(exposures):
    light = texture(4)
    pairs = [
        pair_of(light, seed, 3, exposure, scene="paper")
        for seed, exposure in enumerate(exposures)
    ]
    samples = noise_samples(pairs, [measure_residual(pair) for pair in pairs])
    assert len(samples) == len(pairs) - 1
    assert all(len(sample.pairs) == 2 for sample in samples)
    gain, read_noise = measure(pairs)
    assert gain == pytest.approx(GAIN, rel=0.03)
    assert read_noise == pytest.approx(READ, rel=0.1)


def test_noise_samples__what_is_not_one_scene__is_left_to_the_residuals():
    light = texture(5)
    sound = [pair_of(light, seed, 3, scene="a") for seed in range(2)]
    elsewhere = pair_of(texture(6), 2, 3, scene="a")  # not what its label says
    far = pair_of(light, 3, 3, 0.2, scene="a")  # of a fifth of the light
    other = pair_of(light, 4, 3, scene="b")
    clear = pair_of(light, 5, 200, scene="c")
    clear_too = pair_of(light, 6, 200, scene="c")
    copy = RawPair(sound[0].noisy, sound[1].clean, "d"), RawPair(*frames(sound[0]), "d")
    for pairs in (
        [sound[0], elsewhere],
        [sound[0], far],
        [sound[0], other],
        [RawPair(*frames(pair)) for pair in sound],
        [clear, clear_too],
        copy,
    ):
        samples = noise_samples(pairs, [measure_residual(pair) for pair in pairs])
        assert [sample.pairs for sample in samples] == [(0,), (1,)]


def frames(pair):
    return pair.noisy, pair.clean


def test_transfer_curve__coarse_counts_that_end_at_black__dark_ones_tell_nothing():
    # 8 bits from 12: noise below a count, so that half of the dark pixels is one count.
    rng = np.random.default_rng(0)
    light = np.kron(rng.uniform(0, 40, (12, 12)), np.ones((16, 16))) * 0.06
    light[:48] *= 20
    counts = 0.04 * rng.poisson(light / 0.04) + rng.normal(0, 0.3, light.shape)
    facts = FACTS | {"black_level": 0.0, "white_level": 255.0}
    noisy = RawImage(np.rint(counts).clip(0, 255).astype(np.uint16), **facts)
    curve = measure_residual(
        RawPair(noisy, noisy.with_mosaic(light.astype(np.float32)))
    ).curve
    ratio = curve.variance / (0.04 * curve.signal + 0.3**2 + 1 / 12)
    assert len(ratio) > 4 and ratio.max() < 1.35
