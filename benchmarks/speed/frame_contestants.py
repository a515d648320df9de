"""One denoiser of `frame.py`, measured in a process of its own.

`python -m benchmarks.speed.frame_contestants` with contestant, megapixels, number of
frames and of threads prints JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.other_denoisers import time_peer
from benchmarks.speed.peaks import measure_peaks
from skadl import RawImage, SensorInfo, SensorTable
from skadl.network.choice import DEFAULT_NETWORK, build_network
from skadl.network.conditioning import Conditioning
from skadl.prediction.fitted_model import FittedModel
from skadl.prediction.frame import FrameNetwork
from skadl.prediction.image import denoise
from skadl.prediction.model import PredictOptions

CPU = torch.device("cpu")
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "int8": None}
SENSOR = SensorInfo(
    "RGGB", 512, 16383, gain={100: 0.2, 6400: 12.8}, read_noise={100: 2.0, 6400: 40.0}
)
PLAIN_SIDE = 1024  # packed; the plain network in one piece


def measure_one(contestant: str, megapixels: float, n_frames: int) -> list[dict]:
    """Measure a contestant on frames of so many megapixels; the best of them counts.

    Rows have "what", and "s/MP", "CPU s/MP", "MiB" and "GFLOP/MP" of a denoiser, or
    "GFLOP/s" and "CPU GFLOP/s" of a peak.
    """
    if contestant == "peaks":
        return [
            {"what": name, "GFLOP/s": wall, "CPU GFLOP/s": cpu}
            for name, (wall, cpu) in measure_peaks(torch.get_num_threads(), 3).items()
        ]
    what, *facts = contestant.split(", ")
    if what == "predict":
        rows = _time_predict(*facts, megapixels, n_frames)
    elif what == "plain":
        rows = [_time_plain(*facts, n_frames)]
    else:
        seconds, cpu = time_peer(contestant, n_frames)
        rows = [{"what": contestant, "s/MP": seconds, "CPU s/MP": cpu}]
    return [{**row, "MiB": peak_memory()} for row in rows]


def draw_model(name: str, precision: str) -> FittedModel:
    """Draw a model in which the network has something to say.

    `name` is base channels / levels, after the name of another network than the U-Net.
    """
    *kind, sizes = name.split()
    conditioning = Conditioning("noise", ("A",))
    network = build_network(
        conditioning.length,
        *map(int, sizes.split("/")),
        32,
        CPU,
        0,
        *(kind or [DEFAULT_NETWORK]),
    ).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in (network.head, network.modulation):
            for parameter in part.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.02 * noise)
    table = SensorTable({"A": SENSOR})
    return FittedModel(network, conditioning, table, PRECISIONS[precision], True)


def draw_frame(megapixels: float) -> RawImage:
    """Draw a frame of 3 to 2 whose mosaic is all that it ever held in memory."""
    height = 2 * round((megapixels * 1e6 / 1.5) ** 0.5 / 2)
    mosaic = np.empty((height, 2 * round(0.75 * height)), np.uint16)
    rng = np.random.default_rng(0)
    for row in mosaic:
        row[:] = rng.integers(600, 3000, row.size)
    return RawImage(mosaic, "RGGB", 512, 16383, "A", 800)


def peak_memory() -> float:
    """Return the largest resident memory of this process, in MiB."""
    try:  # that of this program alone, where the kernel tells
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return usage / (2**20 if sys.platform == "darwin" else 1024)


def _time_predict(
    name: str, precision: str, megapixels: float, n_frames: int
) -> list[dict]:
    model, frame = draw_model(name, precision), draw_frame(megapixels)
    options = PredictOptions(precision=precision)
    clock = _Clock(FrameNetwork.removed)
    FrameNetwork.removed = lambda network, *tiles, **where: clock(
        network, *tiles, **where
    )
    n_megapixels = frame.mosaic.size / 1e6
    whole, inside = [], []
    for _ in range(n_frames):
        clock.restart()
        start = _now()
        denoise(model, frame, options=options)
        whole.append((_now() - start) / n_megapixels)
        inside.append(clock.total / n_megapixels)
    gflop = count_gflop(model)
    return [
        {
            "what": f"{what}, {name}, {precision}",
            "s/MP": min(times[:, 0]),
            "CPU s/MP": min(times[:, 1]),
            "GFLOP/MP": gflop,
        }
        for what, times in (("predict", np.array(whole)), ("network", np.array(inside)))
    ]


@torch.no_grad()
def _time_plain(name: str, precision: str, n_frames: int) -> dict:
    model = draw_model(name, precision)
    folded = model.network.fold(np.zeros(model.conditioning.length))
    x = torch.rand(1, 4, PLAIN_SIDE, PLAIN_SIDE)
    x = x.contiguous(memory_format=torch.channels_last)
    dtype = model.autocast_dtype
    times = []
    for _ in range(n_frames + 1):
        start = _now()
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            folded(x)
        times.append((_now() - start) / (x.numel() / 1e6))
    times = np.array(times[1:])
    return {
        "what": f"plain, {name}, {precision}",
        "s/MP": min(times[:, 0]),
        "CPU s/MP": min(times[:, 1]),
        "GFLOP/MP": count_gflop(model),
    }


def count_gflop(model: FittedModel) -> float:
    """Count the operations of a model's network for a megapixel of mosaic."""
    folded = model.network.fold(np.zeros(model.conditioning.length))
    side = 4 * folded.multiple
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        folded(torch.zeros(1, 4, side, side))
    return counter.get_total_flops() / (4 * side**2) / 1e3


def _now() -> np.ndarray:
    """Wall-clock and processor seconds."""
    return np.array([time.perf_counter(), time.process_time()])


class _Clock:
    """Adds up the time that a function takes."""

    def __init__(self, function) -> None:
        self.function = function
        self.restart()

    def restart(self) -> None:
        self.total = np.zeros(2)

    def __call__(self, *arguments, **options):
        start = _now()
        result = self.function(*arguments, **options)
        self.total += _now() - start
        return result


if __name__ == "__main__":
    contestant, megapixels, n_frames, n_threads = sys.argv[1:]
    torch.set_num_threads(int(n_threads))
    print(json.dumps(measure_one(contestant, float(megapixels), int(n_frames))))
