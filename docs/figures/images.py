"""What ADL does to every test image of the benchmark, from the committed figures."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

IMAGES = Path(__file__).parents[2] / "benchmarks/results/bench/images.csv"


def draw():
    """Draw the gain of each test image against its noisy PSNR."""
    images = pd.read_csv(IMAGES).query(
        "strategy == 'adl' and pool == 'harm' and target_pairs == 6"
    )
    figure = Figure((8, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for (target, own), marker in zip(images.groupby("target"), "o^s", strict=False):
        gain = own["psnr"] - own["noisy"]
        axes.scatter(own["noisy"], gain, s=22, marker=marker, alpha=0.6, label=target)
    axes.axhline(0, color="#444444", linewidth=1)
    axes.set_xlabel("PSNR of the noisy image (dB)", fontsize=12)
    axes.set_ylabel("gain (dB)", fontsize=12)
    axes.set_title("Every test image, three seeds", loc="left")
    axes.legend(fontsize=11)
    axes.grid(color="#dddddd", linewidth=0.6)
    return figure
