"""Frames of the night sky: which pixels show no star, so that a pair is judged there.

Between two frames of a night the stars drift by parts of a pixel, and the air blurs
them unequally. Both leave more than noise at every star, and nothing between them. So a
pair of the sky is judged between its stars: these are masked, wide enough for a drift
of two pixels, and what hit the sensor in the noisy frame alone (cosmic rays) as well.

A frame is one of the sky if its bright spots are few, small and round, and if between
them it shows nothing that a shift could move: what neighbours share there is less than
a hundredth of the noise. Then a shift of two pixels costs nothing but at the spots.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import (
    find_objects,
    gaussian_filter,
    label,
    maximum_filter,
    median_filter,
    sum_labels,
)

from skadl.noise.residual import OUTLIER, Residual, only
from skadl.screening.alignment import Shift
from skadl.screening.symptoms import LEAST_BINS
from skadl.support.robust import median, robust_sigma

DRIFT = 2.0  # pixels of the mosaic that stars may be off by
_MESH = 8  # packed pixels a side, of the blocks whose medians are the background
_BLUR = 1.0  # packed pixels, about a star's own
_SPOT = (
    4.0,
    0.15,
)  # deviations of the clean sky, and of the noise, that a spot exceeds
_LEAST_PIXELS, _LEAST_SPOTS = 4, 3
_LARGEST_SPOT = 24  # packed pixels a side
_ROUND = 0.8  # of the spots that must be
_MOST_MASKED = 0.35  # of the frame
_STRUCTURE = 0.01  # of the noise's variance, that neighbours share between the spots
_MARGIN = 3  # packed pixels around a spot: the drift, and the wings of a star
_BRIGHT = 50.0  # of the noise, of stars whose wings reach twice as far
_LEAST_SIDE = 32
_SEEN = 10.0  # deviations of a spot's light, from which it must be in both frames
_LIKE = (0.5, 1.6)  # times the light of the clean frame's spot: air and clouds differ
_LEAST_LIKE = 0.75  # of the spots
_LARGEST_HIT = 10  # packed pixels a side, of what a cosmic ray leaves
_MOST_HIT = 0.003  # of the frame
_AROUND = np.ones((3, 3))


def sky_between_stars(
    noisy: np.ndarray, clean: np.ndarray, sigma: np.ndarray
) -> np.ndarray | None:
    """Packed pixels without a star, (h, w); None if this is no pair of the night sky.

    Planes are (4, h, w), black at 0; `sigma` is the noise of the noisy frame.
    """
    if min(clean.shape[1:]) < _LEAST_SIDE:
        return None
    # In units in which the noise of the noisy frame has a variance of 1.
    light, seen = ((x / sigma).sum(axis=0) / 2 for x in (clean, noisy))
    background = _background(light)
    light -= background
    seen -= background
    smooth = gaussian_filter(light, _BLUR)  # faint stars stand out of the noise
    spread = robust_sigma(smooth - median(smooth))
    is_spot = np.abs(smooth) > max(_SPOT[0] * spread, _SPOT[1])
    masked = maximum_filter(is_spot, 2 * _MARGIN + 1)
    masked |= maximum_filter(smooth > _BRIGHT, 4 * _MARGIN + 1)
    if masked.mean() > _MOST_MASKED or _shared(light, ~masked) > _STRUCTURE:
        return None
    spots, n_spots = label(is_spot, _AROUND)
    sizes = np.bincount(spots.ravel())[1:]
    places = [
        place
        for place, size in zip(find_objects(spots), sizes, strict=True)
        if size >= _LEAST_PIXELS
    ]
    n_round = sum(_is_round(place) for place in places)
    if len(places) < _LEAST_SPOTS or n_round < _ROUND * len(places):
        return None
    if not _are_in_both(light, seen, masked):
        return None
    return ~(masked | _hits(seen - light, masked))


def judged_on_sky(measured: Residual) -> Residual | None:
    """Leave the stars out of a residual; None if it is no pair of the night sky."""
    if len(measured.bins) < LEAST_BINS:
        return None
    keep = sky_between_stars(
        measured.residual + measured.signal, measured.signal, measured.pixel_sigma
    )
    return None if keep is None else only(measured, keep)


def drift_of_stars(shift: Shift) -> Shift:
    """Give a shift of stars the harm it does: none up to `DRIFT` pixels."""
    return shift if shift.length > DRIFT else replace(shift, energy=0.0)


def _background(plane: np.ndarray) -> np.ndarray:
    """Medians of blocks, without single bright ones, interpolated: (h, w)."""
    rows, columns = (side // _MESH for side in plane.shape)
    blocks = plane[: rows * _MESH, : columns * _MESH]
    blocks = blocks.reshape(rows, _MESH, columns, _MESH)
    blocks = blocks.transpose(0, 2, 1, 3).reshape(rows, columns, _MESH**2)
    mesh = median_filter(median(blocks, axis=2), 3, mode="nearest")
    # Not by products of matrices: these start threads, which then wait in a loop and
    # take as much processor time again as the whole pair.
    return _spread(_spread(mesh, plane.shape[0]).T, plane.shape[1]).T


def _spread(mesh: np.ndarray, side: int) -> np.ndarray:
    """Interpolate rows of blocks to so many rows of pixels: (side, n)."""
    places = ((np.arange(side) - (_MESH - 1) / 2) / _MESH).clip(0, len(mesh) - 1)
    above = places.astype(int).clip(max=max(len(mesh) - 2, 0))
    part = (places - above).astype(mesh.dtype)[:, None]
    steps = np.diff(mesh, axis=0, append=mesh[-1:])
    return mesh[above] + part * steps[above]


def _shared(plane: np.ndarray, keep: np.ndarray) -> float:
    """Mean product of diagonal neighbours: the variance of what is no noise."""
    plane = plane * keep
    total = (plane[1:, 1:] * plane[:-1, :-1]).sum()
    total += (plane[1:, :-1] * plane[:-1, 1:]).sum()
    count = (keep[1:, 1:] & keep[:-1, :-1]).sum() + (
        keep[1:, :-1] & keep[:-1, 1:]
    ).sum()
    return float(total / max(count, 1))


def _is_round(place: tuple[slice, slice]) -> bool:
    low, high = sorted(part.stop - part.start for part in place)
    return high <= min(2 * low + 1, _LARGEST_SPOT)


def _are_in_both(light: np.ndarray, seen: np.ndarray, masked: np.ndarray) -> bool:
    """Whether the noisy frame shows the stars of the clean one, about where it does."""
    light, seen = (median_filter(x, 3) for x in (light, seen))  # no hot pixels
    areas, n_areas = label(masked, _AROUND)
    index = np.arange(1, n_areas + 1)
    fluxes, counts = (sum_labels(x, areas, index) for x in (light, np.ones_like(light)))
    is_bright = fluxes > _SEEN * np.sqrt(counts)
    if not is_bright.any():
        return False
    likeness = sum_labels(seen, areas, index)[is_bright] / fluxes[is_bright]
    return bool(np.mean((likeness > _LIKE[0]) & (likeness < _LIKE[1])) >= _LEAST_LIKE)


def _hits(excess: np.ndarray, masked: np.ndarray) -> np.ndarray:
    """Small places that are far brighter in the noisy frame alone: cosmic rays."""
    lone, hit = (np.zeros(masked.shape, bool) for _ in range(2))
    areas, _ = label((excess > OUTLIER) & ~masked, _AROUND)
    sizes = np.bincount(areas.ravel())
    for number, place in enumerate(find_objects(areas), start=1):
        if max(part.stop - part.start for part in place) <= _LARGEST_HIT:
            target = lone if sizes[number] == 1 else hit  # a hot pixel, or a track
            target[place] |= areas[place] == number
    if hit.mean() > _MOST_HIT:
        return lone
    return lone | maximum_filter(hit, 3)
