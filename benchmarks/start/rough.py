"""What measuring a rough camera is worth: on pairs, on dark frames, and with a fit.

Row noise, a fixed pattern and clipped blacks are those of `benchmarks.tables.rough`.
Dark frames are of the size of the test images, and begin at the same corner, as the
pairs do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

import skadl
from benchmarks.start.adapt import Adaptation, make_data, score_images
from benchmarks.start.resume import measure_missing
from benchmarks.tables.rough import photograph_darks
from skadl import calibrate_sensor
from skadl.data.pool import SourcePool
from skadl.estimators.adl import ADLDenoiser
from skadl.noise.sensors import SensorInfo, SensorTable

N_PAIRS = 6
NOISE_ALONE, ON_PAIRS, ON_DARKS = "noise alone", "pairs", "pairs and darks"


def measure(camera: str, seed: int, with_fits: bool) -> dict[str, float | str]:
    """Score the start, told more and more of a rough camera, and fits: PSNR in dB."""
    data = make_data(Adaptation(camera, N_PAIRS, "harm", seed, is_rough=True))
    sides = data.test[0].noisy.mosaic.shape
    with warnings.catch_warnings():  # of what few pairs leave open
        warnings.simplefilter("ignore")
        on_pairs = calibrate_sensor(data.target)
        on_darks = calibrate_sensor(
            data.target, photograph_darks(camera, sides[0], seed)
        )
        alone = replace(on_pairs, row_noise=None, fixed_pattern=None)
        told = {NOISE_ALONE: alone, ON_PAIRS: on_pairs, ON_DARKS: on_darks}
        universal = skadl.load_universal(device="cpu")
        row = {"camera": camera, "seed": seed}
        row["noisy"] = score_images(None, data.test).mean()
        for name, info in told.items():
            row[name] = _score(universal, camera, info, data.test)
        if not with_fits:
            return row
        # A pattern is for frames of one size: the pairs show a part of it.
        window = on_darks.fixed_pattern.window(0, 0, *data.target[0].noisy.mosaic.shape)
        for name, meta in (
            (ON_PAIRS, None),
            (ON_DARKS, SensorTable({camera: replace(on_darks, fixed_pattern=window)})),
        ):
            estimator = ADLDenoiser(random_state=seed, device="cpu")
            estimator.fit(data.target, SourcePool(data.sources), meta)
            info = estimator.sensors_.get(camera)
            if meta is not None:
                info = replace(info, fixed_pattern=on_darks.fixed_pattern)
            row[f"{name}, fitted"] = _score(estimator, camera, info, data.test)
    return row


def run(
    cameras: Sequence[str], seeds: Sequence[int], with_fits: bool, path: Path
) -> Iterator[dict[str, float | str]]:
    """Measure what a CSV file does not hold yet, row by row, and write it there."""
    wanted = [(camera, seed) for seed in seeds for camera in cameras]
    return measure_missing(
        wanted,
        lambda one: dict(zip(("camera", "seed"), one, strict=True)),
        lambda one: measure(*one, with_fits),
        path,
    )


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of each camera, with the mean of the cameras below."""
    means = table.drop(columns="seed").groupby("camera").mean()
    means.loc["mean"] = means.mean()
    means.insert(0, "seeds", table.seed.nunique())
    return means.round(2)


def _score(model: ADLDenoiser, camera: str, info: SensorInfo, pairs: list) -> float:
    model.sensors_ = SensorTable({camera: info})
    return float(score_images(model, pairs).mean())
