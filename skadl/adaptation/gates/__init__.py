"""Gates decide whether the model is better for having taken a source batch.

A gate is asked once an iteration and answers with a `Verdict`. To bring one, write a
subclass of `Gate`, built from a queue size, and give the class to
``ADLDenoiser(gate=...)``: each fit builds its own, so that no fit sees another's
memory.
"""

from skadl.adaptation.gates.accept_all import AcceptAll
from skadl.adaptation.gates.base import Fault, Gate, Trial, Verdict
from skadl.adaptation.gates.choice import GATES, make_gate
from skadl.adaptation.gates.evidence import EvidenceGate
from skadl.adaptation.gates.paired import PairedGate
from skadl.adaptation.gates.queue import QueueGate

__all__ = [
    "GATES",
    "AcceptAll",
    "EvidenceGate",
    "Fault",
    "Gate",
    "PairedGate",
    "QueueGate",
    "Trial",
    "Verdict",
    "make_gate",
]
