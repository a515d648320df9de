"""A folded U-Net in 8 bits: its maps and the weights of its inner convolutions.

A map has one range for all channels, found by showing the network an image. So that a
quiet channel is not lost beside a loud one, channels are brought nearer to one another
first, and the convolutions that read them the other way (Nagel et al., "Data-free
quantization through weight equalization and bias correction", ICCV 2019): a leaky
ReLU of ``s * y`` is s times that of y, so the network stays the same. The first
convolution reads the image and the last gives the result; both stay in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from skadl.network.base import SLOPE, FoldedNetwork, TensorOperations
from skadl.network.folded import FoldedUNet, with_weights
from skadl.network.onnx_graph import GraphMap, GraphOperations

# How far channels are brought together: 0 not at all, 1 until all have one range.
# Halfway maps and weights share the loss, as in SmoothQuant.
TOGETHER = 0.5
# Of a channel's values. What lies beyond, at the sharpest edges, is cut off, and the
# rest has finer steps: with all of them images in good light lost 0.04 dB, not 0.02.
INSIDE = 0.999
_ENOUGH = 2**14  # pixels of a map to find its ranges in; of larger ones every fourth
_SMALLEST = 1e-6  # part of the loudest channel that a silent one is taken for

Ranges = dict[nn.Module, tuple[Tensor, Tensor]]  # of each channel that a module gives


@dataclass(frozen=True, eq=False)
class QuantisedUNet:
    """A U-Net whose channels were brought together, and the ranges of its maps."""

    unet: FoldedUNet
    inputs: dict[nn.Module, tuple[float, float]]  # of modules that read 8 bits


@torch.no_grad()
def find_ranges(network: FoldedNetwork, planes: Tensor) -> Ranges:
    """Run a network on planes (1, 4, h, w); return what its modules give."""
    watching = _Watching()
    network.run(watching, planes)
    return watching.ranges


@torch.no_grad()
def quantise(unet: FoldedUNet, ranges: Ranges) -> QuantisedUNet:
    """Prepare a U-Net, whose `ranges` are known, for 8 bits."""
    inputs: dict[nn.Module, tuple[float, float]] = {}

    def changed(module: nn.Module, read: _Map | None, axis: int) -> tuple:
        """Return a module that reads a map scaled, and the scaled map it gives."""
        given = _Map.of(*ranges[module]) if module in ranges else None
        weight, bias = module.weight, module.bias
        shape = [1, 1, 1, 1]
        if read is not None:
            shape[axis] = -1
            weight = weight * read.scale.view(shape)
        if given is not None:
            shape = [1, 1, 1, 1]
            shape[1 - axis] = -1
            weight, bias = weight / given.scale.view(shape), bias / given.scale
        new = with_weights(module, weight, bias)
        if read is not None:
            inputs[new] = read.range
        return new, given

    encoder, ups, decoder, skips = [], [], [], []
    y = None
    for i, conv in enumerate(unet.encoder):
        if i and i % 2 == 0:
            skips.append(y)
        conv, y = changed(conv, y, 1)
        encoder.append(conv)
    for i, conv in enumerate(unet.decoder):
        if i % 2 == 0:
            up, y = changed(unet.ups[i // 2], y, 0)
            ups.append(up)
            y = y.join(skips.pop())
        conv, y = changed(conv, y, 1)
        decoder.append(conv)
    head, _ = changed(unet.head, y, 1)
    del inputs[head]
    return QuantisedUNet(FoldedUNet(encoder, ups, decoder, head), inputs)


@dataclass(frozen=True, eq=False)
class _Map:
    """A map's channels: what each is divided by, and its range after that."""

    scale: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, low: Tensor, high: Tensor) -> _Map:
        width = high - low
        width = width / width.max().clamp(min=1e-12)
        scale = width.clamp(min=_SMALLEST) ** TOGETHER
        return cls(scale, low / scale, high / scale)

    def join(self, other: _Map) -> _Map:
        pairs = (
            (self.scale, other.scale),
            (self.low, other.low),
            (self.high, other.high),
        )
        return _Map(*(torch.cat(pair) for pair in pairs))

    @property
    def range(self) -> tuple[float, float]:
        return self.low.min().item(), self.high.max().item()


class _Watching(TensorOperations):
    """The operations, with a note of the range of each channel; 0 is in all."""

    def __init__(self) -> None:
        self.ranges: Ranges = {}

    def convolve(self, y: Tensor, conv: nn.Conv2d, rectified: bool = True) -> Tensor:
        y = TensorOperations.convolve(y, conv, rectified)
        return self._note(conv, y) if rectified else y

    def upsample(self, y: Tensor, up: nn.ConvTranspose2d) -> Tensor:
        return self._note(up, up(y))

    def _note(self, module: nn.Module, y: Tensor) -> Tensor:
        _, n_channels, height, width = y.shape
        step = 2 if height * width > _ENOUGH else 1
        values = y[0, :, ::step, ::step].reshape(n_channels, -1).numpy()
        last = int(INSIDE * values.shape[1]) - 1
        first = values.shape[1] - 1 - last
        # By NumPy: torch takes twenty times as long.
        parted = torch.from_numpy(np.partition(values, (first, last), axis=1))
        low, high = parted[:, first], parted[:, last]
        self.ranges[module] = low.clamp(max=0), high.clamp(min=0)
        return y


class QuantisedGraph(GraphOperations):
    """The operations as nodes of a graph that reads and weighs in 8 bits."""

    def __init__(self, inputs: dict[nn.Module, tuple[float, float]]) -> None:
        super().__init__()
        self.inputs = inputs

    def convolve(
        self, y: GraphMap, conv: nn.Conv2d, rectified: bool = True
    ) -> GraphMap:
        """Add a convolution, mostly with its leaky ReLU."""
        if conv not in self.inputs:
            return super().convolve(y, conv, rectified)
        side = conv.kernel_size[0]
        y = self.add(
            "Conv",
            self._in_8_bits(y, *self.inputs[conv]),
            *self._weights_in_8_bits(conv, 0),
            kernel_shape=[side] * 2,
            pads=[side // 2] * 4,
        )
        return self.add("LeakyRelu", y, alpha=SLOPE) if rectified else y

    def upsample(self, y: GraphMap, up: nn.ConvTranspose2d) -> GraphMap:
        """Double both sides by a transposed convolution."""
        return self.add(
            "ConvTranspose",
            self._in_8_bits(y, *self.inputs[up]),
            *self._weights_in_8_bits(up, 1),
            kernel_shape=[2, 2],
            strides=[2, 2],
        )

    def _in_8_bits(self, y: GraphMap, low: float, high: float) -> GraphMap:
        step = max((high - low) / 255, 1e-12)
        step, zero = np.array(step), np.array(round(-low / step), np.uint8)
        facts = self._constants(step=step, zero=zero)
        y = self.add("QuantizeLinear", y, *facts)
        return self.add("DequantizeLinear", y, *facts)

    def _weights_in_8_bits(self, conv: nn.Module, axis: int) -> list[GraphMap]:
        """Each channel that is given, along an axis, has its own step."""
        weight = conv.weight.numpy()
        others = tuple(other for other in range(4) if other != axis)
        step = np.abs(weight).max(axis=others, keepdims=True) / 127
        step = np.maximum(step, 1e-12)
        whole = np.round(weight / step).astype(np.int8)
        zeros = np.zeros(step.size, np.int8)
        facts = self._constants(whole=whole, step=step.ravel(), zeros=zeros)
        (bias,) = self._constants(bias=conv.bias.numpy())
        return [self.add("DequantizeLinear", *facts, axis=axis), bias]

    def _constants(self, **arrays: np.ndarray) -> list[GraphMap]:
        return [
            GraphMap(self, self.add_constant(name, array))
            for name, array in arrays.items()
        ]
