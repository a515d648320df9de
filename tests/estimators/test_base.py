"""A denoiser of ten lines that does nothing: what `RawDenoiser` gives to any other."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.validation import check_is_fitted
from tiny_fits import OTHER_SOURCE, TARGET, make_tiny_pairs, source_pool, target_pairs

from skadl import RawImage, SensorInfo, SensorTable, evaluate_pairs, write_dng
from skadl.estimators.base import RawDenoiser
from skadl.estimators.model_files.onnx import export_onnx
from skadl.prediction.model import PlaneFunction
from skadl.raw.mosaic import CFA_PATTERNS, pack_mosaic

FACTS = SensorInfo("RGGB", 512.0, 16383.0)  # of the target's sensor
EXPOSURE = dict(sensor=TARGET, iso=800)


class Nothing(RawDenoiser):
    """Gives an image back, times `factor`."""

    def __init__(self, factor=1.0, needs_noise=False):
        self.factor = factor
        self.needs_noise = needs_noise

    def fit(self, target_pairs, source_pairs=None, meta=None):
        self.sensors_ = SensorTable.from_pairs(target_pairs)
        return self

    def fitted_model(self):
        check_is_fitted(self)
        return PlaneFunction(self.sensors_, self._denoise, self.needs_noise)

    def _denoise(self, image, info):
        return self.factor * image.normalised()


@pytest.fixture(scope="module")
def fitted():
    return Nothing().fit(target_pairs())


def image_of(mosaic, cfa="RGGB", **changes):
    image = RawImage(mosaic, cfa, 512, 16383, TARGET, 800, 4.0)
    return replace(image, **changes)


def counts(*shape, dtype=np.uint16):
    return np.random.default_rng(0).integers(400, 9000, shape).astype(dtype)


# Every kind of input comes back as it was


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize("shape", [(12, 16), (11, 16), (12, 15), (9, 9)])
def test_predict__raw_image_of_any_size__comes_back(fitted, cfa, shape):
    image = image_of(counts(*shape), cfa)
    result = fitted.predict(image)
    assert isinstance(result, RawImage)
    assert (result.sensor, result.iso, result.ratio) == (TARGET, 800, 4.0)
    np.testing.assert_array_equal(result.mosaic, image.mosaic)
    assert result.mosaic.dtype == np.uint16


@pytest.mark.parametrize("shape", [(12, 16), (9, 11), (4, 6, 8)])
def test_predict__mosaic_or_packed_planes__come_back(fitted, shape):
    array = counts(*shape)
    result = fitted.predict(array, **EXPOSURE)
    np.testing.assert_array_equal(result, array)
    assert result.dtype == array.dtype


def test_predict__path__gives_the_image_of_the_file(fitted, tmp_path):
    image = image_of(counts(96, 128))  # LibRaw takes no smaller files
    write_dng(tmp_path / "a.dng", image)
    result = fitted.predict(tmp_path / "a.dng", **EXPOSURE)
    np.testing.assert_array_equal(result.mosaic, image.mosaic)


def test_predict__list__gives_a_list_of_the_same_kinds(fitted):
    image = image_of(counts(10, 12))
    first, second = fitted.predict([image, image.mosaic], **EXPOSURE)
    assert isinstance(first, RawImage) and isinstance(second, np.ndarray)
    np.testing.assert_array_equal(first.mosaic, second)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_predict__dtype__is_that_of_the_image_or_as_asked(fitted, dtype):
    image = image_of(counts(8, 8, dtype=dtype))
    assert fitted.predict(image).mosaic.dtype == dtype
    asked = fitted.predict(image_of(counts(8, 8)), dtype=dtype).mosaic
    assert asked.dtype == dtype
    np.testing.assert_allclose(asked, counts(8, 8), rtol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_predict__strength__goes_part_of_the_way(strength):
    dark = Nothing(factor=0.5).fit(target_pairs())
    image = image_of(counts(8, 8, dtype=np.float64))
    result = dark.predict(image, strength=strength).mosaic
    expected = image.mosaic - strength * 0.5 * (image.mosaic - 512)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    if strength == 0:
        np.testing.assert_array_equal(result, image.mosaic)


def test_predict__function__sees_even_sides_in_the_images_own_pattern():
    seen = []

    class Watching(Nothing):
        def _denoise(self, image, info):
            seen.append((image, info))
            return image.normalised()

    watching = Watching().fit(target_pairs())
    watching.predict(image_of(counts(9, 11), "GBRG"))
    image, info = seen[0]
    assert image.mosaic.shape == (10, 12) and image.cfa == "GBRG"
    assert info.white_level == 16383


# Scores


@pytest.mark.parametrize("factor", [1.0, 0.9])
def test_score__any_factor__is_what_evaluate_pairs_says(factor):
    denoiser, pairs = Nothing(factor).fit(target_pairs()), target_pairs()
    assert denoiser.score(pairs) == evaluate_pairs(denoiser, pairs).psnr


def test_score__nothing_done__is_that_of_the_noisy_images(fitted):
    assert fitted.score(target_pairs()) == evaluate_pairs(None, target_pairs()).psnr


def test_score__meta__lets_sensors_be_scored_that_fit_did_not_see():
    pairs = make_tiny_pairs(OTHER_SOURCE, 2)
    noise = dict(gain={800: 1.0, 1600: 2.0}, read_noise={800: 2.0, 1600: 4.0})
    seen = SensorTable.from_pairs(pairs).get(OTHER_SOURCE)
    meta = SensorTable({OTHER_SOURCE: replace(seen, **noise)})
    denoiser = Nothing(needs_noise=True).fit(target_pairs())
    with pytest.raises(ValueError, match="was not seen during fit and its noise"):
        denoiser.score(pairs)
    assert denoiser.score(pairs, meta=meta) == evaluate_pairs(None, pairs).psnr
    assert OTHER_SOURCE not in denoiser.sensors_


def test_score__pairs_that_are_none__are_refused(fitted):
    with pytest.raises(ValueError, match="no pairs"):
        fitted.score([])
    with pytest.raises(TypeError, match="score takes no y"):
        fitted.score(target_pairs(), target_pairs())


# scikit-learn


def test_clone__fitted__is_unfitted_with_the_same_parameters():
    copy = clone(Nothing(0.5).fit(target_pairs()))
    assert copy.get_params() == {"factor": 0.5, "needs_noise": False}
    with pytest.raises(NotFittedError):
        copy.predict(image_of(counts(8, 8)))


def test_pickle__fitted__predicts_the_same(fitted):
    image = image_of(counts(8, 8))
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(
        again.predict(image).mosaic, fitted.predict(image).mosaic
    )


def test_search__factors__finds_the_one_that_scores_best():
    search = GridSearchCV(
        Nothing(), {"factor": [0.25, 1.0, 4.0]}, cv=3, error_score="raise"
    )
    search.fit(target_pairs(), source_pairs=source_pool())
    assert search.best_params_ == {"factor": 1.0}
    assert isinstance(search.predict(target_pairs()[0].noisy), RawImage)


def test_cross_val_score__three_folds__are_scores_of_their_pairs():
    pairs = target_pairs()
    scores = cross_val_score(Nothing(), pairs, cv=3, error_score="raise")
    expected = [evaluate_pairs(None, pairs[i : i + 2]).psnr for i in (0, 2, 4)]
    np.testing.assert_array_equal(scores, expected)


def test_base__without_fitted_model__cannot_be_built():
    class Unfinished(RawDenoiser):
        pass

    with pytest.raises(TypeError, match="fitted_model"):
        Unfinished()


# Refusals


@pytest.mark.parametrize("method", ["predict", "denoise_planes"])
def test_unfitted__any_use__says_so(method):
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(Nothing(), method)(image_of(counts(8, 8)))
    with pytest.raises(NotFittedError, match="not fitted"):
        Nothing().score(target_pairs())


@pytest.mark.parametrize("needs_noise", [False, True])
def test_predict__unknown_sensor__is_refused_with_those_known(needs_noise):
    denoiser = Nothing(needs_noise=needs_noise).fit(target_pairs())
    with pytest.raises(ValueError, match="'Nobody' .* not .*nown sensors are"):
        denoiser.predict(image_of(counts(8, 8), sensor="Nobody"))
    with pytest.raises(ValueError, match="does not say where it comes from"):
        denoiser.predict(counts(8, 8))


def test_predict__facts_of_a_sensor_in_its_place__are_enough(fitted):
    array = pack_mosaic(counts(8, 8), "GRBG")
    info = replace(FACTS, cfa="GRBG")
    np.testing.assert_array_equal(fitted.predict(array, info, 800), array)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_predict__image_not_finite__is_refused(fitted, bad):
    mosaic = counts(8, 8, dtype=np.float32)
    mosaic[3, 4] = bad
    with pytest.raises(ValueError, match="holds NaN or infinity; repair"):
        fitted.predict(image_of(mosaic))
    with pytest.raises(ValueError, match="holds NaN or infinity; repair"):
        fitted.denoise_planes(image_of(mosaic))


def test_predict__result_not_finite__is_refused():
    broken = Nothing(factor=np.nan).fit(target_pairs())
    with pytest.raises(FloatingPointError, match="gave NaN or infinity"):
        broken.predict(image_of(counts(8, 8)))


def test_predict__result_of_another_shape__is_refused():
    class Wrong(Nothing):
        def _denoise(self, image, info):
            return image.mosaic

    with pytest.raises(ValueError, match=r"shape \(8, 10\) .* planes \(4, 4, 5\)"):
        Wrong().fit(target_pairs()).predict(image_of(counts(8, 10)))


def test_predict__self_ensemble__is_refused(fitted):
    with pytest.raises(ValueError, match="for denoisers with a network"):
        fitted.predict(image_of(counts(8, 8)), self_ensemble=True)


def test_predict__iso_outside_what_is_known_of_the_noise__warns():
    noise = dict(gain={800: 1.0, 1600: 2.0}, read_noise={800: 2.0, 1600: 4.0})
    denoiser = Nothing(needs_noise=True).fit(target_pairs())
    info = replace(FACTS, **noise)
    with pytest.warns(UserWarning, match="lies outside the range 800 to 1600"):
        denoiser.predict(image_of(counts(8, 8), iso=6400), sensor=info)


def test_export__denoiser_without_a_network__is_refused(fitted, tmp_path):
    pytest.importorskip("onnx")
    with pytest.raises(TypeError, match="Nothing has none"):
        export_onnx(fitted, tmp_path / "m.onnx", TARGET, 800)
