"""Files to pass on: a trained network without code, a checkpoint without averages."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from safetensors import safe_open

from benchmarks.start.networks import build
from benchmarks.start.training import Recipe, load_network, read_checkpoint
from skadl.network.unet import ModulatedUNet


def export_network(checkpoint: Path, path: Path) -> int:
    """Write a checkpoint's network as .safetensors; return the file's bytes.

    Its metadata has the recipe, the steps and the names of the photographs as JSON.
    """
    contents = read_checkpoint(checkpoint)
    facts = {key: contents[key] for key in ("recipe", "step", "cooling", "photographs")}
    arrays = {
        # safetensors takes memory as it lies, and weights lie in channels_last.
        name: np.ascontiguousarray(tensor.numpy())
        for name, tensor in load_network(checkpoint).state_dict().items()
    }
    data = safetensors.numpy.save(arrays, metadata={"start": json.dumps(facts)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(data)
    os.replace(partial, path)
    return len(data)


def read_network(path: Path) -> ModulatedUNet:
    """Build the network of a file that `export_network` wrote."""
    with safe_open(path, framework="pt") as file:
        recipe = Recipe(**json.loads(file.metadata()["start"])["recipe"])
        weights = {name: file.get_tensor(name) for name in file.keys()}
    network = build(
        recipe.network, recipe.base_channels, recipe.levels, recipe.mlp_width, 0
    )
    network.load_state_dict(weights)
    return network.eval()


def export_checkpoint(checkpoint: Path, path: Path) -> int:
    """Write a checkpoint without its averaged weights; return the file's bytes.

    Training goes on from it; the averages begin anew, within 1,000 steps.
    """
    contents = read_checkpoint(checkpoint)
    contents["average"] = None
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    torch.save(contents, partial)
    os.replace(partial, path)
    return path.stat().st_size
