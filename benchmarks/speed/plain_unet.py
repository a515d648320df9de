"""The modulated U-Net as one would write it first: the yardstick of `step.py`.

One MLP module for each gamma and each beta, as in Eq. 4 and 5 of the paper, and
Eq. 6 spelled out. Nothing is stacked, fused or laid out for speed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.network.unet import SLOPE, ModulatedUNet


class PlainUNet(nn.Module):
    """A plain twin of `skadl.network.unet.ModulatedUNet`, with the same arguments."""

    def __init__(
        self, n_metadata: int, base_channels: int, n_levels: int, mlp_width: int
    ) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(n_levels)]
        shapes = []  # of every 3x3 convolution, in forward order
        for before, width in zip([4, *widths], widths, strict=False):
            shapes += [(before, width), (width, width)]
        for width in reversed(widths[:-1]):
            shapes += [(2 * width, width), (width, width)]
        self.n_levels = n_levels
        self.convs = nn.ModuleList(nn.Conv2d(*shape, 3, padding=1) for shape in shapes)
        self.gammas = nn.ModuleList(_mlp(n_metadata, mlp_width, c) for _, c in shapes)
        self.betas = nn.ModuleList(_mlp(n_metadata, mlp_width, c) for _, c in shapes)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2)
            for width in reversed(widths[:-1])
        )
        self.head = nn.Conv2d(base_channels, 4, 1)

    def forward(self, x: Tensor, metadata: Tensor) -> Tensor:
        """Denoise a batch (B, 4, h, w) with its metadata (B, n_metadata)."""
        position = iter(range(len(self.convs)))
        skips = []
        y = x
        for level in range(self.n_levels):
            if level:
                y = F.max_pool2d(y, 2)  # (B, C/2, h, w) -> (B, C/2, h/2, w/2)
            for _ in range(2):
                y = self._modulated(y, metadata, next(position))
            skips.append(y)
        skips.pop()
        for up in self.ups:
            y = torch.cat([up(y), skips.pop()], dim=1)  # -> (B, 2C, 2h, 2w)
            for _ in range(2):
                y = self._modulated(y, metadata, next(position))
        return x - self.head(y)

    def _modulated(self, y: Tensor, metadata: Tensor, position: int) -> Tensor:
        y = self.convs[position](y)
        gamma = torch.tanh(self.gammas[position](metadata)) + 1
        beta = self.betas[position](metadata)
        return F.leaky_relu(gamma[..., None, None] * y + beta[..., None, None], SLOPE)


def plain_twin(network: ModulatedUNet) -> PlainUNet:
    """Build the plain network that computes the same function."""
    modulation = network.modulation
    _, n_metadata, mlp_width = modulation.weights[0].shape
    n_levels = len(network.encoder)
    plain = PlainUNet(n_metadata, network.head.in_channels, n_levels, mlp_width)
    pairs = [*network.encoder, *network.decoder]
    convs = [conv for pair in pairs for conv in (pair.first, pair.second)]
    _copy([*plain.convs, *plain.ups, plain.head], [*convs, *network.ups, network.head])
    start = 0  # of the MLPs of one channel count: gammas, then betas
    for group, positions in enumerate(modulation.positions.values()):
        for kind, mlps in enumerate((plain.gammas, plain.betas)):
            for i, position in enumerate(positions, start=kind * len(positions)):
                *hidden, last = (m for m in mlps[position] if isinstance(m, nn.Linear))
                for layer, weight, bias in zip(
                    hidden, modulation.weights, modulation.biases, strict=True
                ):
                    _set(layer, weight[start + i].T, bias[start + i, 0])
                weight, bias = (
                    modulation.last_weights[group],
                    modulation.last_biases[group],
                )
                _set(last, weight[i].T, bias[i, 0])
        start += 2 * len(positions)
    return plain


def _mlp(n_inputs: int, width: int, n_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_inputs, width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(width, width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(width, width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(width, n_outputs),
    )


def _copy(layers: list[nn.Module], originals: list[nn.Module]) -> None:
    for layer, original in zip(layers, originals, strict=True):
        _set(layer, original.weight, original.bias)


@torch.no_grad()
def _set(layer: nn.Module, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
