"""Table 1 of the benchmark as a picture, from the committed runs."""

from pathlib import Path

import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

RUNS = Path(__file__).parents[2] / "benchmarks/results/bench/runs.csv"
# Name in the file, pool, name in the picture, marker.
STRATEGIES = (
    ("plain-target-only", "none", "target only, without skadl's parts", "x"),
    ("plain-fine-tune", "harm", "fine-tuning, without skadl's parts", "+"),
    ("target-only", "none", "target only", "s"),
    ("fine-tune", "harm", "sources, then fine-tuning", "v"),
    ("joint", "harm", "all together", "^"),
    ("adl", "harm", "ADL (the default)", "o"),
)


def draw():
    """Draw the gain over the noisy input of every run with six target pairs."""
    runs = pd.read_csv(RUNS).query("target_pairs == 6")
    runs = runs.assign(gain=runs["psnr"] - runs["noisy"])
    targets = sorted(runs["target"].unique())
    figure = Figure((5.6, 6), layout="constrained")
    axes = figure.add_subplot()
    colours = colormaps["viridis"]([0.85, 0.85, 0.65, 0.5, 0.3, 0.0])
    for step, (strategy, pool, label, marker) in enumerate(STRATEGIES):
        own = runs[(runs["strategy"] == strategy) & (runs["pool"] == pool)]
        places = own["target"].map(targets.index) + 0.11 * (step - 2.5)
        style = {"marker": marker, "s": 60, "linewidth": 2, "color": [colours[step]]}
        axes.scatter(places, own["gain"], label=label, **style)
    axes.axhline(0, color="#444444", linewidth=1)
    axes.set_xticks(range(len(targets)), targets, fontsize=12)
    axes.set_ylabel("gain over the noisy input (dB)", fontsize=12)
    axes.set_title("Six target pairs, a third of the sources harmful", loc="left")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    figure.legend(loc="outside lower center", ncols=1, fontsize=11)
    return figure
