"""A fitted network for programs without torch: ONNX, for one sensor, ISO and ratio.

The modulation is folded into the convolutions, so a file holds plain convolutions
for one noise level: an application keeps one file for each ISO that it offers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import skadl
from skadl.estimators.base import RawDenoiser
from skadl.network.base import FoldedNetwork
from skadl.network.onnx_graph import OPSET, GraphMap, GraphOperations
from skadl.noise.noise_level import expected_noise
from skadl.noise.sensors import SensorInfo
from skadl.prediction.fitted_model import FittedModel
from skadl.support.extras import import_extra
from skadl.support.writing import atomic_write, check_folder

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
        shape (batch, 4, h, w): packed planes R, Gr, Gb, B (of X-Trans nine) in the
        sensor's own geometry, black at 0 and white at 1, times `ratio`. Sides are free,
        but multiples of ``multiple``. The entry "skadl" of its metadata is a JSON
        object of skadl_version, sensor, iso, ratio, cfa, black_level and white_level
        (in counts), offset (of each plane, to be taken off the normalised planes
        first), multiple, and halo: how many packed pixels tiles must overlap on each
        side.

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

    operations = GraphOperations(cfa)
    network.run(operations, GraphMap(operations, "noisy"))
    operations.nodes[-1].output[0] = "denoised"

    shape = ["batch", network.n_planes, "height", "width"]
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
