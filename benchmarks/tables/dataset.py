"""Pairs on disk for the benchmark: their sensors, and which scenes are tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.tables.real import load_bursts, load_sky
from benchmarks.tables.run import estimator_parameters
from skadl.data.folders.load import LoadedPairs, load_pairs
from skadl.data.folders.matching import Problem
from skadl.datasets import DATASETS as CATALOGUE
from skadl.datasets import DatasetFacts, DatasetPairs
from skadl.datasets.catalogue import Comparison
from skadl.estimators.validation import MIN_TARGET_PAIRS
from skadl.raw.pair import RawPair

OTHER_SENSORS = "sensors"
"""Pool of all sensors but the target."""


@dataclass(frozen=True)
class Dataset:
    """How pairs on disk are read, and how methods are compared on them."""

    comparison: Comparison
    load: Callable[[Path], LoadedPairs]  # takes the root


def _load_parts(entry: DatasetFacts, root: Path) -> LoadedPairs:
    """Read the parts that a comparison takes, as one."""
    read = entry.load_reader()
    parts = [read(root, **options) for options in entry.comparison.parts]
    pairs, problems = (
        tuple(item for part in parts for item in getattr(part, name))
        for name in ("pairs", "problems")
    )
    return DatasetPairs(parts[0].folder, pairs, tuple(dict.fromkeys(problems)))


DATASETS = {
    entry.comparison.name: Dataset(entry.comparison, partial(_load_parts, entry))
    for entry in CATALOGUE
    if entry.comparison is not None
}
DATASETS["folder"] = Dataset(Comparison("folder", protocol="skadl"), load_pairs)
DATASETS["real"] = Dataset(Comparison("real", protocol="skadl"), load_bursts)
DATASETS["sky"] = Dataset(Comparison("sky", protocol="sky"), load_sky)
"""By the name that ``--dataset`` takes: the catalogue's, and pairs of your own."""


@dataclass(frozen=True, eq=False)
class DatasetSettings:
    """The pairs to choose from, and what all runs on them share.

    Parameters
    ----------
    names : sequence of str
        Of `DATASETS`. The sensors of the first are the targets; further ones only
        add sources.
    roots : sequence of Path
    pairs, added : mapping of sensor to sequence of RawPair
        Pairs of the first dataset, and of the further ones. Lazy.
    frames : Path
        Folder of the `PatchStore` that fits read from.
    test_scenes : sequence of str, optional
        Scenes to test on, instead of those by the dataset's rule.
    source_pairs : int, default=60
        Of each source sensor, at most.
    test_pairs : int, optional
        At most; all pairs of the test scenes by default.
    size : int, default=1024
        Side of the window cut from each source frame, in pixels. Frames of the
        target, and those tested on, are whole.
    parameters : mapping
        Every parameter of `ADLDenoiser`; from `estimator_parameters`.
    """

    is_simulated: ClassVar[bool] = False

    names: Sequence[str]
    roots: Sequence[Path]
    pairs: Mapping[str, Sequence[RawPair]]
    added: Mapping[str, Sequence[RawPair]]
    frames: Path
    test_scenes: Sequence[str] = ()
    source_pairs: int = 60
    test_pairs: int | None = None
    size: int = 1024
    parameters: Mapping[str, Any] = field(
        default_factory=lambda: estimator_parameters({})
    )

    @property
    def protocol(self) -> str:
        """Name of the protocol that runs are scored under."""
        return self.comparison.protocol

    @property
    def comparison(self) -> Comparison:
        """That of the first dataset, whose sensors are the targets."""
        return DATASETS[self.names[0]].comparison

    @property
    def digest(self) -> str:
        """Short name of these settings; pairs that are no longer there change it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:8]

    def to_json(self) -> str:
        """One line of JSON, the same for the same pairs wherever they lie."""
        listing = [
            [_describe_pair(pair) for sensor in sorted(part) for pair in part[sensor]]
            for part in (self.pairs, self.added)
        ]
        settings = {
            "datasets": list(self.names),
            "pairs": {name: len(pairs) for name, pairs in self.pairs.items()},
            "added_pairs": {name: len(pairs) for name, pairs in self.added.items()},
            "listing": hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16],
            "protocol": self.protocol,
            "test_scenes": list(self.test_scenes) or self.comparison.test_rule,
            "source_pairs": self.source_pairs,
            "test_pairs": self.test_pairs,
            "size": self.size,
            "parameters": dict(self.parameters),
        }
        return json.dumps(settings, sort_keys=True, default=str)

    def split(self, target: str) -> tuple[list[RawPair], list[RawPair]]:
        """Pairs of a target to train on and to test on; they share no scene."""
        pairs = self.pairs[target]
        scenes = list(dict.fromkeys(pair.scene for pair in pairs))
        if self.test_scenes:
            test = [scene for scene in scenes if str(scene) in self.test_scenes]
        else:
            test = self.comparison.choose_test(scenes)
        return (
            [pair for pair in pairs if pair.scene not in test],
            [pair for pair in pairs if pair.scene in test],
        )

    def sources(self, target: str) -> dict[str, list[RawPair]]:
        """Pairs of all other sensors that show no test scene of a target."""
        _, test = self.split(target)
        scenes = {pair.scene for pair in test}
        sources = {
            sensor: [
                pair
                for part in (self.pairs, self.added)
                for pair in part.get(sensor, ())
                if pair.scene not in scenes
            ]
            for sensor in dict.fromkeys((*self.pairs, *self.added))
            if sensor != target
        }
        return {sensor: pairs for sensor, pairs in sources.items() if pairs}


def load_datasets(
    names: Sequence[str], roots: Sequence[Path], frames: Path
) -> tuple[DatasetSettings, list[str]]:
    """Look up the pairs of `DATASETS` on disk; a line says of each gap what lacks.

    A root that is missing or is not the dataset's is a FileNotFoundError.
    """
    parts: list[dict[str, list[RawPair]]] = [{}, {}]  # of the first, of the others
    gaps = []
    for index, (name, root) in enumerate(zip(names, roots, strict=True)):
        if not root.is_dir():
            raise FileNotFoundError(
                f"there is no folder {str(root)!r} for the dataset {name}; give the "
                "one it lies in with --root (`skadl datasets` says where to get it)."
            )
        loaded = DATASETS[name].load(root)
        gaps += [f"{name}, {_describe_gap(loaded, found)}" for found in loaded.problems]
        for pair in loaded:
            parts[min(index, 1)].setdefault(pair.sensor, []).append(pair)
        if not parts[0]:
            listed = "; ".join(gaps[:3])
            raise ValueError(
                f"no pairs of {name} can be used in {str(root)!r}: {listed}"
            )
    absolute = tuple(root.absolute() for root in roots)
    return DatasetSettings(tuple(names), absolute, *parts, frames.absolute()), gaps


def check_targets(
    settings: DatasetSettings, targets: Sequence[str], target_pairs: Sequence[int]
) -> None:
    """Raise ValueError for targets with too few pairs to train or test on."""
    known = ", ".join(settings.pairs)
    every_scene = {str(p.scene) for pairs in settings.pairs.values() for p in pairs}
    if unknown := [name for name in settings.test_scenes if name not in every_scene]:
        raise ValueError(
            f"--test-scenes has {unknown[0]!r}, which is no scene of "
            f"{settings.names[0]}; it has {', '.join(sorted(every_scene))}."
        )
    if len({*settings.pairs, *settings.added}) < 2:
        raise ValueError(
            f"the pairs are all of one sensor, {known}, and leaving it out leaves no "
            "source; add pairs of others with one more --dataset NAME --root PATH."
        )
    for target in targets:
        if target not in settings.pairs:
            raise ValueError(
                f"{settings.names[0]} has no sensor {target!r} to take as new; it has "
                f"{known}."
            )
        if lack := what_lacks(settings, target, max(target_pairs)):
            scenes = ", ".join(_scenes(settings, target))
            raise ValueError(
                f"{lack}; its scenes are {scenes}. Choose with --target-pairs and "
                "--test-scenes, or leave the sensor out with --targets."
            )


def choose_targets(
    settings: DatasetSettings, target_pairs: Sequence[int]
) -> tuple[list[str], dict[tuple[str, int], str]]:
    """List sensors that can be taken as new; say of the others why not, by number.

    A sensor left out for one number may be a target for a smaller one, and stays a
    source. ValueError if none is left for any.
    """
    check_targets(settings, (), target_pairs)
    lacks = {
        (target, size): lack
        for target in settings.pairs
        for size in target_pairs
        if (lack := what_lacks(settings, target, size))
    }
    targets = [
        target
        for target in settings.pairs
        if any((target, size) not in lacks for size in target_pairs)
    ]
    if not targets:
        raise ValueError(
            f"no sensor of {settings.names[0]} can be taken as new: "
            f"{'; '.join(dict.fromkeys(lacks.values()))}. Give a smaller "
            "--target-pairs or other --test-scenes."
        )
    return targets, lacks


def what_lacks(settings: DatasetSettings, target: str, target_pairs: int) -> str:
    """Say why a sensor cannot be taken as new with so many pairs; empty if it can."""
    training, test = settings.split(target)
    if not test:
        return f"sensor {target!r} has no pair to test on"
    needed = max(MIN_TARGET_PAIRS, target_pairs)
    if len(training) < needed:
        return (
            f"sensor {target!r} has {len(training)} pairs outside its test scenes, "
            f"{needed} are asked for"
        )
    if not settings.sources(target):
        return f"every pair of another sensor shows a test scene of {target!r}"
    return ""


def _scenes(settings: DatasetSettings, target: str) -> list[str]:
    return list(dict.fromkeys(str(pair.scene) for pair in settings.pairs[target]))


def _describe_pair(pair: RawPair) -> list[str]:
    names = [
        "/".join(image.path.parts[-2:]) if image.path else ""
        for image in (pair.noisy, pair.clean)
    ]
    return [pair.sensor, *names, str(pair.scene), f"{pair.iso:g}", f"{pair.ratio:g}"]


def _describe_gap(loaded: LoadedPairs, found: Problem) -> str:
    path, folder = found.path, loaded.folder
    if path != folder and path.is_relative_to(folder):
        return f"{path.relative_to(folder)}: {found.reason}"
    return f"{path.name}: {found.reason}"
