"""Alignment of channels for each camera, then for the new one alone."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from skadl.adaptation.patches import TrainingPair
from skadl.adaptation.report.report import DataSelectionReport
from skadl.estimators.baselines.base import (
    COUNT,
    POSITIVE,
    POSITIVE_COUNT,
    NetworkBaseline,
    Stages,
    source_training_pairs,
    to_training_pairs,
    with_metadata,
)
from skadl.estimators.baselines.routed import RoutedUNet, align, fold_alignments
from skadl.estimators.baselines.synthesis import (
    clean_scenes,
    frames_of,
    virtual_cameras,
    with_virtual_noise,
)
from skadl.estimators.fitting import Fitting
from skadl.network.base import ModulatedNetwork
from skadl.noise.sensors import SensorTable
from skadl.support.progress import Progress


class LED(NetworkBaseline):
    """Train on several cameras with an alignment for each, then align the new one.

    Jin et al., "Lighting Every Darkness in Two Pairs: A Calibration-Free Pipeline for
    RAW Denoising" (ICCV 2023). Before each 3x3 convolution every channel is scaled and
    shifted, with other numbers for each camera (section 3). Pre-training is on
    virtual cameras, or on the source sensors as in Table 2b of Qian et al. Then the
    alignments are averaged, and the average alone is trained on the target pairs; then
    a 3x3 convolution in parallel, which begins at zero, for what no noise model holds.
    In the end all fold into a plain U-Net.

    Parameters
    ----------
    cameras : {"virtual", "sources"}, default="virtual"
        What is pre-trained on: the clean frames of the sources (of the target where
        there are none) under the noise of virtual cameras, or the source pairs as they
        are, a camera for each domain.
    n_virtual : int, default=5
        Virtual cameras (the paper's number).
    n_synthetic : int, default=400
        Pairs that are made for all virtual cameras together.
    n_iter : int, default=6600
        Steps of pre-training.
    n_alignment_iter, n_parallel_iter : int, default=400 and 200
        Steps on the target pairs: of the new alignment, and of the convolutions in
        parallel. The paper takes 1000 and 500.
    alignment_rate, parallel_rate : float, default=1 and 0.1
        Where each begins, as a fraction of `learning_rate` (the paper: 1e-4 and 1e-5
        after a pre-training at 1e-4).
    network : {"unet"}, default="unet"
        What the method is for.
    conditioning : {"none"}, default="none"
        The network gets nothing but the image.
    **shared

    Notes
    -----
    From the paper: the alignments and their averaging, the two stages of fine-tuning
    and which weights each moves, the convolution in parallel, L1 loss, the last layer
    without alignment, five virtual cameras with gains from 0.1 to 30. Different here:
    virtual cameras have Poisson, Gaussian read and row noise, without long tails and
    colour bias, their lines spread over those of ELD's five cameras; noise is drawn
    once for each synthetic pair; padding is aligned as well, so that the folded network
    equals the trained one up to the border; rates fall along a cosine. The paper
    pre-trains a U-Net of 32 to 512 channels for 257,600 steps of one patch, at 1e-4,
    from step 128,800 on at 5e-5 and from step 231,840 on at 1e-5. It aligns for 1000
    steps at 1e-4 and trains the parallel convolution for 500 at 1e-5, on crops of 1024
    packed pixels.
    """

    _parameter_constraints: dict = {
        "cameras": [StrOptions({"virtual", "sources"})],
        "n_virtual": [Interval(numbers.Integral, 1, 100, closed="both")],
        "n_synthetic": POSITIVE_COUNT,
        "n_iter": COUNT,
        "n_alignment_iter": COUNT,
        "n_parallel_iter": COUNT,
        "alignment_rate": POSITIVE,
        "parallel_rate": POSITIVE,
        "network": [StrOptions({"unet"})],
        "conditioning": [StrOptions({"none"})],
    }

    def __init__(
        self,
        *,
        cameras: str = "virtual",
        n_virtual: int = 5,
        n_synthetic: int = 400,
        n_iter: int = 6600,
        n_alignment_iter: int = 400,
        n_parallel_iter: int = 200,
        alignment_rate: float = 1.0,
        parallel_rate: float = 0.1,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        self.cameras = cameras
        self.n_virtual = n_virtual
        self.n_synthetic = n_synthetic
        self.n_iter = n_iter
        self.n_alignment_iter = n_alignment_iter
        self.n_parallel_iter = n_parallel_iter
        self.alignment_rate = alignment_rate
        self.parallel_rate = parallel_rate

    def train(
        self, begun: Fitting, progress: Progress
    ) -> tuple[ModulatedNetwork, DataSelectionReport]:
        """Pre-train, average the alignments, train that of the target; fold."""
        cameras = (
            _of_sources(begun)
            if self.cameras == "sources"
            else self._virtual_pairs(begun)
        )
        aligned = align(begun.network, 1 + len(cameras))
        network = RoutedUNet(begun.network)
        numbered = [
            with_metadata(pair, np.array([number]))
            for number, pairs in enumerate(cameras, start=1)
            for pair in pairs
        ]
        stages = Stages(begun, begun.learner(network), progress)
        stages.train_on("pre-training", numbered, self.n_iter)
        network.requires_grad_(False)
        for part in aligned:
            part.settle()
            part.scale.requires_grad_(True)
            part.shift.requires_grad_(True)
        rates = self.alignment_rate, self.parallel_rate
        rates = [self.learning_rate * rate for rate in rates]
        target = begun.data.target.pairs  # told 0, the number of the target
        stages.go_on_with(begun.learner(network))
        stages.train_on("alignment", target, self.n_alignment_iter, rates[0])
        network.requires_grad_(False)
        for part in aligned:
            part.add_parallel()
            part.parallel.requires_grad_(True)
        stages.go_on_with(begun.learner(network))
        stages.train_on("parallel convolutions", target, self.n_parallel_iter, rates[1])
        fold_alignments(begun.network)
        return begun.network, stages.report()

    def _virtual_pairs(self, begun: Fitting) -> list[list[TrainingPair]]:
        """Make as many pairs for each virtual camera."""
        noise_rng = np.random.default_rng(begun.rng.randint(np.iinfo(np.int32).max))
        n_pairs = -(-self.n_synthetic // self.n_virtual)
        scenes = clean_scenes(begun, n_pairs * self.n_virtual)
        made = []
        for index, camera in enumerate(virtual_cameras(self.n_virtual, noise_rng)):
            own = scenes[index :: self.n_virtual]
            pairs = []
            for pair, info in with_virtual_noise(
                own, frames_of(begun, len(own)), camera, noise_rng
            ):
                table = SensorTable({pair.sensor: info})
                pairs += to_training_pairs(
                    [pair], table, begun.conditioning, begun.device
                )
            made.append(pairs)
        return made


def _of_sources(begun: Fitting) -> list[list[TrainingPair]]:
    source_training_pairs(begun)  # for what it refuses
    return [list(domain) for domain in begun.data.sources.values()]
