"""Sizes that the lossless JPEG streams of a DNG state, to hold against its tags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from skadl.raw.data_layout import (
    COMPRESSED_JPEG,
    chunk_area,
    chunk_areas,
    chunks,
    compression,
)
from skadl.raw.tiff_tags import TiffTags

_START = b"\xff\xd8"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG, Table B.1
_SCAN, _FILL = 0xDA, 0xFF
_MOST = 4  # times the size of a part: samples of colours, sides padded
_MOST_SPARE = 1.25  # times it: sides padded
_HEADER_BYTES = 1 << 16  # of a stream, in which its size stands


def why_jpeg_impossible(path: Path, tags: TiffTags) -> str | None:
    """Say why a JPEG stream of a DNG cannot be what its tags describe; None if it may.

    LibRaw decodes as many counts as a stream says, which may take hours.
    """
    most = chunk_area(tags)
    for found, _ in _stated_counts(path, tags):
        if found > _MOST * most:
            return (
                f"a part of it says that it holds {found:,} counts, where its "
                f"size leaves room for {most:,}"
            )
    return None


def why_jpeg_doubtful(path: Path, tags: TiffTags) -> str | None:
    """Say why counts of a JPEG stream may lie elsewhere; None if they fit the tags.

    LibRaw lays them out in rows of the width that the tags state.
    """
    for found, area in _stated_counts(path, tags):
        if not area <= found <= _MOST_SPARE * area:
            return (
                f"a part of it says that it holds {found:,} counts, where its size "
                f"needs {area:,}"
            )
    return None


def _stated_counts(path: Path, tags: TiffTags) -> Iterator[tuple[int, int]]:
    """Give what the streams of a DNG say that they hold, and what they should."""
    if not tags.is_dng or compression(tags) != COMPRESSED_JPEG:
        return
    with path.open("rb") as file:
        for (start, end), area in zip(chunks(tags), chunk_areas(tags), strict=True):
            file.seek(start)
            found = jpeg_counts(file.read(min(end - start, _HEADER_BYTES)))
            if found is not None:
                yield found, area


def jpeg_counts(stream: bytes) -> int | None:
    """Count what a JPEG stream says it holds: width x height x components.

    None if it does not say so.

    >>> jpeg_counts(bytes.fromhex("ffd8 ffc3 000e 10 0030 0020 02 001100 011100"))
    3072
    """
    if not stream.startswith(_START):
        return None
    at = len(_START)
    while at + 10 <= len(stream) and stream[at] == _FILL:
        marker = stream[at + 1]
        if marker == _FILL:
            at += 1
            continue
        if marker == _SCAN:
            return None
        if marker in _FRAMES:
            height, width = (
                int.from_bytes(stream[at + i : at + i + 2], "big") for i in (5, 7)
            )
            return height * width * stream[at + 9]
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return None
