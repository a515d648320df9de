"""How fast a training step is, and how much the gate adds to it.

(a) `Learner.step` against a plain PyTorch loop of the same network (NCHW, float32,
one module for each MLP, default AdamW), interleaved in one process;
(b) the gate's bookkeeping, (c) its validation forward and (d) the cutting of patches
as shares of the default step. (b) and (d) are taken inside the real adaptation loop.
"""

from __future__ import annotations

import copy
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from benchmarks.speed.plain_unet import PlainUNet, plain_twin
from benchmarks.speed.step_networks import LEARNING_RATE, draw_learner, plain_step
from benchmarks.speed.step_tables import (
    GATES,
    READING,
    VALIDATION_SIZES,
    tabulate_parts,
    tabulate_steps,
)
from skadl import ADLDenoiser, RawPair, SensorTable, SourcePool
from skadl.adaptation.gates import Gate, Trial, Verdict, make_gate
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import Batch, cut_patches, select
from skadl.datasets import make_domain
from skadl.estimators.preparation import Additions, prepare
from skadl.estimators.training_pairs import symmetry_of
from skadl.network.choice import build_network
from skadl.network.conditioning import Conditioning
from skadl.network.unet import ModulatedUNet

CPU = torch.device("cpu")
MLP_WIDTH = 32
LOOP_PARTS = {
    "loop step": "step",
    "bookkeeping": "rest",
    "validation": "evaluate",
    "patch cutting": "cut",
}
N_WARM_UP = 2


@click.command(name="step")
@click.option("--network", "networks", multiple=True, default=["16/4", "32/5"])
@click.option("--side", "sides", type=int, multiple=True, default=[128, 64])
@click.option("--batch-size", default=8)
@click.option("--rounds", default=15, help="Timed calls of every contestant.")
@click.option("--iterations", default=40, help="Of the adaptation loop.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    networks: Sequence[str],
    sides: Sequence[int],
    batch_size: int,
    rounds: int,
    iterations: int,
    folder: Path,
) -> None:
    """Time training steps and what the gate adds to them."""
    load = os.getloadavg()
    timings = []
    for side in sides:
        batch, validation = prepare_batches(side, batch_size)
        for name in networks:
            size = tuple(map(int, name.split("/")))
            click.echo(f"{name}, {batch_size} x 4 x {side} x {side}")
            network = draw_network(batch.metadata.shape[1], *size)
            check_twins(network, plain_twin(network), batch)
            frames = [time_steps(network, batch, validation, rounds)]
            frames += [time_adaptation(g, *size, side, iterations) for g in GATES]
            timings += [frame.assign(network=name, side=side) for frame in frames]
    timings = pd.concat(timings, ignore_index=True)
    folder.mkdir(parents=True, exist_ok=True)
    timings.to_csv(folder / "step.csv", index=False, float_format="%.4f")
    write_markdown(
        folder / "step.md",
        "A training step, and what the gate adds to it",
        {
            "Training step, ms": tabulate_steps(timings),
            "What an adaptation adds, as shares of a step": tabulate_parts(timings),
            "Reading": READING,
        },
        load,
    )
    click.echo((folder / "step.md").read_text(encoding="utf-8"))


def simulate(side: int) -> tuple[list[RawPair], SourcePool]:
    """Make twenty target and twenty source pairs that patches fit into."""
    size = 2 * (side + 32)
    target = make_domain("CanonEOS70D", 20, size=size, random_state=0)
    source = make_domain("SonyA7S2", 20, size=size, random_state=1)
    return target, SourcePool(source)


def prepare_batches(side: int, batch_size: int) -> tuple[Batch, Batch]:
    """Cut a training batch and the validation images of twenty target pairs."""
    target, sources = simulate(side)
    data = prepare(
        target,
        sources.domains,
        SensorTable.from_pairs([*target, *(pair for _, pair in sources.pairs())]),
        conditioning=Conditioning("sensor_iso_noise", ("CanonEOS70D", "SonyA7S2")),
        patch_size=side,
        multiple=1,
        additions=Additions(renoises=False),
        device=CPU,
        rng=np.random.RandomState(2),
    )
    pairs = data.sources["SonyA7S2"][:batch_size]
    batch = cut_patches(pairs, side, symmetry_of(4), np.random.RandomState(3))
    return batch, data.target.validation


def draw_network(n_metadata: int, base_channels: int, n_levels: int) -> ModulatedUNet:
    """Draw a network in which every weight has a part in the output."""
    network = build_network(n_metadata, base_channels, n_levels, MLP_WIDTH, CPU, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.02 * noise)
    return network


def check_twins(network: ModulatedUNet, plain: PlainUNet, batch: Batch) -> None:
    """Make sure that both networks give the same output and the same gradients."""
    results = []
    for net in (network, plain):
        net = copy.deepcopy(net).double()  # rounding shall hide nothing
        inputs = [batch.noisy.double(), batch.metadata.double()]
        output = net(*(tensor.requires_grad_() for tensor in inputs))
        loss = F.mse_loss(output, batch.clean.double())
        leaves = [*inputs, net.head.weight, *(up.weight for up in net.ups)]
        results.append([output.detach(), *torch.autograd.grad(loss, leaves)])
    for ours, theirs in zip(*results, strict=True):
        assert theirs.norm() > 0, "nothing to compare"
        assert (ours - theirs).norm() <= 1e-9 * theirs.norm(), "the networks differ"


def time_steps(
    network: ModulatedUNet, batch: Batch, validation: Batch, rounds: int
) -> pd.DataFrame:
    """Time training steps, the plain loop, and the parts of a gate, interleaved."""
    learners = {
        name: draw_learner(copy.deepcopy(network), name) for name in ("float32", "auto")
    }
    auto = learners["auto"]
    contestants = {
        "step, plain": plain_step(plain_twin(network), batch),
        "step, float32": lambda: learners["float32"].step(batch, LEARNING_RATE),
        "step, auto": lambda: auto.step(batch, LEARNING_RATE),
        "save": auto.save,
        "restore": auto.restore,
        **{f"judge, {name}": judging(make_gate(name, 20)) for name in GATES},
    }
    for k in VALIDATION_SIZES:
        v_prime = select(validation, np.arange(k))
        contestants[f"validation, k={k}"] = lambda v=v_prime: auto.evaluate(v)
    rows = []
    order = list(contestants.items())
    for number in range(-N_WARM_UP, rounds):
        for what, call in order:
            start = time.perf_counter()
            call()
            elapsed = time.perf_counter() - start
            if number >= 0:
                rows.append((what, number, 1000 * elapsed))
        order.reverse()  # nobody always runs behind the same neighbour
    return pd.DataFrame(rows, columns=["what", "round", "ms"])


def judging(gate: Gate) -> Callable[[], Verdict]:
    """Return a function that asks a full gate once."""
    before, after = np.full(10, 30.0), np.full(10, 31.0)
    gate.start(before)
    for _ in range(2 * 20):
        gate.judge(Trial("A", before, after))
    return lambda: gate.judge(Trial("A", before, after))


def time_adaptation(
    gate: str,
    base_channels: int,
    n_levels: int,
    side: int,
    n_iter: int,
    **parameters: Any,
) -> pd.DataFrame:
    """Time the parts of each iteration of an adaptation in which all is rejected.

    `parameters` are further ones of `ADLDenoiser`.
    """
    clock = IterationClock()
    estimator = ADLDenoiser(
        start="random",
        gate=gate,
        n_pretrain_iter=0,
        n_iter=n_iter + N_WARM_UP + 1,
        n_finetune_iter=0,
        patch_size=side,
        base_channels=base_channels,
        n_levels=n_levels,
        random_state=0,
        **parameters,
    )
    gate_class = type(make_gate(gate, 20))
    with (
        mock.patch.object(gate_class, "judge", rejecting(gate_class.judge)),
        mock.patch.object(Learner, "step", clock.timed_step(Learner.step)),
        mock.patch.object(
            Learner, "evaluate", clock.timed("evaluate", Learner.evaluate)
        ),
        mock.patch(
            "skadl.adaptation.stages.cut_patches", clock.timed("cut", cut_patches)
        ),
    ):
        estimator.fit(*simulate(side))
    rows = []
    for number, parts in enumerate(clock.iterations[N_WARM_UP:]):
        for what, part in LOOP_PARTS.items():
            rows.append((f"{what}, {gate}", number, 1000 * parts[part]))
    return pd.DataFrame(rows, columns=["what", "round", "ms"])


def rejecting(judge: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """Return a `judge` that does its work and then says no."""
    return lambda gate, trial: replace(judge(gate, trial), accepted=False)


class IterationClock:
    """Splits the time from one training step to the next into its parts."""

    def __init__(self) -> None:
        self.iterations: list[dict[str, float]] = []
        self._parts: defaultdict[str, float] = defaultdict(float)
        self._start: float | None = None

    def timed(self, part: str, function: Callable) -> Callable:
        """Return a function that does the same and is timed."""

        def timed(*args, **kwargs):
            start = time.perf_counter()
            result = function(*args, **kwargs)
            self._parts[part] += time.perf_counter() - start
            return result

        return timed

    def timed_step(self, step: Callable) -> Callable:
        """Return a training step that ends one iteration and begins the next."""
        timed = self.timed("step", step)

        def timed_step(*args, **kwargs):
            now = time.perf_counter()
            if self._start is not None:
                rest = now - self._start - sum(self._parts.values())
                parts = dict.fromkeys(LOOP_PARTS.values(), 0.0)
                self.iterations.append(parts | self._parts | {"rest": rest})
            self._start, self._parts = now, defaultdict(float)
            return timed(*args, **kwargs)

        return timed_step


if __name__ == "__main__":
    main()
