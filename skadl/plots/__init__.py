"""Pictures of images, noise, pairs, and of what a fit accepted.

The figures need matplotlib, the extra ``skadl[plot]``; `render` and
`display_settings` need numpy only. Figures are made without pyplot, so no global state
changes.
"""

from skadl.plots.acceptance import plot_acceptance
from skadl.plots.images import plot_before_after
from skadl.plots.noise import plot_photon_transfer
from skadl.plots.pair import draw_pair
from skadl.plots.rendering import Display, display_settings, render

__all__ = [
    "Display",
    "display_settings",
    "draw_pair",
    "plot_acceptance",
    "plot_before_after",
    "plot_photon_transfer",
    "render",
]
