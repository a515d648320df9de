"""A fitted network applied to one image: any size, any Bayer order, any kind."""

from __future__ import annotations

import numbers
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skadl.conditioning import Conditioning
from skadl.network import ModulatedUNet
from skadl.noise.calibration import expected_noise
from skadl.prediction.bands import each_band
from skadl.prediction.correction import Correction, correct, is_clipped
from skadl.prediction.folding import fold
from skadl.prediction.removal import ImageNetwork, NormalisedMosaic, Track
from skadl.raw.levels import cast_counts
from skadl.raw.mosaic import pack_bayer, pad_to_even, unpack_bayer
from skadl.raw.rawfile import read_raw
from skadl.raw.records import RawImage, check_positive
from skadl.sensors import SensorInfo, SensorTable

DEFAULT_MEMORY_LIMIT = 1.5
GIB = 2**30
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


@dataclass(frozen=True)
class Wishes:
    """How an image shall be denoised.

    Parameters
    ----------
    strength : float
        From 0, the image as it is, to 1: how much of the change is made.
    self_ensemble : bool
        Whether to average over the eight symmetries of the mosaic.
    dtype : dtype, optional
        Of the result; None is that of the image.
    memory_limit : float
        In GiB: for all but the image itself.

    Raises
    ------
    TypeError, ValueError
        If one of them is something else.
    """

    strength: float = 1.0
    self_ensemble: bool = False
    dtype: Any = None
    memory_limit: float = DEFAULT_MEMORY_LIMIT

    def __post_init__(self) -> None:
        is_real = isinstance(self.strength, numbers.Real)
        if not is_real or not 0 <= self.strength <= 1:
            raise ValueError(
                f"strength must be a number from 0 to 1, got {self.strength!r}."
            )
        check_positive("memory_limit", self.memory_limit)
        if self.dtype is not None and np.dtype(self.dtype).kind not in "uif":
            raise TypeError(
                f"dtype must be one of numbers, such as np.float32, got {self.dtype!r}."
            )

    def result_dtype(self, dtype: np.dtype) -> np.dtype:
        """Return the dtype of the result for an image of some dtype."""
        return dtype if self.dtype is None else np.dtype(self.dtype)


def denoise(
    model: FittedModel,
    raw: Any,
    sensor: str | SensorInfo | None = None,
    iso: float | None = None,
    ratio: float | None = None,
    wishes: Wishes | None = None,
    track: Track | None = None,
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
    wishes : Wishes, optional
    track : callable, optional
        Takes tiles and their number, and passes them through: for a progress bar.

    Returns
    -------
    RawImage or ndarray
        In the dtype of the input unless `wishes` name one; integers are rounded.

    Raises
    ------
    TypeError, ValueError
        If the image cannot be used, sensor or ISO is missing or unknown, or the
        memory limit is too low.
    """
    wishes = wishes or Wishes()
    info, name = (sensor, None) if isinstance(sensor, SensorInfo) else (None, sensor)
    if isinstance(raw, (str, Path)):
        raw = _read_file(raw, info, name, iso)
    facts = {"sensor": name, "iso": iso, "ratio": ratio}
    facts = {name: value for name, value in facts.items() if value is not None}
    if isinstance(raw, RawImage):
        image = replace(raw.with_mosaic(raw.mosaic), **facts)
        info = sensor_info(model, image.sensor, info)
        return raw.with_mosaic(_denoise_mosaic(model, image, info, wishes, track))
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
    mosaic = _denoise_mosaic(model, image, info, wishes, track)
    return pack_bayer(mosaic, info.cfa).astype(mosaic.dtype) if packed else mosaic


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
    mosaic = image.mosaic
    height, width = mosaic.shape
    image = image.with_mosaic(mosaic[: height - height % 2, : width - width % 2])
    correction = _correct(model, image, info, Wishes())
    planes = np.empty(correction.noisy.shape, np.float32)

    def fill(rows: slice) -> None:
        planes[:, rows] = pack_bayer(correction.denoised(rows), image.cfa)

    each_band(fill, *planes.shape[1:])
    return planes


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


def _denoise_mosaic(
    model: FittedModel,
    image: RawImage,
    info: SensorInfo,
    wishes: Wishes,
    track: Track | None,
) -> np.ndarray:
    height, width = image.mosaic.shape
    dtype = wishes.result_dtype(image.mosaic.dtype)
    image = image.with_mosaic(pad_to_even(image.mosaic))
    correction = _correct(model, image, info, wishes, track)
    # What is removed from a band makes room for its result, where that is float32.
    is_float32 = dtype == np.float32
    result = (
        correction.residual.counts
        if is_float32
        else np.empty(image.mosaic.shape, dtype)
    )
    strength = np.float32(wishes.strength)

    def fill(rows: slice) -> None:
        counts = correction.noisy.to_counts(correction.denoised(rows))
        rows = slice(2 * rows.start, 2 * rows.stop)
        if strength < 1:
            noisy = image.mosaic[rows]
            counts = noisy + strength * (counts - noisy)
        result[rows] = cast_counts(counts, dtype)

    each_band(fill, *correction.noisy.shape[1:])
    return np.ascontiguousarray(result[:height, :width])


def _correct(
    model: FittedModel,
    image: RawImage,
    info: SensorInfo,
    wishes: Wishes,
    track: Track | None = None,
) -> Correction:
    """Find out what to take away from an image of even sides."""
    _warn_outside_iso_range(info, image)
    scale, zeros = image.ratio / image.span, np.zeros(4)
    noisy = NormalisedMosaic(image.mosaic, image.cfa, image.black_planes, scale, zeros)
    noise = expected_noise(info, image.iso, image.ratio)
    codes = model.conditioning.vector(image.sensor, image.iso, image.ratio, noise)
    network = ImageNetwork(fold(model.network, codes), model.autocast_dtype)
    return correct(
        network,
        replace(noisy, offset=info.offset_at(image.iso) * (image.ratio / info.span)),
        noise,
        keeps_mean=is_clipped(image),
        safeguard=model.safeguard,
        self_ensemble=wishes.self_ensemble,
        memory=_memory_for_tiles(network, image.mosaic, wishes),
        track=track,
    )


def _memory_for_tiles(
    network: ImageNetwork, mosaic: np.ndarray, wishes: Wishes
) -> float:
    """Return the bytes that frames leave over, or say how many are needed."""
    dtype = wishes.result_dtype(mosaic.dtype)
    frames = mosaic.size * (4 + (0 if dtype == np.float32 else dtype.itemsize))
    taken = frames + network.fixed_memory
    memory = wishes.memory_limit * GIB - taken
    needed = network.least_memory((4, *(side // 2 for side in mosaic.shape)))
    if memory < needed:
        height, width = mosaic.shape
        raise ValueError(
            f"a memory limit of {wishes.memory_limit:g} GiB is too low for an image "
            f"of {height}x{width}; predict it with memory_limit="
            f"{np.ceil((taken + needed) / GIB * 100) / 100:g} or more."
        )
    return memory


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
