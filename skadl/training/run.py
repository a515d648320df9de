"""A whole fit: network, three stages, and the record of what happened."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np
import torch

from skadl.decisions import DecisionRecorder
from skadl.gates import Gate
from skadl.network import ModulatedUNet
from skadl.progress import Progress
from skadl.report import DataSelectionReport, TrainingStage
from skadl.training.adapt import Plan, Target, adapt, finetune, pretrain
from skadl.training.learner import Learner
from skadl.training.patches import StoredPair, select
from skadl.training.settling import hold_out, settle

STARVING = (
    "the gate accepted fewer than 1 % of the last 1000 source batches: the sources "
    "hardly take part in training. Try another gate, a larger queue_size, or sources "
    "closer to the target; selection_report_ says what was refused and why."
)


def build_network(
    n_metadata: int,
    base_channels: int,
    n_levels: int,
    mlp_width: int,
    device: torch.device,
    seed: int,
) -> ModulatedUNet:
    """Build an untrained network without touching torch's global random state.

    Parameters
    ----------
    n_metadata, base_channels, n_levels, mlp_width : int
        As in `ModulatedUNet`.
    device : torch.device
    seed : int

    Returns
    -------
    ModulatedUNet
        On `device`, in channels_last. Drawn on the CPU, so that one seed gives one
        network on every device.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ModulatedUNet(n_metadata, base_channels, n_levels, mlp_width)
    return network.to(device=device, memory_format=torch.channels_last)


def train(
    learner: Learner,
    target: Target,
    sources: Mapping[str, Sequence[StoredPair]],
    gate: Gate,
    plan: Plan,
    rng: np.random.RandomState,
    progress: Progress,
) -> DataSelectionReport:
    """Run the three stages and return what the gate did.

    Parameters
    ----------
    learner : Learner
        Trained in place.
    target : Target
    sources : mapping of domain name to sequence of StoredPair
        Empty for target-only training; the second stage is then left out.
    gate : Gate
    plan : Plan
    rng : RandomState
    progress : Progress

    Returns
    -------
    DataSelectionReport

    Raises
    ------
    FloatingPointError
        If the trained network gives NaN or infinity on the target's own images.
    """
    recorder = DecisionRecorder(sources)
    stages: list[TrainingStage] = []
    notes: list[str] = []

    def validation_psnr() -> float:
        return float(learner.evaluate(target.validation).mean())

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

    run_on_target(
        "pre-training", pretrain(learner, target, plan, rng), plan.n_pretrain_iter
    )
    if sources and plan.n_iter:
        decisions = adapt(learner, target, sources, gate, plan, rng)
        tracked = progress.track(
            "adaptation", decisions, plan.n_iter, attrgetter("iteration")
        )
        for decision in tracked:
            recorder.append(decision)
            progress.show(
                lambda: {
                    "accepted": f"{recorder.n_accepted / recorder.n_offered:.0%}",
                    "PSNR": f"{validation_psnr():.2f} dB",
                }
            )
            if recorder.starved():
                warnings.warn(STARVING, UserWarning, stacklevel=3)
                notes.append(STARVING)
        close("adaptation", plan.n_iter)
    kept, held_out = hold_out(target, rng)
    before = learner.weights()
    seen = tuple(target.pairs[i] for i in kept)
    run_on_target(
        "fine-tuning", finetune(learner, seen, plan, rng), plan.n_finetune_iter
    )
    if plan.n_finetune_iter:
        settlement = settle(learner, before, select(target.validation, held_out))
        stages[-1] = replace(stages[-1], psnr=validation_psnr())
        notes.append(str(settlement))
    return DataSelectionReport(recorder.finish(), stages, notes)
