"""Training that can stop at any step and go on from there with the same result.

The rate rises, then stays: no step needs to know how many follow. A cool-down to rate
zero starts from any checkpoint and leaves it as it is. Batches depend on seed and step
alone, so that the step is all the random state there is.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.start.batches import make_batch
from benchmarks.start.networks import build
from benchmarks.start.scenes import SceneSource
from skadl.adaptation.patches import Batch
from skadl.estimators.training_pairs import SMALLEST_NOISE, TYPICAL_NOISE, noise_weight
from skadl.network.unet import ModulatedUNet
from skadl.raw.mosaic import mosaic_of
from skadl.support.device import resolve_precision
from skadl.support.writing import atomic_write

FORMAT_VERSION = 1
LOSSES = ("l1", "log")
_WARM_UP = 200  # steps
_AVERAGE = 0.999  # of the averaged weights, kept at each step
_MOST_GRADIENT = 1.0
_ERROR_FLOOR = 0.03  # of an image's noise: below it a smaller error counts little


@dataclass(frozen=True)
class Recipe:
    """All that decides what a training gives, besides photographs and steps."""

    network: str = "local"
    base_channels: int = 16
    levels: int = 4
    mlp_width: int = 32
    batch: int = 8
    side: int = 64  # of a patch, in packed pixels
    rate: float = 2e-3
    weight_decay: float = 0.01
    loss: str = "log"
    precision: str = "auto"
    seed: int = 0
    cfa: str = "RGGB"

    def build(self, seed: int = 0) -> ModulatedUNet:
        """Build the untrained network."""
        sizes = self.base_channels, self.levels, self.mlp_width
        return build(self.network, *sizes, seed, mosaic_of(self.cfa).n_planes)


class Training:
    """Network, averaged weights and optimizer at a step."""

    def __init__(self, recipe: Recipe, scenes: SceneSource) -> None:
        self.recipe, self.scenes = recipe, scenes
        self.step = 0
        self.seconds = 0.0  # CPU time of all steps
        self.network = recipe.build(recipe.seed)
        self.parameters = list(self.network.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=0.0, weight_decay=recipe.weight_decay, fused=True
        )
        self.dtype = resolve_precision(recipe.precision, torch.device("cpu"))
        # Set while the rate falls to zero: step at which that began, and its steps.
        self.cooling: tuple[int, int] | None = None

    def rate(self) -> float:
        """Learning rate of the step to come."""
        rate = self.recipe.rate * min((self.step + 1) / _WARM_UP, 1.0)
        if self.cooling is not None:
            start, n_steps = self.cooling
            rate *= max(1 - (self.step - start) / n_steps, 0.0)
        return rate

    def advance(self) -> float:
        """Take one step; return its loss, NaN where none was taken."""
        recipe, began = self.recipe, time.process_time()
        batch = make_batch(
            self.scenes, recipe.seed, self.step, recipe.batch, recipe.side
        )
        with torch.autocast("cpu", dtype=self.dtype, enabled=self.dtype is not None):
            denoised = self.network(batch.noisy, batch.metadata)
        loss = LOSS[recipe.loss](denoised.float(), batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, _MOST_GRADIENT)
        value = loss.item()
        if math.isfinite(value) and math.isfinite(norm.item()):
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate()
            self.optimizer.step()
        else:
            value = math.nan
        self.network.zero_grad(set_to_none=True)
        kept = min(_AVERAGE, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - kept)
        self.step += 1
        self.seconds += time.process_time() - began
        return value

    def averaged(self) -> ModulatedUNet:
        """Return a network with the averaged weights."""
        network = self.recipe.build()
        with torch.no_grad():
            torch._foreach_copy_(list(network.parameters()), self.average)
        return network.eval()

    def save(self, path: Path) -> None:
        """Write everything to one file, which is there whole or not at all."""
        names = [name for name, _ in self.network.named_parameters()]
        contents = {
            "format_version": FORMAT_VERSION,
            "recipe": asdict(self.recipe),
            "photographs": self._photograph_names(),
            "step": self.step,
            "seconds": self.seconds,
            "cooling": self.cooling,
            "network": self.network.state_dict(),
            "average": dict(zip(names, self.average, strict=True)),
            "optimizers": [self.optimizer.state_dict()],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            torch.save(contents, part)

    def load(self, path: Path) -> None:
        """Go on from a file that `save` wrote with the same recipe."""
        contents = read_checkpoint(path)
        if Recipe(**contents["recipe"]) != self.recipe:
            raise ValueError(
                f"{str(path)!r} was trained with {contents['recipe']}, not "
                f"{asdict(self.recipe)}; give the same options or another --out."
            )
        is_begun = contents["step"] > 0
        if is_begun and contents["photographs"] != self._photograph_names():
            raise ValueError(
                f"{str(path)!r} was trained on other photographs: "
                f"{contents['photographs']}; give the same folder or another --out."
            )
        self.step, self.seconds = contents["step"], contents["seconds"]
        self.cooling = contents["cooling"]
        self.network.load_state_dict(contents["network"])
        with torch.no_grad():
            average = contents["average"] or contents["network"]
            names = [name for name, _ in self.network.named_parameters()]
            torch._foreach_copy_(self.average, [average[name] for name in names])
        (state,) = contents["optimizers"]
        self.optimizer.load_state_dict(state)

    def _photograph_names(self) -> list[str]:
        return list(dict.fromkeys(p.name for p in self.scenes.photographs))


def read_checkpoint(path: Path) -> dict:
    """Read a checkpoint without running code from it."""
    contents = torch.load(path, map_location="cpu", weights_only=True)
    if contents.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{str(path)!r} is no checkpoint of this version.")
    # Of AdamW in all files there are; there was an option once.
    contents["recipe"].pop("optimizer", None)
    return contents


def load_network(path: Path) -> ModulatedUNet:
    """Build the network of a checkpoint: after a cool-down its weights, else averages.

    A cool-down averages by itself: the rate goes to zero.
    """
    contents = read_checkpoint(path)
    network = Recipe(**contents["recipe"]).build()
    network.load_state_dict(contents["network"])
    if contents["cooling"] is None and contents["average"] is not None:
        network.load_state_dict(contents["average"])
    return network.eval()


def run(
    training: Training,
    n_steps: int,
    path: Path,
    log: Path,
    save_every: float,
    validate_every: int,
    validate: Callable[[ModulatedUNet], dict[str, float]],
) -> Iterator[dict[str, float]]:
    """Train up to `n_steps` in all, saving every `save_every` seconds; yield log rows.

    A row has the mean loss since the last one and the validation PSNR of the averaged
    weights, while cooling down of the weights themselves.
    """
    losses: list[float] = []
    saved = time.monotonic()
    while training.step < n_steps:
        losses.append(training.advance())
        done = training.step == n_steps
        if training.step % validate_every == 0 or done:
            network = training.network if training.cooling else training.averaged()
            row = {
                "step": training.step,
                "cpu_seconds": round(training.seconds, 1),
                "rate": round(training.rate(), 8),
                "loss": round(math.fsum(losses) / len(losses), 6),
                **{k: round(v, 3) for k, v in validate(network).items()},
            }
            losses = []
            _append(log, row)
            yield row
        if done or time.monotonic() - saved > save_every:
            training.save(path)
            saved = time.monotonic()


def l1_loss(denoised: Tensor, batch: Batch) -> Tensor:
    """Mean absolute error of each image in units of its noise."""
    error = (denoised - batch.clean).abs().mean(dim=(1, 2, 3))
    return (error * noise_weight(batch)).mean()


def log_loss(denoised: Tensor, batch: Batch) -> Tensor:
    """Mean logarithm of each image's squared error: minus its PSNR, but for scale.

    Each image counts by the share of its own error that it loses, so that smooth
    pictures, whose error can become very small, are not given up for busy ones.
    """
    shot, read = batch.weight_inputs.unbind(dim=1)
    signal = batch.clean.mean(dim=(1, 2, 3)).clamp(min=0)
    noise = ((shot * signal + read).sqrt() + SMALLEST_NOISE) * _ERROR_FLOOR
    mse = (denoised - batch.clean).square().mean(dim=(1, 2, 3))
    return 0.5 * torch.log(mse / noise**2 + 1).mean() * TYPICAL_NOISE


LOSS = {"l1": l1_loss, "log": log_loss}


def _append(log: Path, row: dict[str, float]) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    is_new = not log.exists()
    with open(log, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)
