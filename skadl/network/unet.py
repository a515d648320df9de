"""The modulated U-Net, in the order in which a forward pass meets its parts.

Backbone: the two-convolutions-a-level U-Net of Chen et al., "Learning to See in
the Dark" (CVPR 2018). Modulation: Eq. 4-6 of Qian et al., "Adaptive Domain
Learning for Cross-domain Image Denoising" (NeurIPS 2024). The paper's appendix
uses dense blocks: `skadl.network.dense_unet`. Plain ones have a fast form on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.network.base import N_PLANES, SLOPE, ModulatedNetwork
from skadl.network.folded import (
    FoldedUNet,
    fold_convolution,
    multiple_of,
    with_weights,
)

Codes = Iterator[Sequence[Tensor]]  # gamma and beta of each convolution in turn
_VECTOR = 32  # values of bfloat16 that processors take at a time


class ModulatedUNet(ModulatedNetwork):
    """Predict the noise of packed planes, knowing where they come from.

    Parameters
    ----------
    n_metadata : int
        Length of the metadata vector of an image.
    base_channels : int
        Channels at full packed resolution; they double at each level.
    n_levels : int
        Resolutions; sides must be multiples of ``2 ** (n_levels - 1)``.
    mlp_width : int
        Hidden width of the modulation MLPs.
    n_planes : int, default=4
        Planes that it is shown and gives.

    Notes
    -----
    The last layer starts at zero, so an untrained network returns its input, and
    the modulation starts as the identity (gamma = 1, beta = 0), so a sensor code
    never seen changes nothing.
    """

    SIZES = MappingProxyType(
        {
            "n_metadata": 2**16,
            "base_channels": 2**16,
            "n_levels": 8,
            "mlp_width": 2**16,
            "n_planes": 2**8,
        }
    )

    n_maps = 1  # of all planes, that `body` takes and gives

    def __init__(
        self,
        n_metadata: int,
        base_channels: int,
        n_levels: int,
        mlp_width: int,
        n_planes: int = N_PLANES,
    ) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(n_levels)]
        self.multiple, self.n_planes = multiple_of(n_levels), n_planes
        n_channels = self.n_maps * n_planes
        self.encoder = nn.ModuleList(
            _ConvPair(before, width)
            for before, width in zip([n_channels, *widths[:-1]], widths, strict=True)
        )
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, kernel_size=2, stride=2)
            for width in reversed(widths[:-1])
        )
        self.decoder = nn.ModuleList(
            _ConvPair(2 * width, width) for width in reversed(widths[:-1])
        )
        self.head = nn.Conv2d(base_channels, n_channels, kernel_size=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        conv_widths = [w for w in widths for _ in range(2)]
        conv_widths += [w for w in reversed(widths[:-1]) for _ in range(2)]
        self.modulation = ModulationMLPs(n_metadata, conv_widths, mlp_width)

    def forward(self, x: Tensor, metadata: Tensor) -> Tensor:
        """Denoise a batch.

        Parameters
        ----------
        x : Tensor of shape (B, 4, h, w)
            Normalised planes in RGGB geometry, black at 0.
        metadata : Tensor of shape (B, n_metadata)

        Returns
        -------
        Tensor of shape (B, 4, h, w)
            In the dtype of `x`, whatever the precision inside.
        """
        return x - self.body(x, metadata).to(x.dtype)

    def body(self, features: Tensor, metadata: Tensor) -> Tensor:
        """Run the U-Net, in the precision inside, on what it is shown of the planes.

        Parameters
        ----------
        features : Tensor of shape (B, C_in, h, w)
            Here the planes themselves.
        metadata : Tensor of shape (B, n_metadata)

        Returns
        -------
        Tensor of shape (B, C_out, h, w)
            Here what is to be taken off the planes.
        """
        return self.walk(features, self.modulation(metadata))

    def walk(self, features: Tensor, codes: Codes) -> Tensor:
        """Run `body` on codes that were made before.

        Parameters
        ----------
        features : Tensor of shape (B, C, h, w)
        codes : iterator of sequences of Tensor of shape (B, C, 1, 1)
            Scale (gamma) and shift (beta) of each convolution in turn.

        Returns
        -------
        Tensor of shape (B, C_out, h, w)
        """
        skips = []
        y = features
        for level, convs in enumerate(self.encoder):
            if level:
                y = F.max_pool2d(y, 2)  # (B, C/2, h, w) -> (B, C/2, h/2, w/2)
            y = convs(y, next(codes), next(codes))  # -> (B, C, h, w)
            skips.append(y)
        skips.pop()
        for up, convs in zip(self.ups, self.decoder, strict=True):
            y = upsample_onto(y, skips.pop(), up)  # -> (B, 2C, h, w)
            y = convs(y, next(codes), next(codes))  # -> (B, C, h, w)
        return self.head(y)  # (B, C, h, w) -> (B, C_out, h, w)

    @torch.no_grad()
    def fold(self, metadata: Tensor | np.ndarray) -> FoldedUNet:
        """Return the network of one image, in channels_last.

        Parameters
        ----------
        metadata : Tensor or ndarray of shape (n_metadata,)
            Of the image, from `Conditioning.vector`.

        Returns
        -------
        FoldedUNet
            On the device of this network, which stays as it is, without gradients.
            Equal to ``network(x, metadata)`` but for rounding.
        """
        device = self.head.weight.device
        metadata = torch.as_tensor(metadata, dtype=torch.float32, device=device)
        codes = self.modulation(metadata[None])
        encoder, decoder = (
            [
                fold_convolution(conv, *(code[0] for code in next(codes)))
                for pair in pairs
                for conv in (pair.first, pair.second)
            ]
            for pairs in (self.encoder, self.decoder)
        )
        ups, (head,) = (
            [with_weights(c, c.weight.clone(), c.bias.clone()) for c in convs]
            for convs in (self.ups, [self.head])
        )
        folded = FoldedUNet(encoder, ups, decoder, head)
        folded = folded.to(memory_format=torch.channels_last)
        return folded.requires_grad_(False).eval()

    def describe(self) -> dict[str, int]:
        """Return the arguments that build a network of this shape."""
        _, n_metadata, mlp_width = self.modulation.weights[0].shape
        return {
            "n_metadata": n_metadata,
            "base_channels": self.head.in_channels,
            "n_levels": len(self.encoder),
            "mlp_width": mlp_width,
            "n_planes": self.n_planes,
        }


class _ConvPair(nn.Module):
    """Two 3x3 convolutions, each modulated and rectified."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, width, kernel_size=3, padding=1)
        self.second = nn.Conv2d(width, width, kernel_size=3, padding=1)
        for conv in (self.first, self.second):
            nn.init.kaiming_normal_(conv.weight, a=SLOPE)
            nn.init.zeros_(conv.bias)

    def forward(
        self, x: Tensor, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
    ) -> Tensor:
        y = modulate(self.first(x), *first)  # (B, before, h, w) -> (B, width, h, w)
        return modulate(self.second(y), *second)


class ModulationMLPs(nn.Module):
    """A gamma- and a beta-MLP of four layers for every convolution (Eq. 4 and 5).

    All MLPs are stacked and run as a handful of batched products: the hidden
    layers of all of them together, the last layer once for each channel count.
    `conv_widths` are the channels of each convolution, in forward order.
    """

    def __init__(self, n_metadata: int, conv_widths: list[int], mlp_width: int) -> None:
        super().__init__()
        self.conv_widths = conv_widths
        n_mlps = 2 * len(conv_widths)
        sizes = [n_metadata, mlp_width, mlp_width, mlp_width]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(n_mlps, before, after) * (2 / before) ** 0.5)
            for before, after in zip(sizes, sizes[1:], strict=False)
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.zeros(n_mlps, 1, after)) for after in sizes[1:]
        )
        self.last_weights = nn.ParameterList(
            nn.Parameter(torch.zeros(2 * conv_widths.count(width), mlp_width, width))
            for width in sorted(set(conv_widths))
        )
        self.last_biases = nn.ParameterList(
            nn.Parameter(torch.zeros(2 * conv_widths.count(width), 1, width))
            for width in sorted(set(conv_widths))
        )
        # The MLPs of one channel count lie together: gammas first, then betas.
        positions = {width: [] for width in sorted(set(conv_widths))}
        for position, width in enumerate(conv_widths):
            positions[width].append(position)
        self.positions = positions

    def forward(self, metadata: Tensor) -> Codes:
        """Return (gamma, beta), each (B, C, 1, 1), of each convolution in turn."""
        (codes,) = self.of_parts(metadata, 1)
        return codes

    def of_parts(self, metadata: Tensor, n_parts: int) -> list[Codes]:
        """Return what `forward` does of each of so many equal parts of a batch.

        In the precision of the convolutions: else autocast would promote the whole
        feature map to float32.
        """
        device = metadata.device.type
        dtype = metadata.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        parts = [[None] * len(self.conv_widths) for _ in range(n_parts)]
        with torch.autocast(device, enabled=False):
            n_mlps = self.weights[0].shape[0]
            h = metadata.expand(n_mlps, *metadata.shape)  # (B, M) -> (n_mlps, B, M)
            for weight, bias in zip(self.weights, self.biases, strict=True):
                h = F.leaky_relu(torch.baddbmm(bias, h, weight), SLOPE)
            start = 0
            for positions, weight, bias in zip(
                self.positions.values(),
                self.last_weights,
                self.last_biases,
                strict=True,
            ):
                stop = start + weight.shape[0]
                out = torch.baddbmm(bias, h[start:stop], weight)  # (2n, B, C)
                start = stop
                gamma, beta = out[..., None, None].chunk(2)  # -> (n, B, C, 1, 1)
                gamma, beta = (1 + torch.tanh(gamma)).to(dtype), beta.to(dtype)
                # of a part (n, B / n_parts, C, 1, 1)
                for part, *codes in zip(
                    parts,
                    gamma.chunk(n_parts, dim=1),
                    beta.chunk(n_parts, dim=1),
                    strict=True,
                ):
                    for position, *of_conv in zip(
                        positions, *(code.unbind() for code in codes), strict=True
                    ):
                        part[position] = of_conv
        return [iter(part) for part in parts]


def modulate(y: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Scale, shift and rectify (B, C, h, w) by (B, C, 1, 1): leaky ReLU of Eq. 6."""
    batch, channels, height, width = y.shape
    is_slow = (
        y.device.type == "cpu"
        and y.dtype == torch.bfloat16
        and channels < _VECTOR
        and y.is_contiguous(memory_format=torch.channels_last)
    )
    if not is_slow:
        return F.leaky_relu(torch.addcmul(beta, y, gamma), SLOPE, inplace=True)
    # Channels of a pixel do not fill a vector, those of a whole row do: a fifth of the
    # time, with what was told once for each pixel of a row.
    rows = y.permute(0, 2, 3, 1).view(batch, height, width * channels)
    gamma, beta = (
        code.view(batch, 1, channels).repeat(1, 1, width) for code in (gamma, beta)
    )
    rows = F.leaky_relu(torch.addcmul(beta, rows, gamma), SLOPE, inplace=True)
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)


def upsample_onto(y: Tensor, skip: Tensor, up: nn.ConvTranspose2d) -> Tensor:
    """Upsample (B, 2C, h, w), and put it before `skip` (B, C, 2h, 2w)."""
    if y.device.type != "cpu" or y.dtype != torch.bfloat16:
        return torch.cat([up(y), skip], dim=1)
    # On a CPU the weight's gradient of a transposed convolution costs four times as
    # much in bfloat16 as that of the same four 1x1 convolutions. (2C, C, 2, 2) ->
    weight = up.weight.permute(2, 3, 1, 0).flatten(0, 2)[..., None, None]  # (4C, 2C)
    parts = F.conv2d(y, weight, up.bias.repeat(4))  # -> (B, 4C, h, w)
    batch, _, height, width = y.shape
    # By pixels: (B, h, w, 2 * 2 * C) -> (B, h, 2, w, 2, C)
    parts = parts.permute(0, 2, 3, 1).view(batch, height, width, 2, 2, -1)
    skip = skip.permute(0, 2, 3, 1).view(batch, height, 2, width, 2, -1)
    y = torch.cat([parts.transpose(2, 3), skip], dim=-1)
    return y.view(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)
