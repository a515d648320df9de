"""A folded network restated as nodes of an ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from skadl.network.base import SLOPE
from skadl.raw.mosaic import mirrored_axes

OPSET = 17  # onnxruntime 1.12 and OpenVINO 2022.1 know it


@dataclass(frozen=True)
class GraphMap:
    """What flows through a graph, by its name."""

    graph: GraphOperations
    name: str

    def __add__(self, other: GraphMap | float) -> GraphMap:
        return self.graph.add("Add", self, other)

    def __sub__(self, other: GraphMap | float) -> GraphMap:
        return self.graph.add("Sub", self, other)

    def __mul__(self, other: GraphMap | float) -> GraphMap:
        return self.graph.add("Mul", self, other)

    def __truediv__(self, other: GraphMap | float) -> GraphMap:
        return self.graph.add("Div", self, other)


class GraphOperations:
    """The operations of a folded network as nodes of a graph, for planes of `cfa`."""

    def __init__(self, cfa: str = "RGGB") -> None:
        self.cfa = cfa
        self.nodes, self.constants = [], []

    def convolve(
        self, y: GraphMap, conv: nn.Conv2d, rectified: bool = True
    ) -> GraphMap:
        """Add a convolution, mostly with its leaky ReLU."""
        side = conv.kernel_size[0]
        weights = self._add_weights(conv)
        y = self.add("Conv", y, *weights, kernel_shape=[side] * 2, pads=[side // 2] * 4)
        return self.add("LeakyRelu", y, alpha=SLOPE) if rectified else y

    def pool(self, y: GraphMap) -> GraphMap:
        """Take the largest of each 2x2."""
        return self.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])

    def upsample(self, y: GraphMap, up: nn.ConvTranspose2d) -> GraphMap:
        """Double both sides by a transposed convolution."""
        weights = self._add_weights(up)
        return self.add(
            "ConvTranspose", y, *weights, kernel_shape=[2, 2], strides=[2, 2]
        )

    def join(self, y: GraphMap, skip: GraphMap) -> GraphMap:
        """Put two maps' channels one after the other."""
        return self.add("Concat", y, skip, axis=1)

    def split(self, y: GraphMap, n_parts: int) -> tuple[GraphMap, ...]:
        """Return the channels in parts of equal number."""
        names = [f"Split_{len(self.nodes)}_{part}" for part in range(n_parts)]
        self.add_node("Split", [y.name], names, axis=1)
        return tuple(GraphMap(self, name) for name in names)

    def halve(self, y: GraphMap) -> GraphMap:
        """Take the mean of each 2x2."""
        return self.add("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])

    def double(self, y: GraphMap) -> GraphMap:
        """Double both sides by bilinear interpolation."""
        scales = GraphMap(self, self.add_constant("scales", np.array([1, 1, 2, 2])))
        none = GraphMap(self, "")  # no region of interest
        return self.add("Resize", y, none, scales, mode="linear")

    def average(self, y: GraphMap, reach: int) -> GraphMap:
        """Average over all pixels up to `reach` away."""
        return self.add(
            "AveragePool",
            y,
            kernel_shape=[2 * reach + 1] * 2,
            pads=[reach] * 4,
            count_include_pad=0,
        )

    def rectify(self, y: GraphMap) -> GraphMap:
        """Return the larger of each value and 0."""
        return self.add("Relu", y)

    def root(self, y: GraphMap) -> GraphMap:
        """Return the square root."""
        return self.add("Sqrt", y)

    def asinh(self, y: GraphMap) -> GraphMap:
        """Return the inverse hyperbolic sine."""
        return self.add("Asinh", y)

    def subtract(self, noisy: GraphMap, noise: GraphMap) -> GraphMap:
        """Return the denoised planes."""
        return self.add("Sub", noisy, noise)

    def add(self, kind: str, *inputs: GraphMap | float, **attributes: Any) -> GraphMap:
        """Add a node, and a constant for each input that is a number."""
        output = f"{kind}_{len(self.nodes)}"
        names = [
            y.name
            if isinstance(y, GraphMap)
            else self.add_constant("number", np.array(y))
            for y in inputs
        ]
        self.add_node(kind, names, [output], **attributes)
        return GraphMap(self, output)

    def add_node(
        self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any
    ) -> None:
        """Add a node by the names of what it reads and gives."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    def _add_weights(self, conv: nn.Conv2d | nn.ConvTranspose2d) -> list[GraphMap]:
        return [
            GraphMap(self, self.add_constant(kind, _mirrored(values, self.cfa)))
            for kind, values in {"weight": conv.weight, "bias": conv.bias}.items()
        ]

    def add_constant(self, kind: str, array: np.ndarray) -> str:
        """Add an array, in float32 unless it has 8 bits, and return its name."""
        from onnx import numpy_helper

        if not np.isfinite(array).all():
            raise ValueError(
                "the network holds NaN or infinity; fit again with a smaller "
                "learning_rate."
            )
        name = f"{kind}_{len(self.nodes)}"
        if array.dtype not in (np.int8, np.uint8):
            array = array.astype(np.float32)
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def _mirrored(values: Tensor, cfa: str) -> np.ndarray:
    """Mirror a kernel: the network knows RGGB geometry, the planes have that of `cfa`.

    That is the same as mirroring the planes before and after.
    """
    array = values.numpy()
    if array.ndim == 4:
        array = np.flip(array, mirrored_axes(cfa))
    return np.ascontiguousarray(array)
