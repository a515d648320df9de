"""What a fit leaves behind, and which sensors it can predict."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from skadl.network.conditioning import Conditioning
from skadl.network.unet import ModulatedUNet
from skadl.noise.sensors import SensorInfo, SensorTable

_WAY_OUT = (
    'A model fitted with conditioning="noise" predicts any sensor whose noise is known.'
)


@dataclass(frozen=True, eq=False)
class FittedModel:
    """What a fit leaves behind to predict with.

    Parameters
    ----------
    network : ModulatedUNet
    conditioning : Conditioning
    sensors : SensorTable
        Those of the fit with noise and ISO range; where only the noise counts, any
        others whose noise is known.
    autocast_dtype : torch.dtype or None
        Precision of the convolutions.
    safeguard : bool
        Whether an image keeps the part of a correction that would harm it.
    """

    network: ModulatedUNet
    conditioning: Conditioning
    sensors: SensorTable
    autocast_dtype: torch.dtype | None
    safeguard: bool


def known_sensors(model: FittedModel) -> list[str]:
    """Names of the sensors that the model can predict."""
    if model.conditioning.uses_sensor:
        return list(model.conditioning.sensors)
    return [name for name, info in model.sensors.items() if info.knows_noise]


def resolve_sensor(
    model: FittedModel, name: str | None, info: SensorInfo | None = None
) -> SensorInfo:
    """Return the facts of a sensor that a prediction needs, or say what is missing.

    Parameters
    ----------
    model : FittedModel
    name : str or None
        None only where `info` is given.
    info : SensorInfo, optional
        Facts given with the image; they go before those that the model knows.

    Returns
    -------
    SensorInfo
        With noise.

    Raises
    ------
    ValueError
        If the network needs a name from `fit` and has none, or the noise of the
        sensor is not known.
    """
    known = known_sensors(model)
    if model.conditioning.uses_sensor:
        if info is not None:
            raise ValueError(
                "got a SensorInfo in place of a sensor's name, but "
                f"conditioning={model.conditioning.kind!r} needs one of the names "
                f"seen during fit: {known}. {_WAY_OUT}"
            )
        if name not in known:
            raise ValueError(
                f"sensor {name!r} was not seen during fit; known sensors are {known}. "
                f"Name one of them, or fit with pairs of {name!r}. {_WAY_OUT}"
            )
        return model.sensors.get(name)
    if info is None and name in model.sensors:
        info = model.sensors.get(name)
    if info is not None and info.knows_noise:
        return info
    what = f"the noise of sensor {name!r}" if name else "the noise of the SensorInfo"
    if info is None:
        what = f"sensor {name!r} was not seen during fit and its noise"
    raise ValueError(
        f"{what} is not known; known sensors are {known}. Give predict "
        "sensor=SensorInfo(..., gain=..., read_noise=...) or "
        "sensor=calibrate_sensor(pairs), or put either under its name into the "
        "SensorTable passed to fit or score as meta."
    )
