"""Reading RAW files: a mosaic with everything known about it, or a reason."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rawpy

from skadl.raw.active_area import (
    dng_black_level,
    visible_colours,
    visible_sizes,
    visible_windows,
)
from skadl.raw.data_layout import refusal, why_doubtful, why_impossible
from skadl.raw.exif import exif_iso, exif_sensor, exif_tags, libraw_iso
from skadl.raw.file_kinds import why_not_read, why_tags_not_read
from skadl.raw.fits import FITS_SUFFIXES, is_fits, read_fits
from skadl.raw.image import (
    UNKNOWN_ISO,
    LazyRawImage,
    NoISOError,
    RawImage,
    check_positive,
)
from skadl.raw.levels import check_counts, level_span
from skadl.raw.libraw import open_libraw
from skadl.raw.lossless_jpeg import why_jpeg_doubtful, why_jpeg_impossible
from skadl.raw.mosaic import CFA_PATTERNS, find_blocks, mosaic_of
from skadl.raw.noise_profile import read_noise_profile, rescale_profile
from skadl.raw.tiff_tags import TiffTags

RAW_SUFFIXES = frozenset(
    ".3fr .ari .arq .arw .bay .cap .cr2 .cr3 .crw .cs1 .dc2 .dcr .dcs .dng .drf .eip "
    ".erf .fff .gpr .iiq .k25 .kc2 .kdc .mdc .mef .mfw .mos .mrw .nef .nrw .orf .ori "
    ".pef .ptx .pxn .qtk .raf .raw .rw2 .rwl .rwz .sr2 .srf .srw .sti .x3f".split()
).union(FITS_SUFFIXES)
"""Endings, in lower case, of files that count as RAW files where a folder is given."""

# LibRaw keeps a mosaic's colours for eight rows and two columns; Bayer repeats in two.
_LIBRAW_PERIOD = 8


def read_raw(
    path: str | Path,
    *,
    sensor: str | None = None,
    iso: float | None = None,
    ratio: float = 1.0,
    black_level: float | Sequence[float] | None = None,
    white_level: float | None = None,
) -> RawImage:
    """Read the mosaic of a RAW file, with its levels, sensor name and ISO.

    Parameters
    ----------
    path : str or Path
        Any RAW format that LibRaw decodes, or FITS (needs astropy:
        ``pip install 'skadl[fits]'``).
    sensor : str, optional
        Name of the sensor, instead of the file's "Make Model".
    iso : float, optional
        Instead of the file's ISO; needed where the file has none.
    ratio : float, default=1
        Light factor, see `RawImage`.
    black_level : float or sequence of floats, optional
        In counts, four (of X-Trans nine) in CFA reading order; instead of the file's.
    white_level : float, optional
        In counts; instead of the file's.

    Returns
    -------
    RawImage
        `mosaic` is the visible area (without masked margins), uint16, in sensor
        counts; `cfa` and `black_level` start at its top-left pixel. An X-Trans mosaic
        begins with its first whole block: up to two rows and columns before it are
        left out. Of FITS the rows are in the order of the file, and the dtype is what
        the file needs.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or no RAW file; if its kind is not read (JPEG XL or
        floating point in a DNG, pixel shift composites); if it has no mosaic (linear
        and lossy DNG, monochrome), or one that is neither Bayer's nor X-Trans: Quad
        Bayer, a rotated one (Super CCD), other colours than red, green and blue; if all
        counts are equal; if a level contradicts the counts; if sensor or ISO is
        neither in the file nor given.

    Notes
    -----
    Levels contradict the counts if white does not lie above black, if more than
    0.1 % of the counts lie above white by 25 % of the range between the levels,
    or if more than half lie below black by 1 % of it. A dark frame, hot pixels
    and highlights somewhat above a listed white level pass.

    The black levels of a DNG are those of its tags, fractions included; those that
    differ by row or column count with their mean. Of other formats LibRaw gives whole
    counts. LibRaw makes odd margins even by hiding one more row or column; black
    levels that differ by site are those of the sites that stay.

    What FITS cards are believed, and what stands for the ISO, is in
    :doc:`/guide/astro`. A FITS file that does not say its black level (card PEDESTAL)
    raises a UserWarning: 0 is taken.
    """
    path = Path(path)
    if is_fits(path):
        return read_fits(
            path,
            sensor=sensor,
            iso=iso,
            ratio=ratio,
            black_level=black_level,
            white_level=white_level,
        )
    with open_libraw(path) as raw:
        tags = exif_tags(path)
        own_reason = why_tags_not_read(tags)
        if own_reason is not None:
            raise ValueError(f"{path.name} {own_reason}")
        _refuse_impossible(tags, path)
        cfa, sites = _find_mosaic(raw, path)
        _doubt(tags, path)
        sizes = visible_sizes(raw)
        mosaic = raw.raw_image_visible[-sizes.height :, -sizes.width :].copy()
        file_black = raw.black_level_per_channel
        own_black = tuple(float(file_black[raw.raw_color(*at)]) for at in sites)
        windows = visible_windows(tags, sizes) if tags.is_dng else None
        if windows is not None:
            own_black = dng_black_level(tags, windows[1], cfa) or own_black
        own_white = float(raw.white_level)
        iso = libraw_iso(raw) if iso is None else iso
    black_level = own_black if black_level is None else black_level
    white_level = own_white if white_level is None else white_level
    check_counts(mosaic, black_level, white_level, path)
    sensor, iso = _ask_exif(path, tags, sensor, iso)
    profile = read_noise_profile(tags, path.name)
    if profile is not None:
        spans = level_span(own_black, own_white), level_span(black_level, white_level)
        profile = rescale_profile(profile, *spans)
    return RawImage(
        mosaic, cfa, black_level, white_level, sensor, iso, ratio, path, profile
    )


def open_raw(
    path: str | Path,
    *,
    sensor: str | None = None,
    iso: float | None = None,
    ratio: float = 1.0,
    black_level: float | Sequence[float] | None = None,
    white_level: float | None = None,
) -> RawImage:
    """Stand in for `read_raw` where thousands of files are only listed.

    Parameters
    ----------
    path, sensor, iso, ratio, black_level, white_level
        As in `read_raw`.

    Returns
    -------
    RawImage
        Lazy: the file is not touched, nor looked for, until a field is asked for
        that was not given here; the errors of `read_raw` come then.

    Raises
    ------
    ValueError
        If `iso` or `ratio` is not a positive number.
    """
    known: dict = {"ratio": check_positive("ratio", ratio)}
    if sensor is not None:
        known["sensor"] = sensor
    if iso is not None:
        known["iso"] = check_positive("iso", iso)
    reader = partial(
        read_raw, **known, black_level=black_level, white_level=white_level
    )
    return LazyRawImage(path, reader, **known)


def read_raw_as_it_is(path: str | Path, **given: Any) -> RawImage:
    """Read a file as `read_raw` does; an ISO that it does not say is `UNKNOWN_ISO`."""
    try:
        return read_raw(path, **given)
    except NoISOError:
        return read_raw(path, **{**given, "iso": UNKNOWN_ISO})


def _refuse_impossible(tags: TiffTags, path: Path) -> None:
    """Refuse counts that LibRaw would take from where they cannot lie."""
    fault = why_impossible(tags) or why_jpeg_impossible(path, tags)
    if fault is not None:
        raise ValueError(f"{path.name} {refusal(fault)}")


def _doubt(tags: TiffTags, path: Path) -> None:
    """Warn of counts that may not be those that were written."""
    doubt = why_doubtful(tags) or why_jpeg_doubtful(path, tags)
    if path.suffix.lower() == ".dng" and not tags.is_dng:
        doubt = doubt or "by its name it is a DNG, but it does not say so"
    if doubt is not None:
        warnings.warn(
            f"{path.name} may be damaged: {doubt}. Check the picture before you "
            "use it.",
            UserWarning,
            stacklevel=3,
        )


def _find_mosaic(raw: rawpy.RawPy, path: Path) -> tuple[str, list[tuple[int, int]]]:
    """Name of the mosaic, and where its first block lies in the full frame."""
    pattern = raw.raw_pattern
    takes = "skadl denoises Bayer mosaics (RGGB and its rotations) and X-Trans"
    elsewhere = f"{takes}. Leave it out, and denoise it in your RAW developer."
    if path.suffix.lower() == ".arq":
        raise ValueError(f"{path.name} {why_not_read(path)}")
    if pattern is None or raw.raw_image_visible.ndim != 2 or pattern.size == 1:
        raise ValueError(
            f"{path.name} has no mosaic (a linear, lossy, already demosaiced or "
            f"monochrome file); {takes}, so give the camera's own RAW file."
        )
    if raw.raw_image_visible.shape != (raw.sizes.height, raw.sizes.width):
        raise ValueError(
            f"{path.name} has a mosaic rotated by 45 degrees (Super CCD); {elsewhere}"
        )
    is_6x6 = pattern.shape == (6, 6)
    colours = visible_colours(raw, 6 if is_6x6 else 2)
    in_use = {raw.color_desc.decode()[index] for index in np.unique(pattern)}
    if not in_use <= set("RGB"):
        raise ValueError(
            f"{path.name} has a mosaic of the colours {colours}, not of red, green and "
            f"blue; {elsewhere}"
        )
    cfa = colours
    if is_6x6:
        try:
            cfa, _ = find_blocks(colours)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error} {elsewhere}") from None
    elif cfa not in CFA_PATTERNS or not _repeats_in_two(raw):
        raise ValueError(
            f"{path.name} has a mosaic that begins with {cfa} and is not Bayer's (Quad "
            f"Bayer, say); {elsewhere}"
        )
    sizes, side = visible_sizes(raw), mosaic_of(cfa).side
    places = [divmod(place, side) for place in range(side**2)]
    top, left = sizes.top_margin, sizes.left_margin
    return cfa, [(top + row, left + column) for row, column in places]


def _repeats_in_two(raw: rawpy.RawPy) -> bool:
    """Whether the colours of every 2x2 are those of the first."""
    period = range(_LIBRAW_PERIOD)
    return all(
        raw.raw_color(row, column) == raw.raw_color(row % 2, column % 2)
        for row in period
        for column in period
    )


def _ask_exif(
    path: Path, tags: TiffTags, sensor: str | None, iso: float | None
) -> tuple[str, float]:
    """Take from the file's EXIF what of the two is not known yet, or refuse it."""
    if sensor is not None and iso is not None:
        return sensor, iso
    if sensor is None and not (sensor := exif_sensor(tags)):
        raise ValueError(
            f"{path.name} does not say which camera took it; give sensor='...' (on the "
            "command line --sensor NAME)."
        )
    if iso is None and (iso := exif_iso(tags)) is None:
        raise NoISOError(
            f"{path.name} does not say its ISO; give iso=... (on the command line "
            "--iso NUMBER)."
        )
    return sensor, iso
