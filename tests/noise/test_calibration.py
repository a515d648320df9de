"""A sensor measured on a few pairs: right where it says so, and open about the rest."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skadl import RawImage, RawPair, SensorTable, calibrate_sensor
from skadl.datasets import camera_names, get_camera, make_domain
from skadl.noise.calibration import calibrate
from skadl.noise.photon_transfer import fit_transfer
from skadl.noise.residual import transfer_curve

CAMERAS = ("SonyA7S2", "NikonD850", "CanonEOS70D", "IMX686", "OppoReno10x")
DETERMINED = {"gain": 0.1, "read_noise": 0.2}  # relative error without a note


def measure(pairs):
    """Calibrate where what the notes say is not the point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return calibrate_sensor(pairs)


def errors(info, camera):
    """Logarithmic error and its stated standard error, of gain and of read noise."""
    truth = {iso: get_camera(camera).noise_at(iso) for iso in info.gain}
    for iso, (gain, read_variance) in truth.items():
        yield "gain", np.log(info.gain[iso] / gain), info.gain_error[iso]
        read = np.log(info.read_noise[iso] / read_variance**0.5)
        yield "read_noise", read, info.read_noise_error[iso]


def flat(level, side=128):
    return [np.full((side, side, 3), level)]


def bright(side=128):
    return [np.kron(np.linspace(0.4, 0.9, 64).reshape(8, 8, 1), np.ones((16, 16, 3)))]


def relabelled(pair, **facts):
    return replace(pair, noisy=replace(pair.noisy, **facts))


def with_clean(pair, mosaic):
    return replace(pair, clean=pair.clean.with_mosaic(mosaic.astype(np.float32)))


# Accuracy on cameras whose noise is known


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("seed", [0, 1])
def test_calibrate_sensor__six_pairs__gain_within_5_and_read_noise_within_10_percent(
    camera, seed
):
    info = measure(make_domain(camera, 6, size=256, random_state=seed))
    limits = {"gain": 0.05, "read_noise": 0.1}
    n_determined = 0
    for figure, error, stated in errors(info, camera):
        if stated < DETERMINED[figure]:
            assert abs(error) < limits[figure]
            n_determined += 1
    assert n_determined >= 10  # of twelve


@pytest.mark.parametrize("size", [64, 128])
def test_calibrate_sensor__two_pairs__truth_lies_within_three_standard_errors(size):
    inside = [
        abs(error) < 3 * stated
        for camera in camera_names()
        for seed in range(10)
        for _, error, stated in errors(
            measure(make_domain(camera, 2, size=size, random_state=seed)), camera
        )
    ]
    assert len(inside) > 300
    assert np.mean(inside) >= 0.95


def test_calibrate_sensor__stated_errors__are_not_mere_caution():
    info = measure(
        make_domain("SonyA7S2", 6, size=256, iso=[100, 800, 6400] * 2, random_state=0)
    )
    assert max(info.gain_error.values()) < 0.05
    few = measure(make_domain("SonyA7S2", 2, size=64, iso=[100, 6400], random_state=0))
    assert max(few.gain_error.values()) > max(info.gain_error.values())


def test_calibrate_sensor__row_noise_and_black_offset__are_those_of_the_camera():
    camera = get_camera("CanonEOS5D4")
    dark = flat(0.01, 256)
    pairs = make_domain(camera, 3, size=256, iso=1600, scenes=dark, random_state=0)
    info = measure(pairs)
    assert info.row_noise[1600] == pytest.approx(camera.row_noise_at(1600), rel=0.15)
    np.testing.assert_allclose(
        info.offset_at(1600), camera.colour_bias_at(1600), atol=0.3
    )
    assert info.cfa == camera.cfa and info.span == 16383 - 512
    assert info.iso_range is None  # no model was fitted on it


def test_calibrate_sensor__heavy_tailed_read_noise__counts_its_tails():
    # Cut at five robust deviations, it would come out 18 % too low.
    camera, black = "NikonD850", flat(1e-5, 256)
    info = measure(
        make_domain(camera, 6, size=256, iso=1600, scenes=black, random_state=0)
    )
    _, read_variance = get_camera(camera).noise_at(1600)
    assert info.read_noise[1600] == pytest.approx(read_variance**0.5, rel=0.06)


# Pairs that mislead


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pair, other: with_clean(pair, np.roll(pair.clean.mosaic, 6, (0, 1))),
        lambda pair, other: RawPair(pair.noisy, other.clean),
        lambda pair, other: with_clean(pair, np.full((256, 256), 400)),
    ],
    ids=["misaligned", "another scene", "black"],
)
def test_calibrate_sensor__wrong_clean_frame__is_left_out_and_named(spoil):
    pairs = make_domain("NikonD850", 6, size=256, ratio=10, random_state=0)
    honest = measure(pairs[1:])
    pairs[0] = spoil(pairs[0], pairs[1])
    with pytest.warns(UserWarning, match="1 of 6 pairs left out, whose residual shows"):
        info = calibrate_sensor(pairs)
    assert f"(pairs[0] at ISO {pairs[0].iso:g})" in info.notes[0]
    assert info.gain == honest.gain and info.read_noise == honest.read_noise


@pytest.mark.parametrize("camera", CAMERAS)
def test_calibrate_sensor__wrong_iso_label__is_left_out_and_named(camera):
    isos = [800, 1600, 3200, 6400, 1600, 3200]
    pairs = make_domain(camera, 6, size=256, iso=isos, ratio=2, random_state=0)
    pairs[3] = relabelled(pairs[3], iso=800)
    with pytest.warns(UserWarning, match="1 of 6 pairs left out, with more or less"):
        info = calibrate_sensor(pairs)
    assert (
        "(pairs[3] at ISO 800)" in info.notes[0] and "Check their ISO" in info.notes[0]
    )
    for figure, error, _ in errors(info, camera):
        assert abs(error) < {"gain": 0.1, "read_noise": 0.2}[figure]


def test_calibrate_sensor__two_pairs_that_disagree__say_so_and_widen_the_error():
    pairs = make_domain(
        "SonyA7S2", 2, size=256, iso=[400, 6400], ratio=1, random_state=0
    )
    agreed = measure(pairs)
    with pytest.warns(UserWarning, match="disagree by a factor of .* add another pair"):
        info = calibrate_sensor([pairs[0], relabelled(pairs[1], iso=400)])
    assert info.gain_error[400] > 0.5 > 10 * agreed.gain_error[400]


def test_calibrate_sensor__clipped_pixels_and_a_clipped_pair__change_little():
    camera = "SonyA7S2"
    ramp = [np.linspace(0, 3, 128 * 128).reshape(128, 128, 1).repeat(3, 2).clip(0, 1)]
    pairs = make_domain(
        camera, 4, size=128, iso=[400, 1600] * 2, ratio=1, scenes=ramp, random_state=0
    )
    white = pairs[0].noisy.with_mosaic(np.full((128, 128), 16383, np.uint16))
    with pytest.warns(UserWarning, match="1 of 5 pairs left out, clipped nearly"):
        info = calibrate_sensor([RawPair(white, white), *pairs])
    for figure, error, stated in errors(info, camera):
        assert figure == "read_noise" or abs(error) < 0.05
        assert abs(error) < 3 * stated


def test_calibrate_sensor__nothing_but_wrong_pairs__still_answers_and_warns():
    pairs = make_domain("NikonD850", 2, size=128, ratio=10, random_state=0)
    first, second = pairs
    swapped = [RawPair(first.noisy, second.clean), RawPair(second.noisy, first.clean)]
    with pytest.warns(UserWarning, match="Every residual shows a picture"):
        info = calibrate_sensor(swapped)
    assert all(np.isfinite(value) for value in info.gain.values())
    assert info.black_offset is None  # a picture tells nothing of black


# What the pairs leave open


def test_calibrate_sensor__one_iso__says_that_the_rest_is_assumed():
    pairs = make_domain("SonyA7S2", 3, size=256, iso=800, ratio=30, random_state=0)
    with pytest.warns(UserWarning, match="All pairs used are at ISO 800; .*lowest ISO"):
        info = calibrate_sensor(pairs)
    assert len(info.notes) == 1


def test_calibrate_sensor__all_dark__says_that_the_gain_is_open():
    pairs = make_domain(
        "NikonD850", 2, size=128, iso=[800, 3200], ratio=1, scenes=flat(1e-5)
    )
    with pytest.warns(UserWarning, match="Gain at ISO 800, 3200 is not determined"):
        info = calibrate_sensor(pairs)
    assert min(info.gain_error.values()) > 0.5
    assert max(info.read_noise_error.values()) < 0.2
    assert "Add a pair at ISO" in info.notes[0] and "bright" in info.notes[0]


def test_calibrate_sensor__no_dark_pixel__says_that_the_read_noise_is_open():
    pairs = make_domain(
        "NikonD850", 2, size=128, iso=[100, 3200], ratio=1, scenes=bright()
    )
    with pytest.warns(UserWarning, match="Read noise at ISO 100, 3200 is .* lens cap"):
        info = calibrate_sensor(pairs)
    assert min(info.read_noise_error.values()) > 0.2
    assert max(info.gain_error.values()) < 0.1


def test_calibrate_sensor__enough_of_everything__has_nothing_to_say():
    isos = [100, 800, 6400] * 2
    pairs = make_domain("CanonEOS5D4", 6, size=256, iso=isos, ratio=30, random_state=0)
    assert calibrate_sensor(pairs).notes == ()


# Symmetries


def test_calibrate_sensor__order_of_the_pairs__does_not_matter():
    pairs = make_domain("OppoReno10x", 4, size=64, random_state=0)
    forward, backward = measure(pairs), measure(pairs[::-1])
    for figure in ("gain", "read_noise", "gain_error", "read_noise_error"):
        other = getattr(backward, figure)
        assert getattr(forward, figure) == pytest.approx(dict(other), rel=1e-3)


@settings(max_examples=8)
@given(st.floats(1e-5, 1e3))
def test_calibrate_sensor__floats_in_other_units__scale_with_them(unit):
    pairs = make_domain("NikonD850", 3, size=64, iso=[100, 800, 800], random_state=0)

    def scaled(image, unit):
        levels = (unit * image.black_level, unit * image.white_level)
        facts = (image.cfa, *levels, "S", image.iso, image.ratio)
        return RawImage(unit * image.mosaic.astype(np.float64), *facts)

    one, other = (
        measure([RawPair(scaled(p.noisy, u), scaled(p.clean, u)) for p in pairs])
        for u in (1.0, unit)
    )
    for figure, power in (("gain", 1), ("read_noise", 1), ("gain_error", 0)):
        expected = {k: v * unit**power for k, v in getattr(one, figure).items()}
        assert getattr(other, figure) == pytest.approx(expected, rel=0.02)


# The door, and where the result goes


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([], ValueError, "got 0 pairs of none"),
        ([1], TypeError, "pairs must hold RawPair"),
        ("pairs", TypeError, "pairs must be a sequence"),
        (None, TypeError, "pairs must be a sequence"),
    ],
)
def test_calibrate_sensor__no_pairs__says_what_was_got(pairs, error, message):
    with pytest.raises(error, match=message):
        calibrate_sensor(pairs)


def test_calibrate_sensor__two_sensors__are_named():
    pairs = [make_domain(name, 1, size=32, random_state=0)[0] for name in CAMERAS[:2]]
    with pytest.raises(ValueError, match=r"\['SonyA7S2', 'NikonD850'\]; call it once"):
        calibrate_sensor(pairs)


def test_calibrate_sensor__all_clipped__says_what_to_do():
    image = RawImage(np.full((32, 32), 1023.0), "RGGB", 64, 1023, "S", 100)
    with pytest.raises(ValueError, match="sensor 'S' has enough unclipped pixels"):
        calibrate_sensor([RawPair(image, image)] * 2)


def test_calibrate_sensor__pickled__is_the_same():
    info = measure(make_domain("SonyA7S2", 2, size=32, random_state=0))
    copy = pickle.loads(pickle.dumps(info))
    for name, value in vars(info).items():
        assert getattr(copy, name) == value


def test_calibrate__in_a_fit__is_the_same_measurement():
    pairs = make_domain("SonyA7S2", 3, size=64, random_state=0)
    table = SensorTable.from_pairs(pairs)
    curves = {"SonyA7S2": [transfer_curve(pair) for pair in pairs]}
    fitted, alone = calibrate(table, curves).get("SonyA7S2"), measure(pairs)
    assert replace(fitted, iso_range=None).__dict__ == alone.__dict__


def test_calibrate__noise_given__is_kept_and_needs_no_notes():
    pairs = make_domain("SonyA7S2", 2, size=64, iso=800, random_state=0)
    table = SensorTable.from_pairs(pairs)
    known = replace(table.get("SonyA7S2"), gain={800: 1.5}, read_noise={800: 3.0})
    curves = {"SonyA7S2": [transfer_curve(pair) for pair in pairs]}
    info = calibrate(table.updated({"SonyA7S2": known}), curves).get("SonyA7S2")
    assert info.noise_at(800) == pytest.approx((1.5, 9.0))
    assert info.gain_error is None and info.notes == ()
    assert info.black_offset is not None and info.row_noise is not None


def test_fit_transfer__many_isos__follow_a_sensor_that_leaves_the_power_law():
    # A second conversion gain from ISO 800 on: read noise falls to a third there.
    isos = [100, 200, 400, 800, 1600, 3200]
    read = {iso: 12.0 * (iso / 800) ** 0.7 / (3 if iso >= 800 else 1) for iso in isos}
    camera = replace(
        get_camera("NikonD850"),
        gain={iso: 0.004 * iso for iso in isos},
        read_scale=read,
        read_shape=None,
        row_noise=None,
        colour_bias=None,
    )
    pairs = make_domain(camera, 6, size=128, iso=isos, ratio=30, random_state=0)
    fit, left_out = fit_transfer(
        [transfer_curve(pair) for pair in pairs], camera.info().span
    )
    assert left_out == {}
    np.testing.assert_allclose(fit.read_noise, list(read.values()), rtol=0.1)
    np.testing.assert_allclose(fit.gain, 0.004 * np.array(isos), rtol=0.06)
