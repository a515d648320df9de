"""Blocks of EXIF tags as bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _SRATIONAL = 1, 2, 3, 4, 5, 7, 10


_NUMBER_FORMATS = {_BYTE: "B", _SHORT: "H", _LONG: "I", _UNDEFINED: "B"}


_RATIO_LIMITS = {_RATIONAL: (0, 2**32 - 1), _SRATIONAL: (-(2**31), 2**31 - 1)}


_LONGEST_TEXT = 1000


_MISFITS = (struct.error, ArithmeticError, AttributeError, TypeError, ValueError)


class ExifEntry(NamedTuple):
    """One tag, encoded for a little-endian file."""

    code: int
    type: int
    count: int
    payload: bytes


def encode_entry(code: int, type_: int, values: Any) -> ExifEntry:
    """Encode one tag.

    Parameters
    ----------
    code : int
    type_ : int
        TIFF type: 1 byte, 2 ASCII, 3 short, 4 long, 5 rational, 7 undefined,
        10 signed rational.
    values : str, bytes or sequence of numbers

    Returns
    -------
    ExifEntry

    Raises
    ------
    ValueError
        If the values do not fit the type, or there are none.

    Examples
    --------
    >>> entry = encode_entry(33434, 5, [0.5])
    >>> list(entry.payload)
    [1, 0, 0, 0, 2, 0, 0, 0]
    """
    if type_ == _ASCII:
        text = str(values).strip("\0 ")[:_LONGEST_TEXT]
        payload = text.encode() + b"\0"
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
    """Lay out a block of tags with the values that do not fit into it behind it.

    Parameters
    ----------
    entries : iterable of ExifEntry
        In any order, each code once.
    position : int
        Offset in the file at which the block will begin, even.

    Returns
    -------
    bytes
    """
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
        value = Fraction(value).limit_denominator(1_000_000)
    # Not Fraction's own: exifread's keeps 0/0, "unknown", as it is.
    ratio = (value.numerator, value.denominator)
    if not all(low <= part <= high for part in ratio):
        raise ArithmeticError
    return struct.pack("<2I" if low == 0 else "<2i", *ratio)
