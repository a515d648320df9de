"""Stages run one after the other: what they came to, and their way into a snapshot."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from operator import attrgetter

import numpy as np
from torch import Tensor

from skadl.adaptation.gates.base import Gate
from skadl.adaptation.learner import Learner, batch_psnr
from skadl.adaptation.patches import Batch
from skadl.adaptation.report.acceptance import TrainingStage
from skadl.adaptation.report.decisions import BatchDecision, DecisionRecorder
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.snapshot import STAGES, RandomState, Snapshot, Snapshots
from skadl.adaptation.stages import NON_FINITE
from skadl.adaptation.weight_interpolation import interpolate_weights
from skadl.support.progress import Progress

LOW_ACCEPTANCE = (
    "the gate accepted fewer than 1 % of the last 1000 source batches: the sources "
    "hardly take part in training. Try another gate, a larger queue_size, or sources "
    "closer to the target; selection_report_ says what was refused and why."
)
MOST_FAILED = 100  # steps without a finite loss, after which the network is looked at


class StageRecord:
    """Runs stages, keeps what each came to, and gives up a network that diverged.

    `validation` are images of the target, as `learner` is to see them. A stage is a
    function that does the iterations which it is given and yields what became of each.
    `rng` and `gate` are those that the stages use. `snapshots` are taken between
    iterations, of stages of `STAGES` only; where they go on from one, the stages before
    it are left out.
    """

    def __init__(
        self,
        learner: Learner,
        validation: Batch,
        rng: np.random.RandomState,
        gate: Gate,
        progress: Progress,
        domains: Iterable[str] = (),
        snapshots: Snapshots | None = None,
    ) -> None:
        self.learner, self.validation = learner, validation
        self.rng, self.gate = rng, gate
        self.progress, self.snapshots = progress, snapshots
        self.recorder = DecisionRecorder(domains)
        self.stages: list[TrainingStage] = []
        self.notes: list[str] = []
        self.stage = ""
        self.held_out = np.array([], int)  # target pairs that are not trained on
        self.before: list[Tensor] = []  # weights before fine-tuning
        self._first = 0  # iteration of the stage that a snapshot stands before
        self._n_skipped = 0  # steps of this stage without a finite loss
        self._n_failed = 0  # iterations in a row without one

    @property
    def begun(self) -> Snapshot | None:
        """The snapshot that is gone on from."""
        return None if self.snapshots is None else self.snapshots.begun

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
        self.stage, self._first = begun.stage, begun.iteration
        self._n_skipped = begun.n_skipped
        self.held_out = np.array(begun.held_out, int)

    def run(
        self,
        stage: str,
        n_iter: int,
        losses: Callable[[Iterator[int]], Iterator[float]],
    ) -> None:
        """Run a stage without a gate, which yields its losses, and close it."""
        if not self._is_to_do(stage):
            return
        done = losses(self._begin(stage, n_iter))
        for loss in self.progress.track(stage, done, n_iter, first=self._first):
            self._n_skipped += not math.isfinite(loss)
            self._watch(not math.isfinite(loss), math.isfinite(loss))
            self.progress.show(lambda: {"PSNR": f"{self._psnr():.2f} dB"})
        if self._n_skipped:
            note = f"{self._n_skipped} steps of {stage} skipped: non-finite loss."
            self.notes.append(note)
        self.close(stage, n_iter)

    def run_gated(
        self,
        stage: str,
        n_iter: int,
        decisions: Callable[[Iterator[int]], Iterator[BatchDecision]],
    ) -> None:
        """Run a stage in which a gate decides, and close it."""
        if not self._is_to_do(stage):
            return
        done = decisions(self._begin(stage, n_iter))
        recorder = self.recorder
        tracked = self.progress.track(
            stage, done, n_iter, attrgetter("iteration"), self._first
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
                warnings.warn(LOW_ACCEPTANCE, UserWarning, stacklevel=6)
                self.notes.append(LOW_ACCEPTANCE)
        self.close(stage, n_iter)

    def note_noisy(self) -> None:
        """Note what the images come to that no network has seen, to compare with."""
        psnr = float(batch_psnr(self.validation.noisy, self.validation.clean).mean())
        self.stages.append(TrainingStage("noisy", 0, psnr))

    def close(self, stage: str, n_iter: int) -> None:
        """Note the end of a stage; FloatingPointError if the network broke in it."""
        psnr = self._psnr(f"after {stage}")
        self.stages.append(TrainingStage(stage, n_iter, psnr))

    def walk_back(
        self,
        before: list[Tensor],
        judges: Batch,
        what: str = "fine-tuning",
        unit: str = "pair",
    ) -> None:
        """Keep the part of a stage, or of all, that what is held out gains from."""
        walk = interpolate_weights(self.learner, before, judges, what, unit)
        self.stages[-1] = replace(self.stages[-1], psnr=self._psnr())
        self.notes.append(str(walk))

    def report(self) -> DataSelectionReport:
        """Return what was recorded so far."""
        return DataSelectionReport(self.recorder.finish(), self.stages, self.notes)

    def _is_to_do(self, stage: str) -> bool:
        """Whether a stage was not over when the snapshot was taken."""
        begun = self.begun
        return begun is None or STAGES.index(stage) >= STAGES.index(begun.stage)

    def _begin(self, stage: str, n_iter: int) -> Iterator[int]:
        """Return a stage's iterations that are to be done.

        The stage asks for the next one when all it gave has been recorded.
        """
        if stage != self.stage:
            self.stage, self._first, self._n_skipped = stage, 0, 0
        self._n_failed = 0
        return self._count(n_iter)

    def _count(self, n_iter: int) -> Iterator[int]:
        for t in range(self._first, n_iter):
            if self.snapshots is not None:
                self.snapshots.offer(lambda t=t: self._snapshot(t, n_iter))
            yield t

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
            self._n_skipped,
        )

    def _watch(self, has_failed: bool, is_taken: bool) -> None:
        """Give up a network that has given nothing finite for long.

        A step that a gate refused is neither failed nor taken.
        """
        if is_taken:
            self._n_failed = 0
        self._n_failed += has_failed
        if has_failed and self._n_failed % MOST_FAILED == 0:
            self._psnr(f"after {self._n_failed} failed steps of {self.stage}")

    def _psnr(self, when: str | None = None) -> float:
        """Mean PSNR on the target's images; FloatingPointError for NaN if `when`."""
        psnr = float(self.learner.evaluate(self.validation).mean())
        if when is not None and not math.isfinite(psnr):
            raise FloatingPointError(
                f"{when} the network gives NaN or infinity on the target's own images; "
                "fit with a smaller learning_rate or precision='float32'."
            )
        return psnr
