"""Noise measured on noisy/clean pairs: the photon-transfer curve.

Variance in counts is ``K * signal + read_variance`` (Eq. 3 of the paper); a pair
shows both numbers in its residual, without any dark or flat frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from skadl.levels import normalise
from skadl.records import RawImage, RawPair

N_BINS = 16
MIN_PIXELS_IN_BIN = 64
QUANTISATION_VARIANCE = 1 / 12
LEAST_WHITE = 0.95  # of a residual that may count as noise
_MAD_TO_SIGMA = 1.4826
_OUTLIER = 5.0  # robust standard deviations
NEARLY_WHITE = 0.98
MOST_CLIPPED = 0.01  # share of the pixels that a statistic is taken over
_LARGEST_SIDE = 512  # packed pixels of a frame that are measured


@dataclass(frozen=True, eq=False)
class TransferCurve:
    """What one pair's residual says: variance against signal, and if it is noise.

    Parameters
    ----------
    iso : float
    signal : ndarray of shape (n_bins,)
        Mean signal above black, in counts of the noisy frame.
    variance : ndarray of shape (n_bins,)
        Of the residual, in counts squared.
    whiteness : float
        1 for noise, which no pixel shares with its neighbours; 1 minus the
        correlation of diagonal neighbours, which row and column noise leave alone.
        A misaligned or wrong clean frame leaves a picture in the residual: 0.9 and
        less.
    offset : ndarray of shape (4,)
        Mean residual of the planes R, Gr, Gb, B, in counts: the error of the black
        level.
    row_noise : float
        Standard deviation of what a row of the mosaic shares, in counts.
    """

    iso: float
    signal: np.ndarray
    variance: np.ndarray
    whiteness: float
    offset: np.ndarray
    row_noise: float


@dataclass(frozen=True)
class NoiseFit:
    """Noise of a sensor as power laws of ISO, fitted on transfer curves.

    Parameters
    ----------
    log_gain : float
        Natural logarithm of K in counts per electron at `iso`.
    log_read : float
        Natural logarithm of the read noise in counts at `iso`.
    gain_power, read_power : float
        Exponents of ISO; 1 where the pairs do not determine them.
    iso : float
        Reference ISO.
    """

    log_gain: float
    log_read: float
    gain_power: float
    read_power: float
    iso: float

    def at(self, iso: float) -> tuple[float, float]:
        """Return gain (counts per electron) and read variance (counts squared)."""
        stops = np.log(iso / self.iso)
        gain = np.exp(self.log_gain + self.gain_power * stops)
        read = np.exp(self.log_read + self.read_power * stops)
        return float(gain), float(read**2)


def transfer_curve(pair: RawPair) -> TransferCurve:
    """Measure the residual of one pair: noisy minus clean at the same exposure.

    Parameters
    ----------
    pair : RawPair
        Of large frames the middle is measured.

    Returns
    -------
    TransferCurve
        Bins hold equal numbers of pixels. A bin that clipping touches is left out
        whole, since leaving out its clipped pixels would select on the noise; what
        lies beyond five robust standard deviations (hot pixels, motion) is left
        out; the mean residual of a bin, such as a black-level error, is not noise.

    Raises
    ------
    ValueError
        If the frames differ in shape or CFA pattern, or hold NaN or infinity.
    """
    noisy, clean = pair.noisy, pair.clean
    counts, clean_counts = _check_frames(noisy, clean)
    black = noisy.black_planes
    span = noisy.white_level - black.mean()
    signal = normalise(clean_counts, clean.black_planes, clean.white_level, clean.ratio)
    signal = signal.astype(float) * (span / noisy.ratio)
    residual = counts - black[:, None, None] - signal
    clipped = counts >= NEARLY_WHITE * noisy.white_level
    if counts.dtype.kind == "u":  # floats below zero are noise, not clipped
        clipped |= counts == 0
    clipped |= clean_counts >= NEARLY_WHITE * clean.white_level
    # Floats have no counts to round to: one 16-bit step is the least they resolve.
    step = 1.0 if counts.dtype.kind in "ui" else span / 65535
    least = QUANTISATION_VARIANCE * step**2
    score = np.zeros(residual.size)  # standardised residual, 0 where clipped
    weight = np.zeros(residual.size)  # inverse variance, 0 where clipped
    means, variances = [], []
    n_bins = max(1, min(N_BINS, residual.size // MIN_PIXELS_IN_BIN))
    for pixels in np.array_split(np.argsort(signal, axis=None, kind="stable"), n_bins):
        if clipped.flat[pixels].mean() > MOST_CLIPPED:
            continue
        means.append(signal.flat[pixels].mean())
        variance, score[pixels] = _standardise(residual.flat[pixels], least)
        weight[pixels] = (np.abs(score[pixels]) < _OUTLIER) / variance
        variances.append(variance)
    weight = weight.reshape(residual.shape)
    offset, row_noise = _shared_offsets(residual, weight)
    return TransferCurve(
        noisy.iso,
        np.array(means),
        np.array(variances),
        _whiteness(score.reshape(residual.shape)),
        offset,
        row_noise,
    )


def fit_noise(
    curves: Sequence[TransferCurve], prior: NoiseFit | None = None
) -> NoiseFit | None:
    """Fit gain and read noise to transfer curves, robust against odd pairs.

    Parameters
    ----------
    curves : sequence of TransferCurve
        Of pairs of one sensor, at one or more ISOs.
    prior : NoiseFit, optional
        What to believe where the curves say nothing (a single dark frame does not
        show the gain); it weighs as much as one bin.

    Returns
    -------
    NoiseFit or None
        None where no curve holds a usable bin.

    Notes
    -----
    Least squares on the logarithm of the variance with a soft L1 loss, so that a
    misaligned pair pulls no harder than a good one.
    """
    isos = np.concatenate([np.full(len(c.signal), c.iso) for c in curves])
    signal = np.concatenate([c.signal for c in curves])
    variance = np.concatenate([c.variance for c in curves])
    if signal.size == 0:
        return None
    signal = np.maximum(signal, 0.0)
    reference = float(np.exp(np.log(isos).mean())) if prior is None else prior.iso
    stops = np.log(isos / reference)
    if prior is None:
        dark = variance.min()
        bright = np.median(variance / np.maximum(signal, variance**0.5))
        start = np.array([np.log(bright), 0.5 * np.log(dark), 1.0, 1.0])
        # Exponents: proportional to ISO within a half unless the pairs object.
        pull = np.array([0.05, 0.05, 2.0, 2.0])
    else:
        start = np.array(
            [prior.log_gain, prior.log_read, prior.gain_power, prior.read_power]
        )
        pull = np.array([1.0, 1.0, 20.0, 20.0])

    def misfit(parameters: np.ndarray) -> np.ndarray:
        log_gain, log_read, gain_power, read_power = parameters
        model = np.exp(log_gain + gain_power * stops) * signal
        model += np.exp(2 * (log_read + read_power * stops))
        return np.concatenate(
            [np.log(variance / model) / 0.1, pull * (parameters - start)]
        )

    lower = np.array([-25.0, 0.5 * np.log(variance.min()) - 3, -0.5, -0.5])
    upper = np.array([25.0, 25.0, 2.5, 2.5])
    found = least_squares(
        misfit,
        np.clip(start, lower + 1e-6, upper - 1e-6),
        bounds=(lower, upper),
        loss="soft_l1",
    ).x
    return NoiseFit(*(float(value) for value in found), reference)


def _check_frames(noisy: RawImage, clean: RawImage) -> tuple[np.ndarray, np.ndarray]:
    """Packed counts of the middle of both frames, which must fit together."""
    counts, clean_counts = noisy.packed(), clean.packed()
    if counts.shape != clean_counts.shape or noisy.cfa != clean.cfa:
        raise ValueError(
            f"{noisy!r} and its clean frame differ: packed shapes {counts.shape} and "
            f"{clean_counts.shape}, CFA {noisy.cfa} and {clean.cfa}; give frames of "
            "one size and pattern."
        )
    if not (np.isfinite(counts).all() and np.isfinite(clean_counts).all()):
        raise ValueError(
            f"{noisy!r} or its clean frame holds NaN or infinity; repair or leave out "
            "that pair."
        )
    return _middle(counts), _middle(clean_counts)


def _middle(packed: np.ndarray) -> np.ndarray:
    rows, columns = (
        slice(max(0, (side - _LARGEST_SIDE) // 2), None) for side in packed.shape[1:]
    )
    return packed[:, rows, columns][:, :_LARGEST_SIDE, :_LARGEST_SIDE]


def _standardise(residual: np.ndarray, least: float) -> tuple[float, np.ndarray]:
    """Variance of a bin without outliers, and the residual in its robust sigmas."""
    deviation = residual - np.median(residual)
    sigma = _MAD_TO_SIGMA * np.median(np.abs(deviation))
    sigma = max(sigma, least**0.5)
    score = np.clip(deviation / sigma, -_OUTLIER, _OUTLIER)
    return max(residual[np.abs(score) < _OUTLIER].var(), least), score


def _whiteness(score: np.ndarray) -> float:
    # Each plane's mean is a black-level error or a wrong ratio, not a picture.
    score = score - score.mean(axis=(1, 2), keepdims=True)
    down_right = np.mean(score[:, 1:, 1:] * score[:, :-1, :-1])
    down_left = np.mean(score[:, 1:, :-1] * score[:, :-1, 1:])
    power = np.mean(score**2)
    return float(1 - (down_right + down_left) / (2 * power)) if power > 0 else 1.0


def _shared_offsets(
    residual: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, float]:
    """Weighted mean of each plane, and the spread of the rows' weighted means."""
    total = weight.sum(axis=(1, 2))
    offset = (weight * residual).sum(axis=(1, 2)) / np.maximum(total, 1e-300)
    residual = residual - offset[:, None, None]
    # A row of the mosaic lies in R and Gr, or in Gb and B.
    row_weight = weight.reshape(2, 2, *weight.shape[1:]).sum(axis=(1, 3))
    row_sum = (weight * residual).reshape(2, 2, *weight.shape[1:]).sum(axis=(1, 3))
    known = row_weight > 0.5 * row_weight.max()
    if known.sum() < 2:
        return offset, 0.0
    # Independent noise alone gives a weighted mean the variance 1 / weight.
    means = row_sum[known] / row_weight[known]
    variance = means.var() - np.mean(1 / row_weight[known])
    return offset, float(max(variance, 0.0) ** 0.5)
