"""What each stage trains on and at which rate: V', T^train and S'."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_adapt import (
    SCHEDULE,
    ScriptedGate,
    make_sources,
    make_stored,
    make_target,
    make_watched,
    numbers,
    run,
    same,
)

from skadl.adaptation.gates import GATES, make_gate
from skadl.adaptation.sampling import SourceSampler
from skadl.adaptation.stages import (
    FEW_PAIRS,
    draw_diverse,
    draw_validation,
    finetune,
    pretrain,
    validation_size,
)
from skadl.noise.renoising import RENOISED
from skadl.screening import Screening

# V', T^train and S'

HALF = 0.5  # share of a domain that must be let in


@pytest.mark.parametrize("n_target", [2, 3, 6, 15])
def test_adapt__v_prime_and_t_train__share_out_the_target(n_target):
    schedule = replace(SCHEDULE, batch_size=60, source_share=0.05, n_iter=30)
    learner, _ = run(ScriptedGate(), target=make_target(n_target), schedule=schedule)
    everyone = set(range(n_target))
    for (batch, _), evaluated in zip(learner.stepped, learner.evaluated, strict=True):
        v_prime = numbers(evaluated[0])
        t_train = {number for number in numbers(batch) if number < 100}
        assert len(set(v_prime)) == len(v_prime)
        assert t_train == everyone - set(v_prime)  # disjoint and exhaustive


@pytest.mark.parametrize("n_target", [2, 5, 9, 10, 24])
@pytest.mark.parametrize("fractions", [(0.2, 0.5), (0.01, 0.99), (0.3, 0.3)])
def test_adapt__size_of_v_prime__grows_along_its_schedule(n_target, fractions):
    schedule = replace(SCHEDULE, val_fraction=fractions, n_iter=20)
    gate = ScriptedGate()
    run(gate, target=make_target(n_target), schedule=schedule)
    sizes = [len(trial.after) for trial in gate.trials]
    assert sizes == sorted(sizes)
    assert 1 <= sizes[0] and sizes[-1] <= n_target - 1
    assert abs(sizes[0] - fractions[0] * n_target) <= 1
    assert abs(sizes[-1] - fractions[1] * n_target) <= 1 + n_target / schedule.n_iter
    assert all(len(trial.before) == len(trial.after) for trial in gate.trials)


def test_adapt__before_and_after__are_of_the_same_images():
    gate = ScriptedGate(otherwise=False)
    schedule = replace(SCHEDULE, learning_rate=1e-12)
    run(gate, schedule=schedule)
    for trial in gate.trials:
        np.testing.assert_allclose(trial.after, trial.before, atol=1e-3)


def test_adapt__fewer_than_ten_pairs__v_prime_spans_the_gains():
    gains = [8.0, 1.0, 64.0, 2.0, 32.0, 16.0]
    by_gain = np.argsort(gains)
    schedule = replace(SCHEDULE, val_fraction=(0.5, 0.5), n_iter=30)
    learner, _ = run(ScriptedGate(), target=make_target(6, gains), schedule=schedule)
    drawn = [numbers(evaluated[0]) for evaluated in learner.evaluated]
    for v_prime in drawn:
        thirds = [int(np.flatnonzero(by_gain == number)[0]) // 2 for number in v_prime]
        assert sorted(thirds) == [0, 1, 2]
    assert {number for v_prime in drawn for number in v_prime} == set(range(6))


def test_adapt__source_part__comes_from_one_recorded_domain():
    learner, decisions = run(ScriptedGate())
    sources = make_sources()
    for (batch, _), decision in zip(learner.stepped, decisions, strict=True):
        members = [number for number in numbers(batch) if number >= 100]
        recorded = [sources[decision.domain][i] for i in decision.pair_ids]
        assert members == [int(pair.metadata[0]) for pair in recorded]
        assert decision.iso == tuple(pair.iso for pair in recorded)
        assert len(members) == SCHEDULE.batch_size // 2
    assert {decision.domain for decision in decisions} == {"near", "far"}
    assert [decision.iteration for decision in decisions] == list(
        range(SCHEDULE.n_iter)
    )


@pytest.mark.parametrize(("share", "n_source"), [(0.01, 1), (0.5, 3), (1.0, 6)])
def test_adapt__source_share__is_kept_with_at_least_one_pair(share, n_source):
    learner, _ = run(ScriptedGate(), schedule=replace(SCHEDULE, source_share=share))
    for batch, _ in learner.stepped:
        assert sum(number >= 100 for number in numbers(batch)) == n_source
        assert len(numbers(batch)) == SCHEDULE.batch_size


@pytest.mark.parametrize("name", GATES)
def test_adapt__same_seed__same_decisions_and_weights(name, fingerprint):
    learners, decisions = zip(*(run(make_gate(name, 3)) for _ in range(2)), strict=True)
    assert decisions[0] == decisions[1] or [vars_of(d) for d in decisions[0]] == [
        vars_of(d) for d in decisions[1]
    ]
    assert same(*(fingerprint(learner) for learner in learners))


def vars_of(decision):
    return (decision.domain, decision.pair_ids, decision.accepted, decision.score)


def test_adapt__other_seed__other_batches():
    first, second = (run(ScriptedGate(), seed=seed)[1] for seed in (0, 1))
    assert [d.pair_ids for d in first] != [d.pair_ids for d in second]


def test_adapt__global_random_state__is_neither_used_nor_moved():
    np.random.seed(3)
    torch.manual_seed(3)
    expected = np.random.rand(), torch.rand(1)
    np.random.seed(3)
    torch.manual_seed(3)
    run(ScriptedGate())
    assert (np.random.rand(), torch.rand(1)) == expected


# The other stages


def test_pretrain__all_of_the_target__at_a_rate_that_rises_and_stays():
    learner, schedule = make_watched(), replace(SCHEDULE, n_pretrain_iter=60)
    losses = list(pretrain(learner, make_target(6), schedule, np.random.RandomState(0)))
    rates = [rate for _, rate in learner.stepped]
    assert len(losses) == 60 and all(math.isfinite(loss) for loss in losses)
    assert rates == sorted(rates) and 0 < rates[0] < rates[-1] == schedule.learning_rate
    seen = {number for batch, _ in learner.stepped for number in numbers(batch)}
    assert seen == set(range(6))


def test_pretrain__without_a_second_stage__the_rate_falls_towards_zero():
    learner = make_watched()
    schedule = replace(SCHEDULE, n_pretrain_iter=30, pretrain_falls=True)
    list(pretrain(learner, make_target(6), schedule, np.random.RandomState(0)))
    rates = [rate for _, rate in learner.stepped]
    peak = int(np.argmax(rates))
    assert peak < 3 and np.all(np.diff(rates[peak:]) < 0)
    assert rates[-1] < 0.01 * schedule.learning_rate


def test_pretrain__renoised_share__is_drawn_from_the_scenes_under_new_noise():
    learner, target = make_watched(), make_target(4)
    made = tuple(make_stored(50 + i) for i in range(4))
    target = replace(target, renoised=made, held_out=np.array([2]))
    schedule = replace(SCHEDULE, n_pretrain_iter=60, renoised_share=0.75)
    list(pretrain(learner, target, schedule, np.random.RandomState(0)))
    seen = np.concatenate([b.metadata[:, 0].numpy() for b, _ in learner.stepped])
    assert set(seen) == {0, 1, 3, 50, 51, 52, 53}
    assert np.mean(seen >= 50) == pytest.approx(0.75, abs=0.12)


def test_finetune__all_of_the_target__at_a_rate_that_falls_towards_zero():
    learner, schedule = make_watched(), replace(SCHEDULE, n_finetune_iter=60)
    pairs = make_target(6).pairs
    losses = list(finetune(learner, pairs, schedule, np.random.RandomState(0)))
    rates = [rate for _, rate in learner.stepped]
    assert len(losses) == 60
    assert rates[0] == pytest.approx(schedule.finetune_rate * schedule.learning_rate)
    assert rates == sorted(rates, reverse=True) and 0 < rates[-1] < 0.01 * rates[0]
    seen = {number for batch, _ in learner.stepped for number in numbers(batch)}
    assert seen == set(range(6))


def test_adapt__rate__never_rises():
    learner, _ = run(ScriptedGate())
    rates = [rate for _, rate in learner.stepped]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == SCHEDULE.learning_rate and rates[-1] > 0


# Drawing V'


@given(st.floats(0.001, 0.999), st.floats(0, 0.5), st.integers(2, 200))
def test_validation_size__any_fraction__leaves_one_on_each_side(fraction, more, n):
    size = validation_size(fraction, n)
    assert 1 <= size <= n - 1
    assert abs(size - fraction * n) <= 1
    assert size <= validation_size(min(fraction + more, 1.0), n)


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=FEW_PAIRS, unique=True),
    st.data(),
    st.integers(0, 2**31 - 1),
)
def test_draw_diverse__distinct_gains__one_of_each_stratum(gains, data, seed):
    size = data.draw(st.integers(1, len(gains)))
    drawn = draw_diverse(np.array(gains), size, np.random.RandomState(seed))
    ranks = np.argsort(np.argsort(gains))[drawn]
    strata = np.array_split(np.arange(len(gains)), size)
    assert len(drawn) == size
    for stratum in strata:
        assert np.isin(ranks, stratum).sum() == 1


def test_draw_diverse__equal_gains__every_image_gets_its_turn():
    rng = np.random.RandomState(0)
    drawn = {int(i) for _ in range(100) for i in draw_diverse(np.ones(6), 2, rng)}
    assert drawn == set(range(6))


@pytest.mark.parametrize(("below", "spans"), [(FEW_PAIRS, True), (0, False)])
def test_draw_validation__few_pairs__span_the_gains_unless_told_otherwise(below, spans):
    target = make_target(6)
    schedule = replace(SCHEDULE, val_fraction=(0.34, 0.34), diverse_below=below)
    rng = np.random.RandomState(0)
    drawn = [draw_validation(target, schedule, 0, rng) for _ in range(50)]
    assert {len(v) for v in drawn} == {2}
    halves = {tuple(np.sort(target.gains[v]) > 3) for v in drawn}
    assert (halves == {(False, True)}) == spans


# Drawing S'


@given(st.data(), st.integers(1, 9), st.integers(0, 2**31 - 1))
def test_source_sampler__any_refusals__draws_only_admitted_pairs(data, size, seed):
    white = {
        name: data.draw(st.lists(st.booleans(), min_size=1, max_size=4))
        for name in ("a", "b", "c")
    }
    sources = {
        name: [
            make_stored(i, screening=Screening(noise=2.0 * (not ok)))
            for i, ok in enumerate(flags)
        ]
        for name, flags in white.items()
    }
    sampler = SourceSampler(sources, make_gate("evidence", 20), {}, HALF)
    rng = np.random.RandomState(seed)
    for _ in range(5):
        drawn = sampler.draw(size, rng)
        assert not any(white[drawn.refused_domain][i] for i in drawn.refused_ids)
        if drawn.domain is None:
            assert not any(np.mean(flags) > HALF for flags in white.values())
            assert not drawn.pair_ids.size
        else:
            assert len(drawn.pair_ids) == size
            assert all(white[drawn.domain][i] for i in drawn.pair_ids)


def test_source_sampler__one_pair_slips_through_a_refused_domain__does_not_fill_it():
    bad = [make_stored(i, screening=Screening(noise=2.0)) for i in range(9)]
    sources = {"bad": [*bad, make_stored(9)], "good": [make_stored(20)]}
    sampler = SourceSampler(sources, make_gate("evidence", 20), {}, HALF)
    rng = np.random.RandomState(0)
    domains = {sampler.draw(4, rng).domain for _ in range(50)}
    assert domains == {"good"}


@pytest.mark.parametrize("renoised_share", [0.0, 0.5, 1.0])
def test_source_sampler__preferred_domain__is_drawn_that_much_more_often(
    renoised_share,
):
    sources = make_sources() | {RENOISED: [make_stored(300)]}
    gate = ScriptedGate(preferred={"near": 0.25})
    sampler = SourceSampler(sources, gate, {RENOISED: renoised_share}, HALF)
    rng = np.random.RandomState(0)
    drawn = Counter(sampler.draw(1, rng).domain for _ in range(4000))
    weights = {
        "near": 0.25 * (1 - renoised_share) / 2,
        "far": (1 - renoised_share) / 2,
        RENOISED: renoised_share,
    }
    for name, weight in weights.items():
        expected = weight / sum(weights.values())
        error = 4 * (expected * (1 - expected) / 4000) ** 0.5
        assert drawn[name] / 4000 == pytest.approx(expected, abs=error + 1e-9)


def test_source_sampler__no_refusals__every_domain_and_pair_gets_its_turn():
    sources = make_sources()
    sampler = SourceSampler(sources, make_gate("evidence", 20), {}, HALF)
    rng = np.random.RandomState(0)
    drawn = [sampler.draw(3, rng) for _ in range(100)]
    seen = {(d.domain, int(i)) for d in drawn for i in d.pair_ids}
    assert seen == {(name, i) for name in sources for i in range(3)}
    assert all(not d.refused_ids.size for d in drawn)
