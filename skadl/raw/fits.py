"""Reading FITS frames of astronomical cameras: the mosaic, and what its cards say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from skadl.raw.fits_header import FitsFacts, counts_step, read_facts
from skadl.raw.image import NoISOError, RawImage
from skadl.raw.levels import check_counts
from skadl.support.extras import import_extra

FITS_SUFFIXES = frozenset({".fit", ".fits", ".fts", ".fz"})
_WRONG_SUM = 0  # what astropy returns of one
_SIGNED_16, _SIGNED_32 = 2**15, 2**31  # BZERO of unsigned counts
_MOST_COUNT = 65535
_UNUSUAL_WHITE = (1023, 4095, 16383)  # of 10, 12 and 14 bits, not scaled to 16
# As for RAW files: no code takes less than a bit for a photosite.
_MOST_SITES_PER_BYTE = 16
NO_BLACK = (
    "FITS files seldom say their black level, and this one does not: 0 is taken. Give "
    "black_level=... or write the median of a bias frame into the card PEDESTAL."
)


def is_fits(path: Path) -> bool:
    """Tell by its name, or by its first bytes, whether a file is FITS."""
    if path.suffix.lower() in FITS_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(10) == b"SIMPLE  = "
    except OSError:
        return False


def read_fits(
    path: Path,
    *,
    sensor: str | None = None,
    iso: float | None = None,
    ratio: float = 1.0,
    black_level: float | Sequence[float] | None = None,
    white_level: float | None = None,
) -> RawImage:
    """Read a mosaic from FITS, as `read_raw` does; rows stay as the file has them."""
    with open_fits(path) as hdus, reading(path):
        hdu = image_hdu(hdus, path)
        facts = _facts(hdu, path)
        _check_sums(hdu, path)
        mosaic = _counts(hdu, path)
    _check_finite(mosaic, path)
    if white_level is None:
        white_level = _white_level(mosaic, facts, path)
    if black_level is None:
        black_level = facts.black_level
        if black_level is None or not black_level < np.median(mosaic):
            black_level = 0.0
            warnings.warn(NO_BLACK, UserWarning, stacklevel=3)
    check_counts(mosaic, black_level, white_level, path)
    sensor, iso = sensor or facts.sensor, iso or facts.iso
    if sensor is None:
        raise ValueError(
            f"{path.name} does not say which camera took it (card INSTRUME); give "
            "sensor='...' (on the command line --sensor NAME)."
        )
    if iso is None:
        raise NoISOError(
            f"{path.name} says neither ISO nor gain (cards ISOSPEED, GAIN); give "
            "iso=... (on the command line --iso NUMBER): any number, the same for all "
            "frames of one gain."
        )
    return RawImage(
        mosaic, facts.cfa, black_level, white_level, sensor, iso, ratio, path
    )


def fits_facts(path: Path) -> FitsFacts:
    """Read what the header of a mosaic says, without its counts."""
    with open_fits(path) as hdus, reading(path):
        return _facts(image_hdu(hdus, path), path)


@contextmanager
def open_fits(path: Path) -> Iterator[Any]:
    """Open a file's HDUs for a moment; stored numbers are not scaled, nor read yet."""
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {str(path)!r}; check the name and the folder."
        )
    try:
        fits = import_extra("astropy.io.fits", "fits", f"reading {path.name}")
    except ImportError as error:
        raise ValueError(str(error)) from error
    with reading(path):
        hdus = fits.open(path, memmap=True, do_not_scale_image_data=True)
    try:
        yield hdus
    finally:
        with suppress(Exception):
            hdus.close()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what astropy raises of a damaged file, of many kinds, into a ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of cards that bend the standard
            yield
    except (_RefusedError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(
            f"{path.name} is damaged, incomplete or no FITS file ({reason}); copy it "
            "from the camera again or leave it out."
        ) from error


class _RefusedError(ValueError):
    """A sound file that is not what is needed."""


def image_hdu(hdus: Any, path: Path) -> Any:
    """Return the one HDU that holds an image of two axes, checked to be whole."""
    images = [hdu for hdu in hdus if _is_image(hdu)]
    if not images:
        raise _RefusedError(
            f"{path.name} holds no image; give the frame that the camera wrote."
        )
    if len(images) > 1:
        raise _RefusedError(
            f"{path.name} holds {len(images)} images; skadl reads one a file. Save "
            "each as a file of its own."
        )
    hdu = images[0]
    shape = hdu.shape
    planes = int(np.prod(shape[:-2]))
    if len(shape) < 2 or planes != 1:
        what = "is a picture of one row"
        if len(shape) == 3 and planes == 3:
            what = "is a colour picture, demosaiced or stacked"
        elif len(shape) > 2:
            what = f"holds {planes} pictures"
        raise _RefusedError(
            f"{path.name} {what}; skadl denoises mosaics, before they are "
            "demosaiced. Give the frames as the camera wrote them (in Siril, convert "
            "without debayering)."
        )
    n_sites, n_bytes = shape[-1] * shape[-2], path.stat().st_size
    most = _MOST_SITES_PER_BYTE * n_bytes
    if not is_compressed(hdu):
        start = hdu.fileinfo()["datLoc"]
        most = (n_bytes - start) // (abs(hdu.header["BITPIX"]) // 8)
    if n_sites > most:
        raise _RefusedError(
            f"{path.name} is damaged or incomplete: its header promises "
            f"{n_sites / 1e6:,.2f} megapixels, which {n_bytes:,} bytes do not hold; "
            "copy it from the camera again or leave it out."
        )
    return hdu


def is_compressed(hdu: Any) -> bool:
    """Tell whether an image is stored in tiles of compressed numbers."""
    return type(hdu).__name__ == "CompImageHDU"


def _is_image(hdu: Any) -> bool:
    return bool(getattr(hdu, "is_image", False)) and bool(hdu.shape)


def _facts(hdu: Any, path: Path) -> FitsFacts:
    try:
        return read_facts(hdu.header, hdu.shape[-2], path.name)
    except ValueError as error:
        raise _RefusedError(str(error)) from error


def scaling(header: Any) -> tuple[float, float]:
    """Return offset and step of the stored numbers: cards BZERO and BSCALE."""
    zero, scale = float(header.get("BZERO", 0)), float(header.get("BSCALE", 1))
    if not (np.isfinite([zero, scale]).all() and scale != 0):
        raise ValueError(f"BZERO {zero} and BSCALE {scale} are no numbers to scale by")
    return zero, scale


def _check_sums(hdu: Any, path: Path) -> None:
    """Compare with the file's own sums, where it has them: DATASUM and CHECKSUM.

    Programs that correct a card seldom correct CHECKSUM, so a wrong one is no damage
    as long as the sum of the counts is right.
    """
    if is_compressed(hdu):
        return  # its sums are those of the compressed bytes, which decompression checks
    if hdu.verify_datasum() == _WRONG_SUM:
        raise _RefusedError(
            f"{path.name} is damaged: its counts do not have the sum that its card "
            "DATASUM states; copy it from the camera again or leave it out."
        )
    if hdu.verify_checksum() == _WRONG_SUM and "DATASUM" not in hdu.header:
        raise _RefusedError(
            f"{path.name} is damaged, or a program changed its cards: they do not have "
            "the sum that the card CHECKSUM states. Copy it from the camera again; if "
            "a program changed it, delete the card CHECKSUM."
        )


def _counts(hdu: Any, path: Path) -> np.ndarray:
    """Read the mosaic in native byte order, with one copy where that is possible."""
    stored = hdu.data
    stored = stored.reshape(stored.shape[-2:])
    zero, scale = scaling(hdu.header)
    blank = hdu.header.get("BLANK")
    if stored.dtype.kind in "iu" and blank is not None:
        n_blank = int(np.count_nonzero(stored == blank))
        if n_blank:
            raise _no_value(path, n_blank, "BLANK")
    counts = stored.astype(stored.dtype.newbyteorder("="))
    size = counts.dtype.itemsize
    if (scale, zero) == (1, _SIGNED_16) and counts.dtype == np.int16:
        counts = counts.view(np.uint16)
        counts ^= np.uint16(_SIGNED_16)  # adds 2**15, in place
    elif (scale, zero) == (1, _SIGNED_32) and counts.dtype == np.int32:
        counts = counts.view(np.uint32)
        counts ^= np.uint32(_SIGNED_32)
    elif (scale, zero) != (1, 0):
        counts = counts.astype(np.float32 if size <= 4 else float, copy=False)
        counts *= counts.dtype.type(scale)
        counts += counts.dtype.type(zero)
    if counts.dtype.kind in "iu" and counts.dtype.itemsize > 1:
        if counts.min() >= 0 and counts.max() <= _MOST_COUNT:
            counts = counts.astype(np.uint16, copy=False)
    return counts


def _check_finite(mosaic: np.ndarray, path: Path) -> None:
    if mosaic.dtype.kind == "f":
        n_wrong = mosaic.size - int(np.count_nonzero(np.isfinite(mosaic)))
        if n_wrong:
            raise _no_value(path, n_wrong, "NaN or infinity")


def _no_value(path: Path, number: int, what: str) -> ValueError:
    return _RefusedError(
        f"{path.name} has {number} pixels without a value ({what}), as registered "
        "frames have at their edges; give the frame as the camera wrote it."
    )


def _white_level(mosaic: np.ndarray, facts: FitsFacts, path: Path) -> float:
    """Find where counts end: what the file says, its bits, the step of its counts."""
    highest = float(mosaic.max())
    if facts.saturation is not None and facts.saturation >= np.quantile(mosaic, 0.999):
        return facts.saturation
    if mosaic.dtype.kind == "f" and highest <= 1.0:
        return 1.0
    if mosaic.dtype == np.uint8:
        return 255.0
    if highest > _MOST_COUNT:
        raise ValueError(
            f"{path.name} has counts up to {highest:g} and does not say where they "
            "saturate; give white_level=... or add the card SATURATE."
        )
    if mosaic.dtype.kind == "f":
        return float(_MOST_COUNT)
    if highest in _UNUSUAL_WHITE and np.count_nonzero(mosaic == highest) > 1:
        return highest
    return float(_MOST_COUNT + 1 - counts_step(mosaic))
