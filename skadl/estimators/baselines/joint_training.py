"""Training on target and sources together, without a gate."""

from __future__ import annotations

import numbers
from typing import Any

from sklearn.utils._param_validation import Interval

from skadl.adaptation.gates.accept_all import AcceptAll
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.run import train
from skadl.estimators.baselines.base import source_training_pairs
from skadl.estimators.baselines.plain import PlainTraining
from skadl.estimators.fitting import Fitting
from skadl.network.base import ModulatedNetwork
from skadl.support.progress import Progress


class JointTraining(PlainTraining):
    """Train on the target's pairs and all sources together, and select nothing.

    The simplest use of sources, and what `skadl.ADLDenoiser` is without its gate and
    without its first and last stage. No paper's method, so there is no section to name:
    the control that Qian et al. leave out. L1 loss, one network.

    Parameters
    ----------
    source_share : float, default=0.5
        Fraction of a batch that comes from the sources, from one domain at a time.
    n_iter, n_finetune_iter : int or None, default=None
        Steps on both, and then on the target alone. None is 7200 and 0 after a random
        start, 1500 and 0 after a trained one.
    **shared
    """

    _parameter_constraints: dict = {
        "source_share": [Interval(numbers.Real, 0, 1, closed="right")],
    }
    steps_of_random = {"n_iter": 7200, "n_finetune_iter": 0}
    steps_of_trained = {"n_iter": 1500, "n_finetune_iter": 0}

    def __init__(self, *, source_share: float = 0.5, **shared: Any) -> None:
        super().__init__(**shared)
        self.source_share = source_share

    def train(
        self, begun: Fitting, progress: Progress
    ) -> tuple[ModulatedNetwork, DataSelectionReport]:
        """Train on batches of target and sources."""
        return train_on_sources(begun, progress, self.source_share, self.finetune_rate)


def train_on_sources(
    begun: Fitting, progress: Progress, source_share: float, finetune_rate: float
) -> tuple[ModulatedNetwork, DataSelectionReport]:
    """Train on batches with this share of sources, then on the target alone."""
    source_training_pairs(begun)  # for what it refuses
    schedule = begun.schedule(
        n_iter=begun.parameters["n_iter"],
        n_finetune_iter=begun.parameters["n_finetune_iter"],
        finetune_rate=finetune_rate,
        source_share=source_share,
    )
    report = train(
        begun.learner(),
        begun.data.target,
        begun.data.sources,
        AcceptAll(),
        schedule,
        begun.rng,
        progress,
        begun.is_trained,
    )
    return begun.network, report
