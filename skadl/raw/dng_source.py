"""What a DNG carries over from the RAW file that its mosaic was read from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rawpy

from skadl.raw import dng_tags
from skadl.raw.active_area import (
    Window,
    black_level_deltas,
    visible_sizes,
    visible_windows,
)
from skadl.raw.exif import CameraExif, exif_iso, exif_tags, read_exif
from skadl.raw.exif_blocks import (
    BYTE,
    DOUBLE,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    ExifEntry,
    encode_entry,
)
from skadl.raw.image import RawImage
from skadl.raw.libraw import open_libraw
from skadl.raw.mosaic import mosaic_of
from skadl.raw.opcodes import move_opcodes
from skadl.raw.tiff_tags import TiffTags, numbers
from skadl.raw.xmp import without_private_parts

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
_FIRST_NEW = 52525  # tags that DNG 1.4 does not know begin here


@dataclass(frozen=True)
class DngSource:
    """What is known of a photograph beyond its mosaic."""

    tags: tuple[ExifEntry, ...]  # of the first directory
    orientation: int = 1  # TIFF code
    exif: CameraExif = field(default_factory=CameraExif)
    iso: float | None = None
    name: str = ""  # of the file; empty if there is none
    version: tuple[int, ...] = (1, 4, 0, 0)  # of DNG, that the tags need


def read_source(
    image: RawImage,
    template: str | Path | None,
    scale: int = 1,
    keeps_position: bool = False,
) -> DngSource:
    """Read what a DNG of an image is to carry: from the template, or from its file.

    `scale` is what the image's counts were multiplied by since they were read.
    """
    if template is not None:
        return _read_source(Path(template), image, scale, keeps_position)
    try:
        if image.path is not None:
            return _read_source(Path(image.path), image, scale, keeps_position)
    except (FileNotFoundError, ValueError):
        # Moved away since, or never a RAW file: nobody asked for it by name.
        pass
    # No RAW file: colours count as sRGB, the mean of the image as grey.
    return DngSource(tuple(_colour_tags(_SRGB_FROM_XYZ, _mean_colour(image))))


def _read_source(
    path: Path, image: RawImage, scale: int, keeps_position: bool
) -> DngSource:
    with open_libraw(path) as raw:
        tags = exif_tags(path)
        found = [*_dng_tags(tags)] if tags.is_dng else []
        if not _has_colours(tags):
            found += _measured_colours(raw)
        sizes = visible_sizes(raw)
        # Of another part of the picture nobody knows where it lies.
        is_visible_area = image.mosaic.shape == (sizes.height, sizes.width)
        if not tags.is_dng:
            found += _libraw_crop(sizes) if is_visible_area else []
        else:
            windows = visible_windows(tags, sizes, scale) if is_visible_area else None
            found += _placed_tags(path, tags, raw, windows)
        xmp = tags.first.get(dng_tags.XMP)
        if xmp is not None and xmp.type in (BYTE, UNDEFINED):
            content = without_private_parts(xmp.payload, keeps_position)
            if content:
                found.append(ExifEntry(dng_tags.XMP, BYTE, len(content), content))
        needs_new = any(entry.code >= _FIRST_NEW for entry in found)
        return DngSource(
            tuple(found),
            _ORIENTATION.get(sizes.flip, 1),
            read_exif(tags, raw),
            exif_iso(tags),
            path.name,
            _version(tags) if needs_new else (1, 4, 0, 0),
        )


def _has_colours(tags: TiffTags) -> bool:
    return tags.is_dng and tags.find(dng_tags.COLOR_MATRIX_1) is not None


def _dng_tags(tags: TiffTags) -> Iterator[ExifEntry]:
    """Tags of a DNG that say the same of any mosaic of its photograph."""
    in_order = dng_tags.COPIED_IN_ORDER if tags.is_little_endian else {}
    for code in (*dng_tags.COPIED.values(), *in_order.values()):
        entry = tags.find(code)
        if entry is not None:
            yield entry


def _placed_tags(
    path: Path,
    tags: TiffTags,
    raw: rawpy.RawPy,
    windows: tuple[Window, Window] | None,
) -> list[ExifEntry]:
    """Tags of a DNG that name places of its image, moved to those of the mosaic."""
    lists = {
        number: entry
        for number, code in dng_tags.OPCODE_LISTS.items()
        if (entry := tags.find(code)) is not None
    }
    maps = [
        entry
        for code in (
            dng_tags.PROFILE_GAIN_TABLE_MAP,
            dng_tags.PROFILE_GAIN_TABLE_MAP_2,
        )
        if (entry := tags.find(code)) is not None
    ]
    lost, found = [], []
    if windows is None:
        lost = [f"OpcodeList{number}" for number in lists]
        lost += ["ProfileGainTableMap" for _ in maps]
    else:
        whole, active = windows
        found = [*_moved_crop(tags, active), *_moved_deltas(tags, active, whole.scale)]

        def find_count(count: int) -> np.ndarray:
            visible = raw.raw_image_visible[-active.height :, -active.width :]
            return np.argwhere(visible == count)

        for number, entry in lists.items():
            window = whole if number == 1 else active
            content, left_out = move_opcodes(entry.payload, window, find_count)
            lost += [f"{name} of OpcodeList{number}" for name in left_out]
            if content:
                code = dng_tags.OPCODE_LISTS[number]
                found.append(ExifEntry(code, UNDEFINED, len(content), content))
        if active.is_all and tags.is_little_endian:
            found += maps
        else:
            lost += ["ProfileGainTableMap" for _ in maps]
    if lost:
        warnings.warn(
            f"corrections of {path.name} that are not carried over, since they do not "
            f"fit this mosaic: {', '.join(lost)}. RAW programs will not make them.",
            UserWarning,
            stacklevel=5,
        )
    return found


def _moved_crop(tags: TiffTags, active: Window) -> Iterator[ExifEntry]:
    """Default crop and the user's, which is a part of it."""
    codes = dng_tags.DEFAULT_CROP_ORIGIN, dng_tags.DEFAULT_CROP_SIZE
    entries = [tags.find(code) for code in codes]
    user = tags.find(dng_tags.DEFAULT_USER_CROP)
    origin, size = map(numbers, entries)
    if len(origin) != 2 or len(size) != 2:
        origin, size = [0, 0], [active.old_width, active.old_height]
        entries = []
    start = np.array(origin, float) - (active.left, active.top)
    end = start + size
    limits = active.width, active.height
    new_start, new_end = np.clip(start, 0, limits), np.clip(end, 0, limits)
    if not (np.isfinite(end).all() and (new_start < new_end).all()):
        return
    if active.is_all:
        yield from entries
    elif entries:
        yield from map(_lengths, codes, (new_start, new_end - new_start))
    crop = np.array(numbers(user), float)  # top, left, bottom, right
    if len(crop) != 4 or not np.isfinite(crop).all():
        return
    if (new_start == start).all() and (new_end == end).all():
        yield user
        return
    corners = start + crop.reshape(2, 2)[:, ::-1] * (end - start)
    corners = ((corners - new_start) / (new_end - new_start)).clip(0, 1)
    if (corners[0] < corners[1]).all():
        values = corners[:, ::-1].ravel().tolist()
        yield encode_entry(dng_tags.DEFAULT_USER_CROP, RATIONAL, values)


def _lengths(code: int, values: np.ndarray) -> ExifEntry:
    if (values == np.rint(values)).all():
        return encode_entry(code, LONG, [int(value) for value in values])
    return encode_entry(code, RATIONAL, values.tolist())


def _moved_deltas(tags: TiffTags, active: Window, scale: int) -> Iterator[ExifEntry]:
    """Black levels by row and column, whose mean is in the black level already."""
    spans = {
        dng_tags.BLACK_LEVEL_DELTA_H: (active.left, active.width),
        dng_tags.BLACK_LEVEL_DELTA_V: (active.top, active.height),
    }
    for code, deltas in black_level_deltas(tags, active).items():
        start, n = spans[code]
        values = scale * (deltas - deltas.mean())[start : start + n]
        if values.any():
            yield encode_entry(code, SRATIONAL, values.tolist())


def _libraw_crop(sizes: rawpy.ImageSizes) -> list[ExifEntry]:
    """Default crop of a file that is no DNG, within the visible area."""
    top = getattr(sizes, "crop_top_margin", 0) - sizes.top_margin
    left = getattr(sizes, "crop_left_margin", 0) - sizes.left_margin
    height, width = (getattr(sizes, f"crop_{side}", 0) for side in ("height", "width"))
    if not (top >= 0 and 0 < height and top + height <= sizes.height) or not (
        left >= 0 and 0 < width and left + width <= sizes.width
    ):
        return []
    return [
        encode_entry(dng_tags.DEFAULT_CROP_ORIGIN, LONG, [left, top]),
        encode_entry(dng_tags.DEFAULT_CROP_SIZE, LONG, [width, height]),
    ]


def noise_tags(image: RawImage, noise_reduction: float | None) -> list[ExifEntry]:
    """Noise of the counts, where it is known, and how much of it was taken out."""
    found = []
    if image.noise_profile is not None:
        red, green_red, green_blue, blue = image.noise_profile
        planes = [red, green_red, blue]
        if green_red != green_blue:
            planes = [red, green_red, green_blue, blue]
        values = [value for plane in planes for value in plane]
        found.append(encode_entry(dng_tags.NOISE_PROFILE, DOUBLE, values))
    if noise_reduction is not None:
        code = dng_tags.NOISE_REDUCTION_APPLIED
        found.append(encode_entry(code, RATIONAL, [float(noise_reduction)]))
    return found


def _version(tags: TiffTags) -> tuple[int, ...]:
    entry = tags.first[dng_tags.DNG_VERSION]
    return min(max(tuple(entry.payload[:4]), (1, 6, 0, 0)), (1, 7, 1, 0))


def _measured_colours(raw: rawpy.RawPy) -> list[ExifEntry]:
    """Colours as LibRaw knows them for the camera."""
    daylight = np.array(raw.daylight_whitebalance[:3], float)
    as_shot = np.array(raw.camera_whitebalance[:3], float)
    known = [wb for wb in (as_shot, daylight) if 0 < wb.min() <= wb.max() < 1e6]
    multipliers = known[0] if known else np.ones(3)
    xyz_to_camera = np.array(raw.rgb_xyz_matrix[:3], float)
    if not xyz_to_camera.any():
        xyz_to_camera = _developed_matrix(raw)
    return _colour_tags(xyz_to_camera, multipliers[1] / multipliers)


def _colour_tags(xyz_to_camera: np.ndarray, neutral: np.ndarray) -> list[ExifEntry]:
    """Colour tags for a matrix under D65 and the camera's R, G, B of white."""
    matrix, white = xyz_to_camera.ravel().tolist(), neutral.tolist()
    return [
        encode_entry(dng_tags.COLOR_MATRIX_1, SRATIONAL, matrix),
        encode_entry(dng_tags.AS_SHOT_NEUTRAL, RATIONAL, white),
        encode_entry(dng_tags.CALIBRATION_ILLUMINANT_1, SHORT, [_D65]),
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
    own = mosaic_of(image.cfa)
    neutral = np.array([signal[own.planes_of(colour)].mean() for colour in "RGB"])
    if neutral.min() <= 0:
        neutral = np.ones(3)
    # Beyond a factor of ten this is the colour of the scene, not of the sensor.
    return np.clip(neutral / neutral[1], 0.1, 10)
