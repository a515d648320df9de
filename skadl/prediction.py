"""A fitted network applied to one image: any size, any Bayer order, any kind."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skadl.calibration import expected_noise
from skadl.conditioning import Conditioning
from skadl.levels import cast_counts, denormalise
from skadl.mosaic import pad_to_even, to_rggb_geometry, unpack_bayer
from skadl.network import ModulatedUNet
from skadl.noise import MOST_CLIPPED, NEARLY_WHITE
from skadl.rawfile import read_raw
from skadl.records import RawImage
from skadl.safeguard import limit_to_noise, measure_trust
from skadl.sensors import SensorInfo, SensorTable

UNNAMED = "unnamed sensor"
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


def denoise(
    model: FittedModel,
    raw: Any,
    sensor: str | SensorInfo | None = None,
    iso: float | None = None,
    ratio: float | None = None,
) -> RawImage | np.ndarray:
    """Denoise an image of any kind and return the same kind.

    Parameters
    ----------
    model : FittedModel
    raw : RawImage, path, or ndarray of shape (H, W) or (4, h, w)
    sensor : str or SensorInfo, optional
        Replaces the image's own. The facts of a sensor may stand for its name where
        only its noise counts; pattern and levels of a `RawImage` or a file stay.
    iso, ratio : optional
        Replace what the image says.

    Returns
    -------
    RawImage or ndarray
        In the dtype of the input; integers are rounded.

    Raises
    ------
    TypeError, ValueError
        If the image cannot be used, or sensor or ISO is missing or unknown.
    """
    info, name = (sensor, None) if isinstance(sensor, SensorInfo) else (None, sensor)
    if isinstance(raw, (str, Path)):
        raw = _read_file(raw, info, name, iso)
    facts = {"sensor": name, "iso": iso, "ratio": ratio}
    facts = {name: value for name, value in facts.items() if value is not None}
    if isinstance(raw, RawImage):
        image = replace(raw.with_mosaic(raw.mosaic), **facts)
        info = sensor_info(model, image.sensor, info)
        return raw.with_mosaic(_denoise_mosaic(model, image, info))
    array = np.asarray(raw)
    if array.dtype.kind not in "uif":
        raise TypeError(
            "predict takes a RawImage, a path, a mosaic (H, W) in counts, packed "
            f"planes (4, h, w), or a list of these; got {type(raw).__name__}."
        )
    if sensor is None or iso is None:
        raise ValueError(
            "an array does not say where it comes from: give predict(raw, sensor, "
            f"iso); known sensors are {known_sensors(model)}."
        )
    info = sensor_info(model, name, info)
    packed = array.ndim == 3 and array.shape[0] == 4
    image = RawImage(
        unpack_bayer(array, info.cfa) if packed else array,
        info.cfa,
        info.black_level,
        info.white_level,
        **{"sensor": UNNAMED, **facts},
    )
    if packed:
        return cast_counts(_denoise_counts(model, image, info), array.dtype)
    return _denoise_mosaic(model, image, info)


def denoise_image(
    model: FittedModel, image: RawImage, info: SensorInfo | None = None
) -> np.ndarray:
    """Denoise an image into normalised planes, as `score` compares them.

    Parameters
    ----------
    model : FittedModel
    image : RawImage
    info : SensorInfo, optional
        Facts of its sensor, from `sensor_info`, which by default looks up its name.

    Returns
    -------
    ndarray of shape (4, h, w), float32
        Black at 0, white at 1, times the light factor; sides rounded down.

    Raises
    ------
    ValueError
        If the sensor or its noise is not known, or the image holds NaN or infinity.
    FloatingPointError
        If the result is not finite.

    Warns
    -----
    UserWarning
        If the ISO lies outside the range that the sensor was fitted on, or that its
        noise is given for.
    """
    info = sensor_info(model, image.sensor) if info is None else info
    _warn_outside_iso_range(info, image)
    image = image.with_mosaic(image.mosaic)  # a lazy one reads at every access
    planes = image.normalised()
    if not np.isfinite(planes).all():
        raise ValueError(
            f"{image!r} holds NaN or infinity; repair those pixels before predicting."
        )
    noise = expected_noise(info, image.iso, image.ratio)
    codes = model.conditioning.vector(image.sensor, image.iso, image.ratio, noise)
    noise_has_mean = is_clipped(planes, image)
    offset = info.offset_at(image.iso) * (image.ratio / info.span)
    planes = planes - offset[:, None, None].astype(np.float32)

    def removed(x: np.ndarray) -> np.ndarray:
        denoised = _run_network(model, to_rggb_geometry(x, image.cfa), codes)
        residual = x - to_rggb_geometry(denoised, image.cfa)
        return residual if noise_has_mean else without_mean(residual)

    residual = removed(planes)
    if model.safeguard:
        probe_rng = np.random.default_rng(0)  # one image, one result
        trust = measure_trust(removed, planes, residual, noise, probe_rng)
        residual = limit_to_noise(np.float32(trust) * residual, planes, noise)
    return planes - residual


def known_sensors(model: FittedModel) -> list[str]:
    """Names of the sensors that the model can predict."""
    if model.conditioning.uses_sensor:
        return list(model.conditioning.sensors)
    return [name for name, info in model.sensors.items() if info.knows_noise]


def sensor_info(
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


def without_mean(residual: np.ndarray) -> np.ndarray:
    """Take the mean of each plane out of a correction: noise has none.

    A network draws an image towards the brightness and colour that it was trained
    on: a darker night by two per cent of its sky, and each colour by its own amount.

    Parameters
    ----------
    residual : ndarray of shape (4, h, w)
        What the network would remove.

    Returns
    -------
    ndarray of shape (4, h, w)

    Examples
    --------
    >>> without_mean(np.array([[[0.0, 2.0]]]))
    array([[[-1.,  1.]]])
    """
    mean = residual.mean(axis=(1, 2), keepdims=True, dtype=float)
    return residual - mean.astype(residual.dtype)


def is_clipped(planes: np.ndarray, image: RawImage) -> bool:
    """Tell whether so much of a plane is clipped that its noise has a mean.

    Parameters
    ----------
    planes : ndarray of shape (4, h, w)
        Normalised.
    image : RawImage
        Where they come from.

    Returns
    -------
    bool
        True where more than 1 % of a plane lies at black or white.
    """
    clipped = planes >= NEARLY_WHITE * image.ratio
    if image.mosaic.dtype.kind == "u":
        clipped |= planes <= -image.black_planes[:, None, None] * (
            image.ratio / image.span
        )
    return bool(clipped.mean(axis=(1, 2)).max() > MOST_CLIPPED)


def _read_file(
    path: str | Path, info: SensorInfo | None, name: str | None, iso: float | None
) -> RawImage:
    try:
        return read_raw(path, sensor=name, iso=iso)
    except ValueError:
        if info is None:
            raise
        # Facts given in place of a name: the file need not know one.
        return read_raw(path, sensor=UNNAMED, iso=iso)


def _denoise_counts(
    model: FittedModel, image: RawImage, info: SensorInfo
) -> np.ndarray:
    planes = denoise_image(model, image, info)
    return denormalise(planes, image.black_planes, image.white_level, image.ratio)


def _denoise_mosaic(
    model: FittedModel, image: RawImage, info: SensorInfo
) -> np.ndarray:
    height, width = image.mosaic.shape
    even = image.with_mosaic(pad_to_even(image.mosaic))
    counts = unpack_bayer(_denoise_counts(model, even, info), image.cfa)
    return cast_counts(counts[:height, :width], image.mosaic.dtype)


@torch.no_grad()
def _run_network(
    model: FittedModel, planes: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    network, dtype = model.network, model.autocast_dtype
    device = next(network.parameters()).device
    height, width = planes.shape[1:]
    padding = [(0, -side % network.multiple) for side in (height, width)]
    padded = np.pad(planes, [(0, 0), *padding], mode="reflect")  # a fresh array
    x = torch.from_numpy(padded)[None].to(device)  # (1, 4, h', w')
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        denoised = network(x, torch.as_tensor(codes, device=device)[None])
    result = denoised[0, :, :height, :width].cpu().numpy()
    if not np.isfinite(result).all():
        raise FloatingPointError(
            "the network gave NaN or infinity; predict with precision='float32', or "
            "fit again with a smaller learning_rate."
        )
    return result


def _warn_outside_iso_range(info: SensorInfo, image: RawImage) -> None:
    if info.iso_range is not None:
        (low, high), what = info.iso_range, f"sensor {image.sensor!r} was fitted on"
    else:  # never fitted on: its noise is all that is known of it
        low, high, what = min(info.gain), max(info.gain), "its noise is given for"
    if not low <= image.iso <= high:
        warnings.warn(
            f"ISO {image.iso:g} lies outside the range {low:g} to {high:g} that "
            f"{what}; look at the result with care.",
            UserWarning,
            stacklevel=2,
        )
