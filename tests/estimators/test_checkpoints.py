"""A fit that was stopped goes on, and ends bit for bit as one that was not."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_fits import (
    assert_same_fit,
    source_pairs,
    source_pool,
    target_pairs,
    tiny_denoiser,
)

import skadl
from skadl import ADLDenoiser, PatchStore, SourcePool
from skadl.adaptation.gates import EvidenceGate
from skadl.adaptation.report.decisions import DecisionRecorder
from skadl.adaptation.snapshot import Snapshots
from skadl.commands.describe_file import describe_file
from skadl.estimators import checkpoints

STARTS = {
    "random": {},
    "universal": dict(
        start="universal", base_channels=None, n_levels=None, n_pretrain_iter=2
    ),
}


def denoiser(start="random", **changes) -> ADLDenoiser:
    return tiny_denoiser(**{**STARTS[start], **changes})


def fit(model: ADLDenoiser, path=None, every=1e9, **options) -> ADLDenoiser:
    options = {"source_pairs": source_pool(), "checkpoint": path, **options}
    return model.fit(target_pairs(), checkpoint_every=every, **options)


@cache
def undisturbed(start: str, **changes) -> ADLDenoiser:
    return fit(denoiser(start, **changes))


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "fit.checkpoint"


@pytest.fixture
def stop_after(monkeypatch, path):
    """A function that fits until so many iterations have begun, and stops there."""

    def stop(n_steps: int, model: ADLDenoiser, **options) -> None:
        numbers = itertools.count(1)
        offer = Snapshots.offer

        def offer_and_stop(self, take):
            offer(self, take)
            if next(numbers) == n_steps:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Snapshots, "offer", offer_and_stop)
            with pytest.raises(KeyboardInterrupt):
                fit(model, path, every=0, **options)

    return stop


# Going on


@pytest.mark.parametrize(
    ("start", "n_steps"),
    [("random", n) for n in (1, 2, 4, 6, 9)] + [("universal", n) for n in (1, 4, 8)],
)
def test_fit__stopped_in_any_stage__ends_as_if_it_were_not(
    start, n_steps, path, stop_after
):
    stop_after(n_steps, denoiser(start))
    assert_same_fit(fit(denoiser(start), path), undisturbed(start))


def test_fit__stopped_again_and_again__ends_as_if_it_were_not(path, stop_after):
    for _ in range(4):
        stop_after(3, denoiser())
    assert_same_fit(fit(denoiser(), path), undisturbed("random"))


@pytest.mark.parametrize("gate", ["queue", "paired", "none", EvidenceGate])
def test_fit__gate__remembers_what_it_knew(gate, path, stop_after):
    changes = dict(gate=gate, queue_size=3, n_iter=8)
    stop_after(9, denoiser(**changes))
    assert_same_fit(fit(denoiser(**changes), path), fit(denoiser(**changes)))


def test_fit__whole_checkpoint__same_call_gives_the_same_model(path):
    first = fit(denoiser(), path, every=0)
    assert_same_fit(first, undisturbed("random"))
    assert_same_fit(fit(denoiser(), path), first)
    assert os.listdir(path.parent) == [path.name]


def test_fit__no_seed__goes_on_with_that_of_the_checkpoint(path, stop_after):
    stop_after(4, denoiser(random_state=None))
    first, second = (
        fit(denoiser(random_state=None), path, every=1e9) for _ in range(2)
    )
    assert_same_fit(first, second)


def test_fit__sources_in_a_store__go_on(path, stop_after, tmp_path):
    def stored():
        return SourcePool(source_pool(), store=PatchStore(tmp_path / "store"))

    stop_after(5, denoiser(), source_pairs=stored())
    again = fit(denoiser(), path, source_pairs=stored())
    assert_same_fit(again, undisturbed("random"))


def test_fit__without_sources__goes_on(path, stop_after):
    options = dict(source_pairs=None)
    model = denoiser(n_iter=0)
    stop_after(4, model, **options)
    again = fit(denoiser(n_iter=0), path, **options)
    assert_same_fit(again, fit(denoiser(n_iter=0), **options))


KILLED = """
    import os, signal, sys
    from test_checkpoints import Snapshots, denoiser, fit
    import torch

    torch.set_num_threads(int(sys.argv[2]))
    offer, n_steps = Snapshots.offer, 0

    def offer_and_die(self, take):
        global n_steps
        offer(self, take)
        n_steps += 1
        if n_steps == 6:
            os.kill(os.getpid(), signal.SIGKILL)

    Snapshots.offer = offer_and_die
    fit(denoiser(), sys.argv[1], every=0)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_fit__killed__goes_on(path):
    left = path.with_name(f".{path.name}.{32 * '0'}.part")
    left.write_bytes(b"of another kill")
    folders = [str(Path(__file__).parents[depth]) for depth in range(3)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    arguments = [str(path), str(torch.get_num_threads())]
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *arguments],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert_same_fit(fit(denoiser(), path), undisturbed("random"))
    assert os.listdir(path.parent) == [path.name]


# What is another fit


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (dict(learning_rate=0.5), "learning_rate: 0.002 then, 0.5 now"),
        (dict(random_state=1), "random_state: 0 then, 1 now"),
        (dict(gate="queue"), "gate: evidence then, queue now"),
        (dict(gate=EvidenceGate), "gate: evidence then, EvidenceGate now"),
        (dict(val_fraction=(0.2, 0.4)), "val_fraction: 0.2, 0.5 then, 0.2, 0.4 now"),
    ],
)
def test_fit__other_parameters__names_them(changes, what, path, stop_after):
    stop_after(2, denoiser())
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"is of another fit: {what}.*another file"):
        fit(denoiser(**changes), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (dict(source_pairs=None), "pairs of source domain 'near': 4 pairs.*none now"),
        (dict(source_pairs={"near": source_pairs(3)}), "'near': 4 pairs .* 3 pairs"),
        (dict(meta=skadl.SensorTable({})), None),
    ],
)
def test_fit__other_data__says_which(options, what, path, stop_after):
    stop_after(2, denoiser(n_iter=0))
    if what is None:
        fit(denoiser(n_iter=0), path, **options)
        return
    with pytest.raises(ValueError, match=f"is of another fit: .*{what}"):
        fit(denoiser(n_iter=0), path, **options)


def test_fit__one_count_changed__is_other_data(path, stop_after):
    stop_after(2, denoiser())
    pairs = target_pairs()
    counts = pairs[3].noisy.mosaic.copy()
    counts[5, 5] += 1
    pairs[3] = skadl.RawPair(pairs[3].noisy.with_mosaic(counts), pairs[3].clean)
    with pytest.raises(ValueError, match="target pairs: 6 pairs of digest"):
        denoiser().fit(pairs, source_pool(), checkpoint=path)


def test_fit__other_version__is_refused(path, stop_after, monkeypatch):
    stop_after(2, denoiser())
    monkeypatch.setattr(skadl, "__version__", "9.1")
    with pytest.raises(ValueError, match="version of skadl: .* then, 9.1 now"):
        fit(denoiser(), path)


def test_fit__other_torch__warns_and_goes_on(path, stop_after, monkeypatch):
    stop_after(2, denoiser())
    monkeypatch.setattr(torch, "__version__", "9.1")
    with pytest.warns(UserWarning, match="elsewhere .*torch: .* then, 9.1 now"):
        fit(denoiser(), path)


def test_fit__model_as_checkpoint__is_refused_and_stays(path):
    undisturbed("random").save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="a finished fit and no checkpoint"):
        fit(denoiser(), path)
    assert path.read_bytes() == before


def test_fit__damaged_checkpoint__says_so(path, stop_after):
    stop_after(2, denoiser())
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="is damaged"):
        fit(denoiser(), path)


# What a checkpoint is good for besides, and what it costs


def test_load__checkpoint__is_the_network_so_far(path, stop_after):
    stop_after(5, denoiser())
    with pytest.warns(UserWarning, match="before iteration 1 of 4 of adaptation"):
        model = skadl.load(path)
    record, text = describe_file(path)
    assert record["checkpoint"] == "iteration 1 of 4 of adaptation"
    assert "a fit that is not finished, before iteration 1 of 4" in text
    image = target_pairs(1)[0].noisy
    assert np.isfinite(model.predict(image).mosaic.astype(float)).all()
    assert model.n_iter_ == 4
    stages = [stage.name for stage in model.selection_report_.stages]
    assert stages == ["noisy", "pre-training"]


def test_checkpoint__same_state__same_bytes(path, stop_after):
    stop_after(5, denoiser())
    first = path.read_bytes()
    path.unlink()
    stop_after(5, denoiser())
    assert path.read_bytes() == first


def test_snapshots__slow_disk__are_taken_the_less_often(monkeypatch):
    now, kept = [0.0], []

    def keep(snapshot):
        kept.append(snapshot)
        now[0] += 10.0  # seconds, for one writing

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    snapshots = Snapshots(keep, every=120.0)
    for second in range(3000):
        now[0] += 1.0
        snapshots.offer(lambda second=second: second)
    assert kept == [119, 1119, 2119]


def test_fit__checkpoint_cannot_be_written__warns_and_goes_on(path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "atomic_write", fail)
    with pytest.warns(UserWarning, match="no checkpoint: .*No space left"):
        model = fit(denoiser(), path, every=0)
    assert_same_fit(model, undisturbed("random"))
    assert not path.exists()


def test_fit__no_folder_for_the_checkpoint__says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="create it first"):
        fit(denoiser(), tmp_path / "nowhere" / "checkpoint")


@pytest.mark.parametrize("every", [-1, np.nan, "often"])
def test_fit__interval_that_is_none__is_refused(every, path):
    with pytest.raises(ValueError, match="checkpoint_every must be"):
        fit(denoiser(), path, every=every)


class OpenEnded(EvidenceGate):
    """A gate with a generator, which is no plain value."""

    def __init__(self, queue_size):
        super().__init__(queue_size)
        self.rng = np.random.default_rng(0)


def test_fit__gate_that_cannot_be_kept__is_refused_at_once(path):
    with pytest.raises(TypeError, match="OpenEnded.rng holds a Generator.*memory and"):
        fit(denoiser(gate=OpenEnded), path)


def test_recorder__resumed__goes_on_as_it_was(path, stop_after):
    table = undisturbed("random").selection_report_.decisions
    first, second = DecisionRecorder(table.domains), DecisionRecorder(table.domains)
    decisions = list(table)
    for decision in decisions[:2]:
        first.append(decision)
    resumed = DecisionRecorder.resume(first.finish(), first.watch)
    for decision in decisions[2:]:
        resumed.append(decision)
    for decision in decisions:
        second.append(decision)
    assert resumed.finish().equals(second.finish())
    assert resumed.watch == second.watch
