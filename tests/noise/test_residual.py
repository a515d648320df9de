"""Noise that was put in is the noise that is measured, within stated tolerances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skadl.noise.calibration import calibrate
from skadl.noise.noise_level import expected_noise, measured_noise, noise_level
from skadl.noise.residual import noise_of_pair, transfer_curve
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.noise.signal_bins import stable_order
from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.pair import RawPair

ROLES = ("noisy", "clean")
BLACK, WHITE = 64.0, 4095.0
# Gain in counts per electron and read noise in counts, by ISO.
TRUTH = {100: (0.25, 2.0), 400: (1.0, 4.0), 1600: (4.0, 8.0)}


def simulate(iso, seed, *, brightest=0.9, shift=0, ratio=1.0, side=64, offset=0.0):
    """A pair of tiles from 0.001 to `brightest` of saturation, in uint16 counts."""
    rng = np.random.default_rng([seed, iso])
    gain, read_noise = TRUTH[iso]
    span = np.log([0.001, brightest])
    tiles = np.exp(rng.uniform(*span, (side // 8, side // 8)))
    light = np.kron(tiles, np.ones((8, 8))) * (WHITE - BLACK)
    noisy = gain * rng.poisson(light / (gain * ratio)) + BLACK + offset
    noisy = noisy + read_noise * rng.standard_normal(light.shape)
    noisy = np.clip(np.rint(noisy), 0, WHITE).astype(np.uint16)
    clean = np.minimum(np.roll(light, shift, axis=(0, 1)) + BLACK, WHITE)
    facts = ("RGGB", BLACK, WHITE, "S", iso)
    return RawPair(RawImage(noisy, *facts, ratio), RawImage(clean, *facts))


def simulate_all(n_pairs, **facts):
    return [simulate(iso, seed, **facts) for iso in TRUTH for seed in range(n_pairs)]


def fit_pairs(pairs):
    curves = {"S": [transfer_curve(pair) for pair in pairs]}
    return calibrate(SensorTable.from_pairs(pairs), curves).get("S")


def assert_recovered(fit, gain_tolerance, read_tolerance):
    for iso, (gain, read_noise) in TRUTH.items():
        found_gain, found_variance = fit.noise_at(iso)
        assert found_gain == pytest.approx(gain, rel=gain_tolerance)
        assert found_variance**0.5 == pytest.approx(read_noise, rel=read_tolerance)


# Known answers


@pytest.mark.parametrize("ratio", [1.0, 10.0])
def test_calibrate__three_isos__recovers_gain_and_read_noise(ratio):
    # Quantisation adds 1/12 to the variance: 2 % of the smallest read noise.
    assert_recovered(fit_pairs(simulate_all(3, ratio=ratio)), 0.07, 0.07)


def test_calibrate__a_quarter_misaligned__still_recovers():
    shifted = [simulate(iso, 9, shift=6) for iso in TRUTH]
    assert_recovered(fit_pairs(simulate_all(3) + shifted), 0.25, 0.15)


def test_calibrate__misaligned_pairs__pull_less_than_their_share():
    honest = simulate_all(3)
    shifted = [simulate(iso, 9, shift=6) for iso in TRUTH]
    harmed, alone = fit_pairs(honest + shifted), fit_pairs(shifted)
    for iso, (gain, _) in TRUTH.items():
        assert alone.noise_at(iso)[0] > 4 * gain  # so the quarter did mean harm
        assert harmed.noise_at(iso)[0] < 1.25 * gain


@pytest.mark.parametrize("ratio", [1.0, 10.0])
def test_calibrate__many_clipped_pixels__still_recovers(ratio):
    # At ratio 10 the clean frame is clipped where the noisy one is not.
    pairs = simulate_all(3, brightest=8.0, ratio=ratio)
    assert np.mean([pair.clean.mosaic == WHITE for pair in pairs]) > 0.15
    assert_recovered(fit_pairs(pairs), 0.07, 0.1)


def test_calibrate__hot_pixels__are_left_out():
    pairs = simulate_all(3)
    for pair in pairs:
        pair.noisy.mosaic[5::16, 7::16] = 3900
    assert_recovered(fit_pairs(pairs), 0.07, 0.07)


def test_calibrate__wrong_black_level__is_not_noise():
    pairs = simulate_all(3, offset=12.0)
    assert_recovered(fit_pairs(pairs), 0.07, 0.07)


def test_calibrate__two_pairs_of_one_iso__determine_that_iso():
    gain, read_variance = fit_pairs([simulate(400, 0), simulate(400, 1)]).noise_at(400)
    assert gain == pytest.approx(1.0, rel=0.1)
    assert read_variance**0.5 == pytest.approx(4.0, rel=0.1)


# Units and symmetries


@settings(max_examples=10)
@given(st.floats(1e-5, 1e3), st.sampled_from([1.0, 10.0]))
def test_calibrate__floats_in_other_units__scale_with_them(unit, ratio):
    pairs = [simulate(400, seed, ratio=ratio) for seed in range(2)]
    gain, read_variance = fit_pairs(pairs).noise_at(400)

    def scaled(image):
        levels = (unit * BLACK, unit * WHITE)
        facts = ("RGGB", *levels, "S", image.iso, image.ratio)
        return RawImage(unit * image.mosaic.astype(np.float64), *facts)

    fit = fit_pairs([RawPair(scaled(p.noisy), scaled(p.clean)) for p in pairs])
    scaled_gain, scaled_variance = fit.noise_at(400)
    assert scaled_gain / unit == pytest.approx(gain, rel=0.02)
    assert scaled_variance / unit**2 == pytest.approx(read_variance, rel=0.02)


def test_calibrate__order_of_the_pairs__does_not_matter():
    pairs = simulate_all(2)
    forward, backward = fit_pairs(pairs), fit_pairs(pairs[::-1])
    for iso in TRUTH:
        assert forward.noise_at(iso) == pytest.approx(backward.noise_at(iso), rel=1e-3)


@settings(max_examples=10)
@given(st.sampled_from([np.uint16, np.float32]), st.integers(1, 4095))
def test_calibrate__noiseless_flat_frame__is_finite_and_positive(dtype, level):
    image = RawImage(np.full((16, 16), level, dtype), "RGGB", 64, 5000, "S", 100)
    gain, read_variance = fit_pairs([RawPair(image, image)]).noise_at(100)
    assert 0 < gain < np.inf and 0 < read_variance < np.inf


# Curves


def test_transfer_curve__bins__follow_eq_3():
    curve = transfer_curve(simulate(400, 0, side=128))
    expected = 1.0 * curve.signal + 4.0**2
    assert np.all(np.diff(curve.signal) >= 0)
    # 1024 pixels a bin: the variance itself is known to 4.4 %.
    np.testing.assert_allclose(curve.variance, expected, rtol=0.2)
    assert curve.whiteness == pytest.approx(1, abs=0.05)


def test_transfer_curve__lazy_pair__reads_each_file_once():
    reads = []

    def read(path):
        reads.append(path.name)
        return getattr(simulate(400, 0), path.name)

    lazy = RawPair(LazyRawImage("noisy", read), LazyRawImage("clean", read))
    curve = transfer_curve(lazy)
    assert sorted(reads) == ["clean", "noisy"]
    expected = transfer_curve(simulate(400, 0))
    np.testing.assert_array_equal(curve.variance, expected.variance)


# Twice the side of what is measured of a large frame, so the middle looks fine.
@pytest.mark.parametrize("side", [32, 2048])
def test_transfer_curve__shapes_differ__are_both_named(side):
    facts = ("RGGB", 64, 4095, "S", 100)
    noisy = RawImage(np.full((side, side), 99, np.uint16), *facts)
    short = RawImage(np.full((side, side - 4), 99, np.uint16), *facts)
    with pytest.raises(ValueError, match=rf"{side // 2}.* and .*{side // 2 - 2}.*size"):
        transfer_curve(RawPair(noisy, short))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("role", ["noisy", "clean"])
def test_transfer_curve__not_finite_in_a_far_corner__is_refused(bad, role):
    mosaics = {name: np.full((1200, 1200), 99, np.float32) for name in ROLES}
    mosaics[role][0, 0] = bad
    facts = ("RGGB", 64, 4095, "S", 100)
    images = {name: RawImage(mosaics[name], *facts) for name in ROLES}
    with pytest.raises(ValueError, match="holds NaN or infinity; repair or leave out"):
        transfer_curve(RawPair(**images))


@pytest.mark.parametrize("iso", TRUTH)
def test_transfer_curve__whiteness__tells_noise_from_a_picture(iso):
    honest = [transfer_curve(simulate(iso, seed)).whiteness for seed in range(4)]
    moved = [transfer_curve(simulate(iso, s, shift=4)).whiteness for s in range(4)]
    assert min(honest) > 0.95 > 0.9 > max(moved)


def test_transfer_curve__row_noise__is_white():
    pair = simulate(400, 0, side=128)
    rows = np.random.default_rng(0).normal(0, 4, (128, 1))
    noisy = (pair.noisy.mosaic + np.rint(rows)).astype(np.uint16)
    curve = transfer_curve(RawPair(pair.noisy.with_mosaic(noisy), pair.clean))
    assert curve.whiteness > 0.95


def test_transfer_curve__black_subtracted_floats__keep_their_negatives():
    rng = np.random.default_rng(0)
    noisy = RawImage(rng.normal(0, 3, (64, 64)), "RGGB", 0, 1000, "S", 100)
    curve = transfer_curve(RawPair(noisy, noisy.with_mosaic(np.zeros((64, 64)))))
    assert curve.variance.mean() == pytest.approx(9, rel=0.1)


def test_transfer_curve__saturated_pair__has_no_bins():
    image = RawImage(np.full((32, 32), 4095.0), "RGGB", 64, 4095, "S", 100)
    curve = transfer_curve(RawPair(image, image))
    assert curve.signal.shape == curve.variance.shape == (0,)
    assert noise_of_pair(curve, 2.0, 9.0) == (2.0, 9.0)


def test_calibrate__one_saturated_pair_of_many__changes_nothing():
    image = RawImage(np.full((32, 32), 4095.0), "RGGB", 64, 4095, "S", 100)
    pairs = simulate_all(1)
    fit, with_saturated = fit_pairs(pairs), fit_pairs([*pairs, RawPair(image, image)])
    for iso in TRUTH:
        assert with_saturated.noise_at(iso) == fit.noise_at(iso)


def test_noise_of_pair__belief__fills_in_what_a_dark_frame_does_not_show():
    dark = transfer_curve(simulate(400, 0, brightest=0.00101))
    gain, read_variance = noise_of_pair(dark, 1.0, 40.0**2)
    assert gain == pytest.approx(1.0, rel=0.5)
    assert read_variance**0.5 == pytest.approx(4.0, rel=0.3)


def test_noise_of_pair__wrong_belief__the_pair_has_the_last_word():
    curve = transfer_curve(simulate(400, 0, side=256))
    gain, read_variance = noise_of_pair(curve, 16.0, 64.0**2)
    assert gain == pytest.approx(1.0, rel=0.15)
    assert read_variance**0.5 == pytest.approx(4.0, rel=0.3)


# Calibration of a table of sensors


def table(**noise):
    return SensorTable({"S": SensorInfo("RGGB", BLACK, WHITE, **noise)})


def test_calibrate__unknown_sensor__knows_its_noise_at_its_isos():
    curves = {"S": [transfer_curve(pair) for pair in simulate_all(3)]}
    info = calibrate(table(), curves).get("S")
    assert list(info.gain) == list(TRUTH)
    for iso, (gain, read_noise) in TRUTH.items():
        assert info.noise_at(iso) == pytest.approx((gain, read_noise**2), rel=0.2)


def test_calibrate__given_noise__is_believed():
    given_noise = dict(gain={100: 7.0}, read_noise={100: 3.0})
    curves = {"S": [transfer_curve(simulate(400, 0))]}
    info = calibrate(table(**given_noise), curves).get("S")
    assert info.noise_at(100) == pytest.approx((7.0, 9.0))


def test_calibrate__only_saturated_pairs__says_what_to_do():
    image = RawImage(np.full((32, 32), 4095.0), "RGGB", 64, 4095, "S", 100)
    curves = {"S": [transfer_curve(RawPair(image, image))]}
    with pytest.raises(ValueError, match="'S' has enough unclipped pixels.*SensorInfo"):
        calibrate(table(), curves)


@pytest.mark.parametrize("label", [0.25, 4.0])
def test_measured_noise__wrong_iso_label__is_overruled_by_the_residual(label):
    info = SensorInfo(
        "RGGB", BLACK, WHITE, gain={400 * label: 1.0}, read_noise={400 * label: 4.0}
    )
    pair = simulate(400, 0)  # the table says 4 or 1/4 times the noise at ISO 400
    told = expected_noise(info, 400, 1.0)
    shown = measured_noise(pair, transfer_curve(pair), info)
    truth = noise_level(1.0, 16.0, 1.0, WHITE - BLACK)
    assert abs(np.log(told.shot / truth.shot)) > 1
    assert shown.shot == pytest.approx(truth.shot, rel=0.2)


def test_measured_noise__saturated_pair__falls_back_on_the_sensor():
    info = SensorInfo("RGGB", BLACK, WHITE, gain={100: 0.25}, read_noise={100: 2.0})
    image = RawImage(np.full((32, 32), 4095.0), "RGGB", BLACK, WHITE, "S", 100)
    pair = RawPair(image, image)
    shown = measured_noise(pair, transfer_curve(pair), info)
    expected = expected_noise(info, 100, 1.0)
    assert (shown.shot, shown.read) == pytest.approx((expected.shot, expected.read))


@given(
    hnp.arrays(
        np.float32,
        st.integers(0, 40),
        elements=st.sampled_from([-3.5, -1e-30, -0.0, 0.0, 1e-30, 2.0, 1e9]),
    )
)
def test_stable_order__is_that_of_a_stable_sort(values):
    expected = np.argsort(values, kind="stable")
    np.testing.assert_array_equal(stable_order(values), expected)
