"""The paper's gate: a priority queue of the best validation scores."""

from __future__ import annotations

import heapq
import math

import numpy as np

from skadl.adaptation.gates.base import Gate, Trial, Verdict


class QueueGate(Gate):
    """The paper's gate: accept above the mean of the best PSNRs so far (Eq. 2).

    Parameters
    ----------
    queue_size : int
        M, the most values that the priority queue holds.

    Notes
    -----
    Algorithm 1 and the text of section 3.1.2 differ. The pseudo-code pushes only
    inside "if Q is full", so a queue that starts with one value would never grow;
    the text pushes every accepted value and pops the lowest when full. This is the
    text. Equality with the mean is a rejection, as in Eq. 2.

    An accepted value exceeds the mean and replaces the lowest, so the threshold
    never falls. With a fresh V' each iteration it soon stands above what most
    subsets can reach, whatever the step did: expect a few per cent of acceptance.

    Examples
    --------
    >>> gate = QueueGate(queue_size=2)
    >>> gate.start(np.array([30.0]))
    >>> [gate.judge(Trial("A", None, np.array([x]))).accepted for x in (31, 30, 32)]
    [True, False, True]
    >>> sorted(gate.queue)
    [31.0, 32.0]
    """

    def __init__(self, queue_size: int) -> None:
        self.queue_size = queue_size
        self.queue: list[float] = []

    @property
    def threshold(self) -> float:
        """Mean of the queue, in dB."""
        return math.fsum(self.queue) / len(self.queue)

    def start(self, psnr: np.ndarray) -> None:
        """Start the queue with Eval(V', theta_0)."""
        self.queue = [float(np.mean(psnr))]

    def judge(self, trial: Trial) -> Verdict:
        """Compare Eval(V', theta') with the mean of the queue."""
        score, threshold = float(np.mean(trial.after)), self.threshold
        if not score > threshold:
            return Verdict(False, score, threshold, "not above the queue's mean")
        if len(self.queue) == self.queue_size:
            heapq.heapreplace(self.queue, score)
        else:
            heapq.heappush(self.queue, score)
        return Verdict(True, score, threshold, "above the queue's mean")
