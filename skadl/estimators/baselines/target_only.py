"""Training on the target's pairs alone."""

from __future__ import annotations

from skadl.adaptation.gates.accept_all import AcceptAll
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.run import train
from skadl.estimators.baselines.plain import PlainTraining
from skadl.estimators.fitting import Fitting
from skadl.network.base import ModulatedNetwork
from skadl.support.progress import Progress


class TargetOnly(PlainTraining):
    """Train on the target's pairs alone: what a handful of pairs is worth by itself.

    "Base" of Table 5 of Qian et al., "Adaptive Domain Learning for Cross-domain Image
    Denoising" (NeurIPS 2024): L1 loss, one network, no sources. Equal to
    `skadl.ADLDenoiser` without sources, with ``renoised_share=0`` and the same recipe.

    Parameters
    ----------
    n_iter, n_finetune_iter : int or None, default=None
        Steps at a constant rate, and steps at a rate that falls to zero. None is 6600
        and 600 after a random start, 1000 and 100 after a trained one.
    **shared

    Notes
    -----
    Section 4.4 of the paper, which gives no numbers for it. As in `skadl.ADLDenoiser`,
    a quarter of the pairs is held out of the last steps, and decides how many of them
    are kept.
    """

    def train(
        self, begun: Fitting, progress: Progress
    ) -> tuple[ModulatedNetwork, DataSelectionReport]:
        """Train on the target; sources only share the measurement of noise."""
        schedule = begun.schedule(
            n_pretrain_iter=begun.parameters["n_iter"],
            n_finetune_iter=begun.parameters["n_finetune_iter"],
            finetune_rate=self.finetune_rate,
        )
        target = begun.data.target
        report = train(
            begun.learner(),
            target,
            {},
            AcceptAll(),
            schedule,
            begun.rng,
            progress,
            begun.is_trained,
        )
        return begun.network, report
