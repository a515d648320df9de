"""
Harmful sources and what becomes of them
========================================

Wrong ground truth, wrong labels, another noise than the camera's: three ways in which
source data does harm, and the two checks that find it, before training and in it.
"""

# %%
# Spoiled pairs show without training
# -----------------------------------
# What noisy minus clean leaves must be noise. ``screen_pairs`` looks whether it is.
# Here are 52 pairs of an honest camera, half of them spoiled in thirteen ways.

from collections import Counter

import matplotlib.pyplot as plt
import numpy as np

from skadl import ADLDenoiser, SourcePool
from skadl.datasets import (
    SPOILED_KINDS,
    make_domain,
    make_harmful_noise,
    make_harmful_truth,
    spoil_pairs,
)
from skadl.plots import plot_acceptance
from skadl.screening import screen_pairs

good = make_domain("NikonD850", 52, size=128, random_state=0)
mixed, spoiled = spoil_pairs(good, share=0.5, random_state=0)
screenings = screen_pairs(mixed)

found = Counter(kind for i, kind in spoiled.items() if screenings[i].is_faulty)
for kind, n_spoiled in Counter(spoiled.values()).items():
    print(f"{kind:18} {found[kind]} of {n_spoiled} found")
honest = [seen for i, seen in enumerate(screenings) if i not in spoiled]
print(
    f"honest pairs       {sum(s.is_faulty for s in honest)} of {len(honest)} suspected"
)

# %%
# That is two of each kind, too few for a rate; ``benchmarks/pairs/screening.py``
# counts more.
#
# The largest part of the severity decides: above 1 a pair is refused. Rows are kinds of
# harm, columns what was looked at; the values are medians.

parts = ("picture", "misaligned", "exchanged", "brightness", "noise")
kinds = {"honest": [i for i in range(len(mixed)) if i not in spoiled]}
kinds |= {k: [i for i in spoiled if spoiled[i] == k] for k in SPOILED_KINDS}
severity = np.array(
    [
        np.median([[getattr(screenings[i], p) for p in parts] for i in ids], axis=0)
        for ids in kinds.values()
    ]
)
figure, ax = plt.subplots(figsize=(8, 6.4), layout="constrained")
mesh = ax.imshow(severity, cmap="viridis", vmin=0, vmax=3, aspect="auto")
for (row, column), value in np.ndenumerate(severity):
    text = {"ha": "center", "va": "center", "fontsize": 11}
    text["color"] = "black" if value > 1.8 else "white"
    ax.text(column, row, f"{value:.1f}" if value < 10 else f"{value:.0f}", **text)
ax.set_xticks(range(len(parts)), parts, fontsize=11)
ax.set_yticks(range(len(kinds)), kinds, fontsize=11)
bar = figure.colorbar(mesh, extend="max")
bar.set_label("severity; above 1 (white line) is refused", fontsize=12)
line = bar.ax.axhline(1, color="white", linewidth=2)

# %%
# Whole domains
# -------------
# The two harmful sets of the paper: bright pictures with plain Gaussian noise, and
# wrong ground truth throughout. In the first the clean frame is the right one, and
# little is wrong with a pair by itself.

size = dict(size=128, camera="Pixel4a")
harmful = {
    "other noise": make_harmful_noise(16, **size, random_state=2),
    "wrong truth": make_harmful_truth(16, **size, random_state=2),
}
for name, members in harmful.items():
    n_faulty = sum(seen.is_faulty for seen in screen_pairs(members))
    print(f"{name}: {n_faulty} of {len(members)} faulty")

# %%
# In training
# -----------
# A pool of both and one honest camera, with skadl's gate and without one, two short
# fits each. They begin at random weights, where all that a network knows comes from the
# pairs it took. Differences of a tenth of a dB or two mean nothing here: compare what
# the gate does with what the seed alone does.

sources = SourcePool(
    harmful | {"SonyA7S2": make_domain("SonyA7S2", 16, size=128, random_state=1)}
)
isos = (400, 1600, 6400)
pairs = make_domain("CanonEOS70D", 20, size=128, iso=isos, random_state=3)
reports = {}
for gate in ("evidence", "none"):
    for seed in (0, 1):
        denoiser = ADLDenoiser(
            gate=gate,
            start="random",
            n_pretrain_iter=100,
            n_iter=300,
            n_finetune_iter=0,
            patch_size=32,
            base_channels=8,
            n_levels=3,
            renoised_share=0.0,
            random_state=seed,
        )
        denoiser.fit(pairs[:10], source_pairs=sources)
        score = denoiser.score(pairs[10:])
        print(f"gate={gate!r:10} seed {seed}: {score:.2f} dB on unseen pairs")
        reports[gate] = denoiser.selection_report_

# %%
# What the gate took
# ------------------
# Wrong truth never enters. Other noise does, where its pairs show no fault, until
# enough steps show harm; 300 steps are few for that.

acceptance = plot_acceptance(reports["evidence"], n_epochs=6)
