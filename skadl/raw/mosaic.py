"""The Bayer mosaic: its four CFA patterns, packing and common geometry.

Packed means four half-size planes in the order R, Gr, Gb, B, where Gr is the
green that shares its rows with red. Every function here takes and returns
plain arrays; the records that carry levels and sensor live in
:mod:`skadl.raw.image`.
"""

from __future__ import annotations

import numpy as np

CFA_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")

# (row, column) of the R, Gr, Gb and B sites inside the 2x2 pattern.
_SITES = {
    "RGGB": ((0, 0), (0, 1), (1, 0), (1, 1)),
    "BGGR": ((1, 1), (1, 0), (0, 1), (0, 0)),
    "GRBG": ((0, 1), (0, 0), (1, 1), (1, 0)),
    "GBRG": ((1, 0), (1, 1), (0, 0), (0, 1)),
}


def check_cfa(cfa: str) -> str:
    """Refuse a CFA pattern that is not one of the four Bayer orders.

    Parameters
    ----------
    cfa : str
        Top-left 2x2 of the mosaic in reading order.

    Returns
    -------
    str
        The same pattern.

    Raises
    ------
    ValueError
        If `cfa` is not "RGGB", "BGGR", "GRBG" or "GBRG".
    """
    if cfa not in CFA_PATTERNS:
        raise ValueError(
            f"CFA pattern {cfa!r} is not a Bayer order; use one of "
            f"{', '.join(CFA_PATTERNS)} (top-left 2x2 in reading order)."
        )
    return cfa


def pack_bayer(mosaic: np.ndarray, cfa: str) -> np.ndarray:
    """Separate a mosaic into its four colour planes.

    Parameters
    ----------
    mosaic : ndarray of shape (H, W)
        H and W even.
    cfa : str
        One of "RGGB", "BGGR", "GRBG", "GBRG".

    Returns
    -------
    ndarray of shape (4, H // 2, W // 2)
        Planes R, Gr, Gb, B in a fresh array of the dtype of `mosaic`.

    Raises
    ------
    ValueError
        If `mosaic` is not two-dimensional, has an odd side, or `cfa` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> pack_bayer(np.array([[1, 2], [3, 4]]), "BGGR").ravel()
    array([4, 3, 2, 1])
    """
    sites = _SITES[check_cfa(cfa)]
    mosaic = np.asarray(mosaic)
    if mosaic.ndim != 2 or mosaic.shape[0] % 2 or mosaic.shape[1] % 2:
        raise ValueError(
            f"A mosaic to pack has shape (H, W) with even sides, got {mosaic.shape}; "
            "use pad_to_even first."
        )
    return np.stack([mosaic[row::2, column::2] for row, column in sites])


def unpack_bayer(packed: np.ndarray, cfa: str) -> np.ndarray:
    """Put four colour planes back into a mosaic: the inverse of `pack_bayer`.

    Parameters
    ----------
    packed : ndarray of shape (4, h, w)
        Planes R, Gr, Gb, B.
    cfa : str
        Pattern of the mosaic to build.

    Returns
    -------
    ndarray of shape (2 * h, 2 * w)

    Raises
    ------
    ValueError
        If `packed` does not have four planes or `cfa` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> unpack_bayer(np.arange(4).reshape(4, 1, 1), "GRBG")
    array([[1, 0],
           [3, 2]])
    """
    sites = _SITES[check_cfa(cfa)]
    packed = np.asarray(packed)
    if packed.ndim != 3 or packed.shape[0] != 4:
        raise ValueError(
            f"Packed planes have shape (4, h, w) in the order R, Gr, Gb, B, "
            f"got {packed.shape}."
        )
    mosaic = np.empty((2 * packed.shape[1], 2 * packed.shape[2]), packed.dtype)
    for plane, (row, column) in zip(packed, sites, strict=True):
        mosaic[row::2, column::2] = plane
    return mosaic


def pad_to_even(mosaic: np.ndarray) -> np.ndarray:
    """Add a mirrored row or column where a side is odd, keeping the CFA phase.

    Parameters
    ----------
    mosaic : ndarray of shape (H, W)
        At least 2 pixels a side.

    Returns
    -------
    ndarray of shape (H + H % 2, W + W % 2)
        `mosaic` itself where both sides are even already.

    Examples
    --------
    >>> import numpy as np
    >>> pad_to_even(np.arange(6).reshape(2, 3))
    array([[0, 1, 2, 1],
           [3, 4, 5, 4]])
    """
    odd_rows, odd_columns = mosaic.shape[0] % 2, mosaic.shape[1] % 2
    if not (odd_rows or odd_columns):
        return mosaic
    return np.pad(mosaic, ((0, odd_rows), (0, odd_columns)), mode="reflect")


def mirrored_axes(cfa: str) -> tuple[int, ...]:
    """Return along which axes a pattern is RGGB mirrored.

    Parameters
    ----------
    cfa : str

    Returns
    -------
    tuple of int
        From the end: -2 for rows, -1 for columns.

    Examples
    --------
    >>> mirrored_axes("RGGB"), mirrored_axes("GRBG")
    ((), (-1,))
    """
    red_row, red_column = _SITES[check_cfa(cfa)][0]
    return tuple(axis for axis, odd in ((-2, red_row), (-1, red_column)) if odd)


def to_rggb_geometry(packed, cfa: str):
    """Mirror packed planes so that their sites lie as in an RGGB mosaic.

    A network that sees the planes of a BGGR mosaic sees red half a pixel below
    and right of blue, the opposite of RGGB. Mirroring rows, columns or both is
    exact, loses no pixel and is its own inverse.

    Parameters
    ----------
    packed : ndarray or Tensor of shape (..., h, w)
        Planes R, Gr, Gb, B of a mosaic with pattern `cfa`.
    cfa : str
        Pattern of the mosaic that the planes came from.

    Returns
    -------
    ndarray or Tensor of shape (..., h, w)
        A view (ndarray) or a copy (Tensor), in RGGB geometry; apply the function
        again to go back.

    Examples
    --------
    >>> import numpy as np
    >>> to_rggb_geometry(np.arange(4).reshape(1, 2, 2), "BGGR")[0]
    array([[3, 2],
           [1, 0]])
    """
    axes = mirrored_axes(cfa)
    if not axes:
        return packed
    if isinstance(packed, np.ndarray):
        return np.flip(packed, axes)
    return packed.flip(axes)
