"""Pictures of a fit: before and after, acceptance, and the noise of a sensor.

The figures need matplotlib, the extra ``skadl[plot]``; `render` and
`display_settings`, from :mod:`skadl.raw.rendering`, need numpy only. Figures are made
without pyplot, so no global state changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from skadl.metrics import psnr
from skadl.noise.measuring import TransferCurve, transfer_curve
from skadl.noise.photon_transfer import fit_transfer
from skadl.raw.records import RawImage, RawPair
from skadl.raw.rendering import Display as Display
from skadl.raw.rendering import checked_planes, display_settings, render
from skadl.report import DataSelectionReport
from skadl.report_text import percent, short_label
from skadl.sensors import SensorInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

_ANNOTATED_CELLS = 150
_MOST_LISTED_ISOS = 7  # more are named by a colour bar
_BELOW_THE_KNEE = 30.0  # how far under the read noise the photon-transfer plot reaches
# Layout of plot_before_after, in inches.
_PANEL, _GAP, _LEFT, _TOP, _BOTTOM = 4.0, 0.1, 0.4, 0.4, 0.35


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


def plot_photon_transfer(
    pairs: Sequence[RawPair | TransferCurve],
    info: SensorInfo,
    ax: Axes | None = None,
) -> Figure:
    """Draw noise variance against signal, measured and fitted, one colour an ISO.

    Each point is a bin of pixels of about equal signal in one pair, each line
    ``gain * signal + read_noise**2``: level where read noise rules, rising where
    photon noise does. Points off their line tell of pairs to look at.

    Parameters
    ----------
    pairs : sequence of RawPair or TransferCurve
        Of one sensor.
    info : SensorInfo
        Of that sensor with its noise, as from `skadl.calibrate_sensor`.
    ax : matplotlib Axes, optional
        Axes to draw on; a figure is made by default.

    Returns
    -------
    Figure
        On logarithmic axes. Crosses are pairs that a calibration leaves out.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the noise in `info` is not known, or all pairs are clipped throughout.
    """
    curves = [transfer_curve(p) if isinstance(p, RawPair) else p for p in pairs]
    isos = sorted({curve.iso for curve in curves if curve.signal.size})
    if not isos:
        raise ValueError(
            "no pair has enough unclipped pixels to draw; check levels and exposures."
        )
    noise = {iso: info.noise_at(iso) for iso in isos}
    _, odd = fit_transfer(curves, info.span)
    if ax is None:
        ax = _new_figure(8.0, 5.6).add_subplot()
    from matplotlib import colormaps, colors

    norm = colors.LogNorm(isos[0], max(isos[-1], 1.01 * isos[0]))
    # Without its yellow end, which white paper swallows.
    palette = colors.ListedColormap(colormaps["viridis"](np.linspace(0, 0.88, 256)))
    knees = [read_variance / gain for gain, read_variance in noise.values()]
    left = min(knees) / _BELOW_THE_KNEE
    brightest = max(c.signal.max() for c in curves if c.signal.size)
    right = max(2 * brightest, *knees)
    is_cut = False
    for index, curve in enumerate(curves):
        is_cut |= bool((curve.signal < left).any())
        style = {"marker": "o", "s": 26, "alpha": 0.75, "linewidth": 0}
        if index in odd:
            style = {"marker": "x", "s": 40, "alpha": 0.9, "linewidth": 1.4}
        colour = palette(norm(curve.iso))
        signal = np.maximum(curve.signal, left)
        ax.scatter(signal, curve.variance, color=colour, zorder=3, **style)
    shown = _spread_out(isos, _MOST_LISTED_ISOS)
    signal = np.geomspace(left, right, 200)
    for iso in shown:
        gain, read_variance = noise[iso]
        label = _noise_label(info, iso) if len(shown) == len(isos) else None
        colour = palette(norm(iso))
        variance = gain * signal + read_variance
        ax.plot(signal, variance, color=colour, linewidth=1.6, label=label)
    if len(shown) < len(isos):
        bar = ax.figure.colorbar(_scale(norm, palette), ax=ax, pad=0.02)
        ticks = [f"{iso:g}" for iso in shown]
        bar.set_ticks(shown, labels=ticks)
        bar.minorticks_off()
        bar.set_label("ISO", fontsize=12)
    if n_odd := sum(1 for i in odd if curves[i].signal.size):
        label = f"left out: {n_odd} odd pair{'s' if n_odd > 1 else ''}"
        ax.scatter([], [], color="#555555", marker="x", s=40, label=label)
    ax.set(xscale="log", yscale="log", xlim=(left / 1.15, right))
    if n_entries := len(ax.get_legend_handles_labels()[0]):
        legend = ax.legend(loc="upper left", fontsize=11, framealpha=0.9)
        if len(shown) == len(isos):
            units = "K in counts per electron, read noise in counts"
            legend.set_title(units, prop={"size": 11})
        low, high = ax.get_ylim()  # room for the legend above level lines
        ax.set_ylim(low, high * (high / low) ** (0.04 * n_entries))
    ax.set_title("Photon transfer", loc="left", fontsize=13)
    hint = "; darker bins at the left edge" if is_cut else ""
    ax.set_xlabel(f"signal above black (counts{hint})", fontsize=12)
    ax.set_ylabel("noise variance (counts²)", fontsize=12)
    ax.tick_params(labelsize=11)
    ax.grid(True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax.figure


def _spread_out(values: Sequence[float], most: int) -> list[float]:
    """At most so many of rising values, evenly on a logarithmic scale."""
    if len(values) <= most:
        return list(values)
    wanted = np.geomspace(values[0], values[-1], most)
    nearest = [min(values, key=lambda v: abs(np.log(v / w))) for w in wanted]
    return sorted(set(nearest))


def _noise_label(info: SensorInfo, iso: float) -> str:
    """ISO, gain and read noise, with their errors where they are known at the ISO."""
    gain, read_variance = info.noise_at(iso)
    parts = []
    for name, value, errors in (
        ("K", gain, info.gain_error),
        ("read", read_variance**0.5, info.read_noise_error),
    ):
        error = (errors or {}).get(iso)
        parts.append(
            f"{name} {value:.3g}" + ("" if error is None else f" ±{100 * error:.0f} %")
        )
    return f"ISO {iso:g}:  {',  '.join(parts)}"


def _scale(norm: Normalize, palette: Colormap) -> ScalarMappable:
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(norm, palette)


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
