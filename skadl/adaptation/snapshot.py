"""A training that is stopped between two iterations, and goes on bit for bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skadl.adaptation.report.report import DataSelectionReport

STAGES = ("pre-training", "adaptation", "fine-tuning")
# A snapshot is next taken after a hundred times as long as the last one took: an hour
# of training becomes no more than half a minute longer, however slow the disk.
_LEAST_WAIT = 100


@dataclass(frozen=True, eq=False)
class RandomState:
    """The state of a `numpy.random.RandomState`."""

    key: np.ndarray  # (624,) uint32
    position: int
    has_gauss: int
    cached_gaussian: float

    @classmethod
    def of(cls, rng: np.random.RandomState) -> RandomState:
        """Copy the state of a generator."""
        return cls(*rng.get_state()[1:])

    def put_into(self, rng: np.random.RandomState) -> None:
        """Have a generator go on from here."""
        rest = self.position, self.has_gauss, self.cached_gaussian
        rng.set_state(("MT19937", self.key, *rest))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that a training holds before an iteration, beside its data and its start.

    `learner` holds weights and moments as `Learner.memory` gives them, and in
    fine-tuning under "before" the weights before it. `report` is what was recorded so
    far, `watch` that of the `DecisionRecorder`.
    """

    stage: str  # one of `STAGES`
    iteration: int  # of the stage, to be done next
    n_iter: int  # of the stage, in all
    learner: Mapping[str, list[np.ndarray]]
    random_state: RandomState
    gate: Mapping[str, Any]  # of `Gate.memory`
    held_out: tuple[int, ...]  # target pairs that are not trained on
    report: DataSelectionReport
    watch: tuple[bool, int]
    n_skipped: int  # steps of this stage without a finite loss


class Snapshots:
    """When snapshots are taken and where they go, and the one that is gone on from.

    `every` is the least time between two, in seconds; 0 takes one before each
    iteration. `keep` writes one.
    """

    def __init__(
        self,
        keep: Callable[[Snapshot], None],
        every: float,
        begun: Snapshot | None = None,
    ) -> None:
        self.begun = begun
        self._keep, self._every = keep, every
        self._due = time.monotonic() + every

    def offer(self, take: Callable[[], Snapshot]) -> None:
        """Take a snapshot and keep it, if it is time."""
        begin = time.monotonic()
        if begin < self._due:
            return
        self._keep(take())
        end = time.monotonic()
        wait = max(self._every, _LEAST_WAIT * (end - begin)) if self._every else 0.0
        self._due = end + wait
