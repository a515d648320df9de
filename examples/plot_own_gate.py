"""
Bringing your own gate
======================

A gate decides whether the model is better for having taken a source batch. skadl has
four; a fifth is a small class: it derives from :class:`skadl.adaptation.gates.Gate` and
needs one method, ``judge``.
"""

# %%
# A gate that counts votes
# ------------------------
# Every image of the validation subset votes: did the step make it better? The gate
# takes the batch if at least half say yes. A single image on which the PSNR falls by a
# lot, which would sway a mean, has one vote like any other.

from collections import deque

import numpy as np
from sklearn.base import clone

from skadl import ADLDenoiser, SourcePool
from skadl.adaptation.gates import Gate, Trial, Verdict
from skadl.datasets import make_domain, make_harmful_truth
from skadl.plots import plot_acceptance


class VotingGate(Gate):
    """Accept a step that improves half of the images of V' or more."""

    needs_before = True  # measure V' before each step too, not only after it

    def __init__(self, queue_size):
        """Keep nothing: each step is judged by itself."""

    def judge(self, trial):
        """Count the images that got better."""
        votes = float(np.mean(trial.after > trial.before))
        reason = "most images better" if votes >= 0.5 else "most images worse"
        return Verdict(votes >= 0.5, votes, 0.5, reason)


# %%
# Try it by hand
# --------------
# A gate needs no training to be tried: it sees two arrays of PSNR in dB.

before = np.array([30.0, 35.0, 40.0])
gate = VotingGate(queue_size=40)
print(gate.judge(Trial("Nikon", before, before + [0.1, 0.1, -5.0])))
print(gate.judge(Trial("Nikon", before, before + [-0.1, -0.1, 5.0])))

# %%
# Use it
# ------
# The class itself is the parameter. ``fit`` builds a fresh gate of it, with
# ``queue_size``, so no fit sees another's memory, and cloning and searching work:
# ``GridSearchCV(denoiser, {"gate": ["evidence", VotingGate]})``.
#
# Training begins at random weights here: every gate then has much to judge.

pairs = make_domain("CanonEOS70D", 20, size=128, iso=1600, ratio=10, random_state=0)
sources = SourcePool(
    {
        "SonyA7S2": make_domain("SonyA7S2", 16, size=128, random_state=1),
        "NikonD850": make_domain("NikonD850", 16, size=128, random_state=1),
        "wrong truth": make_harmful_truth(
            16, camera="Pixel4a", size=128, random_state=2
        ),
    }
)
denoiser = ADLDenoiser(
    gate=VotingGate,
    start="random",
    n_pretrain_iter=100,
    n_iter=300,
    n_finetune_iter=30,
    patch_size=32,
    base_channels=8,
    n_levels=3,
    renoised_share=0.0,
    random_state=0,
)
first = clone(denoiser).fit(pairs[:10], source_pairs=sources)
print(f"{first.score(pairs[10:]):.2f} dB on unseen pairs")
figure = plot_acceptance(first.selection_report_, n_epochs=6)

# %%
# See, and try again
# ------------------
# That is no good gate. It takes wrong truth about as often as the rest, and for long
# stretches hardly anything: one step moves all images a little up or a little down,
# whatever was in the batch. So the second gate asks for no fewer votes than is usual
# among the latest steps; how many, that is what ``queue_size`` is for. And it refuses
# pairs whose residual cannot be noise, before any training.


class CarefulGate(VotingGate):
    """Refuse faulty pairs; accept steps with no fewer votes than is usual."""

    def __init__(self, queue_size):
        """Remember the votes of so many steps."""
        self.recent = deque(maxlen=queue_size)

    def start(self, psnr):
        """Forget what was before."""
        self.recent.clear()

    def refuse(self, fault):
        """Refuse for what `skadl.screening.screen_pairs` would say."""
        if fault.reason is not None:
            return Verdict(False, -fault.score, -1.0, fault.reason)
        return None

    def judge(self, trial):
        """Count the images that got better."""
        votes = float(np.mean(trial.after > trial.before))
        usual = float(np.median(self.recent)) if self.recent else 0.0
        self.recent.append(votes)
        reason = "as many better as usual" if votes >= usual else "fewer better"
        return Verdict(votes >= usual, votes, usual, reason)


second = clone(denoiser).set_params(gate=CarefulGate)
second.fit(pairs[:10], source_pairs=sources)
print(f"{second.score(pairs[10:]):.2f} dB on unseen pairs")
figure = plot_acceptance(second.selection_report_, n_epochs=6)

# %%
# Does it denoise better than skadl's own? One small fit cannot tell; several seeds,
# cameras and pools can, and ``benchmarks/tables`` is made of such comparisons.

evidence = clone(denoiser).set_params(gate="evidence")
evidence.fit(pairs[:10], source_pairs=sources)
print(f"{evidence.score(pairs[10:]):.2f} dB with skadl's default gate")
