"""The part of a checkpoint that a model file has not: how its training goes on.

A checkpoint is a model file of the network as it was, with the optimizer's moments, the
random state, the gate's memory, and what tells the fit from others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skadl.adaptation.learner import MOMENTS
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.snapshot import STAGES, RandomState, Snapshot
from skadl.network.base import ModulatedNetwork
from skadl.support.strictjson import check_int, check_names, check_strings, check_type

TRAINING_PREFIX = "training."  # of names of tensors
BEFORE = "before"  # fine-tuning
_KEY = TRAINING_PREFIX + "random_state"
_KEY_LENGTH = 624  # of the Mersenne Twister
_RECORD = {
    "stage": str,
    "iteration": int,
    "n_iter": int,
    "n_skipped": int,
    "random_state": list,
    "gate": dict,
    "held_out": list,
    "watch": list,
    "fit": dict,
}
_MOST = 2**40  # iterations


@dataclass(frozen=True, eq=False)
class Training:
    """Where a training stands, and which fit it is of."""

    snapshot: Snapshot
    fit: FitRecord

    @property
    def place(self) -> str:
        """How far the training had come, in words."""
        reached = self.snapshot
        return f"iteration {reached.iteration} of {reached.n_iter} of {reached.stage}"


@dataclass(frozen=True)
class FitRecord:
    """What one fit must share with another to be the same; all of it as text.

    `same` must agree, or the fit is another; where `alike` differs, the end of the fit
    may differ in the last bits. Both are by what they describe.
    """

    seeds: tuple[int, int]
    same: Mapping[str, str]
    alike: Mapping[str, str]


def describe_training(training: Training) -> dict[str, Any]:
    """Return what goes into the description, as plain values."""
    snapshot, fit = training.snapshot, training.fit
    state = snapshot.random_state
    return {
        "stage": snapshot.stage,
        "iteration": snapshot.iteration,
        "n_iter": snapshot.n_iter,
        "n_skipped": snapshot.n_skipped,
        "random_state": [state.position, state.has_gauss, state.cached_gaussian],
        "gate": dict(snapshot.gate),
        "held_out": list(snapshot.held_out),
        "watch": list(snapshot.watch),
        "fit": {
            "seeds": list(fit.seeds),
            "same": dict(fit.same),
            "alike": dict(fit.alike),
        },
    }


def training_arrays(
    training: Training, network: ModulatedNetwork
) -> dict[str, np.ndarray]:
    """Return what goes into tensors beside the weights, by name."""
    snapshot = training.snapshot
    names = [name for name, _ in network.named_parameters()]
    arrays = {
        f"{TRAINING_PREFIX}{kind}.{name}": array
        for kind, of_kind in snapshot.learner.items()
        if kind != "weights"
        for name, array in zip(names, of_kind, strict=True)
    }
    return arrays | {_KEY: snapshot.random_state.key}


def training_shapes(
    record: Mapping[str, Any], network: ModulatedNetwork
) -> dict[str, tuple[str, list[int]]]:
    """Return type and shape of each tensor of `training_arrays` that there must be."""
    kinds = MOMENTS + ((BEFORE,) if record.get("stage") == STAGES[-1] else ())
    shapes = {
        f"{TRAINING_PREFIX}{kind}.{name}": (
            "F32",
            [] if kind == "step" else list(parameter.shape),
        )
        for kind in kinds
        for name, parameter in network.named_parameters()
    }
    return shapes | {_KEY: ("U32", [_KEY_LENGTH])}


def parse_training(
    record: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
    network: ModulatedNetwork,
    report: DataSelectionReport,
) -> Training:
    """Check and put together what `describe_training` and `training_arrays` wrote."""
    check_names("training", record, _RECORD, _RECORD)
    for name, kind in _RECORD.items():
        check_type(f"{name} of training", record[name], kind)
    if record["stage"] not in STAGES:
        raise ValueError(f"a stage of training is one of {list(STAGES)}")
    for name in ("iteration", "n_iter", "n_skipped"):
        check_int(f"{name} of training", record[name], 0, _MOST)
    for member in record["held_out"]:
        check_int("a pair held out", member, 0, _MOST)
    learner = {"weights": [p.detach().numpy() for p in network.parameters()]}
    names = [name for name, _ in network.named_parameters()]
    for kind in (*MOMENTS, BEFORE):
        found = [arrays.get(f"{TRAINING_PREFIX}{kind}.{name}") for name in names]
        if found[0] is not None:
            learner[kind] = found
    snapshot = Snapshot(
        record["stage"],
        record["iteration"],
        record["n_iter"],
        learner,
        _parse_random_state(record["random_state"], arrays[_KEY]),
        record["gate"],
        tuple(record["held_out"]),
        report,
        _parse_watch(record["watch"]),
        record["n_skipped"],
    )
    return Training(snapshot, _parse_fit(record["fit"]))


def _parse_random_state(values: Sequence[Any], key: np.ndarray) -> RandomState:
    if len(values) != 3:
        raise ValueError("a random state has three numbers beside its key")
    position, has_gauss, cached = values
    check_int("position of the random state", position, 0, _KEY_LENGTH)
    check_int("has_gauss of the random state", has_gauss, 0, 1)
    check_type("cached_gaussian of the random state", cached, float)
    return RandomState(key, position, has_gauss, cached)


def _parse_watch(values: Sequence[Any]) -> tuple[bool, int]:
    if len(values) != 2:
        raise ValueError("the watch over the acceptance has two values")
    check_type("watch of training", values[0], bool)
    check_int("watch of training", values[1], 0, _MOST)
    return values[0], values[1]


def _parse_fit(record: dict[str, Any]) -> FitRecord:
    needed = ("seeds", "same", "alike")
    check_names("fit of training", record, needed, needed)
    check_type("seeds", record["seeds"], list)
    if len(record["seeds"]) != 2:
        raise ValueError("a fit has two seeds")
    for seed in record["seeds"]:
        check_int("a seed", seed, 0, 2**32 - 1)
    for name in ("same", "alike"):
        check_type(f"{name} of fit", record[name], dict)
        check_strings(f"{name} of fit", list(record[name].values()))
    return FitRecord(tuple(record["seeds"]), record["same"], record["alike"])
