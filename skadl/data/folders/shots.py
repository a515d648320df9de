"""One RAW file among others: its facts, its exposure, and a coarse look at it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skadl.raw.exif import exif_number, exif_tags
from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.rawfile import open_libraw, read_raw

_GRID = 12  # cells of a look, along each side
_LEAST_LIKE = 0.6  # correlation of two looks at one scene
_LEAST_CELLS, _SATURATED = 16, 0.9
_LEAST_PICTURE = 0.5  # of the variance between cells, or noise decides
_MAD_TO_SIGMA = 1.4826
_ABSURD = 1e6  # seconds, or an F-number
_MOST_CANDIDATES = 15  # to be the frame that others are compared with


@dataclass(frozen=True, eq=False)
class Look:
    """A frame on a coarse grid, to tell one scene from another.

    Parameters
    ----------
    signal : ndarray of shape (n_cells,)
        Mean of each cell, black at 0 and white at 1.
    variance : float
        That noise causes in `signal`; the mean over the cells.
    """

    signal: np.ndarray
    variance: float


@dataclass(frozen=True, eq=False)
class Shot:
    """A RAW file that has been read once, without its mosaic.

    Parameters
    ----------
    path : Path
    shape : tuple of two ints
        Of the mosaic.
    cfa, black_level, white_level, sensor, iso
        As in `RawImage`.
    time : float or None
        Exposure time in seconds; None where the file does not say.
    aperture : float or None
        F-number.
    look : Look
    """

    path: Path
    shape: tuple[int, int]
    cfa: str
    black_level: float | tuple[float, float, float, float]
    white_level: float
    sensor: str
    iso: float
    time: float | None
    aperture: float | None
    look: Look

    @property
    def camera(self) -> Hashable:
        """What frames of one pair have in common."""
        return self.sensor, self.shape, self.cfa

    @property
    def settings(self) -> Hashable:
        """What frames of one burst have in common."""
        levels = self.black_level, self.white_level
        return self.camera, levels, self.iso, self.time, self.aperture

    def counts(self) -> np.ndarray:
        """Read the mosaic: ndarray of shape (H, W), uint16."""
        return self._read(self.path).mosaic

    def image(self, **changes: Any) -> LazyRawImage:
        """Give the frame as a lazy image, with some fields changed."""
        return LazyRawImage(self.path, self._read, **{**self.facts(), **changes})

    def facts(self) -> dict[str, Any]:
        """Fields of `RawImage` but for mosaic and path, with ratio 1."""
        names = ("cfa", "black_level", "white_level", "sensor", "iso")
        return {name: getattr(self, name) for name in names} | {"ratio": 1.0}

    def _read(self, path: Path) -> RawImage:
        facts = self.facts()
        del facts["cfa"]  # which is found, not given
        return read_raw(path, **facts)


def read_shot(path: Path, **known: Any) -> Shot:
    """Read a RAW file once, to know that it can be read and what it is.

    Parameters
    ----------
    path : Path
    **known
        `sensor`, `iso`, `black_level`, `white_level`, as in `read_raw`; None where
        the file is to say.

    Returns
    -------
    Shot

    Raises
    ------
    OSError, ValueError
        As `read_raw`.
    """
    image = read_raw(path, **known)
    time, aperture = _exposure(path)
    return Shot(
        path,
        image.mosaic.shape,
        image.cfa,
        image.black_level,
        image.white_level,
        image.sensor,
        image.iso,
        time,
        aperture,
        _look_at(image),
    )


def lights(shots: Sequence[Shot]) -> list[float] | None:
    """Light that fell onto the sensor in each shot, in one arbitrary unit.

    Parameters
    ----------
    shots : sequence of Shot

    Returns
    -------
    list of float or None
        Exposure time over F-number squared; F-numbers count where all are known.
        None if a time is not.
    """
    times = [shot.time for shot in shots if shot.time is not None]
    apertures = [shot.aperture for shot in shots if shot.aperture is not None]
    if len(times) < len(shots):
        return None
    if len(apertures) < len(shots):
        return times
    return [t / f**2 for t, f in zip(times, apertures, strict=True)]


def odd_looks(looks: Sequence[Look]) -> tuple[int, list[int]]:
    """Find frames that show something else than most of their folder.

    Brightness as a whole does not matter, nor what moves in a part of the scene.

    Parameters
    ----------
    looks : sequence of n Look
        Of frames of one shape.

    Returns
    -------
    reference : int
        The one that most others agree with.
    odd : list of int
        Those that do not agree with it.
    """
    size = min(len(looks), _MOST_CANDIDATES)
    candidates = np.linspace(0, len(looks) - 1, size).astype(int)
    agrees = np.array([[_agree(looks[i], look) for look in looks] for i in candidates])
    best = int(agrees.sum(axis=1).argmax())
    return int(candidates[best]), np.flatnonzero(~agrees[best]).tolist()


def _look_at(image: RawImage) -> Look:
    packed = image.packed().astype(np.float32).mean(axis=0) - image.black_planes.mean()
    packed /= image.span
    cells = list(_cells(packed))
    # Diagonal neighbours differ by their noise, where there is no edge.
    differences = np.abs(packed[1:, 1:] - packed[:-1, :-1])
    sigmas = [np.median(cell) * _MAD_TO_SIGMA / 2**0.5 for cell in _cells(differences)]
    size = packed.size / len(cells)
    return Look(
        np.array([cell.mean(dtype=float) for cell in cells]),
        float(np.mean(np.square(sigmas)) / size) if sigmas else 0.0,
    )


def _cells(plane: np.ndarray) -> Iterator[np.ndarray]:
    rows, columns = (min(_GRID, side) for side in plane.shape)
    if rows and columns:
        for strip in np.array_split(plane, rows, axis=0):
            yield from np.array_split(strip, columns, axis=1)


def _agree(first: Look, second: Look) -> bool:
    """Tell whether two frames may show one scene; True where noise hides it."""
    unclipped = np.maximum(first.signal, second.signal) < _SATURATED
    if unclipped.sum() < _LEAST_CELLS:
        return True
    shares = []  # of the picture in what the cells differ by
    for look in (first, second):
        spread = look.signal[unclipped].var()
        shares.append(1 - look.variance / spread if spread > 0 else 0.0)
    if min(shares) < _LEAST_PICTURE:
        return True
    signals = [look.signal[unclipped] for look in (first, second)]
    ranks = [signal.argsort().argsort() for signal in signals]
    # Of a few stars in a dark sky the ranks say nothing; but a lamp that is switched
    # on changes a few cells alone.
    likeness = max(np.corrcoef(signals)[0, 1], np.corrcoef(ranks)[0, 1])
    return bool(likeness >= _LEAST_LIKE * np.prod(shares) ** 0.5)


def _exposure(path: Path) -> tuple[float | None, float | None]:
    """Exposure time and F-number; EXIF's fractions, or what LibRaw knows."""
    tags = exif_tags(path)
    time = exif_number(tags, "ExposureTime", _ABSURD)
    aperture = exif_number(tags, "FNumber", _ABSURD)
    if time is None or aperture is None:
        with open_libraw(path) as raw:
            try:
                other = raw.other
                shown = float(other.shutter_speed), float(other.aperture)
            except (AttributeError, OverflowError, OSError, ValueError):
                shown = (0.0, 0.0)  # as in rawfile: older rawpy, or absurd times
        shown = tuple(value if 0 < value < _ABSURD else None for value in shown)
        time, aperture = time or shown[0], aperture or shown[1]
    return time, aperture
