"""ISO and exposure time of a RAW file from its EXIF tags, without its mosaic."""

from __future__ import annotations

import math
from pathlib import Path

from skadl.raw.rawfile import exif_tags

_ISO_TAGS = ("ISOSpeedRatings", "PhotographicSensitivity")


def read_exposure(path: Path) -> tuple[float | None, float | None]:
    """Read ISO and exposure time from the beginning of a RAW file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    iso : float or None
        None where the file does not say.
    seconds : float or None
        None where the file does not say.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    tags = exif_tags(path)
    isos = [_number(tags, name) for name in _ISO_TAGS]
    return next(filter(None, isos), None), _number(tags, "ExposureTime")


def whole_file_problem(path: Path) -> str | None:
    """Say why a file cannot be what its name promises, as far as its size tells.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str or None
        A sentence, or None if the file is there and not empty.
    """
    try:
        is_empty = path.stat().st_size == 0
    except OSError:
        return f"{path.name} is missing."
    return f"{path.name} is empty; download it again." if is_empty else None


def _number(tags: dict, name: str) -> float | None:
    for group in ("EXIF", "Image"):
        try:
            value = float(tags[f"{group} {name}"].values[0])
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            continue
        if math.isfinite(value) and value > 0:
            return value
    return None
