"""What a second thread is worth in a training step, and how near the peak it comes.

Every contestant lives in a process of its own, so that neither its threads nor what its
memory allocator has learned is another's; they take turns, a few steps each.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import click
import pandas as pd
import torch

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from benchmarks.speed.peaks import measure_peaks
from benchmarks.speed.plain_unet import plain_twin
from benchmarks.speed.step_networks import (
    LEARNING_RATE,
    count_gflop,
    draw_batch,
    draw_learner,
    draw_network,
    plain_step,
)

CPU = torch.device("cpu")
PLAIN = "plain loop"
N_WARM_UP = 3
REST = 0.1  # seconds between two turns, in which the last one's threads fall asleep
READING = """\
Medians of wall-clock milliseconds a step. `plain loop` is the same network in a plain
PyTorch loop in float32: NCHW, one module for each MLP, default AdamW, and torch's
memory as it comes. `of the peak`: operations of convolutions and products a second,
over those of a loop of multiply-adds on vector registers in the same precision with as
many threads, measured in the same run. Needs a C compiler for the peak."""


@dataclass(frozen=True)
class Contestant:
    """One way to train one network."""

    network: str
    precision: str
    n_threads: int


@click.command(name="threads")
@click.option(
    "--network",
    "networks",
    multiple=True,
    default=["unet:16/4", "pyramid_unet:16/4", "unet:32/5"],
)
@click.option("--threads", "n_threads", multiple=True, default=[1, 2])
@click.option("--side", default=64)
@click.option("--batch-size", default=8)
@click.option("--rounds", default=5, help="Turns of every contestant.")
@click.option("--steps", default=3, help="Steps of a turn.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    networks: Sequence[str],
    n_threads: Sequence[int],
    side: int,
    batch_size: int,
    rounds: int,
    steps: int,
    folder: Path,
) -> None:
    """Time training steps with one thread and with several.

    Rows of other networks that the folder holds already stay in the table.
    """
    load = os.getloadavg()
    path = folder / "threads.csv"
    timings = []
    if path.exists():
        before = pd.read_csv(path)
        timings.append(before[~before.network.isin(networks)])
    peaks = {n: measure_peaks(n, 2) for n in n_threads}
    for network in networks:
        precisions = ["float32", "bfloat16"]
        precisions += [PLAIN] if network.startswith("unet") else []
        contestants = [
            Contestant(network, precision, n)
            for precision in precisions
            for n in n_threads
        ]
        found = take_turns(contestants, side, batch_size, rounds, steps)
        batch = draw_batch(side, batch_size, CPU)
        found["gflop"] = count_gflop(draw_network(network, CPU), batch)
        found["peak"] = [
            peaks[n].get("float32" if precision == PLAIN else precision, (math.nan,))[0]
            for precision, n in zip(found.precision, found.threads, strict=True)
        ]
        timings.append(found)
    timings = pd.concat(timings, ignore_index=True)
    folder.mkdir(parents=True, exist_ok=True)
    timings.to_csv(path, index=False, float_format="%.3f")
    sections = {
        f"A step of {batch_size} patches of {side}x{side}, ms": tabulate(timings),
        "Reading": READING,
    }
    write_markdown(folder / "threads.md", "Threads in a training step", sections, load)
    click.echo((folder / "threads.md").read_text(encoding="utf-8"))


def take_turns(
    contestants: Sequence[Contestant],
    side: int,
    batch_size: int,
    rounds: int,
    steps: int,
) -> pd.DataFrame:
    """Time every contestant in its own process, one after the other, round by round."""
    context = multiprocessing.get_context("spawn")
    started = []
    for contestant in contestants:
        ours, theirs = context.Pipe()
        arguments = (theirs, contestant, side, batch_size)
        process = context.Process(target=serve, args=arguments, daemon=True)
        process.start()
        started.append((contestant, process, ours))
    rows = []
    try:
        for number in range(-1, rounds):
            for contestant, _, ours in started:
                time.sleep(REST)
                ours.send(N_WARM_UP if number < 0 else 1 + steps)
                # The first of a turn finds another's weights in the cache.
                for ms, cpu_ms in ours.recv()[1:]:
                    of = (contestant.network, contestant.precision)
                    row = (*of, contestant.n_threads, number, ms, cpu_ms)
                    rows += [row] if number >= 0 else []
    finally:
        for _, process, ours in started:
            ours.close()  # which ends it
            process.join()
    columns = ["network", "precision", "threads", "round", "ms", "cpu_ms"]
    return pd.DataFrame(rows, columns=columns)


def serve(
    connection: Connection, contestant: Contestant, side: int, batch_size: int
) -> None:
    """Take as many steps as asked for, and send what each took, until nobody asks."""
    torch.set_num_threads(contestant.n_threads)
    step = make_step(contestant, side, batch_size)
    while True:
        try:
            n_steps = connection.recv()
        except (EOFError, OSError):
            return
        times = []
        for _ in range(n_steps):
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            now = time.perf_counter() - wall, time.process_time() - cpu
            times.append(tuple(1000 * seconds for seconds in now))
        connection.send(times)


def make_step(
    contestant: Contestant, side: int, batch_size: int
) -> Callable[[], object]:
    """Return a function that takes one training step."""
    network = draw_network(contestant.network, CPU)
    batch = draw_batch(side, batch_size, CPU)
    if contestant.precision != PLAIN:
        learner = draw_learner(network, contestant.precision)
        return lambda: learner.step(batch, LEARNING_RATE)
    return plain_step(plain_twin(network), batch)


def tabulate(timings: pd.DataFrame) -> pd.DataFrame:
    """Turn timings into milliseconds, gains of threads and shares of the peak.

    `gflop` are the operations of a step, `peak` what so many threads can do a second.
    """
    groups = timings.groupby(["network", "precision", "threads"], sort=False)
    median = groups[["ms", "gflop", "peak"]].median()
    rows = []
    for (network, precision), group in median.groupby(level=[0, 1], sort=False):
        group = group.droplevel([0, 1])
        row = {"network": network, "precision": precision}
        row |= {f"{n} threads": f"{ms:.1f}" for n, ms in group.ms.items()}
        row["gain of threads"] = f"{group.ms.iloc[0] / group.ms.iloc[-1]:.2f}"
        plain = (network, PLAIN, group.index[-1])
        gain = median.ms[plain] / group.ms.iloc[-1] if plain in median.index else None
        row["gain over the plain loop"] = "" if gain is None else f"{gain:.2f}"
        for n, share in (1000 * group.gflop / group.ms / group.peak).items():
            row[f"of the peak, {n} threads"] = f"{share:.0%}"
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
