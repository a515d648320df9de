"""Smartphone Image Denoising Dataset (SIDD), raw, as it lies on disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from skadl.data.folders.matching import Problem
from skadl.datasets.dataset_pairs import (
    DatasetPairs,
    Missing,
    check_members,
    list_problems,
)
from skadl.datasets.sidd.blocks import load_blocks
from skadl.datasets.sidd.instances import (
    BLACK_LEVEL,
    INSTANCE_NAME,
    PHONE_CFA,
    SPLITS,
    WHITE_LEVEL,
    SiddInstance,
    held_out_instances,
    in_split,
    parse_instance,
    released_instances,
)
from skadl.datasets.sidd.matfile import mat_problem, read_mat
from skadl.datasets.sidd.metadata import read_sidd_metadata
from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.mosaic import check_cfa
from skadl.raw.pair import RawPair

_SMALL_FRAMES, _MEDIUM_FRAMES = frozenset({10}), frozenset({10, 11})
_DEPTH = 4  # folders from the root down to the instances, at most
_FILE_NAME = re.compile(
    r"(?:\d{4}_)?(NOISY|GT|METADATA)_RAW_(\d{3})\.mat", re.IGNORECASE
)
# A mosaic contradicts its order if the greens differ by more than _GREENS_DIFFER,
# while the other two sites, taken for red and blue, are alike: they are the greens. In
# frames of mean below _TOO_DARK an error of the black level could do that as well.
_GREENS_DIFFER, _ALIKE = 0.3, 0.05
_TOO_DARK = 0.01


def load_sidd(
    root: str | Path,
    *,
    split: str = "all",
    phones: Sequence[str] | None = None,
    scenes: Sequence[int] | None = None,
    frames: Sequence[int] | None = None,
    cfa: str | Mapping[str, str] = "phone",
    group: str = "scene",
) -> DatasetPairs:
    """Point at the raw half of SIDD: five phones, ten scenes, up to 160 instances.

    Parameters
    ----------
    root : str or Path
        ``SIDD_Small_Raw_Only``, ``SIDD_Medium_Raw`` or SIDD-CC's ``Raw/train``, the
        folder ``Data`` in it, or a folder above; SIDD-Full with its sub-folders is
        read too. For blocks the folder with the two block files.
    split : {"all", "zhang-test", "noise_flow-train", "noise_flow-test", "blocks"}
        "all" (default) is every instance. "zhang-test" is that of Zhang et al.
        (scenes 2, 3 and 5 of GP, IP and S6: 72 frames in SIDD-Medium); the next two
        are the 62 and 22 instances of Noise Flow. "blocks" is the validation set of
        SIDD (``ValidationNoisyBlocksRaw.mat`` and ``ValidationGtBlocksRaw.mat``, 40
        images of 32 blocks) or SIDD-CC's ``test`` (``Benchmark...``).
    phones : sequence of {"G4", "GP", "IP", "N6", "S6"}, optional
        Those alone; they are the names of the sensors.
    scenes : sequence of int, optional
        Those alone, of 1 to 10.
    frames : sequence of int, optional
        Those alone: Small has frame 10, Medium 10 and 11, Full up to 150.
    cfa : {"phone", "metadata"} or mapping of phone to str, default="phone"
        Where the Bayer order is from: a table by phone, the METADATA file beside
        each frame, or the table with the entries given here in place of its own.
    group : {"scene", "instance"}, default="scene"
        What `RawPair.scene` names: "SIDD-001", which all phones share, or the
        instance alone, "SIDD-001-0013". With "instance" the field's way of
        splitting is possible, where training and test pairs show one scene.

    Returns
    -------
    DatasetPairs
        Lazy, but for blocks; sorted by instance and frame. Mosaics are float32 with
        black at 0 and white at 1 and are not clipped; NaN becomes 0. ISO is that in
        the instance's name, the light factor is 1. Among the problems are instances
        of ``Scene_Instances.txt`` beside ``Data`` or, without it, of the 160
        released; frame 10 or 11 where other instances have both; noisy frames
        without clean one; and files that were cut off.

    Raises
    ------
    FileNotFoundError
        If there is no instance, or no block file, below `root`.
    ImportError
        If a file is of MATLAB version 7.3, as those of Small and Medium are, and
        h5py is not installed (``pip install "skadl[sidd]"``).
    ValueError
        If an option is unknown, or `root` holds an instance twice (Small and Medium,
        say). A frame whose greens contradict its Bayer order says so when it is
        read.

    Notes
    -----
    Sources: Abdelhamed, Lin and Brown, "A High-Quality Denoising Dataset for
    Smartphone Cameras", CVPR 2018; BorealisAI/noise_flow, ``sidd/``;
    zhangyi-3/Noise-Synthesis, ``test.py``; the page of SIDD-CC (2026). Small's files
    have no number in front (``NOISY_RAW_010.MAT``) by the code of its users, Medium's
    have (``0001_NOISY_RAW_010.MAT``); both are read everywhere.

    *Levels*: the mosaics have been scaled between black and white already. SIDD
    clips them to [0, 1]; SIDD-CC does not, and says that the S6 clipped at black on
    the device, so that its dark pixels are biased in SIDD: leave it out with
    ``phones=("G4", "GP", "IP", "N6")`` where that matters.

    *Bayer order*: BGGR for G4, GP and N6, RGGB for IP, GRBG for S6, by seven public
    codes. HDF5 shows MATLAB's arrays with the axes swapped, which turns GRBG into
    GBRG and leaves the others; here the axes are put back, so S6 is GRBG. One code
    (YOND) holds GBRG to be right for S6. None of this could be checked on the files
    themselves; ``cfa={"S6": "GBRG"}`` is the other reading.

    *Blocks*: the block files name neither phone nor ISO; images are taken to be the
    40 held-out instances in the order of their numbers, as in public code, or those
    in ``test_scenes_info.txt`` beside them, in the order of that text. Both files
    are held in memory (336 MB each).
    """
    _check_options(split, phones, scenes, frames, group)
    root = Path(root)
    order = _cfa_table(cfa)
    if split == "blocks":
        pairs = load_blocks(root, order or PHONE_CFA, partial(_group_name, group))
        chosen = tuple(p for p in pairs if phones is None or p.sensor in phones)
        return DatasetPairs(root, chosen)
    folders = _find_instances(root)
    expected = _expected_names(folders)
    data = next(iter(folders.values())).parent

    def is_chosen(instance: SiddInstance) -> bool:
        return (
            in_split(instance, split)
            and (phones is None or instance.phone in phones)
            and (scenes is None or int(instance.scene) in scenes)
        )

    listed = {name: _list_files(folder) for name, folder in folders.items()}
    needed = _needed_frames(listed.values(), frames)
    pairs, problems = [], []
    for name in sorted({*folders, *expected}):
        instance = parse_instance(name)
        if not is_chosen(instance):
            continue
        if name not in folders:
            problems.append(Missing(data / name, "The folder is missing."))
            continue
        found, missing, unreadable = _check_frames(listed[name], needed, frames)
        problems += list_problems(folders[name], missing, unreadable)
        for frame in found:
            files = listed[name][frame]
            try:
                frame_cfa = (order or _metadata_cfa(files, instance))[instance.phone]
            except ValueError as error:
                problems.append(Problem(folders[name], str(error)))
                continue
            noisy, clean = (
                _open_frame(files[role], instance, frame_cfa)
                for role in ("NOISY", "GT")
            )
            pairs.append(RawPair(noisy, clean, _group_name(group, instance)))
    return DatasetPairs(root, tuple(pairs), tuple(problems))


def _check_options(
    split: str,
    phones: Sequence[str] | None,
    scenes: Sequence[int] | None,
    frames: Sequence[int] | None,
    group: str,
) -> None:
    choices = [
        ("split", [split], SPLITS),
        ("group", [group], ("scene", "instance")),
        ("phones", phones, PHONE_CFA),
        ("scenes", scenes, range(1, 11)),
        ("frames", frames, range(1, 1000)),
    ]
    for name, values, known in choices:
        if values:
            check_members(name, values, known)
    if split == "blocks" and (scenes is not None or frames is not None):
        raise ValueError(
            "the blocks are chosen by phone alone; leave scenes and frames"
        )


def _cfa_table(cfa: str | Mapping[str, str]) -> dict[str, str] | None:
    """Bayer order by phone; None where the METADATA files are to tell."""
    if isinstance(cfa, Mapping):
        unknown = sorted(set(cfa) - set(PHONE_CFA))
        if unknown:
            raise ValueError(f"cfa maps a phone to its order, got {unknown[0]!r}.")
        return {
            **PHONE_CFA,
            **{phone: check_cfa(order) for phone, order in cfa.items()},
        }
    if cfa not in ("phone", "metadata"):
        raise ValueError(f"cfa must be 'phone', 'metadata' or a mapping, got {cfa!r}.")
    return dict(PHONE_CFA) if cfa == "phone" else None


def _group_name(group: str, instance: SiddInstance) -> str:
    name = f"SIDD-{instance.scene}"
    return name if group == "scene" else f"{name}-{instance.number:04d}"


def _find_instances(root: Path) -> dict[str, Path]:
    """Folders of instances by name, at most `_DEPTH` below the root."""
    found: dict[str, Path] = {}
    level = [root] if root.is_dir() else []
    for _ in range(_DEPTH):
        below = sorted(f for folder in level for f in folder.iterdir() if f.is_dir())
        level = []
        for folder in below:
            if INSTANCE_NAME.fullmatch(folder.name) is None:
                level.append(folder)
            elif folder.name in found:
                raise ValueError(
                    f"{str(root)!r} holds {folder.name} twice, in "
                    f"{str(found[folder.name].parent)!r} and {str(folder.parent)!r}; "
                    "give one of the two."
                )
            else:
                found[folder.name] = folder
    if not found:
        raise FileNotFoundError(
            f"{str(root)!r} holds no folder of a SIDD instance, as Data/"
            f"{released_instances()[0]}; give the folder that SIDD was unpacked to "
            "(`skadl datasets` says where to get it)."
        )
    return dict(sorted(found.items()))


def _expected_names(folders: Mapping[str, Path]) -> tuple[str, ...]:
    """Instances that there should be: those of the list beside, or all released."""
    for parent in {folder.parent for folder in folders.values()}:
        for place in (parent.parent, parent):
            path = place / "Scene_Instances.txt"
            if path.is_file():
                text = path.read_text("utf-8", errors="replace")
                names = {match[0] for match in INSTANCE_NAME.finditer(text)}
                return tuple(sorted(names - set(held_out_instances()) | set(folders)))
    return released_instances()


def _list_files(folder: Path) -> dict[int, dict[str, Path]]:
    """Files of an instance by frame and role, sub-folders of SIDD-Full included."""
    frames: dict[int, dict[str, Path]] = {}
    for path in sorted(
        [*folder.glob("*.[mM][aA][tT]"), *folder.glob("*/*.[mM][aA][tT]")]
    ):
        match = _FILE_NAME.fullmatch(path.name)
        if match is not None:
            frames.setdefault(int(match[2]), {})[match[1].upper()] = path
    return frames


def _needed_frames(
    listed: Iterable[Mapping[int, Mapping]], frames: Sequence[int] | None
) -> frozenset[int]:
    """Frames that every instance should have."""
    if frames is not None:
        return frozenset(frames)
    everywhere = {frame for instance in listed for frame in instance}
    if not everywhere or everywhere == _MEDIUM_FRAMES:
        return frozenset(everywhere or _SMALL_FRAMES)
    return everywhere & _SMALL_FRAMES


def _check_frames(
    files: Mapping[int, Mapping[str, Path]],
    needed: frozenset[int],
    frames: Sequence[int] | None,
) -> tuple[list[int], list[str], list[str]]:
    """Frames of an instance that make pairs; what the others lack, what is wrong."""
    found, missing, unreadable = [], [], []
    for frame in sorted({*files, *needed} if frames is None else needed):
        roles = files.get(frame, {})
        lacking = [
            f"{role}_RAW_{frame:03d}" for role in ("NOISY", "GT") if role not in roles
        ]
        reasons = [
            mat_problem(roles[role]) for role in ("NOISY", "GT") if role in roles
        ]
        unreadable += filter(None, reasons)
        missing += lacking
        if not lacking and not any(reasons):
            found.append(frame)
    return found, missing, unreadable


def _metadata_cfa(files: Mapping[str, Path], instance: SiddInstance) -> dict[str, str]:
    path = files.get("METADATA")
    if path is None:
        raise ValueError("METADATA missing, which was to tell the Bayer order.")
    metadata = read_sidd_metadata(path)
    if metadata.cfa is None:
        raise ValueError(f"{path.name} does not tell the Bayer order.")
    if metadata.iso is not None and metadata.iso != instance.iso:
        raise ValueError(
            f"{path.name} says ISO {metadata.iso:g} and the folder {instance.iso:g}."
        )
    return {instance.phone: metadata.cfa}


def _open_frame(path: Path, instance: SiddInstance, cfa: str) -> LazyRawImage:
    metadata = {
        "cfa": cfa,
        "black_level": BLACK_LEVEL,
        "white_level": WHITE_LEVEL,
        "sensor": instance.phone,
        "iso": instance.iso,
        "ratio": 1.0,
    }
    reader: Callable[[Path], RawImage] = partial(_read_frame, metadata=metadata)
    return LazyRawImage(path, reader, **metadata)


def _read_frame(path: Path, metadata: dict) -> RawImage:
    array = read_mat(path, landscape=True)
    mosaic = np.nan_to_num(array.astype(np.float32), posinf=1.0, neginf=0.0)
    image = RawImage(mosaic, path=path, **metadata)
    _check_greens(image, path)
    return image


def _check_greens(image: RawImage, path: Path) -> None:
    """Refuse a mosaic whose greens lie where its red and blue should be."""
    red, gr, gb, blue = image.packed().mean(axis=(1, 2), dtype=float)
    if min(red, gr, gb, blue) < _TOO_DARK:
        return
    if abs(gr - gb) > _GREENS_DIFFER * max(gr, gb) and (
        abs(red - blue) < _ALIKE * max(red, blue)
    ):
        raise ValueError(
            f"{path.name} is no {image.cfa} mosaic: its greens have means {gr:.3f} and "
            f"{gb:.3f}, its red and blue {red:.3f} and {blue:.3f}; pass "
            f"cfa={{{image.sensor!r}: ...}} with the order that fits."
        )
