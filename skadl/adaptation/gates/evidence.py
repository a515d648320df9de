"""Faults of pairs first, then evidence pooled over a domain."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from skadl.adaptation.gates.base import Fault, Gate, Trial, Verdict
from skadl.support.robust import robust_sigma

SMALLEST_SPREAD = 1e-6  # dB; float32 shows no smaller difference of PSNR


class EvidenceGate(Gate):
    """Refuse faulty pairs, and domains whose steps keep doing harm.

    First physics: a wrong clean frame or a wrong label shows in the residual (noisy
    minus clean) without any training; see `Screening`. Then evidence: one step says
    next to nothing about a batch, so each domain's paired differences (theta and
    theta' on the same V') are pooled. A domain is refused only while their mean lies
    below what is typical of the domains at a stated error level; it keeps being
    tried, since what harms early may help late.

    Parameters
    ----------
    queue_size : int
        Measurements that each domain keeps; fewer than 4 show nothing.

    Notes
    -----
    V' is measured in one iteration of `measure_every`; between measurements the
    verdict on a domain stands. What is typical is the median over domains, so that a
    minority of harmful ones does not move it.
    """

    measure_every = 4
    needs_before = True
    least_evidence = 4  # measurements before a domain can be refused
    critical = 3.1  # standard errors: a normal passes them once in a thousand tests
    least_drawn, most_drawn = 0.1, 2.0  # a domain, relative to an unknown one

    def __init__(self, queue_size: int) -> None:
        self.queue_size = queue_size
        self.differences: dict[str, deque[float]] = {}

    def start(self, psnr: np.ndarray) -> None:
        """Forget the evidence of an earlier run."""
        self.differences.clear()

    def refuse(self, fault: Fault) -> Verdict | None:
        """Refuse a faulty pair; its score is the fault's with a minus."""
        if fault.reason is None:
            return None
        return Verdict(False, -fault.score, -1.0, fault.reason)

    def judge(self, trial: Trial) -> Verdict:
        """Weigh all recent evidence on the domain."""
        if trial.after is not None and trial.before is not None:
            queue = deque(maxlen=self.queue_size)
            queue = self.differences.setdefault(trial.domain, queue)
            queue.append(float(np.mean(trial.after - trial.before)))
        evidence = self._weigh(trial.domain)
        if evidence is None:
            return Verdict(True, 0.0, -math.inf, "little evidence yet")
        score, error = evidence
        threshold = -self.critical * error
        if score >= threshold:
            return Verdict(True, score, threshold, "no evidence of harm")
        return Verdict(False, score, threshold, "lowers the validation score")

    def sampling_weight(self, domain: str) -> float:
        """Double with each standard error above the typical domain, within bounds.

        A refused domain is still drawn now and then: it may become useful.
        """
        evidence = self._weigh(domain)
        if evidence is None:
            return 1.0
        score, error = evidence
        return float(np.clip(2 ** (score / error), self.least_drawn, self.most_drawn))

    def _weigh(self, domain: str) -> tuple[float, float] | None:
        """Mean difference to the typical domain and its error, in dB, if enough."""
        differences = np.array(self.differences.get(domain, ()))
        if len(differences) < self.least_evidence or len(self.differences) < 2:
            return None  # few steps, or no other domain to compare with
        typical, spread = self._typical()
        # Clipped, as in Huber's estimate of a mean: one step gone wrong is no evidence
        # against a domain.
        excess = np.clip(differences - typical, -3 * spread, 3 * spread)
        # The spread of all domains, not of this one: four steps that happen to agree
        # would claim an error of almost nothing.
        return float(np.mean(excess)), spread / math.sqrt(len(differences))

    def _typical(self) -> tuple[float, float]:
        """Median domain, and the spread of steps within domains, both in dB."""
        # Medians, so that neither a minority of harmful domains nor a few steps gone
        # wrong move what the others are compared with. Each domain is centred on its
        # own median: how far domains lie apart is no part of the noise of a step.
        domains = [np.array(values) for values in self.differences.values()]
        medians = [np.median(values) for values in domains]
        deviations = [abs(v - m) for v, m in zip(domains, medians, strict=True)]
        spread = float(robust_sigma(np.concatenate(deviations)))
        return float(np.median(medians)), max(spread, SMALLEST_SPREAD)
