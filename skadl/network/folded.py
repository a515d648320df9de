"""The U-Net of one image: its modulation folded into the convolutions.

Sensor, ISO and noise are the same all over an image, so each gamma and beta of
Eq. 6 is a number for each channel, and ``gamma * (W x + b) + beta`` is a plain
convolution with weights ``gamma * W`` and bias ``gamma * b + beta``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.network.unet import SLOPE, ModulatedUNet


class FoldedUNet(nn.Module):
    """Denoise packed planes of one sensor, ISO and noise level; made by `fold`.

    Parameters
    ----------
    encoder, decoder : iterable of Conv2d
        Two for each level, in forward order.
    ups : iterable of ConvTranspose2d
    head : Conv2d

    Attributes
    ----------
    multiple : int
        Sides must be multiples of it.
    halo : int
        Packed pixels around a tile that its result depends on, see `exact_halo`.
    """

    def __init__(
        self,
        encoder: Iterable[nn.Conv2d],
        ups: Iterable[nn.ConvTranspose2d],
        decoder: Iterable[nn.Conv2d],
        head: nn.Conv2d,
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(encoder)
        self.ups = nn.ModuleList(ups)
        self.decoder = nn.ModuleList(decoder)
        self.head = head
        n_levels = len(self.encoder) // 2
        self.multiple = 2 ** (n_levels - 1)
        self.halo = exact_halo(n_levels)

    def forward(self, x: Tensor) -> Tensor:
        """Denoise a batch.

        Parameters
        ----------
        x : Tensor of shape (B, 4, h, w)
            Normalised planes in RGGB geometry, black at 0.

        Returns
        -------
        Tensor of shape (B, 4, h, w)
            In the dtype of `x`, whatever the precision inside.
        """
        skips = []
        y = x
        # One name for every map, so that each is freed as soon as it has been read.
        for i, conv in enumerate(self.encoder):
            if i and i % 2 == 0:
                skips.append(y)
                y = F.max_pool2d(y, 2)  # (B, C/2, h, w) -> (B, C/2, h/2, w/2)
            y = F.leaky_relu(conv(y), SLOPE, inplace=True)  # -> (B, C, h, w)
        for i, conv in enumerate(self.decoder):
            if i % 2 == 0:
                y = self.ups[i // 2](y)  # (B, 2C, h/2, w/2) -> (B, C, h, w)
                y = torch.cat([y, skips.pop()], dim=1)  # -> (B, 2C, h, w)
            y = F.leaky_relu(conv(y), SLOPE, inplace=True)  # -> (B, C, h, w)
        return x - self.head(y).to(x.dtype)  # (B, C, h, w) -> (B, 4, h, w)


@torch.no_grad()
def fold(network: ModulatedUNet, metadata: Tensor | np.ndarray) -> FoldedUNet:
    """Return the network of one image, with a quarter less work for the same result.

    Parameters
    ----------
    network : ModulatedUNet
        Left as it is.
    metadata : Tensor or ndarray of shape (n_metadata,)
        Of the image, from `Conditioning.vector`.

    Returns
    -------
    FoldedUNet
        On the device of `network`, in channels_last, without gradients. Equal to
        ``network(x, metadata)`` but for rounding.
    """
    device = network.head.weight.device
    metadata = torch.as_tensor(metadata, dtype=torch.float32, device=device)
    codes = network.modulation(metadata[None])
    folded = FoldedUNet(
        encoder=_fold_pairs(network.encoder, codes),
        ups=[copy.deepcopy(up) for up in network.ups],
        decoder=_fold_pairs(network.decoder, codes),
        head=copy.deepcopy(network.head),
    )
    folded = folded.to(memory_format=torch.channels_last)
    return folded.requires_grad_(False).eval()


def exact_halo(n_levels: int) -> int:
    """Return how far around a tile a U-Net looks, so that tiles equal the whole.

    Parameters
    ----------
    n_levels : int
        Of the U-Net: two 3x3 convolutions at each, on the way down and up.

    Returns
    -------
    int
        In packed pixels, a multiple of ``2 ** (n_levels - 1)``.

    Notes
    -----
    Followed backwards from the border of a tile whose corners are multiples of
    ``2 ** (n_levels - 1)``: two convolutions reach two pixels further, an
    upsampling reads the half as many pixels (rounded up) below it, a pooling reads
    both pixels of each.

    Examples
    --------
    >>> [exact_halo(n_levels) for n_levels in (3, 4, 5)]
    [24, 48, 96]
    """
    reach = 0
    for _ in range(n_levels - 1):
        reach = -(-(reach + 2) // 2)
    reach += 2
    for _ in range(n_levels - 1):
        reach = 2 * reach + 2
    multiple = 2 ** (n_levels - 1)
    return -(-reach // multiple) * multiple


def _fold_pairs(
    pairs: nn.ModuleList, codes: Iterator[tuple[Tensor, Tensor]]
) -> Iterator[nn.Conv2d]:
    for pair in pairs:
        for conv in (pair.first, pair.second):
            gamma, beta = (code[0] for code in next(codes))  # each (C, 1, 1)
            conv = copy.deepcopy(conv)
            conv.weight.mul_(gamma[..., None])  # (C, before, 3, 3)
            conv.bias.mul_(gamma.flatten()).add_(beta.flatten())
            yield conv
