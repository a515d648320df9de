"""Parts for each domain: what they compute, and the plain U-Net that they become."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skadl.estimators.baselines.routed import (
    AlignedConv,
    RoutedUNet,
    TwoEntries,
    align,
    fold_alignments,
)
from skadl.network.choice import build_network

CPU = torch.device("cpu")


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_unet():
    unet = build_network(1, 4, 2, 4, CPU, 0)
    nn.init.normal_(unet.head.weight, std=0.1, generator=torch.Generator())
    return unet


def draw_alignments(part, seed):
    with torch.no_grad():
        part.scale.copy_(1 + 0.3 * draw(*part.scale.shape, seed=seed))
        part.shift.copy_(0.3 * draw(*part.shift.shape, seed=seed + 1))


def test_aligned_conv__each_domain__is_padded_aligned_convolved():
    conv = nn.Conv2d(3, 5, 3, padding=1)
    part = AlignedConv(conv, 3)
    draw_alignments(part, 1)
    part.averages = False
    x, domains = draw(4, 3, 6, 7), torch.tensor([2, 0, 1, 2])
    part.domain = domains
    padded = F.pad(x, (1, 1, 1, 1))
    aligned = padded * part.scale[domains][..., None, None]
    aligned = aligned + part.shift[domains][..., None, None]
    expected = F.conv2d(aligned, conv.weight, conv.bias)
    torch.testing.assert_close(part(x), expected, rtol=1e-5, atol=1e-5)


def test_aligned_conv__fresh__is_the_convolution():
    conv = nn.Conv2d(3, 5, 3, padding=1)
    part = AlignedConv(conv, 3)
    part.domain = torch.tensor([0, 2])
    x = draw(2, 3, 6, 6)
    torch.testing.assert_close(part(x), conv(x))


def test_settle__target__begins_at_the_average_of_the_others():
    part = AlignedConv(nn.Conv2d(3, 5, 3, padding=1), 4)
    draw_alignments(part, 1)
    others = part.scale[1:].clone(), part.shift[1:].clone()
    part.domain = torch.tensor([0])
    before = part(draw(1, 3, 5, 5))
    part.settle()
    for table, values in zip((part.scale, part.shift), others, strict=True):
        torch.testing.assert_close(table[0], values.mean(dim=0))
        assert torch.equal(table[1:], values)
    torch.testing.assert_close(part(draw(1, 3, 5, 5)), before)


def test_add_parallel__fresh__changes_nothing():
    part = AlignedConv(nn.Conv2d(3, 5, 3, padding=1), 2)
    part.settle()
    part.domain = torch.tensor([0])
    before = part(draw(1, 3, 5, 5))
    part.add_parallel()
    assert torch.equal(part(draw(1, 3, 5, 5)), before)


@pytest.mark.parametrize("has_parallel", [False, True])
def test_fold_alignments__is_the_network_of_the_target_up_to_the_border(has_parallel):
    unet = make_unet()
    aligned = align(unet, 3)
    for seed, part in enumerate(aligned):
        draw_alignments(part, 2 * seed)
        part.settle()
        if has_parallel:
            part.add_parallel()
            with torch.no_grad():
                part.parallel.weight.copy_(0.1 * draw(*part.parallel.weight.shape))
                part.parallel.bias.copy_(0.1 * draw(*part.parallel.bias.shape))
    network, x, target = RoutedUNet(unet), draw(2, 4, 8, 8), torch.zeros(2, 1)
    with torch.no_grad():
        expected = network(x, target)
        names = set(make_unet().state_dict())
        fold_alignments(unet)
        assert set(unet.state_dict()) == names
        torch.testing.assert_close(unet(x, target), expected, rtol=1e-4, atol=1e-4)


def test_two_entries__mixed_batch__is_each_domain_alone():
    unet = make_unet()
    unet.encoder[0] = entries = TwoEntries(unet.encoder[0])
    with torch.no_grad():
        entries.of_sources.first.weight.mul_(-1)
    network = RoutedUNet(unet)
    x, domains = draw(5, 4, 8, 8), torch.tensor([[1.0], [0.0], [1.0], [0.0], [0.0]])
    with torch.no_grad():
        mixed = network(x, domains)
        mixed_the_other_way = network(x, 1 - domains)
        for entry, domain in ((entries.of_target, 0), (entries.of_sources, 1)):
            unet.encoder[0] = entry
            own = domains[:, 0] == domain
            alone = unet(x[own], torch.zeros(int(own.sum()), 1))
            torch.testing.assert_close(mixed[own], alone, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(mixed[0], mixed_the_other_way[0])
