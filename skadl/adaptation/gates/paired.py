"""Before and after a step on the same validation subset."""

from __future__ import annotations

from collections import deque

import numpy as np

from skadl.adaptation.gates.base import Gate, Trial, Verdict


class PairedGate(Gate):
    """Compare the model with itself: before and after the step on the same V'.

    Between-image differences of PSNR, hundreds of times larger than the effect of
    a step, cancel. One AdamW step worsens most subsets a little whatever the data
    (step noise), so the threshold is the typical loss of recent steps less a
    margin, not zero.

    Parameters
    ----------
    queue_size : int
        Recent steps, accepted or not, that say what is typical.
    """

    needs_before = True

    def __init__(self, queue_size: int) -> None:
        self.recent: deque[float] = deque(maxlen=queue_size)

    def start(self, psnr: np.ndarray) -> None:
        """Forget the steps of an earlier run."""
        self.recent.clear()

    def judge(self, trial: Trial) -> Verdict:
        """Compare the mean paired difference with that of recent steps."""
        score = float(np.mean(trial.after - trial.before))
        threshold = min(0.0, float(np.median(self.recent))) if self.recent else 0.0
        self.recent.append(score)
        if score >= threshold:
            return Verdict(True, score, threshold, "no worse than recent steps")
        return Verdict(False, score, threshold, "worse than recent steps")
