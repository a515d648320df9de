"""The convolutions of a folded network in another program than torch, on the CPU.

A U-Net is handed over as a graph for tiles of one shape, once for each noise level: the
modulation is folded into its weights. With sides left open OpenVINO turns maps round
and back, a fifth of its time. A session is found again by its graph, so that images of
one noise level share it; it belongs to no estimator.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from skadl.network.folded import FoldedUNet
from skadl.network.onnx_graph import OPSET, GraphMap, GraphOperations
from skadl.network.quantised import QuantisedGraph, QuantisedUNet
from skadl.support.device import resolve_precision
from skadl.support.extras import import_extra

_MOST_SESSIONS = 2  # each keeps the memory of its maps; an image has two large scales
# Of a tile in one go, by an engine, in maps of the first level in float32.
_MAPS, _MAPS_IN_8_BITS = 5, 3.5

Body = Callable[[Tensor], Tensor]


def choose_engine(engine: str, dtype: torch.dtype | None, device: torch.device) -> str:
    """Choose "torch", "onnxruntime" or "openvino"; say what is missing.

    ImportError where a package is, ValueError where the engine cannot do it.
    """
    in_8_bits = dtype == torch.int8
    if engine == "auto":
        # In float32 and bfloat16 none is faster than torch in strips.
        engine = "openvino" if in_8_bits else "torch"
    if in_8_bits and engine != "openvino":
        raise ValueError(
            f"precision='int8' is computed by OpenVINO, not by {engine!r}; use "
            "engine='auto'."
        )
    if engine == "torch":
        return engine
    if device.type != "cpu":
        raise ValueError(
            f"engine={engine!r} and 8 bits are for the CPU, and the network is on "
            f"{device}; use engine='torch', or load the model with device='cpu'."
        )
    for module in ("onnx", engine):
        import_extra(module, engine, f"predict with engine={engine!r}")
    return engine


def dtype_around(engine: str, dtype: torch.dtype | None) -> torch.dtype | None:
    """Return the dtype of what an engine is shown and gives; None is float32.

    Around 8 bits it is bfloat16 where the processor computes in it.
    """
    if dtype == torch.int8:
        return resolve_precision("auto", torch.device("cpu"))
    return None if engine == "onnxruntime" else dtype


def bytes_kept(unet: FoldedUNet, in_8_bits: bool) -> float:
    """Return the bytes that a pixel of a tile takes in an engine."""
    n_maps = _MAPS_IN_8_BITS if in_8_bits else _MAPS
    n_shown, n_given = unet.encoder[0].weight.shape[1], len(unet.head.weight)
    return 4 * (n_maps * unet.head.weight.shape[1] + n_shown + n_given)


def engine_body(
    unet: FoldedUNet | QuantisedUNet, engine: str, dtype: torch.dtype | None
) -> Body:
    """Return a function from what a U-Net is shown to what its head gives.

    Maps (1, C, h, w) in channels_last, of `dtype_around`. The next call writes into
    the same memory; so a thread needs a body of its own. Tiles of another shape are
    another session.
    """
    n_threads = torch.get_num_threads()
    start = _in_openvino if engine == "openvino" else _in_onnxruntime

    @lru_cache(maxsize=1)
    def session(height: int, width: int) -> Body:
        graph = _graph_of(unet, height, width, dtype == torch.bfloat16)
        return start(graph, n_threads)

    def body(features: Tensor) -> Tensor:
        features = features.contiguous(memory_format=torch.channels_last)
        pixels = features.permute(0, 2, 3, 1)  # (1, h, w, C)
        return session(*pixels.shape[1:3])(pixels).permute(0, 3, 1, 2)

    return body


def _graph_of(
    unet: FoldedUNet | QuantisedUNet, height: int, width: int, in_bfloat16: bool
) -> bytes:
    from onnx import TensorProto, helper

    operations = GraphOperations()
    if isinstance(unet, QuantisedUNet):
        operations, unet = QuantisedGraph(unet.inputs), unet.unet
    outside = TensorProto.BFLOAT16 if in_bfloat16 else TensorProto.FLOAT
    y = GraphMap(operations, "features")
    y = operations.add("Cast", y, to=TensorProto.FLOAT)
    y = operations.add("Transpose", y, perm=[0, 3, 1, 2])
    y = unet.body(operations, y)
    y = operations.add("Transpose", y, perm=[0, 2, 3, 1])
    operations.add("Cast", y, to=outside)
    operations.nodes[-1].output[0] = "given"
    ends = [
        helper.make_tensor_value_info(name, outside, [1, height, width, n_channels])
        for name, n_channels in (
            ("features", unet.encoder[0].weight.shape[1]),
            ("given", len(unet.head.weight)),
        )
    ]
    graph = helper.make_graph(
        operations.nodes, "skadl", ends[:1], ends[1:], operations.constants
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model_gen_version(graph, opset_imports=[opset])
    return model.SerializeToString()


def _in_openvino(graph: bytes, n_threads: int) -> Body:
    import openvino

    request = _openvino(graph, n_threads).create_infer_request()
    (end,) = request.model_outputs
    is_bfloat16 = end.element_type == openvino.Type.bf16
    dtype = torch.bfloat16 if is_bfloat16 else torch.float32
    given = torch.empty(tuple(end.shape), dtype=dtype)

    def shared(pixels: Tensor) -> Any:
        if not is_bfloat16:
            return openvino.Tensor(pixels.numpy(), shared_memory=True)
        # NumPy has no bfloat16.
        array, shape = pixels.view(torch.uint16).numpy(), list(pixels.shape)
        return openvino.Tensor(array, openvino.Shape(shape), openvino.Type.bf16)

    request.set_output_tensor(shared(given))

    def run(pixels: Tensor) -> Tensor:
        request.set_input_tensor(shared(pixels))
        request.infer()
        return given

    return run


@lru_cache(maxsize=_MOST_SESSIONS)
def _openvino(graph: bytes, n_threads: int) -> Any:
    import openvino

    core = openvino.Core()
    model = core.read_model(graph)
    is_bfloat16 = model.output(0).element_type == openvino.Type.bf16
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if is_bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": n_threads,
        "ENABLE_CPU_PINNING": False,
    }
    return core.compile_model(model, "CPU", settings)


def _in_onnxruntime(graph: bytes, n_threads: int) -> Body:
    session = _onnxruntime(graph, n_threads)

    def run(pixels: Tensor) -> Tensor:
        (given,) = session.run(None, {"features": pixels.numpy()})
        return torch.from_numpy(given)

    return run


@lru_cache(maxsize=_MOST_SESSIONS)
def _onnxruntime(graph: bytes, n_threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    return onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"]
    )
