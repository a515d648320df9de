"""Where a mosaic begins and ends in the image of a RAW file, and its black levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rawpy

from skadl.raw import dng_tags
from skadl.raw.mosaic import find_blocks, mosaic_of, pack_mosaic, unpack_mosaic
from skadl.raw.tiff_tags import TiffTags, numbers

_HEIGHT, _WIDTH = 257, 256
_LONGEST_PATTERN = 64  # sites of a black level's pattern, along each side


@dataclass(frozen=True)
class Window:
    """Which part of an image another one is; all in photosites."""

    old_height: int
    old_width: int
    top: int
    left: int
    height: int
    width: int
    scale: int = 1  # what counts were multiplied by

    @property
    def is_all(self) -> bool:
        """Whether nothing was cut off."""
        sizes = self.height, self.width, self.top, self.left
        return sizes == (self.old_height, self.old_width, 0, 0)

    @property
    def is_within(self) -> bool:
        """Whether it is a part at all."""
        return (
            0 <= self.top <= self.old_height - self.height
            and 0 <= self.left <= self.old_width - self.width
        )


def visible_sizes(raw: rawpy.RawPy) -> rawpy.ImageSizes:
    """Return the sizes of a file; an X-Trans mosaic begins with a whole block.

    Up to two rows and columns of its visible area are left out for that.
    """
    sizes, pattern = raw.sizes, raw.raw_pattern
    if pattern is None or pattern.shape != (6, 6):
        return sizes
    _, (top, left) = find_blocks(visible_colours(raw))
    return sizes._replace(
        top_margin=sizes.top_margin + top,
        left_margin=sizes.left_margin + left,
        height=sizes.height - top,
        width=sizes.width - left,
    )


def visible_colours(raw: rawpy.RawPy, period: int = 6) -> str:
    """Return the colours of the first sites of the visible area, in reading order."""
    # Margins may be odd, so raw_pattern, which starts in the full frame's corner, need
    # not be the pattern of the visible area.
    colours, top, left = raw.color_desc.decode(), *raw.sizes[4:6]
    return "".join(
        colours[raw.raw_color(top + row, left + column)]
        for row in range(period)
        for column in range(period)
    )


def visible_windows(
    tags: TiffTags, sizes: rawpy.ImageSizes, scale: int = 1
) -> tuple[Window, Window] | None:
    """Place LibRaw's visible area in the whole image of a DNG and in its ActiveArea.

    LibRaw hides one more row or column where a margin is odd. None where the tags and
    LibRaw contradict each other.
    """
    whole = [
        int(value)
        for code in (_HEIGHT, _WIDTH)
        for value in numbers(tags.mosaic.get(code))[:1]
    ]
    if len(whole) != 2:
        return None
    area = numbers(tags.find(dng_tags.ACTIVE_AREA)) or [0, 0, *whole]
    if len(area) != 4:
        return None
    top, left, bottom, right = map(int, area)
    visible = sizes.height, sizes.width
    windows = (
        Window(*whole, sizes.top_margin, sizes.left_margin, *visible, scale),
        Window(
            bottom - top,
            right - left,
            sizes.top_margin - top,
            sizes.left_margin - left,
            *visible,
        ),
    )
    return windows if all(window.is_within for window in windows) else None


def dng_black_level(
    tags: TiffTags, window: Window, cfa: str
) -> tuple[float, ...] | None:
    """Read the black levels of the visible area, in CFA reading order.

    From the file itself: LibRaw cuts fractions, and does not shift the pattern where it
    hides a row or column. None where the tags say none.
    """
    levels = numbers(tags.find(dng_tags.BLACK_LEVEL))
    repeat = numbers(tags.find(dng_tags.BLACK_LEVEL_REPEAT_DIM)) or [1, 1]
    if (
        len(repeat) != 2
        or not all(0 < n <= _LONGEST_PATTERN for n in repeat)
        or len(levels) != repeat[0] * repeat[1]
        or not np.isfinite(levels).all()
    ):
        return None
    period = mosaic_of(cfa).period
    pattern = np.reshape(levels, [int(n) for n in repeat])
    pattern = np.tile(pattern, (period, period))  # whole periods of either
    pattern = np.roll(pattern, (-window.top, -window.left), axis=(0, 1))
    offset = sum(
        float(np.mean(deltas)) for deltas in black_level_deltas(tags, window).values()
    )
    planes = pack_mosaic(pattern, cfa).mean(axis=(1, 2))
    block = unpack_mosaic(planes[:, None, None], cfa)
    return tuple(float(level) + offset for level in block.ravel())


def black_level_deltas(tags: TiffTags, window: Window) -> dict[int, np.ndarray]:
    """Read what black differs by from row to row and column to column, in counts.

    Of the whole ActiveArea, by the tag's number, where the file says so.
    """
    found = {}
    for code, length in (
        (dng_tags.BLACK_LEVEL_DELTA_H, window.old_width),
        (dng_tags.BLACK_LEVEL_DELTA_V, window.old_height),
    ):
        deltas = np.asarray(numbers(tags.find(code)), float)
        if len(deltas) == length and np.isfinite(deltas).all():
            found[code] = deltas
    return found
