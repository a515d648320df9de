"""Simulated cameras, scenes and harmful sets; and readers of the public datasets.

Nothing is downloaded: figures and photographs of the simulation come with the
packages, and `load_sid`, `load_eld` and `load_sidd` read what lies on disk
(`skadl datasets` says where to get it). Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skadl.datasets.catalogue import DATASETS as DATASETS
from skadl.datasets.catalogue import DatasetFacts as DatasetFacts

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
    from skadl.datasets.simulated.published import camera_names as camera_names
    from skadl.datasets.simulated.scenes import Scene as Scene
    from skadl.datasets.simulated.scenes import make_scenes as make_scenes

_HOMES = {
    "dataset_pairs": ("DatasetPairs", "Missing"),
    "sidd.metadata": ("SiddMetadata", "read_sidd_metadata"),
    "simulated.cameras": ("Camera", "camera_info", "get_camera"),
    "simulated.domains": ("make_domain",),
    "simulated.harmful": (
        "SPOILED_KINDS",
        "make_harmful_noise",
        "make_harmful_truth",
        "spoil_pairs",
    ),
    "simulated.published": ("camera_names",),
    "simulated.scenes": ("Scene", "make_scenes"),
}
_HOME_OF = {name: f"{__name__}.{h}" for h, names in _HOMES.items() for name in names}
_HOME_OF |= {entry.reader_name: entry.module for entry in DATASETS}

__all__ = ["DATASETS", "DatasetFacts", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value  # from now on without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
