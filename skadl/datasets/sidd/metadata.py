"""The METADATA files of SIDD: ISO, Bayer order and noise-level function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skadl.datasets.sidd.matfile import read_old_mat
from skadl.raw.mosaic import CFA_PATTERNS

_CFA_TAG, _NOISE_TAG = 33422, 51041  # CFAPattern of TIFF/EP, NoiseProfile of DNG 1.3
_COLOURS = {0: "R", 1: "G", 2: "B"}


@dataclass(frozen=True)
class SiddMetadata:
    """What a METADATA file tells of a frame.

    Parameters
    ----------
    iso : float or None
    cfa : str or None
        Bayer order.
    noise : tuple of two floats or None
        Noise-level function (b1, b2): the variance at a signal x in [0, 1] is
        ``b1 * x + b2``. In terms of `skadl.SensorInfo` with levels 0 and 1, b1 is
        the gain and the square root of b2 the read noise.
    """

    iso: float | None
    cfa: str | None
    noise: tuple[float, float] | None


def read_sidd_metadata(path: str | Path) -> SiddMetadata:
    """Read ISO, Bayer order and noise-level function from a METADATA file.

    Parameters
    ----------
    path : str or Path
        ``0001_METADATA_RAW_010.MAT``, an old-format MATLAB file.

    Returns
    -------
    SiddMetadata
        None for what is not there.

    Raises
    ------
    ValueError
        If it is damaged or holds no structure called ``metadata``.

    Notes
    -----
    Source: BorealisAI/noise_flow, ``sidd/raw_utils.py`` and ``sidd_utils.py``;
    zhangyi-3/Noise-Synthesis, ``utils.py``. They find the tags by their places,
    which differ between phones: CFAPattern (33422) among the unknown tags of the
    file or of one of its sub-files, NoiseProfile last, last but one or eighth, and
    the ISO in ``DigitalCamera`` for some. Here tags are found by their numbers.
    That the noise-level function has the number of DNG's NoiseProfile, 51041, is
    inferred from what it is.

    IP's b1 hardly moves with ISO (6.9e-4 to 7.4e-4 over ISO 100 to 1600 in
    ``cam_iso_nlf_all.txt`` of noise_flow): its data was scaled after the gain.
    """
    path = Path(path)
    variables = read_old_mat(path, squeeze_me=True)
    metadata = variables.get("metadata")
    fields = getattr(getattr(metadata, "dtype", None), "names", None)
    if fields is None:
        raise ValueError(f"{path.name} holds no structure 'metadata'.")
    metadata = metadata[()]
    tags = dict(_unknown_tags(metadata))
    return SiddMetadata(
        _iso(metadata), _cfa(tags.get(_CFA_TAG)), _noise(tags.get(_NOISE_TAG))
    )


def _field(structure: Any, name: str) -> Any:
    names = getattr(getattr(structure, "dtype", None), "names", None) or ()
    value = structure[name] if name in names else None
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _structures(value: Any) -> Iterator[Any]:
    """Structures in a structure array or a cell, or one alone."""
    if isinstance(value, np.ndarray):
        for entry in value.ravel():
            yield from _structures(entry)
    elif isinstance(value, np.void):
        yield value


def _unknown_tags(structure: Any) -> Iterator[tuple[int, np.ndarray]]:
    # Sub-files first, so that the file's own tags win in a dict.
    for part in _structures(_field(structure, "SubIFDs")):
        yield from _unknown_tags(part)
    for tag in _structures(_field(structure, "UnknownTags")):
        number = np.ravel(_field(tag, "ID"))
        if number.size == 1:
            yield int(number[0]), np.ravel(_field(tag, "Value"))


def _iso(metadata: Any) -> float | None:
    for place in (metadata, _field(metadata, "DigitalCamera")):
        value = np.ravel(_field(place, "ISOSpeedRatings"))
        if value.size and value.dtype.kind in "uif" and value[0] > 0:
            return float(value[0])
    return None


def _cfa(codes: Any) -> str | None:
    cfa = "".join(_COLOURS.get(code, "?") for code in np.ravel(codes).tolist())
    return cfa if cfa in CFA_PATTERNS else None


def _noise(profile: Any) -> tuple[float, float] | None:
    profile = np.ravel(profile)
    if profile.dtype.kind not in "uif" or profile.size < 2:
        return None
    pair = tuple(float(value) for value in profile[:2])
    return pair if np.isfinite(pair).all() else None
