"""Every baseline with a network keeps what scikit-learn and skadl promise."""

from __future__ import annotations

import inspect
import pickle
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from skadl.baselines import (
    LED,
    MZSR,
    AnyDenoiser,
    FineTuning,
    JointTraining,
    NoiseCalibration,
    Prabhakar,
    TargetOnly,
    TransferLearning,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from tiny_fits import (
    SOURCE,
    TARGET,
    assert_same_fit,
    differ,
    source_pool,
    target_pairs,
    tiny_denoiser,
    weights,
)

import skadl
from skadl import ADLDenoiser, RawPair, SensorTable, SourcePool, baselines
from skadl.datasets import camera_info, make_domain
from skadl.estimators.baselines.base import NetworkBaseline, Stages
from skadl.estimators.baselines.transfer_learning import free_only_modulation
from skadl.raw.image import RawImage

SMALL = dict(
    batch_size=2,
    patch_size=8,
    base_channels=4,
    n_levels=2,
    device="cpu",
    random_state=0,
)
TWO_STAGES = dict(n_iter=3, n_finetune_iter=2)
STEPS = {
    FineTuning: TWO_STAGES,
    JointTraining: dict(n_iter=3),
    TargetOnly: TWO_STAGES,
    TransferLearning: dict(**TWO_STAGES, n_synthetic=6),
    Prabhakar: dict(n_iter=3),
    LED: dict(n_iter=3, n_alignment_iter=2, n_parallel_iter=2, n_synthetic=6),
    MZSR: dict(n_iter=2, n_meta_iter=1, n_adapt_iter=1),
    NoiseCalibration: dict(n_iter=3, n_synthetic=6),
}
KINDS = [*STEPS]
NEEDS_SOURCES = [FineTuning, JointTraining, Prabhakar, MZSR]


def tiny(kind, **changes):
    return kind(**{**SMALL, **STEPS[kind], **changes})


@cache
def fitted(kind):
    return tiny(kind).fit(target_pairs(), source_pool())


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def test_parameters__shared__are_those_of_the_base(kind):
    shared = set(inspect.signature(NetworkBaseline.__init__).parameters) - {"self"}
    assert shared <= set(kind._get_param_names())
    assert shared | set(kind._get_param_names()) == set(kind._parameter_constraints)
    kind()._validate_params()


def test_parameters__wrong__are_refused_by_fit(kind):
    with pytest.raises(ValueError, match="batch_size"):
        tiny(kind, batch_size=0).fit(target_pairs(), source_pool())


def test_predict__before_fit__is_refused(kind):
    with pytest.raises(NotFittedError):
        tiny(kind).predict(target_pairs()[0].noisy)


def test_fit__again__is_the_same(kind):
    assert_same_fit(
        clone(fitted(kind)).fit(target_pairs(), source_pool()), fitted(kind)
    )


def test_fit__other_seed__differs(kind):
    other = tiny(kind, random_state=1).fit(target_pairs(), source_pool())
    assert differ(other, fitted(kind))


def test_fit__leaves__what_every_denoiser_has(kind):
    model = fitted(kind)
    assert model.n_iter_ == sum(s.n_iter for s in model.selection_report_.stages) > 0
    assert {TARGET, SOURCE} <= set(model.sensors_.names)
    image = target_pairs()[0].noisy
    assert model.predict(image).mosaic.shape == image.mosaic.shape
    assert np.isfinite(model.score(target_pairs()))


def test_save__load__is_the_same_class_and_score(kind, tmp_path):
    model = fitted(kind)
    model.save(tmp_path / "model.safetensors")
    loaded = skadl.load(tmp_path / "model.safetensors")
    assert type(loaded) is kind
    assert loaded.get_params() == model.get_params()
    assert loaded.score(target_pairs()) == model.score(target_pairs())


def test_pickle__fitted__scores_the_same(kind):
    again = pickle.loads(pickle.dumps(fitted(kind)))
    assert again.score(target_pairs()) == fitted(kind).score(target_pairs())


@pytest.mark.parametrize("kind", NEEDS_SOURCES)
def test_fit__without_needed_sources__says_so(kind):
    with pytest.raises(ValueError, match="source_pairs"):
        tiny(kind).fit(target_pairs())


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in NEEDS_SOURCES])
def test_fit__without_sources__uses_the_target(kind):
    assert np.isfinite(tiny(kind).fit(target_pairs()).score(target_pairs()))


# The same training by another way


def adl(**changes):
    plain = dict(
        loss_weighting="none",
        safeguard=False,
        renoised_share=0,
        gate="none",
        val_fraction=0.2,
    )
    return tiny_denoiser(**{**plain, **changes})


def test_target_only__is_adl_without_sources():
    other = adl(n_pretrain_iter=3, n_iter=9, n_finetune_iter=2)
    own = tiny(TargetOnly, conditioning="noise")
    assert_same_fit(own.fit(target_pairs()), other.fit(target_pairs()))


def test_fine_tuning__is_adl_without_gate_on_sources_alone():
    other = adl(n_pretrain_iter=0, n_iter=3, n_finetune_iter=2, source_share=1.0)
    own = tiny(FineTuning, conditioning="noise")
    assert_same_fit(
        own.fit(target_pairs(), source_pool()),
        other.fit(target_pairs(), source_pool()),
    )


def test_joint_training__is_adl_without_gate():
    other = adl(n_pretrain_iter=0, n_iter=3, n_finetune_iter=0, source_share=0.5)
    own = tiny(JointTraining, conditioning="noise")
    assert_same_fit(
        own.fit(target_pairs(), source_pool()),
        other.fit(target_pairs(), source_pool()),
    )


def test_prabhakar__one_entry__is_joint_training():
    # With sources alone the target's entry never moves; without any steps nothing does.
    own = tiny(Prabhakar, source_share=1.0, weight_decay=0.0)
    moved = own.fit(target_pairs(), source_pool())
    start = tiny(Prabhakar, n_iter=0).fit(target_pairs(), source_pool())
    entry = [name for name in weights(moved) if name.startswith("encoder.0")]
    for name in entry:
        np.testing.assert_array_equal(weights(moved)[name], weights(start)[name])
    assert differ(moved, start)


STARTED = [kind for kind in KINDS if "start" in inspect.signature(kind).parameters]


@cache
def fitted_from_start(kind):
    model = kind(start="universal", **STEPS[kind], batch_size=2, patch_size=8)
    return model.fit(target_pairs(), source_pool())


@pytest.mark.parametrize("kind", STARTED)
def test_start__universal__tells_noise_and_keeps_the_safeguard(kind):
    model = fitted_from_start(kind)
    assert model.conditioning_.kind == "noise"
    assert model.is_safeguarded()
    assert not tiny(kind).is_safeguarded()


@pytest.mark.parametrize("kind", STARTED)
def test_start__universal__pairs_held_out_decide_how_much_is_kept(kind):
    report = fitted_from_start(kind).selection_report_
    assert [stage.name for stage in report.stages][:2] == ["noisy", "start"]
    assert any("of the training kept" in note for note in report.notes)
    # None of the training can be kept, so what decides never loses by it.
    assert report.stages[-1].psnr >= report.stages[1].psnr


@pytest.mark.parametrize("kind", [NoiseCalibration, TransferLearning, MZSR])
def test_start__steps_of_none__are_those_of_the_start(kind):
    at_random, trained = kind(), kind(start="universal")
    assert (
        at_random.chosen_parameters()["n_iter"] == at_random.steps_of_random["n_iter"]
    )
    assert trained.chosen_parameters()["n_iter"] == trained.steps_of_trained["n_iter"]
    assert kind(n_iter=7).chosen_parameters()["n_iter"] == 7


@pytest.mark.parametrize("scene", [None, "the only one"])
@pytest.mark.parametrize("kind", [NoiseCalibration, TransferLearning])
def test_start__without_sources__what_decides_is_not_trained_on(
    kind, scene, monkeypatch
):
    home, scenes, trained_on = inspect.getmodule(kind), [], []
    take = home.clean_scenes

    def clean_scenes(*given):
        scenes.extend(take(*given))
        return scenes

    def train_on(stages, name, pairs, *steps):
        trained_on.append((pairs, stages.target_pairs))

    monkeypatch.setattr(home, "clean_scenes", clean_scenes)
    monkeypatch.setattr(Stages, "train_on", train_on)
    steps = {**STEPS[kind], "n_synthetic": 12}
    pairs = make_domain(TARGET, 6, size=48, iso=800, ratio=4, random_state=0)
    pairs = [replace(pair, scene=scene) for pair in pairs]
    kind(start="universal", **steps, patch_size=8, device="cpu").fit(pairs)
    made, own = trained_on[0]
    assert len(made) == 12
    # A quarter of the pairs decides, or of the frame of their only scene.
    assert len(set(map(id, scenes))) == len(own) == (4 if scene is None else 6)
    assert {str(pair.part) for pair in made} == {str(own[0].part)}
    assert (own[0].part is None) == (scene is None)


def test_start__sensor_codes__are_refused_after_a_trained_start():
    model = NoiseCalibration(start="universal", conditioning="sensor_iso", n_iter=1)
    with pytest.raises(ValueError, match="a trained start knows the noise"):
        model.fit(target_pairs(), source_pool())


def test_transfer_learning__fine_tuning__moves_modulation_and_head_alone():
    before, after = (
        tiny(TransferLearning, n_finetune_iter=n).fit(target_pairs()) for n in (0, 2)
    )
    old, new = weights(before), weights(after)
    moved = {name for name in old if (old[name] != new[name]).any()}
    assert moved
    assert all(name.startswith(("head", "modulation")) for name in moved)
    free_only_modulation(after.module_)
    free = {n for n, p in after.module_.named_parameters() if p.requires_grad}
    assert moved <= free


def test_plain_network__conditioning_none__is_not_modulated():
    modulation = fitted(FineTuning).module_.modulation
    for gamma, beta in modulation(torch.zeros(1, 1)):
        assert torch.equal(gamma, torch.ones_like(gamma))
        assert torch.equal(beta, torch.zeros_like(beta))


def test_led__source_sensors__are_its_cameras():
    model = tiny(LED, cameras="sources").fit(target_pairs(), source_pool())
    assert differ(model, fitted(LED))
    with pytest.raises(ValueError, match="source_pairs"):
        tiny(LED, cameras="sources").fit(target_pairs())


# Noise calibration


def other_noise(pair: RawPair) -> RawPair:
    """The same scene, with every error the other way round."""
    counts = pair.noisy.mosaic.astype(float)
    signal = pair.clean.normalised()
    error = pair.noisy.normalised() - signal
    planes = (signal - error) * pair.noisy.span / pair.noisy.ratio
    planes = planes + pair.noisy.black_planes[:, None, None]
    mosaic = skadl.raw.mosaic.unpack_mosaic(planes, pair.noisy.cfa)
    assert mosaic.shape == counts.shape
    mosaic = mosaic.round().clip(0, pair.noisy.white_level)
    noisy = pair.noisy.with_mosaic(mosaic.astype(pair.noisy.mosaic.dtype))
    return replace(pair, noisy=noisy)


def test_noise_calibration__noisy_frames__are_not_trained_on():
    info = replace(camera_info(TARGET), row_noise={800: 0.5})
    meta, pairs = SensorTable({TARGET: info}), target_pairs()
    first = tiny(NoiseCalibration).fit(pairs, meta=meta)
    second = tiny(NoiseCalibration).fit([other_noise(p) for p in pairs], meta=meta)
    for name, values in weights(first).items():
        np.testing.assert_array_equal(values, weights(second)[name], err_msg=name)


def test_noise_calibration__starts_adl():
    start = fitted(NoiseCalibration)
    model = ADLDenoiser(
        start=start, n_iter=2, n_finetune_iter=1, batch_size=2, patch_size=8
    ).fit(target_pairs(), source_pool())
    assert model.module_.describe() == start.module_.describe()
    assert [s.name for s in model.selection_report_.stages][:2] == ["noisy", "start"]


def test_noise_calibration__dark_frames__are_left_out_of_a_file(tmp_path):
    dark = RawImage(
        np.full((32, 32), 512, np.uint16), "RGGB", 512, 16383, TARGET, 800, 1.0
    )
    model = tiny(NoiseCalibration, dark_frames=[dark]).fit(target_pairs())
    assert differ(model, tiny(NoiseCalibration).fit(target_pairs()))
    with pytest.warns(UserWarning, match="dark_frames"):
        model.save(tmp_path / "model")
    assert skadl.load(tmp_path / "model").dark_frames is None


# Searches


def test_search__over_kinds__keeps_the_best():
    kinds = [tiny(FineTuning), tiny(TargetOnly), tiny_denoiser()]
    search = GridSearchCV(
        AnyDenoiser(kinds[0]), {"denoiser": kinds}, cv=2, error_score="raise"
    )
    search.fit(target_pairs(), source_pairs=source_pool())
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert search.best_score_ == max(scores)
    best = search.best_estimator_.denoiser_
    assert type(best) is type(kinds[int(np.argmax(scores))])
    assert search.score(target_pairs()) == best.score(target_pairs())


def test_search__own_parameters__of_a_baseline():
    search = GridSearchCV(
        tiny(FineTuning), {"learning_rate": [1e-6, 1e-2]}, cv=2, error_score="raise"
    )
    search.fit(target_pairs(), source_pairs=source_pool())
    assert len(search.cv_results_["params"]) == 2


def test_any_denoiser__no_denoiser__is_refused():
    with pytest.raises(TypeError, match="got str"):
        AnyDenoiser("fine-tuning").fit(target_pairs())


# The face


def test_face__names__are_classes():
    for name in baselines.__all__:
        assert getattr(baselines, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute"):
        baselines.Wavelets  # noqa: B018


def test_fit__bad_pairs__are_warned_of_once():
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("error")
        tiny(JointTraining).fit(target_pairs(), SourcePool(source_pool()))
