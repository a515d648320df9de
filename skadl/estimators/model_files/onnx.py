"""A fitted network for programs without torch: ONNX, for one sensor, ISO and ratio.

The modulation is folded into the convolutions, so a file holds plain convolutions
for one noise level: an application keeps one file for each ISO that it offers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

import skadl
from skadl.estimators.base import RawDenoiser
from skadl.network.base import N_PLANES, SLOPE, FoldedNetwork
from skadl.noise.noise_level import expected_noise
from skadl.noise.sensors import SensorInfo
from skadl.prediction.fitted_model import FittedModel
from skadl.raw.mosaic import mirrored_axes
from skadl.support.extras import import_extra
from skadl.support.writing import atomic_write, check_folder

OPSET = 17  # onnxruntime 1.12 and OpenVINO 2022.1 know it
METADATA_ENTRY = "skadl"


def export_onnx(
    denoiser: RawDenoiser,
    path: str | Path,
    sensor: str | SensorInfo,
    iso: float,
    ratio: float = 1.0,
) -> Path:
    """Write the network for one sensor, ISO and light factor as an ONNX file.

    Parameters
    ----------
    denoiser : ADLDenoiser
        Fitted, or another denoiser that has a network.
    path : str or Path
        File to write, in an existing folder.
    sensor : str or SensorInfo
        As in `ADLDenoiser.predict`.
    iso : float
    ratio : float, default=1
        Light factor.

    Returns
    -------
    Path
        The file written. Its graph maps ``noisy`` to ``denoised``, both float32 of
        shape (batch, 4, h, w): packed planes R, Gr, Gb, B in the sensor's own
        geometry, black at 0 and white at 1, times `ratio`. Sides are free, but
        multiples of ``multiple``. The entry "skadl" of its metadata is a JSON object
        of skadl_version, sensor, iso, ratio, cfa, black_level and white_level (in
        counts), offset (of each plane, to be taken off the normalised planes first),
        multiple, and halo: how many packed pixels tiles must overlap on each side.

    Raises
    ------
    ImportError
        If onnx is not installed.
    NotFittedError, ValueError, OSError
        Before `fit`; if the sensor or its noise is not known, iso or ratio is not
        positive, or the weights are not finite; if the file cannot be written.

    Notes
    -----
    The network alone: `ADLDenoiser.predict` also gives each plane its mean back and
    holds back corrections that its safeguard finds harmful.
    """
    onnx = import_extra("onnx", "onnx", "export_onnx")
    for name, value in {"iso": iso, "ratio": ratio}.items():
        if not 0 < value < np.inf:
            raise ValueError(f"{name} must be a positive number, got {value!r}.")
    path = Path(path)
    check_folder(path)
    model = denoiser.fitted_model()
    if not isinstance(model, FittedModel):
        raise TypeError(
            f"export_onnx writes a network, and {type(denoiser).__name__} has none; "
            "give a fitted denoiser that has."
        )
    given, name = (sensor, None) if isinstance(sensor, SensorInfo) else (None, sensor)
    info = model.resolve_sensor(name, given)
    noise = expected_noise(info, iso, ratio)
    codes = model.conditioning.vector(name, iso, ratio, noise)
    folded = model.network.fold(codes).cpu()
    metadata = {
        "skadl_version": skadl.__version__,
        "sensor": name,
        "iso": float(iso),
        "ratio": float(ratio),
        "cfa": info.cfa,
        "black_level": np.asarray(info.black_level, dtype=float).tolist(),
        "white_level": float(info.white_level),
        "offset": (info.offset_at(iso) * (ratio / info.span)).tolist(),
        "multiple": folded.multiple,
        "halo": folded.halo,
    }
    graph = onnx_model(folded, info.cfa, metadata)
    with atomic_write(path) as part:
        onnx.save_model(graph, part)
    return path


def onnx_model(network: FoldedNetwork, cfa: str, metadata: Mapping[str, Any]) -> Any:
    """Restate a folded network on the CPU as an ONNX graph for planes of pattern `cfa`.

    `metadata` are plain values. ValueError if a weight is not finite.
    """
    from onnx import TensorProto, checker, helper

    operations = _GraphOperations(cfa)
    network.run(operations, _Map(operations, "noisy"))
    operations.nodes[-1].output[0] = "denoised"

    shape = ["batch", N_PLANES, "height", "width"]
    noisy, denoised = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name in ("noisy", "denoised")
    )
    graph = helper.make_graph(
        operations.nodes, "skadl", [noisy], [denoised], operations.constants
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model_gen_version(
        graph,
        opset_imports=[opset],
        producer_name="skadl",
        producer_version=skadl.__version__,
    )
    helper.set_model_props(
        model, {METADATA_ENTRY: json.dumps(metadata, allow_nan=False)}
    )
    checker.check_model(model, full_check=True)
    return model


@dataclass(frozen=True)
class _Map:
    """What flows through a graph, by its name."""

    graph: _GraphOperations
    name: str

    def __add__(self, other: _Map | float) -> _Map:
        return self.graph.add("Add", self, other)

    def __sub__(self, other: _Map | float) -> _Map:
        return self.graph.add("Sub", self, other)

    def __mul__(self, other: _Map | float) -> _Map:
        return self.graph.add("Mul", self, other)

    def __truediv__(self, other: _Map | float) -> _Map:
        return self.graph.add("Div", self, other)


class _GraphOperations:
    """The operations of a folded network as nodes of a graph."""

    def __init__(self, cfa: str) -> None:
        self.cfa = cfa
        self.nodes, self.constants = [], []

    def convolve(self, y: _Map, conv: nn.Conv2d, rectified: bool = True) -> _Map:
        side = conv.kernel_size[0]
        weights = self._add_weights(conv)
        y = self.add("Conv", y, *weights, kernel_shape=[side] * 2, pads=[side // 2] * 4)
        return self.add("LeakyRelu", y, alpha=SLOPE) if rectified else y

    def pool(self, y: _Map) -> _Map:
        return self.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])

    def upsample(self, y: _Map, up: nn.ConvTranspose2d) -> _Map:
        weights = self._add_weights(up)
        return self.add(
            "ConvTranspose", y, *weights, kernel_shape=[2, 2], strides=[2, 2]
        )

    def join(self, y: _Map, skip: _Map) -> _Map:
        return self.add("Concat", y, skip, axis=1)

    def split(self, y: _Map, n_parts: int) -> tuple[_Map, ...]:
        names = [f"Split_{len(self.nodes)}_{part}" for part in range(n_parts)]
        self._add_node("Split", [y.name], names, axis=1)
        return tuple(_Map(self, name) for name in names)

    def halve(self, y: _Map) -> _Map:
        return self.add("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])

    def double(self, y: _Map) -> _Map:
        scales = _Map(self, self._add_constant("scales", np.array([1, 1, 2, 2])))
        none = _Map(self, "")  # no region of interest
        return self.add("Resize", y, none, scales, mode="linear")

    def average(self, y: _Map, reach: int) -> _Map:
        return self.add(
            "AveragePool",
            y,
            kernel_shape=[2 * reach + 1] * 2,
            pads=[reach] * 4,
            count_include_pad=0,
        )

    def rectify(self, y: _Map) -> _Map:
        return self.add("Relu", y)

    def root(self, y: _Map) -> _Map:
        return self.add("Sqrt", y)

    def asinh(self, y: _Map) -> _Map:
        return self.add("Asinh", y)

    def subtract(self, noisy: _Map, noise: _Map) -> _Map:
        return self.add("Sub", noisy, noise)

    def add(self, kind: str, *inputs: _Map | float, **attributes: Any) -> _Map:
        """Add a node, and a constant for each input that is a number."""
        output = f"{kind}_{len(self.nodes)}"
        names = [
            y.name if isinstance(y, _Map) else self._add_constant("number", np.array(y))
            for y in inputs
        ]
        self._add_node(kind, names, [output], **attributes)
        return _Map(self, output)

    def _add_node(
        self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any
    ) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    def _add_weights(self, conv: nn.Conv2d | nn.ConvTranspose2d) -> list[_Map]:
        return [
            _Map(self, self._add_constant(kind, _mirrored(values, self.cfa)))
            for kind, values in {"weight": conv.weight, "bias": conv.bias}.items()
        ]

    def _add_constant(self, kind: str, array: np.ndarray) -> str:
        from onnx import numpy_helper

        if not np.isfinite(array).all():
            raise ValueError(
                "the network holds NaN or infinity; fit again with a smaller "
                "learning_rate."
            )
        name = f"{kind}_{len(self.nodes)}"
        self.constants.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name


def _mirrored(values: Tensor, cfa: str) -> np.ndarray:
    """Mirror a kernel: the network knows RGGB geometry, the planes have that of `cfa`.

    That is the same as mirroring the planes before and after.
    """
    array = values.numpy()
    if array.ndim == 4:
        array = np.flip(array, mirrored_axes(cfa))
    return np.ascontiguousarray(array)
