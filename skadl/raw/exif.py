"""What a photograph's EXIF says of camera and exposure, to be carried to another file.

Codes and types are those of CIPA DC-008 (Exif 2.32), tables 4, 7 and 15; the layout
of a block (IFD) is that of *TIFF Revision 6.0*, section 2.
"""

from __future__ import annotations

import io
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import exifread
import rawpy

from skadl.raw.exif_blocks import (
    _ASCII,
    _BYTE,
    _RATIONAL,
    _SHORT,
    _SRATIONAL,
    ExifEntry,
    encode_entry,
)

_IMAGE_TYPES = {
    306: _ASCII,  # DateTime
    315: _ASCII,  # Artist
    33432: _ASCII,  # Copyright
}
# Neither owner nor serial numbers: like a position, they tell who took the picture.
_EXPOSURE_TYPES = {
    33434: _RATIONAL,  # ExposureTime
    33437: _RATIONAL,  # FNumber
    34850: _SHORT,  # ExposureProgram
    36867: _ASCII,  # DateTimeOriginal
    36868: _ASCII,  # DateTimeDigitized
    36880: _ASCII,  # OffsetTime
    36881: _ASCII,  # OffsetTimeOriginal
    36882: _ASCII,  # OffsetTimeDigitized
    37377: _SRATIONAL,  # ShutterSpeedValue
    37378: _RATIONAL,  # ApertureValue
    37379: _SRATIONAL,  # BrightnessValue
    37380: _SRATIONAL,  # ExposureBiasValue
    37381: _RATIONAL,  # MaxApertureValue
    37382: _RATIONAL,  # SubjectDistance
    37383: _SHORT,  # MeteringMode
    37384: _SHORT,  # LightSource
    37385: _SHORT,  # Flash
    37386: _RATIONAL,  # FocalLength
    37520: _ASCII,  # SubSecTime
    37521: _ASCII,  # SubSecTimeOriginal
    37522: _ASCII,  # SubSecTimeDigitized
    41486: _RATIONAL,  # FocalPlaneXResolution
    41487: _RATIONAL,  # FocalPlaneYResolution
    41488: _SHORT,  # FocalPlaneResolutionUnit
    41986: _SHORT,  # ExposureMode
    41987: _SHORT,  # WhiteBalance
    41989: _SHORT,  # FocalLengthIn35mmFilm
    41990: _SHORT,  # SceneCaptureType
    42034: _RATIONAL,  # LensSpecification
    42035: _ASCII,  # LensMake
    42036: _ASCII,  # LensModel
}
_GPS_TYPES = {
    **dict.fromkeys((0, 5), _BYTE),
    **dict.fromkeys((1, 3, 8, 9, 10, 12, 14, 16, 18, 29), _ASCII),
    **dict.fromkeys((2, 4, 6, 7, 11, 13, 15, 17, 31), _RATIONAL),
    30: _SHORT,
}


@dataclass(frozen=True)
class CameraExif:
    """What belongs to the photograph rather than to the file that holds it.

    Parameters
    ----------
    make, model : str
        As the camera writes them; empty if unknown.
    image, exposure, position : tuple of ExifEntry
        Tags of the first IFD, of the EXIF IFD and of the GPS IFD.
    """

    make: str = ""
    model: str = ""
    image: tuple[ExifEntry, ...] = ()
    exposure: tuple[ExifEntry, ...] = ()
    position: tuple[ExifEntry, ...] = ()


def read_exif(path: Path, raw: rawpy.RawPy) -> CameraExif:
    """Collect a RAW file's EXIF; what its blocks do not say is asked of LibRaw.

    Parameters
    ----------
    path : Path
    raw : rawpy.RawPy
        The same file, open.

    Returns
    -------
    CameraExif
        Malformed tags are left out.
    """
    tags = exif_tags(path)
    exposure = _collect(tags, ("Image", "EXIF"), _EXPOSURE_TYPES)
    return CameraExif(
        *(
            str(tags[key].values).strip("\0 ") if key in tags else ""
            for key in ("Image Make", "Image Model")
        ),
        tuple(_collect(tags, ("Image",), _IMAGE_TYPES).values()),
        tuple((_libraw_exposure(raw) | exposure).values()),
        tuple(_collect(tags, ("GPS",), _GPS_TYPES).values()),
    )


def _collect(
    tags: dict, groups: tuple[str, ...], types: dict[int, int]
) -> dict[int, ExifEntry]:
    """Encode those of exifread's tags that are listed; later groups win."""
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
    known: list[tuple[int, int, Any]] = []
    try:
        other = raw.other
        taken = other.timestamp
        if isinstance(taken, datetime) and taken.year > 1970:
            known.append((36867, _ASCII, f"{taken:%Y:%m:%d %H:%M:%S}"))
        known += [
            (code, _RATIONAL, [float(value)])
            for code, value in (
                (33434, other.shutter_speed),
                (33437, other.aperture),
                (37386, other.focal_length),
            )
            if 0 < value < 1e6
        ]
    except (AttributeError, OverflowError, OSError, ValueError):
        pass  # as in rawfile: older rawpy, or absurd time stamps
    try:
        known += [(42036, _ASCII, raw.lens.model), (42035, _ASCII, raw.lens.make)]
    except (AttributeError, ValueError):
        pass
    found = {}
    for code, type_, values in known:
        with suppress(ValueError):
            found[code] = encode_entry(code, type_, values)
    return found


# EXIF keeps ISO in 16 bits; 65535 says that another tag holds the true one.
_ISO_OVERFLOW = 65535


_ISO_TAGS = (
    "ISOSpeedRatings",
    "PhotographicSensitivity",
    "ISOSpeed",
    "RecommendedExposureIndex",
    "StandardOutputSensitivity",
)


_UNIQUE_CAMERA_MODEL = "Image Tag 0xC614"


_COMPANY_WORDS = frozenset(
    "ag camera co company corp corporation gmbh imaging inc limited ltd".split()
)


def camera_name(make: str, model: str) -> str:
    """Join EXIF Make and Model into one sensor name, without saying anything twice.

    Parameters
    ----------
    make, model : str
        As in the file; either may be empty.

    Returns
    -------
    str
        Empty if both are.

    Examples
    --------
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


def exif_tags(path: Path) -> dict:
    """Read the EXIF tags of a TIFF-like file, or of a block near a file's beginning.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict
        As from `exifread`; empty where there is none or it cannot be parsed.
    """
    with path.open("rb") as file:
        head = file.read(1 << 20)
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


def _exif_sensor(tags: dict, path: Path) -> str:
    make, model, unique_model = (
        str(tags[key].values).strip("\0 ") if key in tags else ""
        for key in ("Image Make", "Image Model", _UNIQUE_CAMERA_MODEL)
    )
    sensor = camera_name(make, model) if model else camera_name("", unique_model)
    if not sensor:
        raise ValueError(
            f"{path.name} does not say which camera took it; give sensor='...' (on the "
            "command line --sensor NAME)."
        )
    return sensor


def _exif_iso(tags: dict, path: Path) -> float:
    known = []
    for name in _ISO_TAGS:
        for group in ("EXIF", "Image"):
            tag = tags.get(f"{group} {name}")
            known += [float(value) for value in tag.values[:1]] if tag else []
    known = [iso for iso in known if iso > 0]
    if not known:
        raise ValueError(
            f"{path.name} does not say its ISO; give iso=... (on the command line "
            "--iso NUMBER)."
        )
    return next((iso for iso in known if iso != _ISO_OVERFLOW), known[0])


def read_exposure(path: Path) -> tuple[float | None, float | None]:
    """Read ISO and exposure time from the beginning of a RAW file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    iso : float or None
        None where the file does not say.
    seconds : float or None
        None where the file does not say.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    tags = exif_tags(path)
    isos = [exif_number(tags, name) for name in _ISO_TAGS[:2]]
    return next(filter(None, isos), None), exif_number(tags, "ExposureTime")


def exif_number(tags: dict, name: str, below: float = math.inf) -> float | None:
    """Return a positive number from the tags of `exif_tags`, None if there is none.

    Parameters
    ----------
    tags : dict
    name : str
        Such as ``ExposureTime``; looked up in the EXIF block, then in the first.
    below : float, default=inf
        What is this or more is no number that a camera means.

    Returns
    -------
    float or None
    """
    for group in ("EXIF", "Image"):
        try:
            value = float(tags[f"{group} {name}"].values[0])
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            continue
        if 0 < value < below:
            return value
    return None
