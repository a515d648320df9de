"""What skadl works on: one raw image, read already or when a field is asked for."""

from __future__ import annotations

import hashlib
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skadl.raw.levels import black_planes, level_span, normalise
from skadl.raw.mosaic import (
    align_blocks,
    aligned,
    check_cfa,
    crop_to_blocks,
    mosaic_of,
    of_mosaic,
    pack_mosaic,
    pattern_at,
)
from skadl.raw.noise_profile import NoiseProfile, check_noise_profile
from skadl.raw.thumbnail import shrink, thumbnails
from skadl.support.html import escaped, picture, view

# All that a file says beside its counts.
HEADER_FIELDS = ("cfa", "black_level", "white_level", "sensor", "iso", "ratio")
# What stops a file from being read; a view in a notebook shows it instead.
UNREADABLE = (OSError, ValueError, ImportError, MemoryError)
# Far beyond any camera and any unit; single precision holds what is made of them.
_RANGES = {"iso": (1e-3, 1e9), "ratio": (1e-6, 1e6), "white_level": (1e-9, 1e12)}
_NUMBERS = {4: "four", 9: "nine"}
_MOST_DIGESTED = 2**14  # pixels of a frame, spread over it


class NoISOError(ValueError):
    """A photograph does not say its ISO, and it is needed."""


class UnknownISO(float):
    """A number in place of an ISO that nobody knows: it is shown and written as none.

    Noise that is not looked up by ISO does without one.
    """

    def __repr__(self) -> str:
        return "unknown"

    def __format__(self, spec: str) -> str:
        return "unknown"


UNKNOWN_ISO = UnknownISO(800.0)  # the middle of 50 to 12,800, for a typical sensor's


@dataclass(frozen=True, eq=False)
class RawImage:
    """One raw frame with all that is needed to interpret its counts.

    Parameters
    ----------
    mosaic : ndarray of shape (H, W)
        Sensor counts, as the file has them: black level not subtracted. Any real
        numeric dtype; uint16 from a file.
    cfa : {"RGGB", "BGGR", "GRBG", "GBRG", "XTRANS-GBG", "XTRANS-GRG"}
        Top-left 2x2 of a Bayer mosaic in reading order; of X-Trans the first three
        sites, where a mosaic begins with a whole block of 3x3 pixels around a single
        green one. The colours of its first 6x6 in reading order (36 letters) will do.
    black_level : float or sequence of floats
        Counts at no light; four values (of X-Trans nine, of the first 3x3 pixels) are
        in reading order.
    white_level : float
        Counts at saturation, above every black level.
    sensor : str
        Name of the sensor (or camera); the domain that the image belongs to.
    iso : float
        ISO sensitivity, positive.
    ratio : float, default=1
        Light factor: how many times less light than its clean partner the image
        got. Denoisers see the counts above black times `ratio`.
    path : Path, optional
        File that the image was read from.
    noise_profile : sequence of four pairs of floats, optional
        What the file says of its noise (the tag NoiseProfile of a DNG), for the
        planes R, Gr, Gb, B: the variance is ``S x + O`` for a pair (S, O) at a signal
        x from black at 0 to white at 1. One pair counts for all planes, three are
        red, green and blue.

    Raises
    ------
    ValueError
        If a field is out of its range; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> image = RawImage(np.full((2, 2), 600), "RGGB", 512, 1023, "A7S2", 800)
    >>> image.normalised().ravel().round(3)
    array([0.172, 0.172, 0.172, 0.172], dtype=float32)
    """

    mosaic: np.ndarray
    cfa: str
    black_level: float | tuple[float, ...]
    white_level: float
    sensor: str
    iso: float
    ratio: float = 1.0
    path: Path | None = None
    noise_profile: NoiseProfile | None = None

    def __post_init__(self) -> None:
        set_field = super().__setattr__  # frozen for users, not for parsing
        set_field("cfa", check_cfa(self.cfa))
        set_field("mosaic", _check_mosaic(self.mosaic, mosaic_of(self.cfa).period))
        set_field("black_level", check_black_level(self.black_level, self.cfa))
        set_field("white_level", _check_fact("white_level", self.white_level))
        if self.white_level <= np.max(self.black_level):
            raise ValueError(
                f"white_level {self.white_level:g} must lie above black_level "
                f"{self.black_level}; check the levels of sensor {self.sensor!r}."
            )
        if not isinstance(self.sensor, str) or not self.sensor:
            raise ValueError(f"sensor must be a non-empty string, got {self.sensor!r}.")
        if not isinstance(self.iso, UnknownISO):
            set_field("iso", _check_fact("iso", self.iso))
        set_field("ratio", _check_fact("ratio", self.ratio))
        if self.noise_profile is not None:
            try:
                profile = check_noise_profile(self.noise_profile)
            except ValueError as error:
                raise ValueError(f"noise_profile cannot be used: {error}") from None
            set_field("noise_profile", profile)

    def __repr__(self) -> str:
        height, width = self.mosaic.shape
        return (
            f"RawImage({height}x{width} {self.cfa}, sensor={self.sensor!r}, "
            f"iso={self.iso:g}, ratio={self.ratio:g})"
        )

    def _repr_html_(self) -> str:
        try:
            shape, small = small_planes(self)
        except UNREADABLE as error:
            return f"<p>{escaped(repr(self))}: {escaped(error, 400)}</p>"
        (address,) = thumbnails([small])
        return view("RawImage", _facts(self, shape), [picture(address, self.sensor)])

    @property
    def black_planes(self) -> np.ndarray:
        """Black levels in the order of the planes, float64 of shape (n_planes,)."""
        return black_planes(self.black_level, self.cfa)

    @property
    def span(self) -> float:
        """White level minus mean black level, in counts."""
        return level_span(self.black_level, self.white_level)

    def packed(self) -> np.ndarray:
        """Planes of the mosaic in counts, of whole blocks alone.

        Returns
        -------
        ndarray of shape (4, H // 2, W // 2)
            R, Gr, Gb, B. Of X-Trans (9, H // 3, W // 3): two red planes, five green,
            two blue.
        """
        return pack_mosaic(crop_to_blocks(self.mosaic, self.cfa), self.cfa)

    def normalised(self) -> np.ndarray:
        """Packed planes with black at 0, white at 1, times `ratio`; never clipped.

        Returns
        -------
        ndarray of shape (4, H // 2, W // 2), float32
            Of X-Trans (9, H // 3, W // 3).
        """
        return normalise(self.packed(), self.black_planes, self.white_level, self.ratio)

    def with_mosaic(self, mosaic: np.ndarray) -> RawImage:
        """Return the same image with other counts (a denoised one, say).

        Without the noise profile, which may not be that of other counts.

        Parameters
        ----------
        mosaic : ndarray of shape (H, W)
            Counts, black level not subtracted.

        Returns
        -------
        RawImage
        """
        # Not dataclasses.replace, which would build another lazy image.
        header = {name: getattr(self, name) for name in HEADER_FIELDS}
        return RawImage(mosaic, **header, path=self.path)


def window_of(image: RawImage, rows: slice, columns: slice) -> RawImage:
    """Cut a window, in packed pixels, out of an image; without its noise profile."""
    mosaic, side = image.mosaic, mosaic_of(image.cfa).side
    height, width = (length // side for length in mosaic.shape)
    part = mosaic[of_mosaic(rows, height, side), of_mosaic(columns, width, side)]
    place = rows.indices(height)[0], columns.indices(width)[0]
    cfa, black = pattern_at(image.cfa, *place), image.black_level
    if cfa != image.cfa and not isinstance(black, float):
        black = tuple(np.reshape(black, (side, side)).T.ravel().tolist())
    header = {name: getattr(image, name) for name in HEADER_FIELDS}
    return RawImage(
        part, **(header | {"cfa": cfa, "black_level": black}), path=image.path
    )


def align_image(image: RawImage) -> RawImage:
    """Lay out all blocks of an image of whole blocks alike; a Bayer image as it is."""
    cfa = aligned(image.cfa)
    if cfa == image.cfa:
        return image
    black = image.black_level
    if not isinstance(black, float):
        side = mosaic_of(cfa).side
        block = np.reshape(black, (side, side))
        black = tuple(align_blocks(block, image.cfa).ravel().tolist())
    mosaic = align_blocks(image.mosaic, image.cfa)
    header = {name: getattr(image, name) for name in HEADER_FIELDS}
    header |= {"cfa": cfa, "black_level": black}
    return RawImage(mosaic, **header, path=image.path)


class LazyRawImage(RawImage):
    """A raw image that is read from its file when it is used.

    The header is kept after the first read; the mosaic is read afresh at every
    access, so a list of ten thousand files never fills memory. `reader` takes the path
    and must be picklable; `overrides` are fields that replace what the file says.
    """

    def __init__(
        self, path: str | Path, reader: Callable[[Path], RawImage], **overrides: Any
    ) -> None:
        self.__dict__.update(
            path=Path(path),
            reader=reader,
            overrides=overrides,
            _header=None,
            _noise_profile=None,
        )

    def _read(self) -> RawImage:
        image = replace(self.reader(self.path), **self.overrides)
        if self._header is None:
            header = {name: getattr(image, name) for name in HEADER_FIELDS}
            self.__dict__.update(_header=header, _noise_profile=image.noise_profile)
        return image

    def header(self) -> dict[str, Any]:
        """Fields beside the mosaic by name, read when first asked for."""
        if self._header is None:
            self._read()
        return self._header

    def is_known(self, name: str) -> bool:
        """Whether a field is known without reading the file."""
        return name in self.overrides or self._header is not None

    @property
    def mosaic(self) -> np.ndarray:  # noqa: D102 (documented on RawImage)
        return self._read().mosaic

    @property
    def noise_profile(self) -> NoiseProfile | None:  # noqa: D102
        self.header()
        return self._noise_profile

    def __repr__(self) -> str:
        return f"LazyRawImage({str(self.path)!r})"


def _header_property(name: str) -> property:
    def read_header_field(self: LazyRawImage):
        overrides = self.overrides  # known without the file
        return overrides[name] if name in overrides else self.header()[name]

    return property(read_header_field)


for _name in HEADER_FIELDS:
    setattr(LazyRawImage, _name, _header_property(_name))


def small_planes(image: RawImage) -> tuple[tuple[int, int], np.ndarray]:
    """Read a frame once: shape of its mosaic, and normalised planes of a thumbnail."""
    mosaic = image.mosaic
    small = shrink(pack_mosaic(crop_to_blocks(mosaic, image.cfa), image.cfa))
    planes = normalise(small, image.black_planes, image.white_level, image.ratio)
    return mosaic.shape, planes


def _facts(image: RawImage, shape: tuple[int, int]) -> dict[str, str]:
    height, width = shape
    levels = np.unique(np.asarray(image.black_level, float))
    facts = {
        "file": image.path and image.path.name,
        "sensor": image.sensor,
        "ISO": f"{image.iso:g}",
        "light factor": f"{image.ratio:g}",
        "size": f"{width} x {height} pixels, {image.cfa}",
        "black level": " to ".join(f"{b:g}" for b in sorted({levels[0], levels[-1]})),
        "white level": f"{image.white_level:g}",
    }
    return {name: fact for name, fact in facts.items() if fact}


def content_digest(image: RawImage) -> str:
    """Name what a frame shows: the same for copies, whatever scale their counts have.

    Of a part of its normalised pixels, without the light factor: no noise repeats.
    """
    packed = image.packed()
    step = max(1, round((packed.size / _MOST_DIGESTED) ** 0.5))
    part = normalise(
        packed[:, ::step, ::step], image.black_planes, image.white_level, 1.0
    )
    # Adding 0 turns -0 into 0.
    return hashlib.blake2b(part + np.float32(0), digest_size=16).hexdigest()


def check_positive(name: str, value: float) -> float:
    """Return `value` as a float, or say why it is not a positive finite number."""
    if isinstance(value, numbers.Real) or np.ndim(value) == 0:
        try:
            number = float(value)
        except (OverflowError, TypeError, ValueError):
            number = math.nan
        if math.isfinite(number) and number > 0:
            return number
    raise ValueError(f"{name} must be a positive finite number, got {value!r}.")


def _check_fact(name: str, value: float) -> float:
    number, (low, high) = check_positive(name, value), _RANGES[name]
    if not low <= number <= high:
        raise ValueError(
            f"{name} must lie between {low:g} and {high:g}, as for any camera, got "
            f"{value!r}; correct it."
        )
    return number


def _check_mosaic(mosaic: Any, period: int) -> np.ndarray:
    n_masked = int(np.ma.count_masked(mosaic)) if np.ma.isMaskedArray(mosaic) else 0
    if n_masked:
        raise ValueError(
            f"mosaic is a masked array with {n_masked} masked pixels, and an image has "
            "no mask; crop it to what is not masked, or give mosaic.data if the counts "
            "below the mask are good."
        )
    array = np.asarray(mosaic)
    if array.ndim != 2 or min(array.shape) < period or array.dtype.kind not in "uif":
        raise ValueError(
            "mosaic must be a real numeric array of shape (H, W), at least "
            f"{period}x{period}, got {array.dtype} of shape {array.shape}."
        )
    return array


def check_black_level(black_level: Any, cfa: str) -> float | tuple[float, ...]:
    """Return one number, or one for each site of a block if they differ."""
    n_sites = mosaic_of(cfa).n_planes
    try:
        levels = np.asarray(black_level, dtype=float)
    except (OverflowError, TypeError, ValueError):
        levels = np.empty(0)
    most = _RANGES["white_level"][1]
    if levels.shape not in ((), (1,), (n_sites,)) or not (np.abs(levels) <= most).all():
        raise ValueError(
            f"black_level must be one finite number or {_NUMBERS[n_sites]} in CFA "
            f"reading order, got {black_level!r}."
        )
    if levels.size == 1 or (levels == levels[0]).all():
        return float(levels.flat[0])
    return tuple(float(level) for level in levels)
