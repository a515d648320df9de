"""What a fit with `skadl.PAPER_PARAMS` takes at full scale: begun, stopped, resumed.

Patches of 256 packed pixels, the Dense-UNet of the paper's appendix and a plain U-Net
of as many channels. Each fit is stopped once it has written a checkpoint and done half
of its steps, and goes on from there. Steps are those of the second stage, with the
paper's gate; the time of all 300,000 is projected from them.

    python -m benchmarks.speed.paper_params
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from skadl import PAPER_PARAMS, ADLDenoiser, SourcePool
from skadl.adaptation.gates.base import Trial, Verdict
from skadl.adaptation.gates.queue import QueueGate
from skadl.datasets import make_domain
from skadl.support.device import resolve_device

TARGET, SOURCES = "SonyA7S2", ("NikonD850", "CanonEOS70D")
N_SOURCE = 6  # pairs of each: a batch takes as long from many
PROJECTED = 1_000, PAPER_PARAMS["n_iter"]
READING = """\
CPU and wall are medians over steps: what a step adds to the time of the process and
to the clock. On a busy machine only the former means much. Projected hours are those
of the processor, with so many steps; on a GPU those of the clock. Memory is the
highest use of the process, data included; on a GPU that of the GPU. `done when
stopped` is the step that the fit was stopped after, `went on from` the one that its
checkpoint held. A fit on {} simulated target pairs is no fit to use: it ends after
these steps."""


@click.command(name="paper_params")
@click.option("--network", "networks", multiple=True, default=["dense_unet", "unet"])
@click.option("--steps", default=20, help="Of each fit; at least 4.")
@click.option("--target-pairs", default=20)
@click.option("--batch-size", default=8)
@click.option("--patch-size", default=PAPER_PARAMS["patch_size"])
@click.option("--base-channels", default=PAPER_PARAMS["base_channels"])
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(networks: Sequence[str], steps: int, folder: Path, **sizes: int) -> None:
    """Time, stop and resume the fits, and project what 300,000 steps would take."""
    load = os.getloadavg()
    rows = []
    for network in networks:
        rows.append(_in_own_process(network, steps, sizes))
        table = pd.DataFrame(rows)
        folder.mkdir(parents=True, exist_ok=True)
        table.to_csv(folder / "paper_params.csv", index=False, float_format="%.4g")
        sections: dict[str, pd.DataFrame | str] = {
            "A fit at full scale": table.round(2),
            "Reading": READING.format(sizes["target_pairs"]),
        }
        page = folder / "paper_params.md"
        write_markdown(page, "A fit with PAPER_PARAMS", sections, load)
    click.echo(page.read_text(encoding="utf-8"))


def _in_own_process(network: str, steps: int, sizes: dict[str, int]) -> dict:
    """Measure where memory of other fits does not count."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, network, steps, **sizes).result()


class Stopped(Exception):
    """The fit was stopped on purpose."""


class TimedQueueGate(QueueGate):
    """The paper's gate, which notes when it is asked and can stop the fit."""

    moments: list[tuple[float, float]] = []  # CPU and clock at each step
    stop_after: int | None = None
    checkpoint: Path | None = None  # to be there before the fit is stopped

    def judge(self, trial: Trial) -> Verdict:
        """Note the time, and stop if it is time."""
        kind = type(self)
        kind.moments.append((time.process_time(), time.perf_counter()))
        if kind.stop_after is not None and len(kind.moments) > kind.stop_after:
            if kind.checkpoint.exists():
                raise Stopped
        return super().judge(trial)


def measure(
    network: str,
    steps: int,
    target_pairs: int,
    batch_size: int,
    patch_size: int,
    base_channels: int,
) -> dict:
    """Begin a fit, stop it, resume it, and say what it took."""
    side = 2 * patch_size  # of a mosaic that is one patch
    target = make_domain(TARGET, target_pairs, size=side, random_state=0)
    sources = {
        name: make_domain(name, N_SOURCE, size=side, random_state=1) for name in SOURCES
    }
    changes = {
        "gate": TimedQueueGate,
        "network": network,
        "n_pretrain_iter": 0,
        "n_iter": steps,
        "n_finetune_iter": 0,
        "batch_size": batch_size,
        "patch_size": patch_size,
        "base_channels": base_channels,
    }
    parameters = {**PAPER_PARAMS, **changes, "random_state": 0}
    gate, differences = TimedQueueGate, []
    with tempfile.TemporaryDirectory() as room:
        gate.checkpoint = Path(room, "checkpoint")
        kept = {"checkpoint": gate.checkpoint, "checkpoint_every": 0}
        counts = []
        for gate.stop_after in (steps // 2, None):
            gate.moments = []
            estimator = ADLDenoiser(**parameters)
            try:
                estimator.fit(target, SourcePool(sources), **kept)
            except Stopped:
                size = gate.checkpoint.stat().st_size / 2**20
            counts.append(len(gate.moments))
            differences += np.diff(gate.moments, axis=0).tolist()
    # A step that the fit was stopped in was not finished.
    stopped = counts[0] - 1
    cpu, wall = np.median(differences, axis=0)
    device = resolve_device("auto")
    on_gpu = device.type == "cuda"
    peak = (
        torch.cuda.max_memory_allocated() / 2**30
        if on_gpu
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    )
    weights = sum(weight.numel() for weight in estimator.module_.parameters())
    return {
        "network": f"{network}, {base_channels} channels",
        "million weights": weights / 1e6,
        "device": str(device),
        "steps": steps,
        "CPU s a step": cpu,
        "wall s a step": wall,
        "memory GiB": peak,
        "checkpoint MiB": size,
        "done when stopped": stopped,
        "went on from": steps - counts[1],
        **{
            f"hours for {n:,} steps": (wall if on_gpu else cpu) * n / 3600
            for n in PROJECTED
        },
    }


if __name__ == "__main__":
    main()
