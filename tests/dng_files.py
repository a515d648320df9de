"""DNG files written tag by tag, with any layout, byte order and oddity."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, FLOAT, DOUBLE = 3, 4, 5, 7, 10, 11, 12
BYTE, TEXT = 1, 2
_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}
_COLOURS = {"R": 0, "G": 1, "B": 2}
MATRIX = [(n, 10_000) for n in (6722, -635, -963, -4287, 12460, 2028, -908, 2162, 5668)]
NEUTRAL = [(45, 100), (1, 1), (62, 100)]

Tags = Mapping[int, tuple[int, Any]]
NONE: Tags = MappingProxyType({})


def write_camera_dng(
    path: Path,
    mosaic: np.ndarray,
    *,
    first: Tags = NONE,
    raw: Tags = NONE,
    exif: Tags = NONE,
    gps: Tags = NONE,
    without: tuple[int, ...] = (),
    order: str = "<",
    cfa: str = "RGGB",
    has_preview: bool = True,
) -> Path:
    """Write a mosaic as a camera would: in a directory of its own, behind a preview.

    `first`, `raw`, `exif` and `gps` add tags to their directories, or replace them, as
    (type, values); ratios are pairs, text and bytes are bytes. With `has_preview` False
    all is in the first directory.
    """
    content = bytearray(
        (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0)
    )

    def put(data: bytes) -> int:
        content.extend(b"\0" * (len(content) % 2))
        content.extend(data)
        return len(content) - len(data)

    def directory(tags: Tags) -> int:
        entries = b""
        for code, (type_, values) in sorted(tags.items()):
            if code in without:
                continue
            n, data = encode(type_, values, order)
            field = data.ljust(4, b"\0")
            if len(data) > 4:
                field = struct.pack(order + "I", put(data))
            entries += struct.pack(order + "HHI", code, type_, n) + field
        n_entries = struct.pack(order + "H", len(entries) // 12)
        return put(n_entries + entries + bytes(4))

    height, width = mosaic.shape
    data = mosaic.astype(mosaic.dtype.newbyteorder(order)).tobytes()
    of_mosaic = {
        254: (LONG, [0]),
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [8 * mosaic.itemsize]),
        259: (SHORT, [1]),
        262: (SHORT, [32803]),
        273: (LONG, [put(data)]),
        277: (SHORT, [1]),
        278: (LONG, [height]),
        279: (LONG, [len(data)]),
        33421: (SHORT, [2, 2]),
        33422: (BYTE, [_COLOURS[colour] for colour in cfa]),
        50710: (BYTE, [0, 1, 2]),
        50711: (SHORT, [1]),
        50713: (SHORT, [1, 1]),
        50714: (LONG, [512]),
        50717: (LONG, [4095]),
        **raw,
    }
    if mosaic.dtype.kind == "f":
        of_mosaic[339] = (SHORT, [3])
    of_camera = {
        271: (TEXT, b"Lab\0"),
        272: (TEXT, b"Lab Camera\0"),
        274: (SHORT, [1]),
        50706: (BYTE, [1, 4, 0, 0]),
        50707: (BYTE, [1, 3, 0, 0]),
        50708: (TEXT, b"Lab Camera\0"),
        50721: (SRATIONAL, MATRIX),
        50728: (RATIONAL, NEUTRAL),
        50778: (SHORT, [21]),
        **first,
    }
    of_exposure = {33434: (RATIONAL, [(1, 60)]), 34855: (SHORT, [800]), **exif}
    of_camera[34665] = (LONG, [directory(of_exposure)])
    if gps:
        of_camera[34853] = (LONG, [directory(gps)])
    if has_preview:
        preview = np.full((8, 12, 3), 90, np.uint8).tobytes()
        of_camera = {
            254: (LONG, [1]),
            256: (LONG, [12]),
            257: (LONG, [8]),
            258: (SHORT, [8, 8, 8]),
            259: (SHORT, [1]),
            262: (SHORT, [2]),
            273: (LONG, [put(preview)]),
            277: (SHORT, [3]),
            278: (LONG, [8]),
            279: (LONG, [len(preview)]),
            **of_camera,
            330: (LONG, [directory(of_mosaic)]),
        }
    else:
        of_camera = of_mosaic | of_camera
    content[4:8] = struct.pack(order + "I", directory(of_camera))
    path.write_bytes(content)
    return path


def encode(type_: int, values: Any, order: str) -> tuple[int, bytes]:
    """Number of values and their bytes, of one tag."""
    if isinstance(values, bytes):
        return len(values), values
    if type_ in (RATIONAL, SRATIONAL):
        parts = [part for ratio in values for part in ratio]
        letter = "I" if type_ == RATIONAL else "i"
        return len(values), struct.pack(f"{order}{len(parts)}{letter}", *parts)
    return len(values), struct.pack(f"{order}{len(values)}{_LETTERS[type_]}", *values)


def opcode_list(*opcodes: tuple[int, bytes], flags: int = 1) -> bytes:
    """Lay out opcodes, each a number and its parameters; always big-endian."""
    parts = [
        struct.pack(">4I", number, 0x01030000, flags, len(data)) + data
        for number, data in opcodes
    ]
    return struct.pack(">I", len(parts)) + b"".join(parts)


def split_opcodes(content: bytes) -> list[tuple[int, bytes]]:
    """Take a list apart again."""
    n_opcodes, at, opcodes = struct.unpack_from(">I", content)[0], 4, []
    for _ in range(n_opcodes):
        number, _, _, size = struct.unpack_from(">4I", content, at)
        opcodes.append((number, content[at + 16 : at + 16 + size]))
        at += 16 + size
    assert at == len(content)
    return opcodes


def gain_map(area, gains, spacing=None, origin=(0.0, 0.0), pitch=(2, 2)) -> bytes:
    """Parameters of a GainMap for an area: top, left, bottom, right."""
    gains = np.asarray(gains, ">f4")
    spacing = spacing or [1 / (n - 1) for n in gains.shape]
    return (
        struct.pack(">8I", *area, 0, 1, *pitch)
        + struct.pack(">2I4dI", *gains.shape, *spacing, *origin, 1)
        + gains.tobytes()
    )


def apply_gain_maps(content: bytes, shape: tuple[int, int]) -> np.ndarray:
    """What a list of GainMaps multiplies each photosite by, as the DNG SDK does it."""
    factors = np.ones(shape)
    for number, data in split_opcodes(content):
        assert number == 9
        top, left, bottom, right, _, _, row_pitch, column_pitch = struct.unpack_from(
            ">8I", data
        )
        n_rows, n_columns, *grid, _ = struct.unpack_from(">2I4dI", data, 32)
        gains = np.frombuffer(data, ">f4", offset=76).reshape(n_rows, n_columns)
        at = []
        for axis, (n, size) in enumerate(zip(gains.shape, shape, strict=True)):
            place = (np.arange(size) + 0.5) / size
            at.append(((place - grid[2 + axis]) / grid[axis]).clip(0, n - 1))
        rows, columns = at
        low, left_of = (np.floor(a).astype(int) for a in at)
        high, right_of = (
            np.minimum(a + 1, n - 1)
            for a, n in zip((low, left_of), gains.shape, strict=True)
        )
        v, h = (rows - low)[:, None], (columns - left_of)[None]
        smooth = (1 - v) * (
            (1 - h) * gains[np.ix_(low, left_of)] + h * gains[np.ix_(low, right_of)]
        ) + v * (
            (1 - h) * gains[np.ix_(high, left_of)] + h * gains[np.ix_(high, right_of)]
        )
        sites = (slice(top, bottom, row_pitch), slice(left, right, column_pitch))
        factors[sites] *= smooth[sites]
    return factors
