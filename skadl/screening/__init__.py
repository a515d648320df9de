"""Which pairs are no pair of a noisy and a clean frame: alone, and beside others."""

from skadl.screening.screen import (
    ResidualAnalysis,
    Screening,
    analyse_residual,
    analyse_residuals,
    screen,
    screen_pairs,
)

__all__ = [
    "ResidualAnalysis",
    "Screening",
    "analyse_residual",
    "analyse_residuals",
    "screen",
    "screen_pairs",
]
