"""Gates decide whether the model is better for having taken a source batch.

A gate is asked once an iteration and answers with a `Verdict`. To bring one, write a
class with the members of `Gate`, built from a queue size, and give the class to
``ADLDenoiser(gate=...)``: each fit builds its own, so that no fit sees another's
memory.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from skadl.screening import Screening

SMALLEST_SPREAD = 1e-6  # dB; float32 shows no smaller difference of PSNR
GATES = ("evidence", "queue", "paired", "none")


@dataclass(frozen=True, eq=False)
class Trial:
    """What happened to the validation subset V' in one trial step.

    Parameters
    ----------
    domain : str
        Source domain of the batch.
    before : ndarray of shape (k,) or None
        PSNR in dB of theta_{t-1} on each image of V'; None where not measured.
    after : ndarray of shape (k,) or None
        PSNR in dB of theta' on the same images, finite; None where not measured.
    """

    domain: str
    before: np.ndarray | None
    after: np.ndarray | None


@dataclass(frozen=True)
class Verdict:
    """A gate's answer.

    Parameters
    ----------
    accepted : bool
    score, threshold : float
        What was compared; accepted means not below the threshold.
    reason : str
    """

    accepted: bool
    score: float
    threshold: float
    reason: str


class Gate(Protocol):
    """The interface of a gate.

    Attributes
    ----------
    every : int
        V' is measured in each iteration that is a multiple of this.
    compares_before : bool
        Whether `Trial.before` must be measured; it costs a second validation pass.
    """

    every: int
    compares_before: bool

    def seed(self, psnr: np.ndarray) -> None:
        """Take Eval(V', theta_0) before the first iteration.

        Parameters
        ----------
        psnr : ndarray of shape (k,)
            Of each image of V', in dB.
        """

    def refuse(self, screening: Screening) -> Verdict | None:
        """Refuse a pair for what it is, before any training.

        Parameters
        ----------
        screening : Screening
            What its residual shows.

        Returns
        -------
        Verdict or None
            None admits the pair.
        """

    def judge(self, trial: Trial) -> Verdict:
        """Decide on one trial step.

        Parameters
        ----------
        trial : Trial
            With finite scores where V' was measured.

        Returns
        -------
        Verdict
        """

    def preference(self, domain: str) -> float:
        """How often to draw a domain, relative to one that nothing is known of.

        Parameters
        ----------
        domain : str

        Returns
        -------
        float
            0 or more; 1 draws it as often as an unknown one.
        """


class QueueGate:
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
    >>> gate.seed(np.array([30.0]))
    >>> [gate.judge(Trial("A", None, np.array([x]))).accepted for x in (31, 30, 32)]
    [True, False, True]
    >>> sorted(gate.queue)
    [31.0, 32.0]
    """

    every = 1
    compares_before = False

    def __init__(self, queue_size: int) -> None:
        self.queue_size = queue_size
        self.queue: list[float] = []

    @property
    def threshold(self) -> float:
        """Mean of the queue, in dB."""
        return math.fsum(self.queue) / len(self.queue)

    def seed(self, psnr: np.ndarray) -> None:
        """Start the queue with Eval(V', theta_0)."""
        self.queue = [float(np.mean(psnr))]

    def refuse(self, screening: Screening) -> None:
        """Admit every pair."""

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

    def preference(self, domain: str) -> float:
        """Draw all domains alike."""
        return 1.0


class PairedGate:
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

    every = 1
    compares_before = True

    def __init__(self, queue_size: int) -> None:
        self.recent: deque[float] = deque(maxlen=queue_size)

    def seed(self, psnr: np.ndarray) -> None:
        """Forget the steps of an earlier run."""
        self.recent.clear()

    def refuse(self, screening: Screening) -> None:
        """Admit every pair."""

    def judge(self, trial: Trial) -> Verdict:
        """Compare the mean paired difference with that of recent steps."""
        score = float(np.mean(trial.after - trial.before))
        threshold = min(0.0, float(np.median(self.recent))) if self.recent else 0.0
        self.recent.append(score)
        if score >= threshold:
            return Verdict(True, score, threshold, "no worse than recent steps")
        return Verdict(False, score, threshold, "worse than recent steps")

    def preference(self, domain: str) -> float:
        """Draw all domains alike."""
        return 1.0


class EvidenceGate:
    """Refuse odd pairs, and domains whose steps keep doing harm.

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
    V' is measured in one iteration of `every`; between measurements the verdict on
    a domain stands. What is typical is the median over domains, so that a minority
    of harmful ones does not move it.
    """

    every = 4
    compares_before = True
    least_evidence = 4  # measurements before a domain can be refused
    critical = 3.1  # standard errors: one false refusal in a thousand tests
    least_drawn, most_drawn = 0.1, 2.0  # a domain, relative to an unknown one

    def __init__(self, queue_size: int) -> None:
        self.queue_size = queue_size
        self.differences: dict[str, deque[float]] = {}

    def seed(self, psnr: np.ndarray) -> None:
        """Forget the evidence of an earlier run."""
        self.differences.clear()

    def refuse(self, screening: Screening) -> Verdict | None:
        """Refuse an odd pair; its score is its oddness with a minus."""
        if screening.reason is None:
            return None
        return Verdict(False, -screening.score, -1.0, screening.reason)

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

    def preference(self, domain: str) -> float:
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
        own = np.array(self.differences.get(domain, ()))
        if len(own) < self.least_evidence or len(self.differences) < 2:
            return None
        typical, spread = self._typical()
        # Clipped: one step gone wrong is no evidence against a domain.
        score = float(np.mean(np.clip(own - typical, -3 * spread, 3 * spread)))
        return score, spread / math.sqrt(len(own))

    def _typical(self) -> tuple[float, float]:
        """Median domain, and the spread of steps within domains, both in dB."""
        domains = [np.array(values) for values in self.differences.values()]
        medians = [np.median(values) for values in domains]
        deviations = [abs(v - m) for v, m in zip(domains, medians, strict=True)]
        spread = 1.4826 * float(np.median(np.concatenate(deviations)))
        return float(np.median(medians)), max(spread, SMALLEST_SPREAD)


class OpenGate:
    """Accept everything: joint training, the control of every comparison."""

    every = 10**9
    compares_before = False

    def seed(self, psnr: np.ndarray) -> None:
        """Keep nothing."""

    def refuse(self, screening: Screening) -> None:
        """Admit every pair."""

    def judge(self, trial: Trial) -> Verdict:
        """Accept."""
        return Verdict(True, 0.0, -math.inf, "no gate")

    def preference(self, domain: str) -> float:
        """Draw all domains alike."""
        return 1.0


def make_gate(name: str | Callable[[int], Gate], queue_size: int) -> Gate:
    """Build the gate of that name, or the one that a callable builds.

    Parameters
    ----------
    name : {"evidence", "queue", "paired", "none"} or callable
        A callable gets `queue_size`.
    queue_size : int

    Returns
    -------
    Gate
    """
    if callable(name):
        return name(queue_size)
    if name == "none":
        return OpenGate()
    gates = {"evidence": EvidenceGate, "queue": QueueGate, "paired": PairedGate}
    return gates[name](queue_size)
