"""
How many pairs do I need?
=========================

Shoot some, and let a learning curve say whether more would help.
"""

# %%
# Pairs, and the sources
# ----------------------
# All at one ISO, so that a handful covers it; each further ISO needs pairs of its own.

import matplotlib.pyplot as plt
from sklearn.model_selection import ShuffleSplit, learning_curve

from skadl import ADLDenoiser, SourcePool, recommend_captures
from skadl.datasets import make_domain

pairs = make_domain("CanonEOS70D", 21, size=128, iso=1600, ratio=10, random_state=0)
sources = SourcePool(
    {
        name: make_domain(name, 12, size=128, random_state=1)
        for name in ("SonyA7S2", "NikonD850")
    }
)

# %%
# The learning curve
# ------------------
# Each split leaves five pairs out, fits on 2, 4, 8 and 16 of the others, and scores
# those left out. The sources are the same in each fit. They begin at random weights, to
# show a curve that climbs: from the network that comes with skadl, pairs of a simulated
# camera add little.

denoiser = ADLDenoiser(
    start="random",
    n_pretrain_iter=60,
    n_iter=60,
    n_finetune_iter=20,
    patch_size=32,
    base_channels=8,
    n_levels=3,
    random_state=0,
)
sizes, _, scores = learning_curve(
    denoiser,
    pairs,
    None,
    train_sizes=[2, 4, 8, 16],
    cv=ShuffleSplit(3, test_size=5, random_state=0),
    params={"source_pairs": sources},
)
for size, each in zip(sizes, scores, strict=True):
    print(f"{size:2} pairs: {each.mean():.2f} dB, spread over splits {each.std():.2f}")

# %%
# Thin lines are the splits, the thick one is their mean. Follow one line to see what
# more pairs bring; how far the lines lie apart says how hard the scenes left out are.

figure, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
lines = ax.plot(sizes, scores, color="#21918c", linewidth=1, alpha=0.7)
lines[0].set_label("one split")
ax.plot(sizes, scores.mean(axis=1), "o-", color="#440154", linewidth=2.5, label="mean")
ax.set_xscale("log", base=2)
ax.set_xticks(sizes, sizes)
ax.set_xlabel("target pairs in the training", fontsize=12)
ax.set_ylabel("PSNR of pairs left out (dB)", fontsize=12)
ax.legend(fontsize=11)
ax.grid(color="#dddddd", linewidth=0.6)

# %%
# A line that still climbs at its right end asks for more pairs; a flat one for longer
# training, or for pairs of other scenes, light and ISO. Take the method from this page
# and not the numbers: each training has a fiftieth of the steps usual after random
# weights, and three splits of one seed are few.
#
# Which pairs?
# ------------
# What the pairs span counts as much as how many there are: ISOs and light factors that
# will be used, and two scenes or more for each.

plan = recommend_captures((400, 6400), n_scenes=20, base_time=0.5)
print(plan.summary())
