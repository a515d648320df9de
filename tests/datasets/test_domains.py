"""Simulated pairs against the physics of the noise model, from flat scenes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from skadl.datasets import Camera, camera_names, get_camera, make_domain, make_scenes
from skadl.raw.mosaic import CFA_PATTERNS, pack_mosaic

SIDE = 256


def flat(level, side=SIDE):
    return np.full((side, side, 3), level, np.float32)


def shoot(camera, level, iso, *, ratio=1, seed=0, side=SIDE):
    """One pair of a flat grey scene."""
    (pair,) = make_domain(
        camera,
        1,
        size=side,
        iso=iso,
        ratio=ratio,
        scenes=[flat(level, side)],
        random_state=seed,
    )
    return pair


def gaussian_camera(**changes):
    fields = dict(
        name="plain",
        cfa="RGGB",
        black_level=64,
        white_level=1023,
        gain={100: 0.1, 1600: 1.6},
        read_scale={100: 0.6, 1600: 3.0},
    )
    return Camera(**{**fields, **changes})


@pytest.mark.parametrize("name", camera_names())
def test__variance__against_signal__is_a_line_of_slope_gain(name):
    camera = get_camera(name)
    iso = camera.iso_range[1]
    gain, read_variance = camera.noise_at(iso)
    signals, variances = [], []
    for seed, level in enumerate(np.linspace(0, 0.6, 6)):
        pair = shoot(camera, level, iso, ratio=2, seed=seed)
        for clean, noisy in zip(
            pair.clean.packed(), pair.noisy.packed().astype(float), strict=True
        ):
            signals.append((clean.mean() - camera.black_level) / 2)
            variances.append(noisy.var())
    signals, variances = np.array(signals), np.array(variances)
    expected = gain * signals + read_variance
    slope, intercept = np.polyfit(signals, variances, 1, w=1 / expected)
    assert slope == pytest.approx(gain, rel=0.03)
    # Row offsets are few, which widens the error of the intercept.
    assert intercept == pytest.approx(read_variance, rel=0.08)
    np.testing.assert_allclose(variances, expected, rtol=0.1)


@pytest.mark.parametrize("ratio", [1, 4])
def test__mean__is_black_plus_signal_over_ratio(ratio):
    pair = shoot("OppoReno10x", 0.4, 800, ratio=ratio)
    clean, noisy = pair.clean.packed(), pair.noisy.packed()
    assert (pair.ratio, pair.clean.ratio) == (ratio, 1)
    expected = (clean.mean(axis=(1, 2)) - 64) / ratio
    gain, read_variance = get_camera("OppoReno10x").noise_at(800)
    error = np.sqrt(gain * expected + read_variance) / (SIDE / 2)
    assert (np.abs(noisy.mean(axis=(1, 2)) - 64 - expected) < 4 * error).all()


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test__colour_bias__shifts_each_plane_by_its_own(cfa):
    bias = (3.25, -2.0, 1.5, 0.0)
    camera = gaussian_camera(cfa=cfa, colour_bias={100: bias})
    planes = shoot(camera, 0, 100).noisy.packed().mean(axis=(1, 2))
    np.testing.assert_allclose(planes - 64, bias, atol=0.03)


@pytest.mark.parametrize("name", ["SonyA7S2", "NikonD850"])
def test__colour_bias__published__is_in_the_dark_frames(name):
    camera = get_camera(name)
    planes = shoot(camera, 0, 1600, side=512).noisy.packed().mean(axis=(1, 2))
    _, variance = camera.noise_at(1600)
    error = variance**0.5 / 256 + camera.row_noise_at(1600) / 16
    bias = camera.colour_bias_at(1600)
    assert (np.abs(bias) > 5 * error).any()
    assert (np.abs(planes - camera.black_level - bias) < 4 * error).all()


def test__row_noise__is_shared_by_a_row_and_by_nothing_else():
    camera = gaussian_camera(row_noise={100: 4.0})
    frame = shoot(camera, 0, 100).noisy.mosaic.astype(float) - 64
    offsets = frame.mean(axis=1)
    # The variance of 256 offsets is known to sqrt(2 / 256) = 9 %.
    assert offsets.var() == pytest.approx(4.0**2, rel=0.3)
    assert np.mean(frame[:, :-1] * frame[:, 1:]) == pytest.approx(4.0**2, rel=0.3)
    assert abs(np.mean(offsets[:-1] * offsets[1:])) < 0.3 * 4.0**2
    assert frame.mean(axis=0).var() < 0.01
    within = (frame - offsets[:, None]).var()
    assert within == pytest.approx(0.6**2 + 1 / 12, rel=0.03)


@pytest.mark.parametrize("name", ["SonyA7S2", "CanonEOS5D4"])
def test__row_noise__published__is_in_the_dark_frames(name):
    camera = get_camera(name)
    iso = camera.iso_range[0]
    frame = shoot(camera, 0, iso, side=512).noisy.packed()[1].astype(float)
    _, variance = camera.noise_at(iso)
    row_variance = camera.row_noise_at(iso) ** 2
    # A mean over 256 pixels of a row keeps 1/256 of what is not the row's.
    expected = row_variance + (variance - row_variance) / 256
    assert frame.mean(axis=1).var() == pytest.approx(expected, rel=0.4)
    assert row_variance > 2 * variance / 256


def test__row_noise__absent__rows_are_independent():
    frame = shoot("OppoReno10x", 0, 6400).noisy.mosaic.astype(float)
    assert frame.mean(axis=1).var() == pytest.approx(frame.var() / SIDE, rel=0.4)


def test__quantisation__adds_a_twelfth():
    camera = gaussian_camera()
    frame = shoot(camera, 0, 100).noisy.mosaic
    assert frame.dtype == np.uint16
    assert frame.var() == pytest.approx(0.6**2 + 1 / 12, rel=0.03)
    assert camera.noise_at(100)[1] == pytest.approx(0.6**2 + 1 / 12)


def test__read_noise__has_the_tails_of_its_shape():
    long_tailed = shoot("NikonD850", 0, 1600).noisy.mosaic.ravel()
    gaussian = shoot("OppoReno10x", 0, 1600).noisy.mosaic.ravel()
    assert stats.kurtosis(long_tailed) > 1
    assert abs(stats.kurtosis(gaussian)) < 0.1


def test__counts__stay_between_zero_and_white():
    camera = gaussian_camera(read_scale={100: 40.0, 1600: 40.0})
    dark, bright = (shoot(camera, level, 1600).noisy.mosaic for level in (0, 1))
    assert dark.min() == 0
    assert bright.max() == 1023
    assert dark.max() < 1023


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize("channel", range(3))
def test__pure_colour__lights_its_sites_only(cfa, channel):
    scene = np.zeros((9, 13, 3), np.float32)
    scene[..., channel] = 0.9
    (pair,) = make_domain(
        gaussian_camera(cfa=cfa), 1, size=(9, 13), scenes=[scene], random_state=0
    )
    assert pair.clean.mosaic.shape == pair.noisy.mosaic.shape == (9, 13)
    lit = [
        bool(plane.min() > 64) for plane in pack_mosaic(pair.clean.mosaic[:8, :12], cfa)
    ]
    assert lit == [channel == 0, channel == 1, channel == 1, channel == 2]


@pytest.mark.parametrize("name", camera_names())
def test__grey_scene__is_grey_after_white_balance(name):
    camera = get_camera(name)
    red, green_r, green_b, blue = (
        shoot(camera, 0.8, camera.iso_range[0], side=8)
        .clean.normalised()
        .mean(axis=(1, 2))
    )
    balanced = np.array([red, green_r, green_b, blue]) * np.take(
        camera.white_balance, [0, 1, 1, 2]
    )
    np.testing.assert_allclose(balanced, 0.8, rtol=1e-3)


def test__white_scene__clips_at_the_white_level():
    camera = gaussian_camera(white_balance=(0.5, 1.0, 1.0))
    assert shoot(camera, 0.9, 100).clean.mosaic.max() == 1023


def test__clean__keeps_fractions_of_a_count():
    clean = shoot("OppoReno10x", 0.0003, 100, side=8).clean.mosaic
    assert clean.dtype == np.float32
    assert clean.max() - 64 == pytest.approx(0.0003 * 959, rel=1e-3)


def test__random_state__same_int__same_pixels():
    first, again, other = (
        make_domain("SonyA7S2", 3, size=32, random_state=seed) for seed in (5, 5, 6)
    )
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.noisy.mosaic, two.noisy.mosaic)
        np.testing.assert_array_equal(one.clean.mosaic, two.clean.mosaic)
        assert (one.iso, one.ratio, one.scene) == (two.iso, two.ratio, two.scene)
    assert (first[0].noisy.mosaic != other[0].noisy.mosaic).any()
    assert first[0].scene != other[0].scene


def test__random_state__same_int_other_iso__same_scenes():
    low = make_domain("SonyA7S2", 4, size=32, iso=100, random_state=0)
    high = make_domain("SonyA7S2", 4, size=32, iso=6400, ratio=3, random_state=0)
    for one, two in zip(low, high, strict=True):
        assert one.scene == two.scene
        np.testing.assert_array_equal(one.clean.mosaic, two.clean.mosaic)


def test__random_state__pairs__have_noise_of_their_own():
    one, two = make_domain(
        "SonyA7S2", 2, size=32, iso=800, ratio=1, scenes=[flat(0.2, 32)], random_state=0
    )
    assert (one.noisy.mosaic != two.noisy.mosaic).any()


def test__random_state__global_generator__is_left_alone():
    before = np.random.get_state()[1].copy()
    make_domain("SonyA7S2", 2, size=32, random_state=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test__scenes__given__are_not_changed_and_are_cycled():
    scenes = [flat(0.2, 16), flat(0.7, 16)]
    copies = [scene.copy() for scene in scenes]
    pairs = make_domain("NikonD850", 5, size=12, scenes=scenes, random_state=0)
    for scene, copy in zip(scenes, copies, strict=True):
        np.testing.assert_array_equal(scene, copy)
    assert [pair.scene == pairs[0].scene for pair in pairs] == [1, 0, 1, 0, 1]
    assert pairs[0].clean.mosaic.shape == (12, 12)


def test__scenes__same_array_in_another_call__has_the_same_name():
    first, second = (
        shoot(camera, 0.3, 800, side=8) for camera in ("SonyA7S2", "NikonD850")
    )
    assert first.scene == second.scene != shoot("SonyA7S2", 0.31, 800, side=8).scene


def test__scenes__made_once__serve_several_isos():
    scenes = make_scenes("mixture", 2, 16, random_state=0)
    pairs = make_domain(
        "SonyA7S2", 4, size=16, iso=[100, 100, 6400, 6400], scenes=scenes
    )
    assert [pair.scene for pair in pairs] == 2 * [scene.name for scene in scenes]
    assert [pair.iso for pair in pairs] == [100, 100, 6400, 6400]


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(camera_names()),
    st.tuples(st.integers(2, 40), st.integers(2, 40)),
    st.integers(0, 99),
)
def test__defaults__any_camera_and_size__are_within_the_camera(name, size, seed):
    camera = get_camera(name)
    for pair in make_domain(name, 3, size=size, random_state=seed):
        assert camera.iso_range[0] <= pair.iso <= camera.iso_range[1]
        assert pair.ratio in camera.ratios
        assert pair.noisy.mosaic.shape == pair.clean.mosaic.shape == size
        assert np.isfinite(pair.clean.mosaic).all()
        assert pair.clean.mosaic.min() >= camera.black_level
        assert pair.clean.mosaic.max() <= camera.white_level
        assert pair.noisy.mosaic.max() <= camera.white_level


def test__iso__sequence_of_another_length__is_drawn_from():
    pairs = make_domain(
        "SonyA7S2", 30, size=4, iso=[200, 800], ratio=[1, 5, 9], random_state=0
    )
    assert {pair.iso for pair in pairs} == {200, 800}
    assert {pair.ratio for pair in pairs} == {1, 5, 9}


def test__exposures__vary_from_dim_to_bright():
    pairs = make_domain("SonyA7S2", 40, size=32, random_state=0)
    means = np.array([pair.clean.normalised()[1].mean() for pair in pairs])
    assert means.min() < 0.1
    assert means.max() > 0.3
    brightest = max(pair.clean.normalised().max() for pair in pairs)
    assert brightest == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_pairs": 0}, "n_pairs"),
        ({"size": 1}, "size"),
        ({"size": (4, 4, 4)}, "size"),
        ({"size": 8.5}, "size"),
        ({"iso": 50}, "outside the range"),
        ({"iso": []}, "iso"),
        ({"ratio": 0}, "ratio"),
        ({"ratio": [1, -1]}, "ratio"),
        ({"scenes": "clouds"}, "dead-leaves"),
        ({"scenes": []}, "empty"),
        ({"scenes": [np.zeros((4, 4, 3))]}, "smaller"),
        ({"scenes": [np.full((16, 16, 3), 255, np.uint8)]}, "white level"),
        ({"scenes": [np.full((16, 16, 3), np.nan)]}, r"\[0, 1\]"),
        ({"scenes": [np.zeros((16, 16))]}, "RGB"),
    ],
)
def test__make_domain__bad_argument__is_explained(arguments, message):
    n_pairs = arguments.pop("n_pairs", 2)
    arguments.setdefault("size", 8)
    with pytest.raises(ValueError, match=message):
        make_domain("SonyA7S2", n_pairs, **arguments)


def test__make_domain__scenes_of_a_wrong_kind__is_explained():
    with pytest.raises(TypeError, match="scenes"):
        make_domain("SonyA7S2", 1, size=8, scenes=3)
