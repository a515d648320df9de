"""One network with an entry for the target and another for the sources."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from skadl.adaptation.gates.accept_all import AcceptAll
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.run import train
from skadl.estimators.baselines.base import (
    COUNT,
    POSITIVE,
    NetworkBaseline,
    source_training_pairs,
    with_metadata,
)
from skadl.estimators.baselines.routed import RoutedUNet, TwoEntries
from skadl.estimators.fitting import Fitting
from skadl.network.base import ModulatedNetwork
from skadl.support.progress import Progress


class Prabhakar(NetworkBaseline):
    """Train on target and sources together, with an entry to the network for each.

    Prabhakar et al., "Few-Shot Domain Adaptation for Low Light RAW Image Enhancement"
    (BMVC 2021), approximately: its code cannot be had, and it enhances raw images into
    sRGB where this denoises raw. What is taken over is the adaptation: the first layers
    are apart for source and target, all others are shared, and a joint L1 loss is
    minimised on source pairs and few (there at most ten) target pairs.

    Parameters
    ----------
    n_iter, n_finetune_iter : int, default=7200 and 0
        Steps on both, and then on the target alone.
    finetune_rate : float, default=0.3
        Where the second begin, as a fraction of `learning_rate`.
    source_share : float, default=0.5
        Fraction of a batch that comes from the sources, from one domain at a time.
    network : {"unet"}, default="unet"
        What the method is for.
    conditioning : {"none"}, default="none"
        The network gets nothing but the image.
    **shared

    Notes
    -----
    No section is named: what is taken over is the idea of the paper as others describe
    it, and its limit of ten pairs, not its numbers. Chosen here: one entry for all
    sources; an entry is the first two convolutions, at full resolution; both losses
    count alike. In the end the target's entry alone remains: a plain U-Net.
    """

    _parameter_constraints: dict = {
        "n_iter": COUNT,
        "n_finetune_iter": COUNT,
        "finetune_rate": POSITIVE,
        "source_share": [Interval(numbers.Real, 0, 1, closed="right")],
        "network": [StrOptions({"unet"})],
        "conditioning": [StrOptions({"none"})],
    }

    def __init__(
        self,
        *,
        n_iter: int = 7200,
        n_finetune_iter: int = 0,
        finetune_rate: float = 0.3,
        source_share: float = 0.5,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.n_iter = n_iter
        self.n_finetune_iter = n_finetune_iter
        self.finetune_rate = finetune_rate
        self.source_share = source_share

    def train(
        self, begun: Fitting, progress: Progress
    ) -> tuple[ModulatedNetwork, DataSelectionReport]:
        """Train on both with two entries, and keep the target's."""
        source_training_pairs(begun)  # for what it refuses
        sources = {
            name: [with_metadata(pair, np.ones(1)) for pair in domain]
            for name, domain in begun.data.sources.items()
        }
        unet = begun.network
        unet.encoder[0] = TwoEntries(unet.encoder[0])
        report = train(
            begun.learner(RoutedUNet(unet)),
            begun.data.target,
            sources,
            AcceptAll(),
            begun.schedule(
                n_iter=self.n_iter,
                n_finetune_iter=self.n_finetune_iter,
                finetune_rate=self.finetune_rate,
                source_share=self.source_share,
            ),
            begun.rng,
            progress,
        )
        unet.encoder[0] = unet.encoder[0].of_target
        return unet, report
