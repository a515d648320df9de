"""What is taken off a frame before a network sees it, and the noise that is left.

A network is shown light and noise whose mean is 0. What is fixed in the frame, and what
a row has in common, is taken off first. Where a file ends at black, noise has a mean
there: the network keeps it, and it is taken off what was denoised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skadl.noise.clipped_black import (
    LEFT_AT_BLACK,
    ends_at_black,
    mean_where_clipped,
)
from skadl.noise.fixed_pattern import pattern_to_subtract
from skadl.noise.noise_level import NoiseLevel, expected_noise, noise_level
from skadl.noise.row_noise import row_offsets
from skadl.noise.sensors import SensorInfo
from skadl.raw.image import RawImage
from skadl.raw.levels import denormalise
from skadl.raw.lines import share_rows
from skadl.raw.mosaic import crop_to_blocks, mosaic_of, plane_views, unpack_mosaic
from skadl.raw.pair import RawPair

# Row noise of less than this share of the read variance is left: it costs little.
LEAST_ROW_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class FrameOffsets:
    """Counts to take off a frame."""

    counts: np.ndarray | None  # (H, W), float32, perhaps a view; None for nothing
    row_variance: float  # of the row noise among them, in the sensor's counts squared
    clips_black: bool  # whether the frame holds nothing below black


def find_offsets(image: RawImage, info: SensorInfo) -> FrameOffsets:
    """Find the fixed pattern and the row noise of a frame whose sensor is known.

    And whether its file ends at black.

    The pattern of a sensor holds for frames of its size alone; another frame may be any
    part of the sensor's. Figures of a sensor are in its own counts; those of a frame
    may be of another bit depth.
    """
    image = image.with_mosaic(image.mosaic)  # a lazy one would be read anew
    mosaic, shape, clips = image.mosaic, image.mosaic.shape, ends_at_black(image)
    counts, scale = None, image.span / info.span
    if has_pattern(image, info):
        pattern = info.fixed_pattern.at(image.iso)
        counts = pattern_to_subtract(mosaic, image.cfa, pattern, scale)
    row_variance = removed_row_variance(info, image.iso)
    if not row_variance:
        return FrameOffsets(counts, 0.0, clips)
    sides = tuple(side // 2 for side in shape)
    parts = [
        [view[: sides[0], : sides[1]] for view in plane_views(frame, image.cfa)]
        for frame in ((mosaic,) if counts is None else (mosaic, counts))
    ]
    black = image.black_planes + scale * info.offset_at(image.iso)

    def read(rows: slice) -> np.ndarray:
        planes = np.stack([view[rows] for view in parts[0]]).astype(np.float32)
        planes -= black[:, None, None].astype(np.float32)
        if counts is not None:
            planes -= np.stack([view[rows] for view in parts[1]])
        return planes

    gain, read_variance = info.noise_at(image.iso)
    offsets, found = row_offsets(
        read,
        sides,
        scale * gain,
        scale**2 * (read_variance - row_variance),
        scale**2 * row_variance,
    )
    found /= scale**2
    if not found:
        return FrameOffsets(counts, 0.0, clips)
    rows = np.zeros((shape[0], 1), np.float32)
    red_row = 0 if image.cfa[0] == "R" or image.cfa[1] == "R" else 1
    for index, part in enumerate(offsets):
        first = red_row if index == 0 else 1 - red_row
        rows[first : first + 2 * sides[0] : 2, 0] = part
    if counts is None:
        return FrameOffsets(np.broadcast_to(rows, shape), found, clips)
    return FrameOffsets(counts + rows, found, clips)


def has_pattern(image: RawImage, info: SensorInfo) -> bool:
    """Whether a fixed pattern is known for frames of this size."""
    pattern = info.fixed_pattern
    return pattern is not None and pattern.shape == image.mosaic.shape


def removed_row_variance(info: SensorInfo, iso: float) -> float:
    """Row variance that is looked for in frames, in counts squared; 0 for none."""
    # Looked for in planes, whose rows must be rows of the sensor.
    if not info.knows_noise or not share_rows(mosaic_of(info.cfa).n_planes):
        return 0.0
    row_variance, read_variance = info.row_noise_at(iso) ** 2, info.noise_at(iso)[1]
    # Some of the read noise is always the pixel's own.
    row_variance = min(row_variance, 0.9 * read_variance)
    return row_variance if row_variance >= LEAST_ROW_SHARE * read_variance else 0.0


def without_offsets(image: RawImage, offsets: FrameOffsets) -> RawImage:
    """Return the frame without its offsets, in float32; as it is where it has none."""
    if offsets.counts is None:
        return image
    return image.with_mosaic(image.mosaic.astype(np.float32) - offsets.counts)


def shown_noise(info: SensorInfo, image: RawImage, offsets: FrameOffsets) -> NoiseLevel:
    """Noise of a frame without its offsets, as a network is told of it."""
    noise = left_noise(info, image, offsets)
    if not offsets.clips_black:
        return noise
    return NoiseLevel(noise.shot, noise.read * LEFT_AT_BLACK)


def left_noise(info: SensorInfo, image: RawImage, offsets: FrameOffsets) -> NoiseLevel:
    """Noise of a frame without its offsets, had nothing of it been cut off."""
    gain, read_variance = info.noise_at(image.iso)
    read_variance -= offsets.row_variance
    return noise_level(gain, read_variance, image.ratio, info.span)


def clean_as_shown(pair: RawPair, info: SensorInfo) -> RawImage:
    """Return the mean of the noisy frame where its black is clipped, as a clean one.

    A network that keeps means can be trained towards this.
    """
    clean = pair.clean
    whole = expected_noise(info, pair.iso, pair.ratio)
    planes = mean_where_clipped(clean.normalised(), whole.shot, whole.read)
    # In the counts of the clean frame, whose own light factor is as a rule 1.
    counts = denormalise(planes, clean.black_planes, clean.white_level, clean.ratio)
    return clean.with_mosaic(unpack_mosaic(counts, clean.cfa))


def treat_pair(pair: RawPair, info: SensorInfo) -> tuple[RawPair, NoiseLevel]:
    """Return a pair as a network is shown it in training, and the noise it is told."""
    offsets = find_offsets(pair.noisy, info)
    noise = shown_noise(info, pair.noisy, offsets)
    if offsets.counts is None and not offsets.clips_black:
        return pair, noise
    clean = clean_as_shown(pair, info) if offsets.clips_black else pair.clean
    noisy = without_offsets(pair.noisy, offsets)
    if noisy.mosaic.shape != clean.mosaic.shape:  # sides rounded down to even ones
        noisy = noisy.with_mosaic(crop_to_blocks(noisy.mosaic, noisy.cfa))
        clean = clean.with_mosaic(crop_to_blocks(clean.mosaic, clean.cfa))
    return RawPair(noisy, clean, pair.scene), noise


def without_pattern(pair: RawPair, info: SensorInfo) -> RawPair:
    """Return a pair whose noisy frame has no fixed pattern; as it is where none is."""
    if info.fixed_pattern is None or not has_pattern(pair.noisy, info):
        return pair
    plain = replace(info, row_noise=None)
    noisy = without_offsets(pair.noisy, find_offsets(pair.noisy, plain))
    return RawPair(noisy, pair.clean, pair.scene)


def facts_left(info: SensorInfo, iso: float, offsets: FrameOffsets) -> SensorInfo:
    """Return a sensor's facts with the noise that a frame has without its offsets."""
    if not offsets.row_variance:
        return info
    gain, read_variance = info.noise_at(iso)
    read_noise = (read_variance - offsets.row_variance) ** 0.5
    return replace(info, gain={iso: gain}, read_noise={iso: read_noise}, row_noise=None)
