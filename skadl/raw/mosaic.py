"""The Bayer mosaic: its four CFA patterns, packing and common geometry.

Packed means four half-size planes in the order R, Gr, Gb, B, where Gr is the
green that shares its rows with red. Every function here takes and returns
plain arrays; the records that carry levels and sensor live in
:mod:`skadl.raw.image`.
"""

from __future__ import annotations

import numpy as np

CFA_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")  # top-left 2x2 in reading order
N_PLANES = 4

# (row, column) of the R, Gr, Gb and B sites inside the 2x2 pattern.
_SITES = {
    "RGGB": ((0, 0), (0, 1), (1, 0), (1, 1)),
    "BGGR": ((1, 1), (1, 0), (0, 1), (0, 0)),
    "GRBG": ((0, 1), (0, 0), (1, 1), (1, 0)),
    "GBRG": ((1, 0), (1, 1), (0, 0), (0, 1)),
}


def check_cfa(cfa: str) -> str:
    """Return the CFA pattern, or refuse one that is not of the four Bayer orders."""
    if cfa not in CFA_PATTERNS:
        raise ValueError(
            f"CFA pattern {cfa!r} is not a Bayer order; use one of "
            f"{', '.join(CFA_PATTERNS)} (top-left 2x2 in reading order)."
        )
    return cfa


def plane_views(mosaic: np.ndarray, cfa: str) -> list[np.ndarray]:
    """Return views of the planes R, Gr, Gb, B of a mosaic.

    >>> [int(plane[0, 0]) for plane in plane_views(np.array([[1, 2], [3, 4]]), "BGGR")]
    [4, 3, 2, 1]
    """
    return [mosaic[row::2, column::2] for row, column in _SITES[check_cfa(cfa)]]


def sites_of(mosaic: np.ndarray) -> list[np.ndarray]:
    """Return views of the four sites of the CFA pattern, in reading order."""
    return [mosaic[row::2, column::2] for row in (0, 1) for column in (0, 1)]


def pack_bayer(mosaic: np.ndarray, cfa: str) -> np.ndarray:
    """Separate a mosaic (2 h, 2 w) into fresh planes R, Gr, Gb, B (4, h, w).

    >>> pack_bayer(np.array([[1, 2], [3, 4]]), "BGGR").ravel()
    array([4, 3, 2, 1])
    """
    check_cfa(cfa)
    mosaic = np.asarray(mosaic)
    if mosaic.ndim != 2 or mosaic.shape[0] % 2 or mosaic.shape[1] % 2:
        raise ValueError(
            f"A mosaic to pack has shape (H, W) with even sides, got {mosaic.shape}; "
            "use pad_to_even first."
        )
    return np.stack(plane_views(mosaic, cfa))


def unpack_bayer(packed: np.ndarray, cfa: str) -> np.ndarray:
    """Put planes (4, h, w) back into a mosaic (2 h, 2 w): undo `pack_bayer`.

    >>> unpack_bayer(np.arange(4).reshape(4, 1, 1), "GRBG")
    array([[1, 0],
           [3, 2]])
    """
    check_cfa(cfa)
    packed = np.asarray(packed)
    if packed.ndim != 3 or packed.shape[0] != N_PLANES:
        raise ValueError(
            f"Packed planes have shape (4, h, w) in the order R, Gr, Gb, B, "
            f"got {packed.shape}."
        )
    mosaic = np.empty((2 * packed.shape[1], 2 * packed.shape[2]), packed.dtype)
    for plane, view in zip(packed, plane_views(mosaic, cfa), strict=True):
        view[:] = plane
    return mosaic


def sample_rgb(rgb: np.ndarray, cfa: str) -> np.ndarray:
    """Keep of a picture (H, W, 3) at each site its colour: a mosaic (H, W).

    >>> sample_rgb(np.broadcast_to([1, 2, 3], (2, 3, 3)), "GRBG")
    array([[2, 1, 2],
           [3, 2, 3]])
    """
    mosaic = np.empty(rgb.shape[:2], rgb.dtype)
    colours = (0, 1, 1, 2)  # of the planes R, Gr, Gb, B
    planes = zip(plane_views(mosaic, cfa), plane_views(rgb, cfa), colours, strict=True)
    for plane, picture, colour in planes:
        plane[:] = picture[..., colour]
    return mosaic


def spread_planes(values: np.ndarray, cfa: str, shape: tuple[int, int]) -> np.ndarray:
    """Lay out one value for each plane R, Gr, Gb, B over a mosaic of any shape.

    >>> spread_planes(np.array([1, 2, 3, 4]), "BGGR", (1, 3))
    array([[4, 3, 4]])
    """
    mosaic = np.empty(shape, values.dtype)
    for value, view in zip(values, plane_views(mosaic, cfa), strict=True):
        view[:] = value
    return mosaic


def row_sums(planes: np.ndarray) -> np.ndarray:
    """Add up the mosaic rows of planes (4, h, w): (2, h), red's rows and blue's.

    >>> row_sums(np.array([[[1, 1]], [[2, 2]], [[3, 3]], [[4, 4]]]))
    array([[ 6],
           [14]])
    """
    return planes.sum(axis=2).reshape(2, 2, -1).sum(axis=1)


def column_sums(planes: np.ndarray) -> np.ndarray:
    """Add up the mosaic columns of planes (4, h, w): (2, w), red's and blue's."""
    return planes.sum(axis=1).reshape(2, 2, -1).sum(axis=0)


def crop_to_even(mosaic: np.ndarray) -> np.ndarray:
    """Return a view without the last row or column of an odd side: whole 2x2 alone."""
    height, width = mosaic.shape
    return mosaic[: height - height % 2, : width - width % 2]


def pad_to_even(mosaic: np.ndarray) -> np.ndarray:
    """Add a mirrored row or column where a side is odd; the mosaic itself elsewhere.

    >>> pad_to_even(np.arange(6).reshape(2, 3))
    array([[0, 1, 2, 1],
           [3, 4, 5, 4]])
    """
    odd_rows, odd_columns = mosaic.shape[0] % 2, mosaic.shape[1] % 2
    if not (odd_rows or odd_columns):
        return mosaic
    # Mirrored about the last line, which is not repeated: the CFA goes on.
    return np.pad(mosaic, ((0, odd_rows), (0, odd_columns)), mode="reflect")


def of_mosaic(packed: slice, length: int) -> slice:
    """Turn a slice of packed pixels, of `length` in all, into one of the mosaic.

    >>> of_mosaic(np.s_[1:], 4)
    slice(2, 8, None)
    """
    start, stop, _ = packed.indices(length)
    return slice(2 * start, 2 * stop)


def mirrored_axes(cfa: str) -> tuple[int, ...]:
    """Return along which axes (-2 rows, -1 columns) a pattern is RGGB mirrored.

    >>> mirrored_axes("RGGB"), mirrored_axes("GRBG")
    ((), (-1,))
    """
    red_row, red_column = _SITES[check_cfa(cfa)][0]
    return tuple(axis for axis, odd in ((-2, red_row), (-1, red_column)) if odd)


def to_rggb_geometry(packed, cfa: str):
    """Mirror planes (..., h, w), array or tensor, so that sites lie as in RGGB.

    A network that sees the planes of a BGGR mosaic sees red half a pixel below
    and right of blue, the opposite of RGGB. Mirroring rows, columns or both is
    exact, loses no pixel and is its own inverse.

    >>> to_rggb_geometry(np.arange(4).reshape(1, 2, 2), "BGGR")[0]
    array([[3, 2],
           [1, 0]])
    """
    axes = mirrored_axes(cfa)
    if not axes:
        return packed
    if isinstance(packed, np.ndarray):
        return np.flip(packed, axes)  # a view
    return packed.flip(axes)
