"""A table that names pairs: which frames belong together, and what files do not say."""

from __future__ import annotations

import codecs
import csv
import glob
import io
import os
import re
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
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_manifest(path: Path) -> tuple[list[Group], list[str]]:
    """Read which frames make pairs from CSV or JSON, and what is wrong with other rows.

    A frame is a file name, relative to the manifest, or a pattern such as
    ``night/*.dng``; JSON takes lists of them, too. Tables as spreadsheets save them are
    read: commas, semicolons or tabs between, decimal commas, UTF-8 or UTF-16.
    """
    try:
        text = _decode(path.read_bytes())
        is_json = path.suffix.casefold() == ".json"
        records = _parse_json(text) if is_json else _parse_csv(text)
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


def _decode(content: bytes) -> str:
    """Decode UTF-8, or the UTF-16 that Excel calls Unicode text."""
    if content.startswith(_UTF16):
        return content.decode("utf-16")
    if b"\0" in content:
        raise ValueError(
            "it holds zero bytes, as UTF-16 without its mark does: save it as CSV UTF-8"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line} is not in UTF-8: in Excel, save it as CSV UTF-8"
        ) from error


def _parse_csv(text: str) -> dict[str, Mapping[str, Any]]:
    lines = text.splitlines() or [""]
    told = re.fullmatch(r"sep=(.)", lines[0].strip(" "), re.IGNORECASE)  # by Excel
    header = lines[1] if told and len(lines) > 1 else lines[0]
    delimiter = told[1] if told else max(_DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    if told:
        next(reader)
    columns = [column.strip().casefold() for column in next(reader, [])]
    while columns and not columns[-1]:  # a spreadsheet's empty columns
        columns.pop()
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
            if delimiter != ",":  # a spreadsheet in a country of decimal commas
                records[name] |= _decimal_points(records[name])
    return records


def _decimal_points(record: Mapping[str, str]) -> dict[str, str]:
    return {
        name: record[name].replace(",", ".")
        for name in _NUMBERS
        if re.fullmatch(r"\d*,\d+", record.get(name, ""))
    }


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
        if re.match(r"[A-Za-z]:[\\/]", pattern) and os.name != "nt":
            raise ValueError(
                f"{pattern!r} is a path of Windows; give it relative to the manifest."
            )
        if "\\" in pattern and not (folder / pattern).is_file():
            pattern = pattern.replace("\\", "/")  # a manifest made on Windows
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
