"""What it costs to train from a patch store instead of memory, and what it saves.

(a) Iterations of a real adaptation with its sources in memory, in mapped files and in
files that are read, in turn in one process; (b) peak memory of whole fits on lazy
sources, few and many, each in a process of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from benchmarks.speed.store_memory import weigh
from skadl import ADLDenoiser, PatchStore, RawPair, SensorTable, SourcePool
from skadl.adaptation.gates import make_gate
from skadl.adaptation.learner import Learner
from skadl.adaptation.stages import Schedule, adapt
from skadl.datasets import make_domain
from skadl.estimators.preparation import Additions, Prepared, prepare
from skadl.estimators.start import FROM_RANDOM, SHAPE
from skadl.estimators.training_pairs import LOSS_WEIGHTINGS, symmetry_of
from skadl.network.choice import build_network
from skadl.network.conditioning import Conditioning
from skadl.noise.renoising import RENOISED
from skadl.support.device import resolve_precision

CPU = torch.device("cpu")
CONDITIONING = Conditioning("noise", ())
NOTHING = 1e-9  # GiB: no frame is mapped
STORES = {"mapped": 64.0, "read": NOTHING}  # memory_gib
BAR_RATE, MANY = 0.97, 20
READING = f"""\
Rate: iterations of the second stage (default network, gate, batch and patch side;
training step, validation forwards, gate and patches) with the sources in memory and in
a store; the same draws, interleaved. The rate is relative to memory: the median over
the rounds, with quartiles; its bar is {BAR_RATE}. Processor time is that of this
process alone: with the files in the operating system's cache, as here, it is what a
quiet machine takes. "mapped" is a store within `memory_gib`, "read" one of which
nothing may be mapped, as nearly all of a store far larger than that.

Memory: peak resident memory of a whole fit, less what the process had before; each in a
fresh process. Sources are read one by one from what stands in for RAW files, and the
re-noised domain is as large as the sources."""


@click.command(name="store")
@click.option("--rounds", default=15, help="Timed turns of every contestant.")
@click.option("--iterations", default=10, help="Of a turn.")
@click.option("--frame", default=1024, help="Side of the timed frames, in pixels.")
@click.option("--pairs", default=12, help="Timed pairs, and the fewer of the weighed.")
@click.option("--weighed-frame", default=512, help="Side of the weighed frames.")
@click.option("--mapped-mib", default=8.0, help="memory_gib of the weighed, in MiB.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    rounds: int,
    iterations: int,
    frame: int,
    pairs: int,
    weighed_frame: int,
    mapped_mib: float,
    folder: Path,
) -> None:
    """Time and weigh training from a store and from memory."""
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as store_folder:
        timings = time_iterations(rounds, iterations, frame, pairs, Path(store_folder))
    rows = []
    for is_stored in (False, True):
        for n_pairs in (pairs, MANY * pairs):
            with tempfile.TemporaryDirectory() as store_folder:
                where = Path(store_folder) if is_stored else None
                sizes = weigh(n_pairs, weighed_frame, where, mapped_mib / 1024)
            sources = "store" if is_stored else "memory"
            rows.append((sources, n_pairs, *sizes))
            click.echo(f"{sources}, {n_pairs} pairs: {sizes[1] - sizes[0]:.0f} MiB")
    columns = ["sources in", "pairs", "before_mib", "peak_mib"]
    memory = pd.DataFrame(rows, columns=columns)
    folder.mkdir(parents=True, exist_ok=True)
    timings.to_csv(folder / "store-rate.csv", index=False, float_format="%.4f")
    memory.to_csv(folder / "store-memory.csv", index=False, float_format="%.1f")
    write_markdown(
        folder / "store.md",
        "Training from a patch store",
        {
            "Rate": tabulate_rates(timings),
            "Memory": tabulate_memory(memory, weighed_frame),
            "Reading": READING,
        },
        load,
    )
    click.echo((folder / "store.md").read_text(encoding="utf-8"))


def time_iterations(
    rounds: int, n_iter: int, frame: int, n_pairs: int, folder: Path
) -> pd.DataFrame:
    """Time turns of adaptation from memory and from stores."""
    target = make_domain("CanonEOS70D", 12, size=256, random_state=0)
    source = make_domain("SonyA7S2", n_pairs, size=frame, random_state=1)
    pools = {"memory": SourcePool(source)} | {
        name: SourcePool(source, store=PatchStore(folder, memory_gib=memory_gib))
        for name, memory_gib in STORES.items()
    }
    turns = {name: Turn(target, pool) for name, pool in pools.items()}
    rows = []
    order = list(turns)
    for number in range(-1, rounds):
        for name in order:
            seconds = turns[name].run(n_iter, seed=max(0, number))
            if number >= 0:
                rows.append((name, number, *(1000 * s / n_iter for s in seconds)))
        order.reverse()  # nobody always runs behind the same neighbour
    return pd.DataFrame(rows, columns=["sources", "round", "ms", "cpu_ms"])


class Turn:
    """An adaptation that goes on for some iterations at a time."""

    def __init__(self, target: Sequence[RawPair], pool: SourcePool) -> None:
        self.default = ADLDenoiser(start="random", **SHAPE, **FROM_RANDOM)
        self.data = prepare_default(self.default, target, pool)
        network = build_network(
            CONDITIONING.length,
            self.default.base_channels,
            self.default.n_levels,
            self.default.mlp_width,
            CPU,
            0,
        )
        precision = resolve_precision(self.default.precision, CPU)
        loss_weight = LOSS_WEIGHTINGS[self.default.loss_weighting]
        self.learner = Learner(
            network, precision, self.default.weight_decay, loss_weight
        )

    def run(self, n_iter: int, seed: int) -> tuple[float, float]:
        """Adapt for some iterations; return the seconds they took and computed."""
        names = ("n_pretrain_iter", "n_finetune_iter", "learning_rate", "batch_size")
        names += ("finetune_rate", "source_share", "val_fraction")
        plan = Schedule(
            n_iter=n_iter,
            patch_side=self.data.patch_side,
            symmetry=symmetry_of(4),
            domain_rates={RENOISED: self.default.renoised_share},
            **{name: getattr(self.default, name) for name in names},
        )
        gate = make_gate(self.default.gate, self.default.queue_size)
        rng = np.random.RandomState(seed)
        stage = adapt(
            self.learner, self.data.target, self.data.sources, gate, plan, rng
        )
        start, start_cpu = time.perf_counter(), time.process_time()
        for _ in stage:
            pass
        return time.perf_counter() - start, time.process_time() - start_cpu


def prepare_default(
    default: ADLDenoiser, target: Sequence[RawPair], pool: SourcePool
) -> Prepared:
    """Prepare pairs as a default `fit` does."""
    every_pair = [*target, *(pair for _, pair in pool.pairs())]
    return prepare(
        target,
        pool.domains,
        SensorTable.from_pairs(every_pair),
        conditioning=CONDITIONING,
        patch_size=default.patch_size,
        multiple=2 ** (default.n_levels - 1),
        additions=Additions(renoises=True),
        device=CPU,
        rng=np.random.RandomState(2),
    )


def tabulate_rates(timings: pd.DataFrame) -> pd.DataFrame:
    """Turn timings into rates relative to memory."""
    rows = {name: {"sources": name} for name in ("memory", *STORES)}
    for clock, title in {"ms": "time", "cpu_ms": "processor time"}.items():
        rounds = timings.pivot(index="round", columns="sources", values=clock)
        for name, row in rows.items():
            ratio = rounds["memory"] / rounds[name]
            low, middle, high = ratio.quantile([0.25, 0.5, 0.75])
            row[f"{title}, ms"] = f"{rounds[name].median():.2f}"
            row[f"rate by {title}"] = f"{middle:.3f} ({low:.3f} to {high:.3f})"
    return pd.DataFrame(rows.values()).replace({n: f"store, {n}" for n in STORES})


def tabulate_memory(memory: pd.DataFrame, frame: int) -> pd.DataFrame:
    """Turn peaks into what the fits added to their processes."""
    counts = [n_pairs * 2 * frame**2 * 2 / 2**20 for n_pairs in memory.pairs]
    return pd.DataFrame(
        {
            "sources in": memory["sources in"],
            "pairs": memory.pairs,
            "their counts, MiB": [f"{size:.0f}" for size in counts],
            "added by the fit, MiB": [
                f"{added:.0f}" for added in memory.peak_mib - memory.before_mib
            ],
        }
    )


if __name__ == "__main__":
    main()
