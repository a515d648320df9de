"""Which RAW files of a folder belong together, by their names and places alone."""

from __future__ import annotations

import os
from pathlib import Path

from skadl.data.folders.groups import Group
from skadl.data.folders.manifest import MANIFEST_NAMES, read_manifest
from skadl.data.folders.matching import Problem
from skadl.raw.rawfile import RAW_SUFFIXES

NOISY_FOLDERS = frozenset({"noisy", "short", "input"})
CLEAN_FOLDERS = frozenset({"clean", "long", "gt"})


def find_groups(folder: Path) -> tuple[list[Group], list[Problem]]:
    """Find, without reading files, which show one scene, and what fits no layout."""
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
    groups, reasons = read_manifest(manifests[0])
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
