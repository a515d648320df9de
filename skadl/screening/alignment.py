"""How far the noisy frame lies off its clean one: sub-pixel shifts under noise.

Phase correlation finds where to look, least squares in units of the noise where the
shift is to the hundredth of a pixel, and how well that is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.registration import phase_cross_correlation

from skadl.noise.residual import (
    OUTLIER,
    Residual,
    middle,
    noise_of_pair,
)
from skadl.raw.mosaic import mosaic_of, pack_mosaic, unpack_mosaic
from skadl.screening.moving import move, slope_along
from skadl.screening.symptoms import (
    LEAST_BINS,
    brightness_slope,
    grid_sums,
    is_hot,
    without_offsets,
)
from skadl.support.robust import median, robust_sigma

_LEAST_SIDE = 16  # packed pixels that a shift can be told on
_FARTHEST = 0.25  # of the side: less overlap proves nothing
_MOST_DIMMED = 1.2  # logarithm of brightness, beyond which it is another picture
# Logarithm of likelihood by which a far shift must win. Chance alone reaches it once in
# e^12 = 160,000, and a peak is the best of up to 16,000 positions.
_LEAST_GAIN = 12.0
# Of the gain that a far shift lets expect, what it must bring. Half a pixel left over
# takes half of it, light that drifts over a smooth scene brings a tenth.
_LEAST_KEPT = 0.2
_EDGE_ERROR = 0.1  # of an interpolated value, relative to the step to the next pixel
_MOST_UNSURE = 1.5  # pixels; smooth scenes fit anywhere, and tell no shift
_STEP = 0.25  # packed pixels, of a derivative
_SMALL = 0.4  # packed pixels, for which one step is right
_N_ROUNDS = 6


@dataclass(frozen=True)
class Shift:
    """How far the noisy frame lies below and to the right of the clean one.

    In pixels of the mosaic; all 0 and the error infinite where nothing can be told.
    """

    rows: float = 0.0
    columns: float = 0.0
    error: float = np.inf  # standard error of either
    sigmas: float = 0.0  # length of the shift in its standard errors
    # Mean square of what the shift leaves in the residual, relative to the noise's.
    energy: float = 0.0

    @property
    def length(self) -> float:
        """In pixels of the mosaic."""
        return float(np.hypot(self.rows, self.columns))


@dataclass(frozen=True, eq=False)
class Aligned:
    """What is left of a residual once shift and brightness are accounted for.

    Planes are of shape (4, h, w), in counts.
    """

    shift: Shift
    slope: float  # how much brighter the noisy frame is than its light factor says
    slope_error: float
    signal: np.ndarray  # clean, above black, as it lies in the residual
    # Noisy minus the moved and brightened clean frame, without the mean of planes, rows
    # and columns.
    residual: np.ndarray
    sigma: np.ndarray  # of the noise
    known: np.ndarray  # 1; 0 at clipped and hot pixels and at the border


def align(measured: Residual, cfa: str, side: int, least_sigmas: float) -> Aligned:
    """Find shift and brightness of a noisy frame relative to its clean one.

    `side` packed pixels in the middle are looked at. Shifts of less than `least_sigmas`
    are stated but not applied.
    """
    sigma = _graded_sigma(measured)
    planes = (sigma, measured.known, measured.residual, measured.signal)
    # A fit of parts of a pixel adds up what nearly cancels.
    sigma, known, residual, signal = (middle(x, side).astype(float) for x in planes)
    known = known * ~is_hot(residual, sigma)
    still = _remainder(residual, signal, sigma, known)
    if len(measured.bins) < LEAST_BINS or min(signal.shape[1:]) < _LEAST_SIDE:
        return Aligned(Shift(), *still[1:], signal, still[0], sigma, known)
    frames = _Frames(residual + signal, signal, sigma, known, cfa)
    start, far = _start(frames)
    found, covariance, near = _refine(frames, start)
    # In the worst direction; a packed pixel is so many of the mosaic.
    side = mosaic_of(cfa).side
    error = float(side * np.sqrt(max(np.linalg.eigvalsh(covariance)[-1], 0.0)))
    if not np.isfinite(found).all() or not error < _MOST_UNSURE:
        return Aligned(Shift(), *still[1:], signal, still[0], sigma, known)
    moved, inside = frames.moved(found)
    change = (moved - signal)[:, inside[0], inside[1]]
    inner = _only(known, inside)
    remainder, slope, slope_error = _remainder(
        frames.noisy - moved, moved, sigma, inner
    )
    # Misfit at edges looks like noise to the bins; what is left tells it apart.
    scale = _scale(remainder, sigma, inner)
    shift = Shift(
        rows=float(side * found[0]),
        columns=float(side * found[1]),
        error=error,
        sigmas=min(far, side * np.hypot(*found) / error) if start.any() else near,
        energy=float(np.mean(change**2) / np.mean((scale * sigma) ** 2)),
    )
    if shift.sigmas < least_sigmas:
        return Aligned(shift, *still[1:], signal, still[0], sigma, known)
    return Aligned(shift, slope, slope_error, signal, remainder, scale * sigma, inner)


def _graded_sigma(measured: Residual) -> np.ndarray:
    """Noise of every pixel: that of its bin, graded within it by photon noise.

    The brightest bin of a dark picture reaches far, and a lamp in it is noisier than
    its median.
    """
    if len(measured.bins) < LEAST_BINS:
        return measured.pixel_sigma
    curve = measured.curve
    # What to believe where the curve leaves it open: a line through its ends.
    low, high = curve.variance.min(), curve.variance.max()
    rise = max((high - low) / max(curve.signal.max(), 1e-9), 1e-9)
    gain, read_variance = noise_of_pair(curve, rise, low)
    signal = measured.signal.ravel()
    typical = signal.copy()
    for pixels in measured.bins:
        typical[pixels] = median(signal[pixels])
    typical = typical.reshape(measured.signal.shape)
    variance, of_bin = (
        gain * np.maximum(x, 0) + read_variance for x in (measured.signal, typical)
    )
    return measured.pixel_sigma * np.sqrt(variance / of_bin)


@dataclass(frozen=True, eq=False)
class _Frames:
    noisy: np.ndarray  # counts above black, (4, h, w)
    clean: np.ndarray
    sigma: np.ndarray
    known: np.ndarray
    cfa: str

    def moved(self, by: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice]]:
        """Clean frame moved by packed pixels, and where nothing entered."""
        # Two pixels fewer at every border: a cubic spline draws on that many around it.
        inside = tuple(
            slice(2 + max(0, int(np.ceil(d))), n - 2 - max(0, int(np.ceil(-d))))
            for d, n in zip(by, self.clean.shape[1:], strict=True)
        )
        if not by.any():
            return self.clean, inside
        if (by == np.rint(by)).all():
            return np.roll(self.clean, by.astype(int), axis=(1, 2)), inside
        return move(self.clean, by), inside

    def light(self, by: np.ndarray) -> float:
        """Brightness of the noisy frame relative to the moved clean one, above 0."""
        moved, inside = self.moved(by)
        known = _only(self.known, inside)
        slope = _remainder(self.noisy - moved, moved, self.sigma, known)[1]
        return max(1 + slope, 1e-9)

    def penalty(self, by: np.ndarray) -> np.ndarray:
        """Half the squared misfit in standard deviations, 0 where not known.

        A logarithm of likelihood with a minus, of Gaussian noise whose outliers are
        bounded.
        """
        moved, _ = self.moved(by)
        misfit, _, _ = _remainder(self.noisy - moved, moved, self.sigma, self.known)
        return self.known * np.clip(misfit / self.sigma, -OUTLIER, OUTLIER) ** 2 / 2

    def expected_gain(self, by: np.ndarray) -> float:
        """Return what that move takes off the penalty if it is the true shift."""
        moved, inside = self.moved(by)
        known = _only(self.known, inside)
        change = without_offsets(moved - self.clean, known / self.sigma**2)
        scores = np.clip(change / self.sigma, -OUTLIER, OUTLIER)
        return float((known * scores**2).sum() / 2)


def _start(frames: _Frames) -> tuple[np.ndarray, float]:
    """Whole packed pixels to begin with, and how many sigmas they are worth."""
    # Of no shift and of the peaks of phase correlation and of plain cross-correlation
    # of the greens (Guizar-Sicairos et al., Optics Letters 33, 2008, in scikit-image)
    # the likeliest. Phase correlation has the sharper peak, but gives frequencies of
    # mere noise the same say as others: under much noise the plain one still finds it.
    known = frames.known / frames.sigma
    noisy, clean = (
        (without_offsets(x, known**2) * known)[1:3].mean(axis=0)
        for x in (frames.noisy, frames.clean)
    )
    if not (noisy.any() and clean.any()):
        return np.zeros(2), 0.0
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in clean.shape))
    best, most = np.zeros(2), _LEAST_GAIN
    nothing = frames.penalty(best)
    for normalization in ("phase", None):
        peak, *_ = phase_cross_correlation(
            noisy * window, clean * window, normalization=normalization
        )
        if not peak.any() or (np.abs(peak) > _FARTHEST * np.array(clean.shape)).any():
            continue
        _, (rows, columns) = frames.moved(peak)
        gain = (nothing - frames.penalty(peak))[:, rows, columns].sum()
        least = max(most, _LEAST_KEPT * frames.expected_gain(peak))
        if gain > least and abs(np.log(frames.light(peak))) < _MOST_DIMMED:
            best, most = peak, gain
    # Wilks: twice the gain is a chi-squared value, a square of standard errors.
    return best, float(np.sqrt(2 * most)) if best.any() else 0.0


def _refine(frames: _Frames, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Go on from whole pixels: the shift, its covariance, and sigmas from `start`."""
    # Gauss-Newton steps as in Lucas and Kanade (1981), each pixel in units of its
    # noise. The first has slopes of the mosaic as instruments, since they see sharp
    # edges that the planes alone sample too coarsely. Up to `_SMALL`
    # that one step is right, and so is its error; farther off, plain steps do better.
    edges = _steepness(frames.moved(start)[0], frames.cfa)
    step, covariance = _step(frames, start, edges, _changes(frames, start))
    if not np.isfinite(step).all() or not step.any():  # frames that are equal
        return start + step, covariance, 0.0
    sigmas = float(np.sqrt(step @ np.linalg.solve(covariance, step)))
    if np.abs(step).max() < _SMALL:
        return start + step, covariance, sigmas
    by = start.astype(float)
    for _ in range(_N_ROUNDS):
        slopes = tuple(np.gradient(frames.moved(by)[0], axis=(1, 2)))
        plain, _ = _step(frames, by, slopes, tuple(-x for x in slopes))
        if not np.isfinite(plain).all():
            break
        # Linear in half a pixel at most; farther a step may jump to another detail.
        by = by + np.clip(plain, -0.5, 0.5)
        if np.abs(plain).max() < 0.01 or np.abs(by - start).max() > 2:
            break
    return by, covariance, sigmas


def _step(
    frames: _Frames,
    at: np.ndarray,
    slopes: tuple[np.ndarray, ...],
    changes: tuple[np.ndarray, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Solve for the shift that is left, with the slopes as instruments: (2,), (2, 2).

    The residual is taken to be ``step @ changes + brightness * moved + noise``.
    """
    # Least squares would weigh the residual with `changes` themselves. These are
    # derivatives of the interpolated planes: at sharp edges they are wrong (aliased),
    # and an error in the regressor draws the step towards 0. The slopes of the mosaic
    # err in another way, so with Z the slopes and X the changes,
    # step = (Z'WX)^-1 Z'W residual, an instrumental-variable estimate. Brightness is
    # fitted along (the third row), or a frame that is brighter would seem to move.
    moved, inside = frames.moved(at)
    known = _only(frames.known, inside)
    # A sampled edge is known no better than to a part of its steepness.
    sigma = np.hypot(frames.sigma, _EDGE_ERROR * np.hypot(*slopes))
    weight = known / sigma**2
    rows, columns = (
        np.stack([without_offsets(x, weight) for x in (*pair, moved)])
        for pair in ((-slopes[0], -slopes[1]), changes)
    )
    misfit, _, _ = _remainder(frames.noisy - moved, moved, frames.sigma, known)
    # What a step of one pixel changes is no outlier.
    limit = OUTLIER * _scale(misfit, sigma, known) * sigma + np.hypot(*slopes)
    misfit = np.clip(misfit, -limit, limit)
    weighted = rows * weight
    normal = np.einsum("iphw,jphw->ij", weighted, columns)
    if not np.linalg.cond(normal) < 1e12:  # a flat frame, or one of stripes
        return np.full(2, np.nan), np.eye(2)
    step = np.linalg.solve(normal, np.einsum("iphw,phw->i", weighted, misfit))
    misfit = misfit - np.einsum("i,iphw->phw", step, columns)
    # The error bar twice. `expected` is what independent noise lets expect. `scatter`
    # is a sandwich estimate clustered by block (Liang and Zeger 1986): the 8x8 blocks'
    # sums of Z'W misfit are 0 on average, and their scatter tells how far they
    # disagree, whatever correlates inside a block. One thing that moved pulls its
    # block only, and so is no sure shift of the frame. n / (n - 3) for 3 parameters.
    scores = (weighted * np.clip(misfit, -limit, limit)).sum(axis=1)  # (3, h, w)
    blocks = grid_sums(scores).reshape(3, -1)
    n_blocks = blocks.shape[1]
    inverse = np.linalg.inv(normal)
    scatter = inverse @ (blocks @ blocks.T) @ inverse.T * n_blocks / (n_blocks - 3)
    spread = float((misfit**2 * weight).sum() / max(known.sum(), 1))
    expected = spread * inverse @ np.einsum("iphw,jphw->ij", weighted, rows) @ inverse.T
    # The larger of both in every direction would be no covariance; the sum of what
    # the blocks add to the expectation is one, and never less.
    values, vectors = np.linalg.eigh(scatter - expected)
    added = (vectors * np.maximum(values, 0)) @ vectors.T
    return step[:2], (expected + added)[:2, :2]


def _changes(frames: _Frames, at: np.ndarray) -> tuple[np.ndarray, ...]:
    """How the moved clean frame, by whole pixels, changes with rows and columns."""
    moved, _ = frames.moved(at)
    return tuple(-slope_along(moved, axis, _STEP) for axis in (1, 2))


def _steepness(planes: np.ndarray, cfa: str) -> tuple[np.ndarray, np.ndarray]:
    """Slopes along rows and columns, a packed pixel.

    In a mosaic the neighbours left and right of a pixel have one colour, and so have
    those above and below: they are nearer than the next of its own plane, and show
    an edge alike once each plane is in units of its mean.
    """
    level = np.maximum(np.abs(planes.mean(axis=(1, 2), keepdims=True)), 1e-9)
    slopes = np.gradient(unpack_mosaic(planes / level, cfa))
    side = mosaic_of(cfa).side
    down, right = (side * level * pack_mosaic(slope, cfa) for slope in slopes)
    return down, right


def _remainder(
    residual: np.ndarray, signal: np.ndarray, sigma: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Residual less offsets and brightness; the slope of that, and its error."""
    weight = known / sigma**2
    residual, signal = (without_offsets(x, weight) for x in (residual, signal))
    if not known.any():
        return residual, 0.0, np.inf
    slope, error = brightness_slope(residual, signal, sigma, known)
    return residual - slope * signal, slope, error


def _scale(residual: np.ndarray, sigma: np.ndarray, known: np.ndarray) -> float:
    """How much larger the residual is than its sigma says."""
    scores = (residual / sigma)[known > 0]
    return float(max(robust_sigma(scores), 1e-6)) if scores.size else 1.0


def _only(known: np.ndarray, inside: tuple[slice, slice]) -> np.ndarray:
    inner = np.zeros_like(known)
    inner[:, inside[0], inside[1]] = known[:, inside[0], inside[1]]
    return inner
