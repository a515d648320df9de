"""Untrusted JSON: only finite numbers, unique names and the types expected.

Errors are clauses without a full stop: the reader of the file puts them into its own
sentence.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Collection
from typing import Any

_MOST_DIGITS = 19  # of a 64-bit integer


def parse_json(text: str) -> Any:
    """Parse JSON whose numbers are finite, at most 64 bits, and whose names are unique.

    Every string in it can be encoded. A ValueError if any of this does not hold, a
    RecursionError if it is nested too deeply.

    >>> parse_json('{"psnr": 1e999}')
    Traceback (most recent call last):
    ...
    ValueError: it holds the number '1e999'
    """
    parsed = json.loads(
        text,
        parse_int=_short_int,
        parse_float=_finite_float,
        parse_constant=_finite_float,
        object_pairs_hook=_unique_names,
    )
    json.dumps(parsed, ensure_ascii=False).encode()  # refuses half a surrogate pair
    return parsed


def check_type(what: str, value: Any, kind: type) -> None:
    """Refuse a value of another type, a subclass included: True is no 1 here."""
    if type(value) is not kind:
        raise ValueError(f"{what} must be {kind.__name__}, got {reprlib.repr(value)}")


def check_int(what: str, value: Any, lowest: int, highest: int) -> None:
    """Refuse what is no integer from `lowest` to `highest`."""
    check_type(what, value, int)
    if not lowest <= value <= highest:
        raise ValueError(f"{what} must be {lowest} to {highest}, got {value}")


def check_names(
    where: str,
    record: dict[str, Any],
    known: Collection[str],
    needed: Collection[str] = (),
) -> None:
    """Refuse a record with a name that is not known, or without one that is needed."""
    unknown = [name for name in record if name not in known]
    missing = [name for name in needed if name not in record]
    if unknown or missing:
        what = "has the unknown name" if unknown else "lacks"
        raise ValueError(f"{where} {what} {reprlib.repr(min(unknown or missing))}")


def check_strings(what: str, value: Any) -> tuple[str, ...]:
    """Return a list of strings as a tuple; refuse anything else."""
    check_type(what, value, list)
    for entry in value:
        check_type(f"an entry of {what}", entry, str)
    return tuple(value)


def are_numbers(value: Any, count: int) -> bool:
    """Tell whether a value is a tuple of so many numbers, truth values not counted."""
    return (
        isinstance(value, tuple)
        and len(value) == count
        and all(type(number) in (int, float) for number in value)
    )


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple and anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def _short_int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"it holds the number {reprlib.repr(digits)}")
    return int(digits)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"it holds the number {reprlib.repr(digits)}")
    return number


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a name occurs twice in its description")
    return record
