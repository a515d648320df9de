"""An image of any kind, denoised into the same kind."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skadl.noise.sensors import SensorInfo
from skadl.noise.source import find_noise, require_iso
from skadl.prediction.frame import Track
from skadl.prediction.model import ImageModel, PredictOptions
from skadl.raw.image import NoISOError, RawImage
from skadl.raw.mosaic import mosaic_of, pack_mosaic, unpack_mosaic
from skadl.raw.pair import RawPair
from skadl.raw.rawfile import read_raw_as_it_is

UNNAMED = "unnamed sensor"
_MORE_CERTAIN = (
    "Noise that skadl.calibrate_sensor measures on pairs of the sensor is more certain."
)


def denoise(
    model: ImageModel,
    raw: Any,
    sensor: str | SensorInfo | None = None,
    iso: float | None = None,
    ratio: float | None = None,
    options: PredictOptions | None = None,
    track: Track | None = None,
) -> RawImage | np.ndarray:
    """Denoise a RawImage, path, mosaic (H, W) or planes (4, h, w), and return its kind.

    `sensor`, `iso` and `ratio` replace what the image says; the facts of a sensor may
    stand for its name where only its noise counts, and pattern and levels of a
    `RawImage` or a file stay. Noise that nobody gave or measured is found as
    `find_noise` does, with a UserWarning where it is an estimate or contradicts the
    image. `track` passes tiles through: for a progress bar.
    """
    options = options or PredictOptions()
    info, name = (sensor, None) if isinstance(sensor, SensorInfo) else (None, sensor)
    path = raw if isinstance(raw, (str, Path)) else None
    if path is not None:
        raw = _read_file(path, info, name, iso)
    given = {"sensor": name, "iso": iso, "ratio": ratio}
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(raw, RawPair):
        raw = raw.noisy
    if isinstance(raw, RawImage):
        if info is not None and info.knows_noise and path is not None:
            require_iso(raw, "the noise of the SensorInfo goes by the ISO")
        profile = raw.noise_profile
        image = replace(raw.with_mosaic(raw.mosaic), noise_profile=profile, **given)
        model = model.for_image(image)
        info = _resolve(model, image, info)
        return raw.with_mosaic(model.denoise_mosaic(image, info, options, track))
    array = np.asarray(raw)
    if array.dtype.kind not in "uif":
        raise TypeError(
            "predict takes a RawImage, a path, a mosaic (H, W) in counts, packed "
            f"planes (4, h, w), or a list of these; got {type(raw).__name__}."
        )
    if sensor is None or iso is None:
        raise ValueError(
            "an array does not say where it comes from: give predict(raw, sensor, "
            f"iso); known sensors are {model.known_sensors()}."
        )
    if info is None and model.takes_any_noise and name in model.sensors:
        facts = model.sensors.get(name)  # pattern and levels, if not its noise
    else:
        facts = info or model.resolve_sensor(name)
    packed = array.ndim == 3 and len(array) == mosaic_of(facts.cfa).n_planes
    image = RawImage(
        unpack_mosaic(array, facts.cfa) if packed else array,
        facts.cfa,
        facts.black_level,
        facts.white_level,
        **{"sensor": UNNAMED, **given},
    )
    model = model.for_image(image)
    info = _resolve(model, image, info)
    mosaic = model.denoise_mosaic(image, info, options, track)
    return pack_mosaic(mosaic, facts.cfa).astype(mosaic.dtype) if packed else mosaic


def _resolve(model: ImageModel, image: RawImage, info: SensorInfo | None) -> SensorInfo:
    """Return the sensor's facts, with noise, from wherever it can be had."""
    knows = info.knows_noise if info else image.sensor in model.known_sensors()
    if knows or not model.takes_any_noise:
        if info is None:
            require_iso(image, "what the model knows of its sensor goes by the ISO")
        return model.resolve_sensor(image.sensor, info)
    try:
        found = find_noise(image, info, model.sensors)
    except NoISOError:
        raise
    except ValueError as error:
        raise ValueError(
            f"{error} Known sensors are {model.known_sensors()}."
        ) from None
    told = []
    if found.source in ("estimated", "assumed"):
        told = [f"sensor {image.sensor!r}: {found.sentence}. {_MORE_CERTAIN}"]
    if told or found.notes:
        warnings.warn(" ".join([*told, *found.notes]), UserWarning, stacklevel=4)
    return found.sensor


def _read_file(
    path: str | Path, info: SensorInfo | None, name: str | None, iso: float | None
) -> RawImage:
    try:
        return read_raw_as_it_is(path, sensor=name, iso=iso)
    except ValueError:
        if info is None:
            raise
        # Facts given in place of a name: the file need not know one.
        return read_raw_as_it_is(path, sensor=UNNAMED, iso=iso)
