"""The methods that the paper compares, each with the settings that suit it.

All networks are of one size and take about as many passes as `ADLDenoiser` in the same
campaign; each method keeps the loss and the conditioning of its own recipe.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from skadl.baselines import AnyDenoiser
from sklearn.base import clone

from benchmarks.tables.strategies import (
    STRATEGIES,
    TAKES_NO_SOURCES,
    Strategy,
    Training,
    adl,
    dark_shading,
    fixed_validation,
    no_gate,
    no_renoising,
    pattern_kept,
    pmn,
    random_validation,
    shot_augmented,
)
from skadl import baselines
from skadl.estimators.base import NetworkDenoiser
from skadl.estimators.start import FROM_RANDOM, FROM_TRAINED, SHAPE

USUAL_STEPS = sum(n for name, n in FROM_RANDOM.items() if name.endswith("_iter"))
FEW_IMAGES = 4  # of the test, where each image is trained on

# Parameters of the machine and of the batch; of `ADLDenoiser` and of every baseline.
_SHARED = ("batch_size", "patch_size", "learning_rate", "weight_decay")
_SIZES = ("base_channels", "n_levels", "mlp_width")
_MACHINE = ("precision", "device", "on_bad_pair")


@dataclass(frozen=True)
class Method:
    """A denoiser of the comparison."""

    kind: str  # class of `skadl.baselines`
    # Steps by the name of the parameter, as parts of all steps.
    steps: Mapping[str, float]
    changes: Mapping[str, Any]
    takes_sources: bool = True
    most_test_images: int | None = None
    shares: tuple[str, ...] = (*_SHARED, *_SIZES, *_MACHINE)  # with `ADLDenoiser`

    def __call__(self, training: Training) -> Training:
        """Replace the denoiser of a training; a `Strategy`."""
        kind = getattr(baselines, self.kind)
        known = inspect.signature(kind).parameters
        n_steps = total_steps(training)
        steps = {name: scaled(part, n_steps) for name, part in self.steps.items()}
        shared = {
            name: training.parameters[name] for name in self.shares if name in known
        }
        if not self.takes_sources:
            training = replace(training, sources={})
        return replace(
            training,
            kind=kind,
            parameters={**shared, **steps, **self.changes},
            most_test_images=self.most_test_images,
        )


def total_steps(training: Training) -> int:
    """Count the steps that `ADLDenoiser` would take from random weights."""
    return training.n_steps_before_finetuning + training.parameters["n_finetune_iter"]


def scaled(part: float, n_steps: int) -> int:
    """Return a part of all steps, at least one."""
    return max(1, round(part * n_steps))


class AfterCalibration(AnyDenoiser):
    """A denoiser that starts from noise calibration on the same pairs (Table 2a)."""

    def __init__(
        self,
        calibration: baselines.NoiseCalibration,
        denoiser: NetworkDenoiser,
        random_state: int | None = None,
    ) -> None:
        super().__init__(denoiser)
        self.calibration = calibration
        self.random_state = random_state

    def fit(self, target_pairs, source_pairs=None, meta=None) -> AfterCalibration:
        """Calibrate, and go on from there."""
        seed = {"random_state": self.random_state}
        start = clone(self.calibration).set_params(**seed)
        start.fit(target_pairs, source_pairs, meta)
        denoiser = clone(self.denoiser).set_params(start=start, **seed)
        self.denoiser_ = denoiser.fit(target_pairs, source_pairs, meta)
        self.sensors_ = denoiser.sensors_
        self.device_ = denoiser.device_
        self.selection_report_ = denoiser.selection_report_
        self.n_iter_ = start.n_iter_ + denoiser.n_iter_
        return self


def adl_from_start(training: Training) -> Training:
    """ADL from the network that comes with skadl: its defaults."""
    changes = {"start": "universal", **dict.fromkeys(SHAPE)}
    return training.changed(**changes, source_share=None, **_steps(training))


def adl_alone(training: Training) -> Training:
    """ADL from a trained start without sources."""
    return adl_from_start(replace(training, sources={}))


def start_itself(training: Training) -> Training:
    """Take the network that comes with skadl, told the noise that the pairs show."""
    alone = adl_alone(training)
    return alone.changed(n_iter=0, n_finetune_iter=0, renoised_share=0.0)


@dataclass(frozen=True)
class Changed:
    """A strategy, and a change of what it trains with."""

    first: Strategy
    change: Strategy

    def __call__(self, training: Training) -> Training:
        """Change the training of the first; a `Strategy`."""
        return self.change(self.first(training))


@dataclass(frozen=True)
class Calibrated:
    """Noise calibration from the network that comes with skadl, and a method after."""

    then: Strategy

    def __call__(self, training: Training) -> Training:
        """Replace the denoiser of a training; a `Strategy`."""
        first, last = METHODS["NoiseCalibration-start"](training), self.then(training)
        # Its start is given to it by `AfterCalibration`.
        given = {n: v for n, v in last.parameters.items() if n != "start"}
        parts = {
            "calibration": first.kind(**first.parameters),
            "denoiser": last.kind(**given),
        }
        return replace(last, kind=AfterCalibration, parameters=parts)


def _from_start(kind: str) -> Strategy:
    """Return a plain training from the network that comes with skadl."""
    parts = {name: n / USUAL_STEPS for name, n in _TRAINED_STEPS.items()}
    return Method(kind, parts, _FROM_START)


def _steps(training: Training) -> dict[str, int]:
    """Return the steps of ADL after a trained start, as short as the campaign."""
    n_steps = total_steps(training)
    parts = {name: n / USUAL_STEPS for name, n in _TRAINED_STEPS.items()}
    return {"n_pretrain_iter": 0} | {n: scaled(p, n_steps) for n, p in parts.items()}


_TRAINED_STEPS = {name: FROM_TRAINED[name] for name in ("n_iter", "n_finetune_iter")}
_TWO = {"n_iter": 11 / 12, "n_finetune_iter": 1 / 12}
_LED = {"n_iter": 11 / 12, "n_alignment_iter": 1 / 18, "n_parallel_iter": 1 / 36}
_MZSR = {"n_iter": 3 / 4, "n_meta_iter": 1 / 80}  # of some twenty passes each
# After a trained start, which takes the place of a method's own pre-training.
_ALL_TRAINED = sum(_TRAINED_STEPS.values()) / USUAL_STEPS
_FROM_START = {"start": "universal", **dict.fromkeys(_SIZES)}

METHODS: dict[str, Strategy] = {
    "ADL-start": adl_from_start,
    "start": start_itself,
    "FineTuning-start": _from_start("FineTuning"),
    "TargetOnly-start": replace(_from_start("TargetOnly"), takes_sources=False),
    "JointTraining-start": Method(
        "JointTraining",
        {"n_iter": _ALL_TRAINED},
        _FROM_START,
    ),
    "NoiseCalibration-start": Method(
        "NoiseCalibration", {"n_iter": _ALL_TRAINED}, _FROM_START
    ),
    "TransferLearning-start": Method(
        "TransferLearning",
        {"n_finetune_iter": _ALL_TRAINED},
        {"n_iter": 0, **_FROM_START},
    ),
    "MZSR-start": Method(
        "MZSR", {"n_meta_iter": _MZSR["n_meta_iter"]}, {"n_iter": 0, **_FROM_START}
    ),
    "FineTuning": Method("FineTuning", _TWO, {}),
    "TargetOnly": Method("TargetOnly", _TWO, {}, takes_sources=False),
    "JointTraining": Method("JointTraining", {"n_iter": 1.0}, {}),
    "TransferLearning": Method("TransferLearning", _TWO, {}),
    "Prabhakar": Method("Prabhakar", {"n_iter": 1.0}, {}),
    "MZSR": Method("MZSR", _MZSR, {}),
    "LED": Method("LED", _LED, {}),
    "LED-sources": Method("LED", _LED, {"cameras": "sources"}),
    "NoiseCalibration": Method("NoiseCalibration", {"n_iter": 1.0}, {}),
    "NoiseCalibration-TargetOnly": Calibrated(_from_start("TargetOnly")),
    "NoiseCalibration-FineTuning": Calibrated(_from_start("FineTuning")),
    "NoiseCalibration-ADL": Calibrated(adl_from_start),
    "NoiseCalibration-ADL-single": Calibrated(adl_alone),
}
"""Strategies of Tables 1 and 2, by the name that they have in the tables."""
# On noisy frames alone, with their own rates and batches: their own steps, and how many
# test images they see.
_ALONE = {
    "BM3D": (0, None),
    "DeepImagePrior": (3000, FEW_IMAGES),
    "ZeroShotNoise2Noise": (2000, FEW_IMAGES),
    "Blind2Unblind": (2000, None),
}
LEFT_OUT: dict[str, str] = (
    {}
    if find_spec("bm3d")
    else {"BM3D": "its library is not installed; python -m pip install bm3d"}
)
"""Methods that cannot be measured here, and what to do."""
METHODS |= {
    name: Method(
        name,
        {"n_iter": n_iter / USUAL_STEPS} if n_iter else {},
        {},
        takes_sources=False,
        most_test_images=most,
        shares=(*_MACHINE, *(_SIZES if name == "Blind2Unblind" else ())),
    )
    for name, (n_iter, most) in _ALONE.items()
    if name not in LEFT_OUT
}
_ADDITIONS: dict[str, Strategy] = {
    "shot-augmented": shot_augmented,
    "dark-shading": dark_shading,
    "pmn": pmn,
    "pattern-kept": pattern_kept,
}
_WITH_ADDITIONS = {
    "ADL-start": tuple(_ADDITIONS),
    **dict.fromkeys(("FineTuning-start", "adl", "FineTuning"), tuple(_ADDITIONS)[:3]),
}
ADDED: dict[str, tuple[str, str]] = {
    f"{base}-{addition}" if addition else base: (base, addition)
    for base, additions in _WITH_ADDITIONS.items()
    for addition in ("", *additions)
}
"""Strategies of Table 3: each as another one and what is added to it, if anything."""
PMN: dict[str, Strategy] = {
    name: Changed({"adl": adl, **METHODS}[base], _ADDITIONS[addition])
    for name, (base, addition) in ADDED.items()
    if addition
}
START_ABLATIONS: dict[str, Strategy] = {
    "start-no-gate": Changed(adl_from_start, no_gate),
    "start-fixed-validation": Changed(adl_from_start, fixed_validation),
    "start-random-validation": Changed(adl_from_start, random_validation),
    "start-no-renoising": Changed(adl_from_start, no_renoising),
    "start-no-sources": adl_alone,
}
"""ADL-start without one of its parts."""
EVERY_STRATEGY: dict[str, Strategy] = {
    **STRATEGIES,
    **METHODS,
    **PMN,
    **START_ABLATIONS,
}
WITHOUT_SOURCES = (
    TAKES_NO_SOURCES
    | {"start", "start-no-sources"}
    | {
        name
        for name, method in METHODS.items()
        if (isinstance(method, Method) and not method.takes_sources)
        or (isinstance(method, Calibrated) and method.then is adl_alone)
    }
)
"""Names of all strategies that are measured on no pool of sources."""
