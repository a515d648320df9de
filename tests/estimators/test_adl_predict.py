"""ADLDenoiser: what predict takes and returns, and what score measures."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from tiny_fits import (
    TARGET,
    make_tiny_pairs,
    search_for,
    source_pairs,
    source_pool,
    target_pairs,
    tiny_denoiser,
)

from skadl import RawImage, RawPair, SensorTable, calibrate_sensor, write_dng
from skadl.datasets import camera_info
from skadl.raw.mosaic import CFA_PATTERNS, pack_mosaic

PSNR_LIMIT = 20 * np.log10(65535)  # equal images; see skadl.psnr


@pytest.fixture(scope="module")
def model():
    """A fitted estimator that tests only look at."""
    return tiny_denoiser().fit(target_pairs(), source_pool())


@pytest.fixture
def image():
    return target_pairs()[0].noisy


# Predict


def test__unfitted__predict_and_score__say_so(image):
    with pytest.raises(NotFittedError):
        tiny_denoiser().predict(image)
    with pytest.raises(NotFittedError):
        tiny_denoiser().score(target_pairs())
    with pytest.raises(NotFittedError):
        clone(tiny_denoiser().fit(target_pairs())).predict(image)


def test__predict__raw_image__returns_one_with_the_same_facts(model, image):
    denoised = model.predict(image)
    assert type(denoised) is RawImage
    assert denoised.mosaic.dtype == image.mosaic.dtype == np.uint16
    assert denoised.mosaic.shape == image.mosaic.shape
    for fact in ("cfa", "black_level", "white_level", "sensor", "iso", "ratio", "path"):
        assert getattr(denoised, fact) == getattr(image, fact)
    assert (denoised.mosaic != image.mosaic).any()


def test__predict__mosaic_and_packed__agree_with_the_record(model, image):
    expected = model.predict(image).mosaic
    mosaic = model.predict(image.mosaic, TARGET, image.iso, image.ratio)
    np.testing.assert_array_equal(mosaic, expected)
    packed = model.predict(image.packed(), sensor=TARGET, iso=image.iso, ratio=4)
    assert packed.dtype == np.uint16
    np.testing.assert_array_equal(packed, pack_mosaic(expected, image.cfa))


def test__predict__path__reads_the_file(model, image, tmp_path):
    path = write_dng(tmp_path / "noisy.dng", image)
    expected = model.predict(image).mosaic
    for given_path in (path, str(path)):
        denoised = model.predict(given_path, ratio=image.ratio)
        assert isinstance(denoised, RawImage)
        assert (denoised.sensor, denoised.iso) == (TARGET, image.iso)
        np.testing.assert_array_equal(denoised.mosaic, expected)


def test__predict__path_with_facts__puts_them_in_place_of_the_files(
    model, image, tmp_path
):
    unknown = RawImage(image.mosaic, "RGGB", 512, 16383, "Unheard Of", 6400)
    path = write_dng(tmp_path / "noisy.dng", unknown)
    with pytest.raises(ValueError, match="noise of sensor 'Unheard Of' is not known"):
        model.predict(path)
    denoised = model.predict(path, TARGET, 800)
    assert (denoised.sensor, denoised.iso) == (TARGET, 800)
    assert np.isfinite(denoised.mosaic).all()


def test__predict__path_and_float_dtype__keeps_fractions_that_a_dng_can_hold(
    model, image, tmp_path
):
    path = write_dng(tmp_path / "noisy.dng", image)
    denoised = model.predict(path, ratio=image.ratio, dtype=np.float32)
    exact = model.predict(image.with_mosaic(image.mosaic.astype(np.float32)))
    np.testing.assert_array_equal(denoised.mosaic, exact.mosaic)
    assert (denoised.mosaic != np.rint(denoised.mosaic)).any()
    write_dng(tmp_path / "denoised.dng", denoised)


def test__predict__missing_file__is_not_found(model, tmp_path):
    with pytest.raises(FileNotFoundError):
        model.predict(tmp_path / "absent.dng")


def test__predict__list__takes_all_kinds(model, image, tmp_path):
    path = write_dng(tmp_path / "noisy.dng", image)
    kinds = [image, path, str(path), image.mosaic, image.packed()]
    denoised = model.predict(kinds, TARGET, image.iso, image.ratio)
    assert [type(item) for item in denoised] == 3 * [RawImage] + 2 * [np.ndarray]
    for item in denoised[:3]:
        np.testing.assert_array_equal(item.mosaic, denoised[3])
    assert model.predict([]) == []
    assert len(model.predict((image, image))) == 2


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    height=st.integers(2, 23),
    width=st.integers(2, 23),
    cfa=st.sampled_from(CFA_PATTERNS),
    dtype=st.sampled_from(["u1", "u2", "i2", "i4", "i8", ">u2", "f2", "f4", "f8"]),
    seed=st.integers(0, 99),
)
def test__predict__any_size_order_and_dtype__is_kept(
    model, height, width, cfa, dtype, seed
):
    counts = np.random.RandomState(seed).randint(0, 256, (height, width))
    image = RawImage(counts.astype(dtype), cfa, 16, 255, TARGET, 800)
    denoised = model.predict(image)
    assert denoised.mosaic.shape == (height, width)
    assert denoised.mosaic.dtype == image.mosaic.dtype
    assert np.isfinite(denoised.mosaic).all()
    mosaic = model.predict(image.mosaic, TARGET, 800)
    assert (mosaic.shape, mosaic.dtype) == ((height, width), image.mosaic.dtype)
    packed = np.stack([image.mosaic] * 4).astype(dtype)
    planes = model.predict(packed, TARGET, 800)
    assert (planes.shape, planes.dtype) == (packed.shape, packed.dtype)
    assert np.isfinite(planes).all()


def test__predict__float_counts__are_not_rounded(model, image):
    exact = model.predict(image.with_mosaic(image.mosaic.astype(np.float32))).mosaic
    assert (exact != np.rint(exact)).any()
    np.testing.assert_array_equal(np.rint(exact), model.predict(image).mosaic)


def test__predict__views_and_fortran_order__make_no_difference(model, image):
    expected = model.predict(image).mosaic
    strided = np.zeros((64, 64), np.uint16)
    strided[::2, ::2] = image.mosaic
    for mosaic in (np.asfortranarray(image.mosaic), strided[::2, ::2]):
        np.testing.assert_array_equal(
            model.predict(image.with_mosaic(mosaic)).mosaic, expected
        )


def test__predict__same_image_twice__is_the_same(model, image):
    first, second = model.predict([image, image])
    np.testing.assert_array_equal(first.mosaic, second.mosaic)


def test__predict__unknown_sensor__lists_the_known(model, image):
    known = r"known sensors are \['SonyA7S2', 'NikonD850', 'OppoReno10x'\]"
    message = f"sensor 'IMX600' was not seen during fit and its noise .*; {known}"
    with pytest.raises(ValueError, match=message):
        model.predict(image.mosaic, "IMX600", 800)
    too_small = f"'IMX600' is not known, and the image does not tell it: .*{known[1:]}"
    with pytest.raises(ValueError, match=too_small):
        model.predict(image, sensor="IMX600")
    with pytest.raises(ValueError, match=message):
        model.score([_renamed(target_pairs()[0], "IMX600")])


def test__predict__sensor_given_for_a_record__replaces_its_own(model, image):
    stranger = _renamed(target_pairs()[0], "IMX600").noisy
    np.testing.assert_array_equal(
        model.predict(stranger, sensor=TARGET).mosaic, model.predict(image).mosaic
    )


@pytest.mark.parametrize("facts", [{}, {"sensor": TARGET}, {"iso": 800}])
def test__predict__array_without_sensor_or_iso__asks_for_them(model, image, facts):
    for array in (image.mosaic, image.packed()):
        with pytest.raises(ValueError, match=r"give predict\(raw, sensor, iso\)"):
            model.predict(array, **facts)


@pytest.mark.parametrize("iso", [0, -100, np.nan, "high"])
def test__predict__iso_no_positive_number__is_refused(model, image, iso):
    with pytest.raises(ValueError, match="iso must be a positive finite number"):
        model.predict(image.mosaic, TARGET, iso)


@pytest.mark.parametrize("shape", [(32,), (3, 16, 16), (1, 4, 16, 16), (0, 0), (4, 0)])
def test__predict__array_of_another_shape__is_refused(model, shape):
    with pytest.raises(ValueError):
        model.predict(np.zeros(shape, np.uint16), TARGET, 800)


@pytest.mark.parametrize("wrong", [None, 7j, {}, np.zeros((4, 4), bool), object()])
def test__predict__no_image__says_what_is_taken(model, wrong):
    with pytest.raises(TypeError, match="predict takes a RawImage, a path, a mosaic"):
        model.predict(wrong, TARGET, 800)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test__predict__image_not_finite__is_refused(model, image, value):
    mosaic = image.mosaic.astype(np.float32)
    mosaic[3, 4] = value
    for raw in (mosaic, image.with_mosaic(mosaic), pack_mosaic(mosaic, "RGGB")):
        with pytest.raises(ValueError, match="NaN or infinity"):
            model.predict(raw, TARGET, 800)


@pytest.mark.parametrize("iso", [100, 25600])
def test__predict__iso_outside_the_fitted_range__warns(model, image, iso):
    with pytest.warns(UserWarning, match="outside the range 800 to 1600"):
        denoised = model.predict(image, iso=iso)
    assert denoised.iso == image.iso


# A sensor never seen


@pytest.fixture(scope="module")
def stranger_pairs():
    """Pairs of a sensor that no fit here sees."""
    return make_tiny_pairs("CanonEOS5D4", 4, seed=3)


@pytest.fixture(scope="module")
def noise_model():
    """Told of noise only, with one more sensor in its table."""
    table = SensorTable({"CanonEOS5D4": camera_info("CanonEOS5D4")})
    estimator = tiny_denoiser(conditioning="noise")
    return estimator.fit(target_pairs(), source_pool(), meta=table)


def test__noise_conditioning__facts_in_meta_or_given__agree_for_every_kind(
    noise_model, stranger_pairs, tmp_path
):
    image, info = stranger_pairs[0].noisy, camera_info("CanonEOS5D4")
    path = write_dng(tmp_path / "noisy.dng", image)
    raws = [image, path, str(path), image.mosaic, image.packed()]
    by_name = noise_model.predict(raws, "CanonEOS5D4", image.iso, image.ratio)
    by_facts = noise_model.predict(raws, info, image.iso, image.ratio)
    for named, described in zip(by_name, by_facts, strict=True):
        assert type(named) is type(described)
        np.testing.assert_array_equal(
            getattr(named, "mosaic", named), getattr(described, "mosaic", described)
        )
    exact = image.mosaic.astype(np.float32)
    denoised = noise_model.predict(exact, info, image.iso, image.ratio)
    assert (denoised != exact).any()
    np.testing.assert_array_equal(noise_model.predict(image).mosaic, by_name[0].mosaic)


def test__noise_conditioning__measured_sensor__can_be_predicted(
    noise_model, stranger_pairs
):
    info = calibrate_sensor(stranger_pairs)
    image = _renamed(stranger_pairs[0], "Mine").noisy
    denoised = noise_model.predict(image, info)
    assert np.isfinite(denoised.mosaic).all() and denoised.sensor == "Mine"


def test__noise_conditioning__score__knows_what_predict_knows(
    noise_model, stranger_pairs
):
    by_name = noise_model.score(stranger_pairs)
    renamed = [_renamed(pair, "Mine") for pair in stranger_pairs]
    with pytest.raises(ValueError, match="'Mine' was not seen .*passed to fit or scor"):
        noise_model.score(renamed)
    table = SensorTable({"Mine": camera_info("CanonEOS5D4")})
    assert noise_model.score(renamed, meta=table) == by_name
    with pytest.raises(ValueError, match="'Mine' was not seen"):
        noise_model.score(renamed)  # score leaves nothing behind


def test__noise_conditioning__score__keeps_what_fit_knows(noise_model):
    other = SensorTable({TARGET: camera_info("CanonEOS5D4")})
    expected = noise_model.score(target_pairs())
    assert noise_model.score(target_pairs(), meta=other) == expected


def test__noise_conditioning__pickled_and_cloned__does_the_same(
    noise_model, stranger_pairs
):
    image = stranger_pairs[0].noisy
    copy = pickle.loads(pickle.dumps(noise_model))
    np.testing.assert_array_equal(
        copy.predict(image).mosaic, noise_model.predict(image).mosaic
    )
    again = clone(noise_model).fit(
        target_pairs(), source_pool(), meta=noise_model.sensors_
    )
    assert again.sensors_.get("CanonEOS5D4").knows_noise


def test__noise_conditioning__in_a_search__is_one_more_parameter():
    grid = {"conditioning": ["noise", "sensor_iso_noise", "sensor_iso"]}
    search = search_for(grid=grid).fit(target_pairs(), source_pairs=source_pool())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test__fit__what_the_pairs_leave_open__is_in_the_report():
    pairs = make_tiny_pairs("NikonD850", 2, seed=5)[:1] * 2
    with pytest.warns(UserWarning, match=r"the same as target_pairs\[0\]"):
        model = tiny_denoiser(n_pretrain_iter=1, n_finetune_iter=0).fit(pairs)
    notes = [note for note in model.selection_report_.notes if "All pairs" in note]
    assert len(notes) == 1 and notes[0].startswith("noise of sensor 'NikonD850': ")
    assert notes[0].endswith(model.sensors_.get("NikonD850").notes[0])


# Score


def test__score__is_the_mean_psnr_of_normalised_clipped_planes(model):
    pairs = target_pairs()
    bright = pairs[0].clean.with_mosaic(4 * pairs[0].clean.mosaic)
    pairs.append(RawPair(pairs[0].noisy, bright))
    assert bright.mosaic.max() > bright.white_level
    scores = []
    for pair in pairs:
        noisy, clean = pair.noisy, pair.clean
        unrounded = noisy.with_mosaic(noisy.mosaic.astype(np.float64))
        denoised = model.predict(unrounded).mosaic
        span = noisy.white_level - noisy.black_level
        prediction = np.clip((denoised - noisy.black_level) / span * noisy.ratio, 0, 1)
        truth = np.clip((clean.mosaic - clean.black_level) / span, 0, 1)
        scores.append(-10 * np.log10(np.mean((prediction - truth) ** 2)))
    assert model.score(pairs) == pytest.approx(np.mean(scores), abs=1e-4)
    assert isinstance(model.score(pairs), float)


def test__score__identical_prediction__is_finite(model):
    frames = [pair.noisy for pair in target_pairs()]
    frames = [frame.with_mosaic(frame.mosaic.astype(float)) for frame in frames]
    perfect = []
    for frame in frames:
        denoised = model.predict(frame)
        # The clean partner is at full exposure: its counts times the light factor.
        black = frame.black_level
        full = black + (denoised.mosaic - black) * frame.ratio
        clean = RawImage(full, frame.cfa, black, frame.white_level, TARGET, frame.iso)
        perfect.append(RawPair(frame, clean))
    assert 90 < model.score(perfect) <= PSNR_LIMIT + 1e-6


def test__score__takes_any_container(model):
    pairs = target_pairs()
    expected = model.score(pairs)
    assert model.score(tuple(pairs)) == expected
    assert model.score(np.array(pairs, dtype=object)) == expected
    assert model.score(pairs, None) == model.score(pairs, y=None) == expected
    assert model.score(pairs, meta=model.sensors_) == expected


def test__score__with_y__says_to_pass_sources_by_keyword(model):
    for y in (source_pool(), source_pairs(), np.zeros(6)):
        with pytest.raises(TypeError, match=r"search.fit\(pairs, source_pairs="):
            model.score(target_pairs(), y)


def test__score__nothing_or_no_pairs__is_refused(model):
    with pytest.raises(ValueError, match="no pairs to score"):
        model.score([])
    with pytest.raises(TypeError, match="must hold RawPair, but item 0 is a RawImage"):
        model.score([target_pairs()[0].noisy])


def _renamed(pair: RawPair, sensor: str) -> RawPair:
    noisy, clean = (
        RawImage(
            frame.mosaic,
            frame.cfa,
            frame.black_level,
            frame.white_level,
            sensor,
            frame.iso,
            frame.ratio,
        )
        for frame in (pair.noisy, pair.clean)
    )
    return RawPair(noisy, clean)
