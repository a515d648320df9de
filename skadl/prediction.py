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
from skadl.sensors import SensorInfo, SensorTable


@dataclass(frozen=True, eq=False)
class FittedModel:
    """What a fit leaves behind to predict with.

    Parameters
    ----------
    network : ModulatedUNet
    conditioning : Conditioning
    sensors : SensorTable
        With noise and ISO range.
    autocast_dtype : torch.dtype or None
        Precision of the convolutions.
    """

    network: ModulatedUNet
    conditioning: Conditioning
    sensors: SensorTable
    autocast_dtype: torch.dtype | None


def denoise(
    model: FittedModel,
    raw: Any,
    sensor: str | None = None,
    iso: float | None = None,
    ratio: float | None = None,
) -> RawImage | np.ndarray:
    """Denoise an image of any kind and return the same kind.

    Parameters
    ----------
    model : FittedModel
    raw : RawImage, path, or ndarray of shape (H, W) or (4, h, w)
    sensor, iso, ratio : optional
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
    if isinstance(raw, (str, Path)):
        raw = read_raw(raw, sensor=sensor, iso=iso)
    facts = {"sensor": sensor, "iso": iso, "ratio": ratio}
    facts = {name: value for name, value in facts.items() if value is not None}
    if isinstance(raw, RawImage):
        image = replace(raw.with_mosaic(raw.mosaic), **facts)
        return raw.with_mosaic(_denoise_mosaic(model, image))
    array = np.asarray(raw)
    if array.dtype.kind not in "uif":
        raise TypeError(
            "predict takes a RawImage, a path, a mosaic (H, W) in counts, packed "
            f"planes (4, h, w), or a list of these; got {type(raw).__name__}."
        )
    if sensor is None or iso is None:
        raise ValueError(
            "an array does not say where it comes from: give predict(raw, sensor, "
            f"iso); known sensors are {list(model.conditioning.sensors)}."
        )
    info = model.sensors.get(_check_sensor(model, sensor))
    packed = array.ndim == 3 and array.shape[0] == 4
    image = RawImage(
        unpack_bayer(array, info.cfa) if packed else array,
        info.cfa,
        info.black_level,
        info.white_level,
        **facts,
    )
    if packed:
        return cast_counts(_denoise_counts(model, image), array.dtype)
    return _denoise_mosaic(model, image)


def denoise_image(model: FittedModel, image: RawImage) -> np.ndarray:
    """Denoise an image into normalised planes, as `score` compares them.

    Parameters
    ----------
    model : FittedModel
    image : RawImage

    Returns
    -------
    ndarray of shape (4, h, w), float32
        Black at 0, white at 1, times the light factor; sides rounded down.

    Raises
    ------
    ValueError
        If the sensor was not seen in `fit` or the image holds NaN or infinity.
    FloatingPointError
        If the result is not finite.

    Warns
    -----
    UserWarning
        If the ISO lies outside the range that the sensor was fitted on.
    """
    _check_sensor(model, image.sensor)
    _warn_outside_iso_range(model, image)
    image = image.with_mosaic(image.mosaic)  # a lazy one reads at every access
    planes = image.normalised()
    if not np.isfinite(planes).all():
        raise ValueError(
            f"{image!r} holds NaN or infinity; repair those pixels before predicting."
        )
    noise = expected_noise(model.sensors.get(image.sensor), image.iso, image.ratio)
    codes = model.conditioning.vector(image.sensor, image.iso, image.ratio, noise)
    denoised = _run_network(model, to_rggb_geometry(planes, image.cfa), codes)
    denoised = to_rggb_geometry(denoised, image.cfa)
    return keep_level(planes, denoised, image, model.sensors.get(image.sensor))


def keep_level(
    planes: np.ndarray, denoised: np.ndarray, image: RawImage, info: SensorInfo
) -> np.ndarray:
    """Give each denoised plane the mean level that it had: noise has no mean.

    A network draws an image towards the brightness and colour that it was trained
    on: a darker night by two per cent of its sky, and each colour by its own amount.

    Parameters
    ----------
    planes, denoised : ndarray of shape (4, h, w)
        Normalised, before and after.
    image : RawImage
        Where `planes` come from.
    info : SensorInfo
        Of its sensor: the measured black-level error is left out of the mean.

    Returns
    -------
    ndarray of shape (4, h, w), float32
        `denoised` itself where more than 1 % of a plane is clipped: clipped noise
        has a mean.
    """
    scale = image.ratio / (image.white_level - image.black_planes.mean())
    floor = -image.black_planes[:, None, None] * scale
    is_clipped = planes >= NEARLY_WHITE * image.ratio
    if image.mosaic.dtype.kind == "u":
        is_clipped |= planes <= floor
    if is_clipped.mean(axis=(1, 2)).max() > MOST_CLIPPED:
        return denoised
    shift = (planes - denoised).mean(axis=(1, 2), dtype=float)
    shift -= info.offset_at(image.iso) * scale
    return denoised + shift[:, None, None].astype(np.float32)


def _denoise_counts(model: FittedModel, image: RawImage) -> np.ndarray:
    planes = denoise_image(model, image)
    return denormalise(planes, image.black_planes, image.white_level, image.ratio)


def _denoise_mosaic(model: FittedModel, image: RawImage) -> np.ndarray:
    height, width = image.mosaic.shape
    even = image.with_mosaic(pad_to_even(image.mosaic))
    counts = unpack_bayer(_denoise_counts(model, even), image.cfa)
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


def _check_sensor(model: FittedModel, sensor: str) -> str:
    known = model.conditioning.sensors
    if sensor not in known:
        raise ValueError(
            f"sensor {sensor!r} was not seen during fit; known sensors are "
            f"{list(known)}. Name one of them, or fit with pairs of {sensor!r}."
        )
    return sensor


def _warn_outside_iso_range(model: FittedModel, image: RawImage) -> None:
    low, high = model.sensors.get(image.sensor).iso_range
    if not low <= image.iso <= high:
        warnings.warn(
            f"ISO {image.iso:g} lies outside the range {low:g} to {high:g} that "
            f"sensor {image.sensor!r} was fitted on; look at the result with care.",
            UserWarning,
            stacklevel=2,
        )
