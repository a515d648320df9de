"""Noisy, denoised and clean image side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from skadl.evaluation.metrics import psnr
from skadl.plots.canvas import new_figure
from skadl.plots.rendering import checked_planes, display_settings, render
from skadl.raw.image import RawImage
from skadl.support.text import short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Layout of plot_before_after, in inches.
_PANEL, _GAP, _LEFT, _TOP, _BOTTOM = 4.0, 0.1, 0.4, 0.4, 0.35


def plot_before_after(
    noisy: RawImage | np.ndarray,
    denoised: RawImage | np.ndarray,
    clean: RawImage | np.ndarray | None = None,
    *,
    crop: tuple[int, int, int, int] | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Show an image before and after denoising, whole and enlarged.

    All pictures share the exposure and white balance of the clean image (of the
    denoised one where there is none). With a clean image, titles give the PSNR and a
    third row maps the error.

    Parameters
    ----------
    noisy, denoised, clean : RawImage or ndarray of shape (4, h, w)
        Of one size; see `render`.
    crop : tuple of four ints, optional
        Top, left, height and width of the enlarged part, in packed pixels (half
        those of the mosaic). By default the square with most structure.
    titles : sequence of str, optional
        One for each image given.

    Returns
    -------
    Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If sizes differ, the crop lies outside, or titles do not match in number.
    """
    images = [noisy, denoised] + ([] if clean is None else [clean])
    planes = [checked_planes(image) for image in images]
    if len({image.shape for image in planes}) != 1:
        raise ValueError(
            "images to compare must have one size, got packed shapes "
            f"{[image.shape for image in planes]}."
        )
    if titles is None:
        titles = ("noisy", "denoised", "clean")[: len(images)]
    if len(titles) != len(images):
        raise ValueError(f"got {len(titles)} titles for {len(images)} images.")
    names = [short_label(title, 32) for title in titles]
    display = display_settings(planes[-1])
    pictures = [render(image, display=display) for image in planes]
    height, width = pictures[0].shape[:2]
    if crop is None:
        crop = busiest_square(pictures[-1])
    rows, columns = _check_crop(crop, height, width)

    aspects = [height / width, len(rows) / len(columns)]
    if clean is not None:
        unit = [np.clip(image, 0, 1) for image in planes]
        names[:2] = [
            f"{name}  {psnr(image, unit[2]):.2f} dB"
            for name, image in zip(names, unit[:2], strict=False)
        ]
        aspects.append(height / width)
    axes = _panel_grid(len(images), aspects)
    for upper, lower, name, picture in zip(*axes[:2], names, pictures, strict=True):
        upper.set_title(name, fontsize=13, parse_math=False)
        upper.imshow(picture)
        _outline(upper, rows, columns)
        enlarged = picture[rows.start : rows.stop, columns.start : columns.stop]
        lower.imshow(enlarged, interpolation="nearest")
    axes[0][0].set_ylabel("whole image", fontsize=12)
    axes[1][0].set_ylabel("enlarged", fontsize=12)
    if clean is not None:
        _draw_errors(axes[2], unit)
    return axes[0][0].figure


def _panel_grid(n_columns: int, aspects: Sequence[float]) -> list[list[Axes]]:
    """Place panels to the inch: layout engines leave holes between fixed aspects."""
    heights = [_PANEL * min(max(aspect, 0.3), 2.0) for aspect in aspects]
    total_width = _LEFT + n_columns * (_PANEL + _GAP)
    total_height = _TOP + sum(heights) + _GAP * (len(heights) - 1) + _BOTTOM
    figure = new_figure(total_width, total_height, layout=None)
    grid, top = [], total_height - _TOP
    for height in heights:
        lefts = [_LEFT + column * (_PANEL + _GAP) for column in range(n_columns)]
        boxes = np.array([(left, top - height, _PANEL, height) for left in lefts])
        boxes /= (total_width, total_height, total_width, total_height)
        grid.append([figure.add_axes(box, xticks=[], yticks=[]) for box in boxes])
        top -= height + _GAP
    return grid


def _draw_errors(axes: Sequence[Axes], unit: Sequence[np.ndarray]) -> None:
    """Map the errors of noisy and denoised on one scale, shown in the third cell."""
    errors = [100 * np.abs(image - unit[2]).mean(axis=0) for image in unit[:2]]
    top = max(float(np.percentile(errors[0], 99)), 1e-3)
    for axis, error in zip(axes, errors, strict=False):
        mesh = axis.imshow(error, cmap="magma", vmin=0, vmax=top)
        axis.set_xlabel(f"mean {error.mean():.3g} % of white", fontsize=12)
    axes[0].set_ylabel("absolute error", fontsize=12)
    axes[2].set_axis_off()
    height = axes[2].get_position().height * axes[2].figure.get_figheight()
    thickness = 0.2 / height
    scale = axes[2].inset_axes((0.05, 0.95 - thickness, 0.9, thickness))
    bar = axes[2].figure.colorbar(
        mesh, cax=scale, orientation="horizontal", extend="max"
    )
    bar.set_label("absolute error, mean of planes (% of white)", fontsize=12)
    bar.ax.tick_params(labelsize=11)


def _outline(axis: Axes, rows: range, columns: range) -> None:
    """Draw the border of the enlarged part, white on black to show on anything."""
    left, right = columns.start - 0.5, columns.stop - 0.5
    top, bottom = rows.start - 0.5, rows.stop - 0.5
    for colour, line_width in (("black", 3.0), ("white", 1.2)):
        axis.plot(
            [left, right, right, left, left],
            [top, top, bottom, bottom, top],
            color=colour,
            linewidth=line_width,
        )


def busiest_square(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Find the square, a quarter of the short side, with the strongest gradients."""
    grey = picture.mean(axis=2)
    height, width = grey.shape
    side = max(min(height, width) // 4, min(height, width, 16))
    steps = np.abs(np.diff(grey, axis=0, prepend=grey[:1]))
    steps += np.abs(np.diff(grey, axis=1, prepend=grey[:, :1]))
    n_rows, n_columns = height // side, width // side
    tiles = steps[: n_rows * side, : n_columns * side]
    energy = tiles.reshape(n_rows, side, n_columns, side).sum(axis=(1, 3))
    row, column = np.unravel_index(energy.argmax(), energy.shape)
    return int(row) * side, int(column) * side, side, side


def _check_crop(crop: Sequence[int], height: int, width: int) -> tuple[range, range]:
    top, left, crop_height, crop_width = (int(value) for value in crop)
    rows = range(top, top + crop_height)
    columns = range(left, left + crop_width)
    inside = 0 <= top and 0 <= left and rows.stop <= height and columns.stop <= width
    if not (rows and columns and inside):
        raise ValueError(
            f"crop (top, left, height, width) {tuple(crop)} must lie inside the packed "
            f"image of {height}x{width}."
        )
    return rows, columns
