"""Frames of a made-up night: stars whose place and light are known."""

from __future__ import annotations

import numpy as np

BLACK, WHITE, GAIN, SKY = 500, 65535, 4.0, 60.0
_WIDTH = 1.5  # sigma of a star in pixels
_COLOURS = np.array([[0.7, 1.0], [1.0, 0.6]])  # RGGB


def field(side, n_stars, seed):
    """Places (n, 2) and electrons of stars, some beyond the edge of the frame."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.06 * side, 0.94 * side, (n_stars, 2))
    return places, 10 ** rng.uniform(3, 4.7, n_stars)


def light_of(places, electrons, side):
    """Electrons that a mosaic (side, side) is expected to get."""
    rows, columns = np.mgrid[:side, :side]
    light = np.full((side, side), SKY)
    for (row, column), total in zip(places, electrons, strict=True):
        squares = (rows - row) ** 2 + (columns - column) ** 2
        peak = total / (2 * np.pi * _WIDTH**2)
        light += peak * np.exp(-0.5 * squares / _WIDTH**2)
    return light * np.tile(_COLOURS, (side // 2, side // 2))
