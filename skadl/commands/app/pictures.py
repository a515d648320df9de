"""Parts of a frame as pictures for the page, one pixel for 2x2 photosites."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from skadl.plots.rendering import Display, display_settings, render
from skadl.raw.image import RawImage
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
        """Cut it out of planes (4, h, w); means of blocks where it is shrunk."""
        _, height, width = planes.shape
        top, left = min(max(self.y, 0), height - 1), min(max(self.x, 0), width - 1)
        part = planes[
            :, top : top + max(self.height, 1), left : left + max(self.width, 1)
        ]
        step = -(-max(part.shape[1:]) // max(1, min(self.side, MOST_SIDE)))
        return part if step == 1 else average_blocks(part, step)


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame in memory: as it is, and denoised once that is done."""

    noisy: np.ndarray  # (4, h, w), black at 0, white at 1
    display: Display  # of both
    denoised: np.ndarray | None = None

    @classmethod
    def of(cls, image: RawImage) -> Frame:
        """Take a frame, and choose how it is shown, by its means over some pixels."""
        planes = image.normalised()
        whole = Window(0, 0, planes.shape[2], planes.shape[1], 500)
        return cls(planes, display_settings(whole.cut(planes)))

    def png(self, window: Window, strength: float | None = None) -> bytes:
        """Draw a window: as it is, or denoised with some strength (0 to 1)."""
        planes = window.cut(self.noisy)
        if strength is not None and self.denoised is not None:
            planes = planes + strength * (window.cut(self.denoised) - planes)
        picture = Image.fromarray(render(planes, display=self.display))
        written = io.BytesIO()
        picture.save(written, "PNG", compress_level=1)
        return written.getvalue()
