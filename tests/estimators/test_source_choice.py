"""Of a pool larger than a fit can train on, some are prepared; numbers stay true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_fits import source_pairs, target_pairs, tiny_denoiser

from skadl.adaptation.report.decisions import BatchDecision, DecisionRecorder
from skadl.estimators.source_choice import choose_pairs, renumber

SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), max_size=6)


@given(SIZES, st.integers(0, 100), st.integers(0, 100))
def test_choose_pairs__any_pool__as_many_of_each_as_it_has(sizes, n_draws, least):
    domains = {name: range(size) for name, size in sizes.items()}
    rng = np.random.RandomState(0)
    chosen = choose_pairs(domains, n_draws, rng, least)
    most, n_pairs = max(n_draws, least), sum(sizes.values())
    numbers = {name: len(positions) for name, positions in chosen.items()}
    for name, positions in chosen.items():
        assert len(set(positions.tolist())) == len(positions)
        assert set(positions.tolist()) <= set(domains[name])
    if n_pairs <= most:
        assert numbers == sizes
        assert rng.randint(2**30) == np.random.RandomState(0).randint(2**30)
    else:
        assert sum(numbers.values()) <= max(most, len(sizes))
        share = max(numbers.values())
        assert numbers == {name: min(size, share) for name, size in sizes.items()}
        assert all(np.all(np.diff(positions) > 0) for positions in chosen.values())


def test_renumber__pairs__have_the_numbers_of_the_pool():
    recorder = DecisionRecorder(["A", "B", "re-noised"])
    for domain, ids in (("A", (0, 1)), ("B", (1,)), ("re-noised", (2, 0))):
        isos = (100.0,) * len(ids)
        recorder.append(BatchDecision(0, domain, ids, isos, True, 1.0, 0.0, "good"))
    chosen = {"A": np.array([7, 300]), "B": np.array([2, 4])}
    table = renumber(recorder.finish(), chosen)
    assert [d.pair_ids for d in table] == [(7, 300), (4,), (2, 0)]
    assert table.pair_id.dtype == np.uint16


def test_fit__pool_larger_than_it_can_train_on__prepares_some(monkeypatch):
    monkeypatch.setattr(choose_pairs, "__defaults__", (2,))
    pool = {"A": source_pairs(8), "B": source_pairs(8)}
    model = tiny_denoiser(renoised_share=0.0).fit(target_pairs(), source_pairs=pool)
    report = model.selection_report_
    (note,) = (note for note in report.notes if "were prepared" in note)
    assert note.startswith("4 of 16 source pairs, chosen at random")
    for domain in pool:
        offered = report.by_pair(domain).offered
        assert np.count_nonzero(offered) <= 2


@pytest.mark.parametrize("n_pairs", [0, 3])
def test_renumber__all_chosen__changes_nothing(n_pairs):
    recorder = DecisionRecorder(["A"])
    for i in range(n_pairs):
        recorder.append(BatchDecision(i, "A", (i,), (100.0,), True, 1.0, 0.0, "good"))
    table = recorder.finish()
    assert renumber(table, {"A": np.arange(n_pairs)}).equals(table)
