"""Noise estimated from one photograph alone: blind photon transfer.

Small blocks of each plane are taken apart by a cosine transform. White noise spreads
evenly over all frequencies and is independent between them and between planes, while
a picture fades towards the highest and is much the same in all planes. So the
smoothest blocks are found by their middle frequencies and their other planes, and the
noise is measured on the highest frequencies of the plane itself: choosing blocks so
does not bias what is measured on them. What structure is left there is taken off, in
the proportion to the middle frequencies that less smooth blocks show. The line
``variance = K * signal + read_variance`` is then fitted over brightness.

What the planes still share in the smoothest blocks is structure: it widens the error,
and beyond a limit the image is said not to tell its noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from skadl.noise.photon_transfer import FULL_WELL, READ_ELECTRONS
from skadl.noise.residual import QUANTISATION_VARIANCE
from skadl.noise.smooth_blocks import (
    N_HIGH,
    N_REGIONS,
    Blocks,
    cut_blocks,
    shared_structure,
    structure,
)
from skadl.raw.image import RawImage

_LEAST_IN_BIN = 12  # smooth blocks
_LEAST_SHARE = 0.1  # of a bin's blocks that are taken, smooth or not
_SMOOTH, _TEXTURED = 1.05, 4.0  # energy of a block over that of noise
_OUTLIER = 4.0  # times the median energy: hot pixels, edges
_ROUNDS = 5
# Share of structure at the highest frequencies to that at the middle ones, and how far
# it may lie from there, where blocks do not tell.
_LEAKAGE = (0.35, 0.25)
_MOST_LEAKAGE = 0.9
# Relative errors of a variance that more blocks do not remove: of one bin, of all.
_BIN_FLOOR, _FLOOR = 0.03, 0.05
_PLANE_GAIN = 0.1  # by which the gain of a plane may lie off that of all
# Share of the middle frequencies that planes have in common: what chance gives, how
# much the logarithm of the variance errs for each share beyond, and where that is no
# bound any more (fine sand shows 40 %, and fifty times its noise).
_CHANCE, _ERROR_OF_SHARE, _MOST_SHARED = 0.05, 2.0, 0.33


@dataclass(frozen=True)
class BlindNoise:
    """Noise of one image, in its counts, as far as the image alone tells it."""

    gain: float  # in counts per electron
    read_noise: float  # in counts
    gain_error: float  # standard errors of the natural logarithms
    read_noise_error: float
    signal: float  # median of the image above black, in counts, at least 0
    sigma: float  # standard deviation of the noise there
    sigma_error: float  # of its natural logarithm


class HiddenNoiseError(ValueError):
    """An image has less noise than fine structure, which hides it."""


def typical_noise(image: RawImage) -> tuple[float, float]:
    """Gain and read noise, in counts, of a typical sensor of these levels and ISO."""
    gain, read_noise = np.exp(np.linalg.solve(*_prior(image)))
    return float(gain), max(float(read_noise), rounding_variance(image) ** 0.5)


def estimate_noise(image: RawImage) -> BlindNoise:
    """Estimate gain and read noise of a mosaic from its own smooth parts.

    A weak prior on sensors at large fills in what the image leaves open, such as the
    read noise of a bright one; the error says so. Row noise is not in it. Raises
    ValueError, with the reason, where the image does not tell: it is too small or
    clipped; `HiddenNoiseError` where it is structured everywhere.
    """
    blocks = cut_blocks(image)
    least = rounding_variance(image)
    line = _Line(least, *_prior(image))
    variance = _first_guess(blocks, least)
    for _ in range(_ROUNDS):
        score = structure(blocks, variance)
        bins = _measure(blocks, variance, score)
        leakage, leakage_error = _leakage(bins)
        points = _variances(bins, leakage, leakage_error)
        found = line.fit(*points)
        variance = line.at(found, blocks.signal)
    weight = _block_weights(blocks, bins, *points)
    shared = shared_structure(blocks, variance, weight) - _CHANCE
    if shared > _MOST_SHARED:
        raise HiddenNoiseError(
            "the image is full of fine structure, which cannot be told from noise"
        )
    # One region of the frame after the other is left out (the jackknife): what
    # remains of one scatters as the whole does.
    without = []
    for region in range(N_REGIONS):
        keep = np.arange(N_REGIONS) != region
        part = _variances(bins, leakage, leakage_error, keep)
        without.append(line.fit(*part) if len(part[0]) else found)
    deviations = np.array(without) - found
    scatter = (N_REGIONS - 1) / N_REGIONS * deviations.T @ deviations
    shift = max(shared, 0.0) * _ERROR_OF_SHARE
    covariance = line.covariance + scatter
    gain, read_noise = np.exp(found)
    signal = max(float(np.median(blocks.signal[blocks.usable])), 0.0)
    sigma2 = gain * signal + read_noise**2
    by = np.array([gain * signal, 2 * read_noise**2]) / sigma2
    common = _FLOOR**2 + shift**2
    # Planes that differ in gain, as where a camera scales them, look like read noise.
    darkest = np.maximum(np.quantile(points[0], 0.1), 0.0)
    planes = _PLANE_GAIN * gain * darkest / (2 * read_noise**2)
    return BlindNoise(
        float(gain),
        float(read_noise),
        float((covariance[0, 0] + common) ** 0.5),
        float((covariance[1, 1] + common / 4 + planes**2) ** 0.5),
        signal,
        float(sigma2**0.5),
        float((by @ covariance @ by + common) ** 0.5 / 2),
    )


def rounding_variance(image: RawImage) -> float:
    """Return the least variance that the counts of an image can have."""
    # Floats have no counts to round to: one 16-bit step is the least they resolve.
    step = 1.0 if image.mosaic.dtype.kind in "ui" else image.span / 65535
    return QUANTISATION_VARIANCE * step**2


@dataclass(frozen=True, eq=False)
class _Bins:
    """Sums over the blocks of each bin: (b, 2 groups, regions), smooth and less so."""

    count: np.ndarray
    signal: np.ndarray
    high: np.ndarray
    high_squared: np.ndarray
    telling: np.ndarray
    model: np.ndarray
    smooth: np.ndarray  # (4, n): which blocks were taken


def _first_guess(blocks: Blocks, least: float) -> np.ndarray:
    """Variance at each block by the quietest blocks of its bin, (4, n)."""
    guess = np.ones(blocks.signal.shape)
    for index in range(blocks.n_bins):
        inside = blocks.which_bin == index
        guess[inside] = max(np.quantile(blocks.high[inside], 0.2), least)
    return guess


def _measure(blocks: Blocks, variance: np.ndarray, score: np.ndarray) -> _Bins:
    names = ("count", "signal", "high", "high_squared", "telling", "model")
    sums = {name: np.zeros((blocks.n_bins, 2, N_REGIONS)) for name in names}
    taken = np.zeros(blocks.signal.shape, bool)
    for index in range(blocks.n_bins):
        plane, at = np.nonzero(blocks.which_bin == index)
        scores, high = score[plane, at], blocks.high[plane, at]
        n_least = min(len(at), max(_LEAST_IN_BIN, int(_LEAST_SHARE * len(at))))
        limit = max(_SMOOTH, np.sort(scores)[n_least - 1])
        smooth = scores <= limit
        rougher = ~smooth & (scores < max(_TEXTURED, 2 * limit))
        taken[plane[smooth], at[smooth]] = True
        high = np.minimum(high, _OUTLIER * np.median(high[smooth]))
        values = np.array(
            [
                np.ones(len(at)),
                blocks.signal[plane, at],
                high,
                high**2,
                blocks.telling[plane, at],
                variance[plane, at],
            ]
        )
        for group, chosen in enumerate((smooth, rougher)):
            region = blocks.region[at[chosen]]
            for name, value in zip(names, values[:, chosen], strict=True):
                total = np.bincount(region, value, N_REGIONS)
                sums[name][index, group] = total
    return _Bins(**sums, smooth=taken)


def _leakage(bins: _Bins) -> tuple[float, float]:
    """Share of structure at the highest frequencies to that at the middle ones.

    By how far both rise from the smooth blocks to the less smooth ones.
    """
    count = bins.count.sum(axis=2)
    both = (count >= _LEAST_IN_BIN).all(axis=1)
    model = bins.model.sum(axis=2)[both]
    high, telling = (x.sum(axis=2)[both] / model for x in (bins.high, bins.telling))
    rise, run = high[:, 1] - high[:, 0], telling[:, 1] - telling[:, 0]
    prior, spread = _LEAKAGE
    weight = np.where(run > 0.1, np.minimum(1.0, 3.0 / np.maximum(run, 0.1)) ** 2, 0.0)
    # The prior is worth one bin whose two groups differ by half of the noise.
    total = (weight * run**2).sum() + 0.25
    slope = ((weight * rise * run).sum() + 0.25 * prior) / total
    error = max(spread * (0.25 / total) ** 0.5, 0.1)
    return float(np.clip(slope, 0.0, _MOST_LEAKAGE)), float(error)


def _variances(
    bins: _Bins,
    leakage: float,
    leakage_error: float,
    keep: slice | np.ndarray = np.s_[:],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signal, variance without structure and its standard error, of the bins."""
    count = bins.count[:, 0, keep].sum(axis=1)
    known = count >= _LEAST_IN_BIN / 2
    n = count[known]

    def mean(total: np.ndarray) -> np.ndarray:
        return total[:, 0, keep].sum(axis=1)[known] / n

    high = mean(bins.high)
    excess = np.maximum(mean(bins.telling) - high, 0.0)  # of structure: 1 - leakage
    scatter = np.maximum(mean(bins.high_squared) - high**2, high**2 * 2 / N_HIGH)
    ratio = leakage / (1 - leakage)
    error = np.sqrt(
        scatter / n * (1 + ratio) ** 2
        + (excess * leakage_error / (1 - leakage) ** 2) ** 2
        + (_BIN_FLOOR * high) ** 2
    )
    return mean(bins.signal), high - ratio * excess, error


def _block_weights(
    blocks: Blocks,
    bins: _Bins,
    signal: np.ndarray,
    variance: np.ndarray,
    error: np.ndarray,
) -> np.ndarray:
    """Weigh each block as the fit does, (4, n)."""
    count = bins.count[:, 0].sum(axis=1)
    by_bin = np.zeros(blocks.n_bins + 1)  # the last: of blocks in none
    known = np.flatnonzero(count >= _LEAST_IN_BIN / 2)
    known_to = np.maximum(variance, 0) / np.maximum(error, 1e-30)
    by_bin[known] = known_to**2 / count[known]
    return by_bin[blocks.which_bin] * bins.smooth


def _prior(image: RawImage) -> tuple[np.ndarray, np.ndarray]:
    """Rows of unit variance on log gain and log read noise, and their centre."""
    rows = np.array([[1.0, 0.0], [-1.0, 1.0]])  # gain; read noise in electrons
    spread = np.array([FULL_WELL[1], READ_ELECTRONS[1]])
    centre = np.log(image.span * image.iso / 100) - FULL_WELL[0], READ_ELECTRONS[0]
    return rows / spread[:, None], np.array(centre) / spread


class _Line:
    """Variance against signal by the logarithms of gain and read noise."""

    def __init__(self, least: float, rows: np.ndarray, centre: np.ndarray) -> None:
        self.least, self.rows, self.centre = least, rows, centre
        self.covariance = np.eye(2)

    def at(self, parameters: np.ndarray, signal: np.ndarray) -> np.ndarray:
        gain, read_noise = np.exp(parameters)
        return np.maximum(gain * np.maximum(signal, 0) + read_noise**2, self.least)

    def fit(
        self, signal: np.ndarray, variance: np.ndarray, error: np.ndarray
    ) -> np.ndarray:
        """Least squares with a soft L1 loss, which bears a bin full of structure."""
        light = np.maximum(signal, 0)
        bound = np.maximum(error, _BIN_FLOOR * self.least)  # where nothing varies

        def misfit(parameters: np.ndarray) -> np.ndarray:
            gain, read_noise = np.exp(parameters)
            off = (variance - gain * light - read_noise**2) / bound
            off = np.sign(off) * np.sqrt(2 * (np.sqrt(1 + off**2) - 1))
            return np.concatenate([off, self.rows @ parameters - self.centre])

        low = np.array([-25.0, np.log(self.least) / 2])
        start = np.linalg.solve(self.rows, self.centre)
        start = np.clip(start, low + 1e-3, 24.0)
        solution = least_squares(misfit, start, bounds=(low, 25.0), x_scale=1.0)
        self.covariance = np.linalg.inv(solution.jac.T @ solution.jac)
        return solution.x
