"""No gate: joint training, the control of every comparison."""

from __future__ import annotations

import math

from skadl.adaptation.gates.base import Gate, Trial, Verdict


class AcceptAll(Gate):
    """Accept everything.

    Parameters
    ----------
    queue_size : int, optional
        Of no use; for the sake of the other gates.
    """

    measure_every = 10**9

    def __init__(self, queue_size: int | None = None) -> None:
        pass

    def judge(self, trial: Trial) -> Verdict:
        """Accept."""
        return Verdict(True, 0.0, -math.inf, "no gate")
