"""See-in-the-Dark (SID) as it lies on disk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skadl.data.folders.matching import Problem
from skadl.datasets.dataset_pairs import (
    DatasetPairs,
    Missing,
    check_members,
    whole_file_problem,
)
from skadl.raw.exif import read_exposure
from skadl.raw.pair import RawPair
from skadl.raw.rawfile import open_raw

# README.md of cchen156/Learning-to-See-in-the-Dark, "Update Aug, 2018".
MISALIGNED = frozenset({"10034", "10045", "10172"})
# Vandermode/ELD, SID_Sony_15_paired.txt.
INDOOR_SCENES = frozenset(
    "10185 10187 10191 10193 10198 10213 10217 10226 10227 10228 "
    "20188 20201 20208 20210 20211".split()
)


@dataclass(frozen=True)
class _Half:
    """The pictures of one of the two cameras."""

    name: str  # of its folder
    sensor: str
    # Pairs in dataset/*_{train,val,test}_list.txt of the same repository.
    n_pairs: Mapping[str, int]
    black_level: float  # in train_Sony.py and train_Fuji.py; white is 16383 in both
    splits: tuple[str, ...]


HALVES = {
    "Sony": _Half(
        "Sony",
        "SonyA7S2",
        {"train": 1865, "val": 234, "test": 598},
        512.0,
        ("train", "val", "test", "eval", "indoor"),
    ),
    "Fuji": _Half(
        "Fuji",
        "FujiXT2",
        {"train": 1655, "val": 218, "test": 524},
        1024.0,
        ("train", "val", "test", "eval"),
    ),
}
_WHITE_LEVEL = 16383.0
_MOST_RATIO = 300.0  # as in train_Sony.py
_DIGITS = {"train": "0", "test": "1", "val": "2"}
_LISTS = {
    "train": ("train",),
    "val": ("val",),
    "test": ("test",),
    "eval": ("val", "test"),
    "indoor": ("val", "test"),
}
_NAME = re.compile(r"([012]\d{4})_(\d{2})_(\d+(?:\.\d+)?)s\.(?:arw|raf)", re.IGNORECASE)
_LIST_ROW = re.compile(r"(\S+) (\S+) ISO(\d+)(?: F\S+)?")


@dataclass(frozen=True, order=True)
class _Frame:
    """A file by its name: scene, exposure time and place in the burst."""

    scene: str
    seconds: float
    burst: int
    name: str


@dataclass(frozen=True, order=True)
class _Row:
    """A short frame, its long frame, and the ISO of both where a list tells it."""

    short: _Frame
    long: _Frame
    iso: float | None


def load_sid(
    root: str | Path,
    *,
    camera: str = "Sony",
    split: str = "train",
    burst: str = "all",
    exclude_misaligned: bool = True,
    levels: str = "file",
) -> DatasetPairs:
    """Point at the Sony half of See-in-the-Dark (SID): short and long exposures.

    Parameters
    ----------
    root : str or Path
        The folder ``Sony`` (or ``Fuji``), with its ``short`` and ``long``, or the one
        around it.
        The authors' lists (``Sony_train_list.txt`` and so on), if they lie in
        either, say which pairs there should be and their ISO.
    camera : {"Sony", "Fuji"}, default="Sony"
        The Fuji X-T2 has an X-Trans mosaic.
    split : {"train", "val", "test", "eval", "indoor"}, default="train"
        The authors' splits, told by the first digit of a name (0, 2 and 1); "eval"
        is val and test together, "indoor" the 15 scenes of them that ELD lists, of
        Sony alone.
    burst : {"all", "first"}, default="all"
        Every short frame, or only number 00 of each burst, as in ELD's lists: with
        "first" and misaligned scenes kept, the splits have 280, 36, 93, 129
        (``SID_Sony_paired.txt``, also used by PMN) and 45 pairs
        (``SID_Sony_15_paired.txt``); LED's ``valid_*.txt`` is "test".
    exclude_misaligned : bool, default=True
        Leave out scenes 10034, 10045 and 10172, as the authors ask for numbers; they
        do not say of which camera.
        The lists of ELD and PMN still hold them: False for theirs.
    levels : {"file", "fixed"}, default="file"
        Black and white level of each file, or as in the field's code: 512 and 16383,
        of Fuji 1024 and 16383.

    Returns
    -------
    DatasetPairs
        Lazy; sorted by scene, exposure time and number in the burst. The sensor is
        "SonyA7S2", as in `load_eld`, or "FujiXT2"; `RawPair.scene` is "SID-" (of Fuji
        "SID-Fuji-") and the five digits, so that the burst and the ratios of a scene
        stay together. The ratio is ``min(long / short, 300)`` of the times in the
        names: 100, 250 or 300.

    Raises
    ------
    FileNotFoundError
        If there is no such folder in `root`.
    ValueError
        If an option is unknown, or a list cannot be parsed.

    Notes
    -----
    Source: cchen156/Learning-to-See-in-the-Dark, README.md, ``dataset/*_list.txt``
    and ``train_Sony.py``; Vandermode/ELD, ``dataset/sid_dataset.py``.

    Without the lists, pairs are made of the names that are there, and the ISO is
    that of the long frame, which the short ones share. Then a gap shows in the
    number of pairs only. The field's code clips what is below black and above
    white; here nothing is clipped. Whether two scene numbers may show one place is
    not stated anywhere.
    """
    check_members("split", [split], _LISTS)
    check_members("burst", [burst], ("all", "first"))
    check_members("levels", [levels], ("file", "fixed"))
    check_members("camera", [camera], HALVES)
    half = HALVES[camera]
    check_members(f"split of {camera}", [split], half.splits)
    folder = _find_folder(Path(root), half)
    rows, problems = _read_lists(folder, half, _LISTS[split]), []
    if rows is None:
        short, long = (_list_frames(folder / name) for name in ("short", "long"))
        rows, problems = _match_names(folder, half, short, long, _LISTS[split])
    rows = sorted(
        row
        for row in rows
        if (burst == "all" or row.short.burst == 0)
        and (split != "indoor" or row.short.scene in INDOOR_SCENES)
        and not (exclude_misaligned and row.short.scene in MISALIGNED)
    )
    fixed = {}
    if levels == "fixed":
        fixed = {"black_level": half.black_level, "white_level": _WHITE_LEVEL}
    pairs, gaps = _make_pairs(folder, half, rows, fixed)
    return DatasetPairs(folder, tuple(pairs), (*problems, *gaps))


def _find_folder(root: Path, half: _Half) -> Path:
    for folder in (root, root / half.name):
        if (folder / "short").is_dir() and (folder / "long").is_dir():
            return folder
    raise FileNotFoundError(
        f"{str(root)!r} holds neither the folders 'short' and 'long' nor a folder "
        f"{half.name!r} with them; give the folder that {half.name}.zip was unpacked "
        "to (`skadl datasets` says where to get it)."
    )


def _parse_name(name: str) -> _Frame | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    scene, number, seconds = match.groups()
    return _Frame(scene, float(seconds), int(number), name)


def _list_frames(folder: Path) -> list[_Frame]:
    frames = (_parse_name(path.name) for path in folder.iterdir())
    return sorted(frame for frame in frames if frame is not None)


def _read_lists(folder: Path, half: _Half, names: tuple[str, ...]) -> list[_Row] | None:
    """Rows of the authors' lists; None unless every list is there."""
    rows = []
    for name in names:
        file = f"{half.name}_{name}_list.txt"
        found = [place / file for place in (folder, folder.parent)]
        path = next((path for path in found if path.is_file()), None)
        if path is None:
            return None
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if line.strip():
                rows.append(_parse_row(line.strip(), f"{path.name}, line {number}"))
    return rows


def _parse_row(line: str, where: str) -> _Row:
    match = _LIST_ROW.fullmatch(line)
    names = match.groups()[:2] if match else ("", "")
    short, long = (_parse_name(Path(name).name) for name in names)
    if short is None or long is None or short.scene != long.scene:
        raise ValueError(
            f"{where} is {line!r}, not 'short long ISO... F...' with two SID file "
            "names of one scene; copy the list from the authors' repository again."
        )
    return _Row(short, long, float(match[3]))


def _match_names(
    folder: Path,
    half: _Half,
    short: list[_Frame],
    long: list[_Frame],
    splits: tuple[str, ...],
) -> tuple[list[_Row], list[Problem]]:
    """Pair the frames that are there: one long frame serves its whole scene."""
    digits = {_DIGITS[split] for split in splits}
    longs: dict[str, _Frame] = {}
    for frame in long:
        longs.setdefault(frame.scene, frame)
    in_split = [frame for frame in short if frame.scene[0] in digits]
    rows = [_Row(f, longs[f.scene], None) for f in in_split if f.scene in longs]
    shorts = {frame.scene: frame for frame in reversed(in_split)}
    problems = [
        Missing(folder / "short" / shorts[scene].name, "The scene has no long frame.")
        for scene in sorted(set(shorts) - set(longs))
    ]
    problems += [
        Missing(folder / "long" / longs[scene].name, "The scene has no short frames.")
        for scene in sorted(set(longs) - set(shorts))
        if scene[0] in digits
    ]
    expected = sum(half.n_pairs[split] for split in splits)
    if len(rows) < expected:
        names = " and ".join(f"{half.name}_{split}_list.txt" for split in splits)
        reason = (
            f"{len(rows)} of the {expected} pairs published are there; put {names} of "
            "the authors' repository beside the folders to have the others named."
        )
        problems.append(Missing(folder, reason))
    return rows, problems


def _make_pairs(
    folder: Path, half: _Half, rows: list[_Row], fixed: dict[str, float]
) -> tuple[list[RawPair], list[Problem]]:
    scene = "SID-" if half.name == "Sony" else f"SID-{half.name}-"
    pairs, problems = [], []
    by_long: dict[_Frame, list[_Row]] = {}
    for row in rows:
        by_long.setdefault(row.long, []).append(row)
    for long, members in by_long.items():
        long_path = folder / "long" / long.name
        reason = whole_file_problem(long_path)
        iso = members[0].iso
        if reason is None and iso is None:
            iso = read_exposure(long_path)[0]
            reason = None if iso else f"{long_path.name} does not say its ISO."
        if reason is not None:
            kind = Problem if long_path.exists() else Missing
            reason = f"{reason} It is the long frame of {len(members)} pairs."
            problems.append(kind(long_path, reason))
            continue
        metadata = {"sensor": half.sensor, "iso": iso, **fixed}
        clean = open_raw(long_path, **metadata)
        reasons: dict[str, bool] = {}
        for row in members:
            path = folder / "short" / row.short.name
            if reason := whole_file_problem(path):
                reasons[reason] = path.exists()
                continue
            ratio = min(row.long.seconds / row.short.seconds, _MOST_RATIO)
            noisy = open_raw(path, ratio=ratio, **metadata)
            pairs.append(RawPair(noisy, clean, f"{scene}{long.scene}"))
        if reasons:
            kind = Problem if all(reasons.values()) else Missing
            problems.append(kind(long_path, f"Short frames: {' '.join(reasons)}"))
    return pairs, problems
