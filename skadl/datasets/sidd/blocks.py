"""The block files of SIDD: 40 images of 32 blocks, in two MATLAB arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from skadl.datasets.sidd.instances import (
    BLACK_LEVEL,
    INSTANCE_NAME,
    WHITE_LEVEL,
    SiddInstance,
    held_out_instances,
    parse_instance,
)
from skadl.datasets.sidd.matfile import read_mat
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair

_KINDS = ("Validation", "Benchmark")
_NAMES_FILE = "test_scenes_info.txt"
_DEPTH = 4  # folders from the root down to the two files, at most


def load_blocks(
    root: Path, cfa: Mapping[str, str], group_name: Callable[[SiddInstance], str]
) -> list[RawPair]:
    """Read the blocks of SIDD's validation set or SIDD-CC's test, image by image.

    Mosaics are views into two arrays in memory; `cfa` is the Bayer order by phone.
    """
    noisy_path, clean_path = _find_files(root)
    noisy, clean = (_read_blocks(path) for path in (noisy_path, clean_path))
    if noisy.shape != clean.shape:
        raise ValueError(
            f"{noisy_path.name} has shape {noisy.shape} and {clean_path.name} "
            f"{clean.shape}; they do not belong together."
        )
    pairs = []
    for index, instance in enumerate(_instances(noisy_path, len(noisy))):
        phone = instance.phone
        metadata = (cfa[phone], BLACK_LEVEL, WHITE_LEVEL, phone, instance.iso)
        for block in range(noisy.shape[1]):
            images = (RawImage(a[index, block], *metadata) for a in (noisy, clean))
            pairs.append(RawPair(*images, group_name(instance)))
    return pairs


def _find_files(root: Path) -> tuple[Path, Path]:
    folders = [root] if root.is_dir() else []
    for _ in range(_DEPTH):
        for folder in folders:
            for kind in _KINDS:
                files = [folder / f"{kind}{w}BlocksRaw.mat" for w in ("Noisy", "Gt")]
                if files[0].is_file() and files[1].is_file():
                    return files[0], files[1]
        folders = sorted(
            f for folder in folders for f in folder.iterdir() if f.is_dir()
        )
    raise FileNotFoundError(
        f"{str(root)!r} does not hold ValidationNoisyBlocksRaw.mat and "
        "ValidationGtBlocksRaw.mat side by side (nor SIDD-CC's Benchmark... files; "
        "the clean blocks of SIDD's own benchmark were never published)."
    )


def _read_blocks(path: Path) -> np.ndarray:
    blocks = read_mat(path)
    if blocks.ndim != 4 or blocks.dtype.kind != "f":
        raise ValueError(
            f"{path.name} holds {blocks.dtype} of shape {blocks.shape}, not floats of "
            "shape (images, blocks, height, width)."
        )
    return np.nan_to_num(blocks.astype(np.float32), posinf=1.0, neginf=0.0)


def _instances(path: Path, n_images: int) -> list[SiddInstance]:
    """Instances in the order of the images."""
    listed = path.with_name(_NAMES_FILE)
    if listed.is_file():
        text = listed.read_text("utf-8", errors="replace")
        names = list(dict.fromkeys(m[0] for m in INSTANCE_NAME.finditer(text)))
        source = f"{_NAMES_FILE} names {len(names)} instances"
    else:
        names = list(held_out_instances())
        source = f"{len(names)} instances were held out, and no {_NAMES_FILE} is there"
    if len(names) != n_images:
        raise ValueError(
            f"{path.name} holds {n_images} images, but {source}; put a {_NAMES_FILE} "
            "with one instance name for each image beside it."
        )
    return [parse_instance(name) for name in names]
