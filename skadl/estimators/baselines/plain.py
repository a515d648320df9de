"""What the trainings without selection share: how long they take."""

from __future__ import annotations

from typing import Any

from skadl.estimators.baselines.base import COUNT, POSITIVE
from skadl.estimators.baselines.started import StartedBaseline


class PlainTraining(StartedBaseline):
    """Base of what trains on given pairs without selecting any.

    Parameters
    ----------
    n_iter, n_finetune_iter : int or None, default=None
        Steps of the two parts.
    finetune_rate : float, default=0.3
        Where the last steps begin, as a fraction of `learning_rate`.
    **shared
    """

    _parameter_constraints: dict = {
        "n_iter": [*COUNT, None],
        "n_finetune_iter": [*COUNT, None],
        "finetune_rate": POSITIVE,
    }

    # As many as ADLDenoiser takes.
    steps_of_random = {"n_iter": 6600, "n_finetune_iter": 600}
    steps_of_trained = {"n_iter": 1000, "n_finetune_iter": 100}

    def __init__(
        self,
        *,
        n_iter: int | None = None,
        n_finetune_iter: int | None = None,
        finetune_rate: float = 0.3,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.n_iter = n_iter
        self.n_finetune_iter = n_finetune_iter
        self.finetune_rate = finetune_rate
