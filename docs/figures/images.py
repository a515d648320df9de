"""What ADL does to every test image of the benchmark, from the committed figures."""

from pathlib import Path

import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

IMAGES = Path(__file__).parents[2] / "benchmarks/results/bench-long/images.csv"


def draw():
    """Draw the gain of each test image against its noisy PSNR."""
    images = pd.read_csv(IMAGES).query(
        "strategy == 'adl' and pool == 'harm' and target_pairs == 6"
    )
    figure = Figure((5.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    colours = colormaps["viridis"]([0, 0.45, 0.8])
    styles = zip(images.groupby("target"), colours, "o^s", strict=False)
    for (target, own), colour, marker in styles:
        gain = own["psnr"] - own["noisy"]
        style = {"s": 26, "marker": marker, "alpha": 0.7, "linewidth": 0}
        axes.scatter(own["noisy"], gain, color=[colour], label=target, **style)
    axes.axhline(0, color="#444444", linewidth=1)
    axes.set_xlabel("PSNR of the noisy image (dB)", fontsize=12)
    axes.set_ylabel("gain (dB)", fontsize=12)
    axes.set_title("Every test image, three seeds", loc="left")
    axes.legend(fontsize=11)
    axes.grid(color="#dddddd", linewidth=0.6)
    return figure
