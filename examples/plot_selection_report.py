"""
Reading the selection report
============================

Every fit keeps a record of what it took from the sources and what it refused. This
page makes a small fit with some bad data in it and reads the record.
"""

# %%
# A pool with faults in it
# ------------------------
# Nikon is fine. Four of the twenty Sony pairs have a wrong light factor or the clean
# frame of another scene. The third domain is wrong throughout: clean frames that are
# shifted, black or of another scene.

import matplotlib.pyplot as plt

from skadl import ADLDenoiser, SourcePool
from skadl.datasets import make_domain, make_harmful_truth, spoil_pairs
from skadl.plots import plot_acceptance

pairs = make_domain("CanonEOS70D", 10, size=128, random_state=0)
sony, spoiled = spoil_pairs(
    make_domain("SonyA7S2", 20, size=128, random_state=1),
    ["ratio times 2", "other scene"],
    random_state=0,
)
sources = SourcePool(
    {
        "Nikon": make_domain("NikonD850", 20, size=128, random_state=1),
        "Sony, some spoiled": sony,
        "wrong truth": make_harmful_truth(
            12, camera="Pixel4a", size=128, random_state=2
        ),
    }
)
# A small network from random weights: everything that it learns, good or bad, comes
# from these pairs.
small = dict(
    start="random",
    n_pretrain_iter=100,
    n_iter=300,
    n_finetune_iter=30,
    patch_size=32,
    base_channels=8,
    n_levels=3,
    random_state=0,
)
denoiser = ADLDenoiser(**small).fit(pairs, source_pairs=sources)
report = denoiser.selection_report_

# %%
# The summary
# -----------
# Batches offered and taken for each domain, the reasons, and how each stage ended. The
# domain "re-noised" was not in the pool: it is made in ``fit`` of the sources'
# clean frames and the noise of the target. The notes at the end say what ``fit`` could
# not settle; here it warns, rightly, of the noise of the wrong domain.

print(report.summary())

# %%
# Over time
# ---------
# Pairs that are refused for their residual count as a refused batch of their domain;
# others take their place in the step.

figure = plot_acceptance(report, n_epochs=6)

# %%
# Which pairs?
# ------------
# ``by_pair`` counts for each pair of a domain how often it was drawn and taken. Those
# never taken are the doubtful ones; here they can be compared with the pairs that
# were spoiled on purpose.

counts = report.by_pair("Sony, some spoiled")
refused = [i for i, rate in enumerate(counts.fraction) if rate == 0]
print("drawn and never taken:", refused)
print("spoiled on purpose:   ", spoiled)

# %%
# Single decisions
# ----------------
# All of them are there, one row a batch, for pandas or one by one.

first = report.rejected[0]
print(f"{first.domain}, pairs {first.pair_ids}: {first.reason}")
frame = report.to_frame()
frame.groupby(["domain", "reason"], observed=True).size()

# %%
# Another gate, another report
# ----------------------------
# The paper's gate looks at no residuals. It compares the validation PSNR after each
# step with the mean of the best so far. Each point is a batch.

paper = ADLDenoiser(**small | {"gate": "queue", "renoised_share": 0.0})
paper.fit(pairs, source_pairs=sources)
print(paper.selection_report_)
frame = paper.selection_report_.to_frame()

scores, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
for accepted, style in {False: ("o", "#b0b0b0", 5), True: ("D", "#21918c", 9)}.items():
    own = frame[frame.accepted == accepted]
    marker, colour, size = style
    name = "taken" if accepted else "refused"
    ax.plot(own.iteration, own.score, marker, color=colour, markersize=size, label=name)
ax.plot(frame.iteration, frame.threshold, color="#440154", label="mean of the queue")
ax.set_xlabel("iteration of adaptation", fontsize=12)
ax.set_ylabel("validation PSNR (dB)", fontsize=12)
ax.legend(fontsize=11, loc="lower right")
ax.grid(color="#dddddd", linewidth=0.6)

# %%
# Each step is validated on another few pairs, and some pairs score far higher than
# others whatever the step did. A batch that meets an easy subset is taken, the mean of
# the queue rises, and it never falls: soon hardly any batch gets in, good or bad. With
# more pairs of similar brightness and ISO the points scatter less.
