"""The convolutions of a folded network in another program than torch, on the CPU.

A U-Net is handed over as a graph whose sides are free, once for each noise level: the
modulation is folded into its weights. A session is found again by its graph, so that
images of one noise level share it; it belongs to no estimator.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skadl.network.folded import FoldedUNet
from skadl.network.onnx_graph import OPSET, GraphMap, GraphOperations
from skadl.network.quantised import QuantisedGraph, QuantisedUNet
from skadl.support.extras import import_extra

_MOST_SESSIONS = 12  # of three scales each four images
_MAPS_KEPT = 7  # of the first level, in float32: of a tile in one go, by an engine

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


def bytes_kept(unet: FoldedUNet) -> float:
    """Return the bytes that a pixel of a tile takes in an engine."""
    return 4 * (_MAPS_KEPT * unet.head.weight.shape[1] + len(unet.head.weight))


def engine_body(
    unet: FoldedUNet | QuantisedUNet, engine: str, dtype: torch.dtype | None
) -> Body:
    """Return a function from what a U-Net is shown to what its head gives.

    Maps (1, C, h, w) in channels_last, float32. The next call writes into the same
    memory; so a thread needs a body of its own.
    """
    in_bfloat16 = dtype == torch.bfloat16
    n_threads = torch.get_num_threads()
    graph = _graph_of(unet)
    if engine == "openvino":
        request = _openvino(graph, in_bfloat16, n_threads).create_infer_request()

        def run(pixels: np.ndarray) -> np.ndarray:
            results = request.infer([pixels], share_inputs=True, share_outputs=True)
            return results[0]

    else:
        session = _onnxruntime(graph, n_threads)

        def run(pixels: np.ndarray) -> np.ndarray:
            return session.run(None, {"features": pixels})[0]

    def body(features: Tensor) -> Tensor:
        features = features.contiguous(memory_format=torch.channels_last)
        given = run(features.permute(0, 2, 3, 1).numpy())  # (1, h, w, C)
        return torch.from_numpy(given).permute(0, 3, 1, 2)

    return body


def _graph_of(unet: FoldedUNet | QuantisedUNet) -> bytes:
    from onnx import TensorProto, helper

    operations = GraphOperations()
    if isinstance(unet, QuantisedUNet):
        operations, unet = QuantisedGraph(unet.inputs), unet.unet
    pixels = GraphMap(operations, "features")
    shown = operations.add("Transpose", pixels, perm=[0, 3, 1, 2])
    given = unet.body(operations, shown)
    operations.add("Transpose", given, perm=[0, 2, 3, 1])
    operations.nodes[-1].output[0] = "given"
    ends = [
        helper.make_tensor_value_info(
            name, TensorProto.FLOAT, [1, "height", "width", n_channels]
        )
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


@lru_cache(maxsize=_MOST_SESSIONS)
def _openvino(graph: bytes, in_bfloat16: bool, n_threads: int) -> Any:
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if in_bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": n_threads,
        "ENABLE_CPU_PINNING": False,
    }
    return core.compile_model(core.read_model(graph), "CPU", settings)


@lru_cache(maxsize=_MOST_SESSIONS)
def _onnxruntime(graph: bytes, n_threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    return onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"]
    )
