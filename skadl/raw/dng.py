"""Writing Bayer DNG files that RAW programs open like the camera's own.

Tags follow Adobe's *Digital Negative (DNG) Specification*, version 1.4.0.0,
chapter 4 ("DNG Tags"); the EXIF block follows CIPA DC-008 (Exif 2.32).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

import skadl
from skadl.raw.dng_source import DngSource, rationals, read_source
from skadl.raw.exif import camera_name
from skadl.raw.exif_blocks import ExifEntry, encode_entry, encode_ifd
from skadl.raw.image import RawImage
from skadl.raw.levels import cast_counts, scale_to_16_bits
from skadl.support.extras import import_extra
from skadl.support.writing import atomic_write, check_folder

_COUNT_BITS = 16
_COUNT_LIMIT = 2**_COUNT_BITS - 1
# A mosaic scaled to [0, 1] would become zeros and ones.
_SMALLEST_RANGE = 16

_CFA_CODES = {"R": 0, "G": 1, "B": 2}
_CFA_PHOTOMETRIC = 32803
_LOSSLESS_JPEG = 7
# tifffile writes no pointers to other blocks, so it writes unassigned tags of the
# same size and place in order, which are then renamed.
_EXIF_POINTER, _EXIF_PLACEHOLDER = 34665, 34664
_GPS_POINTER, _GPS_PLACEHOLDER = 34853, 34854
_USER_COMMENT = 37510


def write_dng(
    path: str | Path,
    image: RawImage,
    template: str | Path | None = None,
    *,
    gps: bool = False,
    compress: bool = False,
    history: str | None = None,
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
        What was done to the image, one line, for the tag UserComment.

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
        is not a RAW file; if `path` is the file that the image comes from.

    Notes
    -----
    Rounding errs by 0.29 of a step of the file (RMS): 1/16 count at 12 bits, 1/4
    at 14, so below a quarter of a denoised noise of 0.07 and 0.29 counts.

    The file holds the visible area alone, which is all active; the default crop is
    carried where the mosaic is that area. The camera's name is the template's own;
    owner and serial numbers, previews, maker notes and the noise profile, which
    denoising makes wrong, are left behind.

    DNG stores the white level and EXIF the ISO as whole numbers: both are rounded.
    Fractional black levels are kept, but LibRaw cuts them when it reads them. The
    light factor has no tag and is not stored.
    """
    path = Path(path)
    check_destination(path, image.path, template)
    encode = _jpeg_encoder() if compress else None
    stored, scale = storable(image)
    source = read_source(stored, template)
    counts, layout = stored.mosaic, {}
    if encode is not None:
        counts, layout = iter([encode(counts)]), _jpeg_layout(counts)
    tags = _dng_tags(stored, source)
    position = source.exif.position if gps else ()
    if position:
        tags.append((_GPS_PLACEHOLDER, "I", 1, 0, True))
    with atomic_write(path) as part:
        tifffile.imwrite(
            part,
            counts,
            byteorder="<",
            photometric=_CFA_PHOTOMETRIC,
            metadata=None,
            software=_software(),
            extratags=tags,
            **layout,
        )
        exposure = [
            *source.exif.exposure,
            *_sensitivity(stored.iso),
            _history(scale, history),
        ]
        _append_ifd(part, _EXIF_PLACEHOLDER, _EXIF_POINTER, exposure)
        if position:
            _append_ifd(part, _GPS_PLACEHOLDER, _GPS_POINTER, position)
    return path


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
    levels = tuple((scale * np.broadcast_to(black, 4)).tolist())
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


def _jpeg_layout(counts: np.ndarray) -> dict:
    """One strip: LibRaw drops a lone tile's size, and takes four for four shots."""
    return {
        "compression": _LOSSLESS_JPEG,
        "compressionargs": {"bitspersample": _COUNT_BITS},
        "rowsperstrip": counts.shape[0],
        "shape": counts.shape,
        "dtype": counts.dtype,
    }


def _dng_tags(image: RawImage, source: DngSource) -> list[tuple]:
    """Tags beyond those of a plain TIFF, as tifffile takes them."""
    make, model = source.exif.make, source.exif.model
    if not model:
        make, model = _make_and_model(image.sensor)
    black = np.broadcast_to(np.asarray(image.black_level, float), 4)
    if (black == np.rint(black)).all():
        black_tag = ("I", 4, [int(level) for level in black])
    else:
        black_tag = ("2I", 4, rationals(black))
    tags = {
        "NewSubfileType": (254, "I", 1, 0),
        "Make": (271, "s", 0, make.encode()),
        "Model": (272, "s", 0, model.encode()),
        "Orientation": (274, "H", 1, source.orientation),
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
    if source.name:
        tags["OriginalRawFileName"] = (50827, "s", 0, source.name.encode())
    of_image = {tag[0]: (*tag, True) for tag in tags.values()}
    carried = {
        entry.code: (entry.code, "s", entry.count, entry.payload, True)
        for entry in source.exif.image
    }
    # What the source says of its colours and its camera goes before what skadl says.
    return [*(of_image | carried | {tag[0]: tag for tag in source.tags}).values()]


def _history(scale: int, history: str | None) -> ExifEntry:
    """Say what was done, in one line of words."""
    words = [] if history is None else [" ".join(history.split())]
    if scale > 1:
        words.append(f"counts and levels multiplied by {scale}")
    text = "; ".join([*words, f"written by {_software()}"])
    # The tag ImageHistory would do, but to exiftool -validate it is no EXIF.
    return encode_entry(_USER_COMMENT, 7, b"UNICODE\0" + text.encode("utf-16-le"))


def _software() -> str:
    return f"skadl {skadl.__version__}"


def _make_and_model(sensor: str) -> tuple[str, str]:
    """Split a sensor name so that `read_raw` joins it to the same name again."""
    make, _, model = sensor.partition(" ")
    return (make, model) if camera_name(make, model) == sensor else (make, sensor)


def _sensitivity(iso: float) -> list[ExifEntry]:
    """Encode the ISO for the EXIF block, with the version that every block has."""
    whole_iso = max(1, round(iso))
    entries = [encode_entry(34855, 3, [min(whole_iso, _COUNT_LIMIT)])]
    if whole_iso >= _COUNT_LIMIT:
        entries.append(encode_entry(34864, 3, [3]))  # SensitivityType: ISO speed
        entries.append(encode_entry(34867, 4, [whole_iso]))  # ISOSpeed
    return [*entries, encode_entry(36864, 7, b"0232")]  # ExifVersion


def _append_ifd(
    path: Path, placeholder: int, pointer: int, entries: Iterable[ExifEntry]
) -> None:
    """Append a block and turn the placeholder into the pointer to it."""
    with tifffile.TiffFile(path) as tiff:
        entry_at = tiff.pages[0].tags[placeholder].offset
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(b"\0" * (file.tell() % 2))  # blocks begin at even offsets
        block_at = file.tell()
        file.write(encode_ifd(entries, block_at))
        file.seek(entry_at)
        file.write(struct.pack("<HHII", pointer, 4, 1, block_at))
