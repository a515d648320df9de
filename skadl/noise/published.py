"""Published noise of real cameras, found by the name that their files carry.

See ``camera_figures.json`` for every figure, its source and what was chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from skadl.noise.camera_figures import published_figures
from skadl.noise.residual import QUANTISATION_VARIANCE
from skadl.noise.tukey_lambda import tukey_lambda_variance

# What files of a camera say, Make and Model joined as in `skadl.raw.exif.camera_name`:
# a model is sold under several names.
_NAMES_IN_FILES = {
    "SonyA7S2": ("SONY ILCE-7SM2", "ILCE-7SM2", "Sony A7S II", "Sony A7S2"),
    "NikonD850": ("NIKON D850",),
    "CanonEOS5D4": ("Canon EOS 5D Mark IV",),
    "CanonEOS70D": ("Canon EOS 70D",),
    "CanonEOS700D": (
        "Canon EOS 700D",
        "Canon EOS REBEL T5i",
        "Canon EOS Kiss X7i",
    ),
    "IMX686": ("Xiaomi Redmi K30", "Redmi K30"),
    "OppoReno10x": ("OPPO CPH1919", "OPPO PCCM00", "OPPO Reno 10x Zoom"),
    "Pixel4a": ("Google Pixel 4a",),
}
# How far beyond the ISOs of a calibration its curves are believed.
_MOST_BEYOND = 2.0


@dataclass(frozen=True, eq=False)
class PublishedCurves:
    """Curves of a camera at ISOs each half of a stop, in counts."""

    isos: np.ndarray  # (n,), rising
    gain: np.ndarray  # (n,), in counts per electron
    read_scale: np.ndarray  # (n,), of the read noise's distribution
    row_noise: np.ndarray | None  # (n,)

    @classmethod
    def of(cls, figures: Mapping[str, Any]) -> PublishedCurves:
        """Tabulate an entry of `published_figures`."""
        low, high = figures["iso_range"]
        isos = np.geomspace(low, high, 1 + int(np.ceil(2 * np.log2(high / low))))
        isos[0], isos[-1] = low, high
        curve = figures["gain"]
        if "polynomial" in curve:
            gain = np.polyval(curve["polynomial"], isos)
        else:
            ends = curve["at_lowest_iso"], curve["at_highest_iso"]
            gain = np.geomspace(*ends, len(isos))
        read = figures["read"]
        if "variance_polynomial" in read:
            # Fitted on raw counts, so quantisation is in; the simulation rounds anew.
            variance = np.polyval(read["variance_polynomial"], isos)
            read_scale = np.sqrt(variance - QUANTISATION_VARIANCE)
        else:
            read_scale = gain ** read["slope"] * np.exp(read["bias"])
        row = figures.get("row")
        row_noise = row and gain ** row["slope"] * np.exp(row["bias"])
        return cls(isos, gain, read_scale, row_noise)


def published_noise(sensor: str, iso: float, span: float) -> tuple[float, float] | None:
    """Return gain and read noise of a camera, in counts of a file with this span.

    The span is white minus black level: the same camera writes 12 or 14 bits. None for
    a camera whose figures are not published here, or not near this ISO.
    """
    camera = _camera_of(sensor)
    if camera is None:
        return None
    figures = published_figures()[camera]
    curves = PublishedCurves.of(figures)
    low, high = curves.isos[[0, -1]]
    if not low / _MOST_BEYOND <= iso <= high * _MOST_BEYOND:
        return None
    variance = curves.read_scale**2
    if "shape" in figures:
        table = figures["shape"]
        shapes = np.interp(np.log(curves.isos), np.log(table["iso"]), table["value"])
        variance = variance * [tukey_lambda_variance(shape) for shape in shapes]
    if curves.row_noise is not None:
        variance = variance + curves.row_noise**2
    variance = variance + QUANTISATION_VARIANCE
    # Beyond the known ISOs both follow ISO in proportion, as in `SensorInfo.noise_at`.
    inside = np.clip(iso, low, high)

    def at_iso(values: np.ndarray) -> float:
        logs = np.interp(np.log(inside), np.log(curves.isos), np.log(values))
        return float(np.exp(logs) * iso / inside)

    scale = span / (figures["white_level"] - figures["black_level"])
    return at_iso(curves.gain) * scale, at_iso(variance**0.5) * scale


def _camera_of(sensor: str) -> str | None:
    return _cameras_by_name().get(_plain(sensor))


@cache
def _cameras_by_name() -> dict[str, str]:
    return {
        _plain(name): camera
        for camera in published_figures()
        for name in (camera, *_NAMES_IN_FILES.get(camera, ()))
    }


def _plain(name: str) -> str:
    """Leave out what writers of one name differ in: case, blanks, hyphens.

    >>> _plain("SONY ILCE-7SM2")
    'sonyilce7sm2'
    """
    return re.sub(r"[\W_]+", "", name).casefold()
