"""Writing DNG files that RAW programs open like the camera's own.

Tags follow Adobe's *Digital Negative (DNG) Specification*, version 1.7.1.0,
chapter 4 ("DNG Tags"); the EXIF block follows CIPA DC-008 (Exif 2.32).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import skadl
from skadl.raw.dng_source import DngSource, noise_tags, read_source
from skadl.raw.exif import camera_name
from skadl.raw.exif_blocks import (
    ASCII,
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    UNDEFINED,
    ExifEntry,
    encode_entry,
    encode_ifd,
)
from skadl.raw.image import RawImage, UnknownISO
from skadl.raw.levels import cast_counts, scale_to_16_bits
from skadl.raw.mosaic import mosaic_of, spread_planes
from skadl.support.extras import import_extra
from skadl.support.writing import atomic_write, check_folder

_COUNT_BITS = 16
_COUNT_LIMIT = 2**_COUNT_BITS - 1
# A mosaic scaled to [0, 1] would become zeros and ones.
_SMALLEST_RANGE = 16

_CFA_CODES = {"R": 0, "G": 1, "B": 2}
_CFA_PHOTOMETRIC = 32803
_UNCOMPRESSED, _LOSSLESS_JPEG = 1, 7
_HEADER = struct.pack("<2sHI", b"II", 42, 8)  # the first directory follows
_STRIP_OFFSETS, _EXIF_POINTER, _GPS_POINTER = 273, 34665, 34853
_ISO_CODES = (
    34864,
    34865,
    34866,
    34867,
    34868,
    34869,
)  # beside PhotographicSensitivity
_OPCODE_LISTS = (51008, 51009, 51022)
_USER_COMMENT = 37510
_LARGEST_ISO = 2**32 - 1


def write_dng(
    path: str | Path,
    image: RawImage,
    template: str | Path | None = None,
    *,
    gps: bool = False,
    compress: bool = False,
    history: str | None = None,
    noise_reduction: float | None = None,
) -> Path:
    """Write a mosaic as a DNG, to develop a denoised image in any RAW program.

    Parameters
    ----------
    path : str or Path
        File to write, in an existing folder; an older file is replaced in one step,
        and left as it was if anything fails.
    image : RawImage
        Whole counts are stored without loss as uint16. Fractional ones, as a
        denoised image has, are multiplied by the power of two that fills 16 bits,
        and the levels with them. Negative counts become 0.
    template : str or Path, optional
        RAW file to take colours, white balance, orientation, default crop and EXIF
        from: the file that the mosaic was read from. By default ``image.path`` where
        that is a RAW file; without one, camera colours count as sRGB and the mean
        of the image as grey. From a DNG all tags that say how its colours are to be
        developed are copied; for other formats LibRaw's figures under D65 serve.
    gps : bool, default=False
        Carry the position too, where the template has one.
    compress : bool, default=False
        Store the counts as lossless JPEG, which every DNG reader knows; needs
        imagecodecs (``pip install 'skadl[dng]'``).
    history : str, optional
        What was done to the image, one line, for the tag UserComment, behind what the
        template has there.
    noise_reduction : float, optional
        How much of the noise was taken out of the image, from 0 to 1, for the tag
        NoiseReductionApplied: RAW programs reduce the rest.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    FileNotFoundError
        If the folder or the template does not exist.
    ImportError
        If `compress` is set and imagecodecs is not installed.
    ValueError
        If counts are not finite; if the levels do not fit into 16 bits; if counts
        are whole and the levels so close that the image is lost; if the template
        is not a RAW file; if `path` is the file that the image comes from; if
        `noise_reduction` is not from 0 to 1.

    Warns
    -----
    UserWarning
        If the template is a DNG with corrections (opcode lists) that cannot be
        carried over, because the mosaic is not the template's visible area.

    Notes
    -----
    Rounding errs by 0.29 of a step of the file (RMS): 1/16 count at 12 bits, 1/4
    at 14, so below a quarter of a denoised noise of 0.07 and 0.29 counts.

    The file holds the visible area alone, which is all active. From a DNG all tags are
    carried that still hold: colours and profiles, crops, baselines, lens, and the
    opcode lists (lens shading, distortion, bad pixels), moved to where the visible
    area begins; default crop and opcodes only where the mosaic is that area. Text
    stays byte for byte, XMP too but for serial numbers, owner and position. The
    camera's name is the template's own. Owner and serial numbers, previews, maker
    notes and checksums are left behind. A noise profile is written where `image` has
    one: as read from a file, not as denoised.

    DNG stores the white level and EXIF the ISO as whole numbers: both are rounded.
    Fractional black levels are kept, but programs that read with LibRaw cut them. The
    light factor has no tag and is not stored.
    """
    path = Path(path)
    if noise_reduction is not None and not 0 <= noise_reduction <= 1:
        raise ValueError(
            "noise_reduction must be from 0 (none) to 1 (all), got "
            f"{noise_reduction!r}."
        )
    check_destination(path, image.path, template)
    encode = _jpeg_encoder() if compress else None
    stored, scale = storable(image)
    source = read_source(stored, template, scale, gps)
    strip = stored.mosaic.astype("<u2", copy=False).data
    if encode is not None:
        strip = encode(stored.mosaic)
    tags = {
        entry.code: entry
        for entry in _layout(stored, compress, memoryview(strip).nbytes)
    }
    tags |= {entry.code: entry for entry in _dng_tags(stored, source)}
    noise = noise_tags(image, noise_reduction)
    tags |= {entry.code: entry for entry in noise}
    exif = {entry.code: entry for entry in source.exif.exposure}
    if source.iso != stored.iso:  # the template's other words for it contradict it
        exif = {code: entry for code, entry in exif.items() if code not in _ISO_CODES}
    exif |= {entry.code: entry for entry in _sensitivity(stored.iso)}
    exif[_USER_COMMENT] = _history(source.exif.comment, scale, history)
    blocks = {_EXIF_POINTER: exif}
    if gps and source.exif.position:
        blocks[_GPS_POINTER] = {e.code: e for e in source.exif.position}
    with atomic_write(path) as part, part.open("wb") as file:
        file.write(_HEADER + _lay_out(tags, blocks))
        file.write(strip)
    return path


def _lay_out(
    tags: dict[int, ExifEntry], blocks: dict[int, dict[int, ExifEntry]]
) -> bytes:
    """Lay out the first directory, the blocks it points to, and the strip's place."""
    # A directory is as long whatever it points to.
    pointers = (*blocks, _STRIP_OFFSETS)
    for code in pointers:
        tags[code] = encode_entry(code, LONG, [0])
    at = len(_HEADER) + _even(len(encode_ifd(tags.values(), len(_HEADER))))
    behind = b""
    for code, entries in blocks.items():
        tags[code] = encode_entry(code, LONG, [at + len(behind)])
        block = encode_ifd(entries.values(), at + len(behind))
        behind += block.ljust(_even(len(block)), b"\0")
    tags[_STRIP_OFFSETS] = encode_entry(_STRIP_OFFSETS, LONG, [at + len(behind)])
    first = encode_ifd(tags.values(), len(_HEADER))
    return first.ljust(at - len(_HEADER), b"\0") + behind


def _even(length: int) -> int:
    return length + length % 2


def check_destination(path: Path, *origins: str | Path | None) -> None:
    """Refuse to write where there is no folder, or onto what the image comes from."""
    check_folder(path)
    known = [Path(origin).resolve() for origin in origins if origin is not None]
    if path.exists() and path.resolve() in known:
        raise ValueError(
            f"writing {path.name} would replace the RAW file that the image comes "
            "from; choose another name."
        )


def storable(image: RawImage) -> tuple[RawImage, int]:
    """Express an image in uint16 to 1/16 count or so; levels are scaled with it.

    The scale is 1 for whole counts, for others the power of two that fills 16 bits.

    >>> mosaic = np.full((2, 2), 512.25)
    >>> stored, scale = storable(RawImage(mosaic, "RGGB", 512, 4095, "A7S2", 800))
    >>> scale, stored.mosaic[0, 0].item(), stored.black_level, stored.white_level
    (16, 8196, 8192.0, 65520.0)
    """
    mosaic = image.mosaic  # a lazy image reads its file at every access
    if not np.isfinite(mosaic).all():
        raise ValueError(
            f"the mosaic of sensor {image.sensor!r} has counts that are not finite; a "
            "DNG stores whole numbers. Repair them before writing."
        )
    black, white = np.asarray(image.black_level, float), image.white_level
    if black.min() < 0 or white > _COUNT_LIMIT:
        raise ValueError(
            f"black level {image.black_level} and white level {white:g} do not both "
            "fit into a DNG's 16 bits (0 to 65535); shift or divide mosaic and "
            "levels alike before writing."
        )
    scale = 1
    if mosaic.dtype.kind == "f" and (mosaic != np.rint(mosaic)).any():
        # Not by the highest count: all frames of one camera are to get one scale, and
        # a sensor of this bit depth has no counts above it.
        scale = scale_to_16_bits(white)
    if scale * (white - black.max()) < _SMALLEST_RANGE:
        raise ValueError(
            f"only {white - black.max():g} counts lie between black and white, so "
            "rounding to whole counts would lose the image; multiply mosaic and "
            "levels alike before writing."
        )
    counts = cast_counts(mosaic * scale if scale > 1 else mosaic, np.dtype(np.uint16))
    levels = tuple(np.atleast_1d(scale * black).tolist())
    return (
        replace(
            image.with_mosaic(counts), black_level=levels, white_level=scale * white
        ),
        scale,
    )


def _jpeg_encoder() -> Callable[[np.ndarray], bytes]:
    jpeg_encode = import_extra("imagecodecs", "dng", "compress=True").jpeg_encode

    def encode(counts: np.ndarray) -> bytes:
        height, width = counts.shape
        if width % 2 == 0:
            # Two columns as two components, so that neighbours share their colour.
            counts = counts.reshape(height, width // 2, 2)
        # Predictor 1 is the only one that all DNG readers know.
        return jpeg_encode(
            counts, lossless=True, predictor=1, bitspersample=_COUNT_BITS
        )

    return encode


def _layout(image: RawImage, is_compressed: bool, n_bytes: int) -> list[ExifEntry]:
    """Tags of a plain TIFF of one strip: LibRaw drops a lone tile's size."""
    height, width = image.mosaic.shape
    return [
        encode_entry(254, LONG, [0]),  # NewSubfileType: the main image
        encode_entry(256, LONG, [width]),
        encode_entry(257, LONG, [height]),
        encode_entry(258, SHORT, [_COUNT_BITS]),
        encode_entry(259, SHORT, [_LOSSLESS_JPEG if is_compressed else _UNCOMPRESSED]),
        encode_entry(262, SHORT, [_CFA_PHOTOMETRIC]),
        encode_entry(277, SHORT, [1]),  # SamplesPerPixel
        encode_entry(278, LONG, [height]),  # RowsPerStrip
        encode_entry(279, LONG, [n_bytes]),
        encode_entry(282, RATIONAL, [1.0]),  # XResolution
        encode_entry(283, RATIONAL, [1.0]),
        encode_entry(284, SHORT, [1]),  # PlanarConfiguration
        encode_entry(296, SHORT, [1]),  # ResolutionUnit: none
        encode_entry(305, ASCII, _software()),
    ]


def _dng_tags(image: RawImage, source: DngSource) -> list[ExifEntry]:
    """Tags of the mosaic and the camera; what the source says goes last, and counts."""
    make, model = _make_and_model(image.sensor)
    own = mosaic_of(image.cfa)
    black = spread_planes(image.black_planes, image.cfa, (own.period, own.period))
    is_whole = (black == np.rint(black)).all()
    levels = [int(level) if is_whole else float(level) for level in black.ravel()]
    repeat = [own.period, own.period]
    has_opcodes = any(entry.code in _OPCODE_LISTS for entry in source.tags)
    tags = [
        encode_entry(274, SHORT, [source.orientation]),
        encode_entry(33421, SHORT, repeat),  # CFARepeatPatternDim
        encode_entry(33422, BYTE, [_CFA_CODES[colour] for colour in own.pattern]),
        encode_entry(50706, BYTE, source.version),  # DNGVersion
        encode_entry(50707, BYTE, (1, 3 if has_opcodes else 1, 0, 0)),
        _text(50708, image.sensor),  # UniqueCameraModel
        encode_entry(50710, BYTE, [0, 1, 2]),  # CFAPlaneColor
        encode_entry(50711, SHORT, [1]),  # CFALayout
        encode_entry(50713, SHORT, repeat),  # BlackLevelRepeatDim
        encode_entry(50714, LONG if is_whole else RATIONAL, levels),
        encode_entry(50717, LONG, [round(image.white_level)]),
    ]
    if not source.exif.names_camera:
        tags += [_text(271, make)] if make else []
        tags += [_text(272, model)]
    if source.name:
        # Of a name that is no UTF-8, what there is.
        tags += [_text(50827, os.fsencode(source.name).decode(errors="replace"))]
    return [*tags, *source.exif.image, *source.tags]


def _text(code: int, text: str) -> ExifEntry:
    content = text.encode(errors="replace") + b"\0"
    return ExifEntry(code, ASCII, len(content), content)


def _history(comment: str, scale: int, history: str | None) -> ExifEntry:
    """Say what was done, in one line of words."""
    words = [comment] if comment else []
    words += [] if history is None else [" ".join(history.split())]
    if scale > 1:
        words.append(f"counts and levels multiplied by {scale}")
    text = "; ".join([*words, f"written by {_software()}"])
    # The tag ImageHistory would do, but to exiftool -validate it is no EXIF.
    content = b"UNICODE\0" + text.encode("utf-16-le", "replace")
    return encode_entry(_USER_COMMENT, UNDEFINED, content)


def _software() -> str:
    return f"skadl {skadl.__version__}"


def _make_and_model(sensor: str) -> tuple[str, str]:
    """Split a sensor name so that `read_raw` joins it to the same name again."""
    make, _, model = sensor.partition(" ")
    return (make, model) if camera_name(make, model) == sensor else (make, sensor)


def _sensitivity(iso: float) -> list[ExifEntry]:
    """Encode the ISO for the EXIF block, with the version that every block has."""
    version = encode_entry(36864, 7, b"0232")  # ExifVersion
    if isinstance(iso, UnknownISO):
        return [version]
    whole_iso = min(max(1, round(iso)), _LARGEST_ISO)
    entries = [encode_entry(34855, 3, [min(whole_iso, _COUNT_LIMIT)])]
    if whole_iso >= _COUNT_LIMIT:
        entries.append(encode_entry(34864, 3, [3]))  # SensitivityType: ISO speed
        entries.append(encode_entry(34867, 4, [whole_iso]))  # ISOSpeed
    return [*entries, version]
