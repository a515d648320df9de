"""Go on with a "local" training as a "pyramid": new channels begin at zero."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.start.networks import build
from benchmarks.start.training import Recipe, read_checkpoint
from skadl.support.writing import atomic_write

# Weights that grow: of the first convolution by inputs, of the head by outputs.
_GROWN = {"encoder.0.first.weight": 1, "head.weight": 0, "head.bias": 0}


def grow(checkpoint: Path, path: Path, batch: int, side: int) -> None:
    """Write the checkpoint of a pyramid that denoises as a local network does.

    Batches of the training to come are `batch` patches of `side` packed pixels.
    """
    contents = read_checkpoint(checkpoint)
    recipe = Recipe(**contents["recipe"])
    if recipe.network != "local":
        raise ValueError(f"{str(checkpoint)!r} is not of a local network.")
    recipe = replace(recipe, network="pyramid", batch=batch, side=side)
    network = build(
        recipe.network, recipe.base_channels, recipe.levels, recipe.mlp_width, 0
    )
    sizes = {name: parameter.shape for name, parameter in network.named_parameters()}
    for weights in (contents["network"], contents["average"]):
        for name in weights or {}:
            weights[name] = _padded(weights[name], sizes[name], 0.0)
    state = contents["optimizers"][0]["state"]
    for number, name in enumerate(sizes):
        if name in _GROWN:
            moments = state[number]
            moments["exp_avg"] = _padded(moments["exp_avg"], sizes[name], 0.0)
            # Not zero, or the first steps of the new weights would be far too large.
            square = moments["exp_avg_sq"]
            moments["exp_avg_sq"] = _padded(square, sizes[name], float(square.mean()))
    contents["recipe"] = asdict(recipe)
    with atomic_write(path) as part:
        torch.save(contents, part)


def _padded(weights: Tensor, shape: torch.Size, value: float) -> Tensor:
    padded = weights.new_full(shape, value)
    padded[tuple(slice(side) for side in weights.shape)] = weights
    return padded.contiguous(memory_format=_layout(weights))


def _layout(weights: Tensor) -> torch.memory_format:
    return torch.channels_last if weights.ndim == 4 else torch.contiguous_format
