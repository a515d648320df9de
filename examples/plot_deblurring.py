"""
The same loop on another task: deblurring
=========================================

Adaptive domain learning does not know that it denoises. ``skadl.adaptation`` takes
pairs of anything and a network that restores one from the other. The paper's appendix
tries deblurring: many pairs blurred by simulated kernels, and eight pairs of the blur
that is to be removed. This page does the same in small.
"""

# %%
# Blurred and sharp
# -----------------
# Sources are scenes seen through random motion kernels of 21, 31 and 41 pixels, as in
# the appendix. The target is another blur: a camera that always moves in the same way,
# by nine pixels in a straight line. Eight of its pairs are trained on, sixteen judge
# the steps and are never trained on, and the last eight are for the result.

import matplotlib.pyplot as plt
import numpy as np
import torch

from skadl.adaptation.gates import make_gate
from skadl.adaptation.learner import Learner
from skadl.adaptation.patches import TrainingPair, cut_fixed
from skadl.adaptation.run import train
from skadl.adaptation.stages import Schedule, TargetData
from skadl.datasets import blur_scene, make_motion_kernel, make_scenes
from skadl.network.unet import ModulatedUNet
from skadl.screening import Screening
from skadl.support.progress import Progress

SIDE = 64


def make_pairs(n_pairs, kernel_size, code, seed, kernel=None):
    """Scenes through one kernel, or one of their own each, and the sharp ones."""
    rng = np.random.RandomState(seed)
    scenes = make_scenes("mixture", n_pairs, SIDE + kernel_size, rng)
    levels = torch.tensor([0.0, 0.0, 0.0, 1.0])  # black of each colour, scale
    pairs = []
    for scene in scenes:
        drawn = make_motion_kernel(kernel_size, rng) if kernel is None else kernel
        frames = [torch.from_numpy(f.copy()) for f in blur_scene(scene.rgb, drawn)]
        metadata = torch.tensor([code])
        pairs.append(
            TrainingPair(
                *frames, levels, levels, metadata, torch.empty(0), 0.0, Screening()
            )
        )
    return pairs


straight = make_motion_kernel(9, random_state=0, turning=0)
target_pairs = make_pairs(32, 9, 0.0, seed=0, kernel=straight)
sources = {
    f"{size} pixels": make_pairs(24, size, size / 41, seed=size)
    for size in (21, 31, 41)
}

# %%
# What a task brings
# ------------------
# A network: here the package's U-Net on three colours instead of four planes. It is
# given a single number, the size of the kernel, which is 0 for the target. And how a
# patch may be turned: not at all here, since the direction of the blur counts.


def as_it_is(windows, mirror_rows, mirror_columns, transpose):
    """Give patches (B, p, p, 3) of windows with a pixel to spare."""
    return windows[:, :-1, :-1]


# %%
# The three stages
# ----------------
# ``is_fixed`` makes the held-out pairs the validation subset of every iteration.

rng = np.random.RandomState(0)
adapting, unseen = target_pairs[:24], target_pairs[24:]
target = TargetData(
    tuple(adapting),
    cut_fixed(adapting, SIDE, rng),
    np.zeros(len(adapting)),
    held_out=np.arange(8, 24),
    is_fixed=True,
)
schedule = Schedule(
    n_pretrain_iter=60,
    n_iter=150,
    n_finetune_iter=40,
    learning_rate=5e-3,
    finetune_rate=0.3,
    batch_size=8,
    patch_side=48,
    symmetry=as_it_is,
    source_share=0.5,
    domain_rates={},
    val_fraction=(0.2, 0.5),
)
test = cut_fixed(unseen, SIDE, rng)


def fit(sources):
    """Train anew; return PSNR before, what is gained, the report and the network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ModulatedUNet(1, base_channels=8, n_levels=3, mlp_width=8, n_planes=3)
    learner = Learner(network.to(memory_format=torch.channels_last), None, 0.01)
    before = learner.evaluate(test)  # untrained, it returns its input
    report = train(
        learner,
        target,
        sources,
        make_gate("paired", 40),
        schedule,
        np.random.RandomState(1),
        Progress(0),
    )
    return before, learner.evaluate(test) - before, report, network


blurred, gains, report, network = fit(sources)
print(f"{blurred.mean():.2f} dB blurred, {gains.mean():+.2f} dB by adaptation")
alone = fit({})[1]
print(f"{alone.mean():+.2f} dB by the target's own eight pairs alone")
worth = gains.mean() - alone.mean()
side = "more than" if worth > 0 else "less than"
print(f"The sources make it {abs(worth):.2f} dB {side} the eight pairs give alone")

# %%
# The report is the one that denoising gives:

print(report)
for row in report.by_domain():
    print(f"{row.domain}: {row.accepted} of {row.offered} batches accepted")

# %%
# Blurred, restored and sharp, of one of the unseen pairs:

with torch.no_grad():
    restored = network(test.noisy, test.metadata)
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for axis, name, pictures in zip(
    axes,
    ("blurred", "restored", "sharp"),
    (test.noisy, restored, test.clean),
    strict=True,
):
    picture = pictures[int(gains.argmax())].permute(1, 2, 0).clamp(0, 1) ** (1 / 2.2)
    axis.imshow(picture)
    axis.set(title=name, xticks=[], yticks=[])
