"""What a gate remembers comes back bit for bit, through a file of plain values."""

from __future__ import annotations

import json
import math
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.adaptation.gates import EvidenceGate, PairedGate, QueueGate, Trial
from skadl.adaptation.gates.memory import from_plain, to_plain
from skadl.support.strictjson import parse_json

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.lists(inner, max_size=3).map(lambda items: deque(items, maxlen=4))
        | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def through_a_file(value):
    return from_plain(parse_json(json.dumps(to_plain(value), allow_nan=False)))


@given(VALUES)
def test_plain__any_value__comes_back(value):
    again = through_a_file(value)
    assert repr(again) == repr(value) and type(again) is type(value)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 2)])
def test_plain__arrays__come_back(dtype, shape):
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    again = through_a_file(array)
    assert again.dtype == array.dtype and again.shape == array.shape
    np.testing.assert_array_equal(again, array)


def test_plain__nan_and_infinity__come_back():
    again = through_a_file([math.nan, math.inf, -math.inf])
    assert [repr(x) for x in again] == ["nan", "inf", "-inf"]


@pytest.mark.parametrize("gate", [EvidenceGate, PairedGate, QueueGate])
def test_gate__recalled_half_way__judges_as_before(gate):
    rng = np.random.default_rng(0)
    trials = [
        Trial("ab"[i % 2], before, before + rng.normal(scale=0.1, size=3))
        for i, before in enumerate(rng.normal(30, 1, (40, 3)))
    ]
    first, second = gate(7), gate(7)
    first.start(trials[0].before)
    for trial in trials[:20]:
        first.judge(trial)
    second.recall(parse_json(json.dumps(first.memory())))
    for trial in trials[20:]:
        assert second.judge(trial) == first.judge(trial)
        assert second.sampling_weight(trial.domain) == first.sampling_weight(
            trial.domain
        )


def test_gate__memory_of_another__is_refused():
    with pytest.raises(ValueError, match="is of a gate that remembers"):
        QueueGate(3).recall(PairedGate(3).memory())
