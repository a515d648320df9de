"""Figures without a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skadl.plots.rendering import Display as Display

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
