"""A batch of a step: clean patches under drawn noise, and what the network is told."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.start.noise import add_noise, draw_noise, told_level
from benchmarks.start.scenes import SceneSource
from skadl.adaptation.patches import Batch
from skadl.network.conditioning import Conditioning
from skadl.noise.noise_level import NoiseLevel

CONDITIONING = Conditioning("noise", ())


def make_batch(
    scenes: SceneSource, seed: int, step: int, n_patches: int, side: int
) -> Batch:
    """Make the batch of one step; the same for the same seed and step.

    An error of the black level is in the clean planes as well: it is no noise, and a
    network that pulls it out would guess a picture's brightness.
    """
    rng = np.random.default_rng([seed, step])
    clean = scenes.draw(n_patches, side, step, rng)  # (B, C, side, side)
    noises = [draw_noise(rng, scenes.cfa) for _ in range(n_patches)]
    noisy = add_noise(clean, noises, rng, scenes.cfa)
    for planes, noise in zip(clean, noises, strict=True):
        offsets = np.array(noise.offsets, np.float32) * noise.ratio / noise.span
        planes += offsets[:, None, None]
    told = [told_level(noise, rng) for noise in noises]
    metadata = [
        CONDITIONING.vector("", 100.0, noise.ratio, NoiseLevel(*level))
        for noise, level in zip(noises, told, strict=True)
    ]
    return Batch(
        to_channels_last(noisy),
        to_channels_last(clean),
        torch.from_numpy(np.stack(metadata)),
        torch.tensor([noise.level for noise in noises], dtype=torch.float32),
    )


def to_channels_last(planes: np.ndarray) -> torch.Tensor:
    """Turn planes (B, C, h, w) into a float32 tensor in channels_last."""
    tensor = torch.from_numpy(np.asarray(planes, np.float32))
    return tensor.contiguous(memory_format=torch.channels_last)
