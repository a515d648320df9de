"""A table that names pairs: which frames belong together, and what files do not say."""

from __future__ import annotations

import csv
import glob
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from skadl.data.folders.groups import Group
from skadl.raw.image import check_positive
from skadl.support.strictjson import parse_json

MANIFEST_NAMES = ("pairs.csv", "pairs.json")
COLUMNS = ("scene", "noisy", "clean", "iso", "ratio", "sensor")
_NEEDED = ("noisy", "clean")
_NUMBERS = ("iso", "ratio")
_DELIMITERS = ",;\t"


def read_manifest(path: Path) -> tuple[list[Group], list[str]]:
    """Read which frames make pairs from CSV or JSON, and what is wrong with other rows.

    A frame is a file name, relative to the manifest, or a pattern such as
    ``night/*.dng``; JSON takes lists of them, too.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        records = _parse_json(text) if path.suffix == ".json" else _parse_csv(text)
    except (csv.Error, RecursionError, ValueError) as error:
        raise ValueError(
            f"{path.name} cannot be read as a table of pairs ({error}). It needs the "
            f"columns {' and '.join(_NEEDED)}, and may have "
            f"{', '.join(name for name in COLUMNS if name not in _NEEDED)}."
        ) from error
    if not records:
        raise ValueError(f"{path.name} names no pairs; give a row for each.")
    groups, problems = [], []
    for name, record in records.items():
        try:
            groups.append(_check_record(record, path.parent))
        except (OSError, ValueError) as error:
            problems.append(f"{name}: {error}")
    return groups, problems


def _parse_csv(text: str) -> dict[str, Mapping[str, Any]]:
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns = [column.strip().casefold() for column in next(reader, [])]
    _check_columns(columns)
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise ValueError(f"it has no column {missing[0]!r}")
    records = {}
    for cells in reader:
        if any(cell.strip() for cell in cells):
            name = f"line {reader.line_num}"
            cells = [cell.strip() for cell in cells]
            if any(cells[len(columns) :]):
                raise ValueError(f"{name} has more cells than the header")
            records[name] = dict(zip(columns, cells, strict=False))
    return records


def _parse_json(text: str) -> dict[str, Mapping[str, Any]]:
    parsed = parse_json(text)
    if not isinstance(parsed, list) or not all(isinstance(row, dict) for row in parsed):
        raise ValueError("it is no list of objects")
    for row in parsed:
        _check_columns(row)
    return {f"entry {number}": row for number, row in enumerate(parsed, 1)}


def _check_columns(columns: Iterable[str]) -> None:
    columns = list(columns)
    for column in columns:
        if column not in COLUMNS:
            raise ValueError(f"it has a column {column!r}")
        if columns.count(column) > 1:
            raise ValueError(f"it has the column {column!r} twice")


def _check_record(record: Mapping[str, Any], folder: Path) -> Group:
    given = {key: value for key, value in record.items() if value not in ("", None)}
    for column in _NEEDED:
        if column not in given:
            raise ValueError(f"it names no {column} frame.")
    numbers = {key: check_positive(key, given[key]) for key in _NUMBERS if key in given}
    words = {key: str(given[key]) for key in ("scene", "sensor") if key in given}
    noisy, clean = (_find_frames(given[column], folder) for column in _NEEDED)
    if "scene" not in words:  # pairs that share a clean frame show the same scene
        names = given["clean"]
        words["scene"] = names if isinstance(names, str) else ", ".join(names)
    return Group(noisy=noisy, clean=clean, **numbers, **words)


def _find_frames(given: Any, folder: Path) -> tuple[Path, ...]:
    patterns = given if isinstance(given, list) else [given]
    found: dict[Path, None] = {}
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ValueError(f"a frame is a file name or pattern, got {pattern!r}.")
        if (folder / pattern).is_file():  # a name may hold brackets
            matches = [pattern]
        else:
            matches = sorted(glob.glob(pattern, root_dir=folder))
            matches = [match for match in matches if (folder / match).is_file()]
        if not matches:
            raise ValueError(
                f"there is no file {pattern!r} in {str(folder)!r}; correct the name, "
                "which is relative to the manifest."
            )
        found.update((folder / match, None) for match in matches)
    return tuple(found)
