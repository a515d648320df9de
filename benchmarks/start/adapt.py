"""What a fit from the universal start gains on a new camera, and what it costs.

The pairs, pools and test images are those of `benchmarks.tables`, and so are "rough"
cameras: row noise as strong as their read noise, a pattern that is the same in each
frame, and blacks that are clipped at the black level.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import skadl
from benchmarks.start.harmful_shares import SHARE_POOLS, spoil_share
from benchmarks.start.resume import measure_missing
from benchmarks.tables.rough import roughen
from benchmarks.tables.run import Run, RunData, Settings
from benchmarks.tables.simulation import NO_POOL, USEFUL, simulate
from skadl.data.pool import SourcePool
from skadl.estimators.adl import ADLDenoiser
from skadl.evaluation.metrics import clipped_psnr
from skadl.noise.sensors import SensorTable
from skadl.raw.pair import RawPair

DIM = ("start, factor 100 or more", "adapted, factor 100 or more")
ACCEPTED = ("useful accepted", "harmful accepted")
HARMED = 0.05  # dB below the start


@dataclass(frozen=True)
class Adaptation:
    """One fit from a start."""

    camera: str
    pairs: int
    pool: str  # of `benchmarks.tables.simulation.POOLS` or `SHARE_POOLS`
    seed: int
    is_rough: bool = False


def make_data(adaptation: Adaptation) -> RunData:
    """Simulate the pairs of a fit and its test images."""
    run = Run(
        adaptation.camera,
        adaptation.seed,
        "clean" if adaptation.pool in SHARE_POOLS else adaptation.pool,
        "adl",
        adaptation.pairs,
        "",
    )
    data = simulate(run, Settings())
    if adaptation.pool in SHARE_POOLS:
        # The same pairs are harmful in the pool and missing in the one without them.
        rng = np.random.default_rng(
            [adaptation.seed, SHARE_POOLS.index(adaptation.pool) // 2]
        )
        data = spoil_share(data, adaptation.pool, rng)
    if not adaptation.is_rough:
        return data
    rng = np.random.default_rng(adaptation.seed)
    return replace(
        data,
        target=[roughen(pair, rng) for pair in data.target],
        test=[roughen(pair, rng) for pair in data.test],
    )


def measure(adaptation: Adaptation, parameters: dict[str, Any]) -> dict[str, Any]:
    """Fit and score: PSNR in dB, times in CPU seconds."""
    data = make_data(adaptation)
    estimator = ADLDenoiser(
        random_state=adaptation.seed, device="cpu", start="universal"
    ).set_params(**parameters)
    sources = None if adaptation.pool == NO_POOL else SourcePool(data.sources)
    with warnings.catch_warnings():  # of what few pairs leave open
        warnings.simplefilter("ignore")
        began = time.process_time()
        estimator.fit(data.target, sources)
        seconds = time.process_time() - began
        universal = skadl.load_universal(device="cpu")
        info = estimator.sensors_.get(adaptation.camera)
        universal.sensors_ = SensorTable({adaptation.camera: info})
        noisy = score_images(None, data.test)
        start, adapted = (score_images(m, data.test) for m in (universal, estimator))
        twice = score_images(estimator, data.test, self_ensemble=2)
        averaged = score_images(estimator, data.test, self_ensemble=8)
    dim = np.array([pair.noisy.ratio >= 100 for pair in data.test])
    return asdict(adaptation) | {
        "noisy": noisy.mean(),
        "start": start.mean(),
        "adapted": adapted.mean(),
        "two turns": twice.mean(),  # of the adapted network
        "self-ensemble": averaged.mean(),
        DIM[0]: start[dim].mean(),
        DIM[1]: adapted[dim].mean(),
        "below start": int((adapted < start - HARMED).sum()),
        "below noisy": int((adapted < noisy - HARMED).sum()),
        "start below noisy": int((start < noisy - HARMED).sum()),
        **_accepted(estimator, data),
        "steps": estimator.n_iter_,
        "cpu_seconds": seconds,
        "note": estimator.selection_report_.notes[-1],
    }


def run(
    adaptations: Sequence[Adaptation], parameters: dict[str, Any], path: Path
) -> Iterator[dict[str, Any]]:
    """Measure what a CSV file does not hold yet, row by row, and write it there."""
    return measure_missing(
        adaptations, asdict, lambda one: measure(one, parameters), path
    )


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over cameras, and the spread of that mean over seeds."""
    table = table.assign(gain=table["adapted"] - table["start"])
    keys = ["is_rough", "pool", "pairs"]
    by_seed = table.groupby([*keys, "seed"])[
        [
            "noisy",
            "start",
            "adapted",
            "gain",
            "two turns",
            "self-ensemble",
            *DIM,
            *ACCEPTED,
            "cpu_seconds",
        ]
    ].mean()
    groups = by_seed.groupby(level=keys)
    summary = groups.mean().round(2)
    summary["spread of adapted"] = groups["adapted"].std().round(2)
    counts = table.groupby(keys)[["below start", "below noisy", "start below noisy"]]
    return summary.join(counts.sum()).reset_index()


def _accepted(estimator: ADLDenoiser, data: RunData) -> dict[str, float]:
    """Share of the source pairs that a fit took at least once."""
    report = estimator.selection_report_
    taken: dict[str, list[bool]] = {"useful": [], "harmful": []}
    for name, kinds in data.kinds.items():
        accepted = report.by_pair(name).accepted if name in report.domains else ()
        for index, kind in enumerate(kinds):
            is_taken = index < len(accepted) and accepted[index] > 0
            taken[USEFUL if kind == USEFUL else "harmful"].append(is_taken)
    return {
        f"{kind} accepted": np.mean(own) if own else np.nan
        for kind, own in taken.items()
    }


def score_images(
    model: ADLDenoiser | None, pairs: Sequence[RawPair], self_ensemble: int = 1
) -> np.ndarray:
    """PSNR of each image, denoised by a model or as it is, in dB."""
    scores = []
    for pair in pairs:
        image = pair.noisy
        if model is not None:
            options = {"dtype": np.float32, "self_ensemble": self_ensemble}
            image = model.predict(image, **options)
        scores.append(clipped_psnr(image.normalised(), pair.clean.normalised()))
    return np.array(scores)
