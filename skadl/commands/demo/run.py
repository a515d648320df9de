"""The demonstration: a new camera, a network that never saw it, two ways to adapt it.

`run_demo` computes and returns; `page` puts the result into words, `folder` into files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_random_state

from skadl.adaptation.report.report import DataSelectionReport
from skadl.commands.demo.sizes import Budget
from skadl.data.pool import SourcePool
from skadl.datasets import get_camera, make_domain, make_harmful_truth
from skadl.estimators.adl import ADLDenoiser
from skadl.estimators.base import NetworkDenoiser
from skadl.estimators.baselines.fine_tuning import FineTuning
from skadl.estimators.loading import load_universal
from skadl.evaluation.protocols import Score
from skadl.evaluation.scores import evaluate_pairs
from skadl.noise.sensors import SensorTable
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair

SOURCE_CAMERAS = ("SonyA7S2", "NikonD850", "CanonEOS5D4", "IMX686")
N_SOURCE_CAMERAS = 3  # of these, the first that are not the new one
HARMFUL_DOMAIN = "harmful: wrong truth"
START, EVERYTHING, ADL = "start", "all sources", "ADL"


@dataclass(frozen=True)
class Training:
    """One of the trainings to compare."""

    name: str  # short, for tables
    description: str  # what happens, for someone who does not know the name
    estimator: NetworkDenoiser  # not fitted


@dataclass(frozen=True, eq=False)
class DemoData:
    """The simulated pairs."""

    target_pairs: tuple[RawPair, ...]  # the few pairs of the new sensor
    sources: SourcePool  # the other cameras, then the harmful set
    test_pairs: tuple[RawPair, ...]  # of the new sensor, scenes that are in no other
    shown: RawPair  # a larger one, for the picture


@dataclass(frozen=True)
class Row:
    """The score of one training, or of the noisy input."""

    name: str
    score: Score  # with each test scene's in `images`
    seconds: float = 0.0  # of training

    def worst_gain(self, other: Row) -> float:
        """Smallest difference of PSNR to another row on one scene, in dB."""
        return min(
            own.psnr - given.psnr
            for own, given in zip(self.score.images, other.score.images, strict=True)
        )


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demonstration found."""

    target: str  # the new sensor
    budget: Budget
    seed: int
    data: DemoData
    rows: tuple[Row, ...]  # noisy input, start, then the trainings, ADL last
    report: DataSelectionReport  # of ADL
    # The shown image after the start and the trainings, floating-point mosaics.
    denoised: Mapping[str, RawImage]


def run_demo(
    target: str,
    budget: Budget,
    seed: int = 0,
    *,
    verbose: int = 0,
    announce: Callable[[str], None] = lambda sentence: None,
) -> DemoResult:
    """Simulate cameras, take one as new, adapt the universal network to it, measure.

    `seed` is of data and trainings alike. `announce` gets a sentence before each step
    that takes time. A camera that is not known is a ValueError.
    """
    announce("Simulating the cameras")
    data = simulate(target, budget, seed)
    rows = [Row("noisy input", evaluate_pairs(None, data.test_pairs))]
    denoised = {}

    def measure(name: str, model: NetworkDenoiser, seconds: float = 0.0) -> None:
        rows.append(Row(name, evaluate_pairs(model, data.test_pairs), seconds))
        denoised[name] = model.predict(data.shown.noisy, dtype=np.float32)

    announce("Denoising with the network that comes with skadl, without training")
    start = load_universal()
    # What is published of the camera, as `skadl denoise` looks it up for real ones.
    start.sensors_ = SensorTable({target: get_camera(target).info()})
    measure(START, start)
    trainings = make_trainings(budget, seed, verbose)
    for number, training in enumerate(trainings, start=1):
        announce(f"Training {number} of {len(trainings)}: {training.description}")
        began = time.perf_counter()
        model = training.estimator.fit(data.target_pairs, data.sources)
        measure(training.name, model, time.perf_counter() - began)
    return DemoResult(
        target,
        budget,
        seed,
        data,
        tuple(rows),
        model.selection_report_,
        denoised,
    )


def simulate(target: str, budget: Budget, seed: int) -> DemoData:
    """Photograph scenes with all cameras.

    The pairs of the new sensor span its ISO range, so that no test image lies outside
    what was trained on.
    """
    camera = get_camera(target)
    rng = check_random_state(seed)
    others = [name for name in SOURCE_CAMERAS if name != target][:N_SOURCE_CAMERAS]
    each = {"size": budget.side, "random_state": rng}
    domains = {
        name: make_domain(name, budget.n_source_pairs, **each) for name in others
    }
    domains[HARMFUL_DOMAIN] = make_harmful_truth(
        budget.n_source_pairs, camera=others[0], **each
    )
    low, high = camera.iso_range
    isos = np.geomspace(low, high, budget.n_target_pairs).round().clip(low, high)
    target_pairs = make_domain(target, budget.n_target_pairs, iso=isos.tolist(), **each)
    test_pairs = make_domain(target, budget.n_test_pairs, scenes="mixture-test", **each)
    (shown,) = make_domain(
        target,
        1,
        size=budget.shown,
        iso=float(round(low**0.25 * high**0.75)),  # noisy, yet not the extreme
        ratio=camera.ratios[(len(camera.ratios) - 1) // 2],
        scenes="photographs-test",
        random_state=rng,
    )
    return DemoData(tuple(target_pairs), SourcePool(domains), tuple(test_pairs), shown)


def make_trainings(
    budget: Budget, seed: int = 0, verbose: int = 0
) -> tuple[Training, ...]:
    """List the trainings to compare, each of the same number of steps, ADL last."""
    shared = {
        "n_iter": budget.n_iter,
        "n_finetune_iter": budget.n_finetune_iter,
        "random_state": seed,
        "verbose": verbose,
        **budget.steps,
    }
    return (
        Training(
            EVERYTHING,
            "on all other pairs, the harmful ones too, then on the new sensor's",
            FineTuning(start="universal", **shared),
        ),
        Training(
            ADL,
            "adaptive domain learning (ADL), which judges other pairs by what they do "
            "to the new sensor's and leaves out those that seem to harm",
            ADLDenoiser(**shared),
        ),
    )
