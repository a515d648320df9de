"""The photon-transfer fit: gain and read noise against ISO, and how well known.

Variance in counts is ``K * signal + read_variance`` (Eq. 3 of the paper). Each pair
gives one curve of variance against signal; all curves of a sensor are fitted
together, so that the ISOs help one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from skadl.noise.residual import LEAST_WHITE, TransferCurve

# The prior, value and standard deviation: geometric means over the eight published
# cameras of skadl.datasets, with about twice their spread (natural logarithms).
FULL_WELL = (np.log(30_000.0), 1.5)  # electrons from black to white at ISO 100
READ_ELECTRONS = (np.log(3.5), 1.5)
_GAIN_POWER = (1.0, 0.05)  # of ISO
_READ_POWER = (0.7, 0.3)
# A sensor leaves its power laws a little, and alike at neighbouring ISOs.
_GAIN_DEVIATION, _READ_DEVIATION = 0.02, 0.3
_NEIGHBOURHOOD = 1.0  # of logarithmic ISO: 1.4 stops
_BIN_ERROR = 0.1  # of a logarithmic variance; beyond it the loss grows linearly
# Errors of one bin and of a whole pair, each with the number of observations that
# the figure is worth: few pairs cannot tell how far pairs scatter.
_BIN_SCATTER = (0.05, 8.0)
_PAIR_SCATTER = (0.03, 6.0)
# What more pairs do not remove: far tails cut as hot pixels, colour bias in a bin.
_GAIN_FLOOR, _READ_FLOOR = 0.01, 0.03
# A pair disagrees if its logarithmic variances lie this far from what the other
# pairs predict, and this many times further than they can be expected to.
_LEAST_SHIFT, _MOST_SIGMAS = 0.2, 4.0


@dataclass(frozen=True, eq=False)
class TransferFit:
    """Gain and read noise at each ISO that pairs were taken at."""

    isos: np.ndarray  # (n,), rising
    gain: np.ndarray  # (n,), in counts per electron
    read_noise: np.ndarray  # (n,), in counts
    # (n,), standard errors of their natural logarithms; about 1 where pairs say nothing
    gain_error: np.ndarray
    read_noise_error: np.ndarray
    # How far one pair's variance lies from what the others predict, as a natural
    # logarithm; 0 where no pair left in the fit disagrees.
    disagreement: float


def fit_transfer(
    curves: Sequence[TransferCurve], span: float
) -> tuple[TransferFit | None, dict[int, str]]:
    """Fit gain and read noise to the curves that agree, and say which do not.

    None where no curve holds a usable bin; `left_out` gives, by position, why:
    "clipped", "picture" (the residual is no noise: misaligned, or another scene's clean
    frame) or "disagrees" (more or less noise than the others predict: a wrong ISO,
    light factor or level).

    Gain and read noise are power laws of ISO plus a deviation that is alike at
    neighbouring ISOs (an Ornstein-Uhlenbeck process in log ISO); a weak prior on
    sensors at large fills in what no pair shows. Least squares on the logarithm of the
    variance, with a soft L1 loss for the bins. Standard errors come from the scatter of
    bins and pairs around the fit, carried through it (a sandwich estimate), since the
    bins of one pair err together.

    Of the pairs that disagree the worst is left out first, then all is fitted anew;
    fewer than half can go. Of two pairs none goes: they do not tell which is wrong, so
    their disagreement counts as error.
    """
    left_out = {i: "clipped" for i, c in enumerate(curves) if not c.signal.size}
    usable = [i for i in range(len(curves)) if i not in left_out]
    if not usable:
        return None, left_out
    white = [i for i in usable if curves[i].whiteness >= LEAST_WHITE]
    if white:  # else the pictures are all there is
        left_out |= {i: "picture" for i in usable if i not in white}
        usable = white
    n_removable = (len(usable) - 1) // 2
    while True:
        solution = _solve([curves[i] for i in usable], span)
        shifts, sigmas = _misfits_to_others(solution)
        severity = np.where(np.abs(shifts) > _LEAST_SHIFT, sigmas, 0.0)
        worst = int(np.argmax(severity))
        agrees = severity[worst] <= _MOST_SIGMAS
        if agrees or not n_removable:
            break
        left_out[usable.pop(worst)] = "disagrees"
        n_removable -= 1
    disagreement = 0.0 if agrees else float(abs(shifts[worst]))
    # A good pair beside a bad one at its ISO may have looked worse than that.
    for i in [i for i, why in left_out.items() if why == "disagrees"]:
        with_it = _solve([curves[j] for j in (*usable, i)], span)
        shifts, sigmas = _misfits_to_others(with_it)
        if abs(shifts[-1]) <= _LEAST_SHIFT or sigmas[-1] <= _MOST_SIGMAS:
            del left_out[i]
            usable.append(i)
            solution = with_it
    return _summarise(solution, disagreement), dict(sorted(left_out.items()))


@dataclass(frozen=True, eq=False)
class _Solution:
    """The fit with all that its errors follow from; b bins, p parameters, n ISOs."""

    isos: np.ndarray
    gain_rows: np.ndarray  # (n, p): log gain at each ISO from the parameters
    read_rows: np.ndarray  # (n, p): log read noise
    prior: np.ndarray  # (p, p): rows of unit variance
    parameters: np.ndarray  # (p,)
    residual: np.ndarray  # (b,): of log variance
    slopes: np.ndarray  # (b, p): of log variance by the parameters
    weight: np.ndarray  # (b,): of the robust loss, in (0, 1]
    which_pair: np.ndarray  # (b,)

    @property
    def information(self) -> np.ndarray:
        """Normal matrix of the bins and the prior at the solution, (p, p)."""
        weighted = self.weight[:, None] * self.slopes
        return self.slopes.T @ weighted / _BIN_ERROR**2 + self.prior.T @ self.prior


def _solve(curves: Sequence[TransferCurve], span: float) -> _Solution:
    # Logarithms of the variance: a variance estimate errs in proportion to itself, so
    # that dark and bright bins weigh alike, and gain and read noise stay above 0.
    which_pair = np.repeat(range(len(curves)), [len(c.signal) for c in curves])
    isos, which_iso = np.unique([curve.iso for curve in curves], return_inverse=True)
    signal = np.maximum(np.concatenate([c.signal for c in curves]), 0.0)
    log_variance = np.log(np.concatenate([c.variance for c in curves]))
    # The laws pivot about the ISOs' mean, where level and power err independently.
    reference = float(np.exp(np.log(isos).mean()))
    gain_rows, read_rows = _laws(isos, reference)
    prior, centre = _prior(len(isos), span, reference)
    at = which_iso[which_pair]
    n_bins = len(signal)

    def evaluate(parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shot = np.exp(gain_rows[at] @ parameters) * signal
        read = np.exp(2 * read_rows[at] @ parameters)
        share = (shot / (shot + read))[:, None]  # of photon noise in the variance
        slopes = share * gain_rows[at] + 2 * (1 - share) * read_rows[at]
        return log_variance - np.log(shot + read), slopes

    def misfit(parameters: np.ndarray) -> np.ndarray:
        residual, _ = evaluate(parameters)
        return np.concatenate([residual / _BIN_ERROR, prior @ parameters - centre])

    def misfit_slopes(parameters: np.ndarray) -> np.ndarray:
        _, slopes = evaluate(parameters)
        return np.vstack([-slopes / _BIN_ERROR, prior])

    def loss(squares: np.ndarray) -> np.ndarray:
        rho = np.stack([squares, np.ones_like(squares), np.zeros_like(squares)])
        # Value and two derivatives: soft L1 for bins, plain squares for the prior.
        root = np.sqrt(1 + squares[:n_bins])
        rho[:, :n_bins] = 2 * (root - 1), 1 / root, -0.5 / root**3
        return rho

    start = np.linalg.solve(prior, centre)
    found = least_squares(misfit, start, misfit_slopes, loss=loss).x
    residual, slopes = evaluate(found)
    weight = 1 / np.sqrt(1 + (residual / _BIN_ERROR) ** 2)  # rho' of soft L1
    return _Solution(
        isos, gain_rows, read_rows, prior, found, residual, slopes, weight, which_pair
    )


def _laws(isos: np.ndarray, reference: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows that turn parameters into log gain and log read noise at each ISO."""
    # Level and power at the reference ISO, then a deviation at each ISO. Those are
    # correlated by exp(-distance) (Ornstein-Uhlenbeck): a Cholesky root turns n
    # independent parameters of unit variance into such deviations, and 1e-9 keeps the
    # matrix of nearly equal ISOs regular.
    log_iso = np.log(isos)
    distance = np.abs(log_iso[:, None] - log_iso)
    correlation = np.exp(-distance / _NEIGHBOURHOOD) + 1e-9 * np.eye(len(isos))
    root = np.linalg.cholesky(correlation)
    law = np.stack([np.ones(len(isos)), log_iso - np.log(reference)], axis=1)
    gain_part = np.hstack([law, _GAIN_DEVIATION * root])
    read_part = np.hstack([law, _READ_DEVIATION * root])
    nothing = np.zeros_like(gain_part)
    return np.hstack([gain_part, nothing]), np.hstack([nothing, read_part])


def _prior(n_isos: int, span: float, reference: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of unit variance and what they say: ``rows @ parameters`` is near it.

    Stated in electrons, which sensors have in common; counts depend on the converter.
    """
    read = 2 + n_isos  # where the parameters of read noise begin
    rows, centre = np.eye(2 * read), np.zeros(2 * read)
    centre[0] = np.log(span * reference / 100) - FULL_WELL[0]
    rows[read, 0] = -1.0  # read noise in electrons is that in counts over the gain
    centre[read] = READ_ELECTRONS[0]
    centre[1], centre[read + 1] = _GAIN_POWER[0], _READ_POWER[0]
    spread = np.ones(2 * read)
    spread[[0, 1]] = FULL_WELL[1], _GAIN_POWER[1]
    spread[[read, read + 1]] = READ_ELECTRONS[1], _READ_POWER[1]
    return rows / spread[:, None], centre / spread


def _misfits_to_others(solution: _Solution) -> tuple[np.ndarray, np.ndarray]:
    """Misfit of each pair to the others' fit, and the same in standard errors."""
    # Cook's case deletion, without a refit: one Newton step from the fit with a pair to
    # that without it, whose information is the whole less the pair's share. Of the
    # shift the median over bins, for motion spoils some; its error is that of the
    # others' prediction, the scatter of pairs and the noise of the pair's own bins.
    information = solution.information
    n_pairs = int(solution.which_pair.max()) + 1
    shifts, sigmas = np.zeros(n_pairs), np.zeros(n_pairs)
    for pair in range(n_pairs):
        bins = solution.which_pair == pair
        slopes, residual = solution.slopes[bins], solution.residual[bins]
        weighted = (solution.weight[bins, None] * slopes).T / _BIN_ERROR**2
        others = np.linalg.inv(information - weighted @ slopes)
        shifts[pair] = np.median(residual + slopes @ (others @ (weighted @ residual)))
        mean_slopes = slopes.mean(axis=0)
        expected = mean_slopes @ others @ mean_slopes
        expected += _PAIR_SCATTER[0] ** 2 + _BIN_ERROR**2 / bins.sum()
        sigmas[pair] = abs(shifts[pair]) / np.sqrt(expected)
    return shifts, sigmas


def _summarise(solution: _Solution, disagreement: float) -> TransferFit:
    which_pair, weight = solution.which_pair, solution.weight
    # How far bins scatter within their pair, and pairs around the line: measured, but
    # shrunk towards what is usual (an inverse-gamma prior, worth so many observations),
    # since a few pairs may agree by luck.
    total = np.bincount(which_pair, weight)
    shifts = np.bincount(which_pair, weight * solution.residual) / total
    within = solution.residual - shifts[which_pair]
    bin_prior, n_bins = _BIN_SCATTER
    bin_variance = n_bins * bin_prior**2 + (weight * within**2).sum()
    bin_variance /= n_bins + max(weight.sum() - len(total), 0)
    pair_prior, n_pairs = _PAIR_SCATTER
    pair_variance = n_pairs * pair_prior**2 + (shifts**2).sum()
    pair_variance /= n_pairs + len(shifts)
    # Sandwich estimate (Huber 1967): the inverse information is the bread, and the
    # filling what the scores really scatter by. Bins of a pair share its error (a wrong
    # light factor), so their scores are summed before they are squared. The prior's
    # rows have unit variance by definition.
    weighted = weight[:, None] * solution.slopes
    by_pair = np.zeros((len(total), weighted.shape[1]))
    np.add.at(by_pair, which_pair, weighted)
    scatter = bin_variance * weighted.T @ weighted
    scatter += pair_variance * by_pair.T @ by_pair
    scatter = scatter / _BIN_ERROR**4 + solution.prior.T @ solution.prior
    inverse = np.linalg.inv(solution.information)
    covariance = inverse @ scatter @ inverse

    def errors(rows: np.ndarray, *more: float) -> np.ndarray:
        variance = np.einsum("ij,jk,ik->i", rows, covariance, rows)
        return np.sqrt(variance + np.square(more).sum())

    return TransferFit(
        solution.isos,
        np.exp(solution.gain_rows @ solution.parameters),
        np.exp(solution.read_rows @ solution.parameters),
        errors(solution.gain_rows, _GAIN_FLOOR, disagreement),
        # Read noise is a root of its variance, and errs half as far.
        errors(solution.read_rows, _READ_FLOOR, disagreement / 2),
        disagreement,
    )
