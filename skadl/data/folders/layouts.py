"""Which RAW files of a folder belong together, by their names and places alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from skadl.data.folders.groups import Group
from skadl.data.folders.manifest import MANIFEST_NAMES, read_manifest
from skadl.data.folders.matching import Problem
from skadl.raw.rawfile import RAW_SUFFIXES

NOISY_FOLDERS = frozenset({"noisy", "short", "input"})
CLEAN_FOLDERS = frozenset({"clean", "long", "gt"})
_WORKBOOKS = frozenset({".xlsx", ".xls", ".xlsm", ".ods", ".numbers"})
_NO_MANIFEST_NAMES = frozenset(f"pairs{suffix}" for suffix in _WORKBOOKS)
_SAVE_AS_CSV = (
    "is a workbook, which skadl does not read; save it in your spreadsheet as "
    "pairs.csv (CSV UTF-8)."
)


def find_groups(folder: Path) -> tuple[list[Group], list[Problem]]:
    """Find, without reading files, which show one scene, and what fits no layout."""
    manifests = [folder] if folder.is_file() else []
    problems: list[Problem] = []
    if not manifests:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"there is no folder {str(folder)!r}; check the name."
            )
        found = {path.name.casefold(): path for path in sorted(folder.iterdir())}
        manifests = [found[name] for name in MANIFEST_NAMES if name in found]
        manifests = [path for path in manifests if path.is_file()]
        problems = [
            Problem(path, _SAVE_AS_CSV)
            for name, path in found.items()
            if not manifests and name in _NO_MANIFEST_NAMES
        ]
    if len(manifests) > 1:
        raise ValueError(
            f"{str(folder)!r} holds {' and '.join(MANIFEST_NAMES)}; leave one of them, "
            "or give its path instead of the folder's."
        )
    if not manifests:
        groups, others = _walk(folder)
        return groups, problems + others
    suffix = manifests[0].suffix.casefold()
    if suffix in _WORKBOOKS:
        raise ValueError(f"{manifests[0].name} {_SAVE_AS_CSV}")
    if suffix not in (".csv", ".json"):
        raise ValueError(
            f"{manifests[0].name} is no manifest (.csv or .json) and no folder; give "
            "the folder that holds the RAW files."
        )
    groups, reasons = read_manifest(manifests[0])
    return groups, [Problem(manifests[0], reason) for reason in reasons]


def _walk(folder: Path) -> tuple[list[Group], list[Problem]]:
    groups, problems = [], []
    root = folder.resolve()
    walked: set[Path] = set()
    # Scenes are often links to another disk. Each real folder counts once, and links
    # to what holds them, which lead round in a circle, not at all.
    for name, subfolders, files in os.walk(folder, followlinks=True):
        place = Path(name)
        real = place.resolve()
        if real in walked:
            subfolders.clear()
            continue
        walked.add(real)
        problems += _dead_links(place, files)
        for inner in [s for s in subfolders if (place / s).is_symlink()]:
            target = (place / inner).resolve()
            if root.is_relative_to(target) or real.is_relative_to(target):
                subfolders.remove(inner)
                reason = "is a link to a folder that holds it; remove it."
                problems.append(Problem(place / inner, reason))
        scene = place.relative_to(folder).as_posix()
        roles = [s for s in subfolders if s.casefold() in NOISY_FOLDERS | CLEAN_FOLDERS]
        # In place: os.walk goes on with what is left.
        subfolders[:] = sorted(
            s for s in subfolders if s not in roles and not s.startswith(".")
        )
        frames = _raw_files(place)
        if frames:
            groups.append(Group(folder.name if scene == "." else scene, frames))
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


def _dead_links(place: Path, names: Sequence[str]) -> list[Problem]:
    """Name links whose target is not there: a disk that is not mounted, say."""
    links = [place / name for name in sorted(names) if not name.startswith(".")]
    return [
        Problem(
            link,
            f"is a link to {os.readlink(link)!r}, which is not there; connect that "
            "disk, or correct the link.",
        )
        for link in links
        if link.is_symlink()
        and not link.exists()
        and link.suffix.casefold() in RAW_SUFFIXES | {""}
    ]


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
