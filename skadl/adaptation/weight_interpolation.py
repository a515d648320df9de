"""How far a stage, or all of them, may go: pairs that were not trained on decide.

Training on few pairs learns their scenes by heart. Between the weights before and
after it lies a line on which networks keep working, and its middle is often better
than both ends (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import Batch

PARTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the way from before to after


@dataclass(frozen=True)
class WeightInterpolation:
    """Which part of a stage was kept, and why."""

    part: float  # from 0, nothing, to 1, all
    n_held_out: int  # pairs, or windows, that decided
    gain: float  # mean PSNR of these at `part`, minus before the stage, in dB
    gain_of_all: float  # the same for the end of the stage
    what: str = "fine-tuning"
    unit: str = "pair"

    def __str__(self) -> str:
        pairs = f"{self.n_held_out} {self.unit}" + "s" * (self.n_held_out > 1)
        gain, gain_of_all = f"{self.gain:+z.2f} dB", f"{self.gain_of_all:+z.2f} dB"
        if self.part == 0:
            kept, gained = "none", f"by no part of it, {gain_of_all} by all"
        elif self.part == 1:
            kept, gained = "all", gain
        else:
            kept, gained = f"{self.part:.0%}", f"{gain} there, {gain_of_all} at its end"
        return f"{kept} of {self.what} kept: {pairs} held out of it gain {gained}."


def interpolate_weights(
    learner: Learner,
    before: list,
    validation: Batch,
    what: str = "fine-tuning",
    unit: str = "pair",
) -> WeightInterpolation:
    """Walk back from the learner's weights to where held-out pairs fare best.

    `before` are the weights before what is walked back, called `what`; `validation`
    are windows of the held-out pairs, each of which is called a `unit`.
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
    gain, gain_of_all = float(gains[best]), float(gains[-1])
    n_held_out = len(validation.noisy)
    return WeightInterpolation(PARTS[best], n_held_out, gain, gain_of_all, what, unit)
