"""Denoisers of one image at a time, which learn nothing of others."""

from __future__ import annotations

import numbers
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from skadl.estimators.base import RawDenoiser
from skadl.estimators.baselines.frames import check_frames, sensors_of_frames
from skadl.noise.noise_level import expected_noise
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.noise.variance_stabilisation import stabilise, unstabilise
from skadl.prediction.model import PlaneFunction
from skadl.prediction.tiling import choose_tiling
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair
from skadl.support.device import resolve_device
from skadl.support.progress import Progress

TILE_OVERLAP = 16  # packed pixels that a tile reaches beyond what it is used for


class PerImageDenoiser(RawDenoiser):
    """Base of denoisers that need no `fit`; a subclass needs `denoise_stabilised`.

    `fit` measures the noise of the target's sensor, which `predict` looks for in the
    image itself without it.

    Attributes
    ----------
    sensors_ : SensorTable
        Every sensor seen in `fit`, with its noise as given or as measured.
    """

    _parameter_constraints: dict = {}  # of a subclass without parameters

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        target_pairs: Sequence[RawPair | RawImage],
        source_pairs: object = None,
        meta: SensorTable | None = None,
    ) -> Self:
        """Measure the noise of the target's sensor; nothing else is learned.

        Parameters
        ----------
        target_pairs : sequence of RawPair or of RawImage
            Of noisy images alone nothing is measured: `predict` then finds the noise of
            each image as it does for any sensor.
        source_pairs : optional
            Not used.
        meta : SensorTable, optional
            Facts of the sensors, above all their noise where it is known.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If the frames, `meta` or a parameter cannot be used.
        """
        self.sensors_ = sensors_of_frames(check_frames(target_pairs), meta)
        return self

    def fitted_model(self) -> PlaneFunction:
        """Return what predicts an image, before `fit` too.

        Returns
        -------
        PlaneFunction
        """
        self._validate_params()
        return PlaneFunction(getattr(self, "sensors_", SensorTable()), self._denoise)

    @abstractmethod
    def denoise_stabilised(self, planes: np.ndarray) -> np.ndarray:
        """Denoise planes whose noise has a standard deviation of 1 everywhere.

        Parameters
        ----------
        planes : ndarray of shape (n_planes, h, w), float64

        Returns
        -------
        ndarray of shape (n_planes, h, w)
        """

    def _denoise(self, image: RawImage, info: SensorInfo) -> np.ndarray:
        noise = expected_noise(info, image.iso, image.ratio)
        # Black at 0 again: where read noise is all there is, it lies so high that
        # single precision could not tell signals apart.
        black = stabilise(np.zeros(1), noise)
        z = stabilise(image.normalised(), noise) - black
        denoised = np.asarray(self.denoise_stabilised(z), float)
        return unstabilise(denoised + black, noise).astype(np.float32)

    def _knows_from_fit(self, sensor: str) -> bool:
        return sensor in getattr(self, "sensors_", SensorTable())

    def __sklearn_is_fitted__(self) -> bool:
        """There is nothing that `fit` would have to do first."""
        return True

    def __sklearn_tags__(self):
        """Tell scikit-learn that no `fit` is needed."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


class PerImageNetwork(PerImageDenoiser):
    """Base of denoisers that train a network on the image alone, tile by tile.

    A subclass has the parameters below, and `train_on` gives its network's result.
    """

    _parameter_constraints: dict = {
        "n_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "learning_rate": [Interval(numbers.Real, 0, None, closed="neither")],
        "tile_size": [Interval(numbers.Integral, 64, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def train_on(
        self,
        planes: torch.Tensor,
        sigma: float,
        seed: int,
        progress: Callable,
    ) -> torch.Tensor:
        """Train on planes, mostly within [0, 1], and return them denoised.

        Parameters
        ----------
        planes : Tensor of shape (1, n_planes, h, w), float32
            On the device.
        sigma : float
            Standard deviation of their noise.
        seed : int
        progress : callable
            Passes an iterable of `n_iter` steps through.

        Returns
        -------
        Tensor of shape (1, n_planes, h, w)
        """

    def denoise_stabilised(self, planes: np.ndarray) -> np.ndarray:
        """Denoise planes with unit noise: in tiles, each with a network of its own.

        Parameters
        ----------
        planes : ndarray of shape (n_planes, h, w), float64

        Returns
        -------
        ndarray of shape (n_planes, h, w)

        Raises
        ------
        FloatingPointError
            If training diverged.
        """
        device = resolve_device(self.device)
        rng = check_random_state(self.random_state)
        # Networks begin with values of order one; some pixels are hot.
        low, high = np.quantile(planes, [0.001, 0.999])
        scale = 1 / max(high - low, 1.0)
        scaled = ((planes - low) * scale).astype(np.float32)
        result = np.empty_like(scaled)
        shown = Progress(self.verbose)
        most_pixels = self.tile_size**2
        tiling = choose_tiling(planes.shape[1:], TILE_OVERLAP, 1, most_pixels)
        for i, tile in enumerate(tiling):
            seed = int(rng.randint(np.iinfo(np.int32).max))
            what = type(self).__name__
            what = f"{what} {i + 1}/{len(tiling)}" if len(tiling) > 1 else what

            def track(steps, what=what):
                return shown.track(what, steps, self.n_iter)

            rows = slice(tile.top, tile.top + tiling.shape[0])
            columns = slice(tile.left, tile.left + tiling.shape[1])
            x = torch.from_numpy(scaled[None, :, rows, columns].copy()).to(device)
            denoised = self.train_on(x, scale, seed, track)[0].cpu().numpy()
            if not np.isfinite(denoised).all():
                raise FloatingPointError(
                    f"{type(self).__name__} gave NaN or infinity; use a smaller "
                    "learning_rate."
                )
            result[:, tile.rows, tile.columns] = denoised[:, *tile.core]
        return result / scale + low
