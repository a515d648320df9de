"""Rows and columns of a mosaic in its planes: what a line of the sensor shares."""

from __future__ import annotations

import math

import numpy as np

from skadl.raw.mosaic import MOSAICS


def share_rows(n_planes: int) -> bool:
    """Whether all of a plane's sites in a row of blocks lie in one row of the sensor.

    Planes of X-Trans do not, so what a row of the sensor shares is not seen in them.
    """
    own = [own for own in MOSAICS.values() if own.n_planes == n_planes]
    return all(mosaic.transposed is None for mosaic in own)


def row_sums(planes: np.ndarray) -> np.ndarray:
    """Add up the rows of planes (side**2, h, w): (side, h); of RGGB red's and blue's.

    In the layout of aligned blocks, see `share_rows`.

    >>> row_sums(np.array([[[1, 1]], [[2, 2]], [[3, 3]], [[4, 4]]]))
    array([[ 6],
           [14]])
    """
    side = math.isqrt(len(planes))
    return planes.sum(axis=2).reshape(side, side, -1).sum(axis=1)


def column_sums(planes: np.ndarray) -> np.ndarray:
    """Add up the columns of planes (side**2, h, w): (side, w), as `row_sums`."""
    side = math.isqrt(len(planes))
    return planes.sum(axis=1).reshape(side, side, -1).sum(axis=0)
