"""Many noisy frames of one scene make a clean one: the mean, without outliers.

Each pixel is the mean of its frames without outliers: cosmic rays, and what moved
through the picture. An outlier is further than six standard deviations from the
pixel's median and from those of the eight next of its colour, and twice as far off as
these where they are a small peak or dip: the cores of stars, where frames lie a pixel
or two off one another or the air blurs them unequally, are none, or stars would become
fainter. How large one is at which signal is measured on the differences of frames,
robustly and over all pixels, because a few frames say little of a single pixel's noise.

Noise hardly ever reaches that far, so the mean stays unbiased, and the clean frame
keeps 1/n of a frame's noise variance: ten frames make it 10 dB cleaner than one. (A
median is biased, and costs a third of the frames.) Two frames have no outliers.

Cameras measure the black level anew for each frame, so it may differ by a part of a
count: what is averaged are counts above each frame's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import (
    grey_closing,
    grey_opening,
    maximum_filter,
    minimum_filter,
)

from skadl.data.folders.shots import Shot
from skadl.raw.image import LazyRawImage, RawImage, check_black_level
from skadl.raw.levels import black_planes, cast_counts, scale_to_16_bits
from skadl.raw.mosaic import plane_views, spread_planes
from skadl.support.robust import robust_sigma

_OUTLIER = 6.0  # standard deviations from the median
_LEAST_FRAMES = 3  # for a median to say which one is an outlier
_MOST_OUTLIERS = 0.25  # of a frame's pixels, or clouds passed: it is left out whole

# What the median is taken over: enough frames for a good one, and bounded memory.
_MEDIAN_FRAMES, _MEDIAN_BYTES = 9, 2**29
_STRIP_ROWS = 256
_MOST_SAMPLES = 200_000  # pixels that the noise is measured on
_KEPT_MEANS = 2  # of bursts used last
_LEAST_IN_BIN, _MOST_BINS = 256, 32  # pixels of about equal signal

_NONE, _NO_VALUES = np.empty(0, np.intp), np.empty(0, np.uint32)


@dataclass(frozen=True, eq=False)
class BurstMean:
    """Mean of the frames of a burst, and what of them it holds."""

    counts: np.ndarray  # (H, W), uint16: the mean times the scale, rounded
    scale: int  # a power of two: with it the white level nearly fills 16 bits
    # Flat positions left out of each frame; None for one that is left out whole.
    outliers: tuple[np.ndarray | None, ...]

    def without(self, index: int, counts: np.ndarray) -> np.ndarray:
        """Mean of the other frames, times the scale, with no noise of this one."""
        outliers = self.outliers[index]
        if outliers is None:
            return self.counts
        # Taken out of the mean again where it went in. The mean's rounding, half a step
        # of 16 bits, grows by n / (n - 1) only.
        n_kept = np.full(self.counts.size, _n_members(self.outliers), np.float32)
        for positions in self.outliers:
            if positions is not None:
                n_kept[positions] -= 1
        mean = self.counts.ravel().astype(np.float32)
        others = (n_kept * mean - np.float32(self.scale) * counts.ravel()) / (
            n_kept - 1
        )
        others[outliers] = mean[outliers]
        return cast_counts(others, np.dtype(np.uint16)).reshape(self.counts.shape)


def average_burst(
    readers: Sequence[Callable[[], np.ndarray]],
    black_level: float,
    white_level: float,
) -> BurstMean:
    """Average frames (H, W), uint16, of one scene with the same settings.

    Every frame is read two or three times.
    """
    n_frames = len(readers)
    kept = _sum_without_outliers(readers, black_level)
    if kept is None:
        total = sum(read().astype(np.uint32) for read in readers)
        kept = _Sum(total, [_NONE] * n_frames, [_NO_VALUES] * n_frames)
    total, outliers, values = kept
    n_members = _n_members(outliers)
    n_kept = np.full(total.size, n_members, np.uint16)
    for positions in outliers:
        if positions is not None:
            n_kept[positions] -= 1
    # Where half of the frames or more would be outliers, none is: there is no telling
    # which are right.
    disputed = 2 * n_kept <= n_frames
    for index, positions in enumerate(outliers):
        if positions is not None:
            again = disputed[positions]
            total.ravel()[positions[again]] += values[index][again]
            outliers[index] = positions[~again]
    n_kept[disputed] = n_members
    scale = scale_to_16_bits(white_level)
    mean = np.divide(total.ravel(), n_kept, dtype=np.float32) * np.float32(scale)
    counts = cast_counts(mean, np.dtype(np.uint16)).reshape(total.shape)
    return BurstMean(counts, scale, tuple(outliers))


@dataclass(frozen=True, eq=False)
class Burst:
    """Frames of one scene with the same settings, averaged when first needed.

    The means of the few bursts used last are kept, two bytes a pixel and the positions
    of outliers: the pairs of a burst follow one another, and memory holds no more
    however many scenes there are.
    """

    shots: tuple[Shot, ...]

    @property
    def mean(self) -> BurstMean:
        """Mean of the frames."""
        return _mean_of(self)

    @property
    def span(self) -> float:
        """Counts of the files from mean black to white, without what any clips."""
        return min(shot.span for shot in self.shots)

    @property
    def levels(self) -> _Levels:
        """Black and white that the counts of all frames are brought to."""
        blacks = np.stack([shot.blacks for shot in self.shots])
        white = min(shot.white_level for shot in self.shots)
        if (blacks == blacks[0]).all():
            return _Levels(1, blacks[0], white)
        # The highest black, so that no count falls below 0; parts of a count are kept
        # as well as 16 bits can. No frame's saturation may count as a signal.
        black = blacks.max(axis=0)
        step = scale_to_16_bits(max(shot.white_level for shot in self.shots))
        return _Levels(step, black * step, (self.span + float(black.mean())) * step)

    def counts(self, index: int) -> np.ndarray:
        """Read a frame, (H, W) uint16, brought to `levels`."""
        shot, levels = self.shots[index], self.levels
        counts = shot.counts()
        shifts = levels.black - levels.step * shot.blacks
        if levels.step == 1 and not shifts.any():
            return counts
        moved = counts.astype(np.float32) * levels.step
        planes = black_planes(tuple(shifts), shot.cfa).astype(np.float32)
        moved += spread_planes(planes, shot.cfa, moved.shape)
        return cast_counts(moved, np.dtype(np.uint16))

    def mean_header(self) -> dict[str, Any]:
        """Fields of `RawImage` but for mosaic and path, of the mean of all frames."""
        levels = self.levels
        scale = scale_to_16_bits(levels.white)
        return self.shots[0].header() | {
            "black_level": check_black_level(levels.black * scale, self.shots[0].cfa),
            "white_level": levels.white * scale,
        }

    def white_level_of(self, shot: Shot) -> float:
        """White of one frame where equal signals are equal counts above black."""
        return float(shot.blacks.mean()) + self.span

    def image(self, without: Shot | None = None) -> LazyRawImage:
        """Give the mean as a lazy image; without the noise of one of its frames."""
        first = self.shots[0]
        if len(self.shots) == 1:
            return first.image()
        contents = [shot.content for shot in self.shots]
        inside = without is not None and without.content in contents
        header = self.mean_header()
        index = contents.index(without.content) if inside else None
        return LazyRawImage(
            first.path, partial(_read_mean, self, index, header), **header
        )


class _Levels(NamedTuple):
    step: int  # by which the counts of the files are multiplied
    black: np.ndarray  # (4,) or (9,), in CFA reading order, of the multiplied counts
    white: float


@lru_cache(maxsize=_KEPT_MEANS)
def _mean_of(burst: Burst) -> BurstMean:
    levels = burst.levels
    return average_burst(
        [partial(burst.counts, index) for index in range(len(burst.shots))],
        float(levels.black.mean()),
        levels.white,
    )


def _read_mean(
    burst: Burst, index: int | None, header: dict[str, Any], path: Path
) -> RawImage:
    counts = burst.mean.counts
    if index is not None:
        counts = burst.mean.without(index, burst.counts(index))
    return RawImage(counts, path=path, **header)


class _Sum(NamedTuple):
    total: np.ndarray  # (H, W), uint32: room for 65,536 frames
    outliers: list[np.ndarray | None]  # see BurstMean
    values: list[np.ndarray]  # the counts at them


def _sum_without_outliers(
    readers: Sequence[Callable[[], np.ndarray]], black_level: float
) -> _Sum | None:
    """Add up the frames without outliers; None where there is no telling them."""
    if len(readers) < _LEAST_FRAMES:
        return None
    low, high = _normal_range(readers, black_level)
    total = np.zeros(low.shape, np.uint32)
    outliers: list[np.ndarray | None] = []
    values = []
    for read in readers:
        counts = read()
        positions = np.flatnonzero((counts < low) | (counts > high))
        if len(positions) > _MOST_OUTLIERS * counts.size:
            outliers.append(None)
            values.append(_NO_VALUES)
            continue
        outliers.append(positions)
        values.append(counts.ravel()[positions].astype(np.uint32))
        counts.ravel()[positions] = 0
        total += counts
    if 2 * _n_members(outliers) <= len(readers):  # less than half would remain
        return None
    return _Sum(total, outliers, values)


def _n_members(outliers: Sequence[np.ndarray | None]) -> int:
    return sum(positions is not None for positions in outliers)


def _normal_range(
    readers: Sequence[Callable[[], np.ndarray]], black_level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest count of each pixel that is no outlier; both uint16."""
    first = readers[0]()
    affordable = max(_LEAST_FRAMES, _MEDIAN_BYTES // first.nbytes)
    size = min(len(readers), _MEDIAN_FRAMES, affordable)
    size -= 1 - size % 2  # the median of an odd number is the count of one of them
    # Spread over the burst: what passes through slowly is in few of them.
    chosen = np.linspace(0, len(readers) - 1, size).astype(int)
    stack = np.stack([first, *(readers[i]() for i in chosen[1:])])
    median = np.empty_like(first)
    for top in range(0, len(first), _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        median[rows] = np.partition(stack[:, rows], size // 2, axis=0)[size // 2]
    signals, sigmas = _measure_noise(stack, median)
    del stack
    # One entry for each count: the noise is a function of the signal alone.
    every_count = np.arange(np.iinfo(np.uint16).max + 1)
    limits = _OUTLIER * np.interp(every_count, signals, sigmas)
    # Beyond what was measured, as shot noise grows: never less than it does.
    beyond = np.maximum(every_count - black_level, 1) / max(
        signals[-1] - black_level, 1
    )
    limits *= np.sqrt(np.maximum(beyond, 1))
    limits = limits.astype(np.float32)[median]
    lowest, highest = _neighbourhood(median)
    low = cast_counts(lowest - limits, np.dtype(np.uint16))
    high = cast_counts(highest + limits, np.dtype(np.uint16))
    return low, high


def _neighbourhood(mosaic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find what each pixel may have if a frame is shifted or sharper; both int32."""
    lowest, highest = (np.empty(mosaic.shape, np.int32) for _ in range(2))
    planes = (plane_views(array, "RGGB") for array in (mosaic, lowest, highest))
    for plane, low, high in zip(*planes, strict=True):  # whatever their colours
        plane = plane.astype(np.int32)
        # Where the plane is a narrow peak, opening lowers it by the peak's height, so
        # that this much more is allowed above it; closing, for a dip, below it.
        low[:] = minimum_filter(2 * plane - grey_closing(plane, 3), 3)
        high[:] = maximum_filter(2 * plane - grey_opening(plane, 3), 3)
    return lowest, highest


def _measure_noise(
    stack: np.ndarray, median: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the standard deviation of a frame at its signal, both in counts."""
    step = max(1, median.size // _MOST_SAMPLES)
    frames = stack.reshape(len(stack), -1)[:, ::step].astype(np.int32)
    signal = median.ravel()[::step]
    n_bins = int(np.clip(signal.size // _LEAST_IN_BIN, 1, _MOST_BINS))
    signals, sigmas = [], []
    for pixels in np.array_split(np.argsort(signal, kind="stable"), n_bins):
        # All pairs of frames, and of these a low quartile: where a frame shows
        # something else, most pairs may be without it, but never all.
        spreads = [
            _spread(frames[i, pixels] - frames[j, pixels])
            for i in range(len(frames))
            for j in range(i)
        ]
        signals.append(signal[pixels].mean())
        sigmas.append(max(1.0, np.quantile(spreads, 0.25, method="lower") / 2**0.5))
    return np.array(signals), np.array(sigmas)


def _spread(differences: np.ndarray) -> float:
    spread = robust_sigma(differences)
    if spread == 0:  # less noise than a step of the counts
        spread = np.sqrt(np.mean(differences.astype(float) ** 2))
    return float(spread)
