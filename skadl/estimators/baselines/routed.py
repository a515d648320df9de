"""U-Nets with parts for each domain, which become plain ones when they are trained.

The metadata of an image is then the number of its domain, 0 for the target.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.network.unet import ModulatedUNet


class RoutedUNet(nn.Module):
    """A U-Net that sends each image through the parts of its domain.

    The parts are in the U-Net already, in the place of its own.
    """

    def __init__(self, unet: ModulatedUNet) -> None:
        super().__init__()
        self.unet = unet
        self.parts = [part for part in unet.modules() if isinstance(part, _Routed)]

    def forward(self, x: Tensor, metadata: Tensor) -> Tensor:
        """Denoise planes (B, 4, h, w) of domains (B, 1)."""
        for part in self.parts:
            part.domain = metadata[:, 0].long()
        return self.unet(x, torch.zeros_like(metadata))


class _Routed(nn.Module):
    """A part that depends on the domain (B,) of each image, told before `forward`."""

    domain: Tensor


class AlignedConv(_Routed):
    """A convolution whose input channels are scaled and shifted for each domain.

    LED's reparameterised block: one channel-wise alignment a camera before the
    convolution, and later a convolution in parallel that sees the input as it is. The
    padding is aligned like everything else, so that all of it folds into one
    convolution, up to the border. `conv` is the convolution to align.
    """

    def __init__(self, conv: nn.Conv2d, n_domains: int) -> None:
        super().__init__()
        self.conv = conv
        like = {"device": conv.weight.device}
        self.scale = nn.Parameter(torch.ones(n_domains, conv.in_channels, **like))
        self.shift = nn.Parameter(torch.zeros(n_domains, conv.in_channels, **like))
        self.averages = True  # domain 0 is the average of the others
        self.parallel: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, h, w) -> (B, C, h, w)."""
        scale, shift = (table[self.domain] for table in self.alignments())  # (B, C)
        y = self.conv(x * scale[..., None, None].to(x.dtype))
        offset = F.linear(shift, self.conv.weight.sum(dim=(2, 3)))
        y = y + offset[..., None, None].to(y.dtype)
        return y if self.parallel is None else y + self.parallel(x)

    def alignments(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift, each (n_domains, C_in)."""
        if not self.averages:
            return self.scale, self.shift
        return tuple(
            torch.cat([table[1:].mean(dim=0, keepdim=True), table[1:]])
            for table in (self.scale, self.shift)
        )

    @torch.no_grad()
    def settle(self) -> None:
        """Give domain 0 an alignment of its own, which begins at the average."""
        for table, averaged in zip(
            (self.scale, self.shift), self.alignments(), strict=True
        ):
            table.copy_(averaged)
        self.averages = False

    def add_parallel(self) -> None:
        """Add the convolution in parallel, which begins at zero."""
        self.parallel = copy.deepcopy(self.conv)
        nn.init.zeros_(self.parallel.weight)
        nn.init.zeros_(self.parallel.bias)

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """Return the plain convolution that does the same for domain 0."""
        scale, shift = (table[0] for table in self.alignments())
        conv = copy.deepcopy(self.conv)
        conv.bias.add_(F.linear(shift, conv.weight.sum(dim=(2, 3))))
        conv.weight.mul_(scale[:, None, None])
        if self.parallel is not None:
            conv.weight.add_(self.parallel.weight)
            conv.bias.add_(self.parallel.bias)
        return conv


class TwoEntries(_Routed):
    """The first two convolutions, apart for the target (0) and the sources (1)."""

    def __init__(self, entry: nn.Module) -> None:
        super().__init__()
        self.of_target = entry
        self.of_sources = copy.deepcopy(entry)

    def forward(self, x: Tensor, *codes: tuple[Tensor, Tensor]) -> Tensor:
        """(B, before, h, w) -> (B, C, h, w); codes of the modulation, (B, ...) each."""
        of_source = self.domain.bool()
        parts = []
        places = []
        for entry, chosen in (
            (self.of_target, ~of_source),
            (self.of_sources, of_source),
        ):
            if chosen.any():
                own = [tuple(code[chosen] for code in pair) for pair in codes]
                parts.append(entry(x[chosen], *own))
                places.append(chosen.nonzero()[:, 0])
        order = torch.cat(places).argsort()
        return torch.cat(parts)[order]


def align(unet: ModulatedUNet, n_domains: int) -> list[AlignedConv]:
    """Put an alignment before every 3x3 convolution, and return them."""
    aligned = []
    for pair in (*unet.encoder, *unet.decoder):
        for name in ("first", "second"):
            aligned.append(AlignedConv(getattr(pair, name), n_domains))
            setattr(pair, name, aligned[-1])
    return aligned


def fold_alignments(unet: ModulatedUNet) -> None:
    """Make it a plain U-Net again, which does for all what it did for domain 0."""
    for pair in (*unet.encoder, *unet.decoder):
        for name in ("first", "second"):
            setattr(pair, name, getattr(pair, name).folded())
