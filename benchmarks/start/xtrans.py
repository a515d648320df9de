"""What X-Trans costs: the same scenes and noise under a Bayer and an X-Trans mosaic.

No published noise figures of an X-Trans sensor that may be passed on were found, so
sensors with published figures are put under the other mosaic.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import skadl
from benchmarks.start.adapt import score_images
from benchmarks.start.resume import measure_missing
from benchmarks.tables.simulation import spread_isos
from skadl.datasets import get_camera, make_domain
from skadl.estimators.adl import ADLDenoiser
from skadl.noise.calibration import calibrate_sensor
from skadl.noise.sensors import SensorTable

CAMERAS = ("SonyA7S2", "NikonD850")
OWN = "Bayer"  # as the camera has it
NO_FIT = "no fit"
DENOISERS = (NO_FIT, "universal", "random")
SIDE = 252  # pixels of all mosaics: whole blocks of either kind
N_PAIRS, N_TEST = 6, 14
RATIOS = (1, 1, 3, 10, 30, 100, 300)
_TEST_SEED = 4242


@dataclass(frozen=True)
class Trial:
    """A denoiser of a camera under a mosaic, with six pairs of its own."""

    camera: str
    mosaic: str
    denoiser: str  # a start of a fit, or `NO_FIT`
    seed: int


def measure(trial: Trial) -> dict[str, Any]:
    """Fit and score: mean PSNR in dB, time in CPU seconds."""
    camera = get_camera(trial.camera)
    if trial.mosaic != OWN:
        camera = camera.under(trial.mosaic)
    isos = spread_isos(trial.camera, N_PAIRS)
    target = make_domain(camera, N_PAIRS, size=SIDE, iso=isos, random_state=trial.seed)
    test = make_domain(
        camera,
        N_TEST,
        size=SIDE,
        ratio=[RATIOS[index % len(RATIOS)] for index in range(N_TEST)],
        scenes="mixture-test",
        random_state=_TEST_SEED,
    )
    began = time.process_time()
    with warnings.catch_warnings():  # of what few pairs leave open
        warnings.simplefilter("ignore")
        if trial.denoiser == NO_FIT:
            model = skadl.load_universal(device="cpu")
            info = calibrate_sensor(target)
            model.sensors_ = SensorTable({camera.name: info})
        else:
            model = ADLDenoiser(
                start=trial.denoiser, random_state=trial.seed, device="cpu"
            ).fit(target)
        seconds = time.process_time() - began
        scores = {
            "noisy": score_images(None, test).mean(),
            "PSNR": score_images(model, test).mean(),
        }
    return asdict(trial) | scores | {"CPU seconds": seconds}


def run(trials: Sequence[Trial], path: Path) -> Iterator[dict[str, Any]]:
    """Measure what a CSV file does not hold yet, row by row, and write it there."""
    return measure_missing(trials, asdict, measure, path, digits=3)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over the seeds, and the spread over them."""
    groups = table.groupby(["camera", "mosaic", "denoiser"])
    summary = groups[["noisy", "PSNR"]].mean().round(2)
    summary["spread of PSNR"] = groups["PSNR"].std().round(2)
    summary["seeds"] = groups.size()
    return summary.join(groups["CPU seconds"].mean().round(0)).reset_index()
