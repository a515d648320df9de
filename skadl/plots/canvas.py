"""Figures without a window; the one place that asks for matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(
    width: float, height: float, layout: str | None = "constrained"
) -> Figure:
    """Make a figure of so many inches without pyplot, so no global state changes."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which is not installed; get it with "
            'pip install "skadl[plot]".'
        ) from error
    return Figure(figsize=(width, height), dpi=120, layout=layout)
