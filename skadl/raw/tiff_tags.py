"""The tags of a TIFF-like file (DNG and most RAW formats), as bytes that nobody read.

Text keeps its bytes, and numbers their type, so that what is carried to another file is
what the camera wrote. Layout: *TIFF Revision 6.0*, section 2.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from skadl.raw.exif_blocks import ASCII, ExifEntry

_SEARCHED_BYTES = 1 << 20  # of another format, for a TIFF block inside
_MOST_BYTES = 1 << 26  # of all values of a directory
_MOST_SUB_IFDS = 32
_SUB_IFDS, _EXIF_POINTER, _GPS_POINTER = 330, 34665, 34853
_PHOTOMETRIC, _CFA_PHOTOMETRIC = 262, 32803
_WIDTH, _DNG_VERSION = 256, 50706

# Bytes of each value, of the parts that are turned around in another byte order, and
# the letter of the parts in `struct`.
_TYPES = {
    1: (1, 1, "B"),
    2: (1, 1, "B"),
    3: (2, 2, "H"),
    4: (4, 4, "I"),
    5: (8, 4, "I"),
    6: (1, 1, "b"),
    7: (1, 1, "B"),
    8: (2, 2, "h"),
    9: (4, 4, "i"),
    10: (8, 4, "i"),
    11: (4, 4, "f"),
    12: (8, 8, "d"),
    13: (4, 4, "I"),
}
_RATIOS = (5, 10)

Directory = Mapping[int, ExifEntry]


@dataclass(frozen=True)
class TiffTags:
    """Directories of a file by what they tell of; empty where there is none."""

    first: Directory = field(default_factory=dict)
    mosaic: Directory = field(default_factory=dict)  # of the CFA image; else the first
    exif: Directory = field(default_factory=dict)
    position: Directory = field(default_factory=dict)
    is_little_endian: bool = True
    n_bytes: int = 0  # of the file, from where its TIFF block begins
    blocks: tuple[tuple[int, int], ...] = ()  # where its directories lie
    values: tuple[tuple[int, int], ...] = ()  # and values that do not fit in them
    repeated: frozenset[int] = frozenset()  # tags that a directory has twice
    # Tags of the first and the mosaic's directory whose values lie nowhere.
    unreadable: frozenset[int] = frozenset()

    @property
    def is_dng(self) -> bool:
        """Whether the file says that it is a DNG, be it in a damaged tag."""
        return _DNG_VERSION in self.first or _DNG_VERSION in self.unreadable

    def find(self, code: int) -> ExifEntry | None:
        """Return a tag of the mosaic, or else that of the first directory."""
        return self.mosaic.get(code) or self.first.get(code)


def read_tags(path: Path) -> TiffTags:
    """Read the tags of a file; none where it holds no TIFF block, or a broken one.

    Values that lie outside the file, or are of no known type, are left out. An OSError
    if the file cannot be read.
    """
    with path.open("rb") as file:
        start, head = 0, file.read(4)
        if head[:2] not in (b"II", b"MM"):
            head += file.read(_SEARCHED_BYTES)
            block = re.search(rb"II\*\0\x08\0\0\0|MM\0\*\0\0\0\x08", head)
            if block is None:
                return TiffTags()
            start = block.start()
        order = "<" if head[start : start + 2] == b"II" else ">"
        return _Reader(file, start, order).tags()


def numbers(entry: ExifEntry | None) -> list[float]:
    """Decode the numbers of a tag; ratios as quotients, NaN for those by 0.

    >>> numbers(ExifEntry(33434, 5, 1, bytes([1, 0, 0, 0, 2, 0, 0, 0])))
    [0.5]
    """
    if entry is None or entry.type not in _TYPES or entry.type == ASCII:
        return []
    _, part, letter = _TYPES[entry.type]
    values = struct.unpack(f"<{len(entry.payload) // part}{letter}", entry.payload)
    if entry.type in _RATIOS:
        pairs = zip(values[::2], values[1::2], strict=True)
        return [above / below if below else math.nan for above, below in pairs]
    return list(values)


def text(entry: ExifEntry | None) -> str:
    r"""Decode a text up to its first NUL, as UTF-8 or else Latin-1; "" if it is none.

    >>> text(ExifEntry(315, 2, 6, b"J\xf6rg\0\0"))
    'Jörg'
    """
    if entry is None or entry.type != ASCII:
        return ""
    content = entry.payload.partition(b"\0")[0]
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        return content.decode("latin-1").strip()


class _Reader:
    """Directories of one TIFF block, each read once."""

    def __init__(self, file: BinaryIO, start: int, order: str) -> None:
        self.file, self.start, self.order = file, start, order
        self.size = os.fstat(file.fileno()).st_size - start
        self.blocks: list[tuple[int, int]] = []
        self.values: list[tuple[int, int]] = []
        self.repeated: set[int] = set()
        self.unreadable: list[tuple[Directory, set[int]]] = []

    def tags(self) -> TiffTags:
        header = self._bytes(4, 4)
        if header is None:
            return TiffTags()
        first = self._directory(struct.unpack(self.order + "I", header)[0])
        parts = [self._directory(at) for at in self._pointers(first, _SUB_IFDS)]
        mosaics = [
            part
            for part in (first, *parts)
            if _CFA_PHOTOMETRIC in numbers(part.get(_PHOTOMETRIC))
        ]
        # Of several (a smaller one serves quick views), the largest.
        mosaic = max(
            mosaics, key=lambda part: sum(numbers(part.get(_WIDTH))[:1]), default=first
        )
        exif, position = (
            next((self._directory(at) for at in self._pointers(first, code)), {})
            for code in (_EXIF_POINTER, _GPS_POINTER)
        )
        return TiffTags(
            first,
            mosaic,
            exif,
            position,
            self.order == "<",
            self.size,
            tuple(dict.fromkeys(self.blocks)),
            tuple(dict.fromkeys(self.values)),
            frozenset(self.repeated),
            frozenset(
                code
                for directory, codes in self.unreadable
                if directory is first or directory is mosaic
                for code in codes
            ),
        )

    def _pointers(self, directory: Directory, code: int) -> Iterator[int]:
        for at in numbers(directory.get(code))[:_MOST_SUB_IFDS]:
            if isinstance(at, int):
                yield at

    def _directory(self, at: int) -> Directory:
        count = self._bytes(at, 2)
        if count is None:
            return {}
        n_entries = struct.unpack(self.order + "H", count)[0]
        block = self._bytes(at + 2, 12 * n_entries)
        if block is None:
            return {}
        self.blocks.append((at, at + 2 + len(block)))
        found: dict[int, ExifEntry] = {}
        seen: set[int] = set()
        unreadable: set[int] = set()
        self.unreadable.append((found, unreadable))
        room = _MOST_BYTES
        for place in range(0, len(block), 12):
            code, type_, n = struct.unpack_from(self.order + "HHI", block, place)
            if code in seen:
                self.repeated.add(code)
            seen.add(code)
            if code in found:
                continue
            unreadable.add(code)
            if type_ not in _TYPES or n == 0:
                continue
            value_bytes, part, _ = _TYPES[type_]
            n_bytes = n * value_bytes
            room -= n_bytes
            if n_bytes <= 4:
                payload = block[place + 8 : place + 8 + n_bytes]
            elif room < 0:
                continue
            else:
                where = struct.unpack_from(self.order + "I", block, place + 8)[0]
                payload = self._bytes(where, n_bytes)
                self.values.append((where, where + n_bytes))
            if payload is not None:
                found[code] = ExifEntry(code, type_, n, self._turned(payload, part))
                unreadable.discard(code)
        return found

    def _turned(self, payload: bytes, part: int) -> bytes:
        if self.order == "<" or part == 1:
            return payload
        return np.frombuffer(payload, f"u{part}").byteswap().tobytes()

    def _bytes(self, at: int, n_bytes: int) -> bytes | None:
        if not 0 <= at <= self.size - n_bytes:
            return None
        self.file.seek(self.start + at)
        content = self.file.read(n_bytes)
        return content if len(content) == n_bytes else None
