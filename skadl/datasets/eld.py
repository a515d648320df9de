"""Extreme Low-light Denoising (ELD) as it lies on disk."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from skadl.data.folders.matching import Problem
from skadl.datasets.dataset_pairs import (
    DatasetPairs,
    Missing,
    check_members,
    list_problems,
    whole_file_problem,
)
from skadl.raw.exif import read_exposure
from skadl.raw.pair import RawPair
from skadl.raw.rawfile import open_raw

CAMERAS = {
    "CanonEOS5D4": ".cr2",
    "CanonEOS70D": ".cr2",
    "CanonEOS700D": ".cr2",
    "NikonD850": ".nef",
    "SonyA7S2": ".arw",
}
"""Folders of ELD, which are its sensors, and the ending of their files."""

PAPER_CAMERAS = ("CanonEOS70D", "CanonEOS700D", "NikonD850", "SonyA7S2")
"""The four cameras of the paper's tables."""

N_FILES = 16
REFERENCES = (1, 6, 11, 16)
# Which frames have a light factor, at ISO 800, 1600 and 3200.
FRAMES = {1: (2, 7, 12), 10: (3, 8, 13), 100: (4, 9, 14), 200: (5, 10, 15)}

_WHITE_LEVEL = 16383.0
_REFERENCE_ISO = 100
_ISOS = (800, 1600, 3200)
# The light factors lie at least a factor of two apart, and EXIF rounds times.
_RATIO_TOLERANCE = 1.4
_STANDARD_NAME = re.compile(r"IMG_(\d{4})", re.IGNORECASE)


def load_eld(
    root: str | Path,
    *,
    cameras: Sequence[str] = PAPER_CAMERAS,
    ratios: Sequence[int] = (100, 200),
    scenes: Sequence[int] = range(1, 11),
    levels: str = "file",
) -> DatasetPairs:
    """Point at Extreme Low-light Denoising (ELD), a test set of five cameras.

    Parameters
    ----------
    root : str or Path
        The folder that holds the cameras' folders, ``SonyA7S2/scene-1`` and so on,
        or the one around it.
    cameras : sequence of str, default=the four of the paper
        Any of "CanonEOS5D4", "CanonEOS70D", "CanonEOS700D", "NikonD850" and
        "SonyA7S2"; these are the sensors' names too.
    ratios : sequence of {1, 10, 100, 200}, default=(100, 200)
        Light factors. The paper's tables are on 100 and 200: 240 pairs.
    scenes : sequence of int, default=range(1, 11)
        Of 1 to 10. LED fits on 1 and 2 and tests on ``range(3, 11)``.
    levels : {"file", "fixed"}, default="file"
        White level of each file, or 16383 for every camera as in the field's code,
        which takes the black level from the file as well.

    Returns
    -------
    DatasetPairs
        Lazy; sorted by camera as given, scene, and number of the file.
        `RawPair.scene` is "ELD-scene-3", the same for all cameras. Mind that each
        camera and scene has one pair per ratio and ISO.

    Raises
    ------
    FileNotFoundError
        If none of the cameras is in `root`.
    ValueError
        If an option is unknown.

    Notes
    -----
    Source: Vandermode/ELD, README.md, ``test_ELD.py`` and ``ELDEvalDataset`` in
    ``dataset/sid_dataset.py``.

    A scene has 16 files. Numbers 1, 6, 11 and 16 are the references at ISO 100; 2 to
    5 are ISO 800, 7 to 10 ISO 1600, 12 to 15 ISO 3200, with the light factors 1, 10,
    100 and 200 in this order. The reference of a frame is the one with the nearest
    number: the one before for 1 and 10, the one after for 100 and 200. The light
    factor of a pair is ``(ISO * time)`` of the reference over that of the frame,
    from EXIF, so it may differ a little from the nominal one.

    Files under a camera's own names are numbered in the order of their names, as
    ``ELD_preprocess.py`` does, if there are 16. The first release had 17 and 18
    files in two scenes, which shifts the numbers (issue 21 there): such a scene is
    left out, and so is a frame whose EXIF does not fit its number. That the cameras
    shot the same ten scenes is inferred from the numbers; the group is the same for
    all so that nothing can leak.

    The field's code clips to [0, 1] before it multiplies by the light factor; here
    nothing is clipped.
    """
    check_members("cameras", cameras, CAMERAS)
    check_members("ratios", ratios, FRAMES)
    check_members("scenes", scenes, range(1, 11))
    check_members("levels", [levels], ("file", "fixed"))
    folder = _find_folder(Path(root), cameras)
    white_level = _WHITE_LEVEL if levels == "fixed" else None
    numbers = sorted(number for ratio in set(ratios) for number in FRAMES[ratio])
    pairs, problems = [], []
    for camera in dict.fromkeys(cameras):
        if not (folder / camera).is_dir():
            problems.append(Missing(folder / camera, "The folder is missing."))
            continue
        for scene in sorted(set(scenes)):
            place = folder / camera / f"scene-{scene}"
            if not place.is_dir():
                problems.append(Missing(place, "The folder is missing."))
                continue
            try:
                files = _number_files(place, camera)
            except ValueError as error:
                problems.append(Problem(place, str(error)))
                continue
            found, missing, unreadable = _pair_scene(files, numbers)
            for number, reference, iso, ratio in found:
                metadata = {"sensor": camera, "white_level": white_level}
                noisy = open_raw(files[number], iso=iso, ratio=ratio, **metadata)
                clean = open_raw(files[reference], iso=_REFERENCE_ISO, **metadata)
                pairs.append(RawPair(noisy, clean, f"ELD-scene-{scene}"))
            problems += list_problems(place, missing, unreadable)
    return DatasetPairs(folder, tuple(pairs), tuple(problems))


def nearest_reference(number: int) -> int:
    """Choose the clean frame for frame `number` of a scene: one of `REFERENCES`.

    >>> [nearest_reference(number) for number in (2, 3, 4, 5)]
    [1, 1, 6, 6]
    """
    return min(REFERENCES, key=lambda reference: abs(reference - number))


def _find_folder(root: Path, cameras: Sequence[str]) -> Path:
    for folder in (root, root / "ELD"):
        if any((folder / camera).is_dir() for camera in cameras):
            return folder
    raise FileNotFoundError(
        f"{str(root)!r} holds none of the folders {', '.join(cameras)}; give the "
        "folder that ELD.7z was unpacked to (`skadl datasets` says where to get it)."
    )


def _number_files(folder: Path, camera: str) -> dict[int, Path]:
    """Files of a scene by number; ValueError if the numbers cannot be trusted."""
    suffix = CAMERAS[camera]
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() == suffix)
    if len(files) > N_FILES:
        raise ValueError(
            f"There are {len(files)} {suffix} files instead of {N_FILES}, so that "
            "their numbers mean nothing (as in the first release of ELD); get the "
            "current one."
        )
    names = [_STANDARD_NAME.fullmatch(path.stem) for path in files]
    if all(names):
        numbers = [int(name[1]) for name in names]
        if any(not 1 <= number <= N_FILES for number in numbers):
            raise ValueError(f"A file has a number beyond {N_FILES}; get ELD again.")
        return dict(zip(numbers, files, strict=True))
    if len(files) == N_FILES:
        return dict(enumerate(files, 1))
    raise ValueError(
        f"There are {len(files)} {suffix} files that are not called IMG_0001 to "
        f"IMG_{N_FILES:04d}; only {N_FILES} files can be numbered by their order."
    )


def _pair_scene(
    files: dict[int, Path], numbers: Sequence[int]
) -> tuple[list[tuple[int, int, float, float]], list[str], list[str]]:
    """Frame, reference, ISO and light factor of each pair; what lacks and what errs."""
    references = {nearest_reference(number) for number in numbers}
    needed = sorted({*numbers, *references})
    exposures: dict[int, tuple[float, float]] = {}
    missing, unreadable = [], []
    for number in needed:
        if number not in files:
            missing.append(f"IMG_{number:04d}")
            continue
        reason = whole_file_problem(files[number])
        iso, seconds = (None, None) if reason else read_exposure(files[number])
        if iso and seconds:
            exposures[number] = iso, seconds
        else:
            reason = reason or f"{files[number].name} has no ISO and time in its EXIF."
            unreadable.append(reason)
    pairs = []
    for number in numbers:
        reference = nearest_reference(number)
        if number in exposures and reference in exposures:
            iso = exposures[number][0]
            ratio = math.prod(exposures[reference]) / math.prod(exposures[number])
            if reason := _contradiction(number, iso, exposures[reference][0], ratio):
                unreadable.append(f"{files[number].name} {reason}")
            else:
                pairs.append((number, reference, iso, ratio))
    return pairs, missing, unreadable


def _contradiction(
    number: int, iso: float, reference_iso: float, ratio: float
) -> str | None:
    """Say what in EXIF does not fit the number of a frame."""
    row, position = divmod(number - 2, 5)
    nominal = list(FRAMES)[position]
    if iso != _ISOS[row] or reference_iso != _REFERENCE_ISO:
        return (
            f"and its reference are ISO {iso:g} and {reference_iso:g} by EXIF, not "
            f"{_ISOS[row]} and {_REFERENCE_ISO}: the files are out of order."
        )
    if not 1 / _RATIO_TOLERANCE < ratio / nominal < _RATIO_TOLERANCE:
        return (
            f"has light factor {ratio:g} by EXIF, not about {nominal}: the files are "
            "out of order."
        )
    return None
