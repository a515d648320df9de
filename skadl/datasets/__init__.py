"""Simulated cameras with published noise, scenes for them, and harmful sets.

Nothing is downloaded: the figures and the photographs come with the packages.
"""

from skadl.datasets.cameras import Camera, camera_info, camera_names, get_camera
from skadl.datasets.domains import make_domain
from skadl.datasets.harmful import (
    SPOILED_KINDS,
    make_harmful_noise,
    make_harmful_truth,
    spoil_pairs,
)
from skadl.datasets.scenes import Scene, make_scenes

__all__ = [
    "SPOILED_KINDS",
    "Camera",
    "Scene",
    "camera_info",
    "camera_names",
    "get_camera",
    "make_domain",
    "make_harmful_noise",
    "make_harmful_truth",
    "make_scenes",
    "spoil_pairs",
]
