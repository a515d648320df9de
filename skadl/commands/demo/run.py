"""The demonstration: a new camera, three ways to train a denoiser for it, compared.

`run_demo` computes and returns; `page` puts the result into words, `folder` into files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skadl.adaptation.report.report import DataSelectionReport
from skadl.commands.demo.sizes import Budget
from skadl.data.pool import SourcePool
from skadl.datasets import (
    camera_names,
    get_camera,
    make_domain,
    make_harmful_noise,
    make_harmful_truth,
)
from skadl.estimators.adl import ADLDenoiser
from skadl.evaluation.protocols import Score
from skadl.evaluation.scores import evaluate_pairs
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair

HARMFUL_DOMAINS = ("harmful: wrong noise", "harmful: wrong truth")


@dataclass(frozen=True)
class Training:
    """One of the trainings to compare."""

    name: str  # short, for tables
    description: str  # what happens, for someone who does not know the name
    uses_sources: bool
    parameters: Mapping[str, Any]  # of `ADLDenoiser`, where the trainings differ


@dataclass(frozen=True, eq=False)
class DemoData:
    """The simulated pairs."""

    target_pairs: tuple[RawPair, ...]  # the few pairs of the new sensor
    sources: SourcePool  # the other cameras, then the harmful sets
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
    rows: tuple[Row, ...]  # noisy input, then the trainings, ADL last
    report: DataSelectionReport  # of ADL
    denoised: RawImage  # the shown image after ADL, with a floating-point mosaic


def run_demo(
    target: str,
    budget: Budget,
    seed: int = 0,
    *,
    verbose: int = 0,
    announce: Callable[[str], None] = lambda sentence: None,
) -> DemoResult:
    """Simulate cameras, take one as new, train denoisers for it and measure them.

    `seed` is of data and trainings alike. `announce` gets a sentence before each step
    that takes time. A camera that is not known is a ValueError.
    """
    announce("Simulating the cameras")
    data = simulate(target, budget, seed)
    rows = [Row("noisy input", evaluate_pairs(None, data.test_pairs))]
    trainings = make_trainings(budget)
    for number, training in enumerate(trainings, start=1):
        announce(f"Training {number} of {len(trainings)}: {training.description}")
        start = time.perf_counter()
        model = fit(training, data, budget, seed, verbose)
        seconds = time.perf_counter() - start
        score = evaluate_pairs(model, data.test_pairs)
        rows.append(Row(training.name, score, seconds))
    return DemoResult(
        target,
        budget,
        seed,
        data,
        tuple(rows),
        model.selection_report_,
        model.predict(data.shown.noisy, dtype=np.float32),
    )


def simulate(target: str, budget: Budget, seed: int) -> DemoData:
    """Photograph scenes with all cameras.

    The pairs of the new sensor span its ISO range, so that no test image lies outside
    what was trained on.
    """
    rng = check_random_state(seed)
    others = [name for name in camera_names() if name != target]
    each = {"size": budget.side, "random_state": rng}
    domains = {
        name: make_domain(name, budget.n_source_pairs, **each) for name in others
    }
    for domain, make, camera in zip(
        HARMFUL_DOMAINS, (make_harmful_noise, make_harmful_truth), others, strict=False
    ):
        domains[domain] = make(budget.n_source_pairs, camera=camera, **each)
    low, high = get_camera(target).iso_range
    isos = np.geomspace(low, high, budget.n_target_pairs).round().clip(low, high)
    target_pairs = make_domain(target, budget.n_target_pairs, iso=isos.tolist(), **each)
    test_pairs = make_domain(target, budget.n_test_pairs, scenes="mixture-test", **each)
    ratios = get_camera(target).ratios
    (shown,) = make_domain(
        target,
        1,
        size=budget.shown,
        iso=float(round(low**0.25 * high**0.75)),  # noisy, yet not the extreme
        ratio=ratios[(len(ratios) - 1) // 2],
        scenes="photographs-test",
        random_state=rng,
    )
    return DemoData(tuple(target_pairs), SourcePool(domains), tuple(test_pairs), shown)


def make_trainings(budget: Budget) -> tuple[Training, ...]:
    """List the trainings to compare, each of the same number of steps, ADL last."""
    before_finetuning = budget.n_pretrain_iter + budget.n_iter
    return (
        Training(
            "target only",
            "on the new sensor's own pairs only",
            False,
            {"n_pretrain_iter": before_finetuning, "n_iter": 0},
        ),
        Training(
            "sources, then target",
            "on all other pairs, the harmful ones too, then on the new sensor's",
            True,
            {
                "gate": "none",
                "source_share": 1.0,
                "renoised_share": 0.0,
                "n_pretrain_iter": 0,
                "n_iter": before_finetuning,
            },
        ),
        Training(
            "ADL",
            "adaptive domain learning (ADL), which judges other pairs by what they do "
            "to the new sensor's and leaves out those that seem to harm",
            True,
            {"n_pretrain_iter": budget.n_pretrain_iter, "n_iter": budget.n_iter},
        ),
    )


def fit(
    training: Training, data: DemoData, budget: Budget, seed: int, verbose: int = 0
) -> ADLDenoiser:
    """Train a denoiser in one of the ways."""
    model = ADLDenoiser(
        start="random",
        **budget.network,
        **training.parameters,
        n_finetune_iter=budget.n_finetune_iter,
        random_state=seed,
        verbose=verbose,
    )
    sources = data.sources if training.uses_sources else None
    return model.fit(data.target_pairs, source_pairs=sources)
