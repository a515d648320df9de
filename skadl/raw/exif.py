"""What a photograph's EXIF says of camera and exposure: read here, and only here.

Numbers and names are read from the file's own tags, or asked of LibRaw where a format
hides them; what belongs to the photograph is carried to a DNG, byte for byte. Codes and
types are those of CIPA DC-008 (Exif 2.32), tables 4, 7 and 15.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import rawpy

from skadl.raw.exif_blocks import (
    ASCII,
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    ExifEntry,
    encode_entry,
)
from skadl.raw.tiff_tags import Directory, TiffTags, numbers, read_tags, text
from skadl.support.text import short_label

_MAKE, _MODEL, _UNIQUE_CAMERA_MODEL = 271, 272, 50708
# In the order in which they are believed: ISOSpeedRatings (today's name is
# PhotographicSensitivity), ISOSpeed, RecommendedExposureIndex,
# StandardOutputSensitivity. A camera that needs more than 16 bits puts 65535 into the
# first and the true ISO into another.
_ISO_CODES = (34855, 34867, 34866, 34865)
_ISO_OVERFLOW, _HIGHEST_ISO = 65535, 1e8
_COMPANY_WORDS = frozenset(
    "ag camera co company corp corporation gmbh imaging inc limited ltd".split()
)
_LONGEST_NAME = 256
_LARGEST_NUMBER = 1e6  # seconds, F-number or mm that a camera may mean
_LARGEST_APEX = 20.0

_TEXT, _BYTES = (ASCII,), (BYTE, UNDEFINED)
_WHOLE, _RATIO = (SHORT, LONG), (RATIONAL, SRATIONAL)
_IMAGE_TYPES = {
    **dict.fromkeys((269, 270), _TEXT),  # DocumentName, ImageDescription
    **dict.fromkeys((_MAKE, _MODEL), _TEXT),
    306: _TEXT,  # DateTime
    315: _TEXT,  # Artist
    **dict.fromkeys((18246, 18249), _WHOLE),  # Rating, RatingPercent
    33432: _TEXT,  # Copyright
    33723: (*_BYTES, LONG),  # IPTC
    **dict.fromkeys(range(40091, 40096), _BYTES),  # XPTitle to XPSubject
}
_EXPOSURE_TIME, _F_NUMBER, _TAKEN, _FOCAL_LENGTH = 33434, 33437, 36867, 37386
_SHUTTER_SPEED_VALUE, _APERTURE_VALUE = 37377, 37378
_LENS_MAKE, _LENS_MODEL, _USER_COMMENT = 42035, 42036, 37510
_MEASURES = (_EXPOSURE_TIME, _F_NUMBER, _FOCAL_LENGTH)
_APEX = {
    "ExposureTime": (_EXPOSURE_TIME, _SHUTTER_SPEED_VALUE, lambda value: 2**-value),
    "FNumber": (_F_NUMBER, _APERTURE_VALUE, lambda value: 2 ** (value / 2)),
}
# Neither owner nor serial numbers: like a position, they tell who took the picture.
# Nor what is of the file: its sizes, its CFA pattern, the maker's notes.
_EXPOSURE_TYPES = {
    _EXPOSURE_TIME: _RATIO,
    _F_NUMBER: _RATIO,
    34850: _WHOLE,  # ExposureProgram
    **dict.fromkeys(range(34864, 34870), _WHOLE),  # which ISO is meant, and those
    _TAKEN: _TEXT,  # DateTimeOriginal
    36868: _TEXT,  # DateTimeDigitized
    36880: _TEXT,  # OffsetTime
    36881: _TEXT,  # OffsetTimeOriginal
    36882: _TEXT,  # OffsetTimeDigitized
    _SHUTTER_SPEED_VALUE: _RATIO,
    _APERTURE_VALUE: _RATIO,
    37379: _RATIO,  # BrightnessValue
    37380: _RATIO,  # ExposureBiasValue
    37381: _RATIO,  # MaxApertureValue
    37382: _RATIO,  # SubjectDistance
    37383: _WHOLE,  # MeteringMode
    37384: _WHOLE,  # LightSource
    37385: _WHOLE,  # Flash
    _FOCAL_LENGTH: _RATIO,
    **dict.fromkeys((37520, 37521, 37522), _TEXT),  # SubSecTime, ...Original, ...Digi.
    **dict.fromkeys(range(37888, 37894), _RATIO),  # Temperature to CameraElevationAngle
    41483: _RATIO,  # FlashEnergy
    41486: _RATIO,  # FocalPlaneXResolution
    41487: _RATIO,  # FocalPlaneYResolution
    41488: _WHOLE,  # FocalPlaneResolutionUnit
    41493: _RATIO,  # ExposureIndex
    41495: _WHOLE,  # SensingMethod
    **dict.fromkeys((41728, 41729), _BYTES),  # FileSource, SceneType
    41985: _WHOLE,  # CustomRendered
    41986: _WHOLE,  # ExposureMode
    41987: _WHOLE,  # WhiteBalance
    41988: _RATIO,  # DigitalZoomRatio
    41989: _WHOLE,  # FocalLengthIn35mmFilm
    **dict.fromkeys(range(41990, 41995), _WHOLE),  # SceneCaptureType to Sharpness
    41996: _WHOLE,  # SubjectDistanceRange
    42034: _RATIO,  # LensSpecification
    _LENS_MAKE: _TEXT,
    _LENS_MODEL: _TEXT,
    42080: _WHOLE,  # CompositeImage
}
_GPS_TYPES = {
    **dict.fromkeys((0, 5), _BYTES),
    **dict.fromkeys((1, 3, 8, 9, 10, 12, 14, 16, 18, 19, 21, 23, 25, 29), _TEXT),
    **dict.fromkeys((2, 4, 6, 7, 11, 13, 15, 17, 20, 22, 24, 26, 31), _RATIO),
    **dict.fromkeys((27, 28), _BYTES),
    30: _WHOLE,
}


def exif_tags(path: Path) -> TiffTags:
    """Read the tags of a file; empty where there are none to be parsed."""
    return read_tags(path)


def exif_number(tags: TiffTags, name: str) -> float | None:
    """Return a positive number, "ExposureTime" or "FNumber", or None.

    Where the tag says none (1/0, say), what it is in APEX units.
    """
    code, apex_code, from_apex = _APEX[name]
    usable = [n for n in _numbers(tags, code) if 0 < n < _LARGEST_NUMBER]
    if not usable:
        values = [v for v in _numbers(tags, apex_code) if abs(v) < _LARGEST_APEX]
        usable = [from_apex(value) for value in values]
    return next(iter(usable), None)


def exif_iso(tags: TiffTags) -> float | None:
    """Return the ISO, of whichever tag has it, or None."""
    found = [n for code in _ISO_CODES for n in _numbers(tags, code)]
    isos = [iso for iso in found if 0 < iso < _HIGHEST_ISO]
    return next((iso for iso in isos if iso != _ISO_OVERFLOW), min(isos, default=None))


def exif_sensor(tags: TiffTags) -> str:
    """Return the camera's name, see `camera_name`; empty if the tags have none."""
    make, model = (text(tags.first.get(code)) for code in (_MAKE, _MODEL))
    if not model:
        make, model = "", text(tags.first.get(_UNIQUE_CAMERA_MODEL))
    # A name is shown, and kept in models: nothing in it may steer a terminal.
    return short_label(camera_name(make, model), _LONGEST_NAME)


def read_exposure(path: Path) -> tuple[float | None, float | None]:
    """Read ISO and exposure time in seconds from a file's tags alone."""
    tags = exif_tags(path)
    return exif_iso(tags), exif_number(tags, "ExposureTime")


def libraw_number(
    raw: rawpy.RawPy, name: str, below: float = _LARGEST_NUMBER
) -> float | None:
    """Return what LibRaw reads from a format's own blocks; None if it is no number."""
    try:
        value = float(getattr(raw.other, name))
    except (AttributeError, OverflowError, OSError, ValueError):
        # Older rawpy has no `other`; newer ones choke on absurd time stamps there.
        return None
    return value if 0 < value < below else None


def libraw_iso(raw: rawpy.RawPy) -> float | None:
    """Return the ISO as LibRaw has it; None where EXIF's 16 bits did not hold it."""
    return libraw_number(raw, "iso_speed", _ISO_OVERFLOW)


def camera_name(make: str, model: str) -> str:
    """Join EXIF Make and Model into one sensor name, without saying anything twice.

    >>> camera_name("NIKON CORPORATION", "NIKON D850")
    'NIKON D850'
    >>> camera_name("SONY", "ILCE-7SM2 ")
    'SONY ILCE-7SM2'
    """
    make_words, model_words = make.split(), model.split()
    plain_make = [re.sub(r"\W+$", "", word).casefold() for word in make_words]
    if model_words and model_words[0].casefold() in plain_make:
        return " ".join(model_words)
    brand = [
        word
        for word, plain in zip(make_words, plain_make, strict=True)
        if plain not in _COMPANY_WORDS
    ]
    return " ".join([*(brand or make_words), *model_words])


@dataclass(frozen=True)
class CameraExif:
    """What belongs to the photograph rather than to the file that holds it."""

    image: tuple[ExifEntry, ...] = ()  # of the first IFD
    exposure: tuple[ExifEntry, ...] = ()  # of the EXIF IFD
    position: tuple[ExifEntry, ...] = ()  # of the GPS IFD
    comment: str = ""  # of the photographer

    @property
    def names_camera(self) -> bool:
        """Whether a model is among the tags."""
        return any(entry.code == _MODEL for entry in self.image)


def read_exif(tags: TiffTags, raw: rawpy.RawPy) -> CameraExif:
    """Collect what a DNG is to carry of a RAW file, which LibRaw has open as well."""
    # Some formats have what belongs into the EXIF block in the first.
    exposure = _collect(tags.first, _EXPOSURE_TYPES) | _collect(
        tags.exif, _EXPOSURE_TYPES
    )
    return CameraExif(
        tuple(_collect(tags.first, _IMAGE_TYPES).values()),
        tuple((_libraw_exposure(raw) | exposure).values()),
        tuple(_collect(tags.position, _GPS_TYPES).values()),
        _comment(tags),
    )


def _comment(tags: TiffTags) -> str:
    """Decode the tag UserComment, whose first eight bytes name its code."""
    entry = tags.exif.get(_USER_COMMENT)
    if entry is None or entry.type != UNDEFINED:
        return ""
    utf_16 = "utf-16-le" if tags.is_little_endian else "utf-16-be"
    codes = {b"ASCII\0\0\0": "utf-8", b"UNICODE\0": utf_16}
    code = codes.get(entry.payload[:8])
    if code is None:
        return ""
    return short_label(entry.payload[8:].decode(code, "replace").strip("\0 "), 1000)


def _collect(
    directory: Directory, types: dict[int, tuple[int, ...]]
) -> dict[int, ExifEntry]:
    """Take the listed tags as they are, without those of another type or no value."""
    found = {}
    for code, entry in directory.items():
        if entry.type not in types.get(code, ()):
            continue
        if entry.type == ASCII and not entry.payload.strip(b"\0 "):
            continue
        if code in _MEASURES and not any(0 < n < math.inf for n in numbers(entry)):
            continue
        found[code] = entry
    return found


def _libraw_exposure(raw: rawpy.RawPy) -> dict[int, ExifEntry]:
    """Exposure and lens as LibRaw reads them from any format's own blocks."""
    values: dict[int, Any] = {}
    with suppress(AttributeError, OverflowError, OSError, ValueError):
        taken = raw.other.timestamp
        if isinstance(taken, datetime) and taken.year > 1970:
            values[_TAKEN] = f"{taken:%Y:%m:%d %H:%M:%S}"
    for code, name in (
        (_EXPOSURE_TIME, "shutter_speed"),
        (_F_NUMBER, "aperture"),
        (_FOCAL_LENGTH, "focal_length"),
    ):
        number = libraw_number(raw, name)
        if number is not None:
            values[code] = [number]
    with suppress(AttributeError, ValueError):
        values |= {_LENS_MODEL: raw.lens.model, _LENS_MAKE: raw.lens.make}
    found = {}
    for code, value in values.items():
        with suppress(ValueError):
            found[code] = encode_entry(code, _EXPOSURE_TYPES[code][0], value)
    return found


def _numbers(tags: TiffTags, code: int) -> Iterator[float]:
    """Numbers of a tag, its first one: of the EXIF block, then of the first."""
    for directory in (tags.exif, tags.first):
        for number in numbers(directory.get(code))[:1]:
            if math.isfinite(number):
                yield float(number)
