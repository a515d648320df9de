"""The loop of Algorithm 1: what is taken, what is rejected, what rejection undoes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_adapt import (
    CPU,
    SCHEDULE,
    ScriptedGate,
    WatchedLearner,
    make_sources,
    make_stored,
    make_target,
    make_watched,
    numbers,
    run,
    same,
)

from skadl.adaptation.gates import GATES, make_gate
from skadl.adaptation.patches import Batch
from skadl.adaptation.stages import adapt, pretrain
from skadl.network.choice import build_network
from skadl.screening import Screening
from skadl.screening.screen import FAULTS

# Rejection


@pytest.mark.parametrize("needs_before", [False, True])
def test_adapt__gate_that_rejects_all__ends_where_it_began(needs_before, fingerprint):
    learner = make_watched()
    list(pretrain(learner, make_target(6), SCHEDULE, np.random.RandomState(0)))
    before = fingerprint(learner)
    gate = ScriptedGate(otherwise=False, needs_before=needs_before)
    _, decisions = run(gate, learner=learner)
    assert len(decisions) == SCHEDULE.n_iter
    assert not any(decision.accepted for decision in decisions)
    assert same(fingerprint(learner), before)


def test_adapt__each_rejected_batch__is_undone_at_once(fingerprint):
    learner = make_watched()
    states = [fingerprint(learner)]
    gate = ScriptedGate([True, False] * 6)
    rng = np.random.RandomState(0)
    steps = adapt(learner, make_target(6), make_sources(), gate, SCHEDULE, rng)
    for decision in steps:
        states.append(fingerprint(learner))
        assert same(states[-1], states[-2]) != decision.accepted


@settings(max_examples=8)
@given(st.lists(st.booleans(), min_size=SCHEDULE.n_iter, max_size=SCHEDULE.n_iter))
def test_adapt__any_verdicts__equals_training_on_the_accepted_batches(
    fingerprint, script
):
    learner, decisions = run(ScriptedGate(script))
    assert [decision.accepted for decision in decisions] == script
    plain = make_watched()
    for (batch, rate), accepted in zip(learner.stepped, script, strict=True):
        if accepted:
            plain.step(batch, rate)
    assert same(fingerprint(learner), fingerprint(plain))


def test_adapt__open_gate__is_plain_joint_training(fingerprint):
    learner, decisions = run(make_gate("none", 5))
    assert all(decision.accepted for decision in decisions)
    plain = make_watched()
    for batch, rate in learner.stepped:
        plain.step(batch, rate)
    assert same(fingerprint(learner), fingerprint(plain))


def test_adapt__loss_not_finite__is_a_rejection_with_its_reason(fingerprint):
    poisoned = make_stored(300)
    poisoned.metadata.fill_(math.nan)
    learner = make_watched()
    before = fingerprint(learner)
    gate = ScriptedGate()
    _, decisions = run(gate, learner=learner, sources={"bad": [poisoned]})
    assert {(d.accepted, d.reason) for d in decisions} == {(False, "non-finite loss")}
    assert all(math.isnan(d.score) and math.isnan(d.threshold) for d in decisions)
    assert not gate.trials
    assert same(fingerprint(learner), before)


def test_adapt__evaluation_not_finite__is_a_rejection_with_its_reason(fingerprint):
    class Exploding(WatchedLearner):
        def evaluate(self, batch):
            scores = super().evaluate(batch)
            if len(self.stepped) % 2:
                scores[0] = math.nan
            return scores

    network = build_network(1, 4, 2, 8, CPU, 0)
    learner, gate = Exploding(network, None, 0.01), ScriptedGate()
    gate.needs_before = False
    rng = np.random.RandomState(0)
    states = [fingerprint(learner)]
    steps = adapt(learner, make_target(6), make_sources(), gate, SCHEDULE, rng)
    for t, decision in enumerate(steps):
        states.append(fingerprint(learner))
        if t % 2 == 0:
            assert (decision.accepted, decision.reason) == (
                False,
                "non-finite evaluation",
            )
            assert same(states[-1], states[-2])
        else:
            assert decision.accepted
    assert len(gate.trials) == SCHEDULE.n_iter // 2


# Pairs refused for their residual


def evidence_run(sources):
    return run(make_gate("evidence", 5), sources=sources)


def test_adapt__pairs_that_show_a_picture__never_reach_a_batch():
    sources = make_sources()
    sources["near"][1] = make_stored(666, screening=Screening(picture=2))
    learner, decisions = evidence_run(sources)
    assert all(666 not in numbers(batch) for batch, _ in learner.stepped)
    assert len(learner.stepped) == SCHEDULE.n_iter
    refused = [d for d in decisions if d.reason == FAULTS["picture"].reason]
    assert refused and all(d.pair_ids == (1,) and not d.accepted for d in refused)
    assert all(d.domain == "near" for d in refused)
    trained = [d for d in decisions if d not in refused]
    assert all(1 not in d.pair_ids for d in trained if d.domain == "near")


def test_adapt__pairs_refused_for_several_reasons__are_recorded_by_reason():
    odd = [Screening(picture=2), Screening(noise=3), Screening(picture=4), Screening()]
    sources = {"near": [make_stored(i, screening=s) for i, s in enumerate(odd)]}
    schedule = replace(SCHEDULE, n_iter=40)
    _, decisions = run(make_gate("evidence", 5), sources=sources, schedule=schedule)
    picture, noise = FAULTS["picture"].reason, FAULTS["noise"].reason
    reasons = {fault.reason for fault in FAULTS.values()}
    refused = [d for d in decisions if d.reason in reasons]
    allowed = {picture: {(0,), (2,), (0, 2)}, noise: {(1,)}}
    assert {(d.reason, d.pair_ids) for d in refused} == {
        (reason, ids) for reason, found in allowed.items() for ids in found
    }
    for decision in refused:
        worst = max(odd[i].score for i in decision.pair_ids)
        assert (decision.score, decision.threshold) == (-worst, -1.0)
        assert not decision.accepted
    pairs = [(d.iteration, i) for d in refused for i in d.pair_ids]
    assert len(pairs) == len(set(pairs))


def test_adapt__nothing_left_of_the_sources__trains_on_the_target():
    learner, decisions = evidence_run(make_sources(screening=Screening(picture=2)))
    assert not any(decision.accepted for decision in decisions)
    assert len(decisions) == len(learner.stepped) == SCHEDULE.n_iter
    assert all(
        number < 100 for batch, _ in learner.stepped for number in numbers(batch)
    )


# A toy with a known answer: theta is one number, the loss (theta - truth) ** 2.


class QuadraticLearner:
    """Moves one number towards the mean of a batch's clean images.

    In double precision: the last steps are too short for float32 to show, and how a
    mean of float32 is rounded depends on the processor.
    """

    def __init__(self):
        self.theta = self.saved = 0.0

    def step(self, batch: Batch, learning_rate: float) -> float:
        error = self.theta - float(batch.clean.double().mean())
        self.theta -= learning_rate * error
        return error**2

    def evaluate(self, batch: Batch) -> np.ndarray:
        errors = self.theta - batch.clean.double().mean(dim=(1, 2, 3)).numpy()
        return -10 * np.log10(errors**2)

    def save(self):
        self.saved = self.theta

    def restore(self):
        self.theta = self.saved


TOY_PLAN = replace(SCHEDULE, n_iter=400, learning_rate=0.01, source_share=1.0)


def run_toy(gate, sources):
    learner = QuadraticLearner()  # the target's truth is 0.5
    rng = np.random.RandomState(0)
    return learner, list(adapt(learner, make_target(6), sources, gate, TOY_PLAN, rng))


def acceptance(decisions, domain):
    return np.mean([d.accepted for d in decisions if d.domain.startswith(domain)])


def test_adapt__toy_with_a_queue_of_one__takes_exactly_the_helpful_batches():
    # With M = 1 the threshold is the best score so far, and each step towards the
    # truth is a new best, each step away is not.
    sources = {
        "helpful": [make_stored(100, level=0.5)],
        "harmful": [make_stored(200, level=-1.0)],
    }
    learner, decisions = run_toy(make_gate("queue", 1), sources)
    assert all(d.accepted == (d.domain == "helpful") for d in decisions)
    assert 0.25 < learner.theta < 0.5


@pytest.mark.parametrize("name", sorted(GATES.keys() - {"none"}))
def test_adapt__toy__every_real_gate_takes_more_of_what_helps(name):
    sources = {f"helpful {i}": [make_stored(i, level=0.5)] for i in range(3)}
    sources["harmful"] = [make_stored(200, level=-1.0)]
    guarded, decisions = run_toy(make_gate(name, 20), sources)
    unguarded, _ = run_toy(make_gate("none", 20), sources)
    assert acceptance(decisions, "helpful") > acceptance(decisions, "harmful") + 0.1
    assert abs(guarded.theta - 0.5) < abs(unguarded.theta - 0.5)
