"""What the paper's gate accepts when training has no effect at all."""

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from skadl.adaptation.gates import QueueGate, Trial

STYLES = {1: "-", 5: "--", 20: "-.", 100: ":"}  # by size of the queue
STEPS, WINDOW, RUNS = 4000, 400, 40
SPREAD = 4.0  # dB, of PSNR between images
IMAGES = 4  # in V'


def draw():
    """Offer subsets of unchanging images to queues of several sizes."""
    figure = Figure((5.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    rng = np.random.default_rng(0)
    images = rng.normal(35, SPREAD, (RUNS, 1, 20))
    drawn = rng.permuted(np.tile(images, (1, STEPS + 1, 1)), axis=2)[..., :IMAGES]
    colours = colormaps["viridis"]([0, 0.3, 0.6, 0.85])
    for (size, style), colour in zip(STYLES.items(), colours, strict=True):
        taken = np.array([accept(QueueGate(size), run) for run in drawn])
        share = 100 * taken.reshape(RUNS, -1, WINDOW).mean(axis=(0, 2))
        middle = WINDOW * (np.arange(len(share)) + 0.5)
        label = f"queue_size={size}"
        axes.plot(middle, share, style, color=colour, linewidth=2, label=label)
    axes.set_title("The queue gate on a model that never changes", loc="left")
    axes.set_xlabel("step", fontsize=12)
    axes.set_ylabel(f"accepted (%, of {WINDOW} steps)", fontsize=12)
    axes.set_ylim(0)
    axes.legend(fontsize=11)
    axes.grid(color="#dddddd", linewidth=0.6)
    return figure


def accept(gate, scores):
    """Seed the gate with the first subset and ask it about each of the others."""
    gate.start(scores[0])
    return [gate.judge(Trial("any", None, subset)).accepted for subset in scores[1:]]
