"""Odd pairs of the target are named, and do not enter what is measured on pairs."""

from __future__ import annotations

import pytest
import tiny_preparation
import torch
from tiny_fits import tiny_denoiser

from skadl import PatchStore, SourcePool
from skadl.data.store.frames import StoredFrame
from skadl.datasets import SPOILED_KINDS, make_domain, spoil_pairs
from skadl.noise.renoising import RENOISED
from skadl.screening.screen import FAULTS


def prepared(pairs, domains=None):
    return tiny_preparation.prepared(pairs, domains, "sensor_iso_noise")


@pytest.fixture(scope="module")
def target():
    return make_domain("SonyA7S2", 8, size=64, iso=[400, 1600], random_state=0)


def test_prepare__honest_target__has_nothing_to_say(target):
    data = prepared(target)
    assert data.notes == ()
    assert not any(pair.fault.is_faulty for pair in data.target.pairs)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("misaligned by 4", "picture"),
        ("ratio times 2", "brightness"),
        ("iso times 8", "noise"),
        ("noisy as clean", "exchanged"),
    ],
)
def test_prepare__odd_target_pair__is_named_with_the_next_step_and_kept(
    target, kind, part
):
    mixed, spoiled = spoil_pairs(target, kind, 0.1, random_state=0)
    (index,) = spoiled
    with pytest.warns(UserWarning) as caught:
        data = prepared(mixed)
    (message,) = (str(warning.message) for warning in caught)
    assert data.notes == (message,)
    fault = FAULTS[part]
    told = (repr(mixed[index].scene), fault.reason, fault.remedy)
    for fact in (f"target_pairs[{index}] ", *told):
        assert fact in message
    assert len(data.target.pairs) == len(target)
    odd = [i for i, pair in enumerate(data.target.pairs) if pair.fault.is_faulty]
    assert odd == [index]


def test_prepare__odd_pairs_of_several_kinds__one_note_a_reason(target):
    kinds = ["misaligned by 4", "ratio times 2", "misaligned by 16"]
    mixed, spoiled = spoil_pairs(target, kinds, 3 / 8, random_state=0)
    with pytest.warns(UserWarning):
        data = prepared(mixed)
    notes = {note for note in data.notes if FAULTS["picture"].reason in note}
    (note,) = notes
    assert len(data.notes) == 2 and note.startswith("target_pairs[")
    assert all(f"[{i}] (" in note for i, kind in spoiled.items() if "mis" in kind)


@pytest.mark.parametrize("kind", ["misaligned by 4", "iso times 8", "ratio times 0.5"])
def test_prepare__odd_pairs__do_not_change_the_measured_noise(target, kind):
    mixed, spoiled = spoil_pairs(target, kind, 0.2, random_state=1)
    good = [pair for index, pair in enumerate(target) if index not in spoiled]
    alone = prepared(good).sensors.get("SonyA7S2")
    with pytest.warns(UserWarning):
        info = prepared(mixed).sensors.get("SonyA7S2")
    assert dict(info.gain) == dict(alone.gain)
    assert dict(info.read_noise) == dict(alone.read_noise)


def test_prepare__all_pairs_odd__measures_on_what_there_is(target):
    mixed, _ = spoil_pairs(target, "misaligned by 4", 1.0, random_state=0)
    with pytest.warns(UserWarning):
        info = prepared(mixed).sensors.get("SonyA7S2")
    assert info.knows_noise


def test_prepare__odd_sources__are_marked_and_lend_no_scene(target):
    good = make_domain("NikonD850", 10, size=64, random_state=1)
    mixed, spoiled = spoil_pairs(good, SPOILED_KINDS, 0.3, random_state=0)
    data = prepared(target, {"A": mixed, "B": good})
    odd = {i for i, pair in enumerate(data.sources["A"]) if pair.fault.is_faulty}
    assert odd == set(spoiled)
    assert len(data.sources[RENOISED]) == len(mixed) + len(good) - len(spoiled)
    assert not any(pair.fault.is_faulty for pair in data.sources[RENOISED])


def test_prepare__sources_in_a_store__stay_there_and_measure_the_same(target, tmp_path):
    sources = make_domain("NikonD850", 4, size=64, random_state=1)
    pool = SourcePool({"A": sources}, store=PatchStore(tmp_path))
    data, expected = prepared(target, pool.domains), prepared(target, {"A": sources})
    for name, pairs in data.sources.items():
        for pair, other in zip(pairs, expected.sources[name], strict=True):
            assert isinstance(pair.noisy, StoredFrame)
            assert isinstance(pair.clean, StoredFrame)
            assert torch.equal(pair.metadata, other.metadata)
            assert torch.equal(pair.noisy_levels, other.noisy_levels)
            assert torch.equal(pair.clean[0:32, 0:32], other.clean)
            assert pair.fault == other.fault
    assert all(isinstance(pair.noisy, torch.Tensor) for pair in data.target.pairs)
    for name in data.sensors.names:
        assert repr(data.sensors.get(name)) == repr(expected.sensors.get(name))


def test_fit__odd_target_pair__is_in_the_report(target):
    mixed, _ = spoil_pairs(target, "ratio times 2", 0.1, random_state=0)
    with pytest.warns(UserWarning, match="light factor"):
        report = tiny_denoiser().fit(mixed).selection_report_
    assert any(FAULTS["brightness"].reason in note for note in report.notes)
