"""Model files: a fitted denoiser as weights and plain facts, safe to pass on.

A model file is a safetensors file. Its tensors are the network's weights and the
columns of the selection report; all else is JSON in its metadata, under one entry:
safetensors writes several in random order, and equal models shall give equal bytes.
:mod:`skadl.estimators.model_files.reader` says what is checked when one is read.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from sklearn.utils.validation import check_is_fitted

import skadl
from skadl.estimators.adl import ADLDenoiser
from skadl.estimators.model_files.reader import (
    ENTRY,
    FORMAT,
    FORMAT_VERSION,
    NETWORK_PREFIX,
    REFUSALS,
    REPORT_PREFIX,
    ModelFile,
    read_model_file,
    reason_of,
    unpack,
)
from skadl.support.device import resolve_device
from skadl.support.writing import atomic_write, check_folder


def save_model(model: ADLDenoiser, path: str | os.PathLike) -> None:
    """Write a fitted denoiser to one file; see `ADLDenoiser.save`.

    Parameters
    ----------
    model : ADLDenoiser
        Fitted; it stays as it is.
    path : str or Path

    Raises
    ------
    NotFittedError
        Before `fit`.
    TypeError
        If `model` is of a subclass, whose code a model file cannot hold.
    ValueError
        If a weight is not finite or a parameter is no plain value.
    OSError
        If the file cannot be written; an older one is then left as it was.

    Warns
    -----
    UserWarning
        If `random_state` is a RandomState: it is stored as None. If `gate` is code of
        one's own: "evidence" is stored, which matters for another `fit` only.
    """
    check_is_fitted(model)
    if type(model) is not ADLDenoiser:
        raise TypeError(
            f"a model file holds an ADLDenoiser, got {type(model).__name__}: its own "
            "code would be lost; keep it with joblib.dump."
        )
    parameters = model.get_params()
    if isinstance(parameters["random_state"], np.random.RandomState):
        warnings.warn(
            "random_state is a RandomState, which a model file cannot hold: the saved "
            "model has random_state=None. It predicts the same; for a fit that can be "
            "repeated give an int.",
            UserWarning,
            stacklevel=3,
        )
        parameters["random_state"] = None
    if callable(parameters["gate"]):
        warnings.warn(
            "gate is code of your own, which a model file cannot hold: the saved model "
            'has gate="evidence". It predicts the same; before fitting it again call '
            "set_params(gate=...), or keep it with joblib.dump.",
            UserWarning,
            stacklevel=3,
        )
        parameters["gate"] = "evidence"
    contents = ModelFile(
        skadl.__version__,
        parameters,
        model.module_,
        model._conditioning,
        model.sensors_,
        model.selection_report_,
        model.n_iter_,
    )
    try:
        data = _pack(contents)
        unpack(io.BytesIO(data), len(data))  # what is written can be loaded
    except (TypeError, *REFUSALS) as error:
        raise ValueError(
            f"this model cannot be saved: {reason_of(error)}. Keep it with "
            "joblib.dump, or fit it again without that."
        ) from error
    _write(Path(path), data)


def load(path: str | os.PathLike, device: str | torch.device = "auto") -> ADLDenoiser:
    """Load a denoiser that `ADLDenoiser.save` wrote; safe for a stranger's file.

    Parameters
    ----------
    path : str or Path
    device : str or torch.device, default="auto"
        Where the network goes. "auto" follows the model's own `device` parameter as
        far as this machine has it: for "auto" a GPU if there is one, else the CPU.

    Returns
    -------
    ADLDenoiser
        Fitted; it predicts what the saved one predicted, bit for bit on the same
        device.

    Raises
    ------
    OSError
        If there is no such file or it cannot be read.
    ValueError
        If the file is no model file, is damaged, or comes from a newer skadl; if
        `device` is given and not there.

    Notes
    -----
    No code from the file is run, and it costs no more memory than a small multiple
    of its length. Pickle and joblib work too, for copies of one's own: loading
    theirs runs whatever the file says, so never load a stranger's.
    """
    wanted = None if device == "auto" else resolve_device(device)
    contents = read_model_file(path)
    model = ADLDenoiser(**contents.parameters)
    model.device_ = _device_of(model) if wanted is None else wanted
    model.module_ = contents.network.to(model.device_)
    model.sensors_ = contents.sensors
    model.n_iter_ = contents.n_iter
    model.selection_report_ = contents.report
    model._conditioning = contents.conditioning
    return model


def _device_of(model: ADLDenoiser) -> torch.device:
    try:
        return resolve_device(model.device)
    except ValueError:  # fitted on a GPU that is not here
        return torch.device("cpu")


def _pack(contents: ModelFile) -> bytes:
    report, modulation = contents.report, contents.network.modulation
    description = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "skadl_version": contents.skadl_version,
        "parameters": {k: _plain(v) for k, v in contents.parameters.items()},
        "network": {
            "n_metadata": modulation.weights[0].shape[1],
            "base_channels": contents.network.head.in_channels,
            "n_levels": len(contents.network.encoder),
            "mlp_width": modulation.weights[0].shape[2],
        },
        "conditioning": {
            "kind": contents.conditioning.kind,
            "sensors": contents.conditioning.sensors,
        },
        "sensors": {
            name: {f.name: _plain(getattr(info, f.name)) for f in fields(info)}
            for name, info in contents.sensors.items()
        },
        "report": {
            "domains": report.decisions.domains,
            "reasons": report.decisions.reasons,
            "stages": [(s.name, s.n_iter, s.psnr) for s in report.stages],
            "notes": report.notes,
        },
        "n_iter": contents.n_iter,
    }
    arrays = {
        NETWORK_PREFIX + name: tensor.detach().cpu().numpy()
        for name, tensor in contents.network.state_dict().items()
    }
    for name, column in report.decisions.columns().items():
        arrays[REPORT_PREFIX + name] = column
    # safetensors takes memory as it lies, and weights lie in channels_last.
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps(description, ensure_ascii=False, allow_nan=False)
    return safetensors.numpy.save(arrays, metadata={ENTRY: text})


def _plain(value: Any) -> Any:
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):  # by ISO
        return {repr(float(iso)): _plain(entry) for iso, entry in value.items()}
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(entry) for entry in value]
    return value


def _write(path: Path, data: bytes) -> None:
    check_folder(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"{str(path)!r} is a folder; give the name of a file to write."
        )
    with atomic_write(path) as partial:
        partial.write_bytes(data)
