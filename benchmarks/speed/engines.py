"""The folded network in other engines: time and agreement with torch in float32.

Every engine denoises the same tile of 4 x 512 x 512 planes (one Bayer megapixel), in
turn within one process. Needs onnx, onnxruntime and openvino beside skadl.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import numpy as np
import onnxruntime
import openvino
import pandas as pd
import torch

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from skadl.estimators.model_files.onnx import onnx_model
from skadl.network.choice import build_network
from skadl.network.folded import FoldedUNet
from skadl.prediction.frame import FrameNetwork

SIDE = 512
MEGAPIXELS = 4 * SIDE**2 / 1e6
REFERENCE = "torch float32"
READING = (
    "s/MP is the median of the rounds for one Bayer megapixel, the network alone. "
    "Error is that of the predicted noise against torch in float32, RMS over RMS, "
    "for weights drawn at random."
)

Engine = Callable[[np.ndarray], np.ndarray]


@click.command(name="engines")
@click.option("--network", "networks", multiple=True, default=["16/4", "32/5"])
@click.option("--rounds", default=9, help="Timed calls of every engine.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(networks: Sequence[str], rounds: int, folder: Path) -> None:
    """Time the folded network in torch, onnxruntime and OpenVINO."""
    load = os.getloadavg()
    tile = np.random.default_rng(0).uniform(0, 1, (1, 4, SIDE, SIDE))
    tile = tile.astype(np.float32)
    rows = []
    for name in networks:
        engines = prepare_engines(random_network(*map(int, name.split("/"))))
        results = {engine: run(tile) for engine, run in engines.items()}  # warms up
        seconds = time_in_turn(engines, tile, rounds)
        noise = tile - results[REFERENCE]
        for engine, denoised in results.items():
            error = np.sqrt(np.mean((tile - denoised - noise) ** 2 / np.mean(noise**2)))
            rows.append(
                {
                    "network": name,
                    "engine": engine,
                    "s/MP": seconds[engine] / MEGAPIXELS,
                    "time / torch float32": seconds[engine] / seconds[REFERENCE],
                    "error": error,
                }
            )
    table = pd.DataFrame(rows)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "engines.csv", index=False, float_format="%.4g")
    shown = table.assign(error=table.error.map("{:.1e}".format))
    sections = {"Engines": shown.round(4), "Reading": READING}
    write_markdown(folder / "engines.md", "Inference engines", sections, load)
    click.echo(shown.to_string(index=False, float_format="%.4f"))


def random_network(base_channels: int, n_levels: int) -> FoldedUNet:
    """Draw a network whose last layer does something."""
    network = build_network(2, base_channels, n_levels, 32, torch.device("cpu"), 0)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        network.head.weight.normal_(std=0.1, generator=generator)
    return network.fold(torch.zeros(2))


def prepare_engines(network: FoldedUNet) -> Mapping[str, Engine]:
    """Hand the network to every engine."""
    graph = onnx_model(network, "RGGB", {}).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"]
    )
    exact, low = (FrameNetwork(network, dtype) for dtype in (None, torch.bfloat16))
    engines = {
        REFERENCE: lambda tile: run_torch(exact, tile),
        "torch bfloat16": lambda tile: run_torch(low, tile),
        "onnxruntime float32": lambda tile: session.run(None, {"noisy": tile})[0],
    }
    core = openvino.Core()
    for precision in ("f32", "bf16"):
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        compiled = core.compile_model(core.read_model(graph), "CPU", settings)
        engines[f"OpenVINO {precision}"] = lambda tile, run=compiled: run(tile)[0]
    return engines


def run_torch(network: FrameNetwork, tile: np.ndarray) -> np.ndarray:
    """Denoise a tile as `ADLDenoiser.predict` does."""
    pixels = np.ascontiguousarray(tile.transpose(0, 2, 3, 1))
    return tile - network.removed(pixels).transpose(0, 3, 1, 2)


def time_in_turn(
    engines: Mapping[str, Engine], tile: np.ndarray, rounds: int
) -> dict[str, float]:
    """Return the median seconds of each engine, all in turn in every round."""
    seconds = {name: [] for name in engines}
    for _ in range(rounds):
        for name, run in engines.items():
            start = time.perf_counter()
            run(tile)
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
