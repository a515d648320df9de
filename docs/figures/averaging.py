"""How many frames to average for a clean frame."""

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from skadl import psnr
from skadl.datasets import make_domain, make_scenes

FRAMES = (1, 2, 4, 8, 16, 32)
STYLES = {400: "o-", 1600: "s--", 6400: "^-."}


def draw():
    """Average simulated frames of one scene and compare with the truth."""
    figure = Figure((5.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    scene = make_scenes("photographs", 1, 128, random_state=1)
    colours = colormaps["viridis"]([0, 0.45, 0.8])
    for (iso, style), colour in zip(STYLES.items(), colours, strict=True):
        frames, clean = [], None
        for seed in range(max(FRAMES)):
            (pair,) = make_domain(
                "SonyA7S2",
                1,
                size=128,
                iso=iso,
                ratio=1,
                scenes=scene,
                random_state=seed,
            )
            frames.append(pair.noisy.normalised())
            clean = pair.clean.normalised() if clean is None else clean
        scores = [psnr(np.mean(frames[:n], axis=0), clean) for n in FRAMES]
        gain = np.subtract(scores, scores[0])
        axes.plot(FRAMES, gain, style, color=colour, label=f"ISO {iso}")
    expected = 10 * np.log10(FRAMES)
    axes.plot(FRAMES, expected, color="#888888", linewidth=1, label="10 log10(n)")
    axes.set_xscale("log", base=2)
    axes.set_xticks(FRAMES, [str(n) for n in FRAMES])
    axes.set_xlabel("frames averaged", fontsize=12)
    axes.set_ylabel("gain over one frame (dB)", fontsize=12)
    axes.set_title("Noise left in an averaged clean frame", loc="left")
    axes.legend(fontsize=11)
    axes.grid(color="#dddddd", linewidth=0.6)
    return figure
