"""Blocks of EXIF tags (IFDs) as bytes, as *TIFF Revision 6.0*, section 2, has them."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

# Types of a tag's values.
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL = 1, 2, 3, 4, 5, 7, 10
DOUBLE = 12
_NUMBER_FORMATS = {BYTE: "B", SHORT: "H", LONG: "I", UNDEFINED: "B", DOUBLE: "d"}
_RATIO_LIMITS = {RATIONAL: (0, 2**32 - 1), SRATIONAL: (-(2**31), 2**31 - 1)}
_LONGEST_TEXT = 1000
# What struct and fractions raise for values that are not of a type.
_MISFITS = (struct.error, ArithmeticError, AttributeError, TypeError, ValueError)


class ExifEntry(NamedTuple):
    """One tag, encoded for a little-endian file."""

    code: int
    type: int
    count: int
    payload: bytes


def encode_entry(code: int, type_: int, values: Any) -> ExifEntry:
    """Encode one tag; ValueError if there is no value or one does not fit the type.

    >>> entry = encode_entry(33434, RATIONAL, [0.5])
    >>> list(entry.payload)
    [1, 0, 0, 0, 2, 0, 0, 0]
    """
    if type_ == ASCII:
        text = str(values).strip("\0 ")[:_LONGEST_TEXT]
        payload = text.encode(errors="replace") + b"\0"
        count = len(payload) if text else 0
    else:
        count = len(values)
        try:
            if type_ in _NUMBER_FORMATS:
                payload = struct.pack(f"<{count}{_NUMBER_FORMATS[type_]}", *values)
            else:
                payload = b"".join(_encode_ratio(value, type_) for value in values)
        except _MISFITS as error:
            raise ValueError(f"EXIF tag {code} cannot hold {values!r}.") from error
    if count == 0:
        raise ValueError(f"EXIF tag {code} has no value.")
    return ExifEntry(code, type_, count, payload)


def encode_ifd(entries: Iterable[ExifEntry], position: int) -> bytes:
    """Lay out a block for an even `position` in the file; long values lie behind it."""
    entries = sorted(entries)
    block = struct.pack("<H", len(entries))
    values_at = position + 2 + 12 * len(entries) + 4
    values = b""
    for code, type_, count, payload in entries:
        if len(payload) <= 4:
            field = payload.ljust(4, b"\0")
        else:
            field = struct.pack("<I", values_at + len(values))
            values += payload + b"\0" * (len(payload) % 2)
        block += struct.pack("<HHI", code, type_, count) + field
    return block + struct.pack("<I", 0) + values  # 0: no further IFD


def _encode_ratio(value: Any, type_: int) -> bytes:
    low, high = _RATIO_LIMITS[type_]
    if isinstance(value, float):
        # As fine as leaves room for the number itself.
        room = high // max(1, math.ceil(abs(value)))
        value = Fraction(value).limit_denominator(max(1, min(1_000_000, room)))
    ratio = (value.numerator, value.denominator)
    if not all(low <= part <= high for part in ratio):
        raise ArithmeticError
    return struct.pack("<2I" if low == 0 else "<2i", *ratio)
