"""What dark frames show: read noise, row noise, black level, and what is fixed in them.

Frames with the lens cap on hold no light. What changes from one to the next is noise;
what stays is the sensor's own. Each part of what stays is measured on two halves of the
frames, apart: what both have in common is there, the rest is noise, and the part is
drawn towards 0 by its share of that. So subtracting it never adds noise to speak of.

Where files end at black, half of the noise in the dark is cut off, and about half of
what is fixed: a pixel a little above black raises the mean of its frames by half of
that. Both are put right by what a censored Gaussian leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import median_filter
from scipy.special import ndtri

from skadl.noise.clipped_black import (
    LEFT_AT_BLACK,
    ends_at_black,
    offset_where_clipped,
)
from skadl.noise.fixed_pattern import PatternAtIso, spread_shading
from skadl.raw.image import RawImage
from skadl.raw.lines import share_rows
from skadl.raw.mosaic import mosaic_of, unpack_mosaic
from skadl.support.robust import robust_sigma

_TAIL = 12.0  # robust standard deviations: beyond are flickering pixels
_HOT = 5.0  # standard deviations of read noise off its neighbours
_HOT_OF_MEANS = 8.0  # and so many of what the means of pixels scatter by
CELL, _MOST_CELLS = 32, 16  # packed pixels of a cell of shading; cells along a side
_SURE = 3.0  # standard errors from which what two halves share is believed
_LEAST_FOR_PIXELS = 4  # frames, from which single pixels are told from noise
_SLOPE = 0.5  # by which the mean of clipped noise rises with a small offset
_LEAST_PIXELS = 0.005  # of the read variance: a map of pixels with less is not kept


@dataclass(frozen=True, eq=False)
class DarkFigures:
    """Noise and pattern of a sensor in the dark, at one ISO, in counts."""

    iso: float
    n_frames: int
    read_noise: float  # of a pixel, row noise and rounding included
    read_noise_error: float  # of its logarithm
    row_noise: float
    offset: np.ndarray  # (4,), error of the black level of R, Gr, Gb, B
    pattern: PatternAtIso


def measure_darks(frames: Sequence[RawImage]) -> DarkFigures:
    """Measure two dark frames or more of one ISO, size and CFA pattern.

    They are read one after the other, once.
    """
    sums, counts, variances, rows = [None, None], [0, 0], [], []
    previous, at_black = None, []
    for index, frame in enumerate(frames):
        planes = _above_black(frame)
        if ends_at_black(frame):
            at_black.append(np.mean(planes <= 0, axis=(1, 2)))
        half = index % 2
        sums[half] = planes if sums[half] is None else sums[half] + planes
        counts[half] += 1
        if half:
            variance, row_variance = _noise_of(planes - previous, frame.cfa)
            variances.append(variance)
            rows.append(row_variance)
        previous = planes
    halves = [part / n for part, n in zip(sums, counts, strict=True)]
    variance, row_variance = float(np.mean(variances)), float(np.mean(rows))
    is_clipped = 2 * len(at_black) > len(frames)
    if is_clipped:
        variance /= LEFT_AT_BLACK
        row_variance /= _SLOPE**2
    read_noise = max(variance, 1e-12) ** 0.5
    n_pixels = halves[0].size
    # A variance errs by the square root of 2 over n; the mean over pairs by what they
    # scatter, where there are some.
    error = (0.5 / (n_pixels * len(variances))) ** 0.5
    if len(variances) > 1:
        logs = np.log(np.maximum(variances, 1e-12))  # frames may be equal
        scatter = np.std(logs, ddof=1) / len(variances) ** 0.5
        error = max(error, 0.5 * float(scatter))
    offset, pattern = find_pattern(halves, read_noise, frames[0].cfa, len(frames))
    if is_clipped:
        pattern = _unclipped(pattern, float(offset.mean()), read_noise)
        # Rounding puts half a count above black there too.
        share = np.clip(np.mean(at_black, axis=0), 1e-3, 1 - 1e-3)
        offset = 0.5 - read_noise * ndtri(share)
    return DarkFigures(
        float(frames[0].iso),
        len(frames),
        read_noise,
        max(error, 0.002),
        max(row_variance, 0.0) ** 0.5,
        offset,
        pattern,
    )


def find_pattern(
    halves: Sequence[np.ndarray],
    read_noise: float,
    cfa: str,
    n_frames: int,
    *,
    has_hot: bool = True,
    cell: int = CELL,
) -> tuple[np.ndarray, PatternAtIso]:
    """Find what two means of frames (4, h, w), above black, have in common.

    The offset of each plane (4,), and the pattern beside it; `has_hot` looks for hot
    pixels as well. Cells of shading are `cell` packed pixels a side, in large frames
    more.
    """
    mean = 0.5 * (halves[0] + halves[1])
    hot = _find_hot(mean, read_noise) if has_hot else np.zeros(mean.shape, bool)
    usable = ~hot
    n_usable = np.maximum(usable.sum(axis=(1, 2)), 1)
    offset = (mean * usable).sum(axis=(1, 2)) / n_usable
    rest = [np.where(usable, half - offset[:, None, None], 0.0) for half in halves]
    mean_square_error = read_noise**2 / n_frames / n_usable.mean()
    cells = [_cell_means(half, usable, cell) for half in rest]
    shading, error = _in_common(*cells)
    mean_square_error += error
    if shading.any():
        smooth = spread_shading(shading, mean.shape[1:])
        rest = [np.where(usable, half - smooth, 0.0) for half in rest]
    else:
        shading = None
    mosaics = [unpack_mosaic(half, cfa) for half in rest]
    known = unpack_mosaic(usable, cfa)
    lines = []
    for axis in (0, 1):  # columns first: they are means over rows
        n_known = np.maximum(known.sum(axis=axis), 1)
        means = [mosaic.sum(axis=axis) / n_known for mosaic in mosaics]
        line, error = _in_common(*means)
        mean_square_error += error
        lines.append(line)
        taken = np.expand_dims(line, axis)
        mosaics = [np.where(known, mosaic - taken, 0.0) for mosaic in mosaics]
    columns, rows = lines
    pixels = None
    if n_frames >= _LEAST_FOR_PIXELS:
        found, error = _in_common(*mosaics)
        if found.var() > _LEAST_PIXELS * read_noise**2:
            pixels = found
            mean_square_error += error
    flat_hot = np.flatnonzero(~known)
    pattern = PatternAtIso(
        rows, columns, shading, pixels, flat_hot, float(mean_square_error) ** 0.5
    )
    return offset, pattern


def _unclipped(pattern: PatternAtIso, mean: float, sigma: float) -> PatternAtIso:
    """Return what is fixed in frames whose clipped noise, of `sigma`, has a mean."""

    def undo(part: np.ndarray | None) -> np.ndarray | None:
        if part is None:
            return None
        both = offset_where_clipped(np.append(mean, mean + part), sigma)
        return (both[1:] - both[0]).reshape(part.shape)

    return replace(
        pattern,
        rows=undo(pattern.rows),
        columns=undo(pattern.columns),
        shading=undo(pattern.shading),
        pixels=undo(pattern.pixels),
        error=pattern.error / _SLOPE,
    )


def _above_black(frame: RawImage) -> np.ndarray:
    planes = frame.packed().astype(np.float32)
    return planes - frame.black_planes[:, None, None].astype(np.float32)


def _noise_of(difference: np.ndarray, cfa: str) -> tuple[float, float]:
    """Variance of a pixel and of a row in each of two frames, by their difference."""
    difference = difference - np.median(difference, axis=(1, 2), keepdims=True)
    sigma = max(float(robust_sigma(difference)), 1e-6)
    is_noise = np.abs(difference) < _TAIL * max(sigma, 0.5)
    cut = np.where(is_noise, difference, 0.0)
    variance = float((cut.astype(float) ** 2).sum() / is_noise.sum())
    if share_rows(len(cut)):
        # A row of the mosaic lies in R and Gr, or in Gb and B.
        means = cut.mean(axis=2).reshape(2, 2, -1).mean(axis=1)
    else:
        means = unpack_mosaic(cut, cfa).mean(axis=1)
    n_columns = mosaic_of(cfa).side * difference.shape[2]
    row_variance = means.var() - variance / n_columns
    # A row's own part is in the variance of its mean: a little more is not.
    return variance / 2, float(row_variance) / 2


def _find_hot(mean: np.ndarray, read_noise: float) -> np.ndarray:
    around = np.stack([median_filter(plane, 5, mode="nearest") for plane in mean])
    apart = np.abs(mean - around)
    scatter = float(robust_sigma(mean - around))
    return apart > max(_HOT * read_noise, _HOT_OF_MEANS * scatter)


def _cell_means(planes: np.ndarray, usable: np.ndarray, cell: int) -> np.ndarray:
    """Means over cells of the usable pixels: (4, n, m)."""
    _, height, width = planes.shape
    edges = [
        np.linspace(0, side, min(max(side // cell, 1), _MOST_CELLS) + 1).astype(int)
        for side in (height, width)
    ]

    def add_up(values: np.ndarray) -> np.ndarray:
        rows = np.add.reduceat(values.astype(float), edges[0][:-1], axis=1)
        return np.add.reduceat(rows, edges[1][:-1], axis=2)

    return add_up(planes) / np.maximum(add_up(usable), 1)


def _in_common(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, float]:
    """Find what two measurements of the same values share, and its mean square error.

    Wiener's filter, with variances by the two: their covariance is the values' own.
    """
    first, second = first - first.mean(), second - second.mean()
    shared = float(np.mean(first * second))
    error = (first.var() * second.var() + shared**2) / first.size
    mean = 0.5 * (first + second)
    if first.size < 2 or shared <= _SURE * error**0.5:
        # Nothing is subtracted; what may be there counts as error.
        return np.zeros(first.shape), max(shared, 0.0)
    part = min(shared / max(mean.var(), 1e-30), 1.0)
    return part * mean, shared * (1 - part)
