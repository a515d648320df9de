"""How far a stage, or all of them, may go: pairs that were not trained on decide.

Training on few pairs learns their scenes by heart. Between the weights before and
after it lies a line on which networks keep working, and its middle is often better
than both ends (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import Batch, cut_fixed
from skadl.adaptation.stages import TargetData, draw_diverse

HELD_OUT = 0.25  # of the target pairs
MOST_SIDE = 256  # packed pixels of a window that decides
PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way from before to after


@dataclass(frozen=True)
class WeightInterpolation:
    """Which part of a stage was kept, and why."""

    part: float  # from 0, nothing, to 1, all
    n_held_out: int  # pairs that decided
    gain: float  # mean PSNR of these at `part`, minus before the stage, in dB
    gain_of_all: float  # the same for the end of the stage
    what: str = "fine-tuning"

    def __str__(self) -> str:
        pairs = "1 pair" if self.n_held_out == 1 else f"{self.n_held_out} pairs"
        gain, gain_of_all = f"{self.gain:+z.2f} dB", f"{self.gain_of_all:+z.2f} dB"
        if self.part == 0:
            kept, gained = "none", f"by no part of it, {gain_of_all} by all"
        elif self.part == 1:
            kept, gained = "all", gain
        else:
            kept, gained = f"{self.part:.0%}", f"{gain} there, {gain_of_all} at its end"
        return f"{kept} of {self.what} kept: {pairs} held out of it gain {gained}."


def hold_out(
    target: TargetData, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Split the target pairs, by position, into those to train on and those to decide.

    The held-out ones span the range of gains.
    """
    if target.is_fixed:
        return target.trainable, target.held_out
    n_pairs = len(target.pairs)
    held_out = draw_diverse(target.gains, max(1, round(HELD_OUT * n_pairs)), rng)
    return np.setdiff1d(np.arange(n_pairs), held_out), held_out


def cut_frames(
    target: TargetData, members: np.ndarray, step: int, rng: np.random.RandomState
) -> Batch:
    """Cut one window from each of some pairs, as large as all of them allow.

    Its side is a multiple of `step`, and `MOST_SIDE` at most.
    """
    pairs = [target.pairs[i] for i in members]
    smallest = min(min(pair.sides) for pair in pairs)
    side = max(min(smallest, MOST_SIDE) // step, 1) * step
    return cut_fixed(pairs, side, rng)


def interpolate_weights(
    learner: Learner, before: list, validation: Batch, what: str = "fine-tuning"
) -> WeightInterpolation:
    """Walk back from the learner's weights to where held-out pairs fare best.

    `before` are the weights before what is walked back, called `what`; `validation`
    are windows of the held-out pairs.
    """
    after = learner.weights()
    psnrs = []
    for part in PARTS:
        learner.move_between(before, after, part)
        psnrs.append(float(learner.evaluate(validation).mean()))
    # NaN never wins, and of equals the one nearest to `before`.
    best = int(np.argmax(np.nan_to_num(psnrs, nan=-np.inf)))
    learner.move_between(before, after, PARTS[best])
    gains = np.array(psnrs) - psnrs[0]
    return WeightInterpolation(
        PARTS[best], len(validation.noisy), float(gains[best]), float(gains[-1]), what
    )
