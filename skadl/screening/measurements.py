"""What one noisy/clean pair shows in figures: shift, motion, brightness, levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import rank_filter, uniform_filter

from skadl.noise.residual import (
    NEARLY_WHITE,
    OUTLIER,
    Residual,
    measure_residual,
)
from skadl.raw.image import RawImage
from skadl.raw.lines import column_sums, row_sums
from skadl.raw.mosaic import BAYER, mosaic_of, unpack_mosaic
from skadl.raw.pair import RawPair, read_pair
from skadl.screening.alignment import Aligned, Shift, align
from skadl.screening.motion import Motion, find_motion
from skadl.screening.saturation import find_saturation, mask_beyond
from skadl.screening.screen import ResidualAnalysis, analysis_of, mask_saturated
from skadl.screening.sky import drift_of_stars, judged_on_sky
from skadl.screening.symptoms import LEAST_BINS, without_offsets
from skadl.screening.witness import Evidence

SIGMAS = 3.5  # standard errors before a shift or a brightness is believed
_ALIGNED_SIDE = 256  # packed pixels, in the middle, for shifts
_WHOLE_SIDE = 512  # packed pixels of a whole frame, made smaller, for motion
_GREEN_BLOCK = 4  # packed pixels a side, over which sampling of detail averages out
_LEAST_COLOUR = 0.02  # of the signal: greens that differ less may be one colour
_BLACK_ERROR = 0.05  # deviations of the noise in the dark, of a good black level
_GLOW = 0.1  # part by which the light of the sky may differ between frames
_HOT = 10.0  # standard deviations above all neighbours


@dataclass(frozen=True, eq=False)
class PairMeasurements:
    """Measured on one pair, without any judgement.

    An energy is the mean square of what a defect leaves in the residual, relative to
    the mean variance of the noise. Deviations are those of the noise in the dark.
    """

    analysis: ResidualAnalysis  # transfer curve, and what it says by itself
    shift: Shift
    motion: Motion
    brightness: float  # light of the noisy frame over what its light factor promises
    brightness_error: float  # standard error; infinite where there is no contrast
    brightness_energy: float
    # Of detail in the noisy frame relative to the clean one, where it is another though
    # the frame as a whole is as bright: a blur, or stars out of place.
    contrast: float | None
    contrast_energy: float
    # What the noisy frame has where there is no light, in deviations, in the worst
    # plane; and that in its standard errors.
    black_error: float
    black_sigmas: float
    # How far the darkest thousandth of the clean frame lies below its black level.
    below_black: float  # deviations
    clipped_share: float  # near white, or at zero counts, in the worse frame
    # Difference of the greens relative to that of red and blue: below 1 where the CFA
    # pattern is right.
    green_ratio: float
    hot_pixels: int  # in the noisy frame, of its middle where it is large
    noise: float  # median standard deviation, in counts
    brightest: float  # of the brighter frame, black at 0 and white at 1
    evidence: Evidence | None = None  # of the denoised frame, where one was given


def measure_pair(pair: RawPair, saturation: float | None = None) -> PairMeasurements:
    """Measure everything that tells good pairs from bad ones.

    Beyond `saturation`, with black at 0 and white at 1, or where the pair alone shows
    that the sensor saturates, nothing counts. Raises OSError or ValueError if a frame
    cannot be read, or the two do not fit together.
    """
    pair = read_pair(pair)
    brightest = max(map(_brightest, (pair.noisy, pair.clean)))
    found = find_saturation(pair)
    if saturation is None:
        pair = mask_saturated(pair, found)
    else:
        pair = mask_beyond(pair, saturation)
    measured = measure_residual(pair)
    aligned = align(measured, pair.noisy.cfa, _ALIGNED_SIDE, SIGMAS)
    shift = aligned.shift
    sky = judged_on_sky(measured)
    if sky is not None:  # only the shift is that of the stars
        measured, shift = sky, drift_of_stars(shift)
        aligned = align(measured, pair.noisy.cfa, _ALIGNED_SIDE, SIGMAS)
    analysis = analysis_of(pair, measured, found, has_detail=sky is None)
    side = mosaic_of(pair.noisy.cfa).side
    is_small = max(pair.noisy.mosaic.shape) <= side * _ALIGNED_SIDE
    motion = find_motion(aligned) if is_small else motion_of_pair(pair)
    power = np.mean(aligned.sigma**2)
    # Fine detail tells the brightness best where there is some, large areas where they
    # are smooth: the more significant of the two. Where the frame as a whole has less
    # than half of that error, what differs is not light but the contrast of detail.
    slope, slope_error = aligned.slope, aligned.slope_error
    broad, broad_error = _broad_slope(measured)
    if abs(broad) * slope_error > abs(slope) * broad_error:
        slope, slope_error = broad, broad_error
    level, level_error = _level(measured)
    contrast, contrast_energy = None, 0.0
    if sky is not None:
        # Without stars there is no contrast. The glow of the sky drifts, and a fit
        # takes a constant off.
        slope, slope_error = level, level_error
    is_known = abs(slope) > SIGMAS * slope_error
    if sky is None and is_known and abs(level) + 2 * level_error < abs(slope) / 2:
        detail = without_offsets(aligned.signal, aligned.known / aligned.sigma**2)
        contrast = 1 + slope
        contrast_energy = float(slope**2 * np.mean(detail**2) / max(power, 1e-300))
        slope, slope_error = level, level_error
    black_error, black_sigmas, below_black = _black_figures(pair, measured, aligned)
    if sky is not None:  # no place without light, nor a line that leads there
        black_error = black_sigmas = 0.0
    return PairMeasurements(
        analysis=analysis,
        shift=shift,
        motion=motion,
        brightness=1 + slope,
        brightness_error=slope_error,
        brightness_energy=float(
            slope**2 * np.mean(aligned.signal**2) / max(power, 1e-300)
        )
        * (sky is None or abs(slope) > _GLOW),
        contrast=contrast,
        contrast_energy=contrast_energy,
        black_error=black_error,
        black_sigmas=black_sigmas,
        below_black=below_black,
        clipped_share=max(map(_clipped_share, (pair.noisy, pair.clean))),
        green_ratio=_green_ratio(pair.clean),
        hot_pixels=_count_hot(measured),
        noise=float(np.median(measured.sigma)) if len(measured.sigma) else 0.0,
        brightest=brightest,
    )


def motion_of_pair(pair: RawPair) -> Motion:
    """Look at the whole frame for what moved; of a large one, at a smaller copy."""
    pair = small_copy(pair)
    measured = measure_residual(pair)
    measured = judged_on_sky(measured) or measured
    return find_motion(align(measured, pair.noisy.cfa, _WHOLE_SIDE, SIGMAS))


def small_copy(pair: RawPair) -> RawPair:
    """Make a pair at most 1024 pixels a side: means of neighbours of one colour."""
    side = mosaic_of(pair.noisy.cfa).side
    factor = -(-max(pair.noisy.mosaic.shape) // (side * _WHOLE_SIDE))
    if factor == 1:
        return pair
    noisy, clean = (_shrink(frame, factor) for frame in (pair.noisy, pair.clean))
    return replace(pair, noisy=noisy, clean=clean)


def _shrink(image: RawImage, factor: int) -> RawImage:
    """Average so many pixels of one colour, in rows and in columns."""
    packed = image.packed()
    height, width = (side // factor for side in packed.shape[1:])
    blocks = packed[:, : height * factor, : width * factor]
    blocks = blocks.reshape(len(packed), height, factor, width, factor)
    means = blocks.mean(axis=(2, 4), dtype=np.float64).astype(np.float32)
    return image.with_mosaic(unpack_mosaic(means, image.cfa))


def _broad_slope(measured: Residual) -> tuple[float, float]:
    """Slope of the residual on the clean signal from large areas, and its error.

    Rows and columns keep their means here, for a sky or a wall shows in nothing else;
    that they share noise is in the error.
    """
    sigma = measured.pixel_sigma.astype(float)
    weight = measured.known / sigma**2
    total = np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1e-300)
    residual, signal = (
        x - (weight * x).sum(axis=(1, 2), keepdims=True) / total
        for x in (measured.residual, measured.signal)
    )
    # The mean of the eight neighbours is the instrument, which shares no noise of the
    # clean frame with a pixel; see `brightness_slope`.
    around = (9 * uniform_filter(signal, (1, 3, 3)) - signal) / 8
    scale = (weight * around * signal).sum()
    if len(measured.bins) < LEAST_BINS or not scale > 1e-9:
        return 0.0, np.inf
    slope = 0.0
    for _ in range(3):
        score = np.clip((residual - slope * signal) / sigma, -OUTLIER, OUTLIER)
        slope += float((weight * around * sigma * score).sum() / scale)
    scores = weight * around * sigma * score
    # The error as if all pixels, all rows or all columns were independent; the largest
    # is right, whichever of them share noise. A row of the mosaic lies in R and Gr, or
    # in Gb and B; a column in R and Gb.
    rows, columns = row_sums(scores), column_sums(scores)
    chance = max((x**2).sum() for x in (scores, rows, columns))
    return slope, float(np.sqrt(chance) / scale)


def _level(measured: Residual) -> tuple[float, float]:
    """Brightness of the whole frame relative to what it should be, less 1; its error.

    Stars and edges that lie elsewhere or are blurred change contrast, but not this.
    """
    weight = measured.known / measured.pixel_sigma.astype(float) ** 2
    light = float((weight * measured.signal).sum())
    if len(measured.bins) < LEAST_BINS or not light > 0:
        return 0.0, np.inf
    total = float(weight.sum())
    # What a black level off by that much would add, beside noise.
    black = _BLACK_ERROR * float(measured.sigma[0]) * total
    level = float((weight * measured.residual).sum()) / light
    return level, float(np.hypot(total**0.5, black)) / light


def _black_figures(
    pair: RawPair, measured: Residual, aligned: Aligned
) -> tuple[float, float, float]:
    """Residual without light and its significance; how far data lie below black."""
    if len(measured.bins) < LEAST_BINS:
        return 0.0, 0.0, 0.0
    dark = float(measured.sigma[0])
    clean = pair.clean
    lowest = np.percentile(clean.packed(), 0.1, axis=(1, 2)) - clean.black_planes
    scale = pair.noisy.span / clean.span * clean.ratio / pair.noisy.ratio
    below = max(0.0, float(-lowest.min() * scale / dark))
    if not np.isfinite(aligned.slope_error):
        return 0.0, 0.0, below
    weight = measured.known / measured.pixel_sigma.astype(float) ** 2
    total = np.maximum(weight.sum(axis=(1, 2)), 1e-300)
    # The line of residual on signal, read off at no light.
    residual, signal = (
        (weight * planes).sum(axis=(1, 2)) / total
        for planes in (measured.residual, measured.signal)
    )
    errors = residual - aligned.slope * signal  # (4,)
    chance = np.sqrt(1 / total + (aligned.slope_error * signal) ** 2)
    worst = int(np.argmax(np.abs(errors)))
    return float(errors[worst] / dark), float(abs(errors / chance)[worst]), below


def _clipped_share(image: RawImage) -> float:
    clipped = image.mosaic >= NEARLY_WHITE * image.white_level
    if image.mosaic.dtype.kind == "u" and np.min(image.black_level) > 0:
        clipped |= image.mosaic == 0
    return float(clipped.mean())


def _brightest(image: RawImage) -> float:
    return float((np.max(image.mosaic) - np.mean(image.black_level)) / image.span)


def _green_ratio(image: RawImage) -> float:
    """Difference of the greens relative to that of red and blue, in rms.

    With the wrong pattern the greens are taken for red and blue, and the reverse.
    """
    if mosaic_of(image.cfa).family != BAYER:  # found in the file, not told by hand
        return 0.0
    counts = image.packed()
    clipped = (counts >= NEARLY_WHITE * image.white_level).any(axis=0)
    light = (counts - image.black_planes[:, None, None]) * ~clipped
    n_rows, n_columns = (side // _GREEN_BLOCK for side in light.shape[1:])
    if not n_rows or not n_columns:
        return 0.0
    light = light[:, : n_rows * _GREEN_BLOCK, : n_columns * _GREEN_BLOCK]
    shape = (4, n_rows, _GREEN_BLOCK, n_columns, _GREEN_BLOCK)
    red, green_r, green_b, blue = light.reshape(shape).mean(axis=(2, 4))
    greens = np.sqrt(np.mean((green_r - green_b) ** 2))
    others = np.sqrt(np.mean((red - blue) ** 2))
    least = _LEAST_COLOUR * np.sqrt(np.mean(light**2))
    return float(greens / max(others, least, 1e-300))


def _count_hot(measured: Residual) -> int:
    around = np.ones((1, 3, 3), bool)
    around[0, 1, 1] = False
    highest = rank_filter(measured.residual, -1, footprint=around)
    is_hot = measured.residual - highest > _HOT * measured.pixel_sigma
    return int((is_hot & (measured.known > 0)).sum())
