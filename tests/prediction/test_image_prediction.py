"""One image through a network: sizes, Bayer orders, units, and plain sentences."""

from __future__ import annotations

import copy
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skadl import ADLDenoiser, write_dng
from skadl.datasets import make_domain
from skadl.evaluation.metrics import psnr
from skadl.network.conditioning import Conditioning
from skadl.noise.sensors import SensorInfo
from skadl.noise.source import find_noise
from skadl.prediction.fitted_model import GIB, FittedModel
from skadl.prediction.frame import FrameNetwork
from skadl.prediction.image import denoise
from skadl.prediction.model import PredictOptions
from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.mosaic import CFA_PATTERNS, pack_mosaic, unpack_mosaic

# Axes that a mosaic of even sides is mirrored along to become RGGB.
MIRRORS = {"RGGB": (), "GRBG": (1,), "GBRG": (0,), "BGGR": (0, 1)}
FACTS = dict(black_level=512, white_level=16383, sensor="A", iso=800)


@pytest.fixture(scope="module")
def make_model(make_network, conditioning, sensor_table):
    """A factory of models; `noise` 0 is untrained and returns its input."""

    def make(noise=0.0, device="cpu", dtype=None, safeguard=False):
        network = make_network(conditioning.length, noise=noise, device=device)
        return FittedModel(network.eval(), conditioning, sensor_table, dtype, safeguard)

    return make


@pytest.fixture
def model(make_model):
    return make_model(0.05)


def counts(shape=(12, 16), dtype=np.uint16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(512, 5000, shape).astype(dtype)


def raw_image(mosaic, cfa="RGGB", **changes):
    return RawImage(mosaic, cfa, **(FACTS | changes))


def noisy_ramp():
    """Noise of gain 0.5 and read noise 3 counts at rising brightness."""
    rng = np.random.default_rng(0)
    light = np.tile(np.linspace(100, 9000, 192), (192, 1))
    mosaic = 0.5 * rng.poisson(light / 0.5) + 512 + 3 * rng.standard_normal(light.shape)
    return raw_image(np.rint(mosaic).astype(np.uint16), sensor="X")


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


@pytest.mark.parametrize("shape", [(24, 16), (8, 16)])
def test_denoise__mirrored_mosaic_with_its_cfa__is_the_mirrored_result(
    model, cfa, shape
):
    mosaic = counts(shape, np.float64)
    plain = denoise(model, raw_image(mosaic, "RGGB")).mosaic
    assert np.abs(plain - mosaic).max() > 1  # the network does something
    mirrored = np.flip(mosaic, MIRRORS[cfa])
    result = denoise(model, raw_image(mirrored, cfa)).mosaic
    # Some processors add up a convolution's terms in another order at the border.
    np.testing.assert_allclose(np.flip(result, MIRRORS[cfa]), plain, rtol=1e-6)


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
    model, shape, monkeypatch
):
    monkeypatch.setattr(  # the mirrored edge changes them
        "skadl.prediction.correction.local_means",
        lambda blocks, noise: np.zeros(blocks.level.shape),
    )
    mosaic = counts(shape, np.float64)
    missing = [(0, (side // 2) % 2) for side in shape]
    planes = np.pad(pack_mosaic(mosaic, "RGGB"), [(0, 0), *missing], mode="reflect")
    whole = denoise(model, raw_image(unpack_mosaic(planes, "RGGB"))).mosaic
    result = denoise(model, raw_image(mosaic)).mosaic
    np.testing.assert_allclose(result, whole[: shape[0], : shape[1]], atol=1e-2)


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
    planes = model.denoise_planes(image)
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
    result = denoise(model, pack_mosaic(mosaic, cfa), sensor, 400, 10.0)
    expected = pack_mosaic(denoise(model, mosaic, sensor, 400, 10.0), cfa)
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
    low = make_model(0.02, device, torch.bfloat16).denoise_planes(image)
    exact = make_model(0.02, device).denoise_planes(image)
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


# Sensors never seen


@pytest.fixture(scope="module")
def make_noise_model(make_network, sensor_table):
    """A factory of models that know noise only, and any sensors given."""

    def make(**sensors):
        codes = Conditioning("noise", ("A", "B"))
        network = make_network(codes.length, noise=0.05).eval()
        table = sensor_table.updated(sensors)
        return FittedModel(network, codes, table, None, safeguard=False)

    return make


def stranger(black=512, white=16383, unit=1.0, cfa="RGGB", **facts):
    """The noise of sensor "A" under another name, in counts of any unit."""
    return SensorInfo(
        cfa,
        black * unit,
        white * unit,
        gain={100: 0.2 * unit, 6400: 12.8 * unit},
        read_noise={100: 2.0 * unit, 6400: 40.0 * unit},
        **facts,
    )


@given(
    st.floats(0.01, 10),
    st.floats(0.5, 50),
    st.tuples(*[st.floats(-5, 5)] * 4),
    st.sampled_from([1.0, 30.0]),
)
def test_denoise__noise_alone__equal_figures_and_counts_give_equal_results(
    make_noise_model, gain, read_noise, offset, ratio
):
    figures = dict(gain={400: gain}, read_noise={400: read_noise})
    figures |= dict(black_offset={400: offset})
    first, second = (SensorInfo("RGGB", 512, 16383, **figures) for _ in range(2))
    model = make_noise_model(first=first, second=second)
    mosaic = counts((8, 8), np.float64)
    expected = denoise(model, mosaic, "first", 400, ratio)
    for sensor in ("second", first, second):
        result = denoise(model, mosaic, sensor, 400, ratio)
        np.testing.assert_array_equal(result, expected)
    image = raw_image(mosaic, sensor="second", iso=400, ratio=ratio)
    np.testing.assert_array_equal(denoise(model, image).mosaic, expected)


def test_denoise__noise_alone__is_what_a_seen_sensor_of_that_noise_gets(
    make_noise_model,
):
    model, mosaic = make_noise_model(), counts(dtype=np.float64)
    result = denoise(model, mosaic, stranger(), 800, 10.0)
    np.testing.assert_array_equal(result, denoise(model, mosaic, "A", 800, 10.0))


@pytest.mark.parametrize("unit", [0.25, 1 / 16384])
def test_denoise__facts_in_other_units__come_to_the_same(make_noise_model, unit):
    model, mosaic = make_noise_model(), counts(dtype=np.float64)
    offset = (3.0, 1.0, 2.0, 4.0)
    expected = denoise(model, mosaic, stranger(black_offset={100: offset}), 800)
    scaled = stranger(unit=unit, black_offset={100: tuple(unit * np.array(offset))})
    result = denoise(model, unit * mosaic, scaled, 800)
    np.testing.assert_allclose(result / unit, expected, rtol=1e-5)
    image = raw_image(mosaic)  # an image keeps its own levels
    np.testing.assert_allclose(denoise(model, image, scaled).mosaic, expected, 1e-5)


def test_denoise__facts_for_an_image__leave_its_pattern_and_levels(
    make_noise_model, cfa
):
    model = make_noise_model(X=stranger())
    image = raw_image(counts((8, 8)), cfa, black_level=(500, 510, 520, 518), sensor="X")
    other = stranger(cfa="GRBG" if cfa != "GRBG" else "RGGB")
    result = denoise(model, image, other)
    np.testing.assert_array_equal(result.mosaic, denoise(model, image).mosaic)
    assert (result.sensor, result.cfa) == ("X", cfa)


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_denoise__facts_for_arrays__give_pattern_and_levels(make_noise_model, cfa):
    model, info = make_noise_model(), stranger(cfa=cfa)
    mosaic = counts((8, 12))
    expected = denoise(model, raw_image(mosaic, cfa)).mosaic
    np.testing.assert_array_equal(denoise(model, mosaic, info, 800), expected)
    packed = denoise(model, pack_mosaic(mosaic, cfa), info, 800)
    np.testing.assert_array_equal(packed, pack_mosaic(expected, cfa))


def test_denoise__facts_for_a_file__need_no_name(make_noise_model, tmp_path):
    model = make_noise_model()
    image = raw_image(counts((32, 32)), sensor="Never Seen")
    path = write_dng(tmp_path / "a.dng", image)
    result = denoise(model, path, stranger())
    np.testing.assert_array_equal(
        result.mosaic, denoise(model, image, stranger()).mosaic
    )
    assert result.sensor == "Never Seen"


@pytest.mark.parametrize("raw", [raw_image(counts(), sensor="X"), counts()])
def test_denoise__noise_that_nothing_tells__says_how_to_give_it(make_noise_model, raw):
    bare = SensorInfo("RGGB", 512, 16383)
    how = r"SensorInfo\(..., gain=..., read_noise=...\).*calibrate_sensor"
    with pytest.raises(ValueError, match=f"'X'.*(not seen|too small).*{how}") as error:
        denoise(make_noise_model(), raw, "X", 800)
    assert "nown sensors are ['A', 'B']" in str(error.value)
    told = f"noise of sensor 'X' is not known.*too small.*{how}.*'A', 'B'"
    with pytest.raises(ValueError, match=told):
        denoise(make_noise_model(X=bare), raw, "X", 800)
    with pytest.raises(ValueError, match=f"is not known.*too small.*{how}"):
        denoise(make_noise_model(), raw, bare, 800)


def test_denoise__noise_unknown__is_estimated_from_the_image(make_noise_model):
    model, bare = make_noise_model(), SensorInfo("RGGB", 512, 16383)
    image = noisy_ramp()
    message = "sensor 'X': noise estimated from the image itself: gain .* more certain"
    with pytest.warns(UserWarning, match=message) as caught:
        result = denoise(model, image)
    assert len(caught) == 1
    expected = denoise(model, image, find_noise(image).sensor)  # given: no warning
    np.testing.assert_array_equal(result.mosaic, expected.mosaic)
    with pytest.warns(UserWarning, match="estimated from the image itself"):
        mosaic = denoise(model, image.mosaic, bare, 800)
    np.testing.assert_array_equal(mosaic, expected.mosaic)


def test_denoise__noise_profile_of_the_file__goes_before_an_estimate(make_noise_model):
    profile = [(0.5 / 15871, 9 / 15871**2)]
    image = replace(noisy_ramp(), noise_profile=profile)
    model = make_noise_model()
    result = denoise(model, image)  # a warning would fail it
    info = replace(stranger(), gain={800: 0.5}, read_noise={800: 3.0})
    expected = denoise(model, image, info)
    np.testing.assert_allclose(result.mosaic, expected.mosaic, rtol=1e-6)
    assert result.noise_profile is None


@pytest.mark.parametrize("raw", [raw_image(counts()), counts()])
def test_denoise__facts_where_the_name_counts__name_the_way_out(model, raw):
    with pytest.raises(ValueError, match='SensorInfo .*conditioning="noise" predicts'):
        denoise(model, raw, stranger(), 800)
    with pytest.raises(ValueError, match='not seen .*conditioning="noise" predicts'):
        denoise(model, raw, "IMX600", 800)


def test_denoise__iso_beyond_the_given_noise__warns(make_noise_model):
    with pytest.warns(UserWarning, match="ISO 50 .* 100 to 6400 that its noise is giv"):
        denoise(make_noise_model(), counts(), stranger(), 50)


def test_denoise__facts_but_no_iso__asks_for_it(make_noise_model):
    with pytest.raises(ValueError, match=r"give predict\(raw, sensor, iso\)"):
        denoise(make_noise_model(), counts(), stranger())


# PredictOptions: memory, strength, self-ensemble, dtype


def little_memory(model):
    """Room for frames of 82 kB, and for tiles that are smaller."""
    n_metadata = model.conditioning.length
    network = FrameNetwork(model.network.fold(np.zeros(n_metadata)), None)
    return (network.fixed_memory + 150e3) / GIB


@given(
    height=st.integers(100, 131),
    width=st.integers(140, 161),
    cfa=st.sampled_from(CFA_PATTERNS),
    safeguard=st.booleans(),
    self_ensemble=st.sampled_from([1, 2, 4, 8]),
)
def test_denoise__little_memory__gives_the_same_in_tiles(
    make_model, height, width, cfa, safeguard, self_ensemble
):
    model = make_model(0.05, safeguard=safeguard)
    image = raw_image(counts((height, width), np.float32), cfa)
    n_tiles = []

    def track(tiles, total):
        n_tiles.append(total)
        return tiles

    whole, tiled = (
        denoise(
            model,
            image,
            options=PredictOptions(self_ensemble=self_ensemble, memory_limit=limit),
            track=track,
        ).mosaic
        for limit in (1.0, little_memory(model))
    )
    assert n_tiles[1] > n_tiles[0] == self_ensemble
    span = image.white_level - image.black_level
    np.testing.assert_allclose(tiled / span, whole / span, atol=1e-5)


def test_denoise__too_little_memory__says_how_much_is_needed(make_model):
    image = raw_image(counts((500, 500)))
    said = "0.001 GiB is too low .* 500x500; .*=0"
    with pytest.raises(ValueError, match=said) as caught:
        denoise(make_model(), image, options=PredictOptions(memory_limit=0.001))
    # More threads need more: the figure is that of the machine at hand.
    enough = re.search(r"memory_limit=(\S+) or more", str(caught.value)).group(1)
    denoise(make_model(), image, options=PredictOptions(memory_limit=float(enough)))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_denoise__strength_0__is_the_image_itself(model, cfa, dtype):
    image = raw_image(counts((9, 12), dtype), cfa)
    result = denoise(model, image, options=PredictOptions(strength=0))
    np.testing.assert_array_equal(result.mosaic, image.mosaic)
    assert result.mosaic.dtype == dtype


@given(strength=st.floats(0, 1))
def test_denoise__strength__is_that_part_of_the_change(make_model, strength):
    model, image = make_model(0.05), raw_image(counts(dtype=np.float64))
    full = denoise(model, image).mosaic
    result = denoise(model, image, options=PredictOptions(strength=strength)).mosaic
    expected = image.mosaic + strength * (full - image.mosaic)
    np.testing.assert_allclose(result, expected, atol=0.01)


def test_denoise__float_result_of_whole_counts__keeps_the_fractions(model, cfa):
    image = raw_image(counts((9, 12)), cfa)
    result = denoise(model, image, options=PredictOptions(dtype=np.float32)).mosaic
    exact = denoise(model, raw_image(image.mosaic.astype(np.float32), cfa)).mosaic
    assert result.dtype == np.float32 and (result != np.rint(result)).any()
    np.testing.assert_array_equal(result, exact)
    planes = pack_mosaic(counts(), "RGGB")
    packed = denoise(model, planes, "A", 800, options=PredictOptions(dtype="f4"))
    assert packed.dtype == np.float32


def test_denoise__float_result__leaves_the_image_alone(model):
    image = raw_image(counts(dtype=np.float32))
    before = image.mosaic.copy()
    result = denoise(model, image)
    np.testing.assert_array_equal(image.mosaic, before)
    assert not np.shares_memory(result.mosaic, image.mosaic)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(strength=-0.1), "strength must be a number from 0 to 1, got -0.1"),
        (dict(strength=1.1), "strength must be a number"),
        (dict(strength=np.nan), "strength must be a number"),
        (dict(strength="much"), "strength must be a number"),
        (dict(memory_limit=0), "memory_limit must be a positive finite number, got 0"),
        (dict(memory_limit=np.nan), "memory_limit must be a positive"),
    ],
)
def test_wishes__out_of_range__are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PredictOptions(**wrong)


@pytest.mark.parametrize("dtype", [bool, complex, str, object])
def test_wishes__dtype_that_holds_no_counts__is_refused(dtype):
    with pytest.raises(TypeError, match="such as np.float32"):
        PredictOptions(dtype=dtype)


@pytest.mark.parametrize(
    ("given_size", "size"), [(False, 1), (True, 8), (1, 1), (2, 2), (4, 4), (8, 8)]
)
def test_wishes__self_ensemble__is_a_number_of_symmetries(given_size, size):
    assert PredictOptions(self_ensemble=given_size).self_ensemble == size


@pytest.mark.parametrize("self_ensemble", [0, 3, 16, "8", None])
def test_wishes__self_ensemble_of_another_size__is_refused(self_ensemble):
    with pytest.raises(ValueError, match="True, False or one of 1, 2, 4, 8, got"):
        PredictOptions(self_ensemble=self_ensemble)


@pytest.mark.parametrize("self_ensemble", [1, 2, 8])
@pytest.mark.parametrize("in_tiles", [False, True])
def test_denoise__mean_level_and_green_balance__stay(
    make_model, cfa, self_ensemble, in_tiles
):
    model = make_model(0.05)
    rng = np.random.default_rng(0)
    planes = rng.normal([[[900]], [[1200]], [[1210]], [[700]]], 40.0, (4, 60, 70))
    image = raw_image(unpack_mosaic(planes, cfa).astype(np.float32), cfa)
    limit = little_memory(model) if in_tiles else 1.0
    options = PredictOptions(self_ensemble=self_ensemble, memory_limit=limit)
    denoised = denoise(model, image, options=options)
    assert np.abs(denoised.mosaic - image.mosaic).max() > 1  # it did something
    levels, before = (
        part.packed().mean(axis=(1, 2), dtype=float) for part in (denoised, image)
    )
    error = 40.0 / planes[0].size ** 0.5  # standard error of a plane's mean
    np.testing.assert_allclose(levels, before, atol=error)
    assert levels[2] - levels[1] == pytest.approx(before[2] - before[1], abs=error)


def test_denoise__below_black__is_not_clipped(make_model):
    image = raw_image(np.random.default_rng(0).normal(512, 20, (128, 160)))
    model = make_model(0.01)
    for limit in (1.0, little_memory(model)):
        options = PredictOptions(memory_limit=limit, dtype=np.float32)
        result = denoise(model, image, options=options).mosaic
        assert 0.4 < np.mean(result < 512) < 0.6


def test_denoise__borders_of_tiles__show_no_step(make_model):
    """A slope of light: each tile has another mean, which must not be taken out."""
    slope = np.linspace(600, 9000, 160)[None] + np.zeros((128, 1))
    image = raw_image(slope.astype(np.float32))
    model = make_model(0.05)
    tiled = denoise(
        model, image, options=PredictOptions(memory_limit=little_memory(model))
    )
    whole = denoise(model, image)
    step = np.abs(np.diff(tiled.mosaic - whole.mosaic, axis=1))
    assert step.max() < 0.01 * np.diff(slope).max()


# Through the estimator


@pytest.fixture(scope="module")
def fitted(scenes):
    pairs = make_domain(
        "SonyA7S2", 3, size=32, iso=1600, ratio=1, scenes=scenes, random_state=0
    )
    tiny = dict(start="random", base_channels=4, n_levels=2, mlp_width=8, patch_size=8)
    steps = dict(n_pretrain_iter=2, n_iter=0, n_finetune_iter=2)
    return ADLDenoiser(**tiny, **steps, device="cpu", random_state=0).fit(pairs)


def test_predict__list_of_mixed_kinds__is_each_alone(fitted):
    facts = (512, 16383, "SonyA7S2", 1600)
    raws = [
        counts((9, 11)),
        RawImage(counts((8, 6)), "BGGR", *facts),
        pack_mosaic(counts((6, 6), np.float32), "RGGB"),
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
        start="random",
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


def test_predict__wishes_and_jobs__are_those_of_each_image_alone(fitted):
    raws = [counts((9, 11), seed=seed) for seed in range(3)]
    options = dict(strength=0.5, self_ensemble=True, dtype=np.float32, memory_limit=0.1)
    alone = [fitted.predict(raw, "SonyA7S2", 1600, **options) for raw in raws]
    for n_jobs in (None, 2):
        results = fitted.predict(raws, "SonyA7S2", 1600, n_jobs=n_jobs, **options)
        assert isinstance(results, list)
        np.testing.assert_allclose(results, alone, rtol=1e-6)
        assert results[0].dtype == np.float32


def test_predict__wish_that_cannot_be__is_refused_before_any_work(fitted):
    with pytest.raises(ValueError, match="strength must be"):
        fitted.predict([], strength=2)


def test_predict__verbose__shows_tiles_of_an_image_and_images_of_a_list(fitted, capfd):
    raw, facts = counts((8, 8)), ("SonyA7S2", 1600)
    fitted.predict(raw, *facts)
    assert capfd.readouterr() == ("", "")
    loud = copy.copy(fitted).set_params(verbose=1)
    loud.predict(raw, *facts, self_ensemble=True)
    assert "denoising" in (shown := capfd.readouterr().err) and "8/8" in shown
    loud.predict([raw, raw, raw], *facts)
    assert "3/3" in capfd.readouterr().err


# Holding back what would harm


def photograph(scene, sensor_table, seed=0, iso=400):
    """A scene of normalised planes with the noise of sensor A."""
    info = sensor_table.get("A")
    gain, read_variance = info.noise_at(iso)
    rng = np.random.default_rng(seed)
    noisy = rng.poisson(scene * info.span / gain) * gain
    noisy += rng.normal(scale=read_variance**0.5, size=scene.shape)
    mosaic = unpack_mosaic(noisy + info.black_level, "RGGB").astype(np.float32)
    return raw_image(mosaic, iso=iso)


@pytest.mark.parametrize("seed", range(4))
def test_safeguard__a_network_that_spoils_every_image__spoils_none(
    make_model, sensor_table, seed
):
    scene = np.random.default_rng(9).uniform(0.1, 0.5, (4, 48, 48))
    image = photograph(scene, sensor_table, seed)
    noisy, spoiled, saved = (
        psnr(planes, scene)
        for planes in (
            image.normalised(),
            make_model(0.3).denoise_planes(image),
            make_model(0.3, safeguard=True).denoise_planes(image),
        )
    )
    assert spoiled < noisy - 1
    assert saved > noisy - 0.05


def test_safeguard__an_image_of_nothing_but_noise__is_denoised_in_full(
    make_model, sensor_table, monkeypatch
):
    scene = np.full((4, 48, 48), 0.01)
    image = photograph(scene, sensor_table)
    monkeypatch.setattr(
        "skadl.prediction.frame.FrameNetwork.removed",
        lambda network, tiles, core: tiles - tiles.mean(),
    )
    plain, safe = (
        make_model(safeguard=safeguard).denoise_planes(image)
        for safeguard in (False, True)
    )
    np.testing.assert_array_equal(safe, plain)


def test_safeguard__same_image_twice__is_the_same(make_model, sensor_table):
    image = photograph(np.full((4, 16, 16), 0.2), sensor_table)
    model = make_model(0.05, safeguard=True)
    first, second = (denoise(model, image).mosaic for _ in range(2))
    np.testing.assert_array_equal(first, second)


# Black-level error


def test_denoise__known_black_level_error__is_taken_out(
    make_network, conditioning, sensor_table
):
    offset = (3.0, -2.0, 1.0, 0.5)
    info = replace(sensor_table.get("A"), black_offset={100: offset, 6400: offset})
    network = make_network(conditioning.length).eval()  # returns its input
    table = sensor_table.updated({"A": info})
    model = FittedModel(network, conditioning, table, None, safeguard=False)
    mosaic = counts((12, 16), np.float32)
    result = pack_mosaic(denoise(model, raw_image(mosaic)).mosaic, "RGGB")
    expected = pack_mosaic(mosaic, "RGGB") - np.array(offset)[:, None, None]
    np.testing.assert_allclose(result, expected, atol=0.01)
