"""Blocks of a mosaic by frequency, and how much structure they show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn

from skadl.noise.residual import NEARLY_WHITE
from skadl.raw.image import RawImage
from skadl.raw.mosaic import (
    align_blocks,
    aligned,
    crop_to_blocks,
    mosaic_of,
    plane_views,
)

_BLOCK = 8  # side of a block, in packed pixels
_MOST_BLOCKS = 16_384  # positions that are looked at, spread over the frame
_LEAST_BLOCKS = 48
_MOST_BINS, _BLOCKS_IN_BIN = 12, 60  # of brightness, of each plane
_MOST_CLIPPED = 0.1  # of a bin's blocks
_REGIONS = (2, 4)  # of the frame
N_REGIONS = _REGIONS[0] * _REGIONS[1]

_FREQUENCY = np.add.outer(range(_BLOCK), range(_BLOCK))
# Without the first row and column, where row and column noise lie.
_INNER = np.pad(np.ones((_BLOCK - 1, _BLOCK - 1), bool), ((1, 0), (1, 0)))
_HIGH = _INNER & (_FREQUENCY >= _BLOCK)
_MIDDLE = _INNER & (_FREQUENCY >= 3) & ~_HIGH
# The middle ones of the plane that is measured: one half chooses, the other tells.
_CHOOSING = _MIDDLE & (_FREQUENCY % 2 == 1)
_TELLING = _MIDDLE & ~_CHOOSING
N_HIGH, _N_MIDDLE, _N_CHOOSING = int(_HIGH.sum()), _MIDDLE.sum(), _CHOOSING.sum()


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks at n positions in all planes; energies are means over coefficients."""

    signal: np.ndarray  # (4, n), mean above black, in counts
    high: np.ndarray  # (4, n), of the highest frequencies, counts squared
    choosing: np.ndarray  # (4, n), of half of the middle ones
    telling: np.ndarray  # (4, n), of the other half
    middle: np.ndarray  # (4, n, k), coefficients of the middle ones, in counts
    usable: np.ndarray  # (4, n): not clipped
    which_bin: np.ndarray  # (4, n), by brightness in each plane; -1: in none
    n_bins: int
    region: np.ndarray  # (n,), of the frame


def cut_blocks(image: RawImage) -> Blocks:
    """Take blocks from all over a mosaic; ValueError if there are too few."""
    own = mosaic_of(image.cfa)
    mosaic = align_blocks(crop_to_blocks(image.mosaic, own.name), own.name)
    views = plane_views(mosaic, aligned(own.name))
    n_rows, n_columns = (side // _BLOCK for side in views[0].shape)
    if n_rows * n_columns < _LEAST_BLOCKS:
        height, width = image.mosaic.shape
        raise ValueError(
            f"the image of {height}x{width} pixels is too small: it takes "
            f"{_LEAST_BLOCKS} blocks of {own.side * _BLOCK}x{own.side * _BLOCK}"
        )
    step = max(1.0, (n_rows * n_columns / _MOST_BLOCKS) ** 0.5)
    rows = np.arange(0, n_rows, step).astype(int)
    columns = np.arange(0, n_columns, step).astype(int)
    shape = (own.n_planes, len(rows) * len(columns))
    signal, high, choosing, telling = (np.zeros(shape) for _ in range(4))
    middle = np.zeros((*shape, _N_MIDDLE), np.float32)
    clipped = np.zeros(shape, bool)
    for plane, (view, black) in enumerate(zip(views, image.black_planes, strict=True)):
        grid = view[: n_rows * _BLOCK, : n_columns * _BLOCK]
        grid = grid.reshape(n_rows, _BLOCK, n_columns, _BLOCK)[rows][:, :, columns]
        counts = grid.transpose(0, 2, 1, 3).reshape(-1, _BLOCK, _BLOCK)
        beyond = (counts >= black + NEARLY_WHITE * image.span) | ~np.isfinite(counts)
        if counts.dtype.kind == "u":  # floats below zero are noise, not clipped
            beyond |= counts == 0
        clipped[plane] = beyond.any(axis=(1, 2))
        counts = counts.astype(np.float32) - np.float32(black)
        counts[clipped[plane]] = 0.0
        signal[plane] = counts.mean(axis=(1, 2))
        transformed = dctn(counts, axes=(1, 2), norm="ortho")
        middle[plane] = transformed[:, _MIDDLE]
        for energy, part in (
            (high, _HIGH),
            (choosing, _CHOOSING),
            (telling, _TELLING),
        ):
            energy[plane] = np.mean(transformed[:, part] ** 2, axis=1)
    region = np.add.outer(
        np.arange(len(rows)) * _REGIONS[0] // len(rows) * _REGIONS[1],
        np.arange(len(columns)) * _REGIONS[1] // len(columns),
    )
    which_bin, n_bins = _bin_by_brightness(signal, clipped)
    return Blocks(
        signal,
        high,
        choosing,
        telling,
        middle,
        ~clipped,
        which_bin,
        n_bins,
        region.ravel(),
    )


def _bin_by_brightness(
    signal: np.ndarray, clipped: np.ndarray
) -> tuple[np.ndarray, int]:
    """Bins of about equally many blocks; those that clipping touches are left out.

    Their blocks without a clipped pixel are there by the luck of their noise.
    """
    which_bin, n_bins = np.full(signal.shape, -1), 0
    for plane in range(len(signal)):
        good = np.flatnonzero(~clipped[plane])
        order = good[np.argsort(signal[plane, good], kind="stable")]
        n_parts = max(1, min(_MOST_BINS, len(order) // _BLOCKS_IN_BIN))
        for part in np.array_split(order, n_parts):
            if len(part) >= _BLOCKS_IN_BIN // 2:
                which_bin[plane, part] = n_bins
                n_bins += 1
    if n_bins == 0:
        raise ValueError("nearly all of the image is clipped at black or white")
    return which_bin, n_bins


def structure(blocks: Blocks, variance: np.ndarray) -> np.ndarray:
    """Energy of each block over that of noise, (4, n), without what is measured on it.

    Of the plane itself half of the middle frequencies, of the others all.
    """
    own = blocks.choosing * _N_CHOOSING / variance
    telling = blocks.telling * (_N_MIDDLE - _N_CHOOSING) / variance
    whole = (own + telling + blocks.high * N_HIGH / variance) * blocks.usable
    degrees = (_N_MIDDLE + N_HIGH) * blocks.usable
    others = whole.sum(axis=0) - whole
    n_others = degrees.sum(axis=0) - degrees
    return (others + own) / (n_others + _N_CHOOSING)


def shared_structure(blocks: Blocks, variance: np.ndarray, weight: np.ndarray) -> float:
    """Largest correlation of two planes' middle frequencies, blocks weighted (4, n)."""
    scaled = blocks.middle / np.sqrt(variance)[:, :, None]
    largest = 0.0
    for first in range(len(scaled)):
        for second in range(first):
            both = np.sqrt(weight[first] * weight[second])
            used = both > 0
            w, a, b = both[used], scaled[first, used], scaled[second, used]
            if len(w) < _LEAST_BLOCKS // 2:
                continue
            power = (w @ (a**2).mean(axis=1)) * (w @ (b**2).mean(axis=1))
            correlation = w @ (a * b).mean(axis=1) / max(power, 1e-300) ** 0.5
            # Two planes of few blocks correlate by chance.
            chance = np.sqrt((w**2).sum() / _N_MIDDLE) / w.sum()
            largest = max(largest, correlation - chance)
    return float(largest)
