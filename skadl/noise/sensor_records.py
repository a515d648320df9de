"""A sensor as plain values and arrays, for files; and back, from files of anyone.

Everything but the fixed pattern is JSON. The pattern's arrays go beside it under names
of their own; what is said of them in the JSON is enough to know type and shape of each
before any is read.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from skadl.noise.fixed_pattern import FixedPattern, PatternAtIso
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.raw.mosaic import mosaic_of
from skadl.support.strictjson import (
    are_numbers,
    as_tuple,
    check_int,
    check_names,
    check_strings,
    check_type,
)

PATTERN_PREFIX = "pattern."
_FIELD = "fixed_pattern"
_MOST_SIDE, _MOST_CELLS, _MOST_ISOS = 2**16, 256, 1000
# Of safetensors, and the type of NumPy that each part of a pattern has.
TYPES = {
    "rows": ("F32", np.float32),
    "columns": ("F32", np.float32),
    "shading": ("F32", np.float32),
    "pixels": ("F16", np.float16),
    "hot": ("U32", np.uint32),
}


def sensor_records(table: SensorTable) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Write sensors as records of plain values, by name, and arrays by name."""
    records, arrays = {}, {}
    for index, (name, info) in enumerate(table.items()):
        records[name] = {
            field.name: _plain(getattr(info, field.name))
            for field in fields(info)
            if field.name != _FIELD
        }
        if info.fixed_pattern is None:
            continue
        by_iso = info.fixed_pattern.by_iso
        records[name][_FIELD] = {
            "number": index,
            "shape": list(info.fixed_pattern.shape),
            "by_iso": [
                {
                    "iso": iso,
                    "error": pattern.error,
                    "n_hot": int(pattern.hot.size),
                    "shading": None
                    if pattern.shading is None
                    else list(pattern.shading.shape[1:]),
                    "pixels": pattern.pixels is not None,
                }
                for iso, pattern in by_iso.items()
            ],
        }
        for place, pattern in enumerate(by_iso.values()):
            for part in TYPES:
                value = getattr(pattern, part)
                if value is not None:
                    arrays[_name(index, place, part)] = np.ascontiguousarray(value)
    return records, arrays


def declared_arrays(records: Mapping[str, Any]) -> dict[str, tuple[str, list[int]]]:
    """Return type and shape of each array that records speak of.

    ValueError where a record cannot be right.
    """
    declared = {}
    for name, record in records.items():
        where = f"the fixed pattern of {reprlib.repr(name)}"
        check_type(f"sensor {reprlib.repr(name)}", record, dict)
        pattern = record.get(_FIELD)
        if pattern is None:
            continue
        check_names(f"sensor {reprlib.repr(name)}", record, record, ["cfa"])
        n_planes = mosaic_of(record["cfa"]).n_planes
        names = ("number", "shape", "by_iso")
        check_type(where, pattern, dict)
        check_names(where, pattern, names, names)
        check_int(f"number of {where}", pattern["number"], 0, len(records) - 1)
        height, width = _pair(where, pattern["shape"], _MOST_SIDE)
        check_type(f"by_iso of {where}", pattern["by_iso"], list)
        if not 1 <= len(pattern["by_iso"]) <= _MOST_ISOS:
            raise ValueError(f"{where} has {len(pattern['by_iso'])} ISOs")
        for place, entry in enumerate(pattern["by_iso"]):
            names = ("iso", "error", "n_hot", "shading", "pixels")
            check_type(f"an entry of {where}", entry, dict)
            check_names(f"an entry of {where}", entry, names, names)
            check_int(f"n_hot of {where}", entry["n_hot"], 0, height * width)
            check_type(f"pixels of {where}", entry["pixels"], bool)
            shapes = {"rows": [height], "columns": [width], "hot": [entry["n_hot"]]}
            if entry["shading"] is not None:
                cells = _pair(where, entry["shading"], _MOST_CELLS)
                shapes["shading"] = [n_planes, *cells]
            if entry["pixels"]:
                shapes["pixels"] = [height, width]
            for part, shape in shapes.items():
                key = _name(pattern["number"], place, part)
                if key in declared:
                    raise ValueError(f"{where} has the array of another sensor")
                declared[key] = TYPES[part][0], shape
    return declared


def parse_sensors(
    records: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> SensorTable:
    """Build the sensors of records whose arrays are as declared; ValueError if not."""
    return SensorTable(
        {name: _parse(name, record, arrays) for name, record in records.items()}
    )


def _parse(name: str, record: Any, arrays: Mapping[str, np.ndarray]) -> SensorInfo:
    where = f"sensor {reprlib.repr(name)}"
    check_type(where, record, dict)
    needed = [field.name for field in fields(SensorInfo) if field.default is MISSING]
    check_names(where, record, [f.name for f in fields(SensorInfo)], needed)
    values = {
        key: {float(iso): as_tuple(entry) for iso, entry in value.items()}
        if isinstance(value, dict)
        else as_tuple(value)
        for key, value in record.items()
        if key != _FIELD
    }
    check_strings(f"notes of {where}", record.get("notes", []))
    black, white = values["black_level"], values["white_level"]
    n_sites = mosaic_of(record["cfa"]).n_planes
    black = black if isinstance(black, tuple) else (black,) * n_sites
    if not are_numbers((*black, white), n_sites + 1):
        raise ValueError(
            f"the levels of {where} are {reprlib.repr(black)} and {reprlib.repr(white)}"
        )
    iso_range = values.get("iso_range")
    if iso_range is not None and not (
        are_numbers(iso_range, 2) and 0 < iso_range[0] <= iso_range[1]
    ):
        raise ValueError(f"iso_range of {where} is {reprlib.repr(iso_range)}")
    pattern = record.get(_FIELD)
    if pattern is not None:
        values[_FIELD] = _parse_pattern(where, pattern, arrays)
    return SensorInfo(**values)


def _parse_pattern(
    where: str, record: dict[str, Any], arrays: Mapping[str, np.ndarray]
) -> FixedPattern:
    by_iso = {}
    for place, entry in enumerate(record["by_iso"]):
        numbers = entry["iso"], entry["error"]
        if not are_numbers(numbers, 2):
            raise ValueError(f"ISO and error of {where} are {reprlib.repr(numbers)}")
        parts = {
            part: arrays.get(_name(record["number"], place, part)) for part in TYPES
        }
        hot = parts["hot"]
        if hot.size > 1 and not (np.diff(hot.astype(np.int64)) > 0).all():
            raise ValueError(f"hot pixels of {where} are not in order")
        by_iso[float(entry["iso"])] = PatternAtIso(**parts, error=entry["error"])
    if len(by_iso) != len(record["by_iso"]):
        raise ValueError(f"the fixed pattern of {where} names an ISO twice")
    return FixedPattern(by_iso)


def _name(number: int, place: int, part: str) -> str:
    return f"{PATTERN_PREFIX}{number}.{place}.{part}"


def _pair(where: str, value: Any, highest: int) -> tuple[int, int]:
    check_type(f"a size in {where}", value, list)
    if len(value) != 2:
        raise ValueError(f"a size in {where} is {reprlib.repr(value)}")
    for length in value:
        check_int(f"a size in {where}", length, 1, highest)
    return value[0], value[1]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):  # by ISO
        return {repr(float(iso)): _plain(entry) for iso, entry in value.items()}
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(entry) for entry in value]
    return value
