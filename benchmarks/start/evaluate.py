"""PSNR of denoisers on simulated and on real pairs whose noise is known or measured."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.real_pairs import (
    DIM,
    load_pairs,
    measured_figures,
    read_figures,
    sensor_info,
    sky_of,
)
from benchmarks.start.prediction import Denoiser
from benchmarks.start.resume import measure_missing
from benchmarks.start.scenes import Photograph
from benchmarks.start.validation import photograph_pairs
from benchmarks.tables.run import Run, Settings
from benchmarks.tables.simulation import simulate
from skadl import calibrate_sensor
from skadl.datasets import camera_info
from skadl.evaluation.metrics import clipped_psnr
from skadl.noise.sensors import SensorInfo
from skadl.raw.pair import RawPair

BENCHMARK_CAMERAS = ("CanonEOS70D", "NikonD850", "SonyA7S2")
N_PAIRS = 6  # of the target that its noise is measured on
N_SEEDS = 3  # each with its own six pairs; the test images are the same
PHOTOGRAPHS = "photographs"  # a collection
MOST_REAL = 12  # pairs of a file; flats are small, so all of theirs


@dataclass(frozen=True, eq=False)
class Case:
    """A pair to score, and what is known of its sensor."""

    collection: str
    group: str
    pair: RawPair
    info: SensorInfo
    judged: np.ndarray | None = None  # (4, h, w), where; None for everywhere


def benchmark_cases() -> Iterator[Case]:
    """Yield each benchmark camera's 24 test images: noise measured, noise told."""
    for camera in BENCHMARK_CAMERAS:
        for seed in range(N_SEEDS):
            run = Run(camera, seed, "none", "adl", N_PAIRS, "")
            data = simulate(run, Settings())
            with warnings.catch_warnings():  # of what six pairs leave open
                warnings.simplefilter("ignore")
                info = calibrate_sensor(data.target)
            for pair in data.test:
                yield Case("benchmark, noise measured", camera, pair, info)
        for pair in data.test:
            yield Case("benchmark, noise told", camera, pair, camera_info(camera))


def photograph_cases(photographs: list[Photograph]) -> Iterator[Case]:
    """Yield held-out photographs in bands of noise, under cameras of no benchmark."""
    for band, pairs in photograph_pairs(photographs).items():
        for pair in pairs:
            yield Case(PHOTOGRAPHS, band, pair, camera_info(pair.sensor))


def real_cases(folder: Path, table: Path, most: int = MOST_REAL) -> Iterator[Case]:
    """Yield pairs of the files of a folder that the table has figures for."""
    for name, figures in read_figures(table).items():
        path = folder / name
        if not path.exists():
            continue
        ratio = next((r for start, r in DIM.items() if name.startswith(start)), 1.0)
        for pair in load_pairs(path, ratio, 10_000 if "flat" in name else most):
            yield Case("real", path.stem, pair, sensor_info(pair, *figures))


def sky_cases(folder: Path, most: int = MOST_REAL) -> Iterator[Case]:
    """Yield pairs of stars of a folder, told the noise between their stars."""
    for path in sorted(folder.glob("seestar*.npz")):
        pairs = load_pairs(path, 1.0, MOST_REAL)
        with np.load(path) as file:
            gain = float(file["gain_dn_per_e"])
        figures = measured_figures(pairs, gain)
        for pair in pairs[:most]:
            info = sensor_info(pair, *figures)
            yield Case("real, sky", path.stem, pair, info, sky_of(pair))


@dataclass(frozen=True, eq=False)
class Trial:
    """A case under one denoiser."""

    case: Case
    number: int  # of the case in its group
    denoiser: str

    def facts(self) -> dict[str, str | int]:
        """Return the columns that tell its row from others."""
        return {
            "collection": self.case.collection,
            "group": self.case.group,
            "number": self.number,
            "denoiser": self.denoiser,
        }


def score(
    cases: Iterable[Case], denoisers: Mapping[str, Denoiser], path: Path
) -> pd.DataFrame:
    """Add to a CSV file how every denoiser does in every case: one row each.

    What the file holds already is not done again. Its rows tell the camera of a case.
    """
    counts: Counter[tuple[str, str]] = Counter()
    trials = []
    for case in cases:
        group = case.collection, case.group
        trials += [Trial(case, counts[group], name) for name in denoisers]
        counts[group] += 1

    def measure(trial: Trial) -> dict[str, Any]:
        case = trial.case
        clean = case.pair.clean.normalised()
        where = ... if case.judged is None else case.judged
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            planes = denoisers[trial.denoiser](case.pair.noisy, case.info)
        psnr = float(clipped_psnr(planes[where], clean[where]))  # dB
        scene, ratio = case.pair.scene, case.pair.noisy.ratio
        facts = {**trial.facts(), "camera": case.pair.sensor, "scene": scene}
        return {**facts, "iso": case.pair.iso, "ratio": ratio, "psnr": psnr}

    for _ in measure_missing(trials, Trial.facts, measure, path):
        pass
    return pd.read_csv(path)


def tabulate(
    scores: pd.DataFrame, collection: str, column: str = "group"
) -> pd.DataFrame:
    """Mean PSNR by denoiser and group, or camera, with the mean of these below."""
    rows = scores[scores["collection"] == collection]
    names = list(dict.fromkeys(rows["denoiser"]))
    groups = list(dict.fromkeys(rows[column].dropna()))
    table = rows.pivot_table("psnr", column, "denoiser", "mean").loc[groups, names]
    table.loc["mean"] = table.mean()
    return table.round(2)


def by_ratio(scores: pd.DataFrame, collection: str) -> pd.DataFrame:
    """Mean PSNR by light factor and denoiser."""
    rows = scores[scores["collection"] == collection]
    names = list(dict.fromkeys(rows["denoiser"]))
    return rows.pivot_table("psnr", "ratio", "denoiser", "mean")[names].round(2)


def harm(scores: pd.DataFrame, collection: str) -> pd.DataFrame:
    """Of each denoiser: its worst change of an image, and how many lost 0.05 dB."""
    rows = scores[scores["collection"] == collection]
    table = rows.pivot_table("psnr", ["group", "number"], "denoiser", "mean")
    change = table.sub(table["noisy"], axis=0).drop(columns="noisy")
    return pd.DataFrame(
        {"worst change": change.min().round(2), "harmed": (change < -0.05).sum()}
    )
