"""The order of the gallery: first what a newcomer reads first."""

from __future__ import annotations

NAMES = (
    "without_pairs",
    "quick_start",
    "selection_report",
    "harmful_sources",
    "how_many_pairs",
    "calibrate_noise",
    "denoise_raw_to_dng",
    "unseen_sensor",
    "compare_denoisers",
    "faint_stars",
    "grid_search",
    "search_methods",
    "own_gate",
    "own_camera",
    "deblurring",
)


class ReadingOrder:
    """Sort key of the gallery's scripts; a script that is not listed is an error.

    Parameters
    ----------
    src_dir : str
        The folder of the scripts, as sphinx-gallery gives it.
    """

    def __init__(self, src_dir: str):
        self.src_dir = src_dir

    def __call__(self, filename: str) -> int:
        """Place of a script, as ``plot_quick_start.py``."""
        return NAMES.index(filename.removeprefix("plot_").removesuffix(".py"))

    def __repr__(self) -> str:
        return f"ReadingOrder({', '.join(NAMES)})"
