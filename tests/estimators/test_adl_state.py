"""ADLDenoiser: randomness, the process around it, its output and its copies."""

from __future__ import annotations

import copy
import os
import pickle
import random
import warnings

import joblib
import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from tiny_fits import (
    ISOS,
    assert_same_fit,
    differ,
    source_pairs,
    source_pool,
    target_pairs,
    tiny_denoiser,
)

from skadl import ADLDenoiser, SourcePool

STAGES = ("pre-training", "adaptation", "fine-tuning")


@pytest.fixture(scope="module")
def model():
    """A fitted estimator that tests only look at."""
    return tiny_denoiser().fit(target_pairs(), source_pool())


@pytest.fixture
def image():
    return target_pairs()[0].noisy


# Randomness and global state


def test__random_state__same_int__same_report_and_weights():
    first, second = (
        tiny_denoiser(random_state=5).fit(target_pairs(), source_pool())
        for _ in range(2)
    )
    assert_same_fit(first, second)
    assert_same_fit(first.fit(target_pairs(), source_pool()), second)


def test__random_state__other_int__other_weights():
    first, second = (
        tiny_denoiser(random_state=seed).fit(target_pairs(), source_pool())
        for seed in (5, 6)
    )
    assert differ(first, second)


def test__random_state__instance__goes_on_from_fit_to_fit():
    rng = np.random.RandomState(5)
    first, second = (
        tiny_denoiser(random_state=rng).fit(target_pairs(), source_pool())
        for _ in range(2)
    )
    assert differ(first, second)
    fresh = tiny_denoiser(random_state=np.random.RandomState(5))
    assert_same_fit(fresh.fit(target_pairs(), source_pool()), first)


def test__random_state__none__differs_from_fit_to_fit():
    first, second = (
        tiny_denoiser(random_state=None).fit(target_pairs()) for _ in range(2)
    )
    assert differ(first, second)


def test__random_state__int__does_not_depend_on_the_global_generators():
    expected = tiny_denoiser().fit(target_pairs(), source_pool())
    with torch.random.fork_rng():
        torch.rand(3)
        assert_same_fit(tiny_denoiser().fit(target_pairs(), source_pool()), expected)


def _global_state() -> dict:
    return {
        "python": random.getstate(),
        "numpy": repr(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "autocast": torch.is_autocast_enabled("cpu"),
        "sklearn": sklearn.get_config(),
        "floating point": np.geterr(),
        "print": np.get_printoptions(),
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }


def test__fit_predict_score__leave_the_process_as_it_was():
    before = _global_state()
    # A seed of its own: that of another test may have left this very state.
    model = tiny_denoiser(random_state=77).fit(target_pairs(), source_pool())
    model.predict(target_pairs()[0].noisy)
    model.score(target_pairs())
    pickle.loads(pickle.dumps(model))
    assert _global_state() == before


# Order


def test__score__order_of_pairs__does_not_matter(model):
    pairs = target_pairs()
    assert model.score(pairs[::-1]) == pytest.approx(model.score(pairs), rel=1e-12)


def test__predict__list__keeps_the_order(model):
    images = [pair.noisy for pair in target_pairs()]
    for image, denoised in zip(images, model.predict(images), strict=True):
        np.testing.assert_array_equal(denoised.mosaic, model.predict(image).mosaic)


def test__fit__order_of_pairs__does_not_change_what_is_known_of_the_sensors(model):
    pool = SourcePool(
        {name: pairs[::-1] for name, pairs in source_pool().domains.items()}
    )
    turned = tiny_denoiser().fit(target_pairs()[::-1], pool)
    assert turned.sensors_.names == model.sensors_.names
    for name, info in model.sensors_.items():
        for iso in ISOS:
            expected = pytest.approx(info.noise_at(iso), rel=1e-6)
            assert turned.sensors_.get(name).noise_at(iso) == expected
    assert turned.n_iter_ == model.n_iter_


# Output to the terminal


@pytest.mark.parametrize("sources", [None, source_pool()])
def test__verbose_0__prints_nothing(sources, capfd):
    model = tiny_denoiser(verbose=0).fit(target_pairs(), sources)
    model.predict([pair.noisy for pair in target_pairs()])
    model.score(target_pairs())
    assert capfd.readouterr() == ("", "")


def test__verbose_1__shows_each_stage_on_standard_error(capfd):
    tiny_denoiser(verbose=1).fit(target_pairs(), source_pool())
    captured = capfd.readouterr()
    assert captured.out == ""
    positions = [captured.err.find(stage) for stage in STAGES]
    assert -1 not in positions and positions == sorted(positions)


def test__verbose__does_not_change_the_fit(capfd):
    silent, chatty = (
        tiny_denoiser(verbose=verbose).fit(target_pairs(), source_pool())
        for verbose in (0, 1)
    )
    assert_same_fit(silent, chatty)


def test__repr__in_text_and_html__works_before_and_after_fit(model):
    for estimator in (ADLDenoiser(queue_size=7), tiny_denoiser(), model):
        assert repr(estimator).startswith("ADLDenoiser(")
        assert "ADLDenoiser" in estimator._repr_html_()
    assert "queue_size=7" in repr(ADLDenoiser(queue_size=7))


def test__view_in_a_notebook__adds_sensors_stages_and_report_to_the_diagram(model):
    for html in (model._repr_html_(), model._repr_mimebundle_()["text/html"]):
        assert "sk-top-container" in html
        for sensor, _ in model.sensors_.items():
            assert f">{sensor}</td>" in html
        for stage in model.selection_report_.stages:
            assert f">{stage.name}</td><td" in html
        assert html.endswith(f"{model.selection_report_._repr_html_()}</div>")
    assert ">sensor</th>" not in tiny_denoiser()._repr_html_()
    with sklearn.config_context(display="text"):
        assert not hasattr(model, "_repr_html_")
        assert set(model._repr_mimebundle_()) == {"text/plain"}


# Copies


def _reload_with_pickle(model, tmp_path):
    return pickle.loads(pickle.dumps(model))


def _reload_with_joblib(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


def _copy(model, tmp_path):
    return copy.deepcopy(model)


@pytest.mark.parametrize("reload", [_reload_with_pickle, _reload_with_joblib, _copy])
def test__copy_of_a_fit__is_equal_and_independent(reload, tmp_path):
    model = tiny_denoiser(random_state=1).fit(target_pairs(), source_pool())
    again = reload(model, tmp_path)
    assert_same_fit(again, model)
    assert again.get_params() == model.get_params()
    assert again.sensors_.names == model.sensors_.names
    assert (again.device_, again.n_iter_) == (model.device_, model.n_iter_)
    for pair in target_pairs():
        np.testing.assert_array_equal(
            again.predict(pair.noisy).mosaic, model.predict(pair.noisy).mosaic
        )
    assert again.score(target_pairs()) == model.score(target_pairs())
    again.fit(source_pairs())
    assert model.selection_report_.n_offered > 0
    assert np.isfinite(model.score(target_pairs()))


def test__pickle__unfitted__stays_unfitted(image):
    again = pickle.loads(pickle.dumps(tiny_denoiser()))
    assert again.get_params() == tiny_denoiser().get_params()
    with pytest.raises(NotFittedError):
        again.predict(image)


def test__pickle__fitted_on_a_device_that_is_gone__loads_on_the_cpu(image, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = tiny_denoiser().fit(target_pairs(), source_pool())
    expected = model.predict(image).mosaic
    model.set_params(device="cuda:7")
    model.device_ = torch.device("cuda:7")
    again = pickle.loads(pickle.dumps(model))
    assert again.device == "cuda:7"
    assert again.device_ == torch.device("cpu")
    assert {p.device.type for p in again.module_.parameters()} == {"cpu"}
    np.testing.assert_array_equal(again.predict(image).mosaic, expected)
    assert model.device_ == torch.device("cuda:7")  # dumping changes nothing


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test__pickle__fitted_on_a_gpu__loads_without_it(image, monkeypatch):
    model = tiny_denoiser(device="cuda").fit(target_pairs(), source_pool())
    stored = pickle.dumps(model)
    assert next(model.module_.parameters()).device.type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    again = pickle.loads(stored)
    assert again.device_ == torch.device("cpu")
    assert {p.device.type for p in again.module_.parameters()} == {"cpu"}
    assert np.isfinite(again.predict(image).mosaic).all()


def test__clone__has_the_parameters_and_nothing_else(model):
    again = clone(model)
    assert again.get_params() == model.get_params()
    fitted = [name for name in vars(again) if name.endswith("_")]
    assert fitted == [] and not hasattr(again, "conditioning_")
    assert_same_fit(again.fit(target_pairs(), source_pool()), model)


def test__set_params__then_fit__equals_construction():
    changed = tiny_denoiser().set_params(n_iter=2, gate="queue", queue_size=3)
    built = tiny_denoiser(n_iter=2, gate="queue", queue_size=3)
    assert_same_fit(
        changed.fit(target_pairs(), source_pool()),
        built.fit(target_pairs(), source_pool()),
    )
