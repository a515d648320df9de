"""A fitted network applied to one image: any size, any Bayer order, any kind."""

from __future__ import annotations

import numbers
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skadl.network.folded import fold
from skadl.noise.noise_level import expected_noise
from skadl.noise.sensors import SensorInfo
from skadl.prediction.bands import each_band
from skadl.prediction.correction import Correction, correct, is_clipped
from skadl.prediction.fitted_model import FittedModel, known_sensors, resolve_sensor
from skadl.prediction.frame import FrameNetwork, Track
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.raw.image import RawImage, check_positive
from skadl.raw.levels import cast_counts
from skadl.raw.mosaic import pack_bayer, pad_to_even, unpack_bayer
from skadl.raw.rawfile import read_raw

DEFAULT_MEMORY_LIMIT = 1.5
GIB = 2**30
UNNAMED = "unnamed sensor"


@dataclass(frozen=True)
class PredictOptions:
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
    options: PredictOptions | None = None,
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
    options : PredictOptions, optional
    track : callable, optional
        Takes tiles and their number, and passes them through: for a progress bar.

    Returns
    -------
    RawImage or ndarray
        In the dtype of the input unless `options` name one; integers are rounded.

    Raises
    ------
    TypeError, ValueError
        If the image cannot be used, sensor or ISO is missing or unknown, or the
        memory limit is too low.
    """
    options = options or PredictOptions()
    info, name = (sensor, None) if isinstance(sensor, SensorInfo) else (None, sensor)
    if isinstance(raw, (str, Path)):
        raw = _read_file(raw, info, name, iso)
    facts = {"sensor": name, "iso": iso, "ratio": ratio}
    facts = {name: value for name, value in facts.items() if value is not None}
    if isinstance(raw, RawImage):
        image = replace(raw.with_mosaic(raw.mosaic), **facts)
        info = resolve_sensor(model, image.sensor, info)
        return raw.with_mosaic(_denoise_mosaic(model, image, info, options, track))
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
    info = resolve_sensor(model, name, info)
    packed = array.ndim == 3 and array.shape[0] == 4
    image = RawImage(
        unpack_bayer(array, info.cfa) if packed else array,
        info.cfa,
        info.black_level,
        info.white_level,
        **{"sensor": UNNAMED, **facts},
    )
    mosaic = _denoise_mosaic(model, image, info, options, track)
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
        Facts of its sensor, from `resolve_sensor`, which by default looks up its name.

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
    info = resolve_sensor(model, image.sensor) if info is None else info
    mosaic = image.mosaic
    height, width = mosaic.shape
    image = image.with_mosaic(mosaic[: height - height % 2, : width - width % 2])
    correction = _correct(model, image, info, PredictOptions())
    planes = np.empty(correction.noisy.shape, np.float32)

    def fill(rows: slice) -> None:
        planes[:, rows] = pack_bayer(correction.denoised(rows), image.cfa)

    each_band(fill, *planes.shape[1:])
    return planes


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
    options: PredictOptions,
    track: Track | None,
) -> np.ndarray:
    height, width = image.mosaic.shape
    dtype = options.result_dtype(image.mosaic.dtype)
    image = image.with_mosaic(pad_to_even(image.mosaic))
    correction = _correct(model, image, info, options, track)
    # What is removed from a band makes room for its result, where that is float32.
    is_float32 = dtype == np.float32
    result = (
        correction.residual.counts
        if is_float32
        else np.empty(image.mosaic.shape, dtype)
    )
    strength = np.float32(options.strength)

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
    options: PredictOptions,
    track: Track | None = None,
) -> Correction:
    """Find out what to take away from an image of even sides."""
    _warn_outside_iso_range(info, image)
    scale, zeros = image.ratio / image.span, np.zeros(4)
    noisy = NormalisedMosaic(image.mosaic, image.cfa, image.black_planes, scale, zeros)
    noise = expected_noise(info, image.iso, image.ratio)
    codes = model.conditioning.vector(image.sensor, image.iso, image.ratio, noise)
    network = FrameNetwork(fold(model.network, codes), model.autocast_dtype)
    return correct(
        network,
        replace(noisy, offset=info.offset_at(image.iso) * (image.ratio / info.span)),
        noise,
        keeps_mean=is_clipped(image),
        safeguard=model.safeguard,
        self_ensemble=options.self_ensemble,
        memory=_memory_for_tiles(network, image.mosaic, options),
        track=track,
    )


def _memory_for_tiles(
    network: FrameNetwork, mosaic: np.ndarray, options: PredictOptions
) -> float:
    """Return the bytes that frames leave over, or say how many are needed."""
    dtype = options.result_dtype(mosaic.dtype)
    frames = mosaic.size * (4 + (0 if dtype == np.float32 else dtype.itemsize))
    taken = frames + network.fixed_memory
    memory = options.memory_limit * GIB - taken
    needed = network.least_memory((4, *(side // 2 for side in mosaic.shape)))
    if memory < needed:
        height, width = mosaic.shape
        raise ValueError(
            f"a memory limit of {options.memory_limit:g} GiB is too low for an image "
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
