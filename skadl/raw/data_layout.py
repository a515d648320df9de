"""Whether the counts of a DNG can lie where its tags say: LibRaw takes any bytes."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

from skadl.raw.exif_blocks import LONG, SHORT
from skadl.raw.tiff_tags import TiffTags, numbers

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES = 277
_STRIPS, _TILES = (273, 279), (324, 325)  # offsets, byte counts
_TILE_WIDTH, _TILE_HEIGHT, _ROWS_PER_STRIP = 322, 323, 278
_CODES = (
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES),
    *(*_STRIPS, *_TILES, _TILE_WIDTH, _TILE_HEIGHT, _ROWS_PER_STRIP),
)
_UNCOMPRESSED, COMPRESSED_JPEG, _CFA_PHOTOMETRIC = 1, 7, 32803
_MAKE, _ORIENTATION = 271, 274
_CFA_PATTERN, _EXIF_POINTER = 33422, 34665
_HEADER = 8  # bytes
# See `skadl.raw.libraw`; a tile may be larger than the image, and is taken whole.
_MOST_SITES_PER_BYTE = 64
# Of uncompressed counts; the least is for what strips and tiles are padded with.
_MOST_SPARE, _LEAST_SPARE = 0.1, 512


def refusal(fault: str) -> str:
    """Say that a file is damaged, and what to do; lacks its subject, the name."""
    return (
        f"is damaged or incomplete: {fault}; copy it from the camera's card again or "
        "leave it out."
    )


def why_impossible(tags: TiffTags) -> str | None:
    """Say why a mosaic cannot be read right; None if it may be."""
    if (_TILE_WIDTH in tags.mosaic) != (_TILE_HEIGHT in tags.mosaic):
        # LibRaw would take memory for a side of 2**31.
        return "it says only one side of its tiles"
    if not (tags.is_dng and _is_cfa(tags)):
        return None
    missing = _missing_bytes(tags)
    if missing:
        return f"its counts reach {missing:,} bytes beyond its end"
    types = {entry.type for code in _CODES if (entry := tags.mosaic.get(code))}
    if not types <= {SHORT, LONG}:
        return "the tags of its layout are no whole numbers"
    if tags.unreadable & {*_CODES}:
        return "the values of tags of its layout are not in it"
    if not chunks(tags):
        return "it does not say where its counts lie"
    if not _has_possible_bits(tags):
        return f"it says that a count has {_first(tags, _BITS)} bits"
    if _tile_area(tags) > _MOST_SITES_PER_BYTE * tags.n_bytes:
        return "it says that its tiles are larger than the file"
    return None


def why_doubtful(tags: TiffTags) -> str | None:
    """Say why a mosaic that was found may not be what was written; None if fine."""
    if not _is_cfa(tags):
        if tags.is_dng:
            return "its tags do not name a mosaic"
        is_bare = bool(tags.first) and _MAKE not in tags.first and not chunks(tags)
        return "it names neither a camera nor where its counts lie" if is_bare else None
    if not tags.is_dng:
        if tags.find(_CFA_PATTERN) is None or _first(tags, _BITS) is None:
            return "it names a mosaic, but not its colours or its bits"
        if not _has_possible_bits(tags):
            return f"it says that a count has {_first(tags, _BITS)} bits"
        # What makers do with codes of their own only LibRaw knows.
        is_plain = _first(tags, _COMPRESSION) in (_UNCOMPRESSED, COMPRESSED_JPEG)
        missing = _missing_bytes(tags) if is_plain else 0
        return f"its counts reach {missing:,} bytes beyond its end" if missing else None
    if tags.repeated & {*_CODES}:
        return "tags of its layout are there twice"
    turned = numbers(tags.first.get(_ORIENTATION))
    if turned and turned[0] not in range(10):
        return f"it says that it is turned in the way {turned[0]}, which is none"
    if _EXIF_POINTER in tags.first and not tags.exif:
        return "its EXIF block is not where it says"
    if _first(tags, _SAMPLES) not in (None, 1):
        return f"it has {_first(tags, _SAMPLES)} counts at a photosite"
    parts = chunks(tags)
    spans = sorted([*parts, (0, _HEADER), *tags.blocks])
    overlaps = any(
        start < end for (_, end), (start, _) in zip(spans, spans[1:], strict=False)
    )
    if overlaps or _touch(parts, [*tags.values, *_previews(tags)]):
        return "its counts lie where it says that something else lies"
    if _first(tags, _COMPRESSION) == _UNCOMPRESSED:
        found, needed = sum(end - start for start, end in parts), _needed_bytes(tags)
        if found < needed:
            return f"its counts have {found:,} bytes, fewer than its size needs"
        if found > (1 + _MOST_SPARE) * needed + _LEAST_SPARE * len(parts):
            return f"its counts have {found:,} bytes, more than its size needs"
    named, n_parts = _n_offsets(tags), _n_parts(tags)
    if {len(parts), named} != {n_parts}:
        return f"it names {named} parts of counts where its size makes {n_parts}"
    return None


def _is_cfa(tags: TiffTags) -> bool:
    return _first(tags, _PHOTOMETRIC) == _CFA_PHOTOMETRIC


def _first(tags: TiffTags, code: int) -> float | None:
    return next(iter(numbers(tags.mosaic.get(code))), None)


def chunks(tags: TiffTags) -> list[tuple[int, int]]:
    """Where strips and tiles begin and end."""
    return [*_spans(tags, *_STRIPS), *_spans(tags, *_TILES)]


def _spans(tags: TiffTags, places: int, sizes: int) -> Iterator[tuple[int, int]]:
    starts, lengths = (numbers(tags.mosaic.get(code)) for code in (places, sizes))
    for start, length in zip(starts, lengths, strict=False):
        if math.isfinite(start) and math.isfinite(length):
            yield int(start), int(start + length)


def _previews(tags: TiffTags) -> list[tuple[int, int]]:
    """Where the first directory's picture lies, if it is another than the mosaic."""
    if tags.mosaic is tags.first:
        return []
    return chunks(replace(tags, mosaic=tags.first))


def _touch(parts: list[tuple[int, int]], others: list[tuple[int, int]]) -> bool:
    """Whether a part lies over one of the others, which may lie over one another."""
    spans = sorted((begin, end) for begin, end in others if begin < end)
    starts = [begin for begin, _ in spans]
    furthest = list(accumulate((end for _, end in spans), max))
    for begin, end in parts:
        before = bisect_left(starts, end)  # of those that begin before the part's end
        if before and furthest[before - 1] > begin and begin < end:
            return True
    return False


def _has_possible_bits(tags: TiffTags) -> bool:
    return _first(tags, _BITS) in range(8, 33)


def chunk_areas(tags: TiffTags) -> list[int]:
    """Photosites of each strip or tile, in the order of `chunks`."""
    if _TILES[0] in tags.mosaic:
        return [_tile_area(tags)] * len(chunks(tags))
    width, height = (int(_first(tags, code) or 0) for code in (_WIDTH, _HEIGHT))
    rows = int(_first(tags, _ROWS_PER_STRIP) or height)
    return [
        width * max(0, min(rows, height - index * rows))
        for index in range(len(chunks(tags)))
    ]


def _n_offsets(tags: TiffTags) -> int:
    """Count the strips or tiles whose places are named."""
    return sum(len(numbers(tags.mosaic.get(code))) for code, _ in (_STRIPS, _TILES))


def _n_parts(tags: TiffTags) -> int:
    """Count the strips or tiles that an image of its size has."""
    width, height = (int(_first(tags, code) or 0) for code in (_WIDTH, _HEIGHT))
    across, down = width, int(_first(tags, _ROWS_PER_STRIP) or height)
    if _TILES[0] in tags.mosaic:
        across, down = (
            int(_first(tags, code) or 0) for code in (_TILE_WIDTH, _TILE_HEIGHT)
        )
    if not (across and down):
        return 0
    return -(-width // across) * -(-height // down)


def _missing_bytes(tags: TiffTags) -> int:
    return max(0, max((end for _, end in chunks(tags)), default=0) - tags.n_bytes)


def compression(tags: TiffTags) -> float | None:
    """Return the code of how the counts are compressed."""
    return _first(tags, _COMPRESSION)


def chunk_area(tags: TiffTags) -> int:
    """Count the photosites that a strip or tile has at most."""
    width, height = (int(_first(tags, code) or 0) for code in (_WIDTH, _HEIGHT))
    return max(width * height, _tile_area(tags))


def _tile_area(tags: TiffTags) -> int:
    sides = [_first(tags, code) or 0 for code in (_TILE_WIDTH, _TILE_HEIGHT)]
    return int(sides[0]) * int(sides[1])


def _needed_bytes(tags: TiffTags) -> int:
    """Bytes of uncompressed counts."""
    width, height = (int(_first(tags, code) or 0) for code in (_WIDTH, _HEIGHT))
    area, tile = width * height, _tile_area(tags)
    if tile and _TILES[0] in tags.mosaic:
        columns = -(-width // int(_first(tags, _TILE_WIDTH)))
        area = columns * -(-height // int(_first(tags, _TILE_HEIGHT))) * tile
    return area * int(_first(tags, _BITS) or 0) // 8
