"""Local level and local detail of planes, in units of the noise expected there.

The level is the mean of a plane over 5x5 pixels, and detail is what a pixel differs
from it, divided by the noise expected at that level: linear in the pixel, so neither
the transform nor its inverse has a bias, and pixels below black are kept. Nothing
depends on the image as a whole, so tiles with a halo give what the whole gives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from skadl.network.base import Operations

REACH = 2  # packed pixels around a pixel over which its level is averaged
DETAIL_SCALE = 0.5
BRIGHTNESS_SCALE = 0.15
LINEAR_UP_TO = 8.0  # scaled brightness from which it grows like a logarithm


class LocalView(NamedTuple):
    """What the U-Net is shown of planes, and what turns its answer back."""

    features: Any  # 8 channels: scaled detail, brightness
    detail: Any
    sigma: Any


def look(
    operations: Operations, x: Any, shot: float | Tensor, read: float | Tensor
) -> LocalView:
    """Transform planes whose noise has the variance ``shot * signal + read``."""
    level = operations.average(x, REACH)
    floor = noise_floor(shot, read)
    sigma = operations.root(operations.rectify(level) * shot + floor)
    detail = (x - level) / sigma
    # Unit noise per pixel at any level, as after the Anscombe transform, written
    # without its difference of large roots; below black, where the two terms of the
    # divisor are equal, a straight line.
    brightness = level * 2 / (sigma + floor**0.5)
    brightness = operations.asinh(brightness * (BRIGHTNESS_SCALE / LINEAR_UP_TO))
    features = operations.join(detail * DETAIL_SCALE, brightness * LINEAR_UP_TO)
    return LocalView(features, detail, sigma)


def noise_floor(shot: float | Tensor, read: float | Tensor) -> float | Tensor:
    """Return the variance at black, with the 3/8 of the Anscombe transform."""
    return 0.375 * shot**2 + read
