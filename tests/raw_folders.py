"""Folders of small DNG files as a photographer would leave them."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from skadl import RawImage, RawPair, write_dng
from skadl.datasets import get_camera, make_domain
from skadl.datasets.simulated.camera_noise import add_camera_noise
from skadl.raw.exif_blocks import encode_entry, encode_ifd

CAMERA = "SonyA7S2"
_EXIF_POINTER = 34665


def write_shot(
    path: Path,
    image: RawImage,
    time: float | None = None,
    aperture: float | None = None,
) -> Path:
    """Write a DNG that says its exposure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_dng(path, replace(image, mosaic=np.rint(image.mosaic).astype(np.uint16)))
    entries = [encode_entry(34855, 3, [round(image.iso)])]
    if time is not None:
        entries.append(encode_entry(33434, 5, [float(time)]))
    if aperture is not None:
        entries.append(encode_entry(33437, 5, [float(aperture)]))
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(b"\0" * (file.tell() % 2))
        position = file.tell()
        file.write(encode_ifd(entries, position))
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].tags[_EXIF_POINTER].offset
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack("<HHII", _EXIF_POINTER, 4, 1, position))
    return path


def make_scenes(n_scenes: int, *, size: int = 64, iso=1600, ratio=8) -> list[RawPair]:
    """Simulated pairs, a scene each."""
    return make_domain(
        CAMERA, n_scenes, size=size, iso=iso, ratio=ratio, random_state=3
    )


def make_burst(
    clean: RawImage, n_frames: int, *, iso=1600, ratio=1.0, seed=0
) -> list[RawImage]:
    """Frames of one scene with fresh noise each."""
    rng = np.random.default_rng(seed)
    camera = get_camera(CAMERA)
    return [
        replace(
            clean,
            mosaic=add_camera_noise(
                clean.mosaic, camera, iso, ratio=ratio, random_state=rng
            ),
            iso=iso,
        )
        for _ in range(n_frames)
    ]


def write_scenes(folder: Path, n_scenes: int, **scenes) -> list[RawPair]:
    """Scene folders of one noisy and one clean file; returns what was written."""
    pairs = make_scenes(n_scenes, **scenes)
    for index, pair in enumerate(pairs):
        place = folder / f"scene{index}"
        # Light factor 8: a 128th of the time at 16 times the ISO.
        write_shot(place / "b.dng", pair.noisy, 1 / 1280, 4)
        write_shot(place / "a.dng", replace(pair.clean, iso=100), 0.1, 4)
    return pairs
