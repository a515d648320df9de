"""Small pictures for ``skadl denoise --preview``: before and after, or a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from skadl.plots.images import busiest_square
from skadl.plots.rendering import display_settings, render
from skadl.raw.image import RawImage
from skadl.support.text import printable_line
from skadl.support.writing import atomic_write

SHEET = "contact-sheet.jpg"
_SIDE, _GAP, _LINE = 480, 6, 18  # pixels
_SHEET_WIDTH, _MOST_ROWS = 960, 60
_QUALITY = 92  # of the JPEG


def preview_path(output: Path) -> Path:
    """Say where the preview of a result lies: beside it."""
    return output.with_name(f"{output.stem}-preview.jpg")


def write_preview(path: Path, noisy: RawImage, denoised: RawImage) -> None:
    """Write the part with most structure, before and after, pixel for pixel."""
    planes = noisy.normalised(), denoised.normalised()
    display = display_settings(planes[1])
    before, after = (render(x, display=display) for x in planes)
    top, left, height, width = busiest_square(after)
    # That square is small; around it as much as a preview holds.
    rows, columns = (
        _around(middle, whole)
        for middle, whole in (
            (top + height // 2, after.shape[0]),
            (left + width // 2, after.shape[1]),
        )
    )
    gap = np.full((rows.stop - rows.start, _GAP, 3), 255, np.uint8)
    parts = before[rows, columns], gap, after[rows, columns]
    _save(Image.fromarray(np.hstack(parts)), path)


def write_sheet(folder: Path, previews: Sequence[Path]) -> Path:
    """Write the first previews under one another, each with its name."""
    rows = []
    for path in previews[:_MOST_ROWS]:
        with Image.open(path) as picture:
            picture.thumbnail((_SHEET_WIDTH, _SHEET_WIDTH))
            rows.append((path, picture.copy()))
    height = sum(picture.height + _LINE + _GAP for _, picture in rows)
    sheet = Image.new("RGB", (_SHEET_WIDTH, height), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for path, picture in rows:
        name = printable_line(path.name.removesuffix("-preview.jpg"))
        # Pillow's own font has no other letters.
        shown = name.encode("latin-1", "replace").decode("latin-1")
        draw.text((2, top + 2), f"{shown}: before, after", fill="black")
        sheet.paste(picture, (0, top + _LINE))
        top += picture.height + _LINE + _GAP
    _save(sheet, folder / SHEET)
    return folder / SHEET


def _around(middle: int, whole: int) -> slice:
    size = min(_SIDE, whole)
    start = min(max(middle - size // 2, 0), whole - size)
    return slice(start, start + size)


def _save(picture: Image.Image, path: Path) -> None:
    with atomic_write(path) as part:
        picture.save(part, format="JPEG", quality=_QUALITY, subsampling=0)
