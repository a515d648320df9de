"""Which RAW files of a folder belong together, by their names and places alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skadl.data.folders.manifest import MANIFEST_NAMES, read_manifest
from skadl.data.folders.matching import Problem
from skadl.data.folders.shots import Shot, read_shot
from skadl.raw.rawfile import RAW_SUFFIXES

NOISY_FOLDERS = frozenset({"noisy", "short", "input"})
CLEAN_FOLDERS = frozenset({"clean", "long", "gt"})


@dataclass(frozen=True)
class Request:
    """A file to be read, with what is known of it.

    Parameters
    ----------
    path : Path
    sensor : str or None
    iso : float or None
        Instead of the file's.
    spare_iso : float or None
        Where the file has none.
    """

    path: Path
    sensor: str | None = None
    iso: float | None = None
    spare_iso: float | None = None

    def read(self, **levels: Any) -> Shot:
        """Read the file.

        Parameters
        ----------
        **levels
            `black_level` and `white_level` as in `read_raw`.

        Returns
        -------
        Shot

        Raises
        ------
        OSError, ValueError
            As `read_raw`.
        """
        try:
            return read_shot(self.path, sensor=self.sensor, iso=self.iso, **levels)
        except ValueError:
            if self.spare_iso is None:
                raise
            spare = self.spare_iso
            return read_shot(self.path, sensor=self.sensor, iso=spare, **levels)


@dataclass(frozen=True)
class Group:
    """Files that show one scene.

    Parameters
    ----------
    scene : str
    noisy : tuple of Path
    clean : tuple of Path or None
        None: the exposures are to say which of `noisy` are clean.
    iso, ratio, sensor
        What a manifest says of the noisy frames; None where it does not.
    """

    scene: str
    noisy: tuple[Path, ...]
    clean: tuple[Path, ...] | None = None
    iso: float | None = None
    ratio: float | None = None
    sensor: str | None = None

    def requests(
        self, sensor: str | None, iso: float | None
    ) -> tuple[list[Request], list[Request]]:
        """Say what is to be read for the noisy and for the clean frames.

        Parameters
        ----------
        sensor : str or None
        iso : float or None
            For all files, where the group does not say.

        Returns
        -------
        noisy, clean : list of Request
        """
        sensor = self.sensor or sensor
        noisy = [Request(path, sensor, self.iso or iso) for path in self.noisy]
        # The ISO of a manifest is that of the noisy frame; a clean frame without
        # any is taken to be of the same.
        spare = self.iso if iso is None else None
        clean = [Request(path, sensor, iso, spare) for path in self.clean or ()]
        return noisy, clean


def find_groups(folder: Path) -> tuple[list[Group], list[Problem]]:
    """Find out which files belong together, without reading them.

    Parameters
    ----------
    folder : Path
        Or a manifest.

    Returns
    -------
    groups : list of Group
    problems : list of Problem
        What fits no layout.

    Raises
    ------
    FileNotFoundError, ValueError
        As `skadl.load_pairs`.
    """
    manifests = [folder] if folder.is_file() else []
    if not manifests:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"there is no folder {str(folder)!r}; check the name."
            )
        manifests = [folder / name for name in MANIFEST_NAMES]
        manifests = [path for path in manifests if path.is_file()]
    if len(manifests) > 1:
        raise ValueError(
            f"{str(folder)!r} holds {' and '.join(MANIFEST_NAMES)}; leave one of them, "
            "or give its path instead of the folder's."
        )
    if not manifests:
        return _walk(folder)
    if manifests[0].suffix not in (".csv", ".json"):
        raise ValueError(
            f"{manifests[0].name} is no manifest (.csv or .json) and no folder; give "
            "the folder that holds the RAW files."
        )
    rows, reasons = read_manifest(manifests[0])
    groups = [
        Group(row.scene, row.noisy, row.clean, row.iso, row.ratio, row.sensor)
        for row in rows
    ]
    return groups, [Problem(manifests[0], reason) for reason in reasons]


def _walk(folder: Path) -> tuple[list[Group], list[Problem]]:
    groups, problems = [], []
    for name, subfolders, _ in os.walk(folder):
        place = Path(name)
        scene = place.relative_to(folder).as_posix()
        roles = [s for s in subfolders if s.casefold() in NOISY_FOLDERS | CLEAN_FOLDERS]
        # In place: os.walk goes on with what is left.
        subfolders[:] = sorted(
            s for s in subfolders if s not in roles and not s.startswith(".")
        )
        files = _raw_files(place)
        if files:
            groups.append(Group(folder.name if scene == "." else scene, files))
        noisy = [place / role for role in roles if role.casefold() in NOISY_FOLDERS]
        clean = [place / role for role in roles if role.casefold() in CLEAN_FOLDERS]
        if len(noisy) == len(clean) == 1:
            found, unmatched = _match_names(noisy[0], clean[0], scene)
            groups += found
            problems += unmatched
        elif roles:
            reason = (
                f"noisy frames ({', '.join(sorted(NOISY_FOLDERS))}) and clean frames "
                f"({', '.join(sorted(CLEAN_FOLDERS))}) need one folder each, side by "
                f"side; here there are {', '.join(sorted(roles))}."
            )
            problems.append(Problem(place, reason))
    return groups, problems


def _match_names(
    noisy: Path, clean: Path, place: str
) -> tuple[list[Group], list[Problem]]:
    noisy_frames, clean_frames = _named_frames(noisy), _named_frames(clean)
    prefix = "" if place == "." else f"{place}/"
    groups = [
        Group(prefix + name, files, clean_frames[name])
        for name, files in noisy_frames.items()
        if name in clean_frames
    ]
    problems = []
    for frames, others, partner in (
        (noisy_frames, clean_frames, clean),
        (clean_frames, noisy_frames, noisy),
    ):
        for name in frames.keys() - others.keys():
            reason = f"there is no {name!r} in the folder {partner.name}."
            problems += [Problem(path, reason) for path in frames[name]]
    return groups, sorted(problems, key=lambda problem: problem.path)


def _named_frames(folder: Path) -> dict[str, tuple[Path, ...]]:
    frames: dict[str, tuple[Path, ...]] = {}
    for path in _raw_files(folder):
        frames[path.stem] = (*frames.get(path.stem, ()), path)
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            files = _raw_files(path)
            if files:
                frames[path.name] = (*frames.get(path.name, ()), *files)
    return frames


def _raw_files(folder: Path) -> tuple[Path, ...]:
    # macOS leaves ._name.dng beside name.dng on foreign disks.
    return tuple(
        path
        for path in sorted(folder.iterdir())
        if path.suffix.casefold() in RAW_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )
