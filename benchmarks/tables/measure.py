"""One run from its data to its rows of figures."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.tables.dataset import DatasetSettings
from benchmarks.tables.dataset_pairs import take_pairs
from benchmarks.tables.memory import MemoryPeak
from benchmarks.tables.methods import EVERY_STRATEGY
from benchmarks.tables.run import Run, RunData, Settings
from benchmarks.tables.simulation import HARMFUL, USEFUL, simulate
from benchmarks.tables.strategies import Training, make_estimator
from skadl.adaptation.report import DataSelectionReport, DecisionRecorder
from skadl.data.pool import SourcePool
from skadl.estimators.base import RawDenoiser
from skadl.evaluation.scores import evaluate_pairs
from skadl.raw.image import RawImage
from skadl.screening import screen_pairs
from skadl.support.threads import limited_threads

NO_REPORT = DataSelectionReport(DecisionRecorder({}).finish(), [], [])
TOLERANCE = 0.05  # dB below the noisy input that is not yet worse
KINDS = ("useful", "renoised", *HARMFUL, "planted")
"""Source data by what a selection should do with it: take the first two."""
RECORDED = ("adl", "adl-queue", "adl-paired")
"""Strategies whose every source pair is recorded; of all, it would fill files."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What a run leaves behind."""

    run: Run
    summary: dict[str, Any]  # the run's one row
    images: pd.DataFrame  # one row for each test image
    # One row for each source pair, where something harmful was to be left out and the
    # strategy is one of `RECORDED`; else no rows.
    selection: pd.DataFrame
    report: DataSelectionReport


def measure(
    run: Run, settings: Settings | DatasetSettings, n_threads: int = 1
) -> Measured:
    """Train once and measure on the test images, under the protocol of the settings."""
    data = (simulate if settings.is_simulated else take_pairs)(run, settings)
    given = Training(
        settings.parameters, data.target, data.sources, data.test, darks=data.darks
    )
    with limited_threads(n_threads):
        training = EVERY_STRATEGY[run.strategy](given)
        estimator = make_estimator(training, run.seed)
        sources = SourcePool(training.sources) if training.sources else None
        memory = MemoryPeak()
        wall, cpu = time.perf_counter(), time.process_time()
        estimator.fit(training.target, sources, meta=training.meta)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        fit_memory = memory.mebibytes()
        rules = {"protocol": settings.protocol}
        # `no-iso` tests on images of its own, in the same order.
        places = spread(len(data.test), training.most_test_images)
        test, untouched = (
            [pairs[i] for i in places] for pairs in (training.test, data.test)
        )
        timed = _Timed(estimator)
        scored = evaluate_pairs(timed, test, **rules).images
        unchanged = evaluate_pairs(None, untouched, **rules).images
    scores, ssims = (
        np.array([getattr(s, n) for s in scored]) for n in ("psnr", "ssim")
    )
    noisy = np.array([score.psnr for score in unchanged])
    key = asdict(run)
    gains = scores - noisy
    report = getattr(estimator, "selection_report_", NO_REPORT)
    summary = key | {
        "n_steps": getattr(estimator, "n_iter_", 0),
        "noisy": noisy.mean(),
        "psnr": scores.mean(),
        "ssim": ssims.mean(),
        "protocol": settings.protocol,
        "gain": gains.mean(),
        "worst_gain": gains.min(),
        "n_worse": int((gains < -TOLERANCE).sum()),
        **count_batches(report, data),
        "device": str(getattr(estimator, "device_", "cpu")),
        "seconds": wall,
        "cpu_seconds": cpu,
        "fit_mib": fit_memory,
        "seconds_per_megapixel": timed.seconds / timed.megapixels,
        "n_test": len(test),
    }
    images = pd.DataFrame(
        {
            "image": places,
            "scene": [pair.scene for pair in untouched],
            "iso": [pair.iso for pair in untouched],
            "ratio": [pair.ratio for pair in untouched],
            "noisy": noisy,
            "psnr": scores,
            "ssim": ssims,
            "protocol": settings.protocol,
        }
    )
    images = images.assign(**key)[[*key, *images]]
    selection = pd.DataFrame()
    if run.strategy in RECORDED and harms(data):
        selection = describe_pairs(report, data)
        selection = selection.assign(**key)[[*key, *selection]]
    return Measured(run, summary, images, selection, report)


class _Timed:
    """A denoiser that counts its pixels and the seconds that they take."""

    def __init__(self, denoiser: RawDenoiser) -> None:
        self.denoiser = denoiser
        self.seconds = self.megapixels = 0.0

    def denoise_planes(self, image: RawImage) -> np.ndarray:
        """As that of the denoiser."""
        start = time.perf_counter()
        planes = self.denoiser.denoise_planes(image)
        self.seconds += time.perf_counter() - start
        self.megapixels += planes.size / 1e6
        return planes


def spread(n_images: int, most: int | None) -> np.ndarray:
    """Places of at most so many images, from the first to the last.

    >>> spread(10, 4), spread(3, None)
    (array([0, 3, 6, 9]), array([0, 1, 2]))
    """
    size = n_images if most is None else min(most, n_images)
    return np.linspace(0, n_images - 1, size).round().astype(int)


def count_batches(report: DataSelectionReport, data: RunData) -> dict[str, int]:
    """Count batches by kind: ``offered_*`` and ``accepted_*`` for each of `KINDS`.

    Of a domain with some harmful pairs its batches count as useful, and what was drawn
    of the harmful pairs is counted pair by pair as planted.
    """
    offered = dict.fromkeys(KINDS, 0)
    accepted = dict.fromkeys(KINDS, 0)
    for domain in report.by_domain():
        name = domain.domain
        kind = USEFUL if name in data.kinds else "renoised"
        kind = name if name in HARMFUL else kind
        offered[kind] += domain.offered
        accepted[kind] += domain.accepted
        if kind == USEFUL:
            pairs = report.by_pair(name)
            own_kinds = np.array(data.kinds[name][: len(pairs.offered)])
            offered["planted"] += int(pairs.offered[own_kinds != USEFUL].sum())
            accepted["planted"] += int(pairs.accepted[own_kinds != USEFUL].sum())
    counts = {f"offered_{kind}": n for kind, n in offered.items()}
    return counts | {f"accepted_{kind}": n for kind, n in accepted.items()}


def describe_pairs(report: DataSelectionReport, data: RunData) -> pd.DataFrame:
    """Say of each source pair how its batches fared, a row each.

    ``offered`` and ``accepted`` count batches that held it, twice if it was drawn
    twice; ``margin`` is score minus threshold, mean over its batches that had both;
    ``oddness`` is the score of `skadl.screening`, which needs no training.
    """
    table = report.decisions
    per_pair = np.repeat(table.score - table.threshold, np.diff(table.offsets))
    codes = np.repeat(table.domain_code, np.diff(table.offsets))
    rows = []
    for name, pairs in data.sources.items():
        counts = report.by_pair(name)
        in_domain = codes == report.domains.index(name)
        judged = zip(pairs, data.kinds[name], screen_pairs(pairs), strict=True)
        for index, (pair, kind, screening) in enumerate(judged):
            is_seen = index < len(counts.offered)
            margins = per_pair[in_domain & (table.pair_id == index)]
            margins = margins[np.isfinite(margins)]
            rows.append(
                {
                    "domain": name,
                    "pair": index,
                    "iso": pair.iso,
                    "kind": kind,
                    "offered": int(counts.offered[index]) if is_seen else 0,
                    "accepted": int(counts.accepted[index]) if is_seen else 0,
                    "margin": margins.mean() if margins.size else np.nan,
                    "oddness": screening.score,
                }
            )
    return pd.DataFrame(rows)


def harms(data: RunData) -> bool:
    """Tell whether any source pair should be left out."""
    return any(kind != USEFUL for kinds in data.kinds.values() for kind in kinds)
