"""Counts and normalised planes: black level at 0, white level at 1, and back."""

from __future__ import annotations

import numpy as np

from skadl.mosaic import pack_bayer


def black_planes(
    black_level: float | tuple[float, float, float, float], cfa: str
) -> np.ndarray:
    """Reorder black levels from CFA reading order to planes R, Gr, Gb, B.

    Returns
    -------
    ndarray of shape (4,), float64
    """
    black_2x2 = np.broadcast_to(np.asarray(black_level, float), 4).reshape(2, 2)
    return pack_bayer(black_2x2, cfa).ravel()


def normalise(
    packed: np.ndarray, black_planes: np.ndarray, white_level: float, ratio: float
) -> np.ndarray:
    """Map packed counts to black 0, white 1, times the light factor; no clipping.

    Parameters
    ----------
    packed : ndarray of shape (4, h, w)
        Counts.
    black_planes : ndarray of shape (4,)
        Black level of each plane, in counts.
    white_level : float
        In counts. One scale, from the mean black level, serves all planes, so
        that the two greens keep their balance.
    ratio : float
        Light factor.

    Returns
    -------
    ndarray of shape (4, h, w), float32
    """
    scale = ratio / (white_level - black_planes.mean())
    return (
        (packed - black_planes[:, None, None].astype(np.float32)) * np.float32(scale)
    ).astype(np.float32, copy=False)


def denormalise(
    planes: np.ndarray, black_planes: np.ndarray, white_level: float, ratio: float
) -> np.ndarray:
    """Map normalised planes back to packed counts: the inverse of `normalise`.

    Returns
    -------
    ndarray of shape (4, h, w), float32
    """
    scale = (white_level - black_planes.mean()) / ratio
    return planes * np.float32(scale) + black_planes[:, None, None].astype(np.float32)


def cast_counts(counts: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Cast counts to `dtype`; integer types are rounded and clipped to their range."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        counts = np.clip(np.rint(counts), limits.min, limits.max)
    return counts.astype(dtype)
