"""Blur of a moving camera: random paths as kernels, and scenes seen through them."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from scipy.signal import fftconvolve
from sklearn.utils import check_random_state, check_scalar

_N_STEPS = 400  # of a trajectory: several in each pixel of the largest kernels


def make_motion_kernel(
    size: int, random_state: Any = None, *, turning: float = 0.15
) -> np.ndarray:
    """Draw a blur kernel: the path of a point while the shutter is open.

    Parameters
    ----------
    size : int
        Side in pixels, odd, 3 or more; the longer extent of the path fills it.
    random_state : int, RandomState or None
    turning : float, default=0.15
        How much the direction changes at random in a step, in radians. 0 is a straight
        line.

    Returns
    -------
    ndarray of shape (size, size), float32
        Not negative, with a sum of 1; the middle of the path's extent is in its centre.

    Raises
    ------
    ValueError
        If `size` is even or below 3, or `turning` is negative.

    Notes
    -----
    A point moves at constant speed for 400 steps. Its direction turns by a normal
    variable in each step, so that it keeps its course for a while, as a hand does. The
    path is scaled to the kernel and drawn by bilinear weights. Made for this package;
    the paper's appendix names sizes of 21, 31 and 41 pixels and no generator.

    Examples
    --------
    >>> kernel = make_motion_kernel(5, random_state=0, turning=0)
    >>> kernel.shape, float(kernel.sum().round(6))
    ((5, 5), 1.0)
    """
    check_scalar(size, "size", numbers.Integral, min_val=3)
    if size % 2 == 0:
        raise ValueError(f"size must be odd, so that there is a centre, got {size}.")
    check_scalar(turning, "turning", numbers.Real, min_val=0)
    rng = check_random_state(random_state)
    turns = turning * rng.normal(0, 1, _N_STEPS)
    directions = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
    path = np.cumsum([np.sin(directions), np.cos(directions)], axis=1)  # (2, n)
    low, high = path.min(axis=1), path.max(axis=1)
    path -= ((low + high) / 2)[:, None]
    # The path's ends lie in the middle of the outermost pixels.
    path *= (size - 1) / (high - low).max()
    path += (size - 1) / 2
    corner = np.clip(np.floor(path).astype(int), 0, size - 2)
    part = path - corner
    kernel = np.zeros((size, size))
    for down in (0, 1):
        for right in (0, 1):
            weights = np.abs(1 - down - part[0]) * np.abs(1 - right - part[1])
            np.add.at(kernel, (corner[0] + down, corner[1] + right), weights)
    return (kernel / kernel.sum()).astype(np.float32)


def blur_scene(rgb: np.ndarray, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """See a scene through a kernel; its border, which needs more of it, is cut off.

    Parameters
    ----------
    rgb : ndarray of shape (H, W, 3)
        Linear light.
    kernel : ndarray of shape (k, k)
        Of an odd side, such as from `make_motion_kernel`.

    Returns
    -------
    blurred, sharp : ndarray of shape (H - k + 1, W - k + 1, 3), float32
        In register with one another.

    Raises
    ------
    ValueError
        If the scene is smaller than the kernel, or the shapes are others.
    """
    rgb, kernel = np.asarray(rgb, np.float32), np.asarray(kernel, np.float32)
    if rgb.ndim != 3 or kernel.ndim != 2 or min(rgb.shape[:2]) < max(kernel.shape):
        raise ValueError(
            "blur_scene takes a scene (H, W, 3) and a kernel (k, k) no larger than it, "
            f"got {rgb.shape} and {kernel.shape}."
        )
    top, left = (side // 2 for side in kernel.shape)
    blurred = fftconvolve(rgb, kernel[..., None], mode="valid", axes=(0, 1))
    height, width = blurred.shape[:2]
    sharp = rgb[top : top + height, left : left + width]
    # Rounding of the transform leaves some values just below 0.
    return np.clip(blurred, 0, None).astype(np.float32), sharp
