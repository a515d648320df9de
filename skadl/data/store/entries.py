"""One frame in one file of the patch store: its header, its tiles, and a checksum."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skadl.data.store.tiles import TileLayout, layout_of, to_tiles
from skadl.raw.image import HEADER_FIELDS, RawImage
from skadl.raw.mosaic import mosaic_of, to_common_geometry
from skadl.support.writing import atomic_write, hold

_MAGIC = b"skadl frame 3\n"
_PAGE = 4096  # a header fills whole ones, so that the tiles begin at one
_PREFIX = len(_MAGIC) + 20  # then length of the header and checksum in hexadecimal
_PREFIX_FORMAT = re.compile(re.escape(_MAGIC) + b"([0-9a-f]{10})([0-9a-f]{10})")
_CHUNK = 1 << 20


class DamagedEntry(ValueError):
    """A file that is no whole entry of the store."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A frame in a file."""

    layout: TileLayout
    header: dict[str, Any]  # fields of the image beside its mosaic
    dtype: str  # of the mosaic, before it was stored
    offset: int  # where the tiles begin, in bytes
    checksum: int  # CRC-32 of all that follows it in the file

    @property
    def n_bytes(self) -> int:
        """Size of the file."""
        return self.offset + self.layout.n_bytes

    @property
    def prefix(self) -> bytes:
        """What the file begins with: no other frame does."""
        return b"%s%010x%010x" % (_MAGIC, self.offset, self.checksum)


def make_entry(image: RawImage, key: str) -> tuple[Entry, list[bytes | memoryview]]:
    """Prepare a frame for the file of a key, and the parts that it holds, in order."""
    packed = image.packed()  # first: a lazy image then knows its header, read once
    period = mosaic_of(image.cfa).period
    parsed = image.with_mosaic(
        np.zeros((period, period))
    )  # an override may be any number
    header = {name: getattr(parsed, name) for name in HEADER_FIELDS}
    planes = to_common_geometry(packed, image.cfa)
    layout = layout_of(planes)
    tiles = to_tiles(planes, layout)
    fields = {
        "key": key,
        "height": layout.height,
        "width": layout.width,
        "n_planes": layout.n_planes,
        "stored": layout.dtype,
        "dtype": packed.dtype.str,
        "facts": header,
    }
    text = json.dumps(fields).encode()
    offset = -(-(_PREFIX + len(text)) // _PAGE) * _PAGE
    text = text.ljust(offset - _PREFIX)
    checksum = zlib.crc32(tiles.data.cast("B"), zlib.crc32(text))
    entry = Entry(layout, header, packed.dtype.str, offset, checksum)
    return entry, [entry.prefix, text, tiles.data.cast("B")]


def write_entry(path: Path, parts: list[bytes | memoryview]) -> None:
    """Write a frame to its file, which is there whole or not at all."""
    with atomic_write(path) as part, part.open("xb") as file:
        hold(file)
        file.writelines(parts)


def read_entry(path: Path, key: str) -> Entry:
    """Read what a file says of its frame.

    DamagedEntry if it is damaged, or is the file of another key under this name.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = _PREFIX_FORMAT.fullmatch(file.read(_PREFIX))
        offset, checksum = (int(n, 16) for n in prefix.groups()) if prefix else (0, 0)
        # The checksum does not cover where the header ends.
        if not _PREFIX < offset <= size or offset % _PAGE:
            raise DamagedEntry(f"{str(path)!r} is no frame of a store.")
        text = file.read(offset - _PREFIX)
        found = zlib.crc32(text)
        while chunk := file.read(_CHUNK):
            found = zlib.crc32(chunk, found)
    if found != checksum:
        raise DamagedEntry(f"{str(path)!r} is not as it was written.")
    try:
        fields = json.loads(text)
    except ValueError:
        raise DamagedEntry(f"{str(path)!r} does not say where it begins.") from None
    if fields["key"] != key:
        raise DamagedEntry(f"{str(path)!r} holds another frame.")
    header = fields["facts"]
    if isinstance(header["black_level"], list):
        header["black_level"] = tuple(header["black_level"])
    names = "height", "width", "stored", "n_planes"
    layout = TileLayout(*(fields[name] for name in names))
    entry = Entry(layout, header, fields["dtype"], offset, checksum)
    if entry.n_bytes != size:
        raise DamagedEntry(f"{str(path)!r} does not say where it begins.")
    return entry


def restore_planes(planes: np.ndarray, cfa: str, dtype: str) -> np.ndarray:
    """Undo what `make_entry` did to the packed planes (4, h, w) of an image."""
    # Fresh and in plain order: sums over it then round as over the original.
    return np.array(to_common_geometry(planes, cfa), dtype=dtype, order="C")
