"""Frames of a night whose stars drift: where each lies, and one clean frame of all.

Stars are found in every frame and matched by astroalign (triangles of stars, whatever
the frames are turned by), then shift, turn and scale are fitted to all that match. The
clean frame is the mean of the other frames, each moved by a spline within each colour,
which keeps a star's place and width; whole pixels would blur it by up to one. What a
spline does to noise, it does to that of the mean alone. The noisy frame is never moved:
that would correlate its noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import affine_transform
from scipy.spatial import cKDTree

from skadl.data.folders.bursts import Burst, BurstMean, average_burst
from skadl.data.folders.shots import Shot
from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.levels import cast_counts
from skadl.raw.mosaic import BAYER, mosaic_of, plane_views
from skadl.support.extras import import_extra
from skadl.support.robust import robust_sigma

LEAST_STARS = 6  # in a frame that is registered, and that two frames share
_MATCHED = 3.0  # pixels of the mosaic, within which two stars are one
_N_ROUNDS = 5
_LEAST_OVERLAP = 0.5  # of a frame, with the one that the others are moved to
_EDGE = 8  # pixels that a spline draws on
_STILL = 0.25  # pixels: frames that moved no more need no registration
_HOT = 8.0  # deviations that a single pixel stands out of its neighbours
_SPLINE = 5  # degree: of a sharp star's peak a cubic one, twice, takes 3 %, this 1 %
_KEPT_MEANS = 2
_LONE = 6.0  # times as bright above the sky as all neighbours but one
_BESIDE = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


class UnregisteredError(ValueError):
    """Frames whose stars cannot be matched."""


@dataclass(frozen=True, eq=False)
class Place:
    """How a frame lies over the reference: ``turn @ position + shift``, row and column.

    Of the frame's own pixels in those of the reference.
    """

    turn: np.ndarray  # (2, 2)
    shift: np.ndarray  # (2,)
    error: float = 0.0  # of matched stars, root mean square in pixels

    def of(self, positions: np.ndarray) -> np.ndarray:
        """Positions (n, 2) of the frame, in the reference."""
        return positions @ self.turn.T + self.shift

    def inverse(self) -> Place:
        """Say how the reference lies over the frame."""
        back = np.linalg.inv(self.turn)
        return Place(back, -back @ self.shift, self.error)


@dataclass(frozen=True)
class Window:
    """Part of a mosaic, even on all sides."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, mosaic: np.ndarray) -> np.ndarray:
        """Cut it out of a mosaic."""
        rows = slice(self.top, self.top + self.height)
        return mosaic[rows, self.left : self.left + self.width]


@dataclass(frozen=True, eq=False)
class RegisteredBurst:
    """Frames of one scene, and where they lie over one of them, the reference."""

    burst: Burst
    places: tuple[Place, ...]
    window: Window  # of the reference, which all frames show

    @property
    def shots(self) -> tuple[Shot, ...]:
        """The frames."""
        return self.burst.shots

    @property
    def drift(self) -> float:
        """The farthest that a frame's middle lies off the reference's, in pixels."""
        middle = np.array(self.shots[0].shape)[None] / 2
        return max(
            float(np.linalg.norm(place.of(middle) - middle)) for place in self.places
        )

    @property
    def error(self) -> float:
        """How far matched stars lie off one another, root mean square in pixels."""
        return max(place.error for place in self.places)

    def frames(
        self, index: int, ratio: float = 1.0
    ) -> tuple[LazyRawImage, LazyRawImage]:
        """Give a frame and the mean of the others over it, both lazy and cut alike."""
        shot = self.shots[index]
        window = _shown_by(
            [_box(self.window)], [self.places[index].inverse()], shot.shape, 0
        )
        white = self.burst.white_level_of(shot)
        header = shot.header() | {"ratio": ratio, "white_level": white}
        noisy = LazyRawImage(shot.path, partial(_read_cut, shot, window), **header)
        header = self.burst.mean_header()
        reader = partial(_read_mean, self, index, window, header)
        return noisy, LazyRawImage(shot.path, reader, **header)


def register(shots: Sequence[Shot]) -> tuple[RegisteredBurst | None, list[Shot]]:
    """Find where frames lie; None where they did not move. Also those left out.

    UnregisteredError where too few show stars, and of other mosaics than Bayer's.
    """
    families = {mosaic_of(shot.cfa).family for shot in shots}
    if families != {BAYER}:
        raise UnregisteredError(
            f"stars are registered on {BAYER} mosaics, and these frames have "
            f"{' and '.join(sorted(families))} ones; align them in another program"
        )
    shown = [s for s in shots if s.stars is not None and len(s.stars) >= LEAST_STARS]
    if len(shown) < 2:
        raise UnregisteredError(
            f"only {len(shown)} of {len(shots)} frames show {LEAST_STARS} stars or more"
        )
    reference = max(shown, key=lambda shot: len(shot.stars))
    kept, places = [], []
    for shot in shown:
        place = Place(np.eye(2), np.zeros(2))
        if shot is not reference:
            place = match_stars(shot.stars, reference.stars)
        if place is not None and _overlap(place, shot.shape) >= _LEAST_OVERLAP:
            kept.append(shot)
            places.append(place)
    left_out = [shot for shot in shots if shot not in kept]
    if len(kept) < 2:
        raise UnregisteredError("the stars of no two frames match")
    box = _box(Window(0, 0, *reference.shape))
    window = _shown_by([box] * len(places), places, reference.shape, _EDGE)
    burst = RegisteredBurst(Burst(tuple(kept)), tuple(places), window)
    is_still = burst.drift < _STILL and not left_out
    return (None if is_still else burst), left_out


def match_stars(stars: np.ndarray, others: np.ndarray) -> Place | None:
    """Find how stars (n, 2) lie over others (m, 2), brightest first; None if no match.

    Row and column in pixels of the mosaic.
    """
    astroalign = import_extra("astroalign", "fits", "registering stars")
    try:
        found, _ = astroalign.find_transform(stars, others)
    except Exception:  # of several kinds; there is no match
        return None
    place = Place(found.params[:2, :2], found.params[:2, 2])
    tree, pairs = cKDTree(others), None
    for _ in range(_N_ROUNDS):
        distances, nearest = tree.query(place.of(stars))
        again = np.flatnonzero(distances < _MATCHED)
        if len(again) < min(LEAST_STARS, len(stars), len(others)):
            return None
        if pairs is not None and np.array_equal(again, pairs):
            break
        pairs = again
        place = _fit(stars[pairs], others[nearest[pairs]])
    return place


def _fit(stars: np.ndarray, others: np.ndarray) -> Place:
    """Shift, turn and scale by least squares; again without the worst tenth."""
    x, y = (points @ [1j, 1] for points in (stars, others))  # column + i row
    for share in (0.9, 1.0):
        rise = np.vdot(x - x.mean(), y - y.mean()) / np.vdot(x - x.mean(), x - x.mean())
        start = y.mean() - rise * x.mean()
        apart = np.abs(start + rise * x - y)
        kept = apart <= np.quantile(apart, share)
        x, y = x[kept], y[kept]
    turn = np.array([[rise.real, rise.imag], [-rise.imag, rise.real]])
    error = float(np.sqrt(np.mean(apart**2)))
    return Place(turn, np.array([start.imag, start.real]), error)


def move_counts(
    counts: np.ndarray, cfa: str, place: Place, window: Window
) -> np.ndarray:
    """Move a mosaic (H, W) to the reference, a window of it: float32.

    Each colour by a spline of its own.
    """
    back = place.inverse()
    moved = np.empty((window.height, window.width), np.float32)
    origin = np.array([window.top, window.left])
    for plane, target, offset in zip(
        plane_views(counts, cfa),
        plane_views(moved, cfa),
        _plane_offsets(cfa),
        strict=True,
    ):
        # A pixel k of the target lies at 2 k + offset + origin of the reference.
        start = (back.turn @ (offset + origin) + back.shift - offset) / 2
        target[:] = affine_transform(
            plane.astype(np.float32),
            back.turn,
            start,
            target.shape,
            order=_SPLINE,
            mode="nearest",
        )
    return moved


def without_defects(counts: np.ndarray, cfa: str) -> np.ndarray:
    """Replace lone bright pixels, which a spline would spread over their neighbours.

    A star, however sharp, lights the pixels of other colours beside its own.
    """
    light = counts.astype(np.float32)
    for plane in plane_views(light, cfa):
        plane -= np.median(plane)
    sigma = robust_sigma(light[:, 2:] - light[:, :-2]) / 2**0.5
    inner = light[2:-2, 2:-2]
    rows, columns = (axis + 2 for axis in np.nonzero(inner > _HOT * sigma))
    around = np.stack(
        [light[rows + i, columns + j] for i, j in _BESIDE], axis=-1
    )  # (n, 8)
    second = np.sort(around, axis=-1)[:, -2]  # defects come in pairs
    is_lone = light[rows, columns] > _LONE * np.maximum(second, sigma)
    rows, columns = rows[is_lone], columns[is_lone]
    alike = [counts[rows + 2 * i, columns + 2 * j] for i, j in _BESIDE]
    repaired = counts.copy()
    repaired[rows, columns] = np.median(alike, axis=0)
    return repaired


def _plane_offsets(cfa: str) -> list[np.ndarray]:
    rows, columns = np.mgrid[:2, :2]
    return [
        np.array([int(r[0, 0]), int(c[0, 0])])
        for r, c in zip(plane_views(rows, cfa), plane_views(columns, cfa), strict=True)
    ]


def _box(window: Window) -> np.ndarray:
    """Corners of a window, (4, 2)."""
    rows = window.top, window.top + window.height - 1
    columns = window.left, window.left + window.width - 1
    return np.array([[r, c] for r in rows for c in columns], float)


def _shown_by(
    boxes: Sequence[np.ndarray],
    places: Sequence[Place],
    shape: tuple[int, int],
    edge: int,
) -> Window:
    """Largest even window, upright, that lies in all boxes once they are moved."""
    top, left = 0.0, 0.0
    bottom, right = (side - 1.0 for side in shape)
    for box, place in zip(boxes, places, strict=True):
        corners = place.of(box)
        rows, columns = (np.sort(corners[:, axis]) for axis in (0, 1))
        # Of a box that is a little turned, the inner ones of its corners.
        top, bottom = max(top, rows[1] + edge), min(bottom, rows[2] - edge)
        left, right = max(left, columns[1] + edge), min(right, columns[2] - edge)
    first = [int(np.ceil(x / 2)) * 2 for x in (top, left)]
    sides = [
        max(0, (int(np.floor(end)) + 1 - start) // 2 * 2)
        for end, start in zip((bottom, right), first, strict=True)
    ]
    return Window(*first, *sides)


def _overlap(place: Place, shape: tuple[int, int]) -> float:
    window = _shown_by([_box(Window(0, 0, *shape))], [place], shape, _EDGE)
    return window.height * window.width / (shape[0] * shape[1])


def _read_cut(shot: Shot, window: Window, path: Path) -> RawImage:
    counts = window.cut(shot.counts())
    return RawImage(np.ascontiguousarray(counts), path=path, **shot.header())


def _registered(burst: RegisteredBurst, index: int) -> np.ndarray:
    """Move the counts of a frame to the reference: uint16."""
    cfa = burst.shots[index].cfa
    counts = without_defects(burst.burst.counts(index), cfa)
    moved = move_counts(counts, cfa, burst.places[index], burst.window)
    return cast_counts(moved, np.dtype(np.uint16))


@lru_cache(maxsize=_KEPT_MEANS)
def _mean_of(burst: RegisteredBurst) -> BurstMean:
    levels = burst.burst.levels
    return average_burst(
        [partial(_registered, burst, index) for index in range(len(burst.shots))],
        float(levels.black.mean()),
        levels.white,
    )


def _read_mean(
    burst: RegisteredBurst,
    index: int,
    window: Window,
    header: dict[str, Any],
    path: Path,
) -> RawImage:
    mean = _mean_of(burst).without(index, _registered(burst, index))
    place, own = burst.places[index].inverse(), burst.window
    # The mean begins at its window's corner, which is even, as the frame's window is.
    corner = np.array([own.top, own.left])
    place = Place(place.turn, place.turn @ corner + place.shift)
    counts = move_counts(mean, burst.shots[index].cfa, place, window)
    return RawImage(cast_counts(counts, np.dtype(np.uint16)), path=path, **header)
