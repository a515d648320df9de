"""The demonstration: a new camera, three ways to train a denoiser for it, compared.

`run_demo` computes and returns; `skadl.demo_files` turns the result into words and
files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skadl.adaptation.report.report import DataSelectionReport
from skadl.data.pool import SourcePool
from skadl.datasets import (
    camera_names,
    get_camera,
    make_domain,
    make_harmful_noise,
    make_harmful_truth,
)
from skadl.estimators.adl import ADLDenoiser
from skadl.evaluation.metrics import psnr, ssim
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair


@dataclass(frozen=True)
class Budget:
    """How much data and training a demonstration gets.

    Parameters
    ----------
    n_target_pairs, n_test_pairs : int
        Pairs of the new sensor, to fit on and to measure on.
    n_source_pairs : int
        Pairs of each other camera and of each harmful set.
    side : int
        Side of these mosaics, in pixels.
    shown : tuple of two ints
        Height and width of the mosaic of the picture, in pixels.
    n_pretrain_iter, n_iter, n_finetune_iter : int
        Iterations of the three stages of ADL; the other trainings take as many in
        total.
    duration : str
        What to tell who waits.
    network : mapping of str to object
        Further parameters of `ADLDenoiser`, the same for all trainings.
    """

    n_target_pairs: int
    n_source_pairs: int
    n_test_pairs: int
    side: int
    shown: tuple[int, int]
    n_pretrain_iter: int
    n_iter: int
    n_finetune_iter: int
    duration: str
    network: Mapping[str, Any] = field(default_factory=dict)


SIZES = {
    "tiny": Budget(
        n_target_pairs=20,
        n_source_pairs=8,
        n_test_pairs=8,
        side=128,
        shown=(320, 480),
        n_pretrain_iter=100,
        n_iter=300,
        n_finetune_iter=100,
        duration="half a minute",
        network={"base_channels": 8, "n_levels": 3, "patch_size": 32},
    ),
    "full": Budget(
        n_target_pairs=20,
        n_source_pairs=40,
        n_test_pairs=24,
        side=256,
        shown=(320, 480),
        n_pretrain_iter=300,
        n_iter=1400,
        n_finetune_iter=300,
        duration="four minutes",
    ),
}
"""Budgets by name: all that decides how long the demonstration takes."""

DEFAULT_TARGET = "CanonEOS70D"
HARMFUL_DOMAINS = ("harmful: wrong noise", "harmful: wrong truth")


@dataclass(frozen=True)
class Training:
    """One of the trainings to compare.

    Parameters
    ----------
    name : str
        Short, for tables.
    description : str
        What happens, for someone who does not know the name.
    uses_sources : bool
    parameters : mapping of str to object
        Of `ADLDenoiser`, where they differ between the trainings.
    """

    name: str
    description: str
    uses_sources: bool
    parameters: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class DemoData:
    """The simulated pairs.

    Parameters
    ----------
    target_pairs : tuple of RawPair
        The few pairs of the new sensor.
    sources : SourcePool
        The other cameras, then the harmful sets.
    test_pairs : tuple of RawPair
        Pairs of the new sensor with scenes that are in no other pair. Their
        mosaics are floating point, so that predictions are not rounded.
    shown : RawPair
        A larger one, for the picture.
    """

    target_pairs: tuple[RawPair, ...]
    sources: SourcePool
    test_pairs: tuple[RawPair, ...]
    shown: RawPair


@dataclass(frozen=True)
class Score:
    """How close images come to the clean ones, one value for each test scene.

    Parameters
    ----------
    name : str
        Training, or "noisy input".
    psnr : tuple of float
        In dB, as in `ADLDenoiser.score`.
    ssim : tuple of float
    seconds : float
        Training time.
    """

    name: str
    psnr: tuple[float, ...]
    ssim: tuple[float, ...]
    seconds: float = 0.0

    @property
    def mean_psnr(self) -> float:
        """Mean over the scenes, in dB."""
        return float(np.mean(self.psnr))

    @property
    def mean_ssim(self) -> float:
        """Mean over the scenes."""
        return float(np.mean(self.ssim))

    def worst_gain(self, other: Score) -> float:
        """Smallest difference of PSNR to `other` on one scene, in dB."""
        return float(np.min(np.subtract(self.psnr, other.psnr)))


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demonstration found.

    Parameters
    ----------
    target : str
        The new sensor.
    budget : Budget
    seed : int
    data : DemoData
    scores : tuple of Score
        Noisy input, then the trainings, ADL last.
    report : DataSelectionReport
        Of ADL.
    denoised : RawImage
        The shown image after ADL, with a floating-point mosaic.
    """

    target: str
    budget: Budget
    seed: int
    data: DemoData
    scores: tuple[Score, ...]
    report: DataSelectionReport
    denoised: RawImage


def run_demo(
    target: str = DEFAULT_TARGET,
    size: str | Budget = "full",
    seed: int = 0,
    *,
    verbose: int = 0,
    announce: Callable[[str], None] = lambda sentence: None,
) -> DemoResult:
    """Simulate cameras, take one as new, train denoisers for it and measure them.

    Parameters
    ----------
    target : str, default="CanonEOS70D"
        One of `skadl.datasets.camera_names()`.
    size : str or Budget, default="full"
        One of `SIZES`, or a budget of your own.
    seed : int, default=0
        Of data and trainings alike.
    verbose : int, default=0
        1 shows progress bars.
    announce : callable, optional
        Called with a sentence before each step that takes time.

    Returns
    -------
    DemoResult

    Raises
    ------
    ValueError
        If the camera or the size is not known.
    """
    if not isinstance(size, Budget) and size not in SIZES:
        raise ValueError(f"size must be one of {list(SIZES)}, got {size!r}.")
    budget = size if isinstance(size, Budget) else SIZES[size]
    announce("Simulating the cameras")
    data = simulate(target, budget, seed)
    scores = [_score("noisy input", [p.noisy for p in data.test_pairs], data)]
    trainings = make_trainings(budget)
    for number, training in enumerate(trainings, start=1):
        announce(f"Training {number} of {len(trainings)}: {training.description}")
        start = time.perf_counter()
        model = fit(training, data, budget, seed, verbose)
        seconds = time.perf_counter() - start
        denoised = model.predict([pair.noisy for pair in data.test_pairs])
        scores.append(_score(training.name, denoised, data, seconds))
    return DemoResult(
        target,
        budget,
        seed,
        data,
        tuple(scores),
        model.selection_report_,
        model.predict(data.shown.noisy),
    )


def simulate(target: str, budget: Budget, seed: int) -> DemoData:
    """Photograph scenes with all cameras.

    Parameters
    ----------
    target : str
    budget : Budget
    seed : int

    Returns
    -------
    DemoData
        The pairs of the new sensor span its ISO range, so that no test image lies
        outside what was trained on.
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
    return DemoData(
        tuple(target_pairs),
        SourcePool(domains),
        tuple(_with_float_mosaic(pair) for pair in test_pairs),
        _with_float_mosaic(shown),
    )


def make_trainings(budget: Budget) -> tuple[Training, ...]:
    """List the trainings to compare, each of the same number of steps.

    Parameters
    ----------
    budget : Budget

    Returns
    -------
    tuple of Training
        ADL last.
    """
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
    """Train a denoiser in one of the ways.

    Parameters
    ----------
    training : Training
    data : DemoData
    budget : Budget
    seed : int
    verbose : int, default=0
        1 shows progress bars.

    Returns
    -------
    ADLDenoiser
    """
    model = ADLDenoiser(
        **budget.network,
        **training.parameters,
        n_finetune_iter=budget.n_finetune_iter,
        random_state=seed,
        verbose=verbose,
    )
    sources = data.sources if training.uses_sources else None
    return model.fit(data.target_pairs, source_pairs=sources)


def _score(
    name: str, images: Sequence[RawImage], data: DemoData, seconds: float = 0.0
) -> Score:
    planes = [
        (np.clip(image.normalised(), 0, 1), np.clip(pair.clean.normalised(), 0, 1))
        for image, pair in zip(images, data.test_pairs, strict=True)
    ]
    return Score(
        name,
        tuple(psnr(image, clean) for image, clean in planes),
        tuple(ssim(image, clean) for image, clean in planes),
        seconds,
    )


def _with_float_mosaic(pair: RawPair) -> RawPair:
    noisy = pair.noisy.with_mosaic(pair.noisy.mosaic.astype(np.float32))
    return RawPair(noisy, pair.clean, pair.scene)
