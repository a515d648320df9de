"""Denoisers without a network, told the same noise: BM3D and non-local means.

Both expect noise that is the same everywhere. So each plane goes through the
generalised Anscombe transform, is denoised with unit noise, and comes back through the
closed-form approximation of the exact unbiased inverse (Mäkitalo and Foi, "Optimal
inversion of the generalized Anscombe transformation for Poisson-Gaussian noise", IEEE
Transactions on Image Processing 2013).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.start.prediction import Denoiser
from skadl.noise.noise_level import NoiseLevel, expected_noise
from skadl.noise.sensors import SensorInfo
from skadl.raw.image import RawImage

_LEAST_SHOT = 1e-9


def stabilise(planes: np.ndarray, noise: NoiseLevel) -> np.ndarray:
    """Give planes whose variance is ``shot * signal + read`` unit noise everywhere."""
    shot = max(noise.shot, _LEAST_SHOT)
    inside = planes / shot + 0.375 + noise.read / shot**2
    return 2 * np.sqrt(np.maximum(inside, 0))


def unstabilise(z: np.ndarray, noise: NoiseLevel) -> np.ndarray:
    """Return the planes whose mean under `stabilise` is `z`."""
    shot = max(noise.shot, _LEAST_SHOT)
    z = np.maximum(z, 2 * 0.375**0.5)
    inverse = z**2 / 4 + (1.5**0.5 / 4) / z - 11 / 8 / z**2 + (5 / 8 * 1.5**0.5) / z**3
    return (inverse - 1 / 8 - noise.read / shot**2) * shot


def classic_denoiser(denoise: Callable[[np.ndarray], np.ndarray]) -> Denoiser:
    """Return the denoiser that `denoise`, of planes (h, w) with unit noise, makes."""

    def run(image: RawImage, info: SensorInfo) -> np.ndarray:
        noise = expected_noise(info, image.iso, image.ratio)
        z = stabilise(image.normalised().astype(float), noise)
        denoised = np.stack([denoise(plane) for plane in z])
        return unstabilise(denoised, noise).astype(np.float32)

    return run


def bm3d(plane: np.ndarray) -> np.ndarray:
    """Denoise by BM3D; needs ``pip install bm3d``."""
    from bm3d import bm3d as run

    return run(plane, 1.0)


def non_local_means(plane: np.ndarray) -> np.ndarray:
    """Denoise by non-local means, of patches of 5x5 within 13x13."""
    from skimage.restoration import denoise_nl_means

    return denoise_nl_means(plane, patch_size=5, patch_distance=6, h=0.8, sigma=1.0)


CLASSIC = {"BM3D": bm3d, "non-local means": non_local_means}
