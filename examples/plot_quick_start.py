"""
Quick start: a denoiser for a new camera
========================================

Twelve pairs of a camera that nobody has trained on, pairs of three others, and a
denoiser for the first. Both are simulated here, from published noise figures.
"""

# %%
# The pairs
# ---------
# A pair is a noisy and a clean frame of one scene. Your own would come from files:
# ``RawPair(read_raw("noisy.dng"), read_raw("clean.dng"))``.

from skadl import ADLDenoiser, SourcePool
from skadl.datasets import make_domain
from skadl.plots import plot_acceptance, plot_before_after

isos = (400, 1600, 6400)
pairs = make_domain("CanonEOS70D", 12, size=128, iso=isos, ratio=10, random_state=0)
sources = {
    name: make_domain(name, 20, size=128, random_state=1)
    for name in ("SonyA7S2", "NikonD850", "IMX686")
}
pairs[0]

# %%
# Fit
# ---
# Training starts from the network that comes with skadl, which denoises already. This
# page has seconds, so it takes far fewer steps than the default, on small patches.

denoiser = ADLDenoiser(n_iter=150, n_finetune_iter=30, patch_size=32, random_state=0)
denoiser.fit(pairs, source_pairs=SourcePool(sources))

# %%
# What was taken
# --------------

print(denoiser.selection_report_.summary())

# %%

figure = plot_acceptance(denoiser.selection_report_, n_epochs=6)

# %%
# Look at an unseen scene
# -----------------------
# ``predict`` returns what it was given: same kind, size, units and exposure.

(unseen,) = make_domain(
    "CanonEOS70D",
    1,
    size=256,
    iso=1600,
    ratio=10,
    scenes="photographs-test",
    random_state=3,
)
denoised = denoiser.predict(unseen.noisy)
figure = plot_before_after(unseen.noisy, denoised, unseen.clean)
