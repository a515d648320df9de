"""A fitted denoiser out of a model file."""

from __future__ import annotations

import os
import warnings
from functools import lru_cache, partial
from pathlib import Path

import torch

from skadl.estimators.adl import ADLDenoiser
from skadl.estimators.base import NetworkDenoiser
from skadl.estimators.model_files.classes import saved_class
from skadl.estimators.model_files.reader import read_model_file
from skadl.estimators.start import OTHER_FILES, UNIVERSAL_FILE
from skadl.network.base import ModulatedNetwork
from skadl.support.device import resolve_device


def load(
    path: str | os.PathLike, device: str | torch.device = "auto"
) -> NetworkDenoiser:
    """Load a denoiser that its `save` wrote; safe for untrusted files.

    Parameters
    ----------
    path : str or Path
    device : str or torch.device, default="auto"
        Where the network goes. "auto" follows the model's own `device` parameter as
        far as this machine has it: for "auto" a GPU if there is one, else the CPU.

    Returns
    -------
    ADLDenoiser, or the class of `skadl.baselines` that was saved
        Fitted; it predicts what the saved one predicted, bit for bit on the same
        device.

    Raises
    ------
    OSError
        If there is no such file or it cannot be read.
    ValueError
        If the file is no model file, is damaged, or comes from a newer skadl; if
        `device` is given and not there.

    Warns
    -----
    UserWarning
        For the checkpoint of a fit: its network is used as it was at that time.

    Notes
    -----
    No code from the file is run, and it costs no more memory than a small multiple
    of its length. Pickle and joblib work too, for copies of one's own: loading
    theirs runs whatever the file says, so never load one of unknown origin.
    """
    requested = None if device == "auto" else resolve_device(device)
    contents = read_model_file(path)
    if contents.training is not None:
        warnings.warn(
            f"{os.fspath(path)} is the checkpoint of a fit that is not finished: the "
            f"network is as it was before {contents.training.place}.",
            UserWarning,
            stacklevel=2,
        )
    model = saved_class(contents.estimator)(**contents.parameters)
    model.device_ = _device_of(model) if requested is None else requested
    model.module_ = contents.network.to(model.device_)
    model.sensors_ = contents.sensors
    model.n_iter_ = contents.n_iter
    model.selection_report_ = contents.report
    model.conditioning_ = contents.conditioning
    return model


def load_universal(device: str | torch.device = "auto") -> ADLDenoiser:
    """Load the denoiser that comes with skadl: any sensor, no pairs, no training.

    Of Bayer and of X-Trans mosaics: it has a network for each, and takes that of the
    image.

    It was trained on simulated noise of all levels and on no pair of any sensor, and
    gets light factor, shot and read noise of an image. `ADLDenoiser` starts its
    fits from it by default.

    Parameters
    ----------
    device : str or torch.device, default="auto"
        Where the network goes; "auto" is a GPU if there is one, else the CPU.

    Returns
    -------
    ADLDenoiser
        Fitted; its `selection_report_` says how it was trained. It predicts every
        sensor whose noise is known, given or found in the image.

    Raises
    ------
    ValueError
        If `device` is not there.

    Examples
    --------
    >>> import skadl
    >>> skadl.load_universal(device="cpu").conditioning_.kind
    'noise'
    """
    model = load(UNIVERSAL_FILE, device)
    model.other_networks_ = {
        n_planes: partial(_load_network, path) for n_planes, path in OTHER_FILES.items()
    }
    return model


@lru_cache(maxsize=2)
def _load_network(path: Path, device: torch.device) -> ModulatedNetwork:
    return read_model_file(path).network.to(device)


def _device_of(model: NetworkDenoiser) -> torch.device:
    try:
        return resolve_device(model.device)
    except ValueError:  # fitted on a GPU that is not here
        return torch.device("cpu")
