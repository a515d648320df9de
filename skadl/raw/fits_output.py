"""Writing denoised mosaics as FITS: the cards and numbers of the file they are from."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

import skadl
from skadl.raw.dng import check_destination
from skadl.raw.fits import (
    image_hdu,
    is_compressed,
    is_fits,
    open_fits,
    reading,
    scaling,
)
from skadl.raw.fits_header import TOP_DOWN
from skadl.raw.image import RawImage, UnknownISO
from skadl.raw.levels import cast_counts
from skadl.raw.mosaic import mosaic_of
from skadl.support.extras import import_extra
from skadl.support.writing import atomic_write

_TAKEN_OFF = ("BZERO", "BSCALE", "EXTEND")
_CHECKSUMS = ("CHECKSUM", "DATASUM")
_EXTREMES = {"DATAMIN": np.min, "DATAMAX": np.max}


def write_fits(
    path: str | Path,
    image: RawImage,
    template: str | Path | None = None,
    *,
    history: str | None = None,
) -> Path:
    """Write a mosaic as FITS, for Siril and other programs of astronomers.

    Parameters
    ----------
    path : str or Path
        File to write, in an existing folder; an older file is replaced in one step.
    image : RawImage
    template : str or Path, optional
        FITS file that the mosaic was read from, by default ``image.path``. All its
        cards, its row order and its kind of numbers are kept: whole ones are rounded
        and clipped to what they can hold, floats stay floats. A compressed file is
        written without compression. Without a FITS file the numbers are 16 bits, or
        32-bit floats where counts are fractions, and the first row is the top one.
    history : str, optional
        What was done to the image, for a card HISTORY.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ImportError
        If astropy is not installed (``pip install 'skadl[fits]'``).
    ValueError
        If counts are not finite; if the template has another size; if `path` is the
        file that the image comes from.
    """
    path = Path(path)
    if template is None:
        template = image.path
    check_destination(path, image.path, template)
    fits = import_extra("astropy.io.fits", "fits", f"writing {path.name}")
    mosaic = image.mosaic
    if not np.isfinite(mosaic).all():
        raise ValueError(
            f"the mosaic of sensor {image.sensor!r} has counts that are not finite; "
            "repair them before writing."
        )
    line = f"skadl {skadl.__version__}" + (f": {history}" if history else "")
    if template is None or not Path(template).is_file() or not is_fits(Path(template)):
        _save(fits.HDUList([_new_hdu(fits, image, mosaic)]), 0, path, line)
        return path
    template = Path(template)
    with open_fits(template) as hdus:
        with reading(template):
            hdu = image_hdu(hdus, template)
            written, index = list(hdus), hdus.index(hdu)
            stored, header = hdu.data, hdu.header.copy()
        if hdu.shape[-2:] != mosaic.shape:
            raise ValueError(
                f"{template.name} has {hdu.shape[-1]} x {hdu.shape[-2]} pixels, the "
                f"image {mosaic.shape[1]} x {mosaic.shape[0]}; give the file that the "
                "image was read from."
            )
        if is_compressed(hdu):
            del written[0]  # which holds nothing but leads to the compressed one
            index -= 1
        kind = fits.ImageHDU if index else fits.PrimaryHDU
        new = kind(
            _stored(mosaic, stored, header), header, do_not_scale_image_data=True
        )
        last = f"NAXIS{stored.ndim}"
        for card in (header.cards[name] for name in _TAKEN_OFF if name in header):
            # By astropy, as if it had scaled the numbers itself.
            new.header.set(card.keyword, card.value, card.comment, after=last)
        written[index] = new
        _save(fits.HDUList(written), index, path, line)
    return path


def _stored(mosaic: np.ndarray, stored: np.ndarray, header: Any) -> np.ndarray:
    """Turn counts into numbers as the template stores them: undo its scaling."""
    zero, scale = scaling(header)
    counts = mosaic
    if (zero, scale) != (0, 1):
        counts = mosaic.astype(np.promote_types(mosaic.dtype, np.float64))
        counts -= zero
        counts /= scale
    return cast_counts(counts, stored.dtype).reshape(stored.shape)


def _new_hdu(fits: Any, image: RawImage, mosaic: np.ndarray) -> Any:
    is_whole = mosaic.dtype.kind in "ui" or (mosaic == np.rint(mosaic)).all()
    fits_16_bits = is_whole and mosaic.min() >= 0 and mosaic.max() <= 65535
    hdu = fits.PrimaryHDU(mosaic.astype(np.uint16 if fits_16_bits else np.float32))
    black = np.unique(np.asarray(image.black_level, float))
    cards = {
        "BAYERPAT": mosaic_of(image.cfa).pattern,
        "ROWORDER": TOP_DOWN,
        "INSTRUME": image.sensor.encode("ascii", "replace").decode(),
        "SATURATE": image.white_level,
    }
    if not isinstance(image.iso, UnknownISO):
        cards["ISOSPEED"] = image.iso
    if len(black) == 1 and black[0] > 0:
        cards["PEDESTAL"] = float(black[0])
    hdu.header.update(cards)
    return hdu


def _save(hdus: Any, index: int, path: Path, line: str) -> None:
    hdu = hdus[index]
    header = hdu.header
    has_sums = any(name in header for name in _CHECKSUMS)
    zero, scale = scaling(header)
    for name, extreme in _EXTREMES.items():
        if name in header:
            header[name] = float(extreme(hdu.data)) * scale + zero
    header.add_history(line.encode("ascii", "replace").decode())
    with warnings.catch_warnings(), atomic_write(path) as part:
        warnings.simplefilter("ignore")  # of cards that bend the standard
        hdus.writeto(part, output_verify="silentfix+ignore", checksum=has_sums)
