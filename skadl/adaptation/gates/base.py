"""What a gate is asked and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from skadl.adaptation.gates.memory import from_plain, to_plain


class Fault(Protocol):
    """What is wrong with a pair, as far as its frames tell without any training.

    Attributes
    ----------
    reason : str or None
        None for a pair without a fault.
    score : float
        How far it is past what pairs without a fault show; above 1 with a reason.
    """

    reason: str | None
    score: float


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


class Gate(ABC):
    """What decides on source batches; a subclass needs `judge` alone.

    Parameters
    ----------
    queue_size : int, default=1
        How much to remember, for gates that do.

    Attributes
    ----------
    measure_every : int
        V' is measured in each iteration that is a multiple of this; 1 by default.
    needs_before : bool
        Whether `Trial.before` must be measured, False by default; it costs a second
        validation pass.
    """

    measure_every: int = 1
    needs_before: bool = False

    def __init__(self, queue_size: int = 1) -> None:
        self.queue_size = queue_size

    def start(self, psnr: np.ndarray) -> None:
        """Take Eval(V', theta_0) before the first iteration; by default not needed.

        Parameters
        ----------
        psnr : ndarray of shape (k,)
            Of each image of V', in dB.
        """
        return None

    def refuse(self, fault: Fault) -> Verdict | None:
        """Refuse a pair for what it is, before any training; by default none.

        Parameters
        ----------
        fault : Fault
            What its frames show.

        Returns
        -------
        Verdict or None
            None admits the pair.
        """
        return None

    @abstractmethod
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

    def sampling_weight(self, domain: str) -> float:
        """How often to draw a domain, relative to one that nothing is known of.

        Parameters
        ----------
        domain : str

        Returns
        -------
        float
            0 or more; 1, the default, draws it as often as an unknown one.
        """
        return 1.0

    def memory(self) -> dict[str, Any]:
        """Return what it remembers, for a checkpoint: plain values, as JSON takes them.

        All attributes by default. A gate with others than numbers, texts, arrays, and
        lists, tuples, deques and dicts of these needs `memory` and `recall` of its own.

        Returns
        -------
        dict

        Raises
        ------
        TypeError
            If an attribute cannot be kept.
        """
        kept = {}
        for name, value in vars(self).items():
            try:
                kept[name] = to_plain(value)
            except TypeError as error:
                raise TypeError(
                    f"{type(self).__name__}.{name} holds {error}, which a checkpoint "
                    "cannot; give the gate the methods memory and recall, or fit "
                    "without a checkpoint."
                ) from error
        return kept

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Remember what `memory` returned, so that it goes on as if never stopped.

        Parameters
        ----------
        memory : mapping

        Raises
        ------
        ValueError
            If it is the memory of another gate.
        """
        if memory.keys() != vars(self).keys():
            raise ValueError(
                f"the checkpoint is of a gate that remembers {sorted(memory)}, this "
                f"{type(self).__name__} remembers {sorted(vars(self))}."
            )
        for name, plain in memory.items():
            setattr(self, name, from_plain(plain))
