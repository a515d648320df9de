"""What is fixed in the frame of a sensor: dark shading, lines and hot pixels.

It is in each frame at the same place, and depends on ISO alone. A convolution does not
know where in the frame it is, so a network cannot learn it: it is measured (on dark
frames, or on pairs) and subtracted before the network sees an image. So do Feng et al.,
"Learnability Enhancement for Low-light Raw Denoising" (ACM MM 2022), whose dark shading
is linear in ISO as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skadl.noise.iso_table import IsoTable, check_not_negative
from skadl.raw.mosaic import (
    MOSAICS,
    mosaic_of,
    plane_views,
    spread_planes,
    unpack_mosaic,
)

_MOST_SIDE = 2**16  # pixels
# Of mosaics of sensors, by the number of their planes.
_PERIODS = {own.n_planes: own.period for own in reversed(MOSAICS.values())}
_NEAR = 2  # pixels of a plane, on each side of a hot one, that can take its place


@dataclass(frozen=True, eq=False)
class PatternAtIso:
    """What a frame of one ISO holds beside light and noise, in counts.

    Parameters
    ----------
    rows : ndarray of shape (H,)
        What each row of the mosaic adds.
    columns : ndarray of shape (W,)
        What each column adds.
    shading : ndarray of shape (4, n, m), optional
        What is smooth, of the planes R, Gr, Gb, B, on a grid of cells that divide the
        frame evenly.
    pixels : ndarray of shape (H, W), optional
        What each pixel adds beside these.
    hot : ndarray of shape (n,), optional
        Flat positions of pixels that tell nothing, such as hot ones.
    error : float, default=0
        Standard error of the pattern at a pixel, in counts, where it was measured.
    """

    rows: np.ndarray
    columns: np.ndarray
    shading: np.ndarray | None = None
    pixels: np.ndarray | None = None
    hot: np.ndarray | None = None
    error: float = 0.0

    def __post_init__(self) -> None:
        set_field = super().__setattr__
        for name, ndim in (("rows", 1), ("columns", 1), ("shading", 3), ("pixels", 2)):
            value = getattr(self, name)
            if value is None and name in ("shading", "pixels"):
                continue
            # A map of pixels is as large as the frame: half precision is 0.05 %.
            dtype = np.float16 if name == "pixels" else np.float32
            with np.errstate(over="ignore"):
                array = np.asarray(value, dtype)
            if array.ndim != ndim or not array.size or not np.isfinite(array).all():
                raise ValueError(
                    f"{name} of a fixed pattern must be a finite array of {ndim} "
                    f"dimensions, in counts, got shape {array.shape}."
                )
            set_field(name, array)
        height, width = self.shape
        if not 2 <= min(self.shape) <= max(self.shape) <= _MOST_SIDE:
            raise ValueError(
                f"a fixed pattern is for frames of 2x2 to {_MOST_SIDE}x{_MOST_SIDE} "
                f"pixels, got {height} rows and {width} columns."
            )
        if self.shading is not None and len(self.shading) not in _PERIODS:
            raise ValueError(
                "shading of a fixed pattern has a grid for each of R, Gr, Gb, B (nine "
                f"of an X-Trans mosaic), got shape {self.shading.shape}."
            )
        if self.pixels is not None and self.pixels.shape != self.shape:
            raise ValueError(
                f"pixels of a fixed pattern has shape {self.pixels.shape}, its rows "
                f"and columns are those of {height}x{width}."
            )
        hot = np.asarray([] if self.hot is None else self.hot)
        hot = np.unique(hot.astype(np.int64, copy=False))
        if hot.size and not 0 <= hot[0] <= hot[-1] < height * width:
            raise ValueError(
                f"hot pixels lie at positions 0 to {height * width - 1} of a frame of "
                f"{height}x{width}, got {hot[0]} to {hot[-1]}."
            )
        set_field("hot", hot.astype(np.uint32))
        set_field("error", check_not_negative("error of a fixed pattern", self.error))

    @property
    def shape(self) -> tuple[int, int]:
        """Of the mosaic: (H, W)."""
        return len(self.rows), len(self.columns)

    def counts(self, cfa: str) -> np.ndarray:
        """Lay the pattern out as a mosaic; hot pixels as the others.

        Parameters
        ----------
        cfa : str
            Pattern of the mosaic, for the shading of its planes.

        Returns
        -------
        ndarray of shape (H, W), float32
            In counts.
        """
        height, width = self.shape
        result = self.rows[:, None] + self.columns
        if self.shading is not None:
            _add_shading(result, self.shading, cfa)
        if self.pixels is not None:
            result += self.pixels
        return result

    def window(self, top: int, left: int, height: int, width: int) -> PatternAtIso:
        """Cut the pattern of a part of the frame.

        Parameters
        ----------
        top, left : int
            Even.
        height, width : int

        Returns
        -------
        PatternAtIso
        """
        rows, columns = slice(top, top + height), slice(left, left + width)
        shading = self.shading
        if shading is not None:
            side = math.isqrt(len(shading))
            places = [
                (np.arange(length // side) + 0.5) / length * side
                for length in (height, width)
            ]
            places = [
                (first + place * length) / whole
                for place, first, length, whole in zip(
                    places, (top, left), (height, width), self.shape, strict=True
                )
            ]
            shading = np.stack([_sample(plane, *places) for plane in shading])
        y, x = np.divmod(self.hot.astype(np.int64), self.shape[1])
        is_in = (y >= top) & (y < top + height) & (x >= left) & (x < left + width)
        return PatternAtIso(
            self.rows[rows],
            self.columns[columns],
            shading,
            None if self.pixels is None else self.pixels[rows, columns],
            (y[is_in] - top) * width + x[is_in] - left,
            self.error,
        )


@dataclass(frozen=True, eq=False)
class FixedPattern:
    """Fixed pattern of a sensor by ISO; held by `SensorInfo.fixed_pattern`.

    Parameters
    ----------
    by_iso : mapping of ISO to PatternAtIso
        All of one shape. Between two ISOs it is linear in ISO (Feng et al.: dark
        shading is), beyond them it is that of the nearest; hot pixels are those of
        the nearest.

    Examples
    --------
    >>> import numpy as np
    >>> low, high = (PatternAtIso(np.zeros(2), np.array([x, 0.0])) for x in (1.0, 3.0))
    >>> FixedPattern({100: low, 300: high}).at(200).columns
    array([2., 0.], dtype=float32)
    """

    by_iso: Mapping[float, PatternAtIso]

    def __post_init__(self) -> None:
        table = IsoTable("fixed pattern", self.by_iso, _check_pattern)
        shapes = {pattern.shape for pattern in table.values()}
        if len(shapes) > 1:
            raise ValueError(
                f"a fixed pattern is for frames of one size, got {sorted(shapes)}; "
                "measure it on frames of one size."
            )
        super().__setattr__("by_iso", table)

    @property
    def shape(self) -> tuple[int, int]:
        """Of the mosaics that it is for: (H, W)."""
        return next(iter(self.by_iso.values())).shape

    @property
    def _period(self) -> int:
        shadings = [pattern.shading for pattern in self.by_iso.values()]
        known = [_PERIODS[len(shading)] for shading in shadings if shading is not None]
        return max(known, default=2)

    def at(self, iso: float) -> PatternAtIso:
        """Return the pattern at an ISO.

        Parameters
        ----------
        iso : float

        Returns
        -------
        PatternAtIso
        """
        isos = np.array(list(self.by_iso))
        place = float(np.interp(iso, isos, np.arange(len(isos))))
        below = min(int(place), max(len(isos) - 2, 0))
        above, part = min(below + 1, len(isos) - 1), place - below
        patterns = list(self.by_iso.values())
        first, second = patterns[below], patterns[above]
        if part in (0, 1) or above == below:
            return second if part == 1 else first
        return PatternAtIso(
            *(
                _between(getattr(first, name), getattr(second, name), part)
                for name in ("rows", "columns", "shading", "pixels")
            ),
            (second if part > 0.5 else first).hot,
            max(first.error, second.error),
        )

    def window(self, top: int, left: int, height: int, width: int) -> FixedPattern:
        """Cut the pattern for frames that are a known part of the sensor's.

        Parameters
        ----------
        top, left : int
            Even, of an X-Trans mosaic multiples of 6, so that the mosaic begins with
            the same colours.
        height, width : int

        Returns
        -------
        FixedPattern

        Raises
        ------
        ValueError
            If the part does not lie in the frame, or begins with another colour.
        """
        (rows, columns), sides = self.shape, (height, width)
        period = self._period
        if top % period or left % period or min(top, left) < 0 or min(sides) < 2:
            raise ValueError(
                f"a part begins at a row and column that {period} divides and has 2x2 "
                f"pixels or more, got row {top}, column {left}, size {height}x{width}."
            )
        if top + height > rows or left + width > columns:
            raise ValueError(
                f"rows {top} to {top + height} and columns {left} to {left + width} do "
                f"not lie in a frame of {rows}x{columns}."
            )
        return FixedPattern(
            {k: p.window(top, left, height, width) for k, p in self.by_iso.items()}
        )


def scale_pattern(pattern: FixedPattern, scale: float) -> FixedPattern:
    """Return a pattern in the counts of files of another bit depth."""
    scaled = {}
    for iso, one in pattern.by_iso.items():
        parts = {
            name: np.float32(scale) * getattr(one, name)
            for name in ("rows", "columns", "shading", "pixels")
            if getattr(one, name) is not None
        }
        scaled[iso] = replace(one, error=scale * one.error, **parts)
    return FixedPattern(scaled)


def pattern_to_subtract(
    mosaic: np.ndarray, cfa: str, pattern: PatternAtIso, scale: float = 1.0
) -> np.ndarray:
    """Return what to take off a mosaic (H, W) of the pattern's shape, float32, counts.

    A count of the pattern is `scale` counts of the mosaic. Without it a hot pixel is
    the median of the nearest pixels of its plane (of its colour, where planes are not
    alike all over) that are not hot.
    """
    own = mosaic_of(cfa)
    result = pattern.counts(cfa)
    if scale != 1:
        result *= np.float32(scale)
    if not pattern.hot.size:
        return result
    height, width = mosaic.shape
    y, x = np.divmod(pattern.hot.astype(np.int64), width)
    is_hot = np.zeros(mosaic.shape, bool)
    is_hot[y, x] = True
    step = own.side if own.transposed is None else 1
    steps = step * np.arange(-_NEAR, _NEAR + 1)
    # The nearest ring where it has a pixel to offer, else the next; (n_hot, n, n).
    near_y, near_x = y[:, None, None] + steps[:, None], x[:, None, None] + steps
    is_inside = (near_y >= 0) & (near_y < height) & (near_x >= 0) & (near_x < width)
    near_y, near_x = near_y.clip(0, height - 1), near_x.clip(0, width - 1)
    values = mosaic[near_y, near_x].astype(float) - result[near_y, near_x]
    usable = is_inside & ~is_hot[near_y, near_x]
    if step == 1:
        letters = spread_planes(np.array(list(own.colours)), cfa, mosaic.shape)
        usable &= letters[near_y, near_x] == letters[y, x][:, None, None]
    reach = np.maximum(np.abs(steps)[:, None], np.abs(steps)) // step
    close = usable & (reach <= 1)
    has_close = close.any(axis=(1, 2))
    usable = np.where(has_close[:, None, None], close, usable)
    values = np.where(usable, values, np.nan).reshape(len(y), -1)
    known = usable.any(axis=(1, 2))  # else it stays as it is
    y, x, values = y[known], x[known], values[known]
    result[y, x] = mosaic[y, x] - np.nanmedian(values, axis=1)
    return result


def _check_pattern(what: str, value: Any) -> PatternAtIso:
    if not isinstance(value, PatternAtIso):
        raise TypeError(f"{what} must be a PatternAtIso, got {type(value).__name__}.")
    return value


def _between(
    first: np.ndarray | None, second: np.ndarray | None, part: float
) -> np.ndarray | None:
    if first is None and second is None:
        return None
    first = np.zeros_like(second) if first is None else first
    second = np.zeros_like(first) if second is None else second
    if first.shape != second.shape:  # grids of shading
        places = [(np.arange(n) + 0.5) / n for n in first.shape[1:]]
        second = np.stack([_sample(plane, *places) for plane in second])
    return first + np.float32(part) * (second.astype(np.float32) - first)


def _add_shading(mosaic: np.ndarray, shading: np.ndarray, cfa: str) -> None:
    own = mosaic_of(cfa)
    if own.transposed is None:
        for plane, view in zip(shading, plane_views(mosaic, cfa), strict=True):
            view += spread_shading(plane[None], view.shape)[0]
        return
    height, width = mosaic.shape
    planes = spread_shading(shading, (-(-height // own.side), -(-width // own.side)))
    mosaic += unpack_mosaic(planes, cfa)[:height, :width]


def spread_shading(shading: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Interpolate grids of cells (n_planes, n, m) over planes of a shape (h, w)."""
    places = [(np.arange(side) + 0.5) / side for side in shape]
    return np.stack([_sample(grid, *places) for grid in shading])


def _sample(grid: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Interpolate a grid of cells at places from 0 to 1 down and across."""
    down, across = (
        np.clip(place * n - 0.5, 0, n - 1)
        for place, n in zip((down, across), grid.shape, strict=True)
    )
    # One axis after the other: a frame has many pixels, a grid few cells.
    rows = _interpolate(grid, down)
    return _interpolate(rows.T, across).T.astype(np.float32)


def _interpolate(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    below = np.minimum(places.astype(int), max(len(values) - 2, 0))
    above = np.minimum(below + 1, len(values) - 1)
    part = (places - below)[:, None]
    return values[below] * (1 - part) + values[above] * part
