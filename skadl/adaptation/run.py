"""A whole fit: network, three stages, and the record of what happened."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np

from skadl.adaptation.gates.base import Gate
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import Batch, TrainingPair, select
from skadl.adaptation.report.acceptance import TrainingStage
from skadl.adaptation.report.decisions import DecisionRecorder
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.stages import Schedule, TargetData, adapt, finetune, pretrain
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


class StageRecord:
    """Runs stages one after the other, and keeps what each came to.

    `validation` are images of the target, as `learner` is to see them.
    """

    def __init__(self, learner: Learner, validation: Batch, progress: Progress) -> None:
        self.learner, self.validation = learner, validation
        self.progress = progress
        self.stages: list[TrainingStage] = []
        self.notes: list[str] = []

    def psnr(self) -> float:
        """Mean over the images, now."""
        return float(self.learner.evaluate(self.validation).mean())

    def run(self, stage: str, losses: Iterator[float], n_iter: int) -> None:
        """Go through a stage that yields its losses, and close it."""
        n_skipped = 0
        for loss in self.progress.track(stage, losses, n_iter):
            n_skipped += not math.isfinite(loss)
            self.progress.show(lambda: {"PSNR": f"{self.psnr():.2f} dB"})
        if n_skipped:
            self.notes.append(f"{n_skipped} steps of {stage} skipped: non-finite loss.")
        self.close(stage, n_iter)

    def close(self, stage: str, n_iter: int) -> None:
        """Note the end of a stage; FloatingPointError if the network broke in it."""
        psnr = self.psnr()
        if not math.isfinite(psnr):
            raise FloatingPointError(
                f"after {stage} the network gives NaN or infinity on the target's "
                "own images; fit with a smaller learning_rate or precision='float32'."
            )
        self.stages.append(TrainingStage(stage, n_iter, psnr))

    def close_again(self) -> None:
        """Note that the weights were moved after the last stage was closed."""
        self.stages[-1] = replace(self.stages[-1], psnr=self.psnr())

    def report(self, recorder: DecisionRecorder) -> DataSelectionReport:
        """Return what happened, with the decisions of a gate."""
        return DataSelectionReport(recorder.finish(), self.stages, self.notes)


def train(
    learner: Learner,
    target: TargetData,
    sources: Mapping[str, Sequence[TrainingPair]],
    gate: Gate,
    schedule: Schedule,
    rng: np.random.RandomState,
    progress: Progress,
    is_trained: bool = False,
) -> DataSelectionReport:
    """Run the three stages on the learner and return what the gate did.

    Without sources the second stage is left out. A learner that `is_trained` before
    holds some target pairs out of all stages: they tell what each stage is worth, and
    in the end how far from where it began the network may go. FloatingPointError if
    the trained network gives NaN or infinity on the target's own images.
    """
    recorder = DecisionRecorder(sources)
    validation = target.validation
    if is_trained:
        _, held_out = hold_out(target, rng)
        target = replace(target, held_out=held_out)
        validation = cut_frames(target, held_out, schedule.patch_side, rng)
        beginning = learner.weights()
    record = StageRecord(learner, validation, progress)
    if is_trained:
        record.close("start", 0)
    record.run(
        "pre-training",
        pretrain(learner, target, schedule, rng),
        schedule.n_pretrain_iter,
    )
    if sources and schedule.n_iter:
        decisions = adapt(learner, target, sources, gate, schedule, rng)
        tracked = progress.track(
            "adaptation", decisions, schedule.n_iter, attrgetter("iteration")
        )
        for decision in tracked:
            recorder.append(decision)
            progress.show(
                lambda: {
                    "accepted": f"{recorder.n_accepted / recorder.n_offered:.0%}",
                    "PSNR": f"{record.psnr():.2f} dB",
                }
            )
            if recorder.acceptance_too_low():
                warnings.warn(LOW_ACCEPTANCE, UserWarning, stacklevel=3)
                record.notes.append(LOW_ACCEPTANCE)
        record.close("adaptation", schedule.n_iter)
    if not is_trained:
        _, held_out = hold_out(target, rng)
        target = replace(target, held_out=held_out)
    before = learner.weights()
    pairs = tuple(target.pairs[i] for i in target.trainable)
    record.run(
        "fine-tuning", finetune(learner, pairs, schedule, rng), schedule.n_finetune_iter
    )
    judges = validation if is_trained else select(validation, held_out)
    if schedule.n_finetune_iter:
        walk = interpolate_weights(learner, before, judges)
        record.close_again()
        record.notes.append(str(walk))
    if is_trained:
        walk = interpolate_weights(learner, beginning, judges, "the training")
        record.close_again()
        record.notes.append(str(walk))
    return record.report(recorder)
