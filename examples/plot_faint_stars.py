"""
Astronomy: keeping faint stars
==============================

A higher PSNR does not mean that the stars are still there. Two denoisers for one
camera, and what each does to the brightness of stars whose flux is known.
"""

# %%
# A star field
# ------------
# Stars of known place and flux, in linear light, before a simulated camera.

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from skadl import ADLDenoiser, SourcePool, evaluate_stars
from skadl.datasets import make_domain
from skadl.plots import plot_before_after

WIDTH = 2.5  # of a star at half its maximum, in packed pixels
SIDE = 512  # of the mosaic


def star_field(seed, n_stars=200, sky=0.01):
    """Draw a sky with stars of any brightness as linear RGB."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    scene = np.full((SIDE, SIDE), sky)
    sigma = 2 * WIDTH / np.sqrt(8 * np.log(2))
    for row, column in rng.uniform(0, SIDE, (n_stars, 2)):
        peak = 4 * 10 ** rng.uniform(-1.5, 0) / (2 * np.pi * sigma**2)
        squares = (rows - row) ** 2 + (columns - column) ** 2
        scene += peak * np.exp(-squares / (2 * sigma**2))
    return np.repeat(scene.clip(0, 1)[..., None], 3, axis=2)


camera, settings = "SonyA7S2", {"iso": 6400, "ratio": 10}
(unseen,) = make_domain(
    camera, 1, size=SIDE, scenes=[star_field(0)], random_state=9, **settings
)

# %%
# Two denoisers
# -------------
# They differ in one thing: what the pairs of the camera show. For one it is everyday
# scenes, for the other it is other skies of the same kind. Both begin at random
# weights, so that nothing but these pairs tells them what stars are, and both fits are
# short.

skies = [star_field(seed) for seed in range(1, 9)]
targets = {
    "everyday scenes": make_domain(camera, 12, size=128, random_state=0, **settings),
    "skies": make_domain(
        camera, 8, size=SIDE, scenes=skies, random_state=0, **settings
    ),
}
source = make_domain("NikonD850", 20, size=128, random_state=1)
denoised, reports = {}, {}
for name, pairs in targets.items():
    denoiser = ADLDenoiser(
        start="random",
        n_pretrain_iter=100,
        n_iter=400,
        n_finetune_iter=100,
        base_channels=8,
        n_levels=3,
        patch_size=32,
        random_state=0,
    )
    denoiser.fit(pairs, source_pairs=SourcePool({"NikonD850": source}))
    denoised[name] = denoiser.predict(unseen.noisy, dtype=np.float32)
    reports[name] = evaluate_stars(
        unseen.noisy, denoised[name], unseen.clean, fwhm=WIDTH
    )

# %%
# What a PSNR sees
# ----------------
# Trained on skies the denoiser is better by decibels, for it cleans the background,
# which is nearly all of the image. Its error map shows what is left: the stars.

figure = plot_before_after(
    *denoised.values(),
    unseen.clean,
    titles=[*(f"trained on {name}" for name in targets), "clean"],
)

# %%
# What stars see
# --------------
# A negative flux bias means that stars became too faint. Trained on everyday scenes,
# the fluxes stay about as they were; trained on skies, all stars lose light, faint
# ones most. At the same threshold about as many stars are found after denoising as
# before. So try ``evaluate_stars`` on a field that you know before you measure in
# denoised frames, or measure in the noisy ones and denoise for the eye.

for name, report in reports.items():
    print(f"Trained on {name}:", report.summary(), sep="\n", end="\n\n")

# %%
# The faintest bin, below an SNR of 2, says nothing and is not drawn.

bins = [own for own in reports["skies"].bins if own.snr > 2]
biases = {"noisy frame": [own.bias[0] for own in bins]}
for name, report in reports.items():
    shown = report.bins[: len(bins)]
    biases[f"denoised, trained on {name}"] = [own.bias[1] for own in shown]
figure_of_flux = Figure(figsize=(7.5, 4), layout="constrained")
ax = figure_of_flux.add_subplot()
colours = colormaps["viridis"]([0, 0.4, 0.8])
for (name, bias), colour, marker in zip(biases.items(), colours, "os^", strict=True):
    magnitudes = [own.magnitude for own in bins]
    ax.plot(magnitudes, 100 * np.array(bias), marker=marker, color=colour, label=name)
ax.axhline(0, color="#8a8a8a", linewidth=1, zorder=0)
ax.set_xlabel("magnitude (fainter to the right)", fontsize=12)
ax.set_ylabel("median error of flux (%)", fontsize=12)
legend = ax.legend(fontsize=11)
