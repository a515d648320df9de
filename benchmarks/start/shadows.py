"""Means of shadows: what a denoiser makes of them, in standard errors of the input's.

A cast in lifted shadows is a mean that is off by a count or less: no PSNR shows it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from benchmarks.start.evaluate import BENCHMARK_CAMERAS, Case
from benchmarks.start.prediction import Denoiser
from benchmarks.start.scenes import Photograph
from skadl.datasets import camera_info, make_domain
from skadl.noise.noise_level import expected_noise
from skadl.noise.sensors import SensorInfo
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair

ISO = 6400
DARKEST = 0.15  # of the pixels
_SCALE = 5.0  # packed pixels: dark parts of a picture, not dark pixels of its texture
_BLACK, _WHITE = 512, 16383
_BALANCE = (0.45, 1.0, 1.0, 0.62)  # of planes R, Gr, Gb, B
_HALVES = ((6.0, 12.0, 5.0, 5000.0), (2.0, 8.0, 20.0, 8000.0))
"""Gain, read noise, dark and bright half, in counts."""


def shadow_cases(photographs: list[Photograph]) -> Iterator[Case]:
    """Yield scenes that are half in deep shadow, and photographs at ISO 6400."""
    for seed in range(3):
        for half in _HALVES:
            yield _half_shadow(*half, seed)
    for photograph in photographs:
        side = min(photograph.rgb.shape[:2]) // 2 * 2
        scene = photograph.rgb[:side, :side]
        for camera in BENCHMARK_CAMERAS:
            (pair,) = make_domain(
                camera, 1, size=side, iso=ISO, ratio=1.0, scenes=[scene], random_state=0
            )
            yield Case("photographs", photograph.name, pair, camera_info(camera))


def shadow_means(
    cases: Iterator[Case], denoisers: Mapping[str, Denoiser]
) -> pd.DataFrame:
    """Mean change of the darkest pixels: a row for each case, denoiser and plane."""
    rows = []
    for case in cases:
        noisy, clean = case.pair.noisy, case.pair.clean.normalised()
        brightness = gaussian_filter(clean.mean(axis=0), _SCALE)
        dark = brightness <= np.quantile(brightness, DARKEST)
        noise = expected_noise(case.info, noisy.iso, noisy.ratio)
        variance = noise.shot * clean[:, dark].mean(axis=1) + noise.read
        error = np.sqrt(variance / dark.sum())
        before = noisy.normalised()
        offset = case.info.offset_at(noisy.iso) * (noisy.ratio / case.info.span)
        for name, denoise in denoisers.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                change = denoise(noisy, case.info) - before
            means = change[:, dark].mean(axis=1, dtype=float) + offset
            rows += [
                {
                    "collection": case.collection,
                    "group": case.group,
                    "denoiser": name,
                    "plane": plane,
                    "counts": mean * noisy.span / noisy.ratio,
                    "standard errors": mean / plane_error,
                }
                for plane, mean, plane_error in zip(
                    ("R", "Gr", "Gb", "B"), means, error, strict=True
                )
            ]
    return pd.DataFrame(rows)


def summarise(means: pd.DataFrame, collection: str) -> pd.DataFrame:
    """Of each denoiser: how far shadow means are off, in standard errors."""
    rows = means[means["collection"] == collection]
    size = rows["standard errors"].abs().groupby(rows["denoiser"], sort=False)
    return pd.DataFrame(
        {
            "median": size.median().round(2),
            "largest": size.max().round(1),
            "planes": size.size(),
            "beyond 2": size.apply(lambda values: (values > 2).sum()),
        }
    )


def _half_shadow(gain: float, read: float, dark: float, bright: float, seed: int):
    """Photograph a flat scene, half of it in deep shadow."""
    rng = np.random.default_rng([ISO, seed])
    signal = np.full((384, 512), dark)
    signal[:, 256:] = bright
    for site, factor in enumerate(_BALANCE):
        signal[site // 2 :: 2, site % 2 :: 2] *= factor
    counts = rng.poisson(signal / gain) * gain + rng.normal(0, read, signal.shape)
    counts = np.clip(np.rint(counts + _BLACK), 0, _WHITE).astype(np.uint16)
    noisy, clean = (
        RawImage(mosaic, "RGGB", _BLACK, _WHITE, "half in shadow", ISO)
        for mosaic in (counts, (signal + _BLACK).astype(np.float32))
    )
    info = SensorInfo("RGGB", _BLACK, _WHITE, gain={ISO: gain}, read_noise={ISO: read})
    return Case("half in shadow", f"{dark:g} counts", RawPair(noisy, clean), info)
