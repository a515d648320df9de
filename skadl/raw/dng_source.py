"""What a DNG carries over from the RAW file that its mosaic was read from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rawpy
import tifffile

from skadl.raw.exif import CameraExif, read_exif
from skadl.raw.image import RawImage
from skadl.raw.rawfile import open_libraw

_WHITEST = np.iinfo(np.uint16).max

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

# What a DNG says of the camera's colours; copied from a template that is a DNG.
_COLOUR_TAGS = {
    "UniqueCameraModel": 50708,  # raw developers look profiles up by it
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
    "ProfileName": 50936,
    "ProfileHueSatMapDims": 50937,
    "ProfileHueSatMapData1": 50938,
    "ProfileHueSatMapData2": 50939,
    "ProfileToneCurve": 50940,
    "ProfileEmbedPolicy": 50941,
    "ProfileCopyright": 50942,
    "ForwardMatrix1": 50964,
    "ForwardMatrix2": 50965,
    "ProfileLookTableDims": 50981,
    "ProfileLookTableData": 50982,
    "ProfileHueSatMapEncoding": 51107,
    "ProfileLookTableEncoding": 51108,
    "BaselineExposureOffset": 51109,
    "DefaultBlackRender": 51110,
}


class DngSource(NamedTuple):
    """What is known of a photograph beyond its mosaic."""

    tags: list[tuple]  # colours and crop, as tifffile takes them
    orientation: int  # TIFF code
    exif: CameraExif
    name: str  # of the file; empty if there is none


def read_source(image: RawImage, template: str | Path | None) -> DngSource:
    """Read what a DNG of an image is to carry: from the template, or from its file."""
    if template is not None:
        return _read_source(Path(template), image.mosaic.shape)
    try:
        if image.path is not None:
            return _read_source(Path(image.path), image.mosaic.shape)
    except (FileNotFoundError, ValueError):
        # Moved away since, or never a RAW file: nobody asked for it by name.
        pass
    # No RAW file: colours count as sRGB, the mean of the image as grey.
    colours = _colour_tags(_SRGB_FROM_XYZ, _mean_colour(image))
    return DngSource(colours, 1, CameraExif(), "")


def rationals(values: np.ndarray) -> list[int]:
    """Approximate floats by numerators and denominators in turn, as TIFF stores them.

    >>> rationals([0.5, 2.0])
    [1, 2, 2, 1]
    """
    fractions = [Fraction(float(value)).limit_denominator(10_000) for value in values]
    return [part for fraction in fractions for part in fraction.as_integer_ratio()]


def _read_source(path: Path, shape: tuple[int, int]) -> DngSource:
    with open_libraw(path) as raw:
        orientation = _ORIENTATION.get(raw.sizes.flip, 1)
        tags = _dng_colour_tags(path)
        if not tags:
            daylight = np.array(raw.daylight_whitebalance[:3], float)
            as_shot = np.array(raw.camera_whitebalance[:3], float)
            known = [wb for wb in (as_shot, daylight) if 0 < wb.min() <= wb.max() < 1e6]
            multipliers = known[0] if known else np.ones(3)
            xyz_to_camera = np.array(raw.rgb_xyz_matrix[:3], float)
            if not xyz_to_camera.any():
                xyz_to_camera = _developed_matrix(raw)
            tags = _colour_tags(xyz_to_camera, multipliers[1] / multipliers)
        tags = tags + _crop_tags(raw, shape)
        return DngSource(tags, orientation, read_exif(path, raw), path.name)


def _dng_colour_tags(path: Path) -> list[tuple]:
    """Colour tags of a DNG, to be copied; none of any other file."""
    try:
        with tifffile.TiffFile(path) as tiff:
            tags = tiff.pages.first.tags
            if _COLOUR_TAGS["ColorMatrix1"] not in tags:
                return []
            found = [tags[code] for code in _COLOUR_TAGS.values() if code in tags]
            return [_copied(tag) for tag in found]
    except Exception:  # tifffile lets any parsing error out; LibRaw's figures then
        return []


def _copied(tag: tifffile.TiffTag) -> tuple:
    """Hand a tag back to tifffile, which takes text beyond ASCII as bytes alone."""
    if isinstance(tag.value, str):
        return (tag.code, "s", 0, tag.value.encode(), True)
    return (tag.code, tag.dtype, tag.count, tag.value, True)


def _crop_tags(raw: rawpy.RawPy, shape: tuple[int, int]) -> list[tuple]:
    """Default crop, if the mosaic is the whole visible area, which becomes active."""
    sizes = raw.sizes
    top = getattr(sizes, "crop_top_margin", 0) - sizes.top_margin
    left = getattr(sizes, "crop_left_margin", 0) - sizes.left_margin
    height, width = (getattr(sizes, f"crop_{side}", 0) for side in ("height", "width"))
    if (
        shape != (sizes.height, sizes.width)
        or not (top >= 0 and 0 < height and top + height <= sizes.height)
        or not (left >= 0 and 0 < width and left + width <= sizes.width)
    ):
        return []
    return [
        (50719, "I", 2, (left, top), True),  # DefaultCropOrigin
        (50720, "I", 2, (width, height), True),  # DefaultCropSize
    ]


def _colour_tags(xyz_to_camera: np.ndarray, neutral: np.ndarray) -> list[tuple]:
    """Colour tags for a matrix under D65 and the camera's R, G, B of white."""
    matrix, white = rationals(xyz_to_camera.ravel()), rationals(neutral)
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
        / _WHITEST
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


def _mean_colour(image: RawImage) -> np.ndarray:
    """R, G, B of the image's mean, for grey, with G 1."""
    signal = (image.packed() - image.black_planes[:, None, None]).mean(axis=(1, 2))
    red, green, blue = signal[0], signal[1:3].mean(), signal[3]
    neutral = np.array([red, green, blue])
    if neutral.min() <= 0:
        neutral = np.ones(3)
    # Beyond a factor of ten this is the colour of the scene, not of the sensor.
    return np.clip(neutral / neutral[1], 0.1, 10)
