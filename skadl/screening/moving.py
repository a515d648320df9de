"""Planes moved by parts of a pixel, and their slopes: cubic splines, axis by axis.

A shift along one axis reads four coefficients of a pixel, a shift of the plane sixteen;
one axis after the other gives the same.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import spline_filter1d

_MARGIN = 12  # pixels that the border is continued by: a spline forgets it within them


def move(planes: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Move planes (n, h, w) down and right by so many pixels; borders are continued.

    >>> move(np.array([[[0.0, 1.0, 4.0, 9.0]]]), np.array([0.0, 1.0])).round(6)
    array([[[0., 0., 1., 4.]]])
    """
    for axis, distance in zip((1, 2), by, strict=True):
        if distance:
            planes = _move_along(planes, axis, float(distance))
    return planes


def slope_along(planes: np.ndarray, axis: int, step: float) -> np.ndarray:
    """Difference of planes (n, h, w) `step` pixels, below 1, ahead and behind, a pixel.

    >>> slope_along(np.arange(30.0).reshape(1, 1, 30), 2, 0.25)[0, 0, 12:15].round(6)
    array([1., 1., 1.])
    """
    n_pixels = planes.shape[axis]
    coefficients = _coefficients(planes, axis)
    slope = np.zeros(planes.shape)
    for place in range(-2, 3):
        weight = _spline(step - place) - _spline(-step - place)
        if weight:
            start = _MARGIN + place
            part = _part(coefficients, axis, slice(start, start + n_pixels))
            slope += weight / (2 * step) * part
    return slope


def _move_along(planes: np.ndarray, axis: int, distance: float) -> np.ndarray:
    n_pixels = planes.shape[axis]
    whole = int(np.ceil(distance))
    rest = whole - distance  # ahead of the pixel that lies `whole` before
    places = np.arange(-1, n_pixels + 2) + _MARGIN - whole
    coefficients = _coefficients(planes, axis)
    places = places.clip(0, coefficients.shape[axis] - 1)
    coefficients = coefficients.take(places, axis)
    moved = np.zeros(planes.shape)
    for place in range(4):
        part = _part(coefficients, axis, slice(place, place + n_pixels))
        moved += _spline(rest - (place - 1)) * part
    return moved


def _coefficients(planes: np.ndarray, axis: int) -> np.ndarray:
    """Of a cubic spline along an axis, `_MARGIN` more at each end."""
    margins = [(0, 0)] * planes.ndim
    margins[axis] = (_MARGIN, _MARGIN)
    padded = np.pad(planes, margins, mode="edge")
    return spline_filter1d(padded, 3, axis, mode="nearest")


def _part(planes: np.ndarray, axis: int, part: slice) -> np.ndarray:
    return planes[(slice(None),) * axis + (part,)]


def _spline(distance: float) -> float:
    """Return the cubic B-spline at a distance from its middle."""
    distance = abs(distance)
    if distance < 1:
        return 2 / 3 - distance**2 + distance**3 / 2
    return max(2 - distance, 0.0) ** 3 / 6
