"""Which pairs have another noise than others of their sensor at that ISO.

A wrong ISO label is not seen in one pair, but beside others of the same sensor: its
photon-transfer curve lies off the line of theirs, K * signal + read_variance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from skadl.noise.residual import TransferCurve
from skadl.raw.pair import RawPair
from skadl.screening.symptoms import LEAST_BINS
from skadl.support.robust import median

LEAST_PEERS = 5  # before a pair's noise can be compared
# The prior on sensors: gain is proportional to ISO, read noise rises more
# slowly; value and standard deviation of a slope each octave, and how far it may bend.
_GAIN_SLOPE = (1.0 * np.log(2), 0.1)
_READ_SLOPE = (0.8 * np.log(2), 0.25)
_BEND = 0.15
_STIFF_BEND = 0.01  # power laws: where the first look for agreement begins
_PAIR_ERROR = 0.5  # weight of a pair against the prior; logarithm of variance
_LEAST_ERROR = 0.1  # of a prediction, for what the model leaves out
_CORE = 0.7  # part of the pairs that is taken to be right, whatever happens
_AGREES = (0.4, 2.5)  # a shift, or standard errors, with which a pair joins the core
_STIFF_ROUNDS, _MOST_ROUNDS = 4, 12


def compare_noise(
    pairs: Sequence[RawPair],
    curves: Sequence[TransferCurve],
    is_faulty: Sequence[bool],
) -> Iterator[tuple[int, float, float]]:
    """Index, shift and sigmas (see `noise_shifts`) of each pair that can be compared.

    With the other pairs of its sensor that are not faulty and not clipped nearly
    throughout, where there are `LEAST_PEERS` of them.
    """
    for sensor in dict.fromkeys(pair.sensor for pair in pairs):
        comparable = [
            i
            for i, pair in enumerate(pairs)
            if pair.sensor == sensor
            and len(curves[i].signal) >= LEAST_BINS
            and not is_faulty[i]
        ]
        if len(comparable) > LEAST_PEERS:
            span = curves[comparable[0]].span  # files may differ in bit depth
            shifts = noise_shifts([curves[i].in_counts_of(span) for i in comparable])
            yield from zip(comparable, *shifts, strict=True)


def noise_shifts(curves: Sequence[TransferCurve]) -> tuple[np.ndarray, np.ndarray]:
    """Compare each pair's noise with the line on which most of the pairs agree.

    Of n curves of one sensor: shift (n,), the natural logarithm of measured over
    expected variance, the median over bins; and sigmas (n,), the same in standard
    errors of the expectation, which grow where the others say little.
    """
    # A trimmed fit. As in FAST-LTS (Rousseeuw and Van Driessen, Data Mining and
    # Knowledge Discovery 12, 2006) the line is fitted to the 70 % of the pairs that
    # agree best, which are chosen anew until they stay the same: up to 30 % of wrong
    # labels cannot pull it. First it is stiff, a power law, or wrong labels at the ends
    # of the ISO range would bend it to themselves. Then pairs that agree within its
    # error join, and it may bend as real sensors do.
    octaves = np.log2([curve.iso for curve in curves])
    n_knots = max(2, 1 + int(np.ceil(np.ptp(octaves))))
    knots = np.linspace(octaves.min() - 0.01, octaves.max() + 0.01, n_knots)
    n_core = int(np.ceil(_CORE * len(curves)))
    line = _fit_line(curves, knots, _STIFF_BEND, _start(curves, knots))
    bins = _Bins.of(curves, knots)
    members = np.empty(0, int)
    n_rounds = 0
    while n_rounds < _MOST_ROUNDS:
        shift, sigmas = line.misfits(bins)
        chosen = np.sort(np.argsort(np.abs(shift), kind="stable")[:n_core])
        if n_rounds < _STIFF_ROUNDS and np.array_equal(chosen, members):
            n_rounds = _STIFF_ROUNDS  # the stiff line would stay as it is
        is_stiff = n_rounds < _STIFF_ROUNDS
        if not is_stiff:
            agree = (np.abs(shift) < _AGREES[0]) | (np.abs(sigmas) < _AGREES[1])
            chosen = np.union1d(chosen, np.flatnonzero(agree))
        if n_rounds > _STIFF_ROUNDS and np.array_equal(chosen, members):
            break
        members = chosen
        bend = _STIFF_BEND if is_stiff else _BEND
        line = _fit_line([curves[i] for i in members], knots, bend, line.parameters)
        n_rounds += 1
    return line.misfits(bins)


@dataclass(frozen=True, eq=False)
class _Bins:
    """All bins of some curves: see `_columns`."""

    signal: np.ndarray  # (b,)
    log_variance: np.ndarray  # (b,)
    hats: np.ndarray  # (b, k)
    ends: np.ndarray  # where the bins of the next curve begin

    @staticmethod
    def of(curves: Sequence[TransferCurve], knots: np.ndarray) -> _Bins:
        ends = np.cumsum([len(curve.signal) for curve in curves])[:-1]
        return _Bins(*_columns(curves, knots), ends)


@dataclass(frozen=True, eq=False)
class _Line:
    """Log gain and log read noise at the knots, with the covariance of both."""

    knots: np.ndarray  # (k,) log2 of ISO
    parameters: np.ndarray  # (2 k,)
    covariance: np.ndarray  # (2 k, 2 k)

    def misfits(self, bins: _Bins) -> tuple[np.ndarray, np.ndarray]:
        """Shift and sigmas of each curve: medians over its bins."""
        expected, slopes = _expect(self.parameters, bins.signal, bins.hats)
        # Variance of the prediction: the parameters' covariance, propagated.
        error = ((slopes @ self.covariance) * slopes).sum(axis=1)
        shift = bins.log_variance - expected
        sigmas = shift / np.sqrt(error + _LEAST_ERROR**2)
        both = np.split(np.stack([shift, sigmas]), bins.ends, axis=1)
        medians = np.array([median(part, axis=1) for part in both])
        return medians[:, 0], medians[:, 1]


def _fit_line(
    curves: Sequence[TransferCurve], knots: np.ndarray, bend: float, start: np.ndarray
) -> _Line:
    # Log gain and log read noise are piecewise linear in log ISO, a knot an octave, and
    # the prior on how both rise and bend adds rows to the same least squares.
    signal, log_variance, hats = _columns(curves, knots)
    # Bins of one pair err together (a wrong light factor, say): many count as one.
    n_bins = np.concatenate([np.full(len(c.signal), len(c.signal)) for c in curves])
    weight = 1 / (_PAIR_ERROR * np.sqrt(n_bins))
    step = knots[1] - knots[0]
    rise, curl = (np.diff(np.eye(len(knots)), order, axis=0) for order in (1, 2))
    nothing = np.zeros_like(rise)
    prior = np.vstack(
        [
            np.hstack([rise, nothing]) / (step * _GAIN_SLOPE[1]),
            np.hstack([nothing, rise]) / (step * _READ_SLOPE[1]),
            np.kron(np.eye(2), curl) / (step**2 * bend),
            # Next to nothing, towards the start: keeps the fit bounded without data.
            np.eye(2 * len(knots)) * 0.03,
        ]
    )
    slopes = [slope / error for slope, error in (_GAIN_SLOPE, _READ_SLOPE)]
    centre = np.concatenate(
        [np.repeat(slopes, len(rise)), np.zeros(2 * len(curl)), 0.03 * start]
    )

    def misfit(parameters: np.ndarray) -> np.ndarray:
        expected, _ = _expect(parameters, signal, hats)
        return np.concatenate(
            [(log_variance - expected) * weight, prior @ parameters - centre]
        )

    def jacobian(parameters: np.ndarray) -> np.ndarray:
        _, slopes = _expect(parameters, signal, hats)
        return np.vstack([-slopes * weight[:, None], prior])

    found = least_squares(misfit, start, jacobian, loss="soft_l1", max_nfev=30).x
    # Gauss-Newton covariance: the rows have unit variance.
    rows = jacobian(found)
    return _Line(knots, found, np.linalg.inv(rows.T @ rows))


def _columns(
    curves: Sequence[TransferCurve], knots: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signal and log variance of all bins, and how much each knot counts for them."""
    signal = np.maximum(np.concatenate([curve.signal for curve in curves]), 0.0)
    log_variance = np.log(np.concatenate([curve.variance for curve in curves]))
    isos = np.concatenate([np.full(len(c.signal), c.iso) for c in curves])
    step = knots[1] - knots[0]
    distance = np.abs(np.log2(isos)[:, None] - knots) / step
    return signal, log_variance, np.maximum(0.0, 1 - distance)  # (b,), (b,), (b, k)


def _expect(
    parameters: np.ndarray, signal: np.ndarray, hats: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log variance of each bin, and its derivative by the parameters."""
    log_gain, log_read = parameters.reshape(2, -1)
    shot, read = np.exp(hats @ log_gain) * signal, np.exp(2 * hats @ log_read)
    share = (shot / (shot + read))[:, None]  # d log(a + b) = a / (a + b) d log a + ...
    return np.log(shot + read), np.hstack([share * hats, 2 * (1 - share) * hats])


def _start(curves: Sequence[TransferCurve], knots: np.ndarray) -> np.ndarray:
    """Power laws of the prior's slopes through the middle of what the bins allow."""
    # A bin whose variance is all shot noise has the gain variance / signal, a dark one
    # would blow that up: its signal counts as no less than its noise. Read noise is
    # near the lowest tenth of the variances.
    signal, log_variance, hats = _columns(curves, knots)
    octaves = hats @ knots
    rise = octaves - octaves.mean()
    variance = np.exp(log_variance)
    shot = log_variance - _GAIN_SLOPE[0] * rise
    gain = np.median(shot - np.log(np.maximum(signal, variance**0.5)))
    read = 0.5 * np.quantile(log_variance - 2 * _READ_SLOPE[0] * rise, 0.1)
    rise = knots - octaves.mean()
    return np.concatenate([gain + _GAIN_SLOPE[0] * rise, read + _READ_SLOPE[0] * rise])
