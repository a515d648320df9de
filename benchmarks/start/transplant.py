"""Go on with a network for Bayer mosaics on another mosaic: its body stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.start.networks import NETWORKS
from benchmarks.start.scenes import SceneSource
from benchmarks.start.training import Recipe, Training
from skadl.estimators.model_files.reader import read_model_file
from skadl.raw.mosaic import common_mosaic, mosaic_of

# Layers that touch planes, with the axis along which their channels are maps of planes.
_TOUCHING = {"encoder.0.first.weight": 1, "head.weight": 0, "head.bias": 0}


def transplant(model: Path, path: Path, *, cfa: str, **changes: float) -> None:
    """Write the checkpoint of a network for planes of `cfa`, at step 0.

    What the first convolution took from the planes of a colour it takes from all planes
    of that colour together; what the head gave them it gives to each.
    """
    network = read_model_file(model).network
    kind = next(name for name, cls in NETWORKS.items() if type(network) is cls)
    sizes = network.describe()
    recipe = Recipe(
        kind,
        sizes["base_channels"],
        sizes["n_levels"],
        sizes["mlp_width"],
        cfa=cfa,
        **changes,
    )
    training = Training(recipe, SceneSource([], recipe.seed, cfa))
    old, new = common_mosaic(network.n_planes), mosaic_of(cfa)
    weights = dict(network.named_parameters())
    with torch.no_grad():
        for name, parameter in training.network.named_parameters():
            given = weights[name]
            if name in _TOUCHING:
                axis = _TOUCHING[name]
                given = _remap(given, axis, old.colours, new.colours, sums=axis == 1)
            parameter.copy_(given)
        torch._foreach_copy_(training.average, training.parameters)
    training.save(path)


def _remap(weights: Tensor, axis: int, old: str, new: str, sums: bool) -> Tensor:
    """Give each new plane the mean, or its part of the sum, of its colour's weights."""
    part = np.zeros((len(new), len(old)), np.float32)
    for plane, colour in enumerate(new):
        alike = [place for place, other in enumerate(old) if other == colour]
        part[plane, alike] = 1 / (new.count(colour) if sums else len(alike))
    maps = weights.unflatten(axis, (-1, len(old))).movedim(axis + 1, -1)
    mapped = maps @ torch.from_numpy(part).T
    return mapped.movedim(-1, axis + 1).flatten(axis, axis + 1)
