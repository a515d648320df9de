"""
Grid search over the gate's parameters
======================================

``queue_size`` and ``val_fraction`` are the two numbers of the paper's gate. A search
over them is scikit-learn's own, with two things to know: sources are passed by keyword,
and as a `SourcePool`.
"""

# %%
# Pairs and sources
# -----------------
# Folds are cut from the target pairs. Every fit sees the whole pool.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from skadl import ADLDenoiser, SourcePool
from skadl.datasets import make_domain, make_harmful_truth

isos = [400, 1600, 6400]
pairs = make_domain("CanonEOS70D", 12, size=96, iso=4 * isos, ratio=10, random_state=0)
sources = SourcePool(
    {
        "SonyA7S2": make_domain("SonyA7S2", 8, size=96, random_state=1),
        "NikonD850": make_domain("NikonD850", 8, size=96, random_state=1),
        "wrong truth": make_harmful_truth(8, camera="Pixel4a", size=96, random_state=2),
    }
)

# %%
# The search
# ----------
# ``score`` is the mean PSNR of the pairs left out, in dB, and the search maximises it.
# A training has 150 steps from random weights here; the paper takes 300,000. The folds
# are of whole scenes, because each pair shows a scene of its own; where scenes repeat,
# use ``GroupKFold``.

denoiser = ADLDenoiser(
    gate="queue",
    start="random",
    n_pretrain_iter=50,
    n_iter=80,
    n_finetune_iter=20,
    patch_size=24,
    base_channels=8,
    n_levels=2,
    renoised_share=0.0,
    random_state=0,
)
grid = {"queue_size": [1, 5, 25], "val_fraction": [0.2, 0.5]}
cv = KFold(3, shuffle=True, random_state=0)
search = GridSearchCV(denoiser, grid, cv=cv)
search.fit(pairs, source_pairs=sources)

results = search.cv_results_
for params, mean, std in zip(
    results["params"],
    results["mean_test_score"],
    results["std_test_score"],
    strict=True,
):
    print(f"{params}: {mean:.2f} dB, spread over folds {std:.2f}")

# %%
# What it found
# -------------
# The spread over folds is that of scenes and ISOs: some folds are hard for every
# setting. It cancels when each setting is compared with the best fold by fold.

folds = np.array([results[f"split{i}_test_score"] for i in range(cv.n_splits)])
behind = folds - folds[:, [search.best_index_]]
means = behind.mean(axis=0)
errors = behind.std(axis=0, ddof=1) / cv.n_splits**0.5

figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
shape = len(grid["queue_size"]), len(grid["val_fraction"])
mesh = ax.imshow(means.reshape(shape), cmap="viridis", vmin=-0.3, vmax=0, aspect="auto")
for index, (mean, error) in enumerate(zip(means, errors, strict=True)):
    row, column = np.unravel_index(index, shape)
    text = {"ha": "center", "va": "center", "fontsize": 13}
    text["color"] = "black" if mean > -0.12 else "white"
    ax.text(column, row, f"{mean:+.2f} ± {error:.2f}", **text)
ax.set_xticks(range(shape[1]), grid["val_fraction"], fontsize=12)
ax.set_yticks(range(shape[0]), grid["queue_size"], fontsize=12)
ax.set_xlabel("val_fraction", fontsize=12)
ax.set_ylabel("queue_size", fontsize=12)
bar = figure.colorbar(mesh, ax=ax, extend="min")
bar.set_label("PSNR against the best (dB), ± standard error", fontsize=12)

# %%
# Is that much?
# -------------
# The best setting once more with two other seeds: what changes now is chance.

for seed in (1, 2):
    again = clone(search.best_estimator_).set_params(random_state=seed)
    scores = cross_val_score(again, pairs, cv=cv, params={"source_pairs": sources})
    print(f"seed {seed}: {np.mean(scores - folds[:, search.best_index_]):+.2f} dB")

# %%
# Differences between settings that are no larger than that are noise, and
# ``best_params_`` is one draw among equals. The report says why so little depends on
# the queue: it holds accepted batches only, and a size that it never fills changes
# nothing.

print(search.best_params_)
print(search.best_estimator_.selection_report_)

# %%
# For a search that can tell settings apart take thousands of iterations, more pairs,
# and several seeds: ``"random_state": [0, 1, 2]`` in the grid.
