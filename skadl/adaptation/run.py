"""A whole fit: network, three stages, and the record of what happened."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np
from torch import Tensor

from skadl.adaptation.gates.base import Gate
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import Batch, TrainingPair, select
from skadl.adaptation.report.acceptance import TrainingStage
from skadl.adaptation.report.decisions import BatchDecision, DecisionRecorder
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.snapshot import STAGES, RandomState, Snapshot, Snapshots
from skadl.adaptation.stages import (
    NON_FINITE,
    Schedule,
    TargetData,
    adapt,
    finetune,
    pretrain,
)
from skadl.adaptation.weight_interpolation import (
    cut_frames,
    hold_out,
    interpolate_weights,
)
from skadl.support.progress import Progress

LOW_ACCEPTANCE = (
    "the gate accepted fewer than 1 % of the last 1000 source batches: the sources "
    "hardly take part in training. Try another gate, a larger queue_size, or sources "
    "closer to the target; selection_report_ says what was refused and why."
)
MOST_FAILED = 100  # steps without a finite loss, after which the network is looked at
PRETRAINING, ADAPTATION, FINETUNING = STAGES


def train(
    learner: Learner,
    target: TargetData,
    sources: Mapping[str, Sequence[TrainingPair]],
    gate: Gate,
    schedule: Schedule,
    rng: np.random.RandomState,
    progress: Progress,
    is_trained: bool = False,
    snapshots: Snapshots | None = None,
) -> DataSelectionReport:
    """Run the three stages on the learner and return what the gate did.

    Without sources the second stage is left out. A learner that `is_trained` before
    holds some target pairs out of all stages: they tell what each stage is worth, and
    in the end how far from where it began the network may go. `snapshots` are taken
    between iterations; from one of the same arguments a training goes on bit for bit.
    FloatingPointError if the network gives NaN or infinity on the target's own images,
    in the end or for a hundred steps.
    """
    validation = target.validation
    if is_trained:
        _, held_out = hold_out(target, rng)
        target = replace(target, held_out=held_out)
        validation = cut_frames(target, held_out, schedule.patch_side, rng)
        beginning = learner.weights()
    run = _Run(learner, gate, rng, progress, snapshots, validation, sources)
    run.held_out = target.held_out
    if is_trained and run.begun is None:
        run.close("start", 0)
    run.go_on()
    n_pretrain, n_finetune = schedule.n_pretrain_iter, schedule.n_finetune_iter
    if run.is_to_do(PRETRAINING):
        steps = run.iterations(PRETRAINING, n_pretrain)
        run.on_target(pretrain(learner, target, schedule, rng, steps), n_pretrain)
    if sources and schedule.n_iter and run.is_to_do(ADAPTATION):
        steps = run.iterations(ADAPTATION, schedule.n_iter)
        run.on_sources(
            adapt(learner, target, sources, gate, schedule, rng, steps), schedule.n_iter
        )
    if not is_trained:
        if run.stage != FINETUNING:
            _, run.held_out = hold_out(target, rng)
        target = replace(target, held_out=run.held_out)
    if run.stage != FINETUNING:
        run.before = learner.weights()
    pairs = tuple(target.pairs[i] for i in target.trainable)
    steps = run.iterations(FINETUNING, n_finetune)
    run.on_target(finetune(learner, pairs, schedule, rng, steps), n_finetune)
    judges = validation if is_trained else select(validation, run.held_out)
    if n_finetune:
        run.walk_back(run.before, judges)
    if is_trained:
        run.walk_back(beginning, judges, "the training")
    return run.report()


class _Run:
    """What happened so far in a training, and its way into a snapshot and back."""

    def __init__(
        self,
        learner: Learner,
        gate: Gate,
        rng: np.random.RandomState,
        progress: Progress,
        snapshots: Snapshots | None,
        validation: Batch,
        domains: Iterable[str],
    ) -> None:
        self.learner, self.gate, self.rng = learner, gate, rng
        self.progress, self.snapshots, self.validation = progress, snapshots, validation
        self.begun = None if snapshots is None else snapshots.begun
        self.recorder = DecisionRecorder(domains)
        self.stages: list[TrainingStage] = []
        self.notes: list[str] = []
        self.stage = ""
        self.first = 0  # iteration of the stage that a snapshot stands before
        self.n_skipped = 0  # steps of this stage without a finite loss
        self.n_failed = 0  # iterations in a row without one
        self.held_out = np.array([], int)
        self.before: list[Tensor] = []

    def go_on(self) -> None:
        """Return to where the snapshot was taken, if there is one."""
        begun = self.begun
        if begun is None:
            return
        kinds = dict(begun.learner)
        before = kinds.pop("before", None)
        if before is not None:
            self.learner.recall({"weights": before})
            self.before = self.learner.weights()
        self.learner.recall(kinds)
        begun.random_state.put_into(self.rng)
        self.gate.recall(begun.gate)
        self.recorder = DecisionRecorder.resume(begun.report.decisions, begun.watch)
        self.stages, self.notes = list(begun.report.stages), list(begun.report.notes)
        self.stage, self.first = begun.stage, begun.iteration
        self.n_skipped = begun.n_skipped
        self.held_out = np.array(begun.held_out, int)

    def is_to_do(self, stage: str) -> bool:
        """Whether a stage was not over when the snapshot was taken."""
        return not self.stage or STAGES.index(stage) >= STAGES.index(self.stage)

    def iterations(self, stage: str, n_iter: int) -> Iterator[int]:
        """Count a stage's iterations that are to be done; snapshots lie between them.

        The stage asks for the next one when all it gave has been recorded.
        """
        if stage != self.stage:
            self.stage, self.first, self.n_skipped = stage, 0, 0
        self.n_failed = 0
        return self._count(n_iter)

    def _count(self, n_iter: int) -> Iterator[int]:
        for t in range(self.first, n_iter):
            if self.snapshots is not None:
                self.snapshots.offer(lambda t=t: self._snapshot(t, n_iter))
            yield t

    def on_target(self, losses: Iterator[float], n_iter: int) -> None:
        """Run a stage that trains on the target alone."""
        for loss in self.progress.track(self.stage, losses, n_iter, first=self.first):
            self.n_skipped += not math.isfinite(loss)
            self._watch(not math.isfinite(loss), math.isfinite(loss))
            self.progress.show(lambda: {"PSNR": f"{self._psnr():.2f} dB"})
        if self.n_skipped:
            note = f"{self.n_skipped} steps of {self.stage} skipped: non-finite loss."
            self.notes.append(note)
        self.close(self.stage, n_iter)

    def on_sources(self, decisions: Iterator[BatchDecision], n_iter: int) -> None:
        """Run the stage that trains on source batches."""
        recorder = self.recorder
        tracked = self.progress.track(
            self.stage, decisions, n_iter, attrgetter("iteration"), self.first
        )
        for decision in tracked:
            recorder.append(decision)
            self._watch(decision.reason in NON_FINITE, decision.accepted)
            self.progress.show(
                lambda: {
                    "accepted": f"{recorder.n_accepted / recorder.n_offered:.0%}",
                    "PSNR": f"{self._psnr():.2f} dB",
                }
            )
            if recorder.acceptance_too_low():
                warnings.warn(LOW_ACCEPTANCE, UserWarning, stacklevel=4)
                self.notes.append(LOW_ACCEPTANCE)
        self.close(self.stage, n_iter)

    def close(self, stage: str, n_iter: int) -> None:
        """Record that a stage is over, if its network can be used."""
        psnr = self._psnr(f"after {stage}")
        self.stages.append(TrainingStage(stage, n_iter, psnr))

    def walk_back(
        self, before: list[Tensor], judges: Batch, what: str = "fine-tuning"
    ) -> None:
        """Keep the part of a stage, or of all, that held-out pairs gain from."""
        walk = interpolate_weights(self.learner, before, judges, what)
        self.stages[-1] = replace(self.stages[-1], psnr=self._psnr())
        self.notes.append(str(walk))

    def report(self) -> DataSelectionReport:
        """Return what was recorded so far."""
        return DataSelectionReport(self.recorder.finish(), self.stages, self.notes)

    def _snapshot(self, iteration: int, n_iter: int) -> Snapshot:
        learner = self.learner.memory()
        if self.before:
            learner["before"] = [
                np.array(w.cpu().numpy(), order="C") for w in self.before
            ]
        return Snapshot(
            self.stage,
            iteration,
            n_iter,
            learner,
            RandomState.of(self.rng),
            self.gate.memory(),
            tuple(self.held_out.tolist()),
            self.report(),
            self.recorder.watch,
            self.n_skipped,
        )

    def _watch(self, has_failed: bool, is_taken: bool) -> None:
        """Give up a network that has given nothing finite for long.

        A step that a gate refused is neither failed nor taken.
        """
        if is_taken:
            self.n_failed = 0
        self.n_failed += has_failed
        if has_failed and self.n_failed % MOST_FAILED == 0:
            self._psnr(f"after {self.n_failed} failed steps of {self.stage}")

    def _psnr(self, when: str | None = None) -> float:
        """Mean PSNR on the target's images; FloatingPointError for NaN if `when`."""
        psnr = float(self.learner.evaluate(self.validation).mean())
        if when is not None and not math.isfinite(psnr):
            raise FloatingPointError(
                f"{when} the network gives NaN or infinity on the target's own images; "
                "fit with a smaller learning_rate or precision='float32'."
            )
        return psnr
