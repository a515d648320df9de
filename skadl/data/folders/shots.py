"""One RAW file among others: its header, its exposure, and a thumbnail of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skadl.data.folders.masters import NoiseSample, take_sample
from skadl.data.folders.star_places import locate_stars
from skadl.raw.exif import exif_number, exif_tags, libraw_number
from skadl.raw.fits import fits_facts, is_fits
from skadl.raw.image import HEADER_FIELDS, LazyRawImage, RawImage, content_digest
from skadl.raw.levels import cast_counts, level_span
from skadl.raw.mosaic import mosaic_of
from skadl.raw.rawfile import open_libraw, read_raw
from skadl.support.robust import robust_sigma

_GRID = 12  # cells of a thumbnail, along each side
_LEAST_LIKE = 0.6  # correlation of two thumbnails of one scene
_LEAST_CELLS, _SATURATED = 16, 0.9
_LEAST_PICTURE = 0.5  # of the variance between cells, or noise decides
_BLACK, _WHITE = 4096, 65535  # of floats in 16 bits
_MOST_CANDIDATES = 15  # to be the frame that others are compared with


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A frame on a coarse grid, to tell one scene from another."""

    signal: np.ndarray  # (n_cells,), the mean of each, black at 0 and white at 1
    variance: float  # that noise causes in it; the mean over the cells


@dataclass(frozen=True, eq=False)
class Shot:
    """A RAW file that has been read once, without its mosaic."""

    path: Path
    shape: tuple[int, int]  # of the mosaic
    cfa: str
    black_level: float | tuple[float, ...]
    white_level: float
    sensor: str
    iso: float
    time: float | None  # seconds; None where the file does not say
    aperture: float | None  # F-number
    thumbnail: Thumbnail
    sample: NoiseSample | None  # until it is matched: memory for many files
    content: str  # digest, the same for copies of a frame
    # Of its stars, brightest first: rows and columns in pixels of the mosaic, (n, 2).
    # None where they were not looked for.
    stars: np.ndarray | None = None
    # Black and white of the file, where its numbers are turned into others.
    levels_in_file: tuple[Any, float] | None = None

    @property
    def camera(self) -> Hashable:
        """What frames of one pair have in common."""
        return self.sensor, self.shape, self.cfa

    @property
    def settings(self) -> Hashable:
        """What frames of one burst have in common, beside about the same `span`."""
        return self.camera, self.iso, self.time, self.aperture

    @property
    def blacks(self) -> np.ndarray:
        """Black levels in CFA reading order, (4,), of X-Trans (9,)."""
        n_sites = mosaic_of(self.cfa).n_planes
        return np.broadcast_to(np.asarray(self.black_level, float), n_sites)

    @property
    def span(self) -> float:
        """Counts from mean black to white."""
        return level_span(self.black_level, self.white_level)

    def bare(self) -> Shot:
        """Return the shot without what only matching needs."""
        return replace(self, sample=None)

    def counts(self) -> np.ndarray:
        """Read the mosaic: ndarray of shape (H, W), uint16."""
        return self._read(self.path).mosaic

    def image(self, **changes: Any) -> LazyRawImage:
        """Give the frame as a lazy image, with some fields changed."""
        return LazyRawImage(self.path, self._read, **{**self.header(), **changes})

    def header(self) -> dict[str, Any]:
        """Fields of `RawImage` but for mosaic and path, with ratio 1."""
        read = {n: getattr(self, n) for n in HEADER_FIELDS if n != "ratio"}
        return read | {"ratio": 1.0}

    def _read(self, path: Path) -> RawImage:
        header = self.header()
        del header["cfa"]  # which is found, not given
        if self.levels_in_file is not None:
            header["black_level"], header["white_level"] = self.levels_in_file
        return _in_16_bits(read_raw(path, **header))


def read_shot(path: Path, *, registers: bool | None = None, **known: Any) -> Shot:
    """Read a RAW file once, to know that it can be read and what it is.

    `registers` says whether its stars are to be found; None for those of FITS frames.
    """
    image = read_raw(path, **known)
    if is_fits(path):
        facts = fits_facts(path)
        if facts.kind is not None:
            raise ValueError(
                f"{path.name} is a {facts.kind} frame (card IMAGETYP), not one of the "
                "scene; keep it in a folder of its own."
            )
        time, aperture = facts.time, None
        registers = registers is not False
    else:
        time, aperture = _exposure(path)
    levels = image.black_level, image.white_level
    image = _in_16_bits(image)
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
        _make_thumbnail(image),
        take_sample(image),
        content_digest(image),
        locate_stars(image) if registers else None,
        None if (image.black_level, image.white_level) == levels else levels,
    )


def _in_16_bits(image: RawImage) -> RawImage:
    """Turn other numbers than 16 bits without a sign, as FITS may hold, into these."""
    mosaic = image.mosaic
    if mosaic.dtype == np.uint16:
        return image
    if mosaic.dtype.kind == "u" and mosaic.dtype.itemsize == 1:
        return image.with_mosaic(mosaic.astype(np.uint16))
    # Black as high as the noise of calibrated frames, which goes below it, may need.
    black, span = float(np.mean(image.black_level)), image.span
    scale = (_WHITE - _BLACK) / span
    counts = (mosaic.astype(np.float32) - np.float32(black)) * np.float32(
        scale
    ) + _BLACK
    return replace(
        image,
        mosaic=cast_counts(counts, np.dtype(np.uint16)),
        black_level=float(_BLACK),
        white_level=float(_WHITE),
    )


def lights(shots: Sequence[Shot]) -> list[float] | None:
    """Light onto the sensor in each shot, in one unit; None if a time is not known."""
    times = [shot.time for shot in shots if shot.time is not None]
    apertures = [shot.aperture for shot in shots if shot.aperture is not None]
    if len(times) < len(shots):
        return None
    if len(apertures) < len(shots):  # a lens without contacts: F-numbers do not count
        return times
    return [t / f**2 for t, f in zip(times, apertures, strict=True)]


def find_other_scenes(thumbnails: Sequence[Thumbnail]) -> tuple[int, list[int]]:
    """Find the frame that most others agree with, and those that show another scene."""
    # Brightness as a whole does not matter, nor what moves in a part of the scene.
    size = min(len(thumbnails), _MOST_CANDIDATES)
    candidates = np.linspace(0, len(thumbnails) - 1, size).astype(int)
    agrees = np.array(
        [[_agree(thumbnails[i], t) for t in thumbnails] for i in candidates]
    )
    best = int(agrees.sum(axis=1).argmax())
    return int(candidates[best]), np.flatnonzero(~agrees[best]).tolist()


def _make_thumbnail(image: RawImage) -> Thumbnail:
    packed = image.packed().astype(np.float32).mean(axis=0) - image.black_planes.mean()
    packed /= image.span
    cells = list(_cells(packed))
    # Diagonal neighbours differ by their noise, where there is no edge: the median of
    # the differences is that of the noise, of which two share in each.
    differences = np.abs(packed[1:, 1:] - packed[:-1, :-1])
    sigmas = [robust_sigma(cell) / 2**0.5 for cell in _cells(differences)]
    size = packed.size / len(cells)
    return Thumbnail(
        np.array([cell.mean(dtype=float) for cell in cells]),
        float(np.mean(np.square(sigmas)) / size) if sigmas else 0.0,
    )


def _cells(plane: np.ndarray) -> Iterator[np.ndarray]:
    rows, columns = (min(_GRID, side) for side in plane.shape)
    if rows and columns:
        for strip in np.array_split(plane, rows, axis=0):
            yield from np.array_split(strip, columns, axis=1)


def _agree(first: Thumbnail, second: Thumbnail) -> bool:
    """Tell whether two frames may show one scene; True where noise hides it."""
    unclipped = np.maximum(first.signal, second.signal) < _SATURATED
    if unclipped.sum() < _LEAST_CELLS:
        return True
    shares = []  # of the picture in what the cells differ by
    for thumbnail in (first, second):
        spread = thumbnail.signal[unclipped].var()
        shares.append(1 - thumbnail.variance / spread if spread > 0 else 0.0)
    if min(shares) < _LEAST_PICTURE:
        return True
    signals = [thumbnail.signal[unclipped] for thumbnail in (first, second)]
    ranks = [signal.argsort().argsort() for signal in signals]
    # Of a few stars in a dark sky the ranks say nothing; but a lamp that is switched
    # on changes a few cells alone.
    likeness = max(np.corrcoef(signals)[0, 1], np.corrcoef(ranks)[0, 1])
    # Noise lowers the correlation of two equal pictures to the root of their shares.
    return bool(likeness >= _LEAST_LIKE * np.prod(shares) ** 0.5)


def _exposure(path: Path) -> tuple[float | None, float | None]:
    """Exposure time and F-number; EXIF's fractions, or what LibRaw knows."""
    tags = exif_tags(path)
    time, aperture = exif_number(tags, "ExposureTime"), exif_number(tags, "FNumber")
    if time is None or aperture is None:
        with open_libraw(path) as raw:
            time = time or libraw_number(raw, "shutter_speed")
            aperture = aperture or libraw_number(raw, "aperture")
    return time, aperture
