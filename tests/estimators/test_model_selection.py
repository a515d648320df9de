"""What reaches ADLDenoiser through the real scikit-learn: pairs, sources and meta.

Misuse is tested as well: each mistake that scikit-learn would let pass must be loud.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import sklearn
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_val_predict,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.metadata_routing import get_routing_for_object
from tiny_fits import (
    BRIEF,
    N_SPLITS,
    N_TARGET,
    N_TRAIN,
    SOURCE,
    TARGET,
    ShapedPairs,
    assert_same_fit,
    search_for,
    source_pairs,
    source_pool,
    target_pairs,
    tiny_denoiser,
)

import skadl
from skadl import ADLDenoiser, RawPair, SensorTable, SourcePool, make_pairs
from skadl.datasets import camera_info


@pytest.fixture(params=[False, True], ids=["routing off", "routing on"])
def routing(request):
    with sklearn.config_context(enable_metadata_routing=request.param):
        yield request.param


@pytest.fixture
def recorder():
    """An estimator that keeps what scikit-learn hands to fit and score."""

    class Recorder(ADLDenoiser):
        fits: list = []
        scores: list = []

        def fit(self, target_pairs, source_pairs=None, meta=None):
            self.fits.append((target_pairs, source_pairs, meta))
            return super().fit(target_pairs, source_pairs, meta)

        def score(self, target_pairs, y=None, meta=None):
            self.scores.append((target_pairs, y, meta))
            return super().score(target_pairs, y, meta)

    return tiny_denoiser(Recorder, **BRIEF)


@pytest.fixture(scope="module")
def fitted():
    """A search over one candidate; tests leave it as it is."""
    return search_for().fit(target_pairs(N_TARGET), source_pairs=source_pool())


@pytest.fixture
def listener():
    """Keeps what scikit-learn hands to fit and score, and does nothing with it."""

    class Listener(ADLDenoiser):
        fits: list = []
        scores: list = []

        def fit(self, target_pairs, source_pairs=None, meta=None):
            self.fits.append((target_pairs, source_pairs, meta))
            return self

        def score(self, target_pairs, y=None, meta=None):
            self.scores.append((target_pairs, y, meta))
            return 0.0

    return tiny_denoiser(Listener)


def pixels() -> np.ndarray:
    """Target pairs as the array that they must not be: (n, 2, H, W)."""
    return np.stack([(pair.noisy.mosaic, pair.clean.mosaic) for pair in target_pairs()])


# Which target_pairs can be split


@pytest.mark.parametrize("container", [list, tuple])
def test__folds__of_a_list_or_tuple__are_lists_of_the_same_pairs(
    container, listener, routing
):
    pairs = target_pairs(N_TARGET)
    search_for(listener).fit(container(pairs), source_pairs=source_pool())
    *folds, (whole, _, _) = listener.fits
    assert len(folds) == N_SPLITS
    for (train, _, _), (test, y, _), (left_out, kept) in zip(
        folds,
        listener.scores,
        [(indices[1], indices[0]) for indices in KFold(N_SPLITS).split(pairs)],
        strict=True,
    ):
        assert type(train) is type(test) is list
        assert y is None
        # The very objects: no pixel is copied.
        assert [id(pair) for pair in train] == [id(pairs[i]) for i in kept]
        assert [id(pair) for pair in test] == [id(pairs[i]) for i in left_out]
    assert whole == container(pairs)


def test__folds__of_an_object_array__are_object_arrays_of_the_same_pairs(
    listener, routing
):
    pairs = np.array(target_pairs(N_TARGET), dtype=object)
    search_for(listener).fit(pairs, source_pairs=source_pool())
    for train, _, _ in listener.fits:
        assert type(train) is np.ndarray and train.dtype == object
        assert {id(pair) for pair in train} <= {id(pair) for pair in pairs}
    assert [len(train) for train, _, _ in listener.fits] == 3 * [N_TRAIN] + [N_TARGET]


def test__search__any_container_of_pairs__gives_one_score(fitted):
    pairs = target_pairs(N_TARGET)
    scores = {
        search_for().fit(container, source_pairs=source_pool()).best_score_
        for container in (tuple(pairs), np.array(pairs, dtype=object))
    }
    assert scores == {fitted.best_score_}  # of a list


def test__object_array_of_pairs__is_one_dimensional():
    pairs = target_pairs(N_TARGET)
    array = np.array(pairs, dtype=object)
    assert array.shape == (N_TARGET,)
    assert array[2] is pairs[2]


def test__pairs__compare_and_hash_by_identity():
    first, second = target_pairs()[:2]
    assert first == first and first != second
    assert len({first, second, first}) == 2


class IndexedPairs(torch.utils.data.Dataset):
    """A torch Dataset: a length and an index, no iterator, no IndexError."""

    def __len__(self):
        return N_TARGET

    def __getitem__(self, index):
        return target_pairs(N_TARGET)[index % N_TARGET]


@pytest.mark.parametrize(
    ("pairs", "fold_type"),
    [(IndexedPairs(), list), (ShapedPairs(target_pairs(N_TARGET)), ShapedPairs)],
)
def test__folds__of_a_custom_sequence__are_those_of_a_list(
    pairs, fold_type, recorder, fitted
):
    search = search_for(recorder).fit(pairs, source_pairs=source_pool())
    assert {type(train) for train, _, _ in recorder.fits[:-1]} == {fold_type}
    assert search.best_score_ == fitted.best_score_
    assert_same_fit(search.best_estimator_, fitted.best_estimator_)


def test__list_of_tuples_of_arrays__is_refused_in_every_fold():
    tuples = [tuple(frames) for frames in pixels()]
    with pytest.raises(TypeError, match="item 0 is a tuple; .* skadl.make_pairs"):
        search_for().fit(tuples, source_pairs=source_pool())


def test__object_array_of_tuples__silently_is_an_array_of_pixels__refused():
    array = np.array([tuple(frames) for frames in pixels()], dtype=object)
    assert array.shape == (N_TARGET, 2, 32, 32)  # numpy's trap
    with pytest.raises(TypeError, match="item 0 is a ndarray; .* skadl.make_pairs"):
        search_for().fit(array, source_pairs=source_pool())


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
def test__stacked_pixels__are_refused_in_every_fold(convert):
    with pytest.raises(TypeError, match="must hold RawPair.* skadl.make_pairs"):
        search_for().fit(convert(pixels()), source_pairs=source_pool())


def test__refusal__shows_below_all_fits_failed_by_default():
    tuples = [tuple(frames) for frames in pixels()]
    with pytest.raises(ValueError, match=r"(?s)All the 3 fits failed.*make_pairs"):
        search_for(error_score=np.nan).fit(tuples, source_pairs=source_pool())


def test__tuple_of_noisy_and_clean__fails():
    noisy, clean = pixels().swapaxes(0, 1)
    with pytest.raises(ValueError, match="n_splits=3 greater than .*n_samples=2"):
        search_for().fit((list(noisy), list(clean)), source_pairs=source_pool())


def test__dict_of_pairs__fails():
    pairs = {f"frame {index}": pair for index, pair in enumerate(target_pairs())}
    with pytest.raises(KeyError):
        search_for().fit(pairs, source_pairs=source_pool())
    with pytest.raises(TypeError, match="target_pairs must be a sequence .* got dict"):
        search_for().fit(dict(enumerate(target_pairs())), source_pairs=source_pool())


def test__generator_of_pairs__fails():
    with pytest.raises(TypeError):
        search_for().fit((pair for pair in target_pairs()), source_pairs=source_pool())


def test__object_without_length__fails():
    class Pairs:
        def __iter__(self):
            return iter(target_pairs())

    with pytest.raises(TypeError):
        search_for().fit(Pairs(), source_pairs=source_pool())


def test__train_test_split__gives_lists_of_pairs():
    train, test = train_test_split(target_pairs(), test_size=2, random_state=0)
    assert all(isinstance(pair, RawPair) for pair in train + test)
    assert set(train) | set(test) == set(target_pairs())
    assert np.isfinite(tiny_denoiser().fit(train, source_pool()).score(test))


def test__group_k_fold__keeps_scenes_together(listener, routing):
    pairs = [
        RawPair(pair.noisy, pair.clean, f"scene {index // 2}")  # at two ISOs each
        for index, pair in enumerate(target_pairs(N_TARGET))
    ]
    search_for(listener, cv=GroupKFold(N_SPLITS), refit=False).fit(
        pairs, groups=[pair.scene for pair in pairs], source_pairs=source_pool()
    )
    for (train, *_), (test, *_) in zip(listener.fits, listener.scores, strict=True):
        assert not {pair.scene for pair in train} & {pair.scene for pair in test}
        assert len(train) == N_TRAIN and len(test) == 2


_ARRAY_API_SEARCH = """
import numpy as np
import sklearn
from tiny_fits import ShapedPairs, search_for, source_pool, target_pairs

def search(pairs):
    return search_for(cv=2, refit=False).fit(pairs, source_pairs=source_pool())

with sklearn.config_context(array_api_dispatch=True):
    for container in (list, lambda pairs: np.array(pairs, dtype=object)):
        assert np.isfinite(search(container(target_pairs(4))).best_score_)
    try:
        search(ShapedPairs(target_pairs(4)))
    except TypeError as error:
        assert "supported array type" in str(error), error
    else:
        raise AssertionError("a custom sequence passed")
print("searched")
"""


def test__array_api_dispatch__takes_lists_and_object_arrays_only():
    # SciPy reads its switch at import, so this needs a process of its own.
    done = subprocess.run(
        [sys.executable, "-c", _ARRAY_API_SEARCH],
        env={
            **os.environ,
            "SCIPY_ARRAY_API": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if "array_api_compat is required" in done.stderr:
        pytest.skip("this scikit-learn needs array_api_compat, which is not installed")
    assert done.stdout == "searched\n", done.stderr


# What happens to source_pairs


def test__pool__has_nothing_that_folds_could_cut():
    pool = source_pool()
    for attribute in ("__len__", "shape", "__array__", "__getitem__", "iloc"):
        assert not hasattr(pool, attribute)
        assert not hasattr(SensorTable(), attribute)


@pytest.mark.parametrize(
    "pool",
    [
        SourcePool(source_pairs(4)),
        SourcePool(source_pairs(N_TARGET)),
        SourcePool(source_pairs(N_TRAIN)),
        SourcePool({f"domain {i}": source_pairs(2) for i in range(N_TARGET)}),
    ],
    ids=["4 pairs", "as many pairs", "as many as a fold", "as many domains"],
)
def test__pool__arrives_whole(pool, listener, routing):
    search_for(listener).fit(target_pairs(N_TARGET), source_pairs=pool)
    assert len(listener.fits) == N_SPLITS + 1
    assert all(sources is pool for _, sources, _ in listener.fits)


def test__list_of_sources_of_another_length__arrives_whole(listener, routing):
    sources = source_pairs(5)
    search_for(listener).fit(target_pairs(N_TARGET), source_pairs=sources)
    assert all(given == sources for _, given, _ in listener.fits)


@pytest.mark.parametrize("convert", [list, tuple, lambda x: np.array(x, dtype=object)])
def test__list_of_sources_as_long_as_the_target__is_refused(convert, recorder, routing):
    sources = convert(source_pairs(N_TARGET))
    with pytest.raises(ValueError, match=r"Pass source_pairs=SourcePool\(source_pairs"):
        search_for(recorder).fit(target_pairs(N_TARGET), source_pairs=sources)
    # scikit-learn did cut it, in silence: this is what the refusal is for.
    assert len(recorder.fits[0][1]) == N_TRAIN


def test__list_of_sources_as_long_as_a_fold__is_refused_too(routing):
    with pytest.raises(ValueError, match="SourcePool"):
        search_for().fit(target_pairs(N_TARGET), source_pairs=source_pairs(N_TRAIN))


def test__dict_of_domains__arrives_whole(listener, routing):
    domains = dict(source_pool().domains)
    search_for(listener).fit(target_pairs(N_TARGET), source_pairs=domains)
    assert all(given is domains for _, given, _ in listener.fits)


def test__dict_of_as_many_domains_as_target_pairs__fails(routing):
    domains = {f"domain {i}": source_pairs(2) for i in range(N_TARGET)}
    with pytest.raises(KeyError):
        search_for().fit(target_pairs(N_TARGET), source_pairs=domains)
    numbered = {i: source_pairs(2) for i in range(N_TARGET)}
    with pytest.raises(TypeError, match="must hold RawPair, but item 0 is a"):
        search_for().fit(target_pairs(N_TARGET), source_pairs=numbered)


def test__pool_by_position__says_to_use_the_keyword(routing):
    with pytest.raises(TypeError, match=r"search.fit\(pairs, source_pairs=pool\)"):
        search_for().fit(target_pairs(), source_pool())
    with pytest.raises((TypeError, ValueError), match="SourcePool"):
        cross_val_score(tiny_denoiser(), target_pairs(), source_pool())


def test__list_by_position__is_refused(routing):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        search_for().fit(target_pairs(N_TARGET), source_pairs(5))
    with pytest.raises(ValueError, match="SourcePool"):
        search_for().fit(target_pairs(N_TARGET), source_pairs(N_TARGET))


def test__three_positional_arguments__fail():
    with pytest.raises(TypeError, match="takes from 2 to 3 positional arguments"):
        search_for().fit(target_pairs(), None, source_pool())


def test__pool_in_the_constructor__does_not_exist():
    with pytest.raises(TypeError):
        ADLDenoiser(source_pairs=source_pool())


def test__pipeline__its_y_is_left_out_and_sources_arrive(listener, routing):
    pipeline = Pipeline([("denoise", listener)])
    name = "source_pairs" if routing else "denoise__source_pairs"
    pool = source_pool()
    pipeline.fit(target_pairs(), **{name: pool})
    assert [sources for _, sources, _ in listener.fits] == [pool]


def test__pipeline_in_a_search__sources_arrive_whole(recorder):
    pipeline, pool = Pipeline([("denoise", recorder)]), source_pool()
    search = GridSearchCV(pipeline, {"denoise__n_iter": [1]}, cv=2, refit=False)
    search.fit(target_pairs(), denoise__source_pairs=pool)
    assert [sources for _, sources, _ in recorder.fits] == [pool, pool]


@pytest.mark.parametrize(
    "use",
    [
        lambda pairs: make_pipeline(StandardScaler(), tiny_denoiser()).fit(pairs),
        lambda pairs: TransformedTargetRegressor(tiny_denoiser()).fit(pairs, pairs),
    ],
)
def test__step_for_tables__says_that_pairs_are_none(use):
    with pytest.raises(TypeError, match="no table of numbers, so a step such as"):
        use(target_pairs())


def test__clean_frames_as_y__says_that_they_are_in_the_pairs(routing):
    pairs = target_pairs()
    clean = [pair.clean for pair in pairs]
    for y in (clean, np.zeros(len(pairs))):
        with pytest.raises(TypeError, match="takes no y: the clean frame of each pair"):
            cross_val_score(tiny_denoiser(), pairs, y, cv=2, error_score="raise")


@pytest.mark.parametrize("metric", [skadl.psnr, skadl.ssim])
def test__metric_of_two_images_as_scorer__says_what_to_give(metric, recorder):
    with pytest.raises(TypeError, match="no scorers. Leave scoring out"):
        cross_val_score(
            recorder, target_pairs(), cv=2, scoring=metric, error_score="raise"
        )


def test__scoring_by_name__ends_in_the_words_that_the_page_explains(recorder):
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y_t"):
        cross_val_score(
            recorder, target_pairs(), cv=2, scoring="r2", error_score="raise"
        )


def test__cross_val_predict__gives_the_denoised_frame_of_each_pair():
    pairs = target_pairs()
    denoised = cross_val_predict(tiny_denoiser(), pairs, cv=2)
    assert [image.iso for image in denoised] == [pair.iso for pair in pairs]
    fitted = tiny_denoiser().fit(pairs[len(pairs) // 2 :])
    first = fitted.predict(pairs[0].noisy)
    np.testing.assert_array_equal(denoised[0].mosaic, first.mosaic)
    as_pairs = fitted.predict(np.array([*pairs], object))
    np.testing.assert_array_equal(as_pairs[0].mosaic, first.mosaic)


def test__search__without_sources__trains_on_the_target(recorder, routing):
    search = search_for(recorder).fit(target_pairs())
    assert search.best_estimator_.selection_report_.n_offered == 0
    assert all(sources is None for _, sources, _ in recorder.fits)


# How sensor and ISO reach fit and score


def test__facts_in_the_pairs__are_right_in_every_fold(listener, routing):
    facts = dict(cfa="RGGB", black_level=512, white_level=16383, ratio=4)
    isos = [800 + index for index in range(N_TARGET)]
    noisy, clean = pixels().swapaxes(0, 1)
    pairs = make_pairs(noisy, clean, sensor=TARGET, iso=isos, **facts)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "ISO .* lies outside the range")
        search_for(listener).fit(pairs, source_pairs=source_pool())
    for members, *_ in listener.fits + listener.scores:
        for pair in members:
            index = int(pair.iso - 800)
            np.testing.assert_array_equal(pair.noisy.mosaic, noisy[index])
            np.testing.assert_array_equal(pair.clean.mosaic, clean[index])


@pytest.mark.parametrize(
    "meta",
    [
        [{"iso": 800}] * N_TARGET,
        {"target": [800] * N_TARGET, "source": [800] * 4},
        {"target": [800] * 2},
        type("Facts", (), {"target": [800] * N_TARGET})(),
    ],
    ids=["aligned list", "dict of lists", "short dict", "object"],
)
def test__meta__that_folds_could_misalign__is_refused(meta, routing):
    with pytest.raises(TypeError, match="meta must be a SensorTable or None"):
        search_for().fit(target_pairs(N_TARGET), source_pairs=source_pool(), meta=meta)


def test__meta__sensor_table__arrives_whole(recorder, routing):
    names = [TARGET, SOURCE, "OppoReno10x", "a", "b", "c"]  # as many as target pairs
    table = SensorTable(
        {name: camera_info(name if len(name) > 1 else SOURCE) for name in names}
    )
    search = search_for(recorder).fit(
        target_pairs(N_TARGET), source_pairs=source_pool(), meta=table
    )
    assert all(meta is table for _, _, meta in recorder.fits)
    # Only routing brings it to score, which does not need it.
    assert {meta for _, _, meta in recorder.scores} == {table if routing else None}
    known = search.best_estimator_.sensors_.get(TARGET)
    assert known.noise_at(800) == camera_info(TARGET).noise_at(800)


def test__requests__are_declared_by_the_class():
    requests = get_routing_for_object(ADLDenoiser())
    asked = {name for name, asks in requests.fit.requests.items() if asks}
    assert asked == {"source_pairs", "meta"}
    assert requests.score.requests == {"meta": True}
    assert "raw" not in requests.predict.requests


def test__search__scores_and_predicts_with_the_best(routing):
    search = search_for().fit(target_pairs(), source_pairs=source_pool())
    best = search.best_estimator_
    assert search.score(target_pairs()) == best.score(target_pairs())
    image = target_pairs()[0].noisy
    np.testing.assert_array_equal(
        search.predict(image).mosaic, best.predict(image).mosaic
    )
    denoised = best.predict(image.mosaic, TARGET, image.iso, image.ratio)
    np.testing.assert_array_equal(denoised, best.predict(image).mosaic)


def test__search__scored_with_sources_as_y__says_so(fitted):
    with pytest.raises(TypeError, match=r"search.fit\(pairs, source_pairs="):
        fitted.score(target_pairs(), source_pairs(N_TARGET))
