"""What baselines that need no clean frames are given: noisy images, or pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from skadl.estimators.baselines.base import measured_sensors
from skadl.estimators.validation import check_meta
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.noise.source import find_noise
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair, check_pairs_sequence


def check_frames(target_pairs: Any) -> tuple[RawPair | RawImage, ...]:
    """Return pairs or noisy images, all of a kind, or say what was got instead."""
    if isinstance(target_pairs, RawImage):
        raise TypeError(
            "target_pairs must be a sequence, got a single RawImage; give [image]."
        )
    is_sequence = isinstance(target_pairs, Sequence) and len(target_pairs)
    if not (is_sequence and isinstance(target_pairs[0], RawImage)):
        frames = check_pairs_sequence(target_pairs, "target_pairs")
        if not frames:
            raise ValueError("got no frames; give at least one RawPair or RawImage.")
        return frames
    for index, frame in enumerate(target_pairs):
        if not isinstance(frame, RawImage):
            raise TypeError(
                "target_pairs must hold RawPair or RawImage alone, but item "
                f"{index} is a {type(frame).__name__} and item 0 a RawImage."
            )
    return tuple(target_pairs)


def noisy_frame(frame: RawPair | RawImage) -> RawImage:
    """Return the frame itself, or the noisy one of a pair."""
    return frame.noisy if isinstance(frame, RawPair) else frame


def sensors_of_frames(
    frames: Sequence[RawPair | RawImage],
    meta: SensorTable | None,
    *,
    needs_noise: bool = False,
) -> SensorTable:
    """Return every sensor of some frames, with its noise where it is known.

    As `meta` says; else measured, where there are pairs. Where `needs_noise`, that of
    bare images is looked for as `predict` does it, ISO by ISO; ValueError where nothing
    tells it.
    """
    if isinstance(frames[0], RawPair):
        return measured_sensors(frames, meta)
    # With itself: only what a noisy frame says of its sensor is asked of a pair.
    sensors = check_meta(meta, [RawPair(frame, frame) for frame in frames])
    if not needs_noise:
        return sensors
    found: dict[str, dict[float, tuple[float, float]]] = {}
    for frame in frames:
        of_sensor = found.setdefault(frame.sensor, {})
        if not sensors.get(frame.sensor).knows_noise and frame.iso not in of_sensor:
            noise = find_noise(frame)
            of_sensor[frame.iso] = noise.gain, noise.read_noise
    return sensors.updated(
        {
            name: _with_noise(sensors, name, figures)
            for name, figures in found.items()
            if figures
        }
    )


def _with_noise(
    sensors: SensorTable, name: str, figures: dict[float, tuple[float, float]]
) -> SensorInfo:
    gain = {iso: both[0] for iso, both in figures.items()}
    read_noise = {iso: both[1] for iso, both in figures.items()}
    return replace(sensors.get(name), gain=gain, read_noise=read_noise)
