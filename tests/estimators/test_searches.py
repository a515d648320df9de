"""ADLDenoiser in searches: scorers, grids, curves, lazy files and workers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_validate, learning_curve
from tiny_fits import (
    N_SPLITS,
    N_TARGET,
    assert_same_fit,
    search_for,
    source_pairs,
    source_pool,
    target_pairs,
    tiny_denoiser,
)

from skadl import (
    ADLDenoiser,
    RawImage,
    RawPair,
    SensorInfo,
    SensorTable,
    SourcePool,
    make_pairs,
    open_raw,
    psnr,
    ssim,
    write_dng,
)


@pytest.fixture(params=[False, True], ids=["routing off", "routing on"])
def routing(request):
    with sklearn.config_context(enable_metadata_routing=request.param):
        yield request.param


# Scorers


def _mean_metric(metric):
    def scorer(estimator, pairs, y=None):
        denoised = estimator.predict([pair.noisy for pair in pairs])
        return np.mean(
            [
                metric(image.normalised(), pair.clean.normalised())
                for image, pair in zip(denoised, pairs, strict=True)
            ]
        )

    return scorer


def test__scoring__callable__is_used(routing):
    search = search_for(scoring=_mean_metric(ssim))
    search.fit(target_pairs(), source_pairs=source_pool())
    assert -1 <= search.best_score_ <= 1
    assert search.score(target_pairs()) <= 1


def test__scoring__several__refits_the_best_of_one(routing):
    scoring = {"psnr": _mean_metric(psnr), "ssim": _mean_metric(ssim)}
    search = search_for(
        grid={"learning_rate": [1e-5, 1e-2]}, scoring=scoring, refit="psnr", cv=2
    )
    search.fit(target_pairs(), source_pairs=source_pool())
    results = search.cv_results_
    assert np.isfinite(results["mean_test_psnr"]).all()
    assert np.isfinite(results["mean_test_ssim"]).all()
    assert search.best_index_ == np.argmax(results["mean_test_psnr"])
    assert search.best_params_ == results["params"][search.best_index_]


def test__scoring__string__needs_a_y_and_fails(routing):
    search = search_for(scoring="neg_mean_squared_error")
    with pytest.raises(TypeError, match="y_true"):
        search.fit(target_pairs(), source_pairs=source_pool())


# Searches


GRID = {"queue_size": [2, 20], "val_fraction": [0.2, (0.2, 0.5)]}


def test__grid_of_queue_size_and_val_fraction__same_scores_with_routing_on_and_off():
    searches = []
    for routing in (False, True):
        with sklearn.config_context(enable_metadata_routing=routing):
            search = search_for(tiny_denoiser(gate="queue"), GRID, cv=2)
            search.fit(target_pairs(), source_pairs=source_pool())
        searches.append(search)
        results = search.cv_results_
        assert results["params"] == [
            {"queue_size": size, "val_fraction": fraction}
            for size in (2, 20)
            for fraction in (0.2, (0.2, 0.5))
        ]
        assert list(results["param_val_fraction"]) == 2 * [0.2, (0.2, 0.5)]
        assert list(results["param_queue_size"]) == [2, 2, 20, 20]
        for name, column in results.items():
            if name != "params" and not name.startswith("param_"):
                assert np.isfinite(column).all(), name
        assert search.best_params_ in results["params"]
    off, on = searches
    assert off.best_score_ == on.best_score_
    np.testing.assert_array_equal(
        off.cv_results_["mean_test_score"], on.cv_results_["mean_test_score"]
    )
    assert_same_fit(off.best_estimator_, on.best_estimator_)


def test__grid__of_numpy_ranges__works():
    grid = {"queue_size": np.arange(2, 4), "learning_rate": np.logspace(-4, -3, 2)}
    search = search_for(tiny_denoiser(), grid, cv=2, refit=False)
    search.fit(target_pairs(), source_pairs=source_pairs(5))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test__best_estimator__is_what_its_parameters_fit_alone():
    search = search_for(tiny_denoiser(), GRID, cv=2)
    search.fit(target_pairs(), source_pairs=source_pool())
    alone = clone(search.best_estimator_).fit(target_pairs(), source_pool())
    assert_same_fit(search.best_estimator_, alone)


def test__fold_scores__are_those_of_fits_by_hand(routing):
    pairs = target_pairs()
    scores = cross_validate(
        tiny_denoiser(), pairs, cv=N_SPLITS, params={"source_pairs": source_pool()}
    )["test_score"]
    for score, (train, test) in zip(scores, KFold(N_SPLITS).split(pairs), strict=True):
        alone = tiny_denoiser().fit([pairs[i] for i in train], source_pool())
        assert score == alone.score([pairs[i] for i in test])


def test__learning_curve__says_how_many_pairs_are_needed(routing):
    sizes, _, scores = learning_curve(
        tiny_denoiser(),
        target_pairs(),
        None,
        cv=N_SPLITS,
        train_sizes=[2, 4],
        params={"source_pairs": source_pool()},
    )
    assert list(sizes) == [2, 4]
    assert scores.shape == (2, N_SPLITS) and np.isfinite(scores).all()


def test__fold_with_one_pair_left__says_how_many_are_needed():
    with pytest.raises(ValueError, match="got 1 target pairs, at least 2"):
        search_for(cv=2).fit(target_pairs(3), source_pairs=source_pool())


def test__identical_prediction_in_a_fold__keeps_results_finite():
    # Far beyond white: prediction and truth are clipped to the same image.
    facts = dict(sensor="A", iso=800, cfa="RGGB", black_level=0, white_level=1000)

    def image(level):
        return RawImage(np.full((32, 32), level, np.float32), **facts)

    pairs = [RawPair(image(60000 + n), image(61000 + n)) for n in range(N_TARGET)]
    known = SensorInfo("RGGB", 0, 1000, gain={800: 0.5}, read_noise={800: 2.0})
    search = search_for(grid={"queue_size": [2, 3]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a level that cannot be
        search.fit(pairs, meta=SensorTable({"A": known}))
    results = search.cv_results_
    assert results["mean_test_score"] == pytest.approx(2 * [20 * np.log10(65535)])
    assert results["std_test_score"] == pytest.approx(0)


def test__lazy_pairs__search_like_those_in_memory(tmp_path):
    pairs, lazy = target_pairs(), []
    for index, pair in enumerate(pairs):
        path = write_dng(tmp_path / f"{index}.dng", pair.noisy)
        lazy.append(RawPair(open_raw(path, ratio=pair.ratio), pair.clean))
    expected = search_for().fit(pairs, source_pairs=source_pool())
    search = search_for().fit(lazy, source_pairs=source_pool())
    assert search.best_score_ == expected.best_score_


def test__search__leaves_the_configuration_as_it_was(routing):
    before = sklearn.get_config()
    search_for().fit(target_pairs(), source_pairs=source_pool())
    assert sklearn.get_config() == before


def test__search__shows_itself_in_a_notebook():
    search = search_for().fit(target_pairs(), source_pairs=source_pool())
    assert "ADLDenoiser" in search._repr_html_()


# Workers


class MappedDenoiser(ADLDenoiser):
    """Fails in a worker unless it got read-only maps and no warning came up."""

    def fit(self, target_pairs, source_pairs=None, meta=None):
        for _, pair in [*source_pairs.pairs(), *enumerate(target_pairs)]:
            for mosaic in (pair.noisy.mosaic, pair.clean.mosaic):
                if not isinstance(mosaic, np.memmap) or mosaic.flags.writeable:
                    raise AssertionError("joblib handed over no read-only map")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return super().fit(target_pairs, source_pairs, meta)

    def score(self, target_pairs, y=None, meta=None):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return super().score(target_pairs, y, meta)


def test__n_jobs_2__equals_serial_on_read_only_maps():
    rng = np.random.RandomState(0)
    clean = rng.randint(600, 9000, (8, 8, 8)).astype(np.uint16)
    clean = clean.repeat(8, 1).repeat(8, 2)
    noisy = clean + rng.randint(0, 99, clean.shape).astype(np.uint16)
    facts = dict(iso=800, cfa="RGGB", black_level=512, white_level=16383)
    pairs = make_pairs(noisy, clean, sensor=4 * ["A"] + 4 * ["B"], **facts)
    target, pool = pairs[:4], SourcePool(pairs[4:])
    options = dict(cv=2, refit=False)  # the refit happens here, not in a worker
    serial = search_for(tiny_denoiser(), **options)
    serial.fit(target, source_pairs=pool)
    parallel = search_for(tiny_denoiser(MappedDenoiser), n_jobs=2, **options)
    # As frames above 1 MB are without being told.
    with parallel_config(max_nbytes=clean[0].nbytes // 2):
        parallel.fit(target, source_pairs=pool)
    # Workers have fewer threads than this process, so sums are rounded otherwise.
    assert parallel.best_score_ == pytest.approx(serial.best_score_, abs=1e-5)
    for fold in range(2):
        name = f"split{fold}_test_score"
        np.testing.assert_allclose(
            parallel.cv_results_[name], serial.cv_results_[name], rtol=0, atol=1e-5
        )


def test__read_only_memmap__fits_without_a_warning(tmp_path):
    def mapped(frame, name):
        np.save(tmp_path / name, frame.mosaic)
        return frame.with_mosaic(np.load(tmp_path / name, mmap_mode="r"))

    pairs = [
        RawPair(mapped(pair.noisy, f"n{i}.npy"), mapped(pair.clean, f"c{i}.npy"))
        for i, pair in enumerate(target_pairs())
    ]
    model = tiny_denoiser().fit(pairs, source_pool())
    assert_same_fit(model, tiny_denoiser().fit(target_pairs(), source_pool()))
    assert model.score(pairs) == model.score(target_pairs())
