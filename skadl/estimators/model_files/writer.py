"""Model files: a fitted denoiser as weights and plain values, safe to pass on.

A model file is a safetensors file. Its tensors are the network's weights and the
columns of the selection report; all else is JSON in its metadata, under one entry:
safetensors writes several in random order, and equal models shall give equal bytes.
:mod:`skadl.estimators.model_files.reader` says what is checked when one is read.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch

import skadl
from skadl.estimators.model_files.classes import DEFAULT_ESTIMATOR
from skadl.estimators.model_files.reader import (
    ENTRY,
    FORMAT,
    FORMAT_VERSION,
    NETWORK_PREFIX,
    REFUSALS,
    REPORT_PREFIX,
    ModelFile,
    reason_of,
    unpack,
)
from skadl.estimators.model_files.training import describe_training, training_arrays
from skadl.network.base import N_PLANES, ModulatedNetwork
from skadl.network.choice import DEFAULT_NETWORK, name_of
from skadl.noise.sensor_records import sensor_records
from skadl.support.digest import UNSEALED, seal
from skadl.support.writing import atomic_write, check_folder, remove_leftovers


def write_model_file(path: Path, contents: ModelFile) -> None:
    """Write a fitted denoiser to one file, if what is written can be loaded.

    An older file is left as it was where anything fails.
    """
    try:
        data = pack(contents)
        unpack(io.BytesIO(data), len(data))
    except (TypeError, *REFUSALS) as error:
        raise ValueError(
            f"this model cannot be saved: {reason_of(error)}. Keep it with "
            "joblib.dump, or fit it again without that."
        ) from error
    _write(path, data)


def pack(contents: ModelFile) -> bytes:
    """Return the bytes of a model file; an error of `REFUSALS` or TypeError if none."""
    report = contents.report
    sensors, patterns = sensor_records(contents.sensors)
    description = {
        "format": FORMAT,
        "digest": UNSEALED,
        "format_version": FORMAT_VERSION,
        "skadl_version": skadl.__version__,
        "parameters": {k: _plain(v) for k, v in contents.parameters.items()},
        "network": _describe(contents.network),
        "conditioning": {
            "kind": contents.conditioning.kind,
            "sensors": contents.conditioning.sensors,
        },
        "sensors": sensors,
        "report": {
            "domains": report.decisions.domains,
            "reasons": report.decisions.reasons,
            "stages": [(s.name, s.n_iter, s.psnr) for s in report.stages],
            "notes": report.notes,
        },
        "n_iter": contents.n_iter,
    }
    # Without the default: files are what they were when it was the only one.
    if contents.estimator != DEFAULT_ESTIMATOR:
        description["estimator"] = contents.estimator
    training = contents.training
    if training is not None:
        description["training"] = describe_training(training)
    arrays = {} if training is None else training_arrays(training, contents.network)
    arrays |= {
        NETWORK_PREFIX + name: tensor.detach().cpu().numpy()
        for name, tensor in contents.network.state_dict().items()
    }
    for name, column in report.decisions.columns().items():
        arrays[REPORT_PREFIX + name] = column
    arrays |= patterns
    # safetensors takes memory as it lies, and weights lie in channels_last.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(description, ensure_ascii=False, allow_nan=False)
    return seal(safetensors.numpy.save(arrays, metadata={ENTRY: text}))


def _describe(network: ModulatedNetwork) -> dict[str, Any]:
    name = name_of(network)
    # Without the default's name: files are what they were when it was the only one.
    kind = {} if name == DEFAULT_NETWORK else {"kind": name}
    sizes = network.describe()
    if sizes.get("n_planes") == N_PLANES:
        del sizes["n_planes"]
    return kind | sizes


def _plain(value: Any) -> Any:
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(entry) for entry in value]
    return value


def _write(path: Path, data: bytes) -> None:
    check_folder(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"{str(path)!r} is a folder; give the name of a file to write."
        )
    remove_leftovers(path)
    with atomic_write(path) as partial:
        partial.write_bytes(data)
