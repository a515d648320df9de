"""Small files in the formats of the public datasets, under their names."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import tifffile
from scipy.io import savemat

COLOUR_CODES = {"R": 0, "G": 1, "B": 2}


def counts(seed: int = 0, shape: tuple[int, int] = (32, 48)) -> np.ndarray:
    """Random counts between black 512 and white 16383."""
    return np.random.default_rng(seed).integers(400, 9000, shape, dtype=np.uint16)


def write_raw(
    path: Path,
    *,
    iso: int = 200,
    seconds: float = 0.1,
    cfa: str = "RGGB",
    seed: int = 0,
) -> Path:
    """Write a DNG with an exposure; LibRaw goes by content, whatever the ending."""
    time = Fraction(seconds).limit_denominator(10000)
    tags = [
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),
        (50708, "s", 0, "Some Camera", True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes(COLOUR_CODES[letter] for letter in cfa), True),
        (50714, "I", 1, 500, True),  # not the field's 512 and 16383
        (50717, "I", 1, 16000, True),
        (34855, "H", 1, iso, True),
        (33434, 5, 1, (time.numerator, time.denominator), True),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # tifffile would add an ending to some names
        tifffile.imwrite(
            file,
            counts(seed),
            photometric=32803,
            metadata=None,
            software=None,
            extratags=tags,
        )
    return path


def write_mat73(path: Path, array: np.ndarray, name: str = "x") -> Path:
    """Write an array as MATLAB's ``save -v7.3`` does: column by column, with a head.

    MathWorks, "MAT-file versions": HDF5 behind a user block of 512 bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        chunked = file.create_dataset(name, data=array.T, compression="gzip")
        chunked.attrs["MATLAB_class"] = np.bytes_(
            {"f4": "single", "f8": "double", "u2": "uint16"}[array.dtype.str[1:]]
        )
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 ."
    with path.open("r+b") as file:
        file.write(head.ljust(124) + b"\x00\x02IM")
    return path


def write_metadata(
    path: Path, *, iso: float = 100, cfa: str = "GRBG", noise=(2e-3, 1e-5), place="file"
) -> Path:
    """Write a METADATA file, its tags in one of the places that phones have."""
    codes = np.array([[COLOUR_CODES[letter] for letter in cfa]], np.uint8)
    tags = np.zeros((3, 1), [("ID", object), ("Type", object), ("Value", object)])
    tags[0, 0] = (33421, 3, np.array([[2, 2]]))
    tags[1, 0] = (33422, 1, codes)
    tags[2, 0] = (51041, 12, np.array([[*noise, *noise]]))
    if place == "file":
        metadata = {"ISOSpeedRatings": iso, "UnknownTags": tags}
    else:
        metadata = {
            "DigitalCamera": {"ISOSpeedRatings": iso},
            "UnknownTags": tags[2:],
        }
        first, second = {"UnknownTags": tags[:2]}, {"Width": 4}
        cell = np.empty((1, 2), object)
        cell[0] = [first, second] if place == "first sub-file" else [second, first]
        metadata["SubIFDs"] = cell
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"metadata": {"Make": "samsung", **metadata}})
    return path
