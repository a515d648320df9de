"""Figures without a window; the one place that asks for matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skadl.support.extras import import_extra

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(
    width: float, height: float, layout: str | None = "constrained"
) -> Figure:
    """Make a figure of so many inches without pyplot, so no global state changes."""
    figure = import_extra("matplotlib.figure", "plot", "a plot")
    return figure.Figure(figsize=(width, height), dpi=120, layout=layout)
