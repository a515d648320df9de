"""A GPU in one call: tests, training, what is around it, and prediction.

On a machine without one it measures the CPU instead, which is good for trying the
script: `--device cpu` with a small network and small sizes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch

import skadl
from benchmarks.result_files import CHECKOUT, DEFAULT_FOLDER, write_markdown
from benchmarks.speed.step import time_adaptation
from benchmarks.speed.step_networks import (
    LEARNING_RATE,
    count_gflop,
    draw_batch,
    draw_learner,
    draw_network,
)
from benchmarks.speed.step_tables import GATES
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import Batch
from skadl.noise.sensors import SensorInfo
from skadl.raw.image import RawImage
from skadl.support.device import resolve_device

NETWORKS = (
    "unet:16/4",
    "pyramid_unet:16/4",
    "unet:32/5",
    "unet:64/5",  # the paper's widths
    "dense_unet:64/5",  # the paper's network
)
N_WARM_UP = 3
READING = """\
`step`: `Learner.step`, as a fit takes it. `no waiting`: the same without asking whether
loss and gradient are finite, for which the host waits once a step. `compiled`: the
network through `torch.compile`; `first` is what its first step took, in seconds.
`graph`: a step without waiting recorded as a CUDA graph and played again: what the
device needs when the host is no limit. `of the peak`: operations of convolutions and
products in a step, over the measured rate of a product of matrices in the same
precision. Shares of an adaptation are of its own training step, medians;
validation as a mean, since the evidence gate measures in one iteration of four."""


@click.command(name="gpu")
@click.option("--device", default="auto")
@click.option("--network", "networks", multiple=True, default=NETWORKS)
@click.option("--precision", default="auto")
@click.option("--side", default=64)
@click.option("--batch-size", "batch_sizes", type=int, multiple=True, default=[8, 32])
@click.option("--steps", default=30)
@click.option("--iterations", default=40, help="Of an adaptation.")
@click.option("--megapixels", type=float, default=24.0)
@click.option("--matrix", default=8192, help="Side of the matrices of the peak.")
@click.option("--compile/--no-compile", "compiles", default=True)
@click.option("--tests/--no-tests", default=True)
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    device: str,
    networks: Sequence[str],
    precision: str,
    side: int,
    batch_sizes: Sequence[int],
    steps: int,
    iterations: int,
    megapixels: float,
    matrix: int,
    compiles: bool,
    tests: bool,
    folder: Path,
) -> None:
    """Measure all that a GPU does in skadl."""
    load = os.getloadavg()
    chosen = resolve_device(device)
    peaks = {
        str(dtype).removeprefix("torch."): measure_product(dtype, matrix, chosen)
        for dtype in (torch.float32, torch.bfloat16)
    }
    rows = []
    for spec in networks:
        for batch_size in batch_sizes:
            click.echo(f"{spec}, {batch_size} x {side} x {side}")
            batch = draw_batch(side, batch_size, chosen)
            rows.append(
                {"network": spec, "batch": batch_size}
                | time_training(spec, precision, batch, steps, peaks, compiles)
            )
    training = pd.DataFrame(rows)
    around = pd.DataFrame(
        measure_around(spec, side, iterations, chosen) for spec in networks
    )
    folder.mkdir(parents=True, exist_ok=True)
    training.to_csv(folder / "gpu.csv", index=False, float_format="%.4f")
    sections = {
        "Tests on this device": run_tests() if tests else "not run",
        "Device": describe_device(chosen, peaks),
        f"Training, {side}x{side}": tabulate(training),
        "What an adaptation adds, as shares of its step": around,
        "Prediction": predict_frame(chosen, megapixels),
        "Reading": READING,
    }
    write_markdown(folder / "gpu.md", "skadl on a GPU", sections, load)
    click.echo((folder / "gpu.md").read_text(encoding="utf-8"))


def measure_product(dtype: torch.dtype, side: int, device: torch.device) -> float:
    """Measure a product of matrices, the best of several, in TFLOP/s."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = time_calls(lambda: a @ b, 5, device)
    return 2 * side**3 / seconds.min() / 1e12


def time_calls(
    call: Callable[[], object], n_calls: int, device: torch.device
) -> np.ndarray:
    """Time calls one by one, each until the device has done it, in seconds."""
    seconds = []
    for number in range(-N_WARM_UP, n_calls):
        wait(device)
        start = time.perf_counter()
        call()
        wait(device)
        if number >= 0:
            seconds.append(time.perf_counter() - start)
    return np.array(seconds)


def wait(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_training(
    spec: str,
    precision: str,
    batch: Batch,
    n_steps: int,
    peaks: dict[str, float],
    compiles: bool,
) -> dict[str, float]:
    """Time a step in every form of it; seconds and operations."""
    device = batch.noisy.device
    network = draw_network(spec, device)
    gflop = count_gflop(network, batch)
    learner = draw_learner(network, precision)
    median = np.median(
        time_calls(lambda: learner.step(batch, LEARNING_RATE), n_steps, device)
    )
    name = str(learner.autocast_dtype or torch.float32).removeprefix("torch.")
    row = {
        "precision": name,
        "gflop": gflop,
        "step": median,
        "of the peak": gflop / 1e3 / median / peaks[name],
        "no waiting": np.median(
            time_calls(lambda: step_blindly(learner, batch), n_steps, device)
        ),
        "graph": time_graph(learner, batch, n_steps),
    }
    if compiles:
        compiled = draw_learner(draw_network(spec, device), precision)
        compiled.network = torch.compile(compiled.network)
        start = time.perf_counter()
        compiled.step(batch, LEARNING_RATE)
        row["first"] = time.perf_counter() - start
        row["compiled"] = np.median(
            time_calls(lambda: compiled.step(batch, LEARNING_RATE), n_steps, device)
        )
    return row


def step_blindly(learner: Learner, batch: Batch) -> None:
    """Take a step without asking what came out of it."""
    with torch.autocast(
        learner.device.type,
        dtype=learner.autocast_dtype,
        enabled=learner.autocast_dtype is not None,
    ):
        denoised = learner.network(batch.noisy, batch.metadata)
    (denoised - batch.clean).abs().mean().backward()
    torch.nn.utils.clip_grad_norm_(learner.parameters, 1.0)
    learner.optimizer.step()
    learner.optimizer.zero_grad(set_to_none=True)


def time_graph(learner: Learner, batch: Batch, n_steps: int) -> float:
    """Time a step recorded as a CUDA graph; NaN elsewhere."""
    if learner.device.type != "cuda":
        return float("nan")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # so that nothing is allocated while recording
        for _ in range(N_WARM_UP):
            step_blindly(learner, batch)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step_blindly(learner, batch)
    return float(np.median(time_calls(graph.replay, n_steps, learner.device)))


def measure_around(
    spec: str, side: int, n_iter: int, device: torch.device
) -> dict[str, str]:
    """Say what gate, validation and cutting add to the steps of an adaptation."""
    name, size = spec.split(":")
    base_channels, n_levels = map(int, size.split("/"))
    row = {"network": spec}
    for gate in GATES:
        timings = time_adaptation(
            gate, base_channels, n_levels, side, n_iter, network=name, device=device
        )
        ms = timings.groupby("what", sort=False).ms
        step = ms.median()[f"loop step, {gate}"]
        for what, value in (
            ("gate", ms.median()[f"bookkeeping, {gate}"]),
            ("validation", ms.mean()[f"validation, {gate}"]),
            ("cutting", ms.median()[f"patch cutting, {gate}"]),
        ):
            row[f"{what}, {gate}"] = f"{value / step:.0%}"
    return row


def predict_frame(device: torch.device, megapixels: float) -> pd.DataFrame:
    """Time the denoiser that comes with skadl on a frame, best of three."""
    denoiser = skadl.load_universal(device)
    height = max(int((megapixels * 1e6 / 1.5) ** 0.5) // 2 * 2, 64)
    width = int(1.5 * height) // 2 * 2
    mosaic = np.random.default_rng(0).integers(500, 4000, (height, width), np.uint16)
    layout = {"cfa": "RGGB", "black_level": 512, "white_level": 16383}
    raw = RawImage(mosaic, **layout, sensor="any", iso=1600)
    sensor = SensorInfo(**layout, gain={1600: 4.0}, read_noise={1600: 8.0})
    seconds = time_calls(lambda: denoiser.predict(raw, sensor=sensor), 3, device).min()
    row = {"megapixels": f"{mosaic.size / 1e6:.2f}", "seconds": f"{seconds:.2f}"}
    row["MP/s"] = f"{mosaic.size / 1e6 / seconds:.1f}"
    if device.type == "cuda":
        row["peak, GiB"] = f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f}"
    return pd.DataFrame([row])


def run_tests() -> str:
    """Run the tests that have a form on a GPU, and return pytest's last line."""
    words = [sys.executable, "-m", "pytest", "-q", "-k", "cuda", "tests"]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return "\n".join([*failed, *lines[-1:]])


def describe_device(device: torch.device, peaks: dict[str, float]) -> str:
    """Name the device, and the rate of its products of matrices."""
    name = "the processor"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    rates = ", ".join(f"{rate:.2f} TFLOP/s in {name}" for name, rate in peaks.items())
    return f"{name}; a product of matrices: {rates}."


def tabulate(training: pd.DataFrame) -> pd.DataFrame:
    """Turn seconds into milliseconds and images a second."""
    table = training[["network", "batch", "precision"]].copy()
    for what in ("step", "no waiting", "compiled", "graph"):
        if what in training:
            table[f"{what}, ms"] = (1000 * training[what]).map("{:.1f}".format)
    if "first" in training:
        table["first, s"] = training["first"].map("{:.0f}".format)
    table["images/s"] = (training.batch / training.step).map("{:.0f}".format)
    table["of the peak"] = training["of the peak"].map("{:.0%}".format)
    return table


if __name__ == "__main__":
    main()
