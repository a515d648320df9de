"""Real pairs in ``.npz`` files, with their noise figures from one JSON table.

A file holds `noisy` (n, H, W), `clean` (H, W) or (n, H, W), `n_averaged` (a number or
(H, W)), `black_level`, `white_level`, `pattern`, and may hold `clean_excludes_noisy`,
`iso`, `sensor`. A row of the table has the file's name, `K_dn_per_e` (one value or
four), and `var0_dn2` or `read_noise_dn`. Files of stars (`seestar*`) hold
`gain_dn_per_e` instead, and are judged between the stars.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import skadl
from skadl.noise.residual import measure_residual, noise_of_pair
from skadl.noise.sensors import SensorInfo
from skadl.raw.pair import RawPair
from skadl.screening.sky import judged_on_sky

DIM = {"imx296": 16.0}  # light factor of files whose name begins so


def load_pairs(path: Path, ratio: float, most: int) -> list[RawPair]:
    """Read up to `most` pairs; a clean frame never contains its noisy one.

    The clean frame's counts above black are multiplied by `ratio`, the light factor.
    """
    with np.load(path) as file:
        noisy, clean = file["noisy"][:most], file["clean"].astype(float)
        n_averaged = file["n_averaged"].astype(float)
        excluded = bool(file.get("clean_excludes_noisy", False))
        black, white = float(file["black_level"]), float(file["white_level"])
        cfa, iso = str(file["pattern"]), float(file.get("iso", 100.0))
        sensor = str(file.get("sensor", path.stem))
    cleans = []
    for index, frame in enumerate(noisy):
        mean = clean[index] if clean.ndim == 3 else clean
        if not excluded:  # leave the noisy frame out of the average
            mean = (n_averaged * mean - frame) / np.maximum(n_averaged - 1, 1)
        cleans.append(((mean - black) * ratio + black).astype(np.float32))
    return skadl.make_pairs(
        list(noisy),
        cleans,
        sensor=sensor,
        iso=iso,
        cfa=cfa,
        black_level=black,
        white_level=white,
        scene=path.stem,
        ratio=ratio,
    )


def measured_figures(pairs: list[RawPair], gain: float) -> tuple[float, float]:
    """Measure gain and read variance of pairs of the sky, between the stars."""
    found = []
    for pair in pairs:
        measured = measure_residual(pair)
        curve = (judged_on_sky(measured) or measured).curve
        found.append(noise_of_pair(curve, gain, gain))
    return tuple(np.median(found, axis=0).tolist())


def sky_of(pair: RawPair) -> np.ndarray:
    """Planes (4, h, w) that are true where a pair of stars can be judged.

    Below the 95th percentile of the clean frame: stars lie up to a pixel off. Without
    what registration left empty.
    """
    clean = pair.clean.normalised()
    whole = (pair.noisy.packed() > 0) & (clean > 0.5 * np.median(clean))
    return whole & (clean < np.quantile(clean[whole], 0.95))


def read_figures(table: Path) -> dict[str, tuple[float, float]]:
    """Read gain (counts per electron) and read variance (counts squared) by file."""
    figures = {}
    for row in json.loads(table.read_text("utf-8")):
        variance = row.get("var0_dn2")
        if variance is None and row.get("read_noise_dn") is not None:
            variance = row["read_noise_dn"] ** 2 + 1 / 12
        if row.get("K_dn_per_e") is not None and variance is not None:
            figures[row["file"]] = float(np.mean(row["K_dn_per_e"])), float(variance)
    return figures


def sensor_info(pair: RawPair, gain: float, read_variance: float) -> SensorInfo:
    """Say what is known of a pair's sensor."""
    image = pair.noisy
    return SensorInfo(
        image.cfa,
        image.black_level,
        image.white_level,
        gain={image.iso: gain},
        read_noise={image.iso: read_variance**0.5},
    )
