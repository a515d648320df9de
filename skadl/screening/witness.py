"""What a denoiser that never saw the pair says of it: each pair judged by itself.

What a universal denoiser, told the noise alone, makes of the noisy frame should be as
near the clean frame as the noise allows. It holds a tenth of the noise, so exposure,
shift and other content show more sharply than on the noisy frame, and no other pair is
asked: it does not matter how much of a pool is wrong.

A good denoiser returns the mean of all clean frames that fit the noisy one. Then the
error of that mean is uncorrelated with anything computed from the noisy frame, so the
regression of the clean frame on the denoised one, or on its slopes, is free of the
attenuation that noise in a regressor brings: 1 for the frame itself, 0 for the slopes.
The error bars are from the scatter of the 8x8 parts of the frame, so they hold for a
denoiser whose errors are shared by neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import uniform_filter

from skadl.noise.noise_level import NoiseLevel
from skadl.noise.residual import NEARLY_WHITE, OUTLIER
from skadl.raw.image import RawImage, window_of
from skadl.raw.mosaic import mosaic_of
from skadl.raw.pair import RawPair
from skadl.screening.screen import Screening
from skadl.screening.sky import sky_between_stars
from skadl.screening.symptoms import (
    diagonal_products,
    grid_sums,
    severity,
    sum_2x2,
    without_offsets,
)
from skadl.support.robust import robust_sigma

SIDE = 256  # packed pixels in the middle of a frame that are looked at
# Limits in standard errors and in size.
_EXPOSURE = (3.5, 0.025)  # logarithm of brightness
_SHIFT = (4.0, 0.15)  # pixels of the mosaic
_SHIFT_SHARE = 0.0012  # of the noise's variance that the shift explains: 0.05 dB
_PROCESSED = (6.0, 0.1)  # correlation of neighbours in the residual
_SMOOTHED = (4.0, 0.3)  # share of the fine detail that the clean frame lacks
_SMOOTHED_SHARE = 0.15  # of the noise's variance; a denoiser leaves a tenth
# Packed pixels a side, at which disagreement is looked at; each twice the last.
_BLOCKS = (1, 2, 4, 8)
_DISAGREEMENT = 2.5  # mean square of blocks' means, in units of the noise's
_LOCAL_SIDE = 4  # packed pixels a side, of the blocks that motion is seen in
_LOCAL = 60.0  # squared means of four planes in units of the noise's
_LOCAL_SHARE = 0.002  # of the noise's variance in the frame that such blocks hold
_BLACK = 0.25  # deviations of the noise in the dark, that a black level may be off
_LIGHT = 0.3  # part by which exposures may differ
_LEAST_ERROR = 0.005  # of an exposure: no denoiser keeps levels better
_LEAST_KNOWN = 256  # pixels, below which nothing is said


@dataclass(frozen=True)
class Evidence:
    """What denoised and clean frame of one pair differ in, beyond noise.

    A share is a mean square relative to the mean variance of the noise in a pixel.
    """

    exposure: float = 1.0  # brightness of the clean frame over the denoised one
    exposure_error: float = np.inf
    rows: float = 0.0  # shift of the clean frame, in pixels of the mosaic
    columns: float = 0.0
    shift_error: float = np.inf
    shift_share: float = 0.0
    disagreement: float = 0.0  # at the worst size of blocks; 1 is all of the noise
    local: float = 0.0  # of the worst block, in squared units of the noise
    local_share: float = 0.0  # of blocks where it is beyond the limit
    correlation: float = 0.0  # of neighbours in noisy minus clean
    correlation_error: float = np.inf
    missing: float = 0.0  # share of the fine detail that the clean frame lacks
    missing_error: float = np.inf
    missing_share: float = 0.0

    @property
    def parts(self) -> dict[str, float]:
        """Parts of a `Screening`, relative to their thresholds."""
        length = float(np.hypot(self.rows, self.columns))
        shift = severity(length / self.shift_error, length, _SHIFT)
        change = self.exposure - 1
        lost = severity(self.missing / self.missing_error, self.missing, _SMOOTHED)
        local = min(self.local / _LOCAL, self.local_share / _LOCAL_SHARE)
        shared = max(self.correlation, 0.0)
        return {
            "differs": max(self.disagreement / _DISAGREEMENT, local),
            "misaligned": min(shift, self.shift_share / _SHIFT_SHARE),
            "brightness": severity(
                change / self.exposure_error,
                np.log(max(self.exposure, 0.01)),
                _EXPOSURE,
            ),
            "processed": severity(shared / self.correlation_error, shared, _PROCESSED),
            "smoothed": min(
                lost if self.missing > 0 else 0.0,
                self.missing_share / _SMOOTHED_SHARE,
            ),
        }

    def describe(self) -> str:
        """Say in one sentence what was measured."""
        return (
            f"clean over denoised is {self.exposure:.3f} (± {self.exposure_error:.3f}) "
            f"in brightness, {self.rows:+.2f} rows and {self.columns:+.2f} columns "
            f"(± {self.shift_error:.2f}) in place, and differs by "
            f"{self.disagreement:.2f} times what noise explains; the noise has a "
            f"correlation of {self.correlation:.2f} between neighbours"
        )


def judge_pair(
    pair: RawPair,
    denoised: np.ndarray,
    noise: NoiseLevel,
    screening: Screening | None = None,
) -> Screening:
    """Judge one pair by what a denoiser made of its noisy frame.

    `denoised` holds normalised planes (4, h, w) of the whole frame or of its middle;
    `noise` is that of the noisy frame, best as measured on the pair: then a wrong ISO
    label is no fault. What is known already, `screening`, is kept where it is graver.
    """
    height, width = (min(side, SIDE) for side in denoised.shape[1:])
    noisy, clean = (
        middle_of(image, (height, width)).normalised()
        for image in (pair.noisy, pair.clean)
    )
    top, left = (
        (n - m) // 2 for n, m in zip(denoised.shape[1:], (height, width), strict=True)
    )
    denoised = denoised[:, top : top + height, left : left + width]
    known, _ = comparable(pair, noisy, clean, noise)
    found = compare_planes(noisy, clean, denoised, noise, known).parts
    before = Screening() if screening is None else screening
    return replace(
        before,
        **{part: max(value, getattr(before, part)) for part, value in found.items()},
    )


def comparable(
    pair: RawPair, noisy: np.ndarray, clean: np.ndarray, noise: NoiseLevel
) -> tuple[np.ndarray, bool]:
    """Find where planes can be compared, (4, h, w); and whether that is between stars.

    Neither where a frame is clipped, nor at the stars of a night.
    """
    # A clean frame may have a range of its own; the noisy one ends at its light factor.
    white = NEARLY_WHITE * np.array([pair.noisy.ratio, pair.clean.ratio])
    known = (noisy < white[0]) & (clean < white[1])
    sigma = np.sqrt(np.maximum(noise.shot * np.maximum(clean, 0) + noise.read, 1e-12))
    sky = sky_between_stars(noisy, clean, sigma)
    return (known, False) if sky is None else (known & sky, True)


def middle_of(image: RawImage, shape: tuple[int, int] = (SIDE, SIDE)) -> RawImage:
    """Crop an image to the middle of its packed planes: enough to be denoised."""
    image, side = image.with_mosaic(image.mosaic), mosaic_of(image.cfa).side
    starts = (
        max(0, (length // side - m) // 2)
        for length, m in zip(image.mosaic.shape, shape, strict=True)
    )
    rows, columns = (slice(n, n + m) for n, m in zip(starts, shape, strict=True))
    return window_of(image, rows, columns)


def middle_of_pair(pair: RawPair) -> RawPair:
    """Hold the middles of a pair's frames in memory: enough to be judged."""
    return RawPair(middle_of(pair.noisy), middle_of(pair.clean), pair.scene)


def compare_planes(
    noisy: np.ndarray,
    clean: np.ndarray,
    denoised: np.ndarray,
    noise: NoiseLevel,
    known: np.ndarray | None = None,
) -> Evidence:
    """Compare denoised and clean planes (4, h, w) in units of what noise explains."""
    noisy, clean, denoised = (
        np.asarray(x, np.float32) for x in (noisy, clean, denoised)
    )
    if known is None:
        known = np.ones(clean.shape, bool)
    known = known.astype(np.float32)
    # At the mean of a neighbourhood: at a pixel's own level weights would go with the
    # noise that the denoiser left there.
    level = uniform_filter(denoised, (1, 5, 5))
    variance = noise.shot * np.maximum(level, 0) + noise.read
    sigma = np.sqrt(np.maximum(variance, 1e-12))
    if known.sum() < _LEAST_KNOWN or min(clean.shape[1:]) < 16:
        return Evidence()
    sigma = sigma * _noise_scale(noisy, denoised, sigma, known) ** 0.5
    weight = known / sigma**2
    exposure, exposure_error = _exposure(clean, denoised, weight, noise)
    # Another light than that is another picture, and judged as it is.
    is_light = exposure_error < _EXPOSURE[1] and abs(exposure - 1) < _LIGHT
    slope = exposure if is_light else 1.0
    difference = _free_of_offsets(clean - slope * denoised, sigma, weight)
    side = math.isqrt(len(clean))  # a packed pixel is so many of the mosaic
    shift, shift_error, shift_share, drawn = _shift(difference, denoised, sigma, known)
    missing, missing_error, missing_share = _missing(
        difference - drawn, denoised, sigma, known
    )
    # Brightness is judged above and is no other content; a shift is.
    disagreement = _disagreement(difference, sigma, known)
    local, local_share = _local(difference, sigma, known)
    residual = _free_of_offsets(noisy - clean / slope, sigma, weight)
    correlation, correlation_error = _correlation(residual / sigma, known)
    return Evidence(
        exposure=exposure,
        exposure_error=exposure_error,
        rows=float(side * shift[0]),
        columns=float(side * shift[1]),
        shift_error=side * shift_error,
        shift_share=shift_share,
        disagreement=disagreement,
        local=local,
        local_share=local_share,
        correlation=correlation,
        correlation_error=correlation_error,
        missing=missing,
        missing_error=missing_error,
        missing_share=missing_share,
    )


def _free_of_offsets(
    planes: np.ndarray, sigma: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Without black-level error, row and column noise, which say nothing on content."""
    limit = 2 * OUTLIER * sigma
    bounded = np.clip(planes, -limit, limit)
    return planes - (bounded - without_offsets(bounded, weight))


def _exposure(
    clean: np.ndarray, denoised: np.ndarray, weight: np.ndarray, noise: NoiseLevel
) -> tuple[float, float]:
    """Brightness of clean over denoised, and its standard error."""
    total = weight.sum(axis=(1, 2), keepdims=True)
    total = np.maximum(total, np.finfo(total.dtype).tiny)
    x, y = (
        planes - (weight * planes).sum(axis=(1, 2), keepdims=True) / total
        for planes in (denoised, clean)
    )
    weighted = weight * x
    both, own = weighted * y, weighted * x
    contrast, contrast_error = _ratio(both, own)
    # A denoiser may leave noise, which draws this slope towards 0, or smooth too much,
    # which draws the reverse one above 1. What lies between the two is no evidence.
    reverse, reverse_error = _ratio(weight * y * y, both)
    between = np.clip(1.0, *sorted((contrast, reverse)))
    contrast, contrast_error = float(between), max(contrast_error, reverse_error)
    # Where a scene has no contrast its level tells, as far as black is known.
    of_light = weight * denoised
    level, level_error = _ratio(weight * clean, of_light)
    light = float(of_light.sum()) / max(float(weight.sum()), 1e-300)
    black = _BLACK * np.sqrt(noise.read) / max(light, 1e-9)
    level_error = float(np.hypot(level_error, black))
    if contrast_error < level_error:
        level, level_error = contrast, contrast_error
    return level, float(np.hypot(level_error, _LEAST_ERROR))


def _ratio(above: np.ndarray, below: np.ndarray) -> tuple[float, float]:
    """Sum over sum, and its error from the scatter of the parts of the frame."""
    # What follows nearly cancels.
    parts = grid_sums(np.stack([above.sum(axis=0), below.sum(axis=0)]).astype(float))
    above, below = parts.reshape(2, -1)
    if not below.sum() > 1e-9 * np.abs(below).sum() or below.sum() <= 0:
        return 1.0, np.inf
    ratio = float(above.sum() / below.sum())
    misfit = above - ratio * below
    scatter = np.sqrt((misfit**2).sum() * misfit.size / (misfit.size - 1))
    return ratio, float(max(scatter / below.sum(), 1e-9))


def _shift(
    difference: np.ndarray, denoised: np.ndarray, sigma: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, float, float, np.ndarray]:
    """Return shift and error, in packed pixels, share, and what it explains."""
    slopes = np.stack(np.gradient(denoised, axis=(1, 2)))  # (2, 4, h, w)
    squares = slopes[0] * slopes[0]
    squares += slopes[1] * slopes[1]
    steep = np.sqrt(squares)
    # A sharp edge is known no better than to a part of its steepness.
    weight = known / (sigma**2 + 0.1**2 * squares)
    changes = -slopes
    weighted = changes * weight
    normal = np.array([[(x * y).sum() for y in changes] for x in weighted], float)
    nothing = np.zeros(2), np.inf, 0.0, np.zeros_like(difference)
    if not np.linalg.cond(normal) < 1e8:
        return nothing
    limit = OUTLIER * sigma + steep
    bounded = np.clip(difference, -limit, limit)
    aims = np.array([(x * bounded).sum() for x in weighted], float)
    shift = np.linalg.solve(normal, aims)
    explained = float(shift[0]) * changes[0] + float(shift[1]) * changes[1]
    scores = (weighted * (bounded - explained)).sum(axis=1).astype(float)  # (2, h, w)
    parts = grid_sums(scores).reshape(2, -1)
    inverse = np.linalg.inv(normal)
    covariance = inverse @ (parts @ parts.T) @ inverse.T * parts.shape[1]
    covariance = covariance / (parts.shape[1] - 2)
    error = float(np.sqrt(max(np.linalg.eigvalsh(covariance)[-1], 1e-12)))
    share = (known * explained**2).sum() / (known * sigma**2).sum()
    return shift, error, float(share), explained


def _missing(
    difference: np.ndarray, denoised: np.ndarray, sigma: np.ndarray, known: np.ndarray
) -> tuple[float, float, float]:
    """Share of the denoised frame's fine detail that the clean one lacks, its error."""
    detail = denoised - _around(denoised)
    weighted = known / sigma**2 * detail
    power = weighted * detail
    lost, error = _ratio(-weighted * (difference - _around(difference)), power)
    if not np.isfinite(error):
        return 0.0, np.inf, 0.0
    share = lost * power.sum() / known.sum()
    return lost, error, float(max(share, 0.0))


def _disagreement(
    difference: np.ndarray, sigma: np.ndarray, known: np.ndarray
) -> float:
    """Mean square of blocks' means over that of the noise, at the worst size."""
    worst = 0.0
    scores = _block_scores(difference, sigma, known, 1)
    for size in _BLOCKS:
        if min(difference.shape[1:]) < 8 * size:
            break
        sums, variances = scores if size == 1 else map(sum_2x2, scores)
        power = float((sums**2).sum())
        worst = max(worst, power / max(float(variances.sum()), 1e-300))
        scores = sums, variances
    return worst


def _local(
    difference: np.ndarray, sigma: np.ndarray, known: np.ndarray
) -> tuple[float, float]:
    """Worst block, in squared units of the noise, and what such blocks hold of it."""
    sums, variances = _block_scores(difference, sigma, known, _LOCAL_SIDE)
    least = np.finfo(variances.dtype).tiny
    scores = sums**2 / np.maximum(variances, least) * (variances > 0)
    scores = scores.sum(axis=0)  # chi-squared of 4 degrees if all noise were left
    heavy = scores > _LOCAL
    energy = (sums**2).sum(axis=0)[heavy].sum() / _LOCAL_SIDE**2
    return float(scores.max()), float(energy) / max(float(variances.sum()), 1e-300)


def _block_scores(
    difference: np.ndarray, sigma: np.ndarray, known: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum over blocks of that side; also the variance that noise gives these sums."""
    return _blocks(known * difference, size), _blocks(known * sigma**2, size)


def _blocks(planes: np.ndarray, size: int) -> np.ndarray:
    """Sum over blocks; `size` is a power of two."""
    for _ in range(size.bit_length() - 1):
        planes = sum_2x2(planes)
    return planes


def _correlation(score: np.ndarray, known: np.ndarray) -> tuple[float, float]:
    """Mean correlation of a pixel's score with that of its neighbours, and its error.

    Of diagonal ones, which share no row or column noise; processing correlates them
    all.
    """
    score = known * np.clip(score, -OUTLIER, OUTLIER)
    power = (score**2).sum()
    if not power > 0:
        return 0.0, np.inf
    shared, squares = diagonal_products(score)
    # Independent noise gives their sum the variance of the sum of their squares.
    return float(shared / (2 * power)), float(np.sqrt(squares) / (2 * power))


def _noise_scale(
    noisy: np.ndarray, denoised: np.ndarray, sigma: np.ndarray, known: np.ndarray
) -> float:
    """How much less variance the noisy frame shows than it was told to have."""
    # Noise measured on a pair that shows two things is their difference, too, and in
    # units of that nothing would differ. Neither estimate sees the clean frame. The
    # difference of diagonal neighbours holds detail beside noise, so it is no less.
    scores = (noisy[:, 1:, 1:] - noisy[:, :-1, :-1]) / (sigma[:, 1:, 1:] * 2**0.5)
    inside = np.flatnonzero(known[:, 1:, 1:] * known[:, :-1, :-1])
    if not inside.size:
        return 1.0
    apart = robust_sigma(scores.ravel()[inside]) ** 2
    removed = (known * ((noisy - denoised) / sigma) ** 2).sum() / known.sum()
    return float(np.clip(max(apart, removed), 1e-3, 1.0))


def _around(planes: np.ndarray) -> np.ndarray:
    """Mean of the four nearest neighbours in a plane."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    total = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1]
    total += padded[:, 1:-1, :-2]
    total += padded[:, 1:-1, 2:]
    total /= 4
    return total
