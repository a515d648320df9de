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
from skadl.adaptation.patches import TrainingPair, select
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
    stages: list[TrainingStage] = []
    notes: list[str] = []
    validation = target.validation
    if is_trained:
        _, held_out = hold_out(target, rng)
        target = replace(target, held_out=held_out)
        validation = cut_frames(target, held_out, schedule.patch_side, rng)
        beginning = learner.weights()

    def validation_psnr() -> float:
        return float(learner.evaluate(validation).mean())

    def close(stage: str, n_iter: int) -> None:
        psnr = validation_psnr()
        if not math.isfinite(psnr):
            raise FloatingPointError(
                f"after {stage} the network gives NaN or infinity on the target's "
                "own images; fit with a smaller learning_rate or precision='float32'."
            )
        stages.append(TrainingStage(stage, n_iter, psnr))

    def run_on_target(stage: str, losses: Iterator[float], n_iter: int) -> None:
        n_skipped = 0
        for loss in progress.track(stage, losses, n_iter):
            n_skipped += not math.isfinite(loss)
            progress.show(lambda: {"PSNR": f"{validation_psnr():.2f} dB"})
        if n_skipped:
            notes.append(f"{n_skipped} steps of {stage} skipped: non-finite loss.")
        close(stage, n_iter)

    if is_trained:
        close("start", 0)
    run_on_target(
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
                    "PSNR": f"{validation_psnr():.2f} dB",
                }
            )
            if recorder.acceptance_too_low():
                warnings.warn(LOW_ACCEPTANCE, UserWarning, stacklevel=3)
                notes.append(LOW_ACCEPTANCE)
        close("adaptation", schedule.n_iter)
    if not is_trained:
        _, held_out = hold_out(target, rng)
        target = replace(target, held_out=held_out)
    before = learner.weights()
    pairs = tuple(target.pairs[i] for i in target.trainable)
    run_on_target(
        "fine-tuning", finetune(learner, pairs, schedule, rng), schedule.n_finetune_iter
    )
    judges = validation if is_trained else select(validation, held_out)
    if schedule.n_finetune_iter:
        walk = interpolate_weights(learner, before, judges)
        stages[-1] = replace(stages[-1], psnr=validation_psnr())
        notes.append(str(walk))
    if is_trained:
        walk = interpolate_weights(learner, beginning, judges, "the training")
        stages[-1] = replace(stages[-1], psnr=validation_psnr())
        notes.append(str(walk))
    return DataSelectionReport(recorder.finish(), stages, notes)
