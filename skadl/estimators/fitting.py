"""What every fit of a network begins with: checked pairs, known noise, a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from skadl.adaptation.learner import Learner
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.snapshot import Snapshots
from skadl.adaptation.stages import Schedule
from skadl.data.pool import SourcePool
from skadl.estimators.base import NetworkDenoiser
from skadl.estimators.checkpoints import Checkpoint, describe_data
from skadl.estimators.preparation import Additions, Prepared, prepare
from skadl.estimators.source_choice import choose_pairs, renumber
from skadl.estimators.start import MOST_RATIO, Start
from skadl.estimators.training_pairs import (
    LOSS_WEIGHTINGS,
    ShotNoiseAugmentation,
    symmetry_of,
)
from skadl.estimators.validation import (
    apply_on_bad_pair,
    check_meta,
    check_mosaics,
    check_source_pairs,
    check_target_pairs,
)
from skadl.network.base import ModulatedNetwork
from skadl.network.conditioning import Conditioning
from skadl.noise.sensors import SensorTable
from skadl.raw.pair import RawPair
from skadl.support.device import resolve_device, resolve_precision
from skadl.support.progress import Progress

_DRAWS_A_SCENE = 10


@dataclass(frozen=True, eq=False)
class Fitting:
    """A fit before its first step."""

    parameters: Mapping[str, Any]  # of the estimator, none that the start decides None
    pairs: tuple[RawPair, ...]  # of the target
    domains: Mapping[str, Sequence[RawPair]]  # of the sources
    network: ModulatedNetwork
    conditioning: Conditioning
    data: Prepared
    device: torch.device
    rng: np.random.RandomState
    is_trained: bool  # whether the network denoises already
    left_out: tuple[str, ...]  # notes on pairs left out
    chosen: Mapping[str, np.ndarray]  # positions of `domains` in the whole pool
    snapshots: Snapshots | None  # where training goes on from, and is kept

    def learner(self, network: torch.nn.Module | None = None) -> Learner:
        """Return what trains the network, or another on the same pairs."""
        return Learner(
            self.network if network is None else network,
            resolve_precision(self.parameters["precision"], self.device),
            self.parameters["weight_decay"],
            LOSS_WEIGHTINGS[self.parameters["loss_weighting"]],
        )

    def schedule(self, **changes: Any) -> Schedule:
        """Return the schedule that the parameters describe, with no stage in it."""
        share = self.parameters["shot_noise_augmentation"]
        given = {
            "n_pretrain_iter": 0,
            "n_iter": 0,
            "n_finetune_iter": 0,
            "learning_rate": self.parameters["learning_rate"],
            "finetune_rate": 1.0,
            "batch_size": self.parameters["batch_size"],
            "patch_side": self.data.patch_side,
            "symmetry": symmetry_of(self.network.n_planes),
            "augment": ShotNoiseAugmentation(share) if share else None,
            "source_share": 1.0,
            "domain_rates": {},
            "val_fraction": (0.2, 0.2),
        }
        return Schedule(**{**given, **changes})

    def finish(
        self,
        estimator: NetworkDenoiser,
        report: DataSelectionReport,
        network: ModulatedNetwork | None = None,
    ) -> None:
        """Leave behind what `fit` learned; the network, if not the one begun with."""
        network = self.network if network is None else network
        estimator.module_ = network.requires_grad_(True).eval()
        estimator.sensors_ = self.data.sensors
        estimator.device_ = self.device
        estimator.n_iter_ = sum(stage.n_iter for stage in report.stages)
        of_sensors = [
            f"noise of sensor {name!r}: {note}"
            for name in self.conditioning.sensors
            for note in self.data.sensors.get(name).notes
        ]
        notes = (*self.left_out, *self.data.notes, *of_sensors, *report.notes)
        decisions = renumber(report.decisions, self.chosen)
        report = replace(report, decisions=decisions, notes=notes)
        estimator.selection_report_ = report
        estimator.conditioning_ = self.conditioning


def begin_fit(
    parameters: Mapping[str, Any],
    start: Start,
    target_pairs: Sequence[RawPair],
    source_pairs: SourcePool | Mapping | Sequence[RawPair] | None,
    meta: SensorTable | None,
    checkpoint: Checkpoint | None = None,
) -> Fitting:
    """Check the arguments of `fit`, measure the noise and build the network.

    `parameters` are those of an estimator; `checkpoint` is for one that trains by
    `skadl.adaptation.run.train` alone. TypeError or ValueError for what cannot be used.
    """
    parameters = {**parameters, **start.complete(parameters)}
    pairs = check_target_pairs(target_pairs)
    pool = check_source_pairs(source_pairs, len(pairs))
    pairs, left_out = apply_on_bad_pair(pairs, parameters["on_bad_pair"])
    domains = {} if pool is None else pool.domains
    every_pair = [*pairs, *(pair for d in domains.values() for pair in d)]
    sensors = check_meta(meta, every_pair)
    device = resolve_device(parameters["device"])
    drawn = check_random_state(parameters["random_state"]).randint(
        np.iinfo(np.int32).max, size=2
    )
    seeds = tuple(drawn.tolist()) if checkpoint is None else checkpoint.seeds(drawn)
    rng = np.random.RandomState(seeds[0])
    n_pairs = sum(map(len, domains.values()))
    chosen = choose_pairs(domains, _most_draws(parameters), rng)
    domains = {
        name: tuple(domain[i] for i in chosen[name]) for name, domain in domains.items()
    }
    n_chosen = sum(map(len, domains.values()))
    if n_chosen < n_pairs:
        note = (
            f"{n_chosen} of {n_pairs} source pairs, chosen at random, were prepared: "
            f"n_iter={parameters['n_iter']} iterations train on no more."
        )
        left_out = (*left_out, note)
    names = dict.fromkeys(
        pair.sensor for pair in [*pairs, *(p for d in domains.values() for p in d)]
    )
    conditioning = Conditioning(parameters["conditioning"], tuple(names))
    n_planes = check_mosaics(pairs, domains)
    start = start.for_planes(n_planes)
    network = start.build(parameters, conditioning, device, seeds[1], n_planes)
    data = prepare(
        pairs,
        domains,
        sensors,
        conditioning=conditioning,
        patch_size=parameters["patch_size"],
        multiple=network.multiple,
        additions=Additions(
            renoises=parameters.get("renoised_share", 0) > 0,
            n_own_scenes=_own_scenes(parameters),
            most_ratio=MOST_RATIO if start.is_trained else None,
        ),
        witness=start.witness(parameters["precision"]),
        device=device,
        rng=rng,
        progress=Progress(parameters["verbose"]),
    )
    snapshots = None
    if checkpoint is not None:
        described = describe_data(
            pairs, domains, sensors, data.target.pairs, data.sources, network
        )
        snapshots = checkpoint.snapshots(
            network, conditioning, data.sensors, described, seeds
        )
    return Fitting(
        parameters,
        pairs,
        domains,
        network,
        conditioning,
        data,
        device,
        rng,
        start.is_trained,
        left_out,
        chosen,
        snapshots,
    )


def _own_scenes(parameters: Mapping[str, Any]) -> float:
    """Return how many scenes of skadl's own a fit can use: each is drawn ten times."""
    if not parameters.get("renoised_share"):
        return 0
    n_draws = _source_draws(parameters) * parameters["renoised_share"]
    return np.ceil(n_draws / _DRAWS_A_SCENE)


def _most_draws(parameters: Mapping[str, Any]) -> float:
    """Return how many source pairs a fit draws; unknown, infinity, of a baseline."""
    if "renoised_share" not in parameters:
        return np.inf
    return _source_draws(parameters) * (1 - parameters["renoised_share"])


def _source_draws(parameters: Mapping[str, Any]) -> float:
    """Return how many source pairs the second stage draws, re-noised ones too."""
    n_sources = parameters["source_share"] * parameters["batch_size"]
    return parameters["n_iter"] * n_sources
