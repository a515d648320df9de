"""An image to find the ranges of a network's maps with, for 8 bits."""

from __future__ import annotations

import numpy as np

from skadl.noise.noise_level import NoiseLevel

SIDE = 192  # packed pixels
_N_RECTANGLES = 400
_DARKEST = 1e-4  # of white


def calibration_planes(noise: NoiseLevel, n_planes: int = 4) -> np.ndarray:
    """Draw planes (1, n_planes, SIDE, SIDE), float32, with the noise of an image.

    Rectangles that cover one another, of every size and of every level up to white, in
    grey and in colours. The same at each call. What a light factor lifts above white is
    not among them: ranges that hold it too are too wide for the rest (1 to 3 dB).
    """
    rng = np.random.default_rng(0)
    clean = np.zeros((n_planes, SIDE, SIDE))
    for _ in range(_N_RECTANGLES):
        top, left = rng.integers(-SIDE // 4, SIDE, 2)
        height, width = (SIDE / 2 * 2.0 ** -rng.uniform(0, 6, 2)).astype(int) + 1
        grey = rng.uniform(np.log(_DARKEST), 0)
        colour = np.exp(np.minimum(grey + 0.3 * rng.standard_normal(n_planes), 0))
        rows = slice(max(top, 0), max(top + height, 0))
        columns = slice(max(left, 0), max(left + width, 0))
        clean[:, rows, columns] = colour[:, None, None]
    sigma = np.sqrt(noise.shot * clean + noise.read)
    noisy = clean + sigma * rng.standard_normal(clean.shape)
    return noisy.astype(np.float32)[None]
