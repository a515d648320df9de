"""Which source batches a fit accepted, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skadl.adaptation.report.report import DataSelectionReport
from skadl.plots.canvas import new_figure
from skadl.support.text import percent, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ANNOTATED_CELLS = 150


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
        ax = new_figure(min(2.8 + 0.62 * n_epochs, 12.0), 1.5 + height).add_subplot()
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


def _round_up(fraction: float) -> float:
    """Return the end of a colour scale: the next of a few round fractions."""
    return next(top for top in (0.05, 0.1, 0.2, 0.3, 0.5, 1.0) if fraction <= top)
