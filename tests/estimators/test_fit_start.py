"""Where a fit begins: at a model, at random weights, at the network of the package."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from tiny_fits import (
    assert_same_fit,
    differ,
    search_for,
    source_pool,
    target_pairs,
    tiny_denoiser,
    weights,
)

import skadl
from skadl import PAPER_PARAMS, ADLDenoiser, SensorTable
from skadl.datasets import camera_info, make_domain
from skadl.estimators.start import (
    FROM_RANDOM,
    FROM_TRAINED,
    OTHER_FILES,
    SHAPE,
    UNIVERSAL_FILE,
    find_start,
)
from skadl.noise.renoising import RENOISED

NO_SHAPE = dict(base_channels=None, n_levels=None, mlp_width=None)
NO_STEPS = dict(n_pretrain_iter=0, n_iter=0, n_finetune_iter=0)


@pytest.fixture(scope="module")
def model():
    """A fitted denoiser to start from."""
    return tiny_denoiser().fit(target_pairs(), source_pool())


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    model.save(path)
    return path


def from_start(start, **changes):
    return tiny_denoiser(**{**NO_SHAPE, "start": start, **changes})


def test_fit__no_steps__gives_the_start_bit_for_bit(model, path):
    for start in (path, str(path), model, FrozenEstimator(model)):
        begun = from_start(start, **NO_STEPS).fit(target_pairs())
        assert not differ(begun, model)


def test_fit__from_a_model__leaves_it_as_it_is(model):
    before = weights(model)
    begun = from_start(model).fit(target_pairs(), source_pool())
    for name, values in weights(model).items():
        np.testing.assert_array_equal(values, before[name])
    assert all(p.requires_grad for p in begun.module_.parameters())


def test_fit__from_a_path__equals_that_from_its_model(model, path):
    assert_same_fit(
        from_start(path).fit(target_pairs(), source_pool()),
        from_start(model).fit(target_pairs(), source_pool()),
    )


def test_fit__from_a_model__never_ends_below_it_on_held_out_pairs(model):
    for rate in (1e-4, 1.0):  # the second one destroys the network
        begun = from_start(model, learning_rate=rate, n_iter=8)
        stages = begun.fit(target_pairs(), source_pool()).selection_report_.stages
        assert [(s.name, s.n_iter) for s in stages[:2]] == [("noisy", 0), ("start", 0)]
        assert stages[-1].psnr >= stages[1].psnr
    notes = begun.selection_report_.notes
    assert any(note.startswith("none of the training kept") for note in notes)
    assert not differ(begun, model)


@pytest.mark.parametrize("n_pairs", [2, 3, 4])
def test_fit__few_pairs__start_from_a_model_too(model, n_pairs):
    begun = from_start(model).fit(target_pairs(n_pairs), source_pool())
    assert begun.n_iter_ == 3 + 4 + 2


@pytest.mark.parametrize("is_trained", [True, False])
def test_fit__default_lengths__without_sources_a_trained_start_has_scenes_of_its_own(
    model, is_trained, monkeypatch
):
    defaults = FROM_TRAINED if is_trained else FROM_RANDOM
    for name, n_iter in (("n_pretrain_iter", 1), ("n_iter", 5), ("n_finetune_iter", 2)):
        monkeypatch.setitem(defaults, name, n_iter)
    start = model if is_trained else "random"
    shape = {} if is_trained else {"base_channels": 4, "n_levels": 2}
    lengths = dict.fromkeys(NO_STEPS)
    for sources in (None, source_pool()):  # and no warning: these are errors
        fitted = from_start(start, **shape, **lengths).fit(target_pairs(), sources)
        assert fitted.n_iter_ == 1 + 5 + 2
        stages = {s.name: s.n_iter for s in fitted.selection_report_.stages}
        is_alone = sources is None and not is_trained
        assert stages["pre-training"] == (6 if is_alone else 1)
        assert ("adaptation" in stages) == (not is_alone)
        domains = [domain.domain for domain in fitted.selection_report_.by_domain()]
        assert (RENOISED in domains) == ("adaptation" in stages)


def test_fit__random_start_alone__n_pretrain_iter_is_the_length():
    shape = {"base_channels": 4, "n_levels": 2}
    given = from_start("random", **shape, n_iter=None, n_pretrain_iter=3)
    assert given.fit(target_pairs()).n_iter_ == 3 + 2


def test_fit__without_sources_and_renoising__trains_on_the_target_alone(model):
    plain = from_start(model, n_iter=0, n_finetune_iter=0, renoised_share=0.0)
    report = plain.fit(target_pairs()).selection_report_
    assert not report.by_domain()
    assert [stage.name for stage in report.stages][2:] == [
        "pre-training",
        "fine-tuning",
    ]


def test_start__random__draws_the_papers_network():
    start = find_start("random")
    nothing = dict.fromkeys([*SHAPE, *FROM_RANDOM])
    assert start.complete(nothing) == {**SHAPE, **FROM_RANDOM}
    assert not start.is_trained
    assert PAPER_PARAMS["start"] == "random"


def test_start__none__is_what_suits_it(model):
    start = find_start(model)
    nothing = dict.fromkeys([*SHAPE, *FROM_RANDOM])
    assert FROM_TRAINED.items() <= start.complete(nothing).items()
    given = {**nothing, "n_iter": 7, "base_channels": 4}
    assert start.complete(given)["n_iter"] == 7


def test_start__another_shape__says_which_and_the_way_out(model):
    with pytest.raises(ValueError, match=r"base_channels=8 .* has: 4\. .*random"):
        from_start(model, base_channels=8).fit(target_pairs())


def test_start__no_file__names_what_can_be_given():
    with pytest.raises(FileNotFoundError, match=r"'universl' .*universal.*random"):
        from_start("universl").fit(target_pairs())


def test_start__another_object__says_what_is_needed():
    from sklearn.linear_model import Ridge

    with pytest.raises(TypeError, match=r"fitted denoiser .* got Ridge"):
        from_start(Ridge()).fit(target_pairs())


def test_start__not_fitted__says_why_and_the_way_out(model):
    for start in (tiny_denoiser(), clone(model)):
        with pytest.raises(NotFittedError, match="FrozenEstimator"):
            from_start(start).fit(target_pairs())


def test_start__knows_sensors_by_name__is_refused():
    named = tiny_denoiser(conditioning="sensor_iso", **NO_STEPS).fit(target_pairs())
    with pytest.raises(ValueError, match=r"conditioning='sensor_iso'.*\"noise\""):
        from_start(named).fit(target_pairs())


def test_fit__told_sensors_from_a_trained_start__is_refused(model):
    with pytest.raises(ValueError, match=r"start=\"random\""):
        from_start(model, conditioning="sensor_iso").fit(target_pairs())


def test_search__frozen_model__starts_every_candidate(model):
    estimator = from_start(FrozenEstimator(model), n_pretrain_iter=0)
    search = search_for(estimator, grid={"n_iter": [0, 1]}, cv=2)
    search.fit(target_pairs(), source_pairs=source_pool())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_save__start_of_a_fitted_estimator__says_what_is_kept(model, tmp_path):
    begun = from_start(model).fit(target_pairs())
    with pytest.warns(UserWarning, match='start="universal"'):
        begun.save(tmp_path / "begun.safetensors")
    assert skadl.load(tmp_path / "begun.safetensors").start == "universal"


def test_save__path_as_start__is_kept(path, tmp_path):
    begun = from_start(path).fit(target_pairs())
    begun.save(tmp_path / "begun.safetensors")
    assert skadl.load(tmp_path / "begun.safetensors").start == str(path)


def test__default_start__is_the_universal_network():
    assert ADLDenoiser().start == "universal"


def test_fit__network_that_reads_the_noise__must_be_told_it():
    named = dict(network="local_unet", conditioning="sensor_iso")
    with pytest.raises(ValueError, match="network='local_unet' reads the noise"):
        tiny_denoiser(**named).fit(target_pairs())


def test_fit__other_network__is_fitted_and_kept(tmp_path):
    model = tiny_denoiser(network="local_unet").fit(target_pairs(), source_pool())
    model.save(tmp_path / "model.safetensors")
    again = skadl.load(tmp_path / "model.safetensors")
    assert again.get_params()["network"] == "local_unet"
    noisy = target_pairs()[0].noisy
    np.testing.assert_array_equal(
        again.predict(noisy).mosaic, model.predict(noisy).mosaic
    )


def test_load_universal__denoises_a_sensor_it_never_saw():
    model = skadl.load_universal(device="cpu")
    pairs = make_domain("SonyA7S2", 2, size=64, iso=6400, random_state=0)
    table = SensorTable({"SonyA7S2": camera_info("SonyA7S2")})
    noisy = np.mean([score.psnr for score in skadl.evaluate_pairs(None, pairs).images])
    assert model.score(pairs, meta=table) > noisy + 3
    assert model.conditioning_.sensors == () and model.start == "universal"
    assert "no pair of any sensor" in model.selection_report_.notes[0]


def test_load_universal__its_file__is_small_enough_for_a_wheel():
    files = UNIVERSAL_FILE, *OTHER_FILES.values()
    assert sum(path.stat().st_size for path in files) < 8_000_000
