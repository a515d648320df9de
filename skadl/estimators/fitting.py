"""A fit of checked arguments: network and data made ready, trained, and described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from skadl.adaptation.gates.choice import make_gate
from skadl.adaptation.learner import Learner
from skadl.adaptation.report.report import DataSelectionReport
from skadl.adaptation.run import train
from skadl.adaptation.snapshot import Snapshots
from skadl.adaptation.stages import Schedule
from skadl.estimators.checkpoints import Checkpoint, describe_data
from skadl.estimators.preparation import prepare
from skadl.estimators.source_choice import choose_pairs, renumber
from skadl.estimators.start import MOST_RATIO, Start
from skadl.estimators.training_pairs import LOSS_WEIGHTINGS, bayer_symmetry
from skadl.network.base import ModulatedNetwork
from skadl.network.conditioning import Conditioning
from skadl.noise.renoising import RENOISED
from skadl.noise.sensors import SensorTable
from skadl.raw.pair import RawPair
from skadl.support.device import resolve_precision
from skadl.support.progress import Progress


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit leaves behind."""

    network: ModulatedNetwork
    conditioning: Conditioning
    sensors: SensorTable  # with noise, given or measured
    report: DataSelectionReport


def fit_network(
    parameters: Mapping[str, Any],
    start: Start,
    pairs: Sequence[RawPair],
    domains: Mapping[str, Sequence[RawPair]],
    sensors: SensorTable,
    *,
    device: torch.device,
    seeds: tuple[int, int],
    checkpoint: Checkpoint | None,
) -> Fitted:
    """Train the network of a start on pairs, sources by domain, and facts of sensors.

    `parameters` are those of `ADLDenoiser`, none of them None that the start completes.
    """
    rng = np.random.RandomState(seeds[0])
    n_source = parameters["source_share"] * parameters["batch_size"]
    n_draws = parameters["n_iter"] * n_source * (1 - parameters["renoised_share"])
    chosen = choose_pairs(domains, n_draws, rng)
    n_pairs = sum(map(len, domains.values()))
    domains = {
        name: tuple(domain[i] for i in chosen[name]) for name, domain in domains.items()
    }
    every_pair = [*pairs, *(pair for d in domains.values() for pair in d)]
    names = dict.fromkeys(pair.sensor for pair in every_pair)
    conditioning = Conditioning(parameters["conditioning"], tuple(names))
    network = start.build(parameters, conditioning, device, seeds[1])
    gate = make_gate(parameters["gate"], int(parameters["queue_size"]))
    progress = Progress(parameters["verbose"])
    if checkpoint is not None:
        gate.memory()  # raises now what would else be raised in the first writing
    data = prepare(
        pairs,
        domains,
        sensors,
        conditioning=conditioning,
        patch_size=parameters["patch_size"],
        multiple=network.multiple,
        renoises=parameters["renoised_share"] > 0,
        most_ratio=MOST_RATIO if start.is_trained else None,
        witness=start.witness(parameters["precision"]),
        device=device,
        rng=rng,
        progress=progress,
    )
    snapshots: Snapshots | None = None
    if checkpoint is not None:
        described = describe_data(
            pairs, domains, sensors, data.target.pairs, data.sources, network
        )
        snapshots = checkpoint.snapshots(
            network, conditioning, data.sensors, described, seeds
        )
    report = train(
        Learner(
            network,
            resolve_precision(parameters["precision"], device),
            parameters["weight_decay"],
            LOSS_WEIGHTINGS[parameters["loss_weighting"]],
        ),
        data.target,
        data.sources,
        gate,
        Schedule(
            n_pretrain_iter=parameters["n_pretrain_iter"],
            n_iter=parameters["n_iter"],
            n_finetune_iter=parameters["n_finetune_iter"],
            learning_rate=parameters["learning_rate"],
            finetune_rate=parameters["finetune_rate"],
            batch_size=parameters["batch_size"],
            patch_side=data.patch_side,
            symmetry=bayer_symmetry,
            source_share=parameters["source_share"],
            domain_rates={RENOISED: parameters["renoised_share"]},
            val_fraction=parameters["val_fraction"],
            least_admitted=0.0 if start.is_trained else 0.5,
        ),
        rng,
        progress,
        start.is_trained,
        snapshots,
    )
    of_sensors = [
        f"noise of sensor {name!r}: {note}"
        for name in conditioning.sensors
        for note in data.sensors.get(name).notes
    ]
    n_chosen = sum(map(len, domains.values()))
    if n_chosen < n_pairs:
        of_sensors.append(
            f"{n_chosen} of {n_pairs} source pairs, chosen at random, were prepared: "
            f"n_iter={parameters['n_iter']} iterations train on no more."
        )
    report = replace(
        report,
        decisions=renumber(report.decisions, chosen),
        notes=(*data.notes, *of_sensors, *report.notes),
    )
    return Fitted(network.eval(), conditioning, data.sensors, report)
