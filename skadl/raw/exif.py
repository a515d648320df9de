"""What a photograph's EXIF says of camera and exposure: read here, and only here.

Numbers and names are read from the file's own tags with exifread, or asked of LibRaw
where a format hides them; what belongs to the photograph is carried to a DNG. Codes
and types are those of CIPA DC-008 (Exif 2.32), tables 4, 7 and 15.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import exifread
import rawpy

from skadl.raw.exif_blocks import (
    ASCII,
    BYTE,
    RATIONAL,
    SHORT,
    SRATIONAL,
    ExifEntry,
    encode_entry,
)

# In the order in which they are believed. A camera that needs more than 16 bits puts
# 65535 into the first and the true ISO into another.
_ISO_TAGS = (
    "ISOSpeedRatings",
    "PhotographicSensitivity",
    "ISOSpeed",
    "RecommendedExposureIndex",
    "StandardOutputSensitivity",
)
_ISO_OVERFLOW = 65535
_UNIQUE_CAMERA_MODEL = "Image Tag 0xC614"  # a DNG's name for the camera
_COMPANY_WORDS = frozenset(
    "ag camera co company corp corporation gmbh imaging inc limited ltd".split()
)
_SEARCHED_BYTES = 1 << 20  # of a file, for a block of tags
_LARGEST_NUMBER = 1e6  # seconds, F-number or mm that a camera may mean

_IMAGE_TYPES = {
    306: ASCII,  # DateTime
    315: ASCII,  # Artist
    33432: ASCII,  # Copyright
}
_EXPOSURE_TIME, _F_NUMBER, _TAKEN, _FOCAL_LENGTH = 33434, 33437, 36867, 37386
_LENS_MAKE, _LENS_MODEL = 42035, 42036
# Neither owner nor serial numbers: like a position, they tell who took the picture.
_EXPOSURE_TYPES = {
    _EXPOSURE_TIME: RATIONAL,
    _F_NUMBER: RATIONAL,
    34850: SHORT,  # ExposureProgram
    _TAKEN: ASCII,  # DateTimeOriginal
    36868: ASCII,  # DateTimeDigitized
    36880: ASCII,  # OffsetTime
    36881: ASCII,  # OffsetTimeOriginal
    36882: ASCII,  # OffsetTimeDigitized
    37377: SRATIONAL,  # ShutterSpeedValue
    37378: RATIONAL,  # ApertureValue
    37379: SRATIONAL,  # BrightnessValue
    37380: SRATIONAL,  # ExposureBiasValue
    37381: RATIONAL,  # MaxApertureValue
    37382: RATIONAL,  # SubjectDistance
    37383: SHORT,  # MeteringMode
    37384: SHORT,  # LightSource
    37385: SHORT,  # Flash
    _FOCAL_LENGTH: RATIONAL,
    37520: ASCII,  # SubSecTime
    37521: ASCII,  # SubSecTimeOriginal
    37522: ASCII,  # SubSecTimeDigitized
    41486: RATIONAL,  # FocalPlaneXResolution
    41487: RATIONAL,  # FocalPlaneYResolution
    41488: SHORT,  # FocalPlaneResolutionUnit
    41986: SHORT,  # ExposureMode
    41987: SHORT,  # WhiteBalance
    41989: SHORT,  # FocalLengthIn35mmFilm
    41990: SHORT,  # SceneCaptureType
    42034: RATIONAL,  # LensSpecification
    _LENS_MAKE: ASCII,
    _LENS_MODEL: ASCII,
}
_GPS_TYPES = {
    **dict.fromkeys((0, 5), BYTE),
    **dict.fromkeys((1, 3, 8, 9, 10, 12, 14, 16, 18, 29), ASCII),
    **dict.fromkeys((2, 4, 6, 7, 11, 13, 15, 17, 31), RATIONAL),
    30: SHORT,
}


def exif_tags(path: Path) -> dict:
    """Read exifread's tags of a file; empty where there are none to be parsed."""
    with path.open("rb") as file:
        head = file.read(_SEARCHED_BYTES)
        # exifread knows TIFF (most RAW formats); others carry a TIFF block inside.
        if head[:2] not in (b"II", b"MM"):
            block = re.search(rb"II\*\0\x08\0\0\0|MM\0\*\0\0\0\x08", head)
            if block is None:
                return {}
            file = io.BytesIO(head[block.start() :])
        try:
            return exifread.process_file(file, details=False)
        except Exception:  # exifread lets any parsing error out; no EXIF then
            return {}


def exif_number(tags: dict, name: str) -> float | None:
    """Return a positive number by its tag's name, "ExposureTime", say, or None."""
    numbers = _numbers(tags, name)
    return next((number for number in numbers if number < _LARGEST_NUMBER), None)


def exif_iso(tags: dict) -> float | None:
    """Return the ISO, of whichever tag has it, or None."""
    isos = [iso for name in _ISO_TAGS for iso in _numbers(tags, name)]
    return next((iso for iso in isos if iso != _ISO_OVERFLOW), min(isos, default=None))


def exif_sensor(tags: dict) -> str:
    """Return the camera's name, see `camera_name`; empty if the tags have none."""
    make, model = _make_and_model(tags)
    if model:
        return camera_name(make, model)
    return camera_name("", _text(tags, _UNIQUE_CAMERA_MODEL))


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

    make: str = ""  # as the camera writes it; empty if unknown, as the model
    model: str = ""
    image: tuple[ExifEntry, ...] = ()  # of the first IFD
    exposure: tuple[ExifEntry, ...] = ()  # of the EXIF IFD
    position: tuple[ExifEntry, ...] = ()  # of the GPS IFD


def read_exif(path: Path, raw: rawpy.RawPy) -> CameraExif:
    """Collect what a DNG is to carry from a RAW file, which LibRaw has open as well."""
    tags = exif_tags(path)
    exposure = _collect(tags, ("Image", "EXIF"), _EXPOSURE_TYPES)
    return CameraExif(
        *_make_and_model(tags),
        tuple(_collect(tags, ("Image",), _IMAGE_TYPES).values()),
        tuple((_libraw_exposure(raw) | exposure).values()),
        tuple(_collect(tags, ("GPS",), _GPS_TYPES).values()),
    )


def _collect(
    tags: dict, groups: tuple[str, ...], types: dict[int, int]
) -> dict[int, ExifEntry]:
    """Encode the listed tags, without malformed ones; later groups win."""
    found = {}
    for group in groups:
        for name, tag in tags.items():
            code = getattr(tag, "tag", None)
            if name.startswith(f"{group} ") and code in types:
                with suppress(ValueError):
                    found[code] = encode_entry(code, types[code], tag.values)
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
            found[code] = encode_entry(code, _EXPOSURE_TYPES[code], value)
    return found


def _numbers(tags: dict, name: str) -> Iterator[float]:
    """Positive numbers of a tag: that of the EXIF block, then that of the first."""
    for group in ("EXIF", "Image"):
        try:
            number = float(tags[f"{group} {name}"].values[0])
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            continue
        if 0 < number < math.inf:
            yield number


def _make_and_model(tags: dict) -> tuple[str, str]:
    return _text(tags, "Image Make"), _text(tags, "Image Model")


def _text(tags: dict, key: str) -> str:
    return str(tags[key].values).strip("\0 ") if key in tags else ""
