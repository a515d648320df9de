"""Gates against a slow, separate writing of Eq. 2 and toys with known answers."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.adaptation.gates import GATES, QueueGate, Trial, make_gate
from skadl.screening import Screening
from skadl.screening.screen import FAULTS

scores = st.floats(0, 96)
sequences = st.lists(scores, min_size=1, max_size=40)
sizes = st.integers(1, 8)


def trial(after, before=None):
    after = np.atleast_1d(np.asarray(after, float))
    before = after if before is None else np.atleast_1d(np.asarray(before, float))
    return Trial("A", before, after)


def queue_by_sorting(seed, offered, queue_size):
    """Eq. 2 with a plain list that is sorted each time: what each score meets."""
    queue, verdicts = [seed], []
    for score in offered:
        mean = math.fsum(queue) / len(queue)
        verdicts.append((score > mean, mean))
        if score > mean:
            queue = sorted([*queue, score], reverse=True)[:queue_size]
    return verdicts, queue


# The queue of the paper


@given(scores, sequences, sizes)
def test_queue__any_sequence__decides_as_a_sorted_list_does(seed, offered, size):
    gate = QueueGate(size)
    gate.start(np.array([seed]))
    verdicts = [gate.judge(trial(score)) for score in offered]
    expected, queue = queue_by_sorting(seed, offered, size)
    assert [(v.accepted, v.threshold) for v in verdicts] == expected
    assert sorted(gate.queue) == sorted(queue)


@given(scores, sequences, sizes)
def test_queue__any_sequence__threshold_never_falls_and_size_never_exceeds_m(
    seed, offered, size
):
    gate = QueueGate(size)
    gate.start(np.array([seed]))
    for score in offered:
        before = gate.threshold
        gate.judge(trial(score))
        assert gate.threshold >= before - 1e-12 * before  # less a rounding
        assert 1 <= len(gate.queue) <= size


@given(scores, sizes)
def test_queue__score_equal_to_the_mean__is_rejected(seed, size):
    gate = QueueGate(size)
    gate.start(np.array([seed]))
    assert not gate.judge(trial(seed)).accepted


def test_queue__subset_of_images__is_judged_by_its_mean():
    gate = QueueGate(3)
    gate.start(np.array([20.0, 40.0]))
    assert gate.threshold == 30
    assert not gate.judge(trial([0.0, 59.0])).accepted
    assert gate.judge(trial([0.0, 61.0])).score == 30.5


def test_queue__seeded_again__forgets():
    gate = QueueGate(3)
    gate.start(np.array([50.0]))
    gate.judge(trial(60.0))
    gate.start(np.array([10.0]))
    assert gate.queue == [10.0]


# What every gate promises


def run(gate, trials):
    gate.start(np.array([30.0, 31.0]))
    return [gate.judge(t) for t in trials]


def random_trials(n=60, k=3):
    rng = np.random.default_rng(0)
    before = 30 + rng.normal(0, 2, (n, k))
    after = before + rng.normal(0, 0.1, (n, k))
    return [Trial("AB"[i % 2], before[i], after[i]) for i in range(n)]


@pytest.mark.parametrize("name", GATES)
def test_every_gate__verdict__is_complete(name):
    for verdict in run(make_gate(name, 5), random_trials()):
        assert isinstance(verdict.accepted, bool)
        assert isinstance(verdict.reason, str) and verdict.reason
        assert math.isfinite(verdict.score) and not math.isnan(verdict.threshold)
        assert verdict.threshold < math.inf


@pytest.mark.parametrize("name", GATES)
def test_every_gate__same_trials_after_a_new_seed__same_verdicts(name):
    gate = make_gate(name, 5)
    first, second = run(gate, random_trials()), run(gate, random_trials())
    assert first == second == run(make_gate(name, 5), random_trials())


@pytest.mark.parametrize("name", GATES)
def test_every_gate__trial__is_not_changed(name):
    trials = random_trials(5)
    copies = [(t.before.copy(), t.after.copy()) for t in trials]
    run(make_gate(name, 5), trials)
    for judged, (before, after) in zip(trials, copies, strict=True):
        np.testing.assert_array_equal(judged.before, before)
        np.testing.assert_array_equal(judged.after, after)


@pytest.mark.parametrize("name", GATES)
def test_every_gate__reasons__come_from_a_small_set(name):
    reasons = {verdict.reason for verdict in run(make_gate(name, 5), random_trials())}
    assert len(reasons) <= 4


@pytest.mark.parametrize("name", ["queue", "paired"])
def test_every_real_gate__each_step_better_than_all_before__is_accepted(name):
    climbing = [trial([x + 0.1, x + 1.1], [x, x + 1]) for x in np.arange(31, 36, 0.1)]
    assert all(verdict.accepted for verdict in run(make_gate(name, 5), climbing))


@pytest.mark.parametrize("name", ["queue", "paired"])
def test_every_real_gate__a_collapse_after_steady_steps__is_rejected(name):
    steady = [trial([31 + x, 32 + x], [30.9 + x, 31.9 + x]) for x in (0, 0.1, 0.2, 0.3)]
    collapse = trial([20.0, 21.0], [31.3, 32.3])
    assert not run(make_gate(name, 5), [*steady, collapse])[-1].accepted


@pytest.mark.parametrize("name", GATES)
def test_every_gate__pair_with_nothing_odd__is_admitted(name):
    gate = make_gate(name, 5)
    assert gate.measure_every >= 1
    assert gate.refuse(Screening(picture=0.9, noise=0.5)) is None


@pytest.mark.parametrize("part", [field.name for field in fields(Screening)])
def test_evidence__odd_pair__is_refused_before_training_with_its_reason(part):
    verdict = make_gate("evidence", 20).refuse(Screening(**{part: 1.5}))
    assert not verdict.accepted and verdict.score < verdict.threshold
    assert verdict.reason == FAULTS[part].reason


@pytest.mark.parametrize("name", sorted(GATES.keys() - {"evidence"}))
def test_other_gates__odd_pair__is_admitted(name):
    assert make_gate(name, 5).refuse(Screening(picture=99.0)) is None


def harm_and_help(n=400, harm=-0.05, noise=0.1, n_domains=4):
    """Domain 0 costs `harm` dB a step, the others nothing, all under step noise."""
    rng = np.random.default_rng(0)
    domain = rng.integers(n_domains, size=n)
    change = rng.normal(0, noise, (n, 5)) + np.where(domain == 0, harm, 0.0)[:, None]
    before = rng.uniform(20, 40, (n, 5))  # a fresh V' each time, easy or hard
    trials = [
        Trial(str(d), b, b + c) for d, b, c in zip(domain, before, change, strict=True)
    ]
    return domain, trials


def test_evidence__domain_that_does_harm__is_refused_and_kept_under_test():
    domain, trials = harm_and_help(harm=-0.2)
    verdicts = run(make_gate("evidence", 20), trials)
    late = [v for d, v in zip(domain, verdicts, strict=True) if d == 0][20:]
    assert np.mean([verdict.accepted for verdict in late]) < 0.1
    honest = [v for d, v in zip(domain, verdicts, strict=True) if d != 0]
    assert np.mean([verdict.accepted for verdict in honest]) > 0.95


def test_evidence__domains_alike__are_hardly_ever_refused():
    _, trials = harm_and_help(harm=0.0, n=2000)
    verdicts = run(make_gate("evidence", 20), trials)
    assert np.mean([verdict.accepted for verdict in verdicts]) > 0.99


def test_evidence__harmful_domain_that_turns_helpful__is_taken_again():
    domain, harmful = harm_and_help(harm=-0.2)
    _, helpful = harm_and_help(harm=0.2)
    verdicts = run(make_gate("evidence", 20), [*harmful, *helpful])[400:]
    late = [v for d, v in zip(domain, verdicts, strict=True) if d == 0][30:]
    assert all(verdict.accepted for verdict in late)


def test_evidence__iteration_without_measurement__repeats_the_standing_verdict():
    gate = make_gate("evidence", 20)
    _, trials = harm_and_help(harm=-0.2)
    run(gate, trials)
    for name in "0123":
        measured = gate.judge(Trial(name, None, None))
        assert measured == gate.judge(Trial(name, None, None))


def test_paired__between_image_differences__cancel():
    rng = np.random.default_rng(1)
    level = rng.uniform(20, 40, 200)  # a fresh V' each time, easy or hard
    helps = np.arange(200) % 2 == 0
    change = np.where(helps, 0.01, -0.01)
    offered = [trial(x + d, x) for x, d in zip(level, change, strict=True)]
    accepted = np.array([v.accepted for v in run(make_gate("paired", 20), offered)])
    assert accepted[helps].mean() > accepted[~helps].mean()


def test_open_gate__anything__is_accepted():
    assert all(v.accepted for v in run(make_gate("none", 5), random_trials()))


def test_make_gate__paper__never_asks_for_the_score_before():
    assert not make_gate("queue", 5).needs_before


# How often to draw a domain


def feed(gate, differences, n=20, spread=0.01):
    """Show a gate `n` measurements of each domain around its mean difference."""
    gate.start(np.array([30.0]))
    noise = spread * np.random.default_rng(0).standard_normal((n, len(differences)))
    for row in noise:
        for (name, mean), error in zip(differences.items(), row, strict=True):
            gate.judge(Trial(name, np.array([30.0]), np.array([30.0 + mean + error])))


@pytest.mark.parametrize("name", GATES)
def test_preference__nothing_known__is_one(name):
    assert make_gate(name, 20).sampling_weight("A") == 1.0


def test_preference__follows_the_evidence_and_never_falls_to_nothing():
    gate = make_gate("evidence", 40)
    feed(gate, {"worst": -0.1, "worse": -0.004, "A": 0.0, "B": 0.0, "best": 0.1})
    names = ("worst", "worse", "A", "best")
    preferences = [gate.sampling_weight(name) for name in names]
    assert preferences == sorted(preferences)
    assert preferences[0] == gate.least_drawn > 0
    assert preferences[-1] == gate.most_drawn
