"""The eight symmetries of the Bayer mosaic: mirrored and transposed, it is one again.

A symmetry is three flags: mirror rows, mirror columns, then transpose. Mirroring an
RGGB mosaic moves red off its corner; a window one pixel further on has it there again.
"""

from __future__ import annotations

from itertools import product

import numpy as np

SYMMETRIES = tuple(product((False, True), repeat=3))
AS_IT_IS = (False, False, False)

# Planes R, Gr, Gb, B whose sites lie in the second column, second row of the 2x2.
_IN_SECOND_COLUMN = np.array([0, 1, 0, 1])
_IN_SECOND_ROW = np.array([0, 0, 1, 1])


def plane_order(transpose: bool) -> list[int]:
    """Which of the planes R, Gr, Gb, B take their places: transposing swaps greens."""
    return [0, 2, 1, 3] if transpose else [0, 1, 2, 3]


def turn(
    mosaic: np.ndarray, mirror_rows: bool, mirror_columns: bool, transpose: bool
) -> np.ndarray:
    """View an RGGB mosaic (2 h, 2 w) under a symmetry, again as an RGGB mosaic.

    >>> turn(np.array([[0, 1, 0, 1], [2, 3, 2, 3]]), False, True, False)
    array([[0, 1],
           [2, 3]])
    """
    # Without the outermost two lines, red is back in the corner.
    if mirror_rows:
        mosaic = mosaic[-2:0:-1]
    if mirror_columns:
        mosaic = mosaic[:, -2:0:-1]
    return mosaic.T if transpose else mosaic


def symmetric_sites(
    side: int, mirror_rows: bool, mirror_columns: bool, transpose: bool
) -> np.ndarray:
    """Where in a flat window (side + 1, side + 1, 4) a turned patch's values lie.

    Of shape (side * side * 4,), for a patch of packed pixels with planes R, Gr, Gb, B.

    >>> symmetric_sites(1, False, True, False).tolist()  # Gr and B do not move
    [4, 1, 6, 3]
    """
    planes = np.array(plane_order(transpose))
    rows, columns = np.arange(side)[:, None, None], np.arange(side)[:, None]
    if transpose:
        rows, columns = columns, rows
    # Mirroring moves red off its corner, which one sensor pixel further on brings back:
    # planes in the second line of the 2x2 come from lines 0 to side - 1 of the window,
    # the others from 1 to side.
    if mirror_rows:
        rows = side - rows - _IN_SECOND_ROW[planes]
    if mirror_columns:
        columns = side - columns - _IN_SECOND_COLUMN[planes]
    return ((rows * (side + 1) + columns) * 4 + planes).ravel()
