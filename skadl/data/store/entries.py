"""One frame in one file of the patch store: its facts, its tiles, and a checksum."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skadl.data.store.tiles import TileLayout, layout_of, to_tiles
from skadl.raw.image import RawImage
from skadl.raw.mosaic import to_rggb_geometry
from skadl.support.writing import atomic_write

FACTS = ("cfa", "black_level", "white_level", "sensor", "iso", "ratio")
_MAGIC = b"skadl frame 1\n"
_PAGE = 4096  # a header fills whole ones, so that the tiles begin at one
_PREFIX = len(_MAGIC) + 20  # then length of the header and checksum in hexadecimal
_CHUNK = 1 << 20


class DamagedEntry(ValueError):
    """A file that is no whole entry of the store."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A frame in a file.

    Parameters
    ----------
    layout : TileLayout
    facts : dict
        Fields of the `RawImage` beside its mosaic.
    dtype : str
        Of the mosaic, before it was stored.
    offset : int
        Where the tiles begin, in bytes.
    checksum : int
        CRC-32 of all that follows it in the file.
    """

    layout: TileLayout
    facts: dict[str, Any]
    dtype: str
    offset: int
    checksum: int

    @property
    def n_bytes(self) -> int:
        """Size of the file."""
        return self.offset + self.layout.n_bytes


def make_entry(image: RawImage) -> tuple[Entry, list[bytes | memoryview]]:
    """Prepare a frame for its file.

    Parameters
    ----------
    image : RawImage
        Read here if it is lazy, once.

    Returns
    -------
    entry : Entry
    parts : list of bytes
        What the file holds, in order.
    """
    packed = image.packed()  # first: it also tells a lazy image its facts
    parsed = image.with_mosaic(np.zeros((2, 2)))  # an override may be any number
    facts = {name: getattr(parsed, name) for name in FACTS}
    planes = to_rggb_geometry(packed, image.cfa)
    layout = layout_of(planes)
    tiles = to_tiles(planes, layout)
    fields = {
        "height": layout.height,
        "width": layout.width,
        "stored": layout.dtype,
        "dtype": packed.dtype.str,
        "facts": facts,
    }
    header = json.dumps(fields).encode()
    offset = -(-(_PREFIX + len(header)) // _PAGE) * _PAGE
    header = header.ljust(offset - _PREFIX)
    checksum = zlib.crc32(tiles.data.cast("B"), zlib.crc32(header))
    prefix = b"%s%010x%010x" % (_MAGIC, offset, checksum)
    entry = Entry(layout, facts, packed.dtype.str, offset, checksum)
    return entry, [prefix, header, tiles.data.cast("B")]


def write_entry(path: Path, parts: list[bytes | memoryview]) -> None:
    """Write a frame to its file, which is there whole or not at all.

    Parameters
    ----------
    path : Path
    parts : list of bytes
        From `make_entry`.

    Raises
    ------
    OSError
    """
    with atomic_write(path) as part, part.open("xb") as file:
        file.writelines(parts)


def read_entry(path: Path) -> Entry:
    """Read what a file says of its frame, and make sure that it is whole.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Entry

    Raises
    ------
    DamagedEntry
        If it was cut short or changed, or is no entry at all.
    OSError
        If it is not there or cannot be read.
    """
    with path.open("rb") as file:
        prefix = file.read(_PREFIX)
        try:
            if prefix[: len(_MAGIC)] != _MAGIC:
                raise ValueError
            offset = int(prefix[len(_MAGIC) : -10], 16)
            checksum = int(prefix[-10:], 16)
        except ValueError:
            raise DamagedEntry(f"{str(path)!r} is no frame of a store.") from None
        header = file.read(offset - _PREFIX)
        seen, size = zlib.crc32(header), len(prefix) + len(header)
        while chunk := file.read(_CHUNK):
            seen, size = zlib.crc32(chunk, seen), size + len(chunk)
    if seen != checksum:
        raise DamagedEntry(f"{str(path)!r} is not as it was written.")
    fields = json.loads(header)  # ours: the checksum fits
    facts = fields["facts"]
    if isinstance(facts["black_level"], list):
        facts["black_level"] = tuple(facts["black_level"])
    layout = TileLayout(fields["height"], fields["width"], fields["stored"])
    return Entry(layout, facts, fields["dtype"], offset, checksum)


def restore_planes(planes: np.ndarray, cfa: str, dtype: str) -> np.ndarray:
    """Undo what `make_entry` did to the packed planes of an image.

    Parameters
    ----------
    planes : ndarray of shape (4, h, w)
        As stored.
    cfa, dtype : str
        Of the image.

    Returns
    -------
    ndarray of shape (4, h, w)
        A fresh array in plain order: sums over it then round as over the original.
    """
    return np.array(to_rggb_geometry(planes, cfa), dtype=dtype, order="C")
