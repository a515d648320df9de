"""Which network a name stands for; a new one is a file beside this and a line here."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from skadl.network.base import N_PLANES, ModulatedNetwork
from skadl.network.dense_unet import ModulatedDenseUNet
from skadl.network.direct_unet import DirectUNet
from skadl.network.local_unet import LocalUNet
from skadl.network.pyramid_unet import PyramidUNet
from skadl.network.unet import ModulatedUNet
from skadl.support.seeding import seeded

NETWORKS: dict[str, type[ModulatedNetwork]] = {
    "unet": ModulatedUNet,
    "local_unet": LocalUNet,
    "pyramid_unet": PyramidUNet,
    "dense_unet": ModulatedDenseUNet,
    "direct_unet": DirectUNet,
}
DEFAULT_NETWORK = "unet"


def build_network(
    n_metadata: int,
    base_channels: int,
    n_levels: int,
    mlp_width: int,
    device: torch.device,
    seed: int,
    name: str = DEFAULT_NETWORK,
    n_planes: int = N_PLANES,
) -> ModulatedNetwork:
    """Build an untrained network on a device, in channels_last.

    Drawn on the CPU, without touching torch's global random state, so that one seed
    gives one network on every device.
    """
    sizes = n_metadata, base_channels, n_levels, mlp_width, n_planes
    network = seeded(seed, lambda: NETWORKS[name](*sizes))
    return network.to(device=device, memory_format=torch.channels_last)


def name_of(network: ModulatedNetwork) -> str:
    """Return the name that `NETWORKS` has for a network's class."""
    for name, kind in NETWORKS.items():
        if type(network) is kind:
            return name
    raise ValueError(
        f"its network is a {type(network).__name__}, which skadl.network.choice does "
        "not name"
    )


def declare_network(
    description: Mapping[str, int], name: str = DEFAULT_NETWORK
) -> ModulatedNetwork:
    """Build a network from its `describe()`, without memory for its weights."""
    with torch.device("meta"), _WithoutDrawing():
        return NETWORKS[name](**description)


class _WithoutDrawing(TorchFunctionMode):
    """Leave out what only gives weights their start.

    On the meta device it does nothing, and yet costs a second: torch imports its
    Python implementations for it.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (Tensor.normal_, Tensor.uniform_, Tensor.mul):
            return args[0]
        function = torch.empty if function is torch.randn else function
        return function(*args, **(kwargs or {}))
