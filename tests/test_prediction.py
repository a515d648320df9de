"""One image through a network: sizes, Bayer orders, units, and plain sentences."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skadl import ADLDenoiser
from skadl.datasets import make_domain
from skadl.metrics import psnr
from skadl.mosaic import CFA_PATTERNS, pack_bayer, unpack_bayer
from skadl.prediction import FittedModel, denoise, denoise_image
from skadl.records import LazyRawImage, RawImage

# Axes that a mosaic of even sides is mirrored along to become RGGB.
MIRRORS = {"RGGB": (), "GRBG": (1,), "GBRG": (0,), "BGGR": (0, 1)}
FACTS = dict(black_level=512, white_level=16383, sensor="A", iso=800)


@pytest.fixture(scope="module")
def make_model(make_network, conditioning, sensor_table):
    """A factory of models; `noise` 0 is untrained and returns its input."""

    def make(noise=0.0, device="cpu", dtype=None):
        network = make_network(conditioning.length, noise=noise, device=device)
        return FittedModel(network.eval(), conditioning, sensor_table, dtype)

    return make


@pytest.fixture
def model(make_model):
    return make_model(0.05)


def counts(shape=(12, 16), dtype=np.uint16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(512, 5000, shape).astype(dtype)


def raw_image(mosaic, cfa="RGGB", **changes):
    return RawImage(mosaic, cfa, **(FACTS | changes))


# Sizes, types and Bayer orders


@given(
    height=st.integers(2, 13),
    width=st.integers(2, 13),
    cfa=st.sampled_from(CFA_PATTERNS),
    dtype=st.sampled_from([np.uint8, np.uint16, np.int32, np.float32, np.float64]),
    ratio=st.sampled_from([1.0, 30.0]),
)
def test_denoise__untrained__returns_the_image(
    make_model, height, width, cfa, dtype, ratio
):
    mosaic = np.random.default_rng(0).integers(0, 256, (height, width)).astype(dtype)
    levels = dict(black_level=(10, 20, 30, 40), white_level=255)
    result = denoise(make_model(), raw_image(mosaic, cfa, ratio=ratio, **levels))
    assert result.mosaic.dtype == dtype
    np.testing.assert_allclose(result.mosaic, mosaic, atol=1e-3)
    if np.issubdtype(dtype, np.integer):
        np.testing.assert_array_equal(result.mosaic, mosaic)


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 2), (5, 7), (9, 8), (8, 9)])
def test_denoise__any_size__comes_back_in_it(model, shape, cfa):
    result = denoise(model, raw_image(counts(shape), cfa))
    assert result.mosaic.shape == shape and result.cfa == cfa


@pytest.mark.parametrize("shape", [(12, 16), (10, 14)])
def test_denoise__mirrored_mosaic_with_its_cfa__is_the_mirrored_result(
    model, cfa, shape
):
    mosaic = counts(shape, np.float64)
    plain = denoise(model, raw_image(mosaic, "RGGB")).mosaic
    assert np.abs(plain - mosaic).max() > 1  # the network does something
    mirrored = np.flip(mosaic, MIRRORS[cfa])
    result = denoise(model, raw_image(mirrored, cfa)).mosaic
    np.testing.assert_array_equal(np.flip(result, MIRRORS[cfa]), plain)


@pytest.mark.parametrize("shape", [(11, 16), (12, 15), (9, 9)])
def test_denoise__odd_side__hardly_changes_the_rest(make_model, shape):
    model = make_model(0.02)
    whole = counts((shape[0] + shape[0] % 2, shape[1] + shape[1] % 2))
    cropped = whole[: shape[0], : shape[1]]
    result = denoise(model, raw_image(cropped.astype(np.float64))).mosaic
    expected = denoise(model, raw_image(whole.astype(np.float64))).mosaic
    # Far from the odd edge the network cannot see that a row is missing.
    np.testing.assert_allclose(result[:2, :2], expected[:2, :2], rtol=0.05)


@pytest.mark.parametrize("shape", [(10, 12), (12, 10), (10, 10)])
def test_denoise__side_that_the_network_cannot_halve__is_continued_by_mirroring(
    model, shape
):
    mosaic = counts(shape, np.float64)
    missing = [(0, (side // 2) % 2) for side in shape]
    planes = np.pad(pack_bayer(mosaic, "RGGB"), [(0, 0), *missing], mode="reflect")
    whole = denoise(model, raw_image(unpack_bayer(planes, "RGGB"))).mosaic
    result = denoise(model, raw_image(mosaic)).mosaic
    # Each keeps the mean level of its own planes, which the mirrored edge changes.
    result, whole = (
        pack_bayer(image, "RGGB") for image in (result, whole[: shape[0], : shape[1]])
    )
    np.testing.assert_allclose(
        result - result.mean(axis=(1, 2), keepdims=True),
        whole - whole.mean(axis=(1, 2), keepdims=True),
        atol=1e-2,
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_denoise__integers__are_the_rounded_floats(model, dtype):
    mosaic = np.random.default_rng(0).integers(0, 256, (8, 8))
    levels = dict(black_level=16, white_level=255)
    exact = denoise(model, raw_image(mosaic.astype(np.float32), **levels)).mosaic
    result = denoise(model, raw_image(mosaic.astype(dtype), **levels)).mosaic
    limits = np.iinfo(dtype)
    expected = np.clip(np.rint(exact), limits.min, limits.max)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected.astype(dtype))


def test_denoise__image__is_left_alone(model):
    image = raw_image(counts())
    before = image.mosaic.copy()
    denoise(model, image)
    np.testing.assert_array_equal(image.mosaic, before)


# Units


@given(offset=st.integers(-512, 8000))
def test_denoise__all_levels_shifted__shifts_the_result(make_model, offset):
    model = make_model(0.05)
    mosaic = counts(dtype=np.float64)
    levels = dict(black_level=512 + offset, white_level=16383 + offset)
    result = denoise(model, raw_image(mosaic + offset, **levels)).mosaic
    expected = denoise(model, raw_image(mosaic)).mosaic + offset
    np.testing.assert_allclose(result, expected, atol=0.01)


@pytest.mark.parametrize("unit", [0.25, 4.0, 1 / 16384])
def test_denoise__counts_in_other_units__come_back_in_them(model, unit):
    mosaic = counts(dtype=np.float64)
    levels = dict(black_level=512 * unit, white_level=16383 * unit)
    result = denoise(model, raw_image(mosaic * unit, **levels)).mosaic
    expected = denoise(model, raw_image(mosaic)).mosaic
    np.testing.assert_allclose(result / unit, expected, rtol=1e-5)


def test_denoise__black_level_of_each_site__is_its_own(model, cfa):
    mosaic = counts((8, 8), np.float64)
    offsets = np.array([3.0, 7.0, 1.0, 9.0])  # reading order
    levels = dict(black_level=tuple(512 + offsets), white_level=16383 + offsets.mean())
    raised = mosaic + np.tile(offsets.reshape(2, 2), (4, 4))
    result = denoise(model, raw_image(raised, cfa, **levels)).mosaic
    expected = denoise(model, raw_image(mosaic, cfa)).mosaic
    np.testing.assert_allclose(result - (raised - mosaic), expected, atol=0.01)


def test_denoise_image__planes__are_the_normalised_result(model, cfa):
    image = raw_image(counts((8, 10), np.float64), cfa, ratio=30)
    planes = denoise_image(model, image)
    expected = denoise(model, image).normalised()
    np.testing.assert_allclose(planes, expected, atol=1e-5)


# Kinds of input


@pytest.mark.parametrize("sensor", ["A", "B"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_denoise__bare_mosaic__is_read_with_the_facts_of_its_sensor(
    model, sensor_table, sensor, dtype
):
    info = sensor_table.get(sensor)
    mosaic = (counts((8, 8)) // 8).astype(dtype)
    levels = (info.cfa, info.black_level, info.white_level)
    expected = denoise(model, RawImage(mosaic, *levels, sensor, 400)).mosaic
    result = denoise(model, mosaic, sensor, 400)
    assert isinstance(result, np.ndarray) and result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("sensor", ["A", "B"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_denoise__packed_planes__equal_the_mosaic_path(
    model, sensor_table, sensor, dtype
):
    cfa = sensor_table.get(sensor).cfa
    mosaic = (counts((8, 12)) // 8).astype(dtype)
    result = denoise(model, pack_bayer(mosaic, cfa), sensor, 400, 10.0)
    expected = pack_bayer(denoise(model, mosaic, sensor, 400, 10.0), cfa)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


def test_denoise__facts_given__replace_those_of_the_image_but_not_on_the_result(model):
    image = raw_image(counts(dtype=np.float64), iso=100)
    result = denoise(model, image, "B", 3200, 10.0)
    facts = dict(sensor="B", iso=3200, ratio=10.0)
    expected = denoise(model, raw_image(image.mosaic, **facts))
    np.testing.assert_array_equal(result.mosaic, expected.mosaic)
    assert (result.sensor, result.iso, result.ratio) == ("A", 100, 1)


@pytest.mark.parametrize("change", [dict(sensor="B"), dict(iso=6400), dict(ratio=100)])
def test_denoise__other_facts__give_another_result(model, change):
    facts = dict(sensor="A", iso=100, ratio=1.0)
    mosaic = counts((8, 8), np.float64)
    first = denoise(model, raw_image(mosaic), **facts).mosaic
    second = denoise(model, raw_image(mosaic), **(facts | change)).mosaic
    assert not np.allclose(first, second, rtol=1e-6)


def test_denoise__lazy_image__is_read_and_comes_back_in_memory(model):
    image = raw_image(counts())
    lazy = LazyRawImage("a.dng", lambda path: image)
    result = denoise(model, lazy)
    assert type(result) is RawImage
    np.testing.assert_array_equal(result.mosaic, denoise(model, image).mosaic)


def test_denoise__every_device__agrees(make_model, device):
    image = raw_image(counts(dtype=np.float64))
    here = denoise(make_model(0.05, device), image).mosaic
    np.testing.assert_allclose(here, denoise(make_model(0.05), image).mosaic, rtol=1e-3)


def test_denoise__bfloat16__stays_near_float32(make_model, device):
    image = raw_image(counts())
    low = denoise_image(make_model(0.02, device, torch.bfloat16), image)
    exact = denoise_image(make_model(0.02, device), image)
    assert low.dtype == np.float32 and psnr(low, exact) > 35


# Refusals


@pytest.mark.parametrize("raw", [raw_image(counts()), counts()])
def test_denoise__unknown_sensor__lists_the_known_ones(model, raw):
    with pytest.raises(ValueError, match=r"'IMX600' was not seen .*\['A', 'B'\]"):
        denoise(model, raw, "IMX600", 100)


@pytest.mark.parametrize("facts", [{}, dict(sensor="A"), dict(iso=100)])
def test_denoise__array_without_facts__says_which_to_give(model, facts):
    with pytest.raises(ValueError, match=r"give predict\(raw, sensor, iso\).*'A', 'B'"):
        denoise(model, counts(), **facts)


@pytest.mark.parametrize("iso", [50, 12800])
def test_denoise__iso_out_of_range__warns_with_the_range(model, iso):
    with pytest.warns(UserWarning, match=f"ISO {iso} lies outside the range 100 to 64"):
        result = denoise(model, raw_image(counts(), iso=iso))
    assert np.isfinite(result.mosaic).all()


@pytest.mark.parametrize("iso", [100, 6400])
def test_denoise__iso_at_the_end_of_the_range__does_not_warn(model, iso):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        denoise(model, raw_image(counts(), iso=iso))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_denoise__not_finite__is_refused(model, bad):
    mosaic = counts(dtype=np.float32)
    mosaic[3, 4] = bad
    for raw in (raw_image(mosaic), mosaic):
        with pytest.raises(ValueError, match="holds NaN or infinity; repair"):
            denoise(model, raw, "A", 400)


@pytest.mark.parametrize("iso", [0, -100, np.nan])
def test_denoise__bad_iso__is_refused(model, iso):
    with pytest.raises(ValueError, match="iso must be a positive finite number"):
        denoise(model, counts(), "A", iso)


@pytest.mark.parametrize("raw", [None, {"a": 1}, object(), np.array(["x"])])
def test_denoise__not_an_image__says_what_predict_takes(model, raw):
    with pytest.raises(TypeError, match="predict takes a RawImage, a path"):
        denoise(model, raw, "A", 400)


@pytest.mark.parametrize("shape", [(8,), (3, 8, 8), (8, 8, 4), (1, 4, 8, 8)])
def test_denoise__array_of_another_shape__says_which(model, shape):
    with pytest.raises(ValueError, match=r"shape \(H, W\)"):
        denoise(model, np.zeros(shape), "A", 400)


def test_denoise__network_gives_nan__is_an_error_and_not_an_image(make_model):
    model = make_model()
    with torch.no_grad():
        next(model.network.parameters()).fill_(np.nan)
        list(model.network.head.parameters())[-1].fill_(np.nan)
    with pytest.raises(FloatingPointError, match="gave NaN or infinity"):
        denoise(model, raw_image(counts()))


# Through the estimator


@pytest.fixture(scope="module")
def fitted(scenes):
    pairs = make_domain(
        "SonyA7S2", 3, size=32, iso=1600, ratio=1, scenes=scenes, random_state=0
    )
    tiny = dict(base_channels=4, n_levels=2, mlp_width=8, patch_size=8)
    steps = dict(n_pretrain_iter=2, n_iter=0, n_finetune_iter=2)
    return ADLDenoiser(**tiny, **steps, device="cpu", random_state=0).fit(pairs)


def test_predict__list_of_mixed_kinds__is_each_alone(fitted):
    facts = (512, 16383, "SonyA7S2", 1600)
    raws = [
        counts((9, 11)),
        RawImage(counts((8, 6)), "BGGR", *facts),
        pack_bayer(counts((6, 6), np.float32), "RGGB"),
    ]
    results = fitted.predict(raws, "SonyA7S2", 1600)
    assert isinstance(results, list)
    for raw, result in zip(raws, results, strict=True):
        alone = fitted.predict(raw, "SonyA7S2", 1600)
        assert type(result) is type(raw)
        np.testing.assert_array_equal(
            getattr(result, "mosaic", result), getattr(alone, "mosaic", alone)
        )
    assert fitted.predict([]) == []


def test_predict__mean_level_of_each_plane__is_kept():
    pairs = make_domain("SonyA7S2", 4, size=48, iso=800, random_state=0)
    model = ADLDenoiser(
        n_pretrain_iter=30,
        n_iter=0,
        n_finetune_iter=0,
        base_channels=4,
        n_levels=2,
        patch_size=8,
        random_state=0,
    ).fit(pairs)
    frame = np.random.default_rng(0).normal(1200.0, 30.0, (64, 64)).astype(np.float32)
    frame[::2, ::2] += 200  # one colour brighter, so that a pull of colours would show
    image = replace(pairs[0].noisy.with_mosaic(frame), ratio=1.0)
    denoised = model.predict(image)
    assert np.abs(denoised.mosaic - frame).max() > 0.1  # it did something
    change = denoised.packed().mean(axis=(1, 2), dtype=float)
    change -= image.packed().mean(axis=(1, 2), dtype=float)
    info = model.sensors_.get(image.sensor)
    np.testing.assert_allclose(change, -info.offset_at(image.iso), atol=0.02)
