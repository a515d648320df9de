"""Row noise of one frame: what all pixels of a row of the mosaic share, found in it.

Row noise is drawn anew in each frame, so no dark frame tells it, and a network that
sees a patch cannot tell a row that is brighter from a line of the picture. A whole row
can: noise is the same all along it, a picture is not. Each pixel is compared with those
above and below it in its plane, each part of a row by itself; where the parts disagree
there is a picture, and little or nothing is taken off.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded

from skadl.support.robust import median

_REACH = 4  # rows of a plane, above and below, that a row is compared with
_PART = 16  # packed pixels: least length of the parts of a row
_MOST_PARTS = 32
_LEAST_PARTS = 4  # which tell a picture from row noise
_HUBER = 2.5  # standard deviations of noise, from which a difference is cut
_STRIP, _OVERLAP = 384, 16  # rows that are solved for at a time
_LEAST_EVIDENCE = 5.0  # of logarithmic likelihood, over a frame without row noise
# Parts of the row noise that is told: a frame may have less of it, never more.
_SHARES = (1.0, 0.5, 0.25, 0.1, 0.03)


def row_offsets(
    read: Callable[[slice], np.ndarray],
    sides: tuple[int, int],
    shot: float,
    read_variance: float,
    row_variance: float,
) -> tuple[np.ndarray, float]:
    """Estimate what each row of a mosaic has in common: (2, h), and its variance.

    First row of the result: that of R and Gr; second: that of Gb and B. `read` gives
    rows of the planes (4, n, w), black at 0, of a frame of `sides` (h, w). The variance
    of a pixel is ``shot * signal + read_variance``, that of a row, in the same units
    squared, at most `row_variance`; it is what the frame bears out. Offsets are drawn
    towards 0 by the error of the estimate, so that hardly any noise is added.
    """
    height, width = sides
    result = np.zeros((2, height))
    n_parts = _count_parts(width)
    if height <= 2 * _REACH or n_parts < _LEAST_PARTS or not row_variance > 0:
        return result, 0.0
    strips = []
    for rows, core in _strips(height):
        planes = read(rows)
        signal = np.maximum(planes.mean(axis=2, dtype=float), 0.0)
        variance = shot * signal + max(read_variance, 1e-20)
        for index, pair in enumerate((slice(0, 2), slice(2, 4))):
            part = _Strip(*_misfits(planes[pair], variance[pair]))
            strips.append((index, rows, core, part))
    evidence = [
        sum(part.log_likelihood(share * row_variance) for *_, part in strips)
        for share in (*_SHARES, 0.0)
    ]
    best = int(np.argmax(evidence))
    if evidence[best] - evidence[-1] < _LEAST_EVIDENCE:
        return result, 0.0
    found = _SHARES[best] * row_variance
    for index, rows, core, part in strips:
        result[index, rows][core] = part.offsets(found)[core]
    return result, found


class _Strip:
    """Some rows: how far each lies off its neighbours, and why it may."""

    def __init__(
        self, misfit: np.ndarray, texture: np.ndarray, pixel: np.ndarray
    ) -> None:
        self._misfit, self._differences = misfit, _differences(len(misfit))
        # Covariance of the misfits, that of row noise of variance 1 apart.
        self._by_rows = _covariance_of_rows(len(misfit))
        self._by_pixels = _covariance(self._differences, pixel)
        # What the mean of the differences does not determine must not be singular.
        self._by_pixels[0] += texture + 0.01 * pixel

    def offsets(self, row_variance: float) -> np.ndarray:
        """Mean of what rows share, after what was seen."""
        weights = cho_solve_banded(self._factor(row_variance), self._misfit)
        spread = self._differences * weights[:, None]  # (h, 2 * _REACH + 1)
        total = np.zeros(len(weights) + 2 * _REACH)
        for place, part in enumerate(spread.T):
            total[place : place + len(part)] += part
        return row_variance * total[_REACH:-_REACH]

    def log_likelihood(self, row_variance: float) -> float:
        """Of the misfits, if rows share offsets of this variance."""
        factor = self._factor(row_variance)
        log_det = 2 * np.log(factor[0][0]).sum()
        weights = cho_solve_banded(factor, self._misfit)
        return -0.5 * (log_det + (self._misfit * weights).sum())

    def _factor(self, row_variance: float) -> tuple[np.ndarray, bool]:
        seen = row_variance * self._by_rows + self._by_pixels
        return cholesky_banded(seen, lower=True), True


def _strips(height: int) -> list[tuple[slice, slice]]:
    """Cut rows into strips that overlap, each with the part of it that counts."""
    strips = []
    for start in range(0, height, _STRIP):
        stop = min(start + _STRIP, height)
        first, last = max(start - _OVERLAP, 0), min(stop + _OVERLAP, height)
        strips.append((slice(first, last), slice(start - first, stop - first)))
    return strips


@lru_cache(maxsize=8)
def _covariance_of_rows(height: int) -> np.ndarray:
    return _covariance(_differences(height), np.ones(height))


@lru_cache(maxsize=8)
def _differences(height: int) -> np.ndarray:
    """Weights (h, 2 * _REACH + 1) of rows from `_REACH` above to as many below.

    Of what a row differs by from the mean of those about it, mirrored at the border.
    """
    rows = np.arange(height)
    weights = np.zeros((height, 2 * _REACH + 1))
    weights[:, _REACH] = 1.0
    for distance in range(1, _REACH + 1):
        for neighbours in (np.abs(rows - distance), rows + distance):
            beyond = neighbours >= height
            neighbours = np.where(beyond, 2 * (height - 1) - neighbours, neighbours)
            np.add.at(weights, (rows, neighbours - rows + _REACH), -1 / (2 * _REACH))
    return weights


def _covariance(differences: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Covariance of differences of rows of these variances, as its lower diagonals.

    A full matrix takes a hundred times as long, and threads that wait for each other.
    """
    height, width = differences.shape
    scaled = np.zeros(differences.shape)
    for place in range(width):
        rows = slice(max(0, _REACH - place), height - max(0, place - _REACH))
        beside = slice(rows.start + place - _REACH, rows.stop + place - _REACH)
        scaled[rows, place] = differences[rows, place] * variance[beside]
    diagonals = np.zeros((width, height))
    for below in range(min(width, height)):
        products = (
            differences[below:, : width - below] * scaled[: height - below, below:]
        )
        diagonals[below, : height - below] = products.sum(axis=1)
    return diagonals


def _misfits(
    planes: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far rows lie off their neighbours (h,), and the variances of two causes.

    Of the picture in it (h,), and of pixels' noise in the mean of a row (h,).
    """
    _, height, width = planes.shape
    padded = np.pad(planes, ((0, 0), (_REACH, _REACH), (0, 0)), mode="reflect")
    # Of the four rows above and the four below, from sums of two.
    twos = padded[:, :-1] + padded[:, 1:]
    fours = twos[:, :-2] + twos[:, 2:]
    misfit = fours[:, :height] + fours[:, _REACH + 1 : _REACH + 1 + height]
    misfit *= -1 / (2 * _REACH)
    misfit += planes
    power = 1 + 1 / (2 * _REACH)
    # Edges of the picture, against the typical place of the row: row noise itself must
    # not be cut.
    centre = median(misfit, axis=2)[:, :, None]
    limit = (_HUBER * np.sqrt(power * variance)[:, :, None]).astype(misfit.dtype)
    misfit = np.clip(misfit, centre - limit, centre + limit)
    # Both planes show the same picture: together they are one witness, not two.
    misfit = misfit.mean(axis=0).astype(float, copy=False)
    edges = np.linspace(0, width, _count_parts(width) + 1).astype(int)
    parts = np.add.reduceat(misfit, edges[:-1], axis=1) / np.diff(edges)
    mean = parts.mean(axis=1)
    apart = parts - mean[:, None]
    n_parts = parts.shape[1]
    # The variance of a mean of parts, of which neighbours may show the same thing.
    spread = np.sum(apart**2, axis=1)
    spread += 2 * np.maximum(np.sum(apart[:, 1:] * apart[:, :-1], axis=1), 0)
    spread /= n_parts * (n_parts - 1)
    # The spread of few parts is uncertain: that of the rows around has a say.
    kernel = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9
    spread = np.maximum(spread, np.convolve(spread, kernel, mode="same"))
    pixel = variance.mean(axis=0) / (len(planes) * width)
    return mean, np.maximum(spread - power * pixel, 0.0), pixel


def _count_parts(width: int) -> int:
    return int(np.clip(width // _PART, 1, _MOST_PARTS))
