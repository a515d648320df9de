"""Small pictures of frames for a notebook, without any library for pictures."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from skadl.raw.tone import fitting_exposure, grey_world, linear_rgb, srgb_bytes

_LONGEST = 192  # pixels of the longer side


def shrink(packed: np.ndarray) -> np.ndarray:
    """Average blocks of packed counts (4, h, w) to the size of a thumbnail."""
    block = -(-max(packed.shape[1:]) // _LONGEST)
    return average_blocks(packed, block, np.float64)


def average_blocks(
    planes: np.ndarray, block: int, dtype: DTypeLike | None = None
) -> np.ndarray:
    """Average blocks of block x block values of each plane; what is over is cut off.

    `dtype` is that of the means, as in `np.mean`.

    >>> average_blocks(np.arange(8.0).reshape(1, 2, 4), 2).tolist()
    [[[2.5, 4.5]]]
    """
    n_planes, height, width = planes.shape
    rows, columns = min(block, height), min(block, width)
    planes = planes[:, : height - height % rows, : width - width % columns]
    shape = (n_planes, height // rows, rows, width // columns, columns)
    return planes.reshape(shape).mean(axis=(2, 4), dtype=dtype)


def thumbnails(frames: Sequence[np.ndarray]) -> list[str]:
    """Turn planes (4, h, w), black at 0, into PNG addresses for ``src`` of an image.

    All are shown alike, as fits the last one. What is not finite is black.
    """
    pictures = [np.nan_to_num(linear_rgb(f), posinf=0.0, neginf=0.0) for f in frames]
    balance = grey_world(pictures[-1])
    factors = fitting_exposure(pictures[-1], balance) * np.array(balance)
    return [_png_address(srgb_bytes(picture, factors)) for picture in pictures]


def _png_address(rgb: np.ndarray) -> str:
    height, width, _ = rgb.shape
    # Each row begins with the number of its filter: 0, none.
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = rgb.reshape(height, -1)
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows.tobytes(), 9)),
            (b"IEND", b""),
        )
    )
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
