"""Opcode lists of a DNG, for a file that holds a part of the image that they are for.

A list says how an image is to be corrected: lens shading, distortion, bad pixels. Its
places are photosites of that image, or fractions of its sides. Layout and meaning:
*Digital Negative (DNG) Specification*, version 1.7.1.0, chapter 7 ("Opcode List
Processing"); numbers are big-endian in files of either byte order.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from skadl.raw.active_area import Window

_MOST_OPCODES = 10_000
_MOST_BAD_SHARE = 0.01  # of the photosites: more of one count are no bad pixels
_WHITEST = np.iinfo(np.uint16).max
_NAMES = (
    "WarpRectilinear WarpFisheye FixVignetteRadial FixBadPixelsConstant "
    "FixBadPixelsList TrimBounds MapTable MapPolynomial GainMap DeltaPerRow "
    "DeltaPerColumn ScalePerRow ScalePerColumn WarpRectilinear2"
).split()


class _Area(NamedTuple):
    """Which photosites an opcode changes."""

    top: int
    left: int
    bottom: int
    right: int
    plane: int
    planes: int
    row_pitch: int
    column_pitch: int


class _Unsound(ValueError):
    """An opcode whose bytes are not what its kind has."""


# Where the photosites of a count lie in the new image: rows and columns, (n, 2).
FindCount = Callable[[int], np.ndarray]


def move_opcodes(
    content: bytes, window: Window, find_count: FindCount
) -> tuple[bytes, list[str]]:
    """Return a list for a part of its image, and the names of opcodes left out.

    Left out is what cannot be moved: an opcode of an unknown kind, or a damaged one.
    One that changes nothing within the part goes silently.
    """
    try:
        opcodes = _split(content)
    except (_Unsound, struct.error):
        return b"", ["all, which are damaged"]
    if window.is_all and window.scale == 1 and all(o[0] != 4 for o in opcodes):
        return content, []
    kept, left_out = [], []
    for number, version, flags, data in opcodes:
        move = _MOVES.get(number)
        try:
            if move is None:
                raise _Unsound
            with np.errstate(over="ignore", invalid="ignore"):
                number, moved = move(number, data, window, find_count)
        except (_Unsound, struct.error, OverflowError):
            known = 0 < number <= len(_NAMES)
            left_out.append(_NAMES[number - 1] if known else f"number {number}")
            continue
        if moved:
            kept.append(struct.pack(">4I", number, version, flags, len(moved)) + moved)
    if not kept:
        return b"", left_out
    return struct.pack(">I", len(kept)) + b"".join(kept), left_out


def move_map(
    spacing: Sequence[float], origin: Sequence[float], window: Window
) -> tuple[list[float], list[float]]:
    """Move the grid of a gain map, in fractions of height and width of its image.

    >>> move_map((0.1, 0.1), (0.0, 0.5), Window(100, 100, 10, 0, 80, 100))
    ([0.125, 0.1], [-0.125, 0.5])
    """
    old, new = (window.old_height, window.old_width), (window.height, window.width)
    start = window.top, window.left
    return (
        [s * a / b for s, a, b in zip(spacing, old, new, strict=True)],
        [(o * a - at) / b for o, a, b, at in zip(origin, old, new, start, strict=True)],
    )


def _split(content: bytes) -> list[tuple[int, int, int, bytes]]:
    """Give number, version, flags and parameters of each opcode."""
    n_opcodes, at, opcodes = struct.unpack_from(">I", content)[0], 4, []
    if n_opcodes > _MOST_OPCODES:
        raise _Unsound
    for _ in range(n_opcodes):
        number, version, flags, size = struct.unpack_from(">4I", content, at)
        at += 16
        if size > len(content) - at:
            raise _Unsound
        opcodes.append((number, version, flags, content[at : at + size]))
        at += size
    return opcodes


def _check_finite(values: Sequence[float] | np.ndarray) -> None:
    """Refuse numbers that no program can correct an image by."""
    if not np.isfinite(values).all():
        raise _Unsound


def _move_area(data: bytes, window: Window) -> tuple[_Area, slice, slice] | None:
    """Area within the part, and which of its old rows and columns these are."""
    area = _Area(*struct.unpack_from(">8I", data))
    if not (area.row_pitch and area.column_pitch):
        raise _Unsound
    top, bottom, rows = _move_span(
        area.top, area.bottom, area.row_pitch, window.top, window.height
    )
    left, right, columns = _move_span(
        area.left, area.right, area.column_pitch, window.left, window.width
    )
    if top >= bottom or left >= right:
        return None
    moved = area._replace(top=top, left=left, bottom=bottom, right=right)
    return moved, rows, columns


def _move_span(
    first: int, end: int, pitch: int, start: int, size: int
) -> tuple[int, int, slice]:
    # Whole pitches are skipped, so that the colour of the sites stays.
    skipped = max(0, -((first - start) // pitch))
    first, end = first + skipped * pitch - start, min(end - start, size)
    return first, end, slice(skipped, skipped + max(0, -((first - end) // pitch)))


def _move_gain_map(number, data, window, find_count):
    moved = _move_area(data, window)
    if moved is None:
        return number, b""
    n_rows, n_columns, *grid, n_planes = struct.unpack_from(">2I4dI", data, 32)
    gains = data[76:]
    if len(gains) != 4 * n_rows * n_columns * n_planes or not gains:
        raise _Unsound
    spacing, origin = move_map(grid[:2], grid[2:], window)
    _check_finite([*spacing, *origin])
    _check_finite(np.frombuffer(gains, ">f4"))
    head = struct.pack(">2I4dI", n_rows, n_columns, *spacing, *origin, n_planes)
    return number, struct.pack(">8I", *moved[0]) + head + gains


def _move_per_line(number, data, window, find_count):
    """Move numbers of rows or columns: to be added, or to be multiplied by."""
    moved = _move_area(data, window)
    if moved is None:
        return number, b""
    area, rows, columns = moved
    (count,) = struct.unpack_from(">I", data, 32)
    if len(data) != 36 + 4 * count:
        raise _Unsound
    values = np.frombuffer(data, ">f4", offset=36)
    values = values[rows if number in (10, 12) else columns]
    if number in (10, 11):
        values = values * np.float32(window.scale)
    _check_finite(values)
    body = values.astype(">f4").tobytes()
    return number, struct.pack(">9I", *area, len(values)) + body


def _move_table(number, data, window, find_count):
    moved = _move_area(data, window)
    if moved is None:
        return number, b""
    (count,) = struct.unpack_from(">I", data, 32)
    if not 0 < count <= _WHITEST + 1 or len(data) != 36 + 2 * count:
        raise _Unsound
    table = np.frombuffer(data, ">u2", offset=36)
    scale = window.scale
    if scale > 1:
        counts = np.arange(min(_WHITEST, (count - 1) * scale) + 1) / scale
        table = np.interp(counts, np.arange(count), table) * scale
        table = np.rint(table).clip(0, _WHITEST)
    head = struct.pack(">9I", *moved[0], len(table))
    return number, head + table.astype(">u2").tobytes()


def _move_polynomial(number, data, window, find_count):
    moved = _move_area(data, window)
    if moved is None:
        return number, b""
    (degree,) = struct.unpack_from(">I", data, 32)
    if degree > 8 or len(data) != 36 + 8 * (degree + 1):
        raise _Unsound
    factors = struct.unpack_from(f">{degree + 1}d", data, 36)
    factors = [f * float(window.scale) ** (1 - i) for i, f in enumerate(factors)]
    _check_finite(factors)
    head = struct.pack(">9I", *moved[0], degree)
    return number, head + struct.pack(f">{degree + 1}d", *factors)


def _move_centre(centre: Sequence[float], window: Window) -> tuple[list[float], float]:
    """Move a centre (x, y), and say how long the new unit of radii is in old ones.

    That unit is the distance from the centre to the farthest corner.
    """
    old = (window.old_width, window.old_height), (0, 0)
    new = (window.width, window.height), (window.left, window.top)
    places = [c * side for c, side in zip(centre, old[0], strict=True)]
    radii = [
        math.hypot(
            *(
                max(abs(place - at), abs(at + side - place))
                for place, side, at in zip(places, sides, start, strict=True)
            )
        )
        for sides, start in (old, new)
    ]
    if not (all(map(math.isfinite, places)) and radii[0] > 0):
        raise _Unsound
    moved = [(p - at) / side for p, side, at in zip(places, *new, strict=True)]
    # Outside the image a centre is not allowed.
    return [min(max(c, 0.0), 1.0) for c in moved], radii[1] / radii[0]


def _move_vignette(number, data, window, find_count):
    *factors, x, y = struct.unpack(">7d", data)
    centre, unit = _move_centre((x, y), window)
    factors = [f * unit ** (2 * i + 2) for i, f in enumerate(factors)]
    _check_finite(factors)
    return number, struct.pack(">7d", *factors, *centre)


def _move_warp(number, data, window, find_count):
    """Distortion: of each plane radial terms, two tangential ones, or more."""
    (n_planes,) = struct.unpack_from(">I", data)
    per_plane = {1: 6, 2: 4, 14: 19}[number]
    n_factors = n_planes * per_plane
    tail = data[4 + 8 * (n_factors + 2) :]
    if not 0 < n_planes <= 8 or len(tail) != (4 if number == 14 else 0):
        raise _Unsound
    *factors, x, y = struct.unpack_from(f">{n_factors + 2}d", data, 4)
    centre, unit = _move_centre((x, y), window)
    powers = {
        1: (0, 2, 4, 6, 1, 1),
        # Terms in the angle: the unit, off by a row in thousands, is in none of them.
        2: (0, 0, 0, 0),
        14: (*range(15), 1, 1, -1, -1),
    }[number]
    factors = [f * unit**p for f, p in zip(factors, powers * n_planes, strict=True)]
    _check_finite(factors)
    body = struct.pack(f">{n_factors + 2}d", *factors, *centre)
    return number, data[:4] + body + tail


def _move_bounds(number, data, window, find_count):
    top, left, bottom, right = struct.unpack(">4I", data)
    top, bottom, _ = _move_span(top, bottom, 1, window.top, window.height)
    left, right, _ = _move_span(left, right, 1, window.left, window.width)
    if top >= bottom or left >= right:
        raise _Unsound  # nothing would be left of the image
    return number, struct.pack(">4I", top, left, bottom, right)


def _list_constant(number, data, window, find_count):
    """Bad pixels marked by a count, which other counts have replaced: name them."""
    constant, phase = struct.unpack(">2I", data)
    points = find_count(constant)
    if len(points) > _MOST_BAD_SHARE * window.height * window.width:
        raise _Unsound
    if not len(points):
        return 5, b""
    head = struct.pack(">3I", _move_phase(phase, window), len(points), 0)
    return 5, head + points.astype(">u4").tobytes()


def _move_bad_pixels(number, data, window, find_count):
    phase, n_points, n_areas = struct.unpack_from(">3I", data)
    if len(data) != 12 + 8 * n_points + 16 * n_areas:
        raise _Unsound
    places = np.frombuffer(data, ">u4", offset=12).astype(np.int64)
    start, size = (window.top, window.left), (window.height, window.width)
    points = places[: 2 * n_points].reshape(-1, 2) - start
    points = points[((points >= 0) & (points < size)).all(axis=1)]
    areas = places[2 * n_points :].reshape(-1, 4) - (start * 2)
    areas = areas.clip(0, size * 2)
    areas = areas[(areas[:, :2] < areas[:, 2:]).all(axis=1)]
    if not len(points) + len(areas):
        return number, b""
    head = struct.pack(">3I", _move_phase(phase, window), len(points), len(areas))
    return number, head + b"".join(a.astype(">u4").tobytes() for a in (points, areas))


def _move_phase(phase: int, window: Window) -> int:
    """Say at which site of the Bayer pattern's 2x2 the part begins."""
    if phase > 3:
        raise _Unsound
    row, column = phase // 2 + window.top, phase % 2 + window.left
    return 2 * (row % 2) + column % 2


_MOVES = {
    1: _move_warp,
    2: _move_warp,
    3: _move_vignette,
    4: _list_constant,
    5: _move_bad_pixels,
    6: _move_bounds,
    7: _move_table,
    8: _move_polynomial,
    9: _move_gain_map,
    10: _move_per_line,
    11: _move_per_line,
    12: _move_per_line,
    13: _move_per_line,
    14: _move_warp,
}
