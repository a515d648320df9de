"""Which gate a name stands for; a new one is a file beside this and a line here."""

from __future__ import annotations

from collections.abc import Callable

from skadl.adaptation.gates.accept_all import AcceptAll
from skadl.adaptation.gates.base import Gate
from skadl.adaptation.gates.evidence import EvidenceGate
from skadl.adaptation.gates.paired import PairedGate
from skadl.adaptation.gates.queue import QueueGate

GATES: dict[str, Callable[[int], Gate]] = {
    "evidence": EvidenceGate,
    "queue": QueueGate,
    "paired": PairedGate,
    "none": AcceptAll,
}
"""Gates by the name that ``ADLDenoiser(gate=...)`` takes."""


def make_gate(gate: str | Callable[[int], Gate], queue_size: int) -> Gate:
    """Build the gate of that name, or the one that a callable builds.

    Parameters
    ----------
    gate : str or callable
        One of `GATES`, or what builds a gate from `queue_size`.
    queue_size : int

    Returns
    -------
    Gate
    """
    build = gate if callable(gate) else GATES[gate]
    return build(queue_size)
