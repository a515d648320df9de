"""Symmetries of a mosaic: mirrored and transposed, it is one of its kind again.

A symmetry is three flags: mirror rows, mirror columns, then transpose. Which of the
eight are lawful, and what they do to the planes, is in the `Mosaic`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from skadl.raw.mosaic import Mosaic, common_pattern, mosaic_of

AS_IT_IS = (False, False, False)
ENSEMBLE_SIZES = (1, 2, 4, 8)
# Upside down first, then quarter turns, then mirror images: as many as a size says are
# a group, and the mean over them of a turned mosaic is the turned mean.
_IN_ORDER = (
    AS_IT_IS,
    (True, True, False),
    (False, True, True),
    (True, False, True),
    (False, True, False),
    (True, False, False),
    (False, False, True),
    (True, True, True),
)


def turn(
    mosaic: np.ndarray,
    mirror_rows: bool,
    mirror_columns: bool,
    transpose: bool,
    margin: int = 1,
) -> np.ndarray:
    """View a mosaic in common geometry under a symmetry, again as one.

    `margin` is that of the `Mosaic`. Of mosaics whose blocks are alike.

    >>> turn(np.array([[0, 1, 0, 1], [2, 3, 2, 3]]), False, True, False)
    array([[0, 1],
           [2, 3]])
    """
    height, width = mosaic.shape
    if mirror_rows:
        mosaic = mosaic[margin : height - margin][::-1]
    if mirror_columns:
        mosaic = mosaic[:, margin : width - margin][:, ::-1]
    return mosaic.T if transpose else mosaic


def view_symmetries(cfa: str) -> tuple[tuple[bool, bool, bool], ...]:
    """Return the symmetries under which `turn` shows a mosaic."""
    own = mosaic_of(cfa)
    return tuple(s for s in own.symmetries if own.transposes_blocks or not s[2])


def ensemble(cfa: str, size: int) -> tuple[tuple[bool, bool, bool], ...]:
    """Choose symmetries to average over: `size` of them, or all that there are.

    >>> ensemble("RGGB", 2)
    ((False, False, False), (True, True, False))
    """
    lawful = view_symmetries(cfa)
    return tuple(s for s in _IN_ORDER if s in lawful)[:size]


def plane_order(
    own: Mosaic, mirror_rows: bool, mirror_columns: bool, transpose: bool
) -> list[int]:
    """Which of the planes take their places under a symmetry.

    >>> plane_order(mosaic_of("RGGB"), True, False, True)  # transposing swaps greens
    [0, 2, 1, 3]
    """
    places = _places(own, 1, mirror_rows, mirror_columns, transpose)
    return places[2].tolist()


@lru_cache(maxsize=16)
def symmetric_sites(
    own: Mosaic, side: int, mirror_rows: bool, mirror_columns: bool, transpose: bool
) -> np.ndarray:
    """Where in a flat window (side + 1, side + 1, C) a turned patch's values lie.

    Of shape (side * side * C,), for a patch of packed pixels with C planes.

    >>> bayer = mosaic_of("RGGB")
    >>> symmetric_sites(bayer, 1, False, True, False).tolist()  # Gr and B do not move
    [4, 1, 6, 3]
    """
    rows, columns, planes = _places(
        own, side, mirror_rows, mirror_columns, transpose
    )  # (side, n_planes) twice, (n_planes,)
    if transpose:
        rows, columns = rows[None], columns[:, None]
    else:
        rows, columns = rows[:, None], columns[None]
    return ((rows * (side + 1) + columns) * own.n_planes + planes).ravel()


def _places(
    own: Mosaic, side: int, mirror_rows: bool, mirror_columns: bool, transpose: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and column in the window of each place and plane, and the planes there."""
    mosaic = mosaic_of(common_pattern(own.name))
    sites = np.array(mosaic.sites)
    if transpose and mosaic.transposes_blocks:
        sites = sites[:, ::-1]
    # Sensor pixels of the window along the sides of what is not yet transposed.
    lines = mosaic.side * np.arange(side)[:, None, None] + sites  # (side, n_planes, 2)
    last = mosaic.side * (side + 1) - 1 - mosaic.margin
    for axis, mirror in enumerate((mirror_rows, mirror_columns)):
        if mirror:
            lines[..., axis] = last - lines[..., axis]
    blocks, within = np.divmod(lines, mosaic.side)
    plane_at = {site: plane for plane, site in enumerate(mosaic.sites)}
    planes = np.array([plane_at[tuple(site)] for site in within[0].tolist()])
    return blocks[..., 0], blocks[..., 1], planes
