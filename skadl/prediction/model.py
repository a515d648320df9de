"""What an estimator predicts with: a model that denoises one image at a time."""

from __future__ import annotations

import numbers
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skadl.noise.frame_offsets import facts_left, find_offsets, without_offsets
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.prediction.frame import Track
from skadl.raw.image import RawImage, check_positive
from skadl.raw.levels import cast_counts, denormalise
from skadl.raw.mosaic import (
    crop_to_blocks,
    mosaic_of,
    pad_to_blocks,
    unpack_mosaic,
)
from skadl.raw.symmetry import ENSEMBLE_SIZES

DEFAULT_MEMORY_LIMIT = 1.5
ENGINES = ("auto", "torch", "onnxruntime", "openvino")
PRECISIONS = ("float32", "bfloat16", "int8")


@dataclass(frozen=True)
class PredictOptions:
    """How an image shall be denoised; checked when it is made.

    strength from 0 (as it is) to 1; self_ensemble, over how many symmetries of the
    mosaic to average, True for all; dtype of the result, None for that of the
    image; memory_limit in GiB. engine and precision of the convolutions, as in
    `choose_engine`; None is the precision of the model.
    """

    strength: float = 1.0
    self_ensemble: int = 1
    dtype: Any = None
    memory_limit: float = DEFAULT_MEMORY_LIMIT
    engine: str = "auto"
    precision: str | None = None

    def __post_init__(self) -> None:
        is_real = isinstance(self.strength, numbers.Real)
        if not is_real or not 0 <= self.strength <= 1:
            raise ValueError(
                f"strength must be a number from 0 to 1, got {self.strength!r}."
            )
        if isinstance(self.self_ensemble, (bool, np.bool_)):
            size = max(ENSEMBLE_SIZES) if self.self_ensemble else 1
            object.__setattr__(self, "self_ensemble", size)
        elif self.self_ensemble not in ENSEMBLE_SIZES:
            raise ValueError(
                "self_ensemble must be True, False or one of "
                f"{', '.join(map(str, ENSEMBLE_SIZES))}, got {self.self_ensemble!r}."
            )
        check_positive("memory_limit", self.memory_limit)
        if self.engine not in ENGINES:
            raise ValueError(
                f"engine must be one of {', '.join(map(repr, ENGINES))}, got "
                f"{self.engine!r}."
            )
        if self.precision not in (None, *PRECISIONS):
            raise ValueError(
                f"precision must be one of {', '.join(map(repr, PRECISIONS))}, or None "
                f"for the model's own, got {self.precision!r}."
            )
        if self.dtype is not None and np.dtype(self.dtype).kind not in "uif":
            raise TypeError(
                f"dtype must be one of numbers, such as np.float32, got {self.dtype!r}."
            )

    def result_dtype(self, dtype: np.dtype) -> np.dtype:
        """Return the dtype of the result for an image of some dtype."""
        return dtype if self.dtype is None else np.dtype(self.dtype)


class ImageModel(ABC):
    """Denoises an image whose sensor it knows; a subclass is a frozen dataclass.

    `sensors` are those of the fit with noise and ISO range, and any others whose noise
    is known; `score` replaces them by more.
    """

    sensors: SensorTable

    def known_sensors(self) -> list[str]:
        """Names of the sensors that the model can predict."""
        return [name for name, info in self.sensors.items() if info.knows_noise]

    def resolve_sensor(
        self, name: str | None, info: SensorInfo | None = None
    ) -> SensorInfo:
        """Return the sensor's facts, with noise, or say what is missing.

        `info`, given with the image, goes before what the model knows under `name`.
        """
        if info is None and name in self.sensors:
            info = self.sensors.get(name)
        if info is not None and info.knows_noise:
            return info
        what = (
            f"the noise of sensor {name!r}" if name else "the noise of the SensorInfo"
        )
        if info is None:
            what = f"sensor {name!r} was not seen during fit and its noise"
        raise ValueError(
            f"{what} is not known; known sensors are {self.known_sensors()}. Give "
            "predict sensor=SensorInfo(..., gain=..., read_noise=...) or "
            "sensor=calibrate_sensor(pairs), or put either under its name into the "
            "SensorTable passed to fit or score as meta."
        )

    @property
    def takes_any_noise(self) -> bool:
        """Whether a sensor is known by its noise, wherever that comes from."""
        return True

    def for_image(self, image: RawImage) -> ImageModel:
        """Return the model for the mosaic of an image; ValueError if there is none."""
        return self

    @abstractmethod
    def denoise_planes(
        self, image: RawImage, info: SensorInfo | None = None
    ) -> np.ndarray:
        """Return normalised planes (4, h, w), float32; sides are rounded down.

        Black at 0, white at 1, times the light factor: what is scored, before any
        rounding to counts. `info` is looked up by the image's sensor where not given.
        """

    @abstractmethod
    def denoise_mosaic(
        self,
        image: RawImage,
        info: SensorInfo,
        options: PredictOptions,
        track: Track | None = None,
    ) -> np.ndarray:
        """Return the denoised mosaic (H, W) in counts, in the options' dtype."""


@dataclass(frozen=True, eq=False)
class PlaneFunction(ImageModel):
    """A function of image and sensor as a model; for denoisers without a network.

    The function takes a finite `RawImage` of whole blocks and the `SensorInfo` of its
    sensor, whose noise is known unless `needs_noise` is False, and returns normalised
    planes (4, h, w).
    """

    sensors: SensorTable
    function: Callable[[RawImage, SensorInfo], np.ndarray]
    needs_noise: bool = True

    def known_sensors(self) -> list[str]:
        """Names of the sensors that the model can predict."""
        return super().known_sensors() if self.needs_noise else list(self.sensors.names)

    @property
    def takes_any_noise(self) -> bool:
        """Whether a sensor is known by its noise, wherever that comes from."""
        return self.needs_noise

    def resolve_sensor(
        self, name: str | None, info: SensorInfo | None = None
    ) -> SensorInfo:
        """Return the sensor's facts, or say what is missing."""
        if self.needs_noise:
            return super().resolve_sensor(name, info)
        if info is None and name not in self.sensors:
            raise ValueError(
                f"sensor {name!r} was not seen during fit; known sensors are "
                f"{self.known_sensors()}. Name one of them, or give its SensorInfo."
            )
        return info or self.sensors.get(name)

    def denoise_planes(
        self, image: RawImage, info: SensorInfo | None = None
    ) -> np.ndarray:
        """Return what the function makes of the image, if it is finite."""
        info = self.resolve_sensor(image.sensor) if info is None else info
        if self.needs_noise:
            warn_outside_iso_range(info, image)
        image = image.with_mosaic(crop_to_blocks(image.mosaic, image.cfa))
        if image.mosaic.dtype.kind == "f" and not np.isfinite(image.mosaic).all():
            raise not_finite(image)
        offsets = find_offsets(image, info)
        left = facts_left(info, image.iso, offsets)
        planes = self.function(without_offsets(image, offsets), left)
        planes = np.asarray(planes, np.float32)
        height, width = image.mosaic.shape
        own = mosaic_of(image.cfa)
        shape = own.n_planes, height // own.side, width // own.side
        if planes.shape != shape:
            raise ValueError(
                f"the denoiser gave an array of shape {planes.shape} for an image of "
                f"{height}x{width}; it must give normalised planes {shape}."
            )
        if not np.isfinite(planes).all():
            raise FloatingPointError(
                f"the denoiser gave NaN or infinity for {image!r}."
            )
        return planes

    def denoise_mosaic(
        self,
        image: RawImage,
        info: SensorInfo,
        options: PredictOptions,
        track: Track | None = None,
    ) -> np.ndarray:
        """Return the function's planes as a mosaic in counts."""
        if options.self_ensemble > 1:
            raise ValueError("self_ensemble is for denoisers with a network.")
        height, width = image.mosaic.shape
        image = image.with_mosaic(pad_to_blocks(image.mosaic, image.cfa))
        planes = self.denoise_planes(image, info)
        counts = denormalise(planes, image.black_planes, image.white_level, image.ratio)
        counts = blend(image.mosaic, unpack_mosaic(counts, image.cfa), options.strength)
        dtype = options.result_dtype(image.mosaic.dtype)
        return np.ascontiguousarray(cast_counts(counts, dtype)[:height, :width])


def blend(noisy: np.ndarray, denoised: np.ndarray, strength: float) -> np.ndarray:
    """Go `strength`, from 0 to 1, of the way from noisy to denoised counts."""
    strength = np.float32(strength)
    if strength == 1:  # as they are: the way back and forth would round them
        return denoised
    return noisy + strength * (denoised - noisy)


def not_finite(image: RawImage) -> ValueError:
    """Return the error that refuses an image with NaN or infinity."""
    return ValueError(
        f"{image!r} holds NaN or infinity; repair those pixels before predicting."
    )


def warn_of_other_size(info: SensorInfo, image: RawImage) -> None:
    """Warn where a sensor's fixed pattern is known for frames of another size."""
    pattern = info.fixed_pattern
    if pattern is not None and pattern.shape != image.mosaic.shape:
        height, width = image.mosaic.shape
        warnings.warn(
            f"the fixed pattern of sensor {image.sensor!r} is known for frames of "
            f"{pattern.shape[0]}x{pattern.shape[1]} pixels; it is not taken off this "
            f"frame of {height}x{width}. For a part of the frame whose place is known "
            "give FixedPattern.window of it.",
            UserWarning,
            stacklevel=2,
        )


def warn_outside_iso_range(info: SensorInfo, image: RawImage) -> None:
    """Warn where what is known of a sensor's noise does not reach an image's ISO."""
    if info.iso_range is not None:
        (low, high), what = info.iso_range, f"sensor {image.sensor!r} was fitted on"
    else:  # never fitted on: its noise is all that is known of it
        low, high, what = min(info.gain), max(info.gain), "its noise is given for"
    if not low <= image.iso <= high:
        warnings.warn(
            f"ISO {image.iso:g} lies outside the range {low:g} to {high:g} that "
            f"{what}; check the result before you use it.",
            UserWarning,
            stacklevel=2,
        )
