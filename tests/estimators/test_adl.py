"""ADLDenoiser: its parameters, what fit takes and what fit leaves behind."""

from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils import estimator_checks, get_tags
from tiny_fits import (
    ISOS,
    SOURCE,
    TARGET,
    TINY,
    assert_same_fit,
    make_tiny_pairs,
    source_pairs,
    source_pool,
    target_pairs,
    tiny_denoiser,
    weights,
)

from skadl import (
    PAPER_PARAMS,
    ADLDenoiser,
    DataSelectionReport,
    RawPair,
    SensorTable,
    SourcePool,
    make_pairs,
    read_raw,
    write_dng,
)
from skadl.adaptation.gates import GATES, AcceptAll, QueueGate, Verdict
from skadl.datasets import camera_info, make_harmful_noise, make_harmful_truth
from skadl.noise.renoising import RENOISED

STAGES = ("pre-training", "adaptation", "fine-tuning")

# The common checks that touch no tabular data.
COMMON_CHECKS = (
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_param_validation",
    "check_estimators_unfitted",
)


@pytest.fixture(scope="module")
def model():
    """A fitted estimator that tests only look at."""
    return tiny_denoiser().fit(target_pairs(), source_pool())


# Parameters


@pytest.mark.parametrize("name", COMMON_CHECKS)
def test_common_check(name):
    getattr(estimator_checks, name)("ADLDenoiser", ADLDenoiser())


def test__paper_params__are_constructor_arguments():
    params = ADLDenoiser(**PAPER_PARAMS).get_params()
    assert PAPER_PARAMS.items() <= params.items()


def test__parameters__are_keyword_only():
    with pytest.raises(TypeError, match="positional"):
        ADLDenoiser(20)


def test__tags__say_that_the_input_is_not_a_table():
    tags = get_tags(ADLDenoiser())
    assert not tags.input_tags.two_d_array
    assert not tags.array_api_support


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queue_size", 0),
        ("queue_size", 2.5),
        ("val_fraction", 0.0),
        ("val_fraction", 1.0),
        ("val_fraction", "half"),
        ("gate", "no such gate"),
        ("n_iter", -1),
        ("n_pretrain_iter", -1),
        ("n_finetune_iter", 1.5),
        ("batch_size", 0),
        ("source_share", 0.0),
        ("source_share", 1.5),
        ("patch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", np.nan),
        ("learning_rate", np.inf),
        ("finetune_rate", -0.1),
        ("weight_decay", -1e-9),
        ("base_channels", 0),
        ("n_levels", 0),
        ("mlp_width", 0),
        ("conditioning", "iso"),
        ("precision", "float16"),
        ("device", 3),
        ("random_state", -1),
        ("random_state", np.random.default_rng(0)),
        ("verbose", "yes"),
    ],
)
def test__fit__parameter_out_of_range__names_it_and_what_is_needed(name, value):
    message = rf"The '{name}' parameter of ADLDenoiser must be .* Got .* instead\."
    with pytest.raises(ValueError, match=message):
        tiny_denoiser(**{name: value}).fit(target_pairs())


@pytest.mark.parametrize(
    "pair",
    [(0.5, 0.2), (0.2,), (0.2, 0.3, 0.4), (), (0, 0.5), (0.2, 1), (np.nan, 0.5)]
    + [("a", "b"), [0.5, 0.2]],
)
def test__fit__val_fraction_not_start_to_end__says_what_a_pair_is(pair):
    with pytest.raises(ValueError, match=r"val_fraction .* pair \(start, end\)"):
        tiny_denoiser(val_fraction=pair).fit(target_pairs())


@pytest.mark.parametrize("fraction", [0.3, (0.3, 0.3), [0.2, 0.5], (1e-9, 1 - 1e-9)])
def test__fit__val_fraction__takes_a_number_or_a_pair(fraction):
    model = tiny_denoiser(val_fraction=fraction).fit(target_pairs(), source_pool())
    assert model.selection_report_.n_offered > 0


def test__val_fraction__one_number__is_a_pair_of_it():
    number, pair = (
        tiny_denoiser(val_fraction=fraction).fit(target_pairs(), source_pool())
        for fraction in (0.3, (0.3, 0.3))
    )
    assert_same_fit(number, pair)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test__fit__device_not_there__says_what_to_use(device):
    with pytest.raises(ValueError, match=f"device '{device}' .* use .*'auto'"):
        tiny_denoiser(device=device).fit(target_pairs())


@pytest.mark.parametrize("gate", GATES)
def test__fit__numpy_numbers__are_numbers(gate):
    # Grids come from np.arange and np.logspace.
    numbers = {
        name: value
        for name, value in ADLDenoiser(**TINY).get_params().items()
        if type(value) in (int, float) and name != "verbose"
    }
    numpy = {name: np.array(value)[()] for name, value in numbers.items()}
    assert isinstance(numpy["queue_size"], np.integer)
    assert isinstance(numpy["learning_rate"], np.floating)
    assert_same_fit(
        tiny_denoiser(gate=gate, **numpy).fit(target_pairs(), source_pool()),
        tiny_denoiser(gate=gate).fit(target_pairs(), source_pool()),
    )


def test__every_parameter__is_documented():
    signature = inspect.signature(ADLDenoiser)
    text = inspect.getdoc(ADLDenoiser)
    assert all(name in text for name in signature.parameters)


# What fit leaves behind


def test__fit__returns_self_and_sets_the_documented_attributes():
    model = tiny_denoiser()
    assert model.fit(target_pairs(), source_pool()) is model
    assert isinstance(model.module_, torch.nn.Module)
    assert not model.module_.training
    assert isinstance(model.sensors_, SensorTable)
    assert isinstance(model.selection_report_, DataSelectionReport)
    assert model.device_ == torch.device("cpu")
    assert model.n_iter_ == 3 + 4 + 2
    report = model.selection_report_
    stages = [("noisy", 0), *zip(STAGES, (3, 4, 2), strict=True)]
    assert [(s.name, s.n_iter) for s in report.stages] == stages
    assert {decision.iteration for decision in report.decisions} <= set(range(4))
    assert report.n_offered > 0
    assert set(report.domains) == {"near", "far", RENOISED}


def test__sensors__cover_target_and_sources_with_their_noise(model):
    assert set(model.sensors_.names) == {TARGET, SOURCE, "OppoReno10x"}
    for name, info in model.sensors_.items():
        gain, read_variance = info.noise_at(ISOS[0])
        assert gain > 0 and np.isfinite(gain), name
        assert read_variance >= 0 and np.isfinite(read_variance), name
        assert info.iso_range == ISOS


def test__meta__given_noise__is_kept():
    known = camera_info(TARGET)
    model = tiny_denoiser().fit(
        target_pairs(), source_pool(), meta=SensorTable({TARGET: known})
    )
    assert model.sensors_.get(TARGET).noise_at(1600) == known.noise_at(1600)


@pytest.mark.parametrize("meta", [[{}] * 6, {"target": []}, (), "SonyA7S2"])
def test__meta__not_a_table__is_refused(meta, model):
    with pytest.raises(TypeError, match="meta must be a SensorTable or None, got"):
        tiny_denoiser().fit(target_pairs(), meta=meta)
    with pytest.raises(TypeError, match="meta must be a SensorTable or None, got"):
        model.score(target_pairs(), meta=meta)


def test__fit__changes_no_parameter():
    model = tiny_denoiser(val_fraction=[0.2, 0.5], device="auto", random_state=None)
    model.set_params(n_iter=np.int64(4), learning_rate=np.float32(1e-3))
    before = model.get_params()
    model.fit(target_pairs(), source_pool())
    after = model.get_params()
    assert before.keys() == after.keys()
    assert all(after[name] is value for name, value in before.items())
    assert model.val_fraction == [0.2, 0.5]


def test__fit__again__overwrites_everything():
    other = source_pairs()
    model = tiny_denoiser().fit(target_pairs(), source_pool())
    model.fit(other)
    fresh = tiny_denoiser().fit(other)
    assert_same_fit(model, fresh)
    assert model.sensors_.names == (SOURCE,)
    assert model.selection_report_.n_offered == 0
    with pytest.raises(ValueError, match="was not seen during fit"):
        model.score(target_pairs())


def test__fit__again_and_failing__keeps_the_earlier_fit():
    model = tiny_denoiser().fit(target_pairs(), source_pool())
    expected = model.score(target_pairs())
    with pytest.raises(ValueError):
        model.fit(source_pairs()[:1])
    assert model.score(target_pairs()) == expected
    assert model.selection_report_.n_offered > 0


@pytest.mark.parametrize("none", [None, {}, []])
def test__fit__target_only__has_an_empty_report(none):
    model = tiny_denoiser().fit(target_pairs(), none)
    report = model.selection_report_
    assert report.n_offered == report.n_accepted == len(report.decisions) == 0
    assert report.domains == ()
    names = ["noisy", "pre-training", "fine-tuning"]
    assert [stage.name for stage in report.stages] == names
    assert model.n_iter_ == 3 + 2
    assert np.isfinite(model.score(target_pairs()))


def test__fit__no_adaptation__offers_nothing():
    model = tiny_denoiser(n_iter=0).fit(target_pairs(), source_pool())
    assert model.selection_report_.n_offered == 0
    assert model.n_iter_ == 3 + 2


def test__fit__no_iteration_at_all__predicts_finite():
    model = tiny_denoiser(n_pretrain_iter=0, n_iter=0, n_finetune_iter=0)
    assert np.isfinite(model.fit(target_pairs()).score(target_pairs()))
    assert model.n_iter_ == 0


def test__fit__device_auto__is_the_gpu_where_there_is_one():
    model = tiny_denoiser(device="auto").fit(target_pairs())
    wanted = "cuda" if torch.cuda.is_available() else "cpu"
    assert model.device_.type == wanted
    assert model.device == "auto"
    assert {p.device.type for p in model.module_.parameters()} == {wanted}


# What fit takes


def test__fit__any_container_of_pairs__is_the_same_fit():
    pairs = target_pairs()
    expected = tiny_denoiser().fit(pairs, source_pool())
    for container in (tuple(pairs), np.array(pairs, dtype=object)):
        assert_same_fit(tiny_denoiser().fit(container, source_pool()), expected)


def test__fit__any_container_of_sources__is_the_same_fit():
    domains = dict(source_pool().domains)
    expected = tiny_denoiser().fit(target_pairs(), SourcePool(domains))
    assert_same_fit(tiny_denoiser().fit(target_pairs(), domains), expected)
    sources = source_pairs(5)
    expected = tiny_denoiser().fit(target_pairs(), SourcePool(sources))
    assert_same_fit(tiny_denoiser().fit(target_pairs(), sources), expected)


def test__fit__plain_sources_as_many_as_the_target__says_to_use_a_pool():
    with pytest.raises(ValueError, match=r"Pass source_pairs=SourcePool"):
        tiny_denoiser().fit(target_pairs(6), source_pairs(6))
    model = tiny_denoiser().fit(target_pairs(6), SourcePool(source_pairs(6)))
    assert model.selection_report_.n_offered > 0


def test__fit__source_domain_with_the_reserved_name__is_refused():
    with pytest.raises(ValueError, match="rename it"):
        tiny_denoiser().fit(target_pairs(), {RENOISED: source_pairs()})


def test__fit__source_of_the_target_sensor__is_welcome():
    same = make_tiny_pairs(TARGET, 4, seed=9)
    model = tiny_denoiser().fit(target_pairs(), SourcePool(same))
    assert model.selection_report_.domains == (TARGET, RENOISED)


@pytest.mark.parametrize("n_pairs", [0, 1])
def test__fit__too_few_target_pairs__says_how_many_are_needed(n_pairs):
    with pytest.raises(ValueError, match=f"got {n_pairs} target pairs, at least 2"):
        tiny_denoiser().fit(target_pairs()[:n_pairs], source_pool())


def test__fit__two_target_pairs__are_enough():
    model = tiny_denoiser().fit(target_pairs(2), source_pool())
    assert np.isfinite(model.score(target_pairs(2)))


def test__fit__bare_arrays__names_make_pairs():
    noisy = np.stack([pair.noisy.mosaic for pair in target_pairs()])
    clean = np.stack([pair.clean.mosaic for pair in target_pairs()])
    for wrong in (
        list(zip(noisy, clean, strict=True)),
        np.stack([noisy, clean], axis=1),
        torch.as_tensor(np.stack([noisy, clean], axis=1)),
        (noisy, clean),
    ):
        with pytest.raises(TypeError, match="target_pairs .* skadl.make_pairs"):
            tiny_denoiser().fit(wrong, source_pool())
    facts = dict(cfa="RGGB", black_level=512, white_level=16383)
    made = make_pairs(noisy, clean, sensor="mine", iso=800, ratio=4, **facts)
    assert tiny_denoiser().fit(made, source_pool()).sensors_.names[0] == "mine"


@pytest.mark.parametrize("wrong", [{"A": []}, "pairs", None, 7])
def test__fit__target_pairs_no_sequence__says_so(wrong):
    with pytest.raises(TypeError, match="target_pairs must be a sequence of RawPair"):
        tiny_denoiser().fit(wrong)


def test__fit__frames_too_small_for_the_network__says_what_it_needs():
    with pytest.raises(ValueError, match="needs at least .* or fewer n_levels"):
        tiny_denoiser(n_levels=6).fit(target_pairs())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("role", ["noisy", "clean"])
def test__fit__frame_not_finite__is_refused(role, value):
    pair = target_pairs()[1]
    frame = getattr(pair, role)
    mosaic = frame.mosaic.astype(np.float32)
    mosaic[3, 4] = value
    frames = {"noisy": pair.noisy, "clean": pair.clean, role: frame.with_mosaic(mosaic)}
    for target, sources in (
        ([*target_pairs(), RawPair(**frames)], None),
        (target_pairs(), SourcePool([RawPair(**frames)])),
    ):
        with pytest.raises(ValueError, match="NaN or infinity"):
            tiny_denoiser().fit(target, sources)


def test__fit__read_only_pixels__are_neither_needed_nor_changed():
    def frozen(pairs):
        copies = copy.deepcopy(pairs)
        for pair in copies:
            pair.noisy.mosaic.flags.writeable = False
            pair.clean.mosaic.flags.writeable = False
        return copies

    def pixels(pairs):
        return [(p.noisy.mosaic.copy(), p.clean.mosaic.copy()) for p in pairs]

    target, sources = frozen(target_pairs()), frozen(source_pairs())
    before = pixels(target), pixels(sources)
    model = tiny_denoiser().fit(target, SourcePool(sources))
    model.predict(target[0].noisy)
    model.predict(target[0].noisy.mosaic, TARGET, 800)
    model.score(target)
    for kept, now in zip(before, (pixels(target), pixels(sources)), strict=True):
        np.testing.assert_array_equal(kept, now)
    assert_same_fit(
        model, tiny_denoiser().fit(target_pairs(), SourcePool(source_pairs()))
    )


def test__fit__keeps_no_pixels():
    facts = dict(sensor="A", iso=800, cfa="RGGB", black_level=64, white_level=1023)
    sizes = []
    for side in (32, 128):
        frames = np.random.RandomState(0).randint(64, 900, (4, side, side), np.uint16)
        pairs = make_pairs(frames, frames + 9, **facts)
        model = tiny_denoiser().fit(pairs, SourcePool(pairs))
        sizes.append(len(pickle.dumps(model)))
    assert abs(sizes[1] - sizes[0]) < 32 * 32


def test__fit__noise_free_pairs__stay_finite():
    pairs = [RawPair(pair.clean, pair.clean) for pair in target_pairs()]
    with pytest.warns(UserWarning, match="noisy and clean frame are the same"):
        model = tiny_denoiser().fit(pairs, source_pool())
    assert np.isfinite(model.score(pairs))
    assert all(np.isfinite(values).all() for values in weights(model).values())


def test__fit__black_frames__show_no_noise_to_measure():
    frames = np.full((4, 32, 32), 64, np.uint16)
    facts = dict(sensor="A", iso=800, cfa="RGGB", black_level=64, white_level=1023)
    pairs = make_pairs(frames, frames, **facts)
    with pytest.raises(ValueError, match="enough unclipped pixels"):
        tiny_denoiser().fit(pairs, source_pool())


def test__fit__learning_rate_beyond_reason__raises_or_stays_finite():
    model = tiny_denoiser(learning_rate=1e30)
    try:
        model.fit(target_pairs(), source_pool())
    except FloatingPointError as error:
        assert "learning_rate" in str(error)
        assert not hasattr(model, "module_")
    else:
        assert np.isfinite(model.score(target_pairs()))


@pytest.mark.parametrize("gate", GATES)
def test__fit__harmful_and_helpful_domains__stays_finite_under_any_gate(gate):
    size = dict(size=32, random_state=3)
    absurd = source_pairs()[0]
    absurd = RawPair(
        absurd.noisy, absurd.clean.with_mosaic(np.full((32, 32), 3e38, np.float32))
    )
    pool = SourcePool(
        {
            "helpful": source_pairs(),
            "noise": make_harmful_noise(4, camera=SOURCE, **size),
            "truth": make_harmful_truth(6, camera=SOURCE, shift=4, **size),
            "absurd": [absurd],
        }
    )
    model = tiny_denoiser(gate=gate, n_iter=16).fit(target_pairs(), pool)
    report = model.selection_report_
    assert report.n_offered > 0
    assert set(report.domains) == {*pool.domains, RENOISED}
    assert [stage.n_iter for stage in report.stages] == [0, 3, 16, 2]
    assert all(stage.psnr is not None for stage in report.stages)
    assert all(np.isfinite(values).all() for values in weights(model).values())
    assert np.isfinite(model.score(target_pairs()))


@pytest.mark.parametrize("build", [QueueGate, lambda size: QueueGate(size)])
def test__fit__callable_gate__is_built_with_the_queue_size(build):
    own = tiny_denoiser(gate=build, queue_size=7, n_iter=8)
    named = tiny_denoiser(gate="queue", queue_size=7, n_iter=8)
    assert clone(own).gate is build
    assert_same_fit(*(m.fit(target_pairs(), source_pool()) for m in (own, named)))


def test__fit__gate_that_refuses_everything__accepts_nothing():
    class Refusing(AcceptAll):
        def judge(self, trial):
            return Verdict(False, 0.0, 1.0, "never")

    model = tiny_denoiser(gate=lambda size: Refusing()).fit(
        target_pairs(), source_pool()
    )
    report = model.selection_report_
    assert report.n_offered > 0 and report.n_accepted == 0


def test__read_raw_files__fit_like_arrays(tmp_path):
    pairs = []
    for index, pair in enumerate(target_pairs(3)):
        path = write_dng(tmp_path / f"{index}.dng", pair.noisy)
        pairs.append(RawPair(read_raw(path, ratio=pair.ratio), pair.clean))
    assert_same_fit(tiny_denoiser().fit(pairs), tiny_denoiser().fit(target_pairs(3)))
