"""Real bursts of several sensors in ``.npz`` files as pairs of a dataset.

A file is what `benchmarks.real_pairs` reads. What comes before the first underscore of
its name is the sensor; what follows, up to the next one, the scene.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.real_pairs import DIM, load_pairs
from skadl.data.folders.load import LoadedPairs
from skadl.raw.pair import RawPair

MOST = 8  # pairs of a file
SKY = "seestar*.npz"


def load_sky(root: Path) -> LoadedPairs:
    """As `load_bursts`, the sensors that photographed the night sky alone."""
    return load_bursts(root, SKY)


def load_bursts(root: Path, which: str = "*.npz") -> LoadedPairs:
    """Read the pairs of every file in a folder, under short names of their sensors."""
    pairs: list[RawPair] = []
    for path in sorted(root.glob(which)):
        sensor, *rest = path.stem.split("_")
        ratio = DIM.get(sensor, 1.0)
        pairs += [
            _named(pair, sensor, _scene(sensor, rest))
            for pair in load_pairs(path, ratio, MOST)
        ]
    return LoadedPairs(root, tuple(pairs))


def _scene(sensor: str, rest: list[str]) -> str:
    """Two nights of one galaxy are one scene; else each file is."""
    return f"{sensor}-{rest[0] if sensor == 'seestar' else '-'.join(rest)}"


def _named(pair: RawPair, sensor: str, scene: str) -> RawPair:
    noisy, clean = (replace(x, sensor=sensor) for x in (pair.noisy, pair.clean))
    return RawPair(noisy, clean, scene)
