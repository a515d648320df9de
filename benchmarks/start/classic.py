"""Denoisers without a network, told the same noise: BM3D and non-local means.

Both expect noise that is the same everywhere: `skadl.noise.variance_stabilisation`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from skadl.baselines import BM3D
from skimage.restoration import denoise_nl_means

from benchmarks.start.prediction import Denoiser
from skadl.estimators.baselines.per_image import PerImageDenoiser


class NonLocalMeans(PerImageDenoiser):
    """Denoise by non-local means, of patches of 5x5 within 13x13."""

    _parameter_constraints: ClassVar[dict] = {}

    def denoise_stabilised(self, planes: np.ndarray) -> np.ndarray:
        """Denoise planes (4, h, w) with unit noise, one by one."""
        options = dict(patch_size=5, patch_distance=6, h=0.8, sigma=1.0)
        return np.stack([denoise_nl_means(plane, **options) for plane in planes])


def classic_denoiser(name: str) -> Denoiser:
    """Return what the method of that name in `CLASSIC` does to an image."""
    return CLASSIC[name]().fitted_model().function


CLASSIC = {"BM3D": BM3D, "non-local means": NonLocalMeans}
