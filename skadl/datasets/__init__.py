"""Simulated cameras, scenes and harmful sets; and readers of the public datasets.

Nothing is downloaded: figures and photographs of the simulation come with the
packages, and `load_sid`, `load_eld` and `load_sidd` read what lies on disk
(`skadl datasets` says where to get it). Names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skadl.datasets.catalogue import DATASETS as DATASETS
from skadl.datasets.catalogue import DatasetFacts as DatasetFacts
from skadl.support.lazy import attach

# What completion and type checkers read; a reader of the catalogue that is not here
# is Any to them.
if TYPE_CHECKING:
    from skadl.datasets.dataset_pairs import DatasetPairs as DatasetPairs
    from skadl.datasets.dataset_pairs import Missing as Missing
    from skadl.datasets.eld import load_eld as load_eld
    from skadl.datasets.sid import load_sid as load_sid
    from skadl.datasets.sidd.load import load_sidd as load_sidd
    from skadl.datasets.sidd.metadata import SiddMetadata as SiddMetadata
    from skadl.datasets.sidd.metadata import read_sidd_metadata as read_sidd_metadata
    from skadl.datasets.simulated.cameras import Camera as Camera
    from skadl.datasets.simulated.cameras import camera_info as camera_info
    from skadl.datasets.simulated.cameras import get_camera as get_camera
    from skadl.datasets.simulated.domains import make_domain as make_domain
    from skadl.datasets.simulated.harmful import SPOILED_KINDS as SPOILED_KINDS
    from skadl.datasets.simulated.harmful import (
        make_harmful_noise as make_harmful_noise,
    )
    from skadl.datasets.simulated.harmful import (
        make_harmful_truth as make_harmful_truth,
    )
    from skadl.datasets.simulated.harmful import spoil_pairs as spoil_pairs
    from skadl.datasets.simulated.motion_blur import blur_scene as blur_scene
    from skadl.datasets.simulated.motion_blur import (
        make_motion_kernel as make_motion_kernel,
    )
    from skadl.datasets.simulated.published import camera_names as camera_names
    from skadl.datasets.simulated.scenes import Scene as Scene
    from skadl.datasets.simulated.scenes import make_scenes as make_scenes

__getattr__, __dir__, _names = attach(
    __name__,
    {
        "skadl.datasets.dataset_pairs": "DatasetPairs Missing",
        "skadl.datasets.sidd.metadata": "SiddMetadata read_sidd_metadata",
        "skadl.datasets.simulated.cameras": "Camera camera_info get_camera",
        "skadl.datasets.simulated.domains": "make_domain",
        "skadl.datasets.simulated.harmful": (
            "SPOILED_KINDS make_harmful_noise make_harmful_truth spoil_pairs"
        ),
        "skadl.datasets.simulated.motion_blur": "blur_scene make_motion_kernel",
        "skadl.datasets.simulated.published": "camera_names",
        "skadl.datasets.simulated.scenes": "Scene make_scenes",
        **{entry.module: entry.reader_name for entry in DATASETS},
    },
)
__all__ = ["DATASETS", "DatasetFacts", *_names]
