"""Training on clean frames under the calibrated noise of the target's sensor."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

from sklearn.utils._param_validation import Interval

from skadl.adaptation.report.report import DataSelectionReport
from skadl.estimators.baselines.base import (
    POSITIVE_COUNT,
    NetworkBaseline,
    Stages,
    to_training_pairs,
)
from skadl.estimators.baselines.started import StartedBaseline
from skadl.estimators.baselines.synthesis import (
    DarkFrameNoise,
    TukeyLambdaReadNoise,
    clean_scenes,
)
from skadl.estimators.fitting import Fitting
from skadl.network.base import ModulatedNetwork
from skadl.noise.renoising import ReadNoise, renoised_domain
from skadl.raw.image import RawImage
from skadl.support.progress import Progress


class NoiseCalibration(StartedBaseline):
    """Train on clean frames alone, under noise made as the target's sensor makes it.

    Where there are dark frames, Zhang et al., "Rethinking Noise Synthesis and Modeling
    in Raw Denoising" (ICCV 2021): Poisson shot noise of the system gain, and the noise
    of dark frames cut out at its own CFA places (pattern-aligned patch sampling), whose
    rounding is undone first (high-bit reconstruction). Where there are none, the model
    of Wei et al., "A Physics-based Noise Formation Model for Extreme Low-light Raw
    Denoising" (ELD, CVPR 2020), section 3: Poisson shot, Tukey-lambda read and Gaussian
    row noise, and rounding. No noisy frame is trained on: they only tell how large the
    noise is.

    Parameters
    ----------
    dark_frames : sequence of RawImage or None, default=None
        Frames of the target's sensor taken without light, at the ISOs that it will be
        used at.
    tukey_lambda : float, default=0.14
        Shape of the read noise without dark frames: 0.14 is nearly Gaussian, below 0
        has longer tails (Table 2 of ELD: -0.1 to 0.2).
    n_synthetic : int, default=400
        Pairs that are made, at most 400.
    n_iter : int or None, default=None
        Steps of training. None is 7200 after a random start, 1000 after a trained one.
    conditioning : {"noise", "none", "sensor_iso", "sensor_iso_noise"}, default="noise"
        What the network knows of an image: its noise, so that one network serves all
        ISOs and ``ADLDenoiser(start=FrozenEstimator(model))`` goes on from it (Table 2a
        of Qian et al.). "none" is the papers' plain network.
    **shared

    Notes
    -----
    From the papers: the noise models, the L1 loss, clean frames as the only scenes.
    Different here: gain, read and row noise come from `meta` or are measured on the
    target pairs, not on charts and dark frames; noise is drawn once for each of the
    synthetic pairs, not anew for each patch; the clean frames are those of the sources,
    or of the target where there are none, with the exposures of the target pairs; the
    banding and colour bias of ELD's model are left out. A frame at an ISO without dark
    frames takes those of the nearest ISO, scaled. Network, steps and rate are those of
    the other baselines: the papers train a U-Net of 32 to 512 channels for some 250,000
    steps. After a trained start a quarter of the target pairs decides how much of the
    training is kept, as in `skadl.ADLDenoiser`; otherwise no pair decides anything.
    """

    _parameter_constraints: dict = {
        "dark_frames": [tuple, list, None],
        "tukey_lambda": [Interval(numbers.Real, -0.5, 1, closed="neither")],
        "n_synthetic": [Interval(numbers.Integral, 1, 400, closed="both")],
        "n_iter": [*POSITIVE_COUNT, None],
        "conditioning": NetworkBaseline._parameter_constraints["conditioning"],
    }

    steps_of_random = {"n_iter": 7200}
    steps_of_trained = {"n_iter": 1000}

    def __init__(
        self,
        *,
        dark_frames: Sequence[RawImage] | None = None,
        tukey_lambda: float = 0.14,
        n_synthetic: int = 400,
        n_iter: int | None = None,
        conditioning: str = "noise",
        **shared: Any,
    ) -> None:
        super().__init__(conditioning=conditioning, **shared)
        self.dark_frames = dark_frames
        self.tukey_lambda = tukey_lambda
        self.n_synthetic = n_synthetic
        self.n_iter = n_iter

    def read_noise(self) -> ReadNoise:
        """Return what draws all noise that no signal makes.

        Returns
        -------
        callable

        Raises
        ------
        ValueError
            If `dark_frames` cannot be used.
        """
        if self.dark_frames is None:
            return TukeyLambdaReadNoise(self.tukey_lambda)
        return DarkFrameNoise(self.dark_frames)

    def train(
        self, begun: Fitting, progress: Progress
    ) -> tuple[ModulatedNetwork, DataSelectionReport]:
        """Make the pairs and train on them."""
        sensors, stages = begun.data.sensors, Stages(begun, begun.learner(), progress)
        scenes = clean_scenes(begun, self.n_synthetic, stages.trainable)
        made = renoised_domain(
            begun.pairs,
            {"scenes": scenes},
            sensors,
            begun.rng,
            read_noise=self.read_noise(),
        )
        pairs = to_training_pairs(made, sensors, begun.conditioning, begun.device)
        pairs = stages.without_judges(pairs)
        stages.train_on("training", pairs, begun.parameters["n_iter"])
        return begun.network, stages.report()
