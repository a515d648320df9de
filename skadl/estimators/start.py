"""Where a fit begins: at the network that comes with skadl, at a model, or at random.

A trained network leaves less to learn: only what its training did not show it, such
as this sensor's row noise, dark shading and scenes. So parameters of `ADLDenoiser`
that are None stand for other values after another start.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from skadl.estimators.base import NetworkDenoiser
from skadl.estimators.model_files.reader import read_model_file
from skadl.network.base import N_PLANES, ModulatedNetwork
from skadl.network.choice import NETWORKS, build_network, name_of
from skadl.network.conditioning import Conditioning
from skadl.network.unet import ModulationMLPs
from skadl.noise.noise_level import NoiseLevel, info_of
from skadl.noise.sensors import SensorTable
from skadl.prediction.fitted_model import FittedModel
from skadl.prediction.together import denoise_together
from skadl.raw.image import RawImage
from skadl.raw.mosaic import common_mosaic
from skadl.support.device import resolve_precision

Witness = Callable[[Sequence[RawImage], Sequence[NoiseLevel]], list[np.ndarray]]
"""Turns images and the noise of each into denoised planes (4, h, w), normalised."""

UNIVERSAL_FILE = Path(__file__).with_name("universal.safetensors")
# By the number of planes of a mosaic that is not Bayer's.
OTHER_FILES = {9: Path(__file__).with_name("universal_xtrans.safetensors")}
MOST_RATIO = 300.0  # light factor that the universal network was trained up to
UNIVERSAL, RANDOM = "universal", "random"
STARTS = (UNIVERSAL, RANDOM)

SHAPE = {"network": "unet", "base_channels": 16, "n_levels": 4, "mlp_width": 32}
FROM_RANDOM = {
    "n_pretrain_iter": 1200,
    "n_iter": 5400,
    "n_finetune_iter": 600,
    "source_share": 0.5,
}
FROM_TRAINED = {
    "n_pretrain_iter": 0,
    "n_iter": 1000,
    "n_finetune_iter": 100,
    "source_share": 0.875,
}


@dataclass(frozen=True, eq=False)
class Start:
    """Where a fit begins, and what parameters that are None mean there."""

    network: ModulatedNetwork | None  # trained; None is one with random weights
    defaults: Mapping[str, Any]
    others: Mapping[int, Path] = field(default_factory=dict)  # networks by their planes

    def for_planes(self, n_planes: int) -> Start:
        """Return the start for pairs of so many planes; ValueError if there is none."""
        if self.network is None or self.network.n_planes == n_planes:
            return self
        if n_planes not in self.others:
            own, other = (
                common_mosaic(n).family for n in (self.network.n_planes, n_planes)
            )
            raise ValueError(
                f"the start denoises {own} mosaics, and the target pairs have one of "
                f'the kind {other}: fit with start="universal" or "random", or from a '
                f"model that was fitted on {other}."
            )
        return replace(self, network=read_model_file(self.others[n_planes]).network)

    @property
    def is_trained(self) -> bool:
        """Whether the network denoises already."""
        return self.network is not None

    def witness(self, precision: str) -> Witness | None:
        """Return what denoises images of known noise; None if nothing is trained."""
        if self.network is None:
            return None
        codes = Conditioning("noise", ())
        # Where the network is, which need not be where it is trained further.
        device = next(self.network.parameters()).device
        dtype = resolve_precision(precision, device)
        model = FittedModel(self.network, codes, SensorTable(), dtype, safeguard=True)

        def denoise(
            images: Sequence[RawImage], noise: Sequence[NoiseLevel]
        ) -> list[np.ndarray]:
            infos = [info_of(*known) for known in zip(noise, images, strict=True)]
            return denoise_together(model, images, infos)

        return denoise

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that `defaults` names, none of them None.

        ValueError if they describe another network than the trained one.
        """
        chosen = {
            name: value if given.get(name) is None else given[name]
            for name, value in self.defaults.items()
        }
        if self.network is not None:
            own = _shape_of(self.network)
            for name, value in own.items():
                if given.get(name) not in (None, value):
                    raise ValueError(
                        f"{name}={given[name]!r} is not what the start has: {value!r}. "
                        f"Leave {name} out to train on from there, or fit with "
                        'start="random".'
                    )
        return chosen

    def build(
        self,
        parameters: Mapping[str, Any],
        conditioning: Conditioning,
        device: torch.device,
        seed: int,
        n_planes: int = N_PLANES,
    ) -> ModulatedNetwork:
        """Return the network to train, on its device: a copy of the trained one."""
        if self.network is not None:
            if conditioning.kind != "noise":
                raise ValueError(
                    "a trained start knows the noise of an image, and no sensors; "
                    f"conditioning={conditioning.kind!r} tells something else. Fit "
                    'with conditioning="noise", or with start="random".'
                )
            network = copy.deepcopy(self.network).to(device).train()
            return network.requires_grad_(True)
        name = parameters["network"]
        if NETWORKS[name].needs_noise and not conditioning.uses_noise:
            raise ValueError(
                f"network={name!r} reads the noise of an image, which conditioning="
                f"{conditioning.kind!r} does not tell it; fit with "
                'conditioning="noise".'
            )
        network = build_network(
            conditioning.length,
            parameters["base_channels"],
            parameters["n_levels"],
            parameters["mlp_width"],
            device,
            seed,
            name,
            n_planes,
        )
        if conditioning.kind == "none":  # nothing to modulate by: it stays the identity
            for module in network.modules():
                if isinstance(module, ModulationMLPs):
                    module.requires_grad_(False)
        return network


def find_start(start: str | os.PathLike | BaseEstimator) -> Start:
    """Return the start that a parameter of `ADLDenoiser` names.

    TypeError, ValueError or OSError where it names none that can be trained on.
    """
    if isinstance(start, str) and start == RANDOM:
        return Start(None, {**SHAPE, **FROM_RANDOM})
    if isinstance(start, (str, os.PathLike)):
        path = UNIVERSAL_FILE if start == UNIVERSAL else Path(start)
        if not path.is_file():
            raise FileNotFoundError(
                f"start={str(start)!r} is neither one of {list(STARTS)} nor a file "
                "that is there; give one of these, or the path of a saved model."
            )
        contents = read_model_file(path)
        network, conditioning = contents.network, contents.conditioning
    else:
        network, conditioning = _of_estimator(start)
    if conditioning.kind != "noise":
        raise ValueError(
            f"the start has conditioning={conditioning.kind!r}: it knows only the "
            'sensors it was fitted on. Start from a model with conditioning="noise".'
        )
    is_universal = isinstance(start, str) and start == UNIVERSAL
    others = OTHER_FILES if is_universal else {}
    return Start(network, {**_shape_of(network), **FROM_TRAINED}, others)


def _of_estimator(start: Any) -> tuple[ModulatedNetwork, Conditioning]:
    # scikit-learn's FrozenEstimator keeps a fit that searches would clone away.
    model = getattr(start, "estimator", start)
    if not isinstance(model, NetworkDenoiser):
        raise TypeError(
            f'start must be "universal", "random", the path of a saved model or a '
            f"fitted denoiser with a network, got {type(start).__name__}."
        )
    if not hasattr(model, "module_"):
        raise NotFittedError(
            "start is an estimator that is not fitted. Searches clone their "
            "estimators, which loses fits: give the path of a saved model, or "
            "sklearn.frozen.FrozenEstimator(model)."
        )
    return model.module_, model.conditioning_


def _shape_of(network: ModulatedNetwork) -> dict[str, Any]:
    shape = {"network": name_of(network), **network.describe()}
    return {name: shape.get(name) for name in SHAPE}
