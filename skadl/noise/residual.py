"""Noise measured on noisy/clean pairs: the photon-transfer curve.

Variance in counts is ``K * signal + read_variance`` (Eq. 3 of the paper); a pair
shows both numbers in its residual, without any dark or flat frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import least_squares

from skadl.noise.clean_noise import shares_of_clean
from skadl.noise.clipped_black import ends_at_black
from skadl.noise.signal_bins import TAIL, sort_into_bins
from skadl.raw.image import RawImage
from skadl.raw.lines import row_sums, share_rows
from skadl.raw.pair import RawPair

QUANTISATION_VARIANCE = 1 / 12  # of an error that is uniform over one count
LEAST_WHITE = 0.95  # of a residual that may count as noise
OUTLIER = 5.0  # robust standard deviations
NEARLY_WHITE = 0.98
_LARGEST_SIDE = 512  # packed pixels of a frame that are measured


@dataclass(frozen=True, eq=False)
class TransferCurve:
    """What one pair's residual says: variance against signal, and if it is noise."""

    iso: float
    signal: np.ndarray  # (n_bins,), mean above black, in counts of the noisy frame
    # (n_bins,), of the noisy frame's noise, in counts squared: of the residual, less
    # what the clean frame's own noise has in it.
    variance: np.ndarray
    # 1 for noise, which no pixel shares with its neighbours; 1 minus the correlation of
    # diagonal neighbours, which row and column noise leave alone. A misaligned or wrong
    # clean frame leaves a picture in the residual: 0.9 and less.
    whiteness: float
    offset: np.ndarray  # (4,), mean residual in counts: the error of the black level
    # Standard deviation of what a row of the mosaic shares, in counts.
    row_noise: float
    span: float  # counts of the noisy frame from mean black to white
    clean_share: float = 0.0  # of the residual's variance, that the clean frame causes

    def in_counts_of(self, span: float) -> TransferCurve:
        """Bring the curve to the counts of a file of another bit depth."""
        if span == self.span:
            return self
        scale = span / self.span
        return replace(
            self,
            signal=self.signal * scale,
            variance=self.variance * scale**2,
            offset=self.offset * scale,
            row_noise=self.row_noise * scale,
            span=span,
        )


@dataclass(frozen=True, eq=False)
class Residual:
    """Noisy minus clean at the exposure of the noisy frame, in its counts.

    Planes R, Gr, Gb, B, or nine of X-Trans; of large frames the middle. They are of
    float32, whose rounding is far below noise and takes half of the time.
    """

    iso: float  # as the noisy frame's label has it
    signal: np.ndarray  # (4, h, w), clean, above black
    residual: np.ndarray  # (4, h, w)
    clipped: np.ndarray  # (4, h, w), bool: near white in one of the frames
    at_black: np.ndarray  # (4, h, w), bool: where counts of the noisy frame end
    least_variance: float  # that rounding to counts causes
    span: float  # counts of the noisy frame from mean black to white
    # Flat positions of pixels of about equal signal, equally many in each bin, rising.
    # A bin that clipping touches is left out whole, since leaving out its clipped
    # pixels would select on the noise.
    bins: tuple[np.ndarray, ...]
    centre: np.ndarray  # (n_bins,), median of the residual
    sigma: np.ndarray  # (n_bins,), robust standard deviation of it
    # Bins left out because black is clipped in them, with what is known all the same:
    # mean signal and noise variance, of each (n, 2).
    clipped_black: np.ndarray
    holds_clean: bool = True  # whether the clean frame's noise is in it

    @cached_property
    def curve(self) -> TransferCurve:
        """What `transfer_curve` says of it."""
        return _measure_curve(self)

    @cached_property
    def known(self) -> np.ndarray:
        """1 at the pixels of the bins, 0 where clipping leaves no say; (4, h, w)."""
        return self.by_pixel(np.ones(len(self.bins)), 0.0)

    @cached_property
    def pixel_sigma(self) -> np.ndarray:
        """Sigma of each pixel's bin, 1 where it is not known; (4, h, w)."""
        return self.by_pixel(self.sigma, 1.0)

    @cached_property
    def pixel_centre(self) -> np.ndarray:
        """Centre of each pixel's bin, 0 where it is not known; (4, h, w)."""
        return self.by_pixel(self.centre, 0.0)

    @cached_property
    def clean_shares(self) -> tuple[float, np.ndarray]:
        """Part of the variance that the clean frame causes: of all, and of each bin."""
        if not self.holds_clean:
            return 0.0, np.zeros(len(self.bins))
        scores = (self.residual - self.pixel_centre) / self.pixel_sigma
        is_noise = (self.known > 0) & (np.abs(scores) < OUTLIER)
        # Within a bin signals rise.
        starts = self.signal.ravel()[[pixels[0] for pixels in self.bins]]
        return shares_of_clean(
            self.signal, self.residual, self.pixel_sigma, is_noise, starts
        )

    def by_pixel(self, figures: np.ndarray, elsewhere: float) -> np.ndarray:
        """Give each pixel the figure of its bin; (4, h, w), float32."""
        return np.append(figures, elsewhere).astype(np.float32)[self.which_bin]

    @cached_property
    def which_bin(self) -> np.ndarray:
        """Position of each pixel's bin, that behind the last where it has none."""
        planes = np.full(self.signal.size, len(self.bins), np.intp)
        for number, pixels in enumerate(self.bins):
            planes[pixels] = number
        return planes.reshape(self.signal.shape)


def measure_residual(pair: RawPair) -> Residual:
    """Subtract from a noisy frame what its clean partner lets expect.

    Lazy frames are read once. Raises ValueError if the frames differ in shape or CFA
    pattern, or hold NaN or infinity.
    """
    noisy, clean = pair.noisy, pair.clean
    noisy = noisy.with_mosaic(noisy.mosaic)  # a lazy one would be read anew
    counts, clean_counts = _check_frames(noisy, clean)
    black = noisy.black_planes
    span = noisy.span
    # In one step: of two frames with the same levels nothing is rounded.
    signal = clean_counts - clean.black_planes[:, None, None].astype(np.float32)
    signal = signal.astype(np.float32, copy=False)
    signal *= np.float32(clean.ratio / clean.span * span / noisy.ratio)
    clipped = counts >= NEARLY_WHITE * noisy.white_level
    clipped |= clean_counts >= NEARLY_WHITE * clean.white_level
    at_black = np.zeros(counts.shape, bool)
    # Floats without a level that they end at go below it, and are not clipped.
    if ends_at_black(noisy):
        at_black = counts <= np.floor(black.min())
    elif counts.dtype.kind == "u":
        at_black = counts == 0
    # Floats have no counts to round to: one 16-bit step is the least they resolve.
    step = 1.0 if counts.dtype.kind in "ui" else span / 65535
    least = QUANTISATION_VARIANCE * step**2
    residual = counts - black[:, None, None].astype(np.float32)
    residual = residual.astype(np.float32, copy=False)
    residual -= signal
    binned = sort_into_bins(None, signal, residual, clipped, at_black, least)
    return Residual(
        noisy.iso, signal, residual, clipped, at_black, least, span, **binned
    )


def only(measured: Residual, keep: np.ndarray) -> Residual:
    """Restrict a residual to some packed pixels (h, w): the others are not known."""
    kept = np.flatnonzero(np.broadcast_to(keep, measured.signal.shape))
    planes = measured.signal, measured.residual, measured.clipped, measured.at_black
    binned = sort_into_bins(kept, *planes, measured.least_variance)
    return replace(measured, **binned)


def transfer_curve(pair: RawPair | Residual) -> TransferCurve:
    """Measure the noise of one pair on its residual.

    What lies beyond twelve robust standard deviations (hot pixels, motion) is left out;
    the mean residual of a bin, such as a black-level error, is not noise. Raises as
    `measure_residual`.
    """
    return (pair if isinstance(pair, Residual) else measure_residual(pair)).curve


def _measure_curve(measured: Residual) -> TransferCurve:
    residual, sigma, known = measured.residual, measured.pixel_sigma, measured.known
    values = residual - measured.pixel_centre
    score = values / sigma  # standardised residual, 0 where clipped
    is_noise = np.abs(score) < OUTLIER
    is_noise &= known > 0
    np.clip(score, -OUTLIER, OUTLIER, out=score)
    score *= known
    flat_values, flat_signal = values.ravel(), measured.signal.ravel()
    means, variances = [], []
    for pixels, width in zip(measured.bins, measured.sigma, strict=True):
        # The robust sigma only says where to cut: read noise has heavy tails, and its
        # variance is what adds up with photon noise. Cut at five sigma, read noise
        # would come out up to a fifth too low.
        of_bin = flat_values[pixels]
        of_bin = of_bin[np.abs(of_bin) < TAIL * width]
        means.append(flat_signal[pixels].mean(dtype=float))
        variances.append(max(of_bin.var(dtype=float), measured.least_variance))
    variances = np.array(variances)
    weight = measured.by_pixel(1 / variances, 0.0)  # 0 where clipped
    weight *= is_noise
    offset, row_noise = _shared_offsets(residual, weight)
    share, shares = measured.clean_shares
    # Each plane's mean is a black-level error or a wrong ratio, not a picture.
    score -= score.mean(axis=(1, 2), keepdims=True)
    dark_means, dark_variances = measured.clipped_black.T
    return TransferCurve(
        measured.iso,
        np.concatenate([dark_means, means]),
        np.concatenate([(1 - share) * dark_variances, (1 - shares) * variances]),
        whiteness(score),
        offset,
        row_noise,
        measured.span,
        share,
    )


def noise_of_pair(
    curve: TransferCurve, gain: float, read_variance: float
) -> tuple[float, float]:
    """Measure gain and read variance on one pair, as far as it shows them.

    What is given is believed where the curve says nothing: a dark frame does not show
    the gain.
    """
    if curve.signal.size == 0:
        return gain, read_variance
    signal = np.maximum(curve.signal, 0.0)
    start = np.log([gain, read_variance])
    # Gain and read noise are taken to be right within a factor of e, a prior that a
    # single bin outweighs; the logarithm of a variance errs twice as far.
    pull = np.array([1.0, 0.5])

    def misfit(parameters: np.ndarray) -> np.ndarray:
        shot, read = np.exp(parameters)
        model = shot * signal + read
        # Relative errors, alike for dark and bright bins: two hundred pixels tell their
        # variance to 10 %. Soft L1 bears a bin that something moved in.
        return np.concatenate(
            [np.log(curve.variance / model) / 0.1, pull * (parameters - start)]
        )

    def jacobian(parameters: np.ndarray) -> np.ndarray:
        shot, read = np.exp(parameters)
        parts = np.stack([shot * signal, np.full_like(signal, read)], axis=1)
        return np.vstack([-parts / (parts.sum(axis=1)[:, None] * 0.1), np.diag(pull)])

    # Far from any sensor; the bounds only keep the exponentials finite.
    lower = np.array([-25.0, np.log(curve.variance.min()) - 6])
    upper = np.array([25.0, 50.0])
    start_inside = np.clip(start, lower + 1e-6, upper - 1e-6)
    found = least_squares(
        misfit, start_inside, jacobian, bounds=(lower, upper), loss="soft_l1"
    )
    found_gain, found_variance = np.exp(found.x)
    return float(found_gain), float(found_variance)


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
    return middle(counts, _LARGEST_SIDE), middle(clean_counts, _LARGEST_SIDE)


def middle(packed: np.ndarray, side: int) -> np.ndarray:
    """Crop planes of shape (4, h, w) to their middle, at most `side` by `side`."""
    rows, columns = (slice(max(0, (n - side) // 2), None) for n in packed.shape[1:])
    return packed[:, rows, columns][:, :side, :side]


def whiteness(score: np.ndarray) -> float:
    """1 minus the correlation of diagonal neighbours in planes of mean 0, (4, h, w).

    Diagonal, because neighbours in a row or a column share row or column noise.
    """
    power = np.mean(score**2)
    if min(score.shape[1:]) < 2 or not power > 0:
        return 1.0
    down_right = np.mean(score[:, 1:, 1:] * score[:, :-1, :-1])
    down_left = np.mean(score[:, 1:, :-1] * score[:, :-1, 1:])
    return float(1 - (down_right + down_left) / (2 * power))


def _shared_offsets(
    residual: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, float]:
    """Weighted mean of each plane, and the spread of the rows' weighted means."""
    weights, sums = (
        planes.sum(axis=2).astype(float) for planes in (weight, weight * residual)
    )  # of the rows of planes, (4, h)
    offset = sums.sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-300)
    if not share_rows(len(residual)):
        return offset, 0.0
    sums -= offset[:, None] * weights
    # A row of the mosaic lies in R and Gr, or in Gb and B.
    row_weight, row_sum = (row_sums(planes[..., None]) for planes in (weights, sums))
    known = row_weight > 0.5 * row_weight.max()
    if known.sum() < 2:
        return offset, 0.0
    # Independent noise alone gives a weighted mean the variance 1 / weight.
    means = row_sum[known] / row_weight[known]
    variance = means.var() - np.mean(1 / row_weight[known])
    return offset, float(max(variance, 0.0) ** 0.5)
