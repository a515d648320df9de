"""The eight symmetries of the Bayer mosaic."""

from __future__ import annotations

from itertools import product

import numpy as np

from skadl.raw.mosaic import pack_bayer

# Planes R, Gr, Gb, B whose sites lie in the second column, second row of the 2x2.
_IN_SECOND_COLUMN = np.array([0, 1, 0, 1])
_IN_SECOND_ROW = np.array([0, 0, 1, 1])
AS_IT_IS = (False, False, False)


SYMMETRIES = tuple(product((False, True), repeat=3))


def of_mosaic(packed: slice, length: int) -> slice:
    """Turn a slice of packed pixels, of `length` in all, into one of the mosaic.

    Examples
    --------
    >>> of_mosaic(np.s_[1:], 4)
    slice(2, 8, None)
    """
    start, stop, _ = packed.indices(length)
    return slice(2 * start, 2 * stop)


def plane_views(mosaic: np.ndarray, cfa: str) -> list[np.ndarray]:
    """Return views of the planes R, Gr, Gb, B of a mosaic.

    Examples
    --------
    >>> [int(plane[0, 0]) for plane in plane_views(np.array([[1, 2], [3, 4]]), "BGGR")]
    [4, 3, 2, 1]
    """
    sites = pack_bayer(np.arange(4).reshape(2, 2), cfa).ravel().tolist()
    return [mosaic[site // 2 :: 2, site % 2 :: 2] for site in sites]


def turn(
    mosaic: np.ndarray, mirror_rows: bool, mirror_columns: bool, transpose: bool
) -> np.ndarray:
    """View an RGGB mosaic under one of its eight symmetries, as an RGGB mosaic.

    Mirroring moves red off its corner; without the outermost two lines it is back.

    Parameters
    ----------
    mosaic : ndarray of shape (2 h, 2 w)
    mirror_rows, mirror_columns, transpose : bool

    Returns
    -------
    ndarray
        A view.

    Examples
    --------
    >>> turn(np.array([[0, 1, 0, 1], [2, 3, 2, 3]]), False, True, False)
    array([[0, 1],
           [2, 3]])
    """
    if mirror_rows:
        mosaic = mosaic[-2:0:-1]
    if mirror_columns:
        mosaic = mosaic[:, -2:0:-1]
    return mosaic.T if transpose else mosaic


def symmetric_sites(
    side: int, mirror_rows: bool, mirror_columns: bool, transpose: bool
) -> np.ndarray:
    """Where in a window of one packed pixel to spare a turned patch's values lie.

    Parameters
    ----------
    side : int
        Of the patch, in packed pixels; the window has ``side + 1``.
    mirror_rows, mirror_columns, transpose : bool

    Returns
    -------
    ndarray of shape (side * side * 4,), int64
        Positions in the flat window (side + 1, side + 1, 4) of planes R, Gr, Gb, B.

    Examples
    --------
    >>> symmetric_sites(1, False, True, False).tolist()  # Gr and B do not move
    [4, 1, 6, 3]
    """
    planes = np.array([0, 2, 1, 3] if transpose else [0, 1, 2, 3])
    rows, columns = np.arange(side)[:, None, None], np.arange(side)[:, None]
    if transpose:
        rows, columns = columns, rows
    if mirror_rows:
        rows = side - rows - _IN_SECOND_ROW[planes]
    if mirror_columns:
        columns = side - columns - _IN_SECOND_COLUMN[planes]
    return ((rows * (side + 1) + columns) * 4 + planes).ravel()
