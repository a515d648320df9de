"""What the header of a FITS frame says of camera, mosaic, levels and exposure.

FITS fixes how numbers are stored, and hardly any name of a card. The names here are
those that capture programs write (Siril's list of keywords, "FITS" in its manual).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from skadl.raw.mosaic import CFA_PATTERNS, find_blocks

TOP_DOWN, BOTTOM_UP = "TOP-DOWN", "BOTTOM-UP"
_PATTERN = ("BAYERPAT", "COLORTYP", "COLORTYPE")
_X_OFFSET, _Y_OFFSET = ("XBAYROFF", "BAYOFFX"), ("YBAYROFF", "BAYOFFY")
_CAMERA = ("INSTRUME", "CAMERA", "CAMMODEL")
_ISO = ("ISOSPEED", "ISO", "ISO-SPEED")
_TIME = ("EXPTIME", "EXPOSURE")
_SATURATION = ("SATURATE", "SATLEVEL")
_NO_LIGHT = ("DARK", "BIAS", "OFFSET", "FLAT")
# Cameras count gain in tenths of a decibel (ZWO, Player One, Seestar): 200 is a factor
# of ten. Above this no camera counts so; it is a percentage, or the ISO itself.
_MOST_DECIBELS = 600.0
_ISO_AT_NO_GAIN = 100.0
_LARGEST_STEP = 256
_SAMPLED = 1_000_000  # pixels that the step of the counts is found on


@dataclass(frozen=True)
class FitsFacts:
    """What is read from the cards; None for what they do not say."""

    cfa: str  # of the rows as the file has them
    row_order: str | None
    sensor: str | None
    iso: float | None
    iso_origin: str | None  # in words
    black_level: float | None
    saturation: float | None
    time: float | None  # seconds
    gain_setting: float | None
    electrons_per_count: float | None
    temperature: float | None  # of the sensor, degrees Celsius
    taken: str | None
    kind: str | None  # "dark", "bias" or "flat"; None for a frame of the sky


def read_facts(header: Mapping[str, Any], height: int, name: str) -> FitsFacts:
    """Read the cards of a mosaic of so many rows; ValueError if it is no mosaic."""
    row_order = _text(header, ("ROWORDER",)).upper() or None
    if row_order not in (None, TOP_DOWN, BOTTOM_UP):
        row_order = None
    iso, origin = _iso(header)
    kind = _text(header, ("IMAGETYP", "FRAME")).upper()
    pedestal = _number(header, ("PEDESTAL",))
    return FitsFacts(
        cfa=_cfa(header, height, row_order == BOTTOM_UP, name),
        row_order=row_order,
        sensor=_sensor(header),
        iso=iso,
        iso_origin=origin,
        # To be added to the counts (MaxIm: -100), or to be taken off (PixInsight: 100).
        black_level=abs(pedestal) if pedestal else None,
        saturation=_number(header, _SATURATION),
        time=_positive(_number(header, _TIME)),
        gain_setting=_number(header, ("GAIN",)),
        electrons_per_count=_positive(_number(header, ("EGAIN",))),
        temperature=_number(header, ("CCD-TEMP", "DET-TEMP")),
        taken=_text(header, ("DATE-OBS",)) or None,
        kind=next((word.lower() for word in _NO_LIGHT if word in kind), None),
    )


def counts_step(counts: np.ndarray) -> int:
    """Largest power of two that divides all whole counts: 16 for 12 bits in 16.

    >>> counts_step(np.array([[480, 496], [1040, 65520]], np.uint16))
    16
    """
    sample = counts.ravel()[:: max(1, counts.size // _SAMPLED)]
    for values in (sample, counts):  # all of them only where a sample has a step
        bits = int(np.bitwise_or.reduce(values, axis=None))
        step = min(bits & -bits, _LARGEST_STEP) if bits else 1
        if step == 1:
            break
    return step


def _cfa(header: Mapping[str, Any], height: int, is_flipped: bool, name: str) -> str:
    pattern = _text(header, _PATTERN).upper()
    if not pattern or pattern in ("MONO", "MONOCHROME", "NONE"):
        raise ValueError(
            f"{name} names no Bayer pattern (card BAYERPAT): it is from a monochrome "
            "camera, or a program left the card out. skadl denoises Bayer mosaics; if "
            "this is one, add the card, for all files of the camera alike: "
            f"astropy.io.fits.setval({name!r}, 'BAYERPAT', value='RGGB')."
        )
    first = (height - 1) % 2 if is_flipped else 0
    first += round(_number(header, _Y_OFFSET) or 0)
    left = round(_number(header, _X_OFFSET) or 0)
    if len(pattern) == 36 and not (is_flipped or first or left):
        with suppress(ValueError):
            mosaic, corner = find_blocks(pattern)
            if corner == (0, 0):  # as skadl writes one
                return mosaic
    if pattern not in CFA_PATTERNS:
        raise ValueError(
            f"{name} has the colour pattern {pattern[:40]!r}; skadl denoises the Bayer "
            f"patterns {', '.join(CFA_PATTERNS)}. Leave it out, or correct the card "
            "BAYERPAT."
        )
    rows = [pattern[:2], pattern[2:]]
    # The pattern is that of the picture's top left corner. Where the file has the last
    # row first, its first row is the second of the pattern if the height is even.
    return "".join(
        rows[(first + row) % 2][(left + column) % 2]
        for row in (0, 1)
        for column in (0, 1)
    )


def _iso(header: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """Return a number that stands for the gain, in proportion to it where known."""
    iso = _positive(_number(header, _ISO))
    if iso is not None:
        return iso, "the file's own"
    gain = _number(header, ("GAIN",))
    if gain is None or gain < 0:
        return None, None
    if gain > _MOST_DECIBELS:
        return gain, f"the number of the card GAIN, {gain:g}"
    label = _ISO_AT_NO_GAIN * 10 ** (gain / 200)
    return (
        float(f"{label:.4g}"),
        f"a label made from the card GAIN, {gain:g}: 100 at gain 0, ten times as much "
        "200 higher",
    )


def _sensor(header: Mapping[str, Any]) -> str | None:
    camera = _text(header, _CAMERA)
    if not camera:
        return None
    binning = _number(header, ("XBINNING",)) or 1
    # Another noise, and another size.
    return camera if binning <= 1 else f"{camera} bin {binning:g}"


def _text(header: Mapping[str, Any], names: Iterable[str]) -> str:
    for name in names:
        value = header.get(name)
        if isinstance(value, str) and value.strip():
            return " ".join(value.split())
    return ""


def _number(header: Mapping[str, Any], names: Iterable[str]) -> float | None:
    for name in names:
        try:
            number = float(header.get(name))
        except (TypeError, ValueError):
            continue
        if math.isfinite(number) and abs(number) < 1e9:
            return number
    return None


def _positive(number: float | None) -> float | None:
    return number if number is not None and number > 0 else None
