"""The U-Net that gives the image: no residual, and not the identity to begin with."""

from __future__ import annotations

import torch

from skadl.network.choice import build_network, declare_network, name_of
from skadl.network.direct_unet import DirectUNet


def test_direct_unet__result__is_the_body_and_depends_on_its_draw():
    x, metadata = torch.rand(1, 4, 8, 8), torch.zeros(1, 1)
    cpu = torch.device("cpu")
    first, other = (build_network(1, 4, 2, 4, cpu, s, "direct_unet") for s in (0, 1))
    assert torch.equal(first(x, metadata), first.body(x, metadata))
    assert not torch.allclose(first(x, metadata), x, atol=0.1)
    assert not torch.allclose(first(x, metadata), other(x, metadata))


def test_direct_unet__its_description__builds_it_again():
    network = build_network(2, 4, 3, 5, torch.device("cpu"), 0, "direct_unet")
    assert name_of(network) == "direct_unet"
    assert type(declare_network(network.describe(), "direct_unet")) is DirectUNet
