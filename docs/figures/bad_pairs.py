"""What is wrong with a pair shows in its residual, noisy minus clean."""

import numpy as np
from matplotlib.figure import Figure

from skadl.datasets import make_domain, spoil_pairs
from skadl.plots import display_settings, render
from skadl.screening import screen_pairs

PAIR = 3
KINDS = {
    None: "a good pair",
    "misaligned by 2": "moved by 2 pixels",
    "other scene": "clean frame of\nanother scene",
    "ratio times 2": "light factor\ntwice too high",
    "black truth": "clean frame black",
}


def draw():
    """Show noisy, clean and residual of a good pair and of four bad ones."""
    pairs = make_domain(
        "NikonD850",
        6,
        size=200,
        iso=3200,
        ratio=1,
        scenes="photographs",
        random_state=1,
    )
    figure = Figure((6, 9.4), layout="constrained")
    axes = figure.subplots(len(KINDS), 3)
    limit = None
    for row, (kind, title) in zip(axes, KINDS.items(), strict=True):
        pair = pairs[PAIR]
        if kind is not None:
            spoiled, _ = spoil_pairs(pairs, kind, 1.0, random_state=0)
            pair = spoiled[PAIR]
        display = display_settings(pairs[PAIR].clean)
        residual = pair.noisy.normalised() - pair.clean.normalised()
        residual = residual.mean(axis=0)
        if limit is None:
            limit = 4 * float(np.std(residual))
        row[0].imshow(render(pair.noisy, display=display))
        row[1].imshow(render(pair.clean, display=display))
        row[2].imshow(residual, cmap="gray", vmin=-limit, vmax=limit)
        row[0].set_ylabel(title, fontsize=13)
        (seen,) = screen_pairs([pair])
        verdict = "no fault" if not seen.is_faulty else f"severity {seen.score:.1f}"
        row[2].set_xlabel(verdict, fontsize=13)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for axis, name in zip(axes[0], ("noisy", "clean", "residual"), strict=True):
        axis.set_title(name, fontsize=14)
    return figure
