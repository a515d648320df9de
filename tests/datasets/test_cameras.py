"""Simulated cameras: published figures, their interpolation, one's own camera."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skadl import SensorInfo
from skadl.datasets import Camera, camera_info, camera_names, get_camera, make_domain
from skadl.noise.tukey_lambda import (
    draw_tukey_lambda,
    tukey_lambda_variance,
)
from skadl.raw.mosaic import CFA_PATTERNS

ELD_CAMERAS = ("SonyA7S2", "NikonD850", "CanonEOS5D4", "CanonEOS70D", "CanonEOS700D")


def own_camera(**changes):
    fields = dict(
        name="own",
        cfa="RGGB",
        black_level=64,
        white_level=1023,
        gain={100: 0.1, 1600: 1.6},
        read_scale={100: 1.0, 1600: 4.0},
    )
    return Camera(**{**fields, **changes})


def test_the_eld_cameras_a_phone_and_every_bayer_order_are_there():
    assert set(ELD_CAMERAS) < set(camera_names())
    assert "OppoReno10x" in camera_names()
    assert {get_camera(name).cfa for name in camera_names()} == set(CFA_PATTERNS)


@pytest.mark.parametrize("name", ELD_CAMERAS)
def test__gain__iso_doubled__doubles(name):
    camera = get_camera(name)
    for iso in (100, 250, 3200):
        assert camera.gain_at(2 * iso) == pytest.approx(2 * camera.gain_at(iso), 1e-4)


def test__gain__of_the_phone__follows_the_published_line():
    camera = get_camera("OppoReno10x")
    for iso in (100, 400, 6400):
        published = 0.0005995267 * iso + 0.00868861
        assert camera.gain_at(iso) == pytest.approx(published, rel=1e-3)


def test__noise_at__phone__is_the_published_total_variance():
    _, variance = get_camera("OppoReno10x").noise_at(1600)
    assert variance == pytest.approx(2.979, rel=1e-3)


def test__noise_at__eld_camera__is_the_published_log_linear_fit():
    # Table of Wei et al.'s release for the A7S2; ISO 1600 has lambda -3/35.
    log_gain = np.log(0.0939161 * 16)
    scale = np.exp(0.4621050 * log_gain + 0.5657147)
    row = np.exp(0.5275360 * log_gain - 0.5917003)
    expected = stats.tukeylambda.var(-3 / 35) * scale**2 + row**2 + 1 / 12
    gain, variance = get_camera("SonyA7S2").noise_at(1600)
    assert gain == pytest.approx(np.exp(log_gain), rel=1e-4)
    assert variance == pytest.approx(expected, rel=1e-4)


def test__gain__a7s2__agrees_with_a_second_calibration():
    # Feng et al. (PMN) measured the same camera body model independently.
    camera = get_camera("SonyA7S2")
    for iso, gain in ((100, 0.09563), (800, 0.76504), (6400, 6.12032)):
        assert camera.gain_at(iso) == pytest.approx(gain, rel=0.03)


@pytest.mark.parametrize("name", camera_names())
def test__noise_at__whole_range__is_finite_and_grows(name):
    camera = get_camera(name)
    noise = [camera.noise_at(iso) for iso in np.geomspace(*camera.iso_range, 30)]
    assert np.isfinite(noise).all()
    assert (np.diff(noise, axis=0) > 0).all()
    # Black level leaves room for the noise: clipping at 0 would bias the shadows.
    assert camera.black_level > 4 * noise[-1][1] ** 0.5


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(camera_names()), st.floats(0, 1))
def test__camera_info__any_iso__is_the_oracle(name, where):
    camera = get_camera(name)
    low, high = camera.iso_range
    iso = float(np.clip(low * (high / low) ** where, low, high))
    info = camera_info(name)
    assert isinstance(info, SensorInfo)
    assert info.cfa == camera.cfa
    assert (info.black_level, info.white_level) == (
        camera.black_level,
        camera.white_level,
    )
    np.testing.assert_allclose(info.noise_at(iso), camera.noise_at(iso), rtol=0.01)


def test__colour_bias__between_isos__is_interpolated_in_log_iso():
    camera = own_camera(colour_bias={100: (0, 0, 0, 4), 400: (2, 0, 0, 0)})
    np.testing.assert_allclose(camera.colour_bias_at(200), (1, 0, 0, 2))
    np.testing.assert_allclose(camera.colour_bias_at(1600), (2, 0, 0, 0))


def test__get_camera__unknown_name__lists_the_known():
    with pytest.raises(ValueError, match="SonyA7S2"):
        get_camera("IMX600")
    with pytest.raises(TypeError, match="name"):
        get_camera(7)


def test__noise_at__iso_out_of_range__says_the_range():
    with pytest.raises(ValueError, match="100 to 6400"):
        get_camera("NikonD850").noise_at(12800)


def test__own_camera__needs_no_registration():
    camera = own_camera()
    assert get_camera(camera) is camera
    (pair,) = make_domain(camera, 1, size=16, random_state=0)
    assert pair.sensor == "own"
    assert pair.noisy.cfa == "RGGB"
    assert camera_info(camera).noise_at(400)[0] == pytest.approx(0.4)


def test__own_camera__one_known_iso__serves_that_iso():
    camera = own_camera(gain={800: 1.0}, read_scale={800: 2.0})
    assert camera.noise_at(800) == pytest.approx((1.0, 4 + 1 / 12))
    assert camera_info(camera).noise_at(800)[0] == pytest.approx(1.0)
    (pair,) = make_domain(camera, 1, size=16, random_state=0)
    assert pair.iso == 800


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name"),
        ({"cfa": "RGBG"}, "Bayer"),
        ({"black_level": 2000}, "levels"),
        ({"white_level": 70000}, "65535"),
        ({"gain": {}}, "gain"),
        ({"gain": {100: 0.0}}, "gain"),
        ({"gain": {-100: 1.0}}, "ISO"),
        ({"read_scale": {100: np.nan}}, "read_scale"),
        ({"read_shape": {100: -0.5}}, "read_shape"),
        ({"row_noise": 0.1}, "row_noise"),
        ({"colour_bias": {100: (1, 2, 3)}}, "colour_bias"),
        ({"white_balance": (1, 2)}, "white_balance"),
        ({"white_balance": (1, 0, 1)}, "white_balance"),
        ({"ratios": ()}, "ratios"),
    ],
)
def test__own_camera__bad_field__is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        own_camera(**changes)


def test__camera__pickled__keeps_its_noise():
    camera = get_camera("CanonEOS5D4")
    assert pickle.loads(pickle.dumps(camera)).noise_at(500) == camera.noise_at(500)


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.4, 2))
def test__tukey_lambda_variance__agrees_with_scipy(shape):
    assert tukey_lambda_variance(shape) == pytest.approx(
        float(stats.tukeylambda.var(shape)), rel=1e-3
    )


@pytest.mark.parametrize("shape", [-0.25, -1e-9, 0.0, 0.14, 1.0])
def test__draw_tukey_lambda__follows_the_distribution(shape):
    draws = draw_tukey_lambda(shape, (200, 200), np.random.default_rng(0)).ravel()
    levels = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    below = (draws[:, None] < stats.tukeylambda.ppf(levels, shape)).mean(axis=0)
    error = np.sqrt(levels * (1 - levels) / draws.size)
    assert (np.abs(below - levels) < 4 * error).all()


def test__tukey_lambda_variance__infinite__is_refused():
    with pytest.raises(ValueError, match="-0.5"):
        tukey_lambda_variance(-0.5)
