"""Calibration files: what was measured of sensors, in one small file, safe to pass on.

A safetensors file. Its tensors are the parts of fixed patterns; all else is JSON in its
metadata. What is read is checked like a model file: nothing is run, no length believed.
"""

from __future__ import annotations

import io
import json
import math
import os
import reprlib
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

import skadl
from skadl.noise.sensor_records import declared_arrays, parse_sensors, sensor_records
from skadl.noise.sensors import SensorTable
from skadl.support.digest import UNSEALED, check_digest, seal
from skadl.support.strictjson import check_int, check_names, check_type, parse_json
from skadl.support.writing import atomic_write, check_folder

FORMAT, FORMAT_VERSION = "skadl calibration", 2
_WITHOUT_DIGEST = 1  # the version whose files do not tell that they are damaged
_ENTRY = "skadl"
_LARGEST_HEADER, _LARGEST_FILE = 4 << 20, 2 << 30
_N_BYTES = {"F32": 4, "F16": 2, "U32": 4}
_REFUSALS = (ValueError, OverflowError, RecursionError, safetensors.SafetensorError)


def save_sensors(path: str | os.PathLike, table: SensorTable) -> Path:
    """Write what is known of sensors to one file that `load_sensors` reads back.

    Parameters
    ----------
    path : str or Path
        Written under exactly this name, only when complete.
    table : SensorTable

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    records, arrays = sensor_records(table)
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "skadl_version": skadl.__version__,
        "digest": UNSEALED,
        "sensors": records,
    }
    text = json.dumps(description, ensure_ascii=False, allow_nan=False)
    data = seal(safetensors.numpy.save(arrays, metadata={_ENTRY: text}))
    check_folder(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"{str(path)!r} is a folder; give the name of a file to write."
        )
    with atomic_write(path) as partial:
        partial.write_bytes(data)
    return path


def load_sensors(path: str | os.PathLike) -> SensorTable:
    """Read what ``skadl calibrate`` or `save_sensors` wrote; runs no code of the file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    SensorTable
        For the `meta` of ``fit``, and ``predict(sensor=table.get(name))``.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If it is no calibration file, damaged, or of a newer skadl.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {str(path)!r}; check the name and the folder."
        )
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path.name} is too large to be a calibration file.")
    try:
        return _unpack(path.read_bytes())
    except _REFUSALS as error:
        reason = " ".join(str(error).split()).rstrip(".")[:300]
        raise ValueError(
            f"{path.name} is not a calibration file that can be read: {reason}. Give a "
            "file that skadl calibrate or skadl.save_sensors wrote."
        ) from error


def _unpack(data: bytes) -> SensorTable:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 9 or length > _LARGEST_HEADER or data[8:9] != b"{":
        raise ValueError("it does not begin like a safetensors file")
    is_sealed = check_digest(data[: 8 + length], io.BytesIO(data[8 + length :]))
    header = parse_json(data[8 : 8 + length].decode())
    check_type("the header", header, dict)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or list(metadata) != [_ENTRY]:
        raise ValueError("it has no description by skadl")
    check_type("the description", metadata[_ENTRY], str)
    description = parse_json(metadata[_ENTRY])
    check_type("the description", description, dict)
    if description.get("format") != FORMAT:
        kind = reprlib.repr(description.get("format"))
        raise ValueError(f"its format is {kind}, not {FORMAT!r}")
    names = ("format", "format_version", "skadl_version", "sensors")
    check_names("the description", description, (*names, "digest"), names)
    version = description["format_version"]
    check_int("format_version", version, 1, FORMAT_VERSION)
    if version > _WITHOUT_DIGEST and not is_sealed:
        raise ValueError("its digest cannot be read")
    check_type("sensors", description["sensors"], dict)
    arrays = _read_arrays(data, length, header, declared_arrays(description["sensors"]))
    return parse_sensors(description["sensors"], arrays)


def _read_arrays(
    data: bytes,
    length: int,
    header: dict[str, Any],
    declared: dict[str, tuple[str, list[int]]],
) -> dict[str, np.ndarray]:
    """Compare the tensors with what the description says of them, and read them."""
    check_names("the file", header, declared, declared)
    n_bytes = 8 + length
    for name, (dtype, shape) in declared.items():
        check_type(f"tensor {name!r}", header[name], dict)
        found = header[name].get("dtype"), header[name].get("shape")
        if found != (dtype, shape):
            raise ValueError(f"tensor {name!r} cannot be {reprlib.repr(found)}")
        n_bytes += math.prod(shape) * _N_BYTES[dtype]
    if n_bytes != len(data):
        raise ValueError(f"it has {len(data)} bytes, not {n_bytes}")
    return safetensors.numpy.load(data)
