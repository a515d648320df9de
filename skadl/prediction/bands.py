"""Frames in bands of rows: they stay in cache, and threads share them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

Result = TypeVar("Result")
BAND_BYTES = 2**21  # of four planes of a band in float32
_MOST_THREADS = 8  # that memory serves


def each_band(work: Callable[[slice], Result], height: int, width: int) -> list[Result]:
    """Do something with the rows of every band of a frame; results from top to bottom.

    Sides in packed pixels. On as many threads as torch uses, or 8: NumPy lets them run
    beside one another.

    >>> each_band(lambda rows: (rows.start, rows.stop), height=100, width=2000)
    [(0, 65), (65, 100)]
    """
    n_rows = max(BAND_BYTES // (16 * width), 1)
    bands = [
        slice(start, min(start + n_rows, height)) for start in range(0, height, n_rows)
    ]
    if len(bands) == 1:
        return [work(bands[0])]
    with ThreadPoolExecutor(count_threads()) as threads:
        return list(threads.map(work, bands))


def row_unit(side: int) -> tuple[type, int]:
    """Return a dtype that moves float32 of a block's row, and how many a row has of it.

    Two values that lie beside one another in a Bayer mosaic move as a complex number.
    """
    return (np.complex64, 1) if side == 2 else (np.float32, side)


def count_threads() -> int:
    """Return how many bands are worked on at a time: as torch uses threads, or 8."""
    return min(torch.get_num_threads(), _MOST_THREADS)
