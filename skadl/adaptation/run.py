"""A whole fit of adaptive domain learning: three stages, and what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from skadl.adaptation.gates.base import Gate
from skadl.adaptation.held_out import hold_out, hold_out_judges
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import TrainingPair, select
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.snapshot import STAGES, Snapshots
from skadl.adaptation.stage_record import StageRecord
from skadl.adaptation.stages import Schedule, TargetData, adapt, finetune, pretrain
from skadl.support.progress import Progress

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
    holds some target pairs out of all stages, or what of their one scene was set aside:
    they tell what each stage is worth, and in the end how far from where it began the
    network may go. `snapshots` are taken between iterations; from one of the same
    arguments a training goes on bit for bit. FloatingPointError if the network gives
    NaN or infinity on the target's own images, in the end or for a hundred steps.
    """
    validation = target.validation
    if is_trained:
        target, validation = hold_out_judges(target, schedule.patch_side, rng)
        beginning = learner.weights()
    record = StageRecord(learner, validation, rng, gate, progress, sources, snapshots)
    record.held_out = target.held_out
    if record.begun is None:
        record.note_noisy()
        if is_trained:
            record.close("start", 0)
    record.go_on()
    record.run(
        PRETRAINING,
        schedule.n_pretrain_iter,
        partial(pretrain, learner, target, schedule, rng),
    )
    if sources and schedule.n_iter:
        record.run_gated(
            ADAPTATION,
            schedule.n_iter,
            partial(adapt, learner, target, sources, gate, schedule, rng),
        )
    if record.stage != FINETUNING:  # or a snapshot was taken in it
        if not is_trained:
            _, record.held_out = hold_out(target, rng)
        record.before = learner.weights()
    target = replace(target, held_out=record.held_out)
    pairs = tuple(target.pairs[i] for i in target.trainable)
    record.run(
        FINETUNING,
        schedule.n_finetune_iter,
        partial(finetune, learner, pairs, schedule, rng),
    )
    judges = validation if is_trained else select(validation, record.held_out)
    unit = "window" if target.aside else "pair"
    if schedule.n_finetune_iter:
        record.walk_back(record.before, judges, unit=unit)
    if is_trained:
        record.walk_back(beginning, judges, "the training", unit)
    return record.report()
