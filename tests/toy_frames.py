"""Textured planes, and a plain denoiser whose behaviour is known."""

from __future__ import annotations

import numpy as np


def chequered(side, amplitude):
    """Planes (4, side, side) of the finest texture."""
    grid = np.indices((side, side)).sum(axis=0) % 2
    return np.broadcast_to(0.3 + amplitude * (grid - 0.5), (4, side, side))


def smooth(planes):
    """Remove what a pixel does not share with its eight neighbours."""
    shifted = [
        np.roll(planes, (row, column), axis=(1, 2))
        for row in (-1, 0, 1)
        for column in (-1, 0, 1)
    ]
    return planes - np.mean(shifted, axis=0, dtype=np.float32)
