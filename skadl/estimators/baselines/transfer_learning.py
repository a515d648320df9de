"""Training on synthetic noise, of which only the modulation follows the target."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils._param_validation import StrOptions

from skadl.adaptation.patches import TrainingPair
from skadl.adaptation.report.report import DataSelectionReport
from skadl.estimators.baselines.base import (
    COUNT,
    POSITIVE,
    POSITIVE_COUNT,
    Stages,
    to_training_pairs,
)
from skadl.estimators.baselines.started import StartedBaseline
from skadl.estimators.baselines.synthesis import (
    clean_scenes,
    frames_of,
    with_random_noise,
)
from skadl.estimators.fitting import Fitting
from skadl.network.base import ModulatedNetwork
from skadl.network.unet import ModulationMLPs
from skadl.noise.sensors import SensorTable
from skadl.support.progress import Progress


class TransferLearning(StartedBaseline):
    """Train on synthetic noise of all levels, then adapt modulation and last layer.

    Kim et al., "Transfer Learning from Synthetic to Real-Noise Denoising with Adaptive
    Instance Normalization" (AINDNet, CVPR 2020), approximately: with the modulated
    U-Net of skadl in place of their network (section 3). What is taken over is the
    transfer: pre-training on synthetic noise, then on the target pairs only the affine
    parameters that the noise level sets, and the last convolution.

    Parameters
    ----------
    n_synthetic : int, default=400
        Pairs that are made for the pre-training.
    n_iter, n_finetune_iter : int or None, default=None
        Steps on synthetic noise, and on the target pairs. None is 6600 and 600 after a
        random start, 0 and 1000 after a trained one, which knows noise of all levels.
    finetune_rate : float, default=0.3
        Where the second begin, as a fraction of `learning_rate`.
    conditioning : {"noise", "sensor_iso_noise"}, default="noise"
        What the network knows of an image, and what its modulation follows.
    **shared

    Notes
    -----
    From the paper: the two trainings and which weights each is free to move, and the L1
    loss. Different here: scale and shift of Eq. 6 of Qian et al., one for each channel,
    stand for adaptive instance normalisation, which has one for each pixel and
    normalises first; the measured noise level of an image stands for the estimated map
    of their noise estimator, whose weights the paper updates too; the synthetic noise
    is Poisson and Gaussian of any level in raw planes, on the clean frames of the
    sources, or of the target where there are none. The sources' noisy frames are not
    used. The paper's network has 64 to 256 channels. After a trained start a quarter of
    the target pairs decides how much of the training is kept, as in
    `skadl.ADLDenoiser`.
    """

    _parameter_constraints: dict = {
        "n_synthetic": POSITIVE_COUNT,
        "n_iter": [*COUNT, None],
        "n_finetune_iter": [*COUNT, None],
        "finetune_rate": POSITIVE,
        "conditioning": [StrOptions({"noise", "sensor_iso_noise"})],
    }

    steps_of_random = {"n_iter": 6600, "n_finetune_iter": 600}
    steps_of_trained = {"n_iter": 0, "n_finetune_iter": 1000}

    def __init__(
        self,
        *,
        n_synthetic: int = 400,
        n_iter: int | None = None,
        n_finetune_iter: int | None = None,
        finetune_rate: float = 0.3,
        conditioning: str = "noise",
        **shared: Any,
    ) -> None:
        super().__init__(conditioning=conditioning, **shared)
        self.n_synthetic = n_synthetic
        self.n_iter = n_iter
        self.n_finetune_iter = n_finetune_iter
        self.finetune_rate = finetune_rate

    def train(
        self, begun: Fitting, progress: Progress
    ) -> tuple[ModulatedNetwork, DataSelectionReport]:
        """Train on synthetic pairs, then modulation and last layer on the target."""
        stages = Stages(begun, begun.learner(), progress)
        if n_iter := begun.parameters["n_iter"]:
            synthetic = self._synthetic_pairs(begun, stages.trainable)
            stages.train_on("pre-training", stages.without_judges(synthetic), n_iter)
        free_only_modulation(begun.network)
        stages.go_on_with(begun.learner())
        stages.train_on(
            "fine-tuning",
            stages.target_pairs,
            begun.parameters["n_finetune_iter"],
            self.learning_rate * self.finetune_rate,
        )
        return begun.network, stages.report()

    def _synthetic_pairs(
        self, begun: Fitting, trainable: np.ndarray
    ) -> list[TrainingPair]:
        scenes = clean_scenes(begun, self.n_synthetic, trainable)
        models = frames_of(begun, self.n_synthetic)
        noise_rng = np.random.default_rng(begun.rng.randint(np.iinfo(np.int32).max))
        synthetic = []
        for pair, info in with_random_noise(scenes, models, noise_rng):
            # Each frame has a noise of its own, under the one name of the target.
            table = SensorTable({pair.sensor: info})
            synthetic += to_training_pairs(
                [pair], table, begun.conditioning, begun.device
            )
        return synthetic


def free_only_modulation(network: ModulatedNetwork) -> None:
    """Let training move the modulation and the last layer, and nothing else."""
    network.requires_grad_(False)
    network.head.requires_grad_(True)
    for module in network.modules():
        if isinstance(module, ModulationMLPs):
            module.requires_grad_(True)
