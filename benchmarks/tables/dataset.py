"""Pairs on disk for the benchmark: their sensors, and which scenes are tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.tables.run import estimator_parameters
from skadl.data.folders.load import LoadedPairs, load_pairs
from skadl.data.folders.matching import Problem
from skadl.datasets import DatasetPairs, load_eld, load_sid, load_sidd
from skadl.estimators.validation import MIN_TARGET_PAIRS
from skadl.raw.pair import RawPair

OTHER_SENSORS = "sensors"
"""Pool of all sensors but the target."""
_SID_TEST = ("SID-1", "SID-2")  # first digits of the authors' test and val splits
_SIDD_TEST = ("SIDD-002", "SIDD-003", "SIDD-005")  # zhangyi-3/Noise-Synthesis, test.py


@dataclass(frozen=True)
class Dataset:
    """What the benchmark has to know of a kind of dataset.

    Parameters
    ----------
    protocol : str
        That its scores are computed under; see `skadl.evaluation.protocols`.
    load : callable
        Takes the root, returns `LoadedPairs`.
    choose_test : callable
        Takes the scenes of a sensor in order, returns those that are tested on.
    test_rule : str
        The same in words.
    """

    protocol: str
    load: Callable[[Path], LoadedPairs]
    choose_test: Callable[[Sequence[Hashable]], Sequence[Hashable]]
    test_rule: str


def _load_sid(root: Path) -> LoadedPairs:
    parts = load_sid(root), load_sid(root, split="eval", burst="first")
    pairs, problems = (
        tuple(item for part in parts for item in getattr(part, name))
        for name in ("pairs", "problems")
    )
    return DatasetPairs(parts[0].folder, pairs, tuple(dict.fromkeys(problems)))


def _every_second(scenes: Sequence[Hashable]) -> Sequence[Hashable]:
    return scenes[1::2]


def _starting(starts: tuple[str, ...], scenes: Sequence[Hashable]) -> list[Hashable]:
    return [scene for scene in scenes if str(scene).startswith(starts)]


DATASETS = {
    "sid": Dataset(
        "sid", _load_sid, partial(_starting, _SID_TEST), "the authors' val and test"
    ),
    "eld": Dataset("eld", load_eld, _every_second, "every second scene"),
    "sidd": Dataset(
        "sidd", load_sidd, partial(_starting, _SIDD_TEST), "scenes 002, 003 and 005"
    ),
    "folder": Dataset("skadl", load_pairs, _every_second, "every second scene"),
}
"""Datasets by the name that ``skadl bench --dataset`` takes."""


@dataclass(frozen=True, eq=False)
class DatasetSettings:
    """The pairs to choose from, and what all runs on them share.

    Parameters
    ----------
    names : sequence of str
        Of `DATASETS`. The sensors of the first are the targets; further ones only
        add sources.
    roots : sequence of Path
    own, added : mapping of sensor to sequence of RawPair
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
    own: Mapping[str, Sequence[RawPair]]
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
        return DATASETS[self.names[0]].protocol

    @property
    def digest(self) -> str:
        """Short name of these settings; pairs that are no longer there change it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:8]

    def to_json(self) -> str:
        """One line of JSON, the same for the same pairs wherever they lie."""
        listing = [
            [_describe_pair(pair) for sensor in sorted(part) for pair in part[sensor]]
            for part in (self.own, self.added)
        ]
        facts = {
            "datasets": list(self.names),
            "pairs": {name: len(pairs) for name, pairs in self.own.items()},
            "added_pairs": {name: len(pairs) for name, pairs in self.added.items()},
            "listing": hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16],
            "protocol": self.protocol,
            "test_scenes": list(self.test_scenes) or DATASETS[self.names[0]].test_rule,
            "source_pairs": self.source_pairs,
            "test_pairs": self.test_pairs,
            "size": self.size,
            "parameters": dict(self.parameters),
        }
        return json.dumps(facts, sort_keys=True, default=str)

    def split(self, target: str) -> tuple[list[RawPair], list[RawPair]]:
        """Tell the pairs of a target to train on from those to test on, by scene.

        Parameters
        ----------
        target : str

        Returns
        -------
        training, test : list of RawPair
            The same for every seed; no scene is in both.
        """
        pairs = self.own[target]
        scenes = list(dict.fromkeys(pair.scene for pair in pairs))
        if self.test_scenes:
            test = [scene for scene in scenes if str(scene) in self.test_scenes]
        else:
            test = DATASETS[self.names[0]].choose_test(scenes)
        return (
            [pair for pair in pairs if pair.scene not in test],
            [pair for pair in pairs if pair.scene in test],
        )

    def sources(self, target: str) -> dict[str, list[RawPair]]:
        """List the pairs of all other sensors that show no test scene of a target.

        Parameters
        ----------
        target : str

        Returns
        -------
        dict of sensor to list of RawPair
        """
        _, test = self.split(target)
        scenes = {pair.scene for pair in test}
        sources = {
            sensor: [
                pair
                for part in (self.own, self.added)
                for pair in part.get(sensor, ())
                if pair.scene not in scenes
            ]
            for sensor in dict.fromkeys((*self.own, *self.added))
            if sensor != target
        }
        return {sensor: pairs for sensor, pairs in sources.items() if pairs}


def load_datasets(
    names: Sequence[str], roots: Sequence[Path], frames: Path
) -> tuple[DatasetSettings, list[str]]:
    """Look up the pairs of datasets on disk.

    Parameters
    ----------
    names : sequence of str
        Of `DATASETS`.
    roots : sequence of Path
        As many.
    frames : Path
        Folder for a `PatchStore`.

    Returns
    -------
    settings : DatasetSettings
    gaps : list of str
        What is missing or cannot be used, a line each.

    Raises
    ------
    FileNotFoundError
        If a root is missing or is not the dataset's.
    ValueError
        If there are no pairs.
    """
    own: dict[str, list[RawPair]] = {}
    added: dict[str, list[RawPair]] = {}
    gaps = []
    for name, root in zip(names, roots, strict=True):
        if not root.is_dir():
            raise FileNotFoundError(
                f"there is no folder {str(root)!r} for the dataset {name}; give the "
                "one it lies in with --root (`skadl datasets` says where to get it)."
            )
        loaded = DATASETS[name].load(root)
        gaps += [f"{name}, {_describe_gap(loaded, found)}" for found in loaded.problems]
        part = added if own else own
        for pair in loaded:
            part.setdefault(pair.sensor, []).append(pair)
        if not own:
            listed = "; ".join(gaps[:3])
            raise ValueError(
                f"no pairs of {name} can be used in {str(root)!r}: {listed}"
            )
    return DatasetSettings(
        tuple(names),
        tuple(root.absolute() for root in roots),
        own,
        added,
        frames.absolute(),
    ), gaps


def check_targets(
    settings: DatasetSettings, targets: Sequence[str], target_pairs: Sequence[int]
) -> None:
    """Refuse targets for which there is too little.

    Parameters
    ----------
    settings : DatasetSettings
    targets : sequence of str
    target_pairs : sequence of int
        Sizes of T^adp.

    Raises
    ------
    ValueError
        If there is one sensor only, a scene or target is unknown, or a target has no
        pair to test on or too few to train on, or is left without sources.
    """
    known = ", ".join(settings.own)
    every_scene = {str(p.scene) for pairs in settings.own.values() for p in pairs}
    if unknown := [name for name in settings.test_scenes if name not in every_scene]:
        raise ValueError(
            f"--test-scenes has {unknown[0]!r}, which is no scene of "
            f"{settings.names[0]}; it has {', '.join(sorted(every_scene))}."
        )
    if len({*settings.own, *settings.added}) < 2:
        raise ValueError(
            f"the pairs are all of one sensor, {known}, and leaving it out leaves no "
            "source; add pairs of others with one more --dataset NAME --root PATH."
        )
    for target in targets:
        if target not in settings.own:
            raise ValueError(
                f"{settings.names[0]} has no sensor {target!r} to take as new; it has "
                f"{known}."
            )
        training, test = settings.split(target)
        scenes = ", ".join(dict.fromkeys(str(p.scene) for p in settings.own[target]))
        if not test:
            raise ValueError(
                f"sensor {target!r} has no pair to test on, only the scenes {scenes}; "
                "name some of them with --test-scenes, or leave the sensor out with "
                "--targets."
            )
        needed = max(MIN_TARGET_PAIRS, *target_pairs)
        if len(training) < needed:
            raise ValueError(
                f"sensor {target!r} has {len(training)} pairs outside its test scenes, "
                f"{needed} are asked for; give a smaller --target-pairs, fewer "
                f"--test-scenes (of {scenes}), or leave it out with --targets."
            )
        if not settings.sources(target):
            raise ValueError(
                f"every pair of another sensor shows a test scene of {target!r}; name "
                f"fewer of its scenes with --test-scenes (of {scenes})."
            )


def _describe_pair(pair: RawPair) -> list[str]:
    names = [
        "/".join(image.path.parts[-2:]) if image.path else ""
        for image in (pair.noisy, pair.clean)
    ]
    facts = (pair.scene, f"{pair.iso:g}", f"{pair.ratio:g}")
    return [pair.sensor, *names, *map(str, facts)]


def _describe_gap(loaded: LoadedPairs, found: Problem) -> str:
    path, folder = found.path, loaded.folder
    if path != folder and path.is_relative_to(folder):
        return f"{path.relative_to(folder)}: {found.reason}"
    return f"{path.name}: {found.reason}"
