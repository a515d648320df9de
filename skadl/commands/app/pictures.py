"""Parts of a frame as pictures for the page, a pixel for each block of the mosaic."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skadl.commands.describe_file import describe_image, read_what_is_there
from skadl.plots.rendering import Display, display_settings, render
from skadl.raw.image import RawImage
from skadl.raw.levels import normalise
from skadl.raw.mosaic import mosaic_of, of_mosaic, pack_mosaic, pattern_at
from skadl.raw.thumbnail import average_blocks

MOST_SIDE = 2048  # pixels of a picture that is sent


@dataclass(frozen=True)
class Window:
    """A part of the packed planes, shrunk so that its longer side fits `side`."""

    x: int
    y: int
    width: int
    height: int
    side: int = MOST_SIDE

    def cut(self, planes: np.ndarray) -> np.ndarray:
        """Cut it out of planes (C, h, w); means of blocks where it is shrunk."""
        rows, columns = self._slices(*planes.shape[1:])
        return self._shrink(planes[:, rows, columns])

    def cut_mosaic(self, mosaic: np.ndarray, cfa: str) -> np.ndarray:
        """Cut it out of the planes of a mosaic (H, W), as `cut`."""
        side = mosaic_of(cfa).side
        height, width = (length // side for length in mosaic.shape)
        rows, columns = self._slices(height, width)
        part = mosaic[of_mosaic(rows, height, side), of_mosaic(columns, width, side)]
        return self._shrink(
            pack_mosaic(part, pattern_at(cfa, rows.start, columns.start))
        )

    def _slices(self, height: int, width: int) -> tuple[slice, slice]:
        top, left = min(max(self.y, 0), height - 1), min(max(self.x, 0), width - 1)
        return (
            slice(top, top + max(self.height, 1)),
            slice(left, left + max(self.width, 1)),
        )

    def _shrink(self, part: np.ndarray) -> np.ndarray:
        step = -(-max(part.shape[1:]) // max(1, min(self.side, MOST_SIDE)))
        return part if step == 1 else average_blocks(part, step)


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame in memory, read once: as it is, and denoised once that is done."""

    image: RawImage  # its counts take half of what planes would
    facts: dict[str, Any]  # as `describe_image` gives them
    display: Display  # of both
    denoised: np.ndarray | None = None  # (4, h, w), black at 0, white at 1

    @classmethod
    def read(cls, path: Path) -> Frame:
        """Read a frame, and choose how it is shown, by its means over some pixels."""
        image, *said = read_what_is_there(path)
        side = mosaic_of(image.cfa).side
        height, width = (length // side for length in image.mosaic.shape)
        small = _noisy(image, Window(0, 0, width, height, 500))
        return cls(image, describe_image(image, *said), display_settings(small))

    def png(self, window: Window, strength: float | None = None) -> bytes:
        """Draw a window: as it is, or denoised with some strength (0 to 1)."""
        planes = _noisy(self.image, window)
        if strength is not None and self.denoised is not None:
            planes = planes + strength * (window.cut(self.denoised) - planes)
        picture = Image.fromarray(render(planes, display=self.display))
        written = io.BytesIO()
        picture.save(written, "PNG", compress_level=1)
        return written.getvalue()


def _noisy(image: RawImage, window: Window) -> np.ndarray:
    counts = window.cut_mosaic(image.mosaic, image.cfa)
    return normalise(counts, image.black_planes, image.white_level, image.ratio)
