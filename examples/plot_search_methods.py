"""
A search over methods
=====================

Which method suits a sensor? ``GridSearchCV`` asks that as it asks for any parameter: an
:class:`~skadl.baselines.AnyDenoiser` has the denoiser itself as its parameter. One
simulated camera, few pairs and very short fits: an example of how to compare, and no
ranking.
"""

# %%
# Pairs and sources
# -----------------
# Six pairs of the new camera, at two ISOs in turn so that both folds have both; every
# fit sees all sources.

import matplotlib.pyplot as plt
import numpy as np
from skadl.baselines import LED, AnyDenoiser, FineTuning, NoiseCalibration, TargetOnly
from sklearn.model_selection import GridSearchCV, KFold

from skadl import ADLDenoiser, SourcePool
from skadl.datasets import make_domain

pairs = make_domain(
    "CanonEOS70D", 6, size=96, iso=3 * [800, 3200], ratio=10, random_state=0
)
sources = SourcePool(
    {
        name: make_domain(name, 6, size=96, random_state=1)
        for name in ("SonyA7S2", "NikonD850")
    }
)

# %%
# The methods
# -----------
# Each with its own parameters. Two begin at the network that comes with skadl, the
# others at random weights and at the same small network.

short = dict(n_iter=16, n_finetune_iter=4, patch_size=24, random_state=0)
small = dict(patch_size=24, base_channels=8, n_levels=2, random_state=0)
methods = {
    "ADL": ADLDenoiser(**short),
    "fine-tuning": FineTuning(start="universal", **short),
    "fine-tuning\nfrom random": FineTuning(n_iter=80, n_finetune_iter=20, **small),
    "target only": TargetOnly(n_iter=80, n_finetune_iter=20, **small),
    "noise\ncalibration": NoiseCalibration(n_iter=100, n_synthetic=30, **small),
    "LED": LED(
        n_iter=80, n_alignment_iter=15, n_parallel_iter=5, n_synthetic=30, **small
    ),
}

# %%
# The search
# ----------
# ``refit`` fits the best method once more on all pairs, and the search is then that
# denoiser: it has ``predict`` and ``score``. Parameters of one method can be searched
# as well, as ``{"denoiser": [FineTuning()], "denoiser__n_iter": [100, 200]}``.

search = GridSearchCV(
    AnyDenoiser(methods["ADL"]),
    {"denoiser": list(methods.values())},
    cv=KFold(2),
)
search.fit(pairs, source_pairs=sources)
best = list(methods)[search.best_index_]
print(f"best: {best}, {search.best_score_:.2f} dB on the pairs left out")

# %%
# What it found
# -------------
# A point is a fold. In these few steps a network from random weights has hardly begun;
# ``python -m benchmarks.tables table1`` compares all methods at full length.

scores = np.array([search.cv_results_[f"split{i}_test_score"] for i in range(2)])
figure, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
for fold, marker in zip(scores, "os", strict=True):
    ax.plot(range(len(methods)), fold, marker, color="#3b528b", markersize=9)
ax.set_xticks(range(len(methods)), list(methods), fontsize=11)
ax.set_ylabel("PSNR of pairs left out (dB)", fontsize=12)
ax.grid(True, axis="y", color="#dddddd", linewidth=0.6)

# %%
# The search predicts with the best of them.

denoised = search.predict(pairs[0].noisy)
print(denoised)
