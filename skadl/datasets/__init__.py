"""Simulated cameras, scenes and harmful sets; and readers of the public datasets.

Nothing is downloaded: figures and photographs of the simulation come with the
packages, and `load_sid`, `load_eld` and `load_sidd` read what lies on disk
(`skadl datasets` says where to get it).
"""

from skadl.datasets.catalogue import DATASETS, DatasetFacts
from skadl.datasets.dataset_pairs import DatasetPairs, Missing
from skadl.datasets.eld import load_eld
from skadl.datasets.sid import load_sid
from skadl.datasets.sidd.load import load_sidd
from skadl.datasets.sidd.metadata import SiddMetadata, read_sidd_metadata
from skadl.datasets.simulated.cameras import (
    Camera,
    camera_info,
    camera_names,
    get_camera,
)
from skadl.datasets.simulated.domains import make_domain
from skadl.datasets.simulated.harmful import (
    SPOILED_KINDS,
    make_harmful_noise,
    make_harmful_truth,
    spoil_pairs,
)
from skadl.datasets.simulated.scenes import Scene, make_scenes

__all__ = [
    "DATASETS",
    "SPOILED_KINDS",
    "Camera",
    "DatasetFacts",
    "DatasetPairs",
    "Missing",
    "Scene",
    "SiddMetadata",
    "camera_info",
    "camera_names",
    "get_camera",
    "load_eld",
    "load_sid",
    "load_sidd",
    "make_domain",
    "make_harmful_noise",
    "make_harmful_truth",
    "make_scenes",
    "read_sidd_metadata",
    "spoil_pairs",
]
