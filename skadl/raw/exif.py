"""What a photograph's EXIF says of camera and exposure, to be carried to another file.

Codes and types are those of CIPA DC-008 (Exif 2.32), tables 4, 7 and 15; the layout
of a block (IFD) is that of *TIFF Revision 6.0*, section 2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import rawpy

from skadl.raw.rawfile import exif_tags

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _SRATIONAL = 1, 2, 3, 4, 5, 7, 10
_NUMBER_FORMATS = {_BYTE: "B", _SHORT: "H", _LONG: "I", _UNDEFINED: "B"}
_RATIO_LIMITS = {_RATIONAL: (0, 2**32 - 1), _SRATIONAL: (-(2**31), 2**31 - 1)}
_LONGEST_TEXT = 1000
_MISFITS = (struct.error, ArithmeticError, AttributeError, TypeError, ValueError)

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


class ExifEntry(NamedTuple):
    """One tag, encoded for a little-endian file."""

    code: int
    type: int
    count: int
    payload: bytes


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


def encode_entry(code: int, type_: int, values: Any) -> ExifEntry:
    """Encode one tag.

    Parameters
    ----------
    code : int
    type_ : int
        TIFF type: 1 byte, 2 ASCII, 3 short, 4 long, 5 rational, 7 undefined,
        10 signed rational.
    values : str, bytes or sequence of numbers

    Returns
    -------
    ExifEntry

    Raises
    ------
    ValueError
        If the values do not fit the type, or there are none.

    Examples
    --------
    >>> entry = encode_entry(33434, 5, [0.5])
    >>> list(entry.payload)
    [1, 0, 0, 0, 2, 0, 0, 0]
    """
    if type_ == _ASCII:
        text = str(values).strip("\0 ")[:_LONGEST_TEXT]
        payload = text.encode() + b"\0"
        count = len(payload) if text else 0
    else:
        count = len(values)
        try:
            if type_ in _NUMBER_FORMATS:
                payload = struct.pack(f"<{count}{_NUMBER_FORMATS[type_]}", *values)
            else:
                payload = b"".join(_encode_ratio(value, type_) for value in values)
        except _MISFITS as error:
            raise ValueError(f"EXIF tag {code} cannot hold {values!r}.") from error
    if count == 0:
        raise ValueError(f"EXIF tag {code} has no value.")
    return ExifEntry(code, type_, count, payload)


def encode_ifd(entries: Iterable[ExifEntry], position: int) -> bytes:
    """Lay out a block of tags with the values that do not fit into it behind it.

    Parameters
    ----------
    entries : iterable of ExifEntry
        In any order, each code once.
    position : int
        Offset in the file at which the block will begin, even.

    Returns
    -------
    bytes
    """
    entries = sorted(entries)
    block = struct.pack("<H", len(entries))
    values_at = position + 2 + 12 * len(entries) + 4
    values = b""
    for code, type_, count, payload in entries:
        if len(payload) <= 4:
            field = payload.ljust(4, b"\0")
        else:
            field = struct.pack("<I", values_at + len(values))
            values += payload + b"\0" * (len(payload) % 2)
        block += struct.pack("<HHI", code, type_, count) + field
    return block + struct.pack("<I", 0) + values  # 0: no further IFD


def _encode_ratio(value: Any, type_: int) -> bytes:
    low, high = _RATIO_LIMITS[type_]
    if isinstance(value, float):
        value = Fraction(value).limit_denominator(1_000_000)
    # Not Fraction's own: exifread's keeps 0/0, "unknown", as it is.
    ratio = (value.numerator, value.denominator)
    if not all(low <= part <= high for part in ratio):
        raise ArithmeticError
    return struct.pack("<2I" if low == 0 else "<2i", *ratio)


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
