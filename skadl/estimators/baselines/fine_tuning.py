"""Training on the sources, then on the target."""

from __future__ import annotations

from skadl.adaptation.report.report import DataSelectionReport
from skadl.estimators.baselines.joint_training import train_on_sources
from skadl.estimators.baselines.plain import PlainTraining
from skadl.estimators.fitting import Fitting
from skadl.network.base import ModulatedNetwork
from skadl.support.progress import Progress


class FineTuning(PlainTraining):
    """Train on all sources, then on the target's pairs: the usual way to a new sensor.

    "Fine-tuning" of Table 1 of Qian et al., "Adaptive Domain Learning for Cross-domain
    Image Denoising" (NeurIPS 2024): a U-Net trained on the source domains by the L1
    loss, then on the target pairs. With ``start="universal"`` it begins at the network
    that comes with skadl; that is the baseline to beat.

    Parameters
    ----------
    n_iter, n_finetune_iter : int or None, default=None
        Steps on the sources, and on the target. None is 6600 and 600 after a random
        start, 1000 and 100 after a trained one.
    **shared

    Notes
    -----
    Section 4 of the paper, which gives no numbers for it. One domain fills a batch,
    drawn uniformly. As in `skadl.ADLDenoiser`, a quarter of the target pairs is held
    out of the last steps, and decides how many of them are kept; after a trained start
    also how much of all.
    """

    def train(
        self, begun: Fitting, progress: Progress
    ) -> tuple[ModulatedNetwork, DataSelectionReport]:
        """Train on the sources, then on the target."""
        return train_on_sources(begun, progress, 1.0, self.finetune_rate)
