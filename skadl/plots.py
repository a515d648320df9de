"""Pictures of a fit: raw images made visible, before and after, acceptance.

`render` and `display_settings` need numpy only; the figures need matplotlib, the
extra ``skadl[plot]``. Figures are made without pyplot, so no global state changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skadl.metrics import psnr
from skadl.records import RawImage
from skadl.report import DataSelectionReport
from skadl.report_text import percent, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIDDLE_GREY = 0.18  # linear light
_GAIN_LIMIT = 8.0  # beyond it, a white balance only colours the noise
_ANNOTATED_CELLS = 150
# Layout of plot_before_after, in inches.
_PANEL, _GAP, _LEFT, _TOP, _BOTTOM = 4.0, 0.1, 0.4, 0.4, 0.35


@dataclass(frozen=True)
class Display:
    """How linear planes become a picture; share one to compare pictures.

    Parameters
    ----------
    exposure : float
        Factor on the linear values, positive.
    white_balance : tuple of three floats
        Factors on red, green and blue, positive.
    """

    exposure: float
    white_balance: tuple[float, float, float]

    def __post_init__(self) -> None:
        factors = np.array((self.exposure, *self.white_balance), dtype=float)
        if factors.shape != (4,) or not (np.isfinite(factors) & (factors > 0)).all():
            raise ValueError(
                "exposure must be one positive number and white_balance three "
                f"(R, G, B), got {self.exposure!r} and {self.white_balance!r}."
            )


def display_settings(
    image: RawImage | np.ndarray,
    *,
    exposure: float | None = None,
    white_balance: tuple[float, float, float] | None = None,
) -> Display:
    """Choose white balance and exposure that show an image well.

    Parameters
    ----------
    image : RawImage or ndarray of shape (4, h, w)
        Planes R, Gr, Gb, B with black at 0 and white at 1. Give the cleanest image
        of those that will share the settings.
    exposure : float, optional
        Used as given. By default the 99th percentile of the balanced image becomes
        white, unless its median would then exceed middle grey (0.18): a starry
        sky, whose percentiles are all background, stays grey.
    white_balance : tuple of three floats, optional
        Used as given. By default the means of red and blue become that of green
        (grey world), within a factor of 8, and the lowest factor is 1, so that
        clipped highlights stay white.

    Returns
    -------
    Display

    Raises
    ------
    ValueError
        If the planes have another shape or hold NaN or infinity, or a given setting
        is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> planes = np.array([0.1, 0.2, 0.2, 0.05]).reshape(4, 1, 1)
    >>> display_settings(planes).white_balance
    (2.0, 1.0, 4.0)
    """
    rgb = _linear_rgb(image)
    if white_balance is None:
        means = np.clip(rgb, 0, 1).mean(axis=(0, 1), dtype=np.float64)
        gains = np.ones(3)
        if means.min() > 0:
            gains = np.clip(means[1] / means, 1 / _GAIN_LIMIT, _GAIN_LIMIT)
        white_balance = tuple((gains / gains.min()).round(6).tolist())
    if exposure is None:
        checked = Display(1.0, white_balance)
        balanced = rgb @ np.array(checked.white_balance)
        middle, high = np.percentile(balanced / 3, (50, 99))
        brightest = max(high, middle / MIDDLE_GREY)
        exposure = float(1 / brightest) if brightest > 1e-6 else 1.0
    return Display(exposure, white_balance)


def render(
    image: RawImage | np.ndarray,
    *,
    display: Display | None = None,
    exposure: float | None = None,
    white_balance: tuple[float, float, float] | None = None,
) -> np.ndarray:
    """Turn a raw image into a picture for the screen, one pixel per 2x2 block.

    Greens are averaged, then white balance, exposure and the sRGB tone curve
    (IEC 61966-2-1) follow. No colour matrix is applied: colours are indicative.

    Parameters
    ----------
    image : RawImage or ndarray of shape (4, h, w)
        A `RawImage` is shown times its light factor; planes are R, Gr, Gb, B with
        black at 0 and white at 1.
    display : Display, optional
        Settings to share between pictures, from `display_settings`.
    exposure, white_balance : optional
        As in `display_settings`, instead of `display`.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8

    Raises
    ------
    ValueError
        If the planes have another shape or hold NaN or infinity, or if `display` is
        given together with one of its parts.

    Examples
    --------
    >>> import numpy as np
    >>> render(np.full((4, 1, 1), 0.18), exposure=1.0)
    array([[[118, 118, 118]]], dtype=uint8)
    """
    if display is None:
        display = display_settings(
            image, exposure=exposure, white_balance=white_balance
        )
    elif exposure is not None or white_balance is not None:
        raise ValueError("give render either display or exposure and white_balance.")
    factors = np.float32(display.exposure) * np.array(display.white_balance, np.float32)
    linear = np.clip(_linear_rgb(image) * factors, 0, 1)
    curved = 1.055 * linear ** np.float32(1 / 2.4) - 0.055
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, curved)
    return np.rint(255 * encoded).astype(np.uint8)


def plot_acceptance(
    report: DataSelectionReport, ax: Axes | None = None, n_epochs: int = 10
) -> Figure:
    """Draw acceptance per source domain and epoch as a heat-map.

    Parameters
    ----------
    report : DataSelectionReport
    ax : matplotlib Axes, optional
        Axes to draw on; a fitting figure is made by default.
    n_epochs : int, default=10
        Number of columns, each an equal share of the iterations.

    Returns
    -------
    Figure
        Cells in which nothing was offered are hatched.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    epochs = report.by_epoch(n_epochs)
    fraction = epochs.fraction
    n_domains = len(epochs.domains)
    if ax is None:
        height = max(min(0.42 * n_domains, 9.0), 0.2 * n_domains, 0.84)
        ax = _new_figure(min(2.8 + 0.62 * n_epochs, 12.0), 1.5 + height).add_subplot()
    ax.set_title("Source batches accepted", loc="left", fontsize=13)
    if not report.n_offered:
        ax.set_axis_off()
        centre = {"transform": ax.transAxes, "ha": "center", "va": "center"}
        ax.text(0.5, 0.5, "no source batches were offered", fontsize=12, **centre)
        return ax.figure
    top = _round_up(float(fraction.max()))
    mesh = ax.imshow(
        100 * fraction,
        cmap="viridis",
        vmin=0,
        vmax=100 * top,
        aspect="auto",
        interpolation="nearest",
    )
    ax.patch.set(facecolor="#e4e4e4", edgecolor="#8a8a8a", hatch="////")
    if fraction.size <= _ANNOTATED_CELLS:
        for (row, column), value in np.ndenumerate(fraction.filled(-1)):
            if value >= 0:
                label = percent(value).removesuffix(" %")
                colour = "black" if value > 0.6 * top else "white"
                where = {"ha": "center", "va": "center", "fontsize": 11}
                ax.text(column, row, label, color=colour, **where)
    labels = [short_label(name, 24) for name in epochs.domains]
    ax.set_yticks(range(n_domains), labels, parse_math=False)
    step = -(-n_epochs // 20)
    ax.set_xticks(range(0, n_epochs, step), range(1, n_epochs + 1, step))
    ax.tick_params(labelsize=11)
    each = (epochs.edges[-1] - epochs.edges[0]) / n_epochs
    hint = "; hatched: none offered" if fraction.mask.any() else ""
    ax.set_xlabel(f"epoch (of {each:.4g} iterations{hint})", fontsize=12)
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02)
    bar.set_label("accepted (%)", fontsize=12)
    return ax.figure


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
    planes = [_checked_planes(image) for image in images]
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
        crop = _busiest_square(pictures[-1])
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
    figure = _new_figure(total_width, total_height, layout=None)
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


def _new_figure(
    width: float, height: float, layout: str | None = "constrained"
) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which is not installed; get it with "
            'pip install "skadl[plot]".'
        ) from error
    return Figure(figsize=(width, height), dpi=120, layout=layout)


def _checked_planes(image: RawImage | np.ndarray) -> np.ndarray:
    planes = image.normalised() if isinstance(image, RawImage) else np.asarray(image)
    if planes.ndim != 3 or planes.shape[0] != 4 or planes.size == 0:
        raise ValueError(
            "an image to show is a RawImage or packed planes of shape (4, h, w) in "
            f"the order R, Gr, Gb, B, got an array of shape {planes.shape}."
        )
    if not np.isfinite(planes).all():
        raise ValueError("an image to show must be finite; got NaN or infinity.")
    return planes.astype(np.float32, copy=False)


def _linear_rgb(image: RawImage | np.ndarray) -> np.ndarray:
    red, green_r, green_b, blue = _checked_planes(image)
    return np.stack([red, (green_r + green_b) / 2, blue], axis=-1)


def _busiest_square(picture: np.ndarray) -> tuple[int, int, int, int]:
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


def _round_up(fraction: float) -> float:
    """Return the end of a colour scale: the next of a few round fractions."""
    return next(top for top in (0.05, 0.1, 0.2, 0.3, 0.5, 1.0) if fraction <= top)
