"""What is wrong in a pair's residual, in standard errors and in size.

Each part is relative to its threshold: above 1 is a fault. A part must be beyond
chance, and large enough to do harm: a slight blur or flicker is in every real pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from skadl.noise.residual import OUTLIER, Residual, middle
from skadl.noise.signal_bins import MIN_PIXELS_IN_BIN
from skadl.support.robust import robust_sigma

LEAST_BINS = 4  # of a transfer curve: 256 pixels; fewer say nothing
# Limits of most parts are in standard errors, and in size. Of a picture that is faint
# beside the noise both mean little: on a smooth scene light that drifts by 1 % is
# significant, and as strong as the scene's own contrast. So what a picture or a shift
# explains must also be a share of the noise's variance in a pixel.
_PICTURE = (4.0, 0.15)  # amplitude relative to the clean picture
_PICTURE_SHARE = 0.02
# Logarithm of likelihood, which chance alone exceeds once in e^10; the same in standard
# errors of its own scatter; share of the noise.
_MISALIGNED = (10.0, 3.0, 0.003)
_EXCHANGED = (4.0, 0.5)  # share of the noise that is in the clean frame
_BRIGHTNESS = (4.0, 0.1)  # difference of the logarithm
_SAME = (0.05, 0.9)  # of what rounding to counts causes; share of the pixels
_SMOOTH = 0.01  # part of a frame on which noise can be told from detail
_LEAST_SIDE = 8  # packed pixels, or blocks of them, that show a picture
_MOST_HALVINGS = 3
_N_PARTS = 8  # along a side, for the scatter of what parts of a frame say
_LARGEST_SIDE = 256  # packed pixels that show as much as a whole frame
_NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


def find_symptoms(measured: Residual, has_detail: bool = True) -> dict[str, float]:
    """Parts of a `Screening` but the noise; none where nearly all is clipped.

    Between stars there is no detail that a shift could move or brightness scale. There
    the noise of a clean frame that was registered, which neighbours share, would look
    like a picture of its own, and the sensor's fixed pattern like a shift.
    """
    if len(measured.bins) < LEAST_BINS:
        return {}
    sigma, known, residual, signal = (
        middle(planes, _LARGEST_SIDE)
        for planes in (
            measured.pixel_sigma,
            measured.known,
            measured.residual,
            measured.signal,
        )
    )
    known = known * ~is_hot(residual, sigma)
    # Black level, row and column noise are free: they say nothing on the picture.
    weight = known / sigma**2
    residual, signal = (without_offsets(x, weight) for x in (residual, signal))
    slope, error = brightness_slope(residual, signal, sigma, known)
    frames = _Frames(residual, signal, sigma, known)
    # The best brightness first, or a wrong light factor would show a picture.
    levelled = replace(frames, residual=residual - slope * signal)
    factor = np.log(max(1 + slope, 0.01))
    resolutions = list(_resolutions(frames, levelled.residual))
    pictures = [
        _picture(replace(frames, residual=levelled), known)
        for frames, levelled, known in resolutions
    ]
    found = {"exchanged": _exchange(levelled), "identical": _sameness(measured)}
    if not has_detail:
        return found | {"picture": max(pictures[1:], default=0.0)}
    return found | {
        "picture": max(pictures),
        "misaligned": max(
            _misalignment(frames, known) for frames, _, known in resolutions
        ),
        "brightness": severity(slope / error, factor, _BRIGHTNESS),
    }


def _sameness(measured: Residual) -> float:
    """Share of the pixels that differ by no part of a count, over its threshold."""
    # Noise never leaves so many alone. Rounding of single precision stays below.
    least = _SAME[0] * measured.least_variance**0.5
    compared = (measured.known > 0) & (np.abs(measured.signal) > least)
    if compared.sum() < MIN_PIXELS_IN_BIN:  # a frame of zeros is none's copy
        return 0.0
    same = (np.abs(measured.residual) < least)[compared]
    return float(same.mean() / _SAME[1])


def severity(sigmas: float, size: float, limits: tuple[float, float]) -> float:
    """Significance or size, whichever exceeds its limit less; above 1 where both do."""
    return float(min(abs(sigmas) / limits[0], abs(size) / limits[1]))


@dataclass(frozen=True, eq=False)
class _Frames:
    """Residual and clean picture in counts, at one resolution, planes (4, h, w)."""

    residual: np.ndarray
    signal: np.ndarray
    sigma: np.ndarray  # of the residual where it is noise
    n_known: np.ndarray  # pixels in each block that clipping left
    size: int = 1  # packed pixels along a side of a block

    def known(self) -> np.ndarray:
        return self.n_known >= 0.5 * self.size**2


def brightness_slope(
    residual: np.ndarray, signal: np.ndarray, sigma: np.ndarray, known: np.ndarray
) -> tuple[float, float]:
    """Slope of the residual on the clean signal, and its standard error.

    Frames are in counts, without offsets; `known` is 0 or 1. A slope of 0.1 says that
    the noisy frame is 10 % brighter than its light factor says. The error is infinite
    where the picture has no contrast.
    """
    # Plain least squares would divide by the sum of signal**2, which holds the clean
    # frame's noise, and that noise is in the residual with a minus: the slope would be
    # drawn towards -1. Diagonal neighbours do not share it, nor row or column noise:
    # an instrument (Durbin 1954), correlated with the picture and not with the errors.
    # Of what is not known nothing counts: beside a lamp it would decide alone.
    instrument = _diagonal_mean(signal * known)
    instrument *= known
    instrument /= sigma
    signal, residual = signal / sigma, residual / sigma
    scale = (instrument * signal).sum()
    power = (instrument**2).sum()
    if not scale > 1e-9 * power or power == 0:
        return 0.0, np.inf
    slope = float((instrument * residual).sum() / scale)
    # Hot pixels pull no harder than five standard deviations (Huber's M-estimate, by
    # modified residuals).
    score = np.empty_like(residual)

    def bound(slope: float) -> None:
        np.multiply(signal, -slope, out=score)
        np.add(score, residual, out=score)
        np.clip(score, -OUTLIER, OUTLIER, out=score)

    for _ in range(3):
        bound(slope)
        slope += float((instrument * score).sum() / scale)
    bound(slope)
    spread = np.sqrt((known * score**2).sum() / known.sum())
    chance = max(spread, 1.0) * np.sqrt(power)
    # As if all pixels were independent, or the parts of an 8x8 grid (sandwich
    # estimate): light that drifts over a smooth scene is alike in many pixels.
    parts = grid_sums((instrument * score).sum(axis=0))
    clustered = np.sqrt((parts**2).sum() * parts.size / (parts.size - 1))
    return slope, float(max(chance, clustered) / scale)


def _resolutions(
    frames: _Frames, levelled: np.ndarray
) -> Iterator[tuple[_Frames, np.ndarray, np.ndarray]]:
    """Frames, another residual and the known blocks, at full and halved resolutions.

    What is too faint for a pixel's noise, or shared by many pixels, shows in blocks.
    """
    for halvings in range(_MOST_HALVINGS + 1):
        if halvings and min(frames.signal.shape[1:]) < 2 * _LEAST_SIDE:
            return
        if halvings:
            n_known = sum_2x2(frames.n_known)
            count = np.maximum(n_known, 1)
            variance = sum_2x2((frames.sigma * frames.n_known) ** 2)
            levelled = sum_2x2(levelled * frames.n_known) / count
            frames = _Frames(
                sum_2x2(frames.residual * frames.n_known) / count,
                sum_2x2(frames.signal * frames.n_known) / count,
                np.sqrt(np.where(n_known > 0, variance, 1.0)) / count,
                n_known,
                2 * frames.size,
            )
        yield frames, levelled, frames.known()


def _picture(frames: _Frames, known: np.ndarray) -> float:
    """Evidence that diagonal neighbours of the residual go together."""
    # Independent noise gives products of mean 0, and the variance of their sum is the
    # expected sum of their squares, whatever the noise's distribution.
    score = np.clip(frames.residual / frames.sigma, -OUTLIER, OUTLIER)
    shared, squares = diagonal_products(_centred(score, known))
    chance = np.sqrt(squares)
    if shared <= 0:
        return 0.0
    # The same sum for the clean picture: the root of the ratio is an amplitude.
    clean = _centred(frames.signal / frames.sigma, known)
    contrast = max(diagonal_products(clean)[0], 1e-9 * shared)
    # Scores of blocks are in units of a block's noise, whose variance is smaller.
    share = shared / (2 * known.sum() * frames.size**2)
    return min(
        severity(shared / chance, np.sqrt(shared / contrast), _PICTURE),
        float(share / _PICTURE_SHARE),
    )


def _misalignment(frames: _Frames, known: np.ndarray) -> float:
    """Evidence that a clean frame one block off would fit better."""
    height, width = frames.signal.shape[1:]
    if min(height, width) < _LEAST_SIDE or not known.any():
        return 0.0
    # Row noise and what else blocks share makes them vary more than pixels tell.
    excess = max(1.0, robust_sigma((frames.residual / frames.sigma)[known]))
    # 0 where it is not known: there no move is likelier than another.
    per_sigma = known / (frames.sigma * np.float32(excess))
    residual = frames.residual * per_sigma
    penalty = _penalty(residual)
    n_known, counts = known.sum(), known.astype(penalty.dtype)
    is_all_known = n_known == known.size
    evidence = 0.0
    for down, right in _NEIGHBOURS:
        rows, columns = _overlap(height, down), _overlap(width, right)
        here = (slice(None), rows[0], columns[0])
        there = (slice(None), rows[1], columns[1])
        moved = frames.signal[there] - frames.signal[here]
        moved *= per_sigma[here]
        np.subtract(residual[here], moved, out=moved)
        # Log likelihood of Gaussian noise, each pixel's bounded: no hot one decides.
        gained = np.subtract(penalty[here], _penalty(moved, out=moved), out=moved)
        if not is_all_known:
            gained *= counts[there]
        gain = float(gained.sum()) / 2
        if gain <= evidence * _MISALIGNED[0]:  # no move that is likelier than others
            continue
        # Noise of the clean frame is moved along and gains by chance: its own scatter
        # says how much. Half a squared score of a block is a unit of the logarithm.
        chance = float(np.sqrt((gained**2).sum())) / 2
        share = 2 * gain / (n_known * frames.size**2)
        parts = (
            gain / _MISALIGNED[0],
            gain / chance / _MISALIGNED[1],
            share / _MISALIGNED[2],
        )
        evidence = max(evidence, float(min(parts)))
    return evidence


def _exchange(frames: _Frames) -> float:
    """Evidence that the residual's noise comes from the clean frame.

    Noise in the clean frame enters the residual with a minus, so where the clean
    frame is smooth the two are high-passed copies of each other, one upside down.
    """
    sigma = frames.sigma * 1.25**0.5  # of a pixel less the mean of four
    known = frames.n_known * (_diagonal_mean(frames.n_known) == 1)
    residual, signal = (
        (x - _diagonal_mean(x)) / sigma for x in (frames.residual, frames.signal)
    )
    np.clip(residual, -OUTLIER, OUTLIER, out=residual)
    # How smooth a place is, the neighbours in rows and columns tell: as on a
    # chessboard they share no pixel with the diagonals, so no noise with what they
    # weigh, and the weight cannot favour pixels by their own noise.
    weight = 1 + _neighbour_mean(signal * signal)
    weight = known / (weight * weight)
    shared = -weight * residual * signal
    blocks = sum_2x2(sum_2x2(known)) == 16
    if shared.sum() <= 0 or not blocks.any():
        return 0.0
    # Frames that are equal have no noise to share; without a smooth part none is seen.
    least = max(0.5 * weight.sum(), _SMOOTH * known.sum())
    power = max((weight * residual**2).sum(), least)
    chance = np.sqrt((shared**2).sum())
    # Noise would be everywhere; a noisy frame out of focus misses edges only.
    everywhere = np.quantile(sum_2x2(sum_2x2(signal**2))[blocks] / 16, 0.1)
    share = min(shared.sum() / power, everywhere)
    return severity(shared.sum() / chance, share, _EXCHANGED)


def is_hot(residual: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Pixels far above or below all neighbours but one: no picture is so sharp."""
    # All but one, since defects come in pairs: the second largest of eight neighbours,
    # and the second smallest. These are looked for in few places: where a pixel stands
    # out against the neighbours left and right, and against those above and below.
    padded = _padded(residual)
    left, right = padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]
    above, below = padded[:, :-2, 1:-1], padded[:, 2:, 1:-1]
    limit = OUTLIER * sigma
    least = np.maximum(np.minimum(left, right), np.minimum(above, below))
    is_hot = residual - least > limit
    most = np.minimum(np.maximum(left, right), np.maximum(above, below))
    is_hot |= most - residual > limit
    places = np.flatnonzero(is_hot)
    if not places.size:
        return is_hot
    height, width = residual.shape[1:]
    plane, row, column = np.unravel_index(places, residual.shape)
    # The pixel's own place in what is padded, and from there those of its neighbours.
    middle = (plane * (height + 2) + row + 1) * (width + 2) + column + 1
    steps = np.array([i * (width + 2) + j for i, j in _NEIGHBOURS])
    near = padded.ravel()[middle + steps[:, None]]
    near.sort(axis=0)
    values = residual.ravel()[places]
    beyond = np.maximum(values - near[-2], near[1] - values)
    is_hot.ravel()[places] = beyond > limit.ravel()[places]
    return is_hot


def without_offsets(planes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Subtract the weighted means of planes, then of their rows and columns."""
    by_row, by_column = weight.sum(axis=2), weight.sum(axis=1)  # (4, h), (4, w)
    totals = by_row.sum(axis=1), by_row, by_column
    least = np.finfo(planes.dtype).tiny
    whole, rows, columns = (np.maximum(total, least) for total in totals)
    weighted = weight * planes
    of_rows = weighted.sum(axis=2)
    mean = of_rows.sum(axis=1) / whole
    # Taken off the sums of the rows, too, instead of summing them anew.
    means = (of_rows - mean[:, None] * by_row) / rows
    planes = planes - (means + mean[:, None])[:, :, None]
    np.multiply(weight, planes, out=weighted)
    planes -= (weighted.sum(axis=1) / columns)[:, None]
    return planes


def grid_sums(planes: np.ndarray) -> np.ndarray:
    """Sum planes (..., h, w) over the parts of an 8x8 grid: (..., 8, 8)."""
    for axis in (-2, -1):
        parts = np.array_split(planes, _N_PARTS, axis=axis)
        planes = np.stack([part.sum(axis=axis) for part in parts], axis=axis)
    return planes


def _centred(planes: np.ndarray, known: np.ndarray) -> np.ndarray:
    planes = planes * known
    count = np.maximum(known.sum(axis=(1, 2), keepdims=True), 1)
    return (planes - planes.sum(axis=(1, 2), keepdims=True) / count) * known


def diagonal_products(planes: np.ndarray) -> tuple[float, float]:
    """Sum of the products of diagonal neighbours, and of their squares."""
    total = squares = 0.0
    for one, other in (
        (planes[:, 1:, 1:], planes[:, :-1, :-1]),
        (planes[:, 1:, :-1], planes[:, :-1, 1:]),
    ):
        products = one * other
        total += float(products.sum())
        products *= products
        squares += float(products.sum())
    return total, squares


def _diagonal_mean(planes: np.ndarray) -> np.ndarray:
    # Rows first, then columns: two sums instead of three.
    padded = _padded(planes)
    pairs = padded[:, :-2] + padded[:, 2:]
    corners = pairs[..., :-2] + pairs[..., 2:]
    corners /= 4
    return corners


def _neighbour_mean(planes: np.ndarray) -> np.ndarray:
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    total = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    total += padded[:, 1:-1, :-2]
    total += padded[:, 1:-1, 2:]
    total /= 4
    return total


def _overlap(side: int, shift: int) -> tuple[slice, slice]:
    """Where a line lies over itself, moved by -1, 0 or 1: positions here and there."""
    start, stop = max(0, -shift), side - max(0, shift)
    return slice(start, stop), slice(start + shift, stop + shift)


def _penalty(score: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Twice the logarithm of a pixel's likelihood, with a minus, bounded."""
    penalty = np.multiply(score, score, out=out)
    return np.minimum(penalty, OUTLIER**2, out=penalty)


def _padded(planes: np.ndarray) -> np.ndarray:
    """Repeat the border of planes (4, h, w): (4, h + 2, w + 2)."""
    n_planes, height, width = planes.shape
    padded = np.empty((n_planes, height + 2, width + 2), planes.dtype)
    padded[:, 1:-1, 1:-1] = planes
    padded[:, 0, 1:-1], padded[:, -1, 1:-1] = planes[:, 0], planes[:, -1]
    padded[:, :, 0], padded[:, :, -1] = padded[:, :, 1], padded[:, :, -2]
    return padded


def sum_2x2(planes: np.ndarray) -> np.ndarray:
    """Sum blocks of 2x2."""
    height, width = (side // 2 * 2 for side in planes.shape[1:])
    rows = planes[:, :height:2, :width] + planes[:, 1:height:2, :width]
    return rows[..., ::2] + rows[..., 1::2]
