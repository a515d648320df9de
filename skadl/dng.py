"""Writing Bayer DNG files that RAW programs open like the camera's own.

Tags follow Adobe's *Digital Negative (DNG) Specification*, version 1.4.0.0,
chapter 4 ("DNG Tags"); the EXIF block follows CIPA DC-008 (Exif 2.3).
"""

from __future__ import annotations

import struct
import uuid
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rawpy
import tifffile

from skadl.levels import cast_counts
from skadl.rawfile import camera_name, open_libraw
from skadl.records import RawImage

_COUNT_LIMIT = np.iinfo(np.uint16).max
# A mosaic scaled to [0, 1] would become zeros and ones.
_SMALLEST_RANGE = 16

# CIE XYZ to linear sRGB, white D65 (inverse of the matrix of IEC 61966-2-1).
_SRGB_FROM_XYZ = np.linalg.inv(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_D65 = 21  # EXIF LightSource code

# LibRaw's flip (1: mirror columns, 2: mirror rows, 4: transpose) as TIFF orientation.
_ORIENTATION = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}

_CFA_CODES = {"R": 0, "G": 1, "B": 2}
_CFA_PHOTOMETRIC = 32803
# tifffile does not write the pointer to an EXIF block, so it writes an unassigned
# tag of the same size and place in order, which is then renamed.
_EXIF_POINTER, _EXIF_PLACEHOLDER = 34665, 34664


# What a DNG says of the camera's colours; copied from a template that is a DNG.
_COLOUR_TAGS = {
    "ColorMatrix1": 50721,
    "ColorMatrix2": 50722,
    "CameraCalibration1": 50723,
    "CameraCalibration2": 50724,
    "AnalogBalance": 50727,
    "AsShotNeutral": 50728,
    "AsShotWhiteXY": 50729,
    "BaselineExposure": 50730,
    "CalibrationIlluminant1": 50778,
    "CalibrationIlluminant2": 50779,
    "CameraCalibrationSignature": 50931,
    "ProfileCalibrationSignature": 50932,
    "ForwardMatrix1": 50964,
    "ForwardMatrix2": 50965,
}


class _Rendering(NamedTuple):
    """How a RAW program is to develop the mosaic."""

    colour_tags: list[tuple]  # as tifffile takes them
    orientation: int  # TIFF code


def write_dng(
    path: str | Path, image: RawImage, template: str | Path | None = None
) -> Path:
    """Write a mosaic as a DNG, to develop a denoised image in any RAW program.

    Parameters
    ----------
    path : str or Path
        File to write, in an existing folder; an older file is replaced in one step,
        and left as it was if anything fails.
    image : RawImage
        Counts are stored without loss as uint16; other types are rounded to the
        nearest integer, negative counts become 0.
    template : str or Path, optional
        RAW file to take colour matrix, as-shot white balance and orientation from:
        the file that the mosaic was read from. By default ``image.path`` where that
        is a RAW file; without one, camera colours count as sRGB and the mean of
        the image as grey. From a DNG all tags that say how its colours are to be
        developed are copied; for other formats LibRaw's figures under D65 serve.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    FileNotFoundError
        If the folder or the template does not exist.
    ValueError
        If counts are not finite; if the levels do not fit into 16 bits or lie so
        close that rounding would lose the image; if the template is not a RAW file;
        if `path` is the file that the image comes from.

    Notes
    -----
    DNG stores the white level and EXIF the ISO as whole numbers: both are rounded.
    Fractional black levels are kept, but LibRaw cuts them when it reads them. The
    light factor has no tag and is not stored.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(path.parent)!r} to write {path.name} to; "
            "create it first."
        )
    origins = [Path(origin) for origin in (template, image.path) if origin is not None]
    if path.exists() and path.resolve() in [origin.resolve() for origin in origins]:
        raise ValueError(
            f"writing {path.name} would replace the RAW file that the image comes "
            "from; choose another name."
        )
    counts = _storable_counts(image)
    image = image.with_mosaic(counts)  # a lazy image reads its file at every access
    rendering = _template_rendering(template, image.path) or _default_rendering(image)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        tifffile.imwrite(
            part,
            counts,
            byteorder="<",
            photometric=_CFA_PHOTOMETRIC,
            metadata=None,
            software="skadl",
            extratags=_dng_tags(image, rendering),
        )
        _append_exif(part, image.iso)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _storable_counts(image: RawImage) -> np.ndarray:
    """Round counts to uint16, unless that loses more than a fraction of a count."""
    mosaic = image.mosaic
    if not np.isfinite(mosaic).all():
        raise ValueError(
            f"the mosaic of sensor {image.sensor!r} has counts that are not finite; a "
            "DNG stores whole numbers. Repair them before writing."
        )
    lowest_black, highest_black = np.min(image.black_level), np.max(image.black_level)
    white = image.white_level
    if lowest_black < 0 or white > _COUNT_LIMIT:
        raise ValueError(
            f"black level {image.black_level} and white level {white:g} do not both "
            "fit into a DNG's 16 bits (0 to 65535); shift or divide mosaic and "
            "levels alike before writing."
        )
    if white - highest_black < _SMALLEST_RANGE:
        raise ValueError(
            f"only {white - highest_black:g} counts lie between black and white, so "
            "rounding to whole counts would lose the image; multiply mosaic and "
            "levels alike before writing."
        )
    return cast_counts(mosaic, np.dtype(np.uint16))


def _template_rendering(
    template: str | Path | None, source: Path | None
) -> _Rendering | None:
    """Ask LibRaw for the template's rendering, else for that of the image's file."""
    if template is not None:
        return _read_rendering(Path(template))
    try:
        return None if source is None else _read_rendering(source)
    except (FileNotFoundError, ValueError):
        # Moved away since, or never a RAW file: nobody asked for it by name.
        return None


def _read_rendering(path: Path) -> _Rendering:
    with open_libraw(path) as raw:
        orientation = _ORIENTATION.get(raw.sizes.flip, 1)
        colour_tags = _dng_colour_tags(path)
        if not colour_tags:
            daylight = np.array(raw.daylight_whitebalance[:3], float)
            as_shot = np.array(raw.camera_whitebalance[:3], float)
            known = [wb for wb in (as_shot, daylight) if 0 < wb.min() <= wb.max() < 1e6]
            multipliers = known[0] if known else np.ones(3)
            xyz_to_camera = np.array(raw.rgb_xyz_matrix[:3], float)
            if not xyz_to_camera.any():
                xyz_to_camera = _developed_matrix(raw)
            colour_tags = _colour_tags(xyz_to_camera, multipliers[1] / multipliers)
    return _Rendering(colour_tags, orientation)


def _dng_colour_tags(path: Path) -> list[tuple]:
    """Colour tags of a DNG, to be copied; none of any other file."""
    try:
        with tifffile.TiffFile(path) as tiff:
            tags = tiff.pages.first.tags
            if _COLOUR_TAGS["ColorMatrix1"] not in tags:
                return []
            found = [tags[code] for code in _COLOUR_TAGS.values() if code in tags]
            return [(tag.code, tag.dtype, tag.count, tag.value, True) for tag in found]
    except tifffile.TiffFileError:
        return []


def _colour_tags(xyz_to_camera: np.ndarray, neutral: np.ndarray) -> list[tuple]:
    """Colour tags for a matrix under D65 and the camera's R, G, B of white."""
    matrix, white = _rationals(xyz_to_camera.ravel()), _rationals(neutral)
    return [
        (_COLOUR_TAGS["ColorMatrix1"], "2i", 9, matrix, True),
        (_COLOUR_TAGS["AsShotNeutral"], "2I", 3, white, True),
        (_COLOUR_TAGS["CalibrationIlluminant1"], "H", 1, _D65, True),
    ]


def _developed_matrix(raw: rawpy.RawPy) -> np.ndarray:
    """Measure the XYZ-to-camera matrix that LibRaw knows for a model but hides.

    For some old cameras (Kodak DC50) LibRaw develops with a matrix that rawpy does
    not hand out, so the picture is developed with and without it.
    """
    camera, srgb = (
        raw.postprocess(
            output_color=space,
            half_size=True,
            no_auto_bright=True,
            gamma=(1, 1),
            output_bps=16,
            user_wb=[1.0, 1.0, 1.0, 1.0],
        ).reshape(-1, 3)
        / _COUNT_LIMIT
        for space in (rawpy.ColorSpace.raw, rawpy.ColorSpace.sRGB)
    )
    # Clipped pixels do not follow the matrix.
    within = (np.minimum(camera, srgb) > 0.001).all(1) & (
        np.maximum(camera, srgb) < 0.999
    ).all(1)
    srgb_to_camera, _, rank, _ = np.linalg.lstsq(
        srgb[within], camera[within], rcond=1e-3
    )
    if rank < 3:  # too few colours in the picture
        srgb_to_camera = np.eye(3)
    return srgb_to_camera.T @ _SRGB_FROM_XYZ


def _default_rendering(image: RawImage) -> _Rendering:
    """Camera colours as sRGB, upright, and the mean of the image as grey."""
    signal = (image.packed() - image.black_planes[:, None, None]).mean(axis=(1, 2))
    red, green, blue = signal[0], signal[1:3].mean(), signal[3]
    neutral = np.array([red, green, blue])
    if neutral.min() <= 0:
        neutral = np.ones(3)
    # Beyond a factor of ten this is the colour of the scene, not of the sensor.
    neutral = np.clip(neutral / neutral[1], 0.1, 10)
    return _Rendering(_colour_tags(_SRGB_FROM_XYZ, neutral), 1)


def _dng_tags(image: RawImage, rendering: _Rendering) -> list[tuple]:
    """Tags beyond those of a plain TIFF, as tifffile takes them."""
    make, model = _make_and_model(image.sensor)
    black = np.broadcast_to(np.asarray(image.black_level, float), 4)
    if (black == np.rint(black)).all():
        black_tag = ("I", 4, [int(level) for level in black])
    else:
        black_tag = ("2I", 4, _rationals(black))
    tags = {
        "NewSubfileType": (254, "I", 1, 0),
        "Make": (271, "s", 0, make.encode()),
        "Model": (272, "s", 0, model.encode()),
        "Orientation": (274, "H", 1, rendering.orientation),
        "CFARepeatPatternDim": (33421, "H", 2, (2, 2)),
        "CFAPattern": (33422, "B", 4, bytes(_CFA_CODES[c] for c in image.cfa)),
        "ExifIFD": (_EXIF_PLACEHOLDER, "I", 1, 0),
        "DNGVersion": (50706, "B", 4, bytes((1, 4, 0, 0))),
        "DNGBackwardVersion": (50707, "B", 4, bytes((1, 1, 0, 0))),
        "UniqueCameraModel": (50708, "s", 0, image.sensor.encode()),
        "CFAPlaneColor": (50710, "B", 3, bytes((0, 1, 2))),
        "CFALayout": (50711, "H", 1, 1),
        "BlackLevelRepeatDim": (50713, "H", 2, (2, 2)),
        "BlackLevel": (50714, *black_tag),
        "WhiteLevel": (50717, "I", 1, round(image.white_level)),
    }
    return [(*tag, True) for tag in tags.values()] + rendering.colour_tags


def _make_and_model(sensor: str) -> tuple[str, str]:
    """Split a sensor name so that `read_raw` joins it to the same name again."""
    make, _, model = sensor.partition(" ")
    return (make, model) if camera_name(make, model) == sensor else (make, sensor)


def _rationals(values: np.ndarray) -> list[int]:
    """Numerators and denominators, alternating."""
    fractions = [Fraction(float(value)).limit_denominator(10_000) for value in values]
    return [part for fraction in fractions for part in fraction.as_integer_ratio()]


def _append_exif(path: Path, iso: float) -> None:
    """Append an EXIF block with the ISO and point the first page to it."""
    whole_iso = max(1, round(iso))
    entries = [(34855, "H", min(whole_iso, _COUNT_LIMIT))]  # PhotographicSensitivity
    if whole_iso >= _COUNT_LIMIT:
        entries.append((34864, "H", 3))  # SensitivityType: ISO speed
        entries.append((34867, "I", whole_iso))  # ISOSpeed
    entries.append((36864, "4s", b"0230"))  # ExifVersion
    types = {"H": 3, "I": 4, "4s": 7}  # SHORT, LONG, UNDEFINED of TIFF 6.0
    block = struct.pack("<H", len(entries))
    for tag, code, value in entries:
        count = 4 if code == "4s" else 1
        packed = struct.pack(f"<{code}", value).ljust(4, b"\0")
        block += struct.pack("<HHI", tag, types[code], count) + packed
    block += struct.pack("<I", 0)  # no further IFD
    with tifffile.TiffFile(path) as tiff:
        entry_at = tiff.pages[0].tags[_EXIF_PLACEHOLDER].offset
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(b"\0" * (file.tell() % 2))  # IFDs begin at even offsets
        exif_at = file.tell()
        file.write(block)
        file.seek(entry_at)
        file.write(struct.pack("<HHII", _EXIF_POINTER, types["I"], 1, exif_at))
