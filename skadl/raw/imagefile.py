"""Writing mosaics in the format that a file's name asks for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile

from skadl.raw.dng import check_destination, storable, write_dng
from skadl.raw.fits_output import write_fits
from skadl.raw.image import RawImage
from skadl.support.writing import atomic_write


def write_image(
    path: str | Path, image: RawImage, template: str | Path | None = None
) -> Path:
    """Write a mosaic as DNG, FITS, 16-bit TIFF or NumPy array, by the name's ending.

    Parameters
    ----------
    path : str or Path
        Ends in .dng (see `write_dng`), .fit, .fits or .fts (see `write_fits`), .tif or
        .tiff (see `write_tiff`), or .npy: the mosaic as it is, in counts and in its
        own dtype, without anything else.
    image : RawImage
    template : str or Path, optional
        For a DNG, see `write_dng`, for FITS `write_fits`; the others carry nothing
        over.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    FileNotFoundError, ValueError, OSError
        As `write_dng`; or if the name ends otherwise.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".dng":
        return write_dng(path, image, template)
    if suffix in (".fit", ".fits", ".fts"):
        return write_fits(path, image, template)
    if suffix in (".tif", ".tiff"):
        return write_tiff(path, image)
    if suffix != ".npy":
        raise ValueError(
            f"{path.name} ends in {path.suffix!r}; skadl writes .dng, .fits, .tif, "
            ".tiff and .npy. Choose one of them."
        )
    check_destination(path, image.path)
    mosaic = image.mosaic
    if not np.isfinite(mosaic).all():
        raise ValueError(
            f"the mosaic of sensor {image.sensor!r} has counts that are not finite; "
            "repair them before writing."
        )
    with atomic_write(path) as part, part.open("wb") as file:
        np.save(file, mosaic, allow_pickle=False)
    return path


def write_tiff(path: str | Path, image: RawImage) -> Path:
    """Write a mosaic as a 16-bit grey TIFF, for programs that know no DNG.

    Parameters
    ----------
    path : str or Path
        File to write, in an existing folder; an older file is replaced in one step.
    image : RawImage
        Fractional counts are multiplied to fill 16 bits, as in `write_dng`.

    Returns
    -------
    Path
        The file written. Its ImageDescription is a JSON object of cfa, black_level,
        white_level (both as stored), sensor, iso, and scale: how many stored counts
        one count of `image` is.

    Raises
    ------
    FileNotFoundError, ValueError, OSError
        As in `write_dng`.
    """
    path = Path(path)
    check_destination(path, image.path)
    stored, scale = storable(image)
    description = {
        name: getattr(stored, name)
        for name in ("cfa", "black_level", "white_level", "sensor", "iso")
    }
    with atomic_write(path) as part:
        tifffile.imwrite(
            part,
            stored.mosaic,
            photometric="minisblack",
            metadata=None,
            description=json.dumps(description | {"scale": scale}),
        )
    return path
