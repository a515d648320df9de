"""Pictures of images, of noise, and of what a fit accepted; they need matplotlib."""

from skadl.plots.acceptance import plot_acceptance
from skadl.plots.images import plot_before_after
from skadl.plots.noise import plot_photon_transfer
from skadl.plots.rendering import Display, display_settings, render

__all__ = [
    "Display",
    "display_settings",
    "plot_acceptance",
    "plot_before_after",
    "plot_photon_transfer",
    "render",
]
