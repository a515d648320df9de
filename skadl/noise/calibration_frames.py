"""Dark and flat frames of a sensor, checked and measured ISO by ISO."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skadl.noise.dark_frames import DarkFigures, measure_darks
from skadl.noise.fixed_pattern import FixedPattern
from skadl.noise.flat_frames import FlatFigures, measure_flats
from skadl.noise.residual import NEARLY_WHITE
from skadl.noise.sensors import SensorInfo
from skadl.raw.image import RawImage
from skadl.support.robust import robust_sigma

MOST_DARK = 0.02  # of the range above black: what is brighter holds light
_BLOCK = 4  # packed pixels: side of blocks that a picture or a star would show in
# Times the noise of a block: what dark shading does not reach, and a star does.
_MOST_UNEVEN, _BRIGHT = 5.0, 8.0
_LEAST_LIGHT = 0.02  # of the range: what is darker is no flat
_MOST_WHITE = 0.01  # share of a flat's pixels
_WHERE = {"darks": "dark frames", "flats": "flats"}


def check_frames(frames: Any, what: str) -> tuple[RawImage, ...]:
    """Return dark or flat frames as a tuple; TypeError for anything else."""
    if frames is None:
        return ()
    if isinstance(frames, (str, bytes, RawImage)) or not isinstance(frames, Iterable):
        raise TypeError(
            f"{what} must be a sequence of RawImage, got {type(frames).__name__}."
        )
    members = tuple(frames)
    for index, frame in enumerate(members):
        if not isinstance(frame, RawImage):
            raise TypeError(
                f"{what} must hold RawImage, but item {index} is a "
                f"{type(frame).__name__}; read files with skadl.read_raw or "
                "skadl.open_raw."
            )
    return members


def kind_of(frame: RawImage) -> str | None:
    """Tell by content whether a frame is "dark" or "flat"; None where it is neither."""
    if is_dark(frame):
        return "dark"
    planes = frame.normalised() / frame.ratio
    level = np.median(planes, axis=(1, 2))
    height, width = (side // 8 * 8 for side in planes.shape[1:])
    if min(height, width) < 16 or level.min() < _LEAST_LIGHT:
        return None
    blocks = planes[:, :height, :width]
    blocks = blocks.reshape(len(planes), height // 8, 8, width // 8, 8)
    means = blocks.mean(axis=(2, 4)) / level[:, None, None]
    steps = np.concatenate(
        [np.abs(np.diff(means, axis=axis)).ravel() for axis in (1, 2)]
    )
    # Shading of a lens is smooth: neighbours are alike, and nothing is twice as bright.
    is_smooth = np.quantile(steps, 0.95) < 0.1 and means.max() < 2
    return "flat" if is_smooth else None


def is_dark(frame: RawImage) -> bool:
    """Whether a frame lies at black and shows nothing: no picture and no star."""
    planes = frame.normalised() / frame.ratio
    level = np.median(planes, axis=(1, 2))
    if np.abs(level).max() >= MOST_DARK:
        return False
    sides = [side // _BLOCK for side in planes.shape[1:]]
    if min(sides) < 2:
        return True
    height, width = (side * _BLOCK for side in sides)
    planes = planes[:, :height, :width] - level[:, None, None]
    blocks = planes.reshape(-1, sides[0], _BLOCK, sides[1], _BLOCK).mean(axis=(2, 4))
    # Light is in all planes; a hot pixel is in one.
    common = blocks.min(axis=0)
    pixel = robust_sigma(planes[:, 1:, 1:] - planes[:, :-1, :-1]) / 2**0.5
    spread = robust_sigma(common - np.median(common))
    is_even = spread <= _MOST_UNEVEN * pixel / _BLOCK
    brightest = np.quantile(common, 0.999) - np.median(common)
    return bool(is_even and brightest <= _BRIGHT * max(spread, pixel / _BLOCK))


def measure_frames(
    info: SensorInfo, darks: Sequence[RawImage], flats: Sequence[RawImage]
) -> tuple[SensorInfo, list[str]]:
    """Return a sensor's facts with what its darks and flats tell, and what they leave.

    ValueError where frames cannot be used.
    """
    found_darks = {
        iso: _measure_dark(members) for iso, members in _by_iso(darks, "darks").items()
    }
    found_flats: dict[float, FlatFigures] = {}
    notes = []
    for iso, members in _by_iso(flats, "flats").items():
        dark = found_darks.get(iso)
        _check_flats(members)
        figures = measure_flats(
            members,
            None if dark is None else dark.read_noise,
            0.0 if dark is None else dark.offset,
        )
        if figures is None:
            raise ValueError(
                f"{len(members)} flats at ISO {iso:g} hold no two of the same "
                "exposure; shoot two with the same exposure time in the same light."
            )
        found_flats[iso] = figures
    changes: dict[str, Any] = {}
    if found_darks:
        changes |= {
            "black_offset": {k: tuple(d.offset) for k, d in found_darks.items()},
            "row_noise": {k: d.row_noise for k, d in found_darks.items()},
            "fixed_pattern": FixedPattern(
                {k: d.pattern for k, d in found_darks.items()}
            ),
        }
    changes |= _noise(found_darks, found_flats, notes)
    return replace(info, **changes), notes


def _noise(
    darks: dict[float, DarkFigures], flats: dict[float, FlatFigures], notes: list[str]
) -> dict[str, Any]:
    """Gain of the flats and read noise of the darks, if there is a gain at all."""
    if not flats:
        if darks:
            listed = ", ".join(
                f"{d.read_noise:.3g} at ISO {iso:g}" for iso, d in darks.items()
            )
            notes.append(
                f"Dark frames do not show the gain; read noise is {listed} counts. Add "
                "two flats of equal exposure at each ISO, or pairs."
            )
        return {}
    read = darks or flats
    if not darks:
        notes.append(
            "Read noise is where the flats' line meets no light. Add two dark frames "
            "at each ISO: they tell it exactly."
        )
    return {
        "gain": {k: f.gain for k, f in flats.items()},
        "gain_error": {k: f.gain_error for k, f in flats.items()},
        "plane_gain": {k: tuple(f.plane_gain) for k, f in flats.items()},
        "read_noise": {k: f.read_noise for k, f in read.items()},
        "read_noise_error": {k: f.read_noise_error for k, f in read.items()},
    }


def _by_iso(frames: Sequence[RawImage], what: str) -> dict[float, list[RawImage]]:
    groups: dict[float, list[RawImage]] = {}
    for frame in frames:
        groups.setdefault(frame.iso, []).append(frame)
    kinds: dict[tuple, int] = {}
    for frame in frames:
        image = frame.mosaic.shape, frame.cfa
        kinds[image] = kinds.get(image, 0) + 1
    if len(kinds) > 1:
        listed = ", ".join(
            f"{count} of {shape[0]}x{shape[1]} {cfa}"
            for (shape, cfa), count in kinds.items()
        )
        raise ValueError(
            f"{_WHERE[what]} must be of one size and CFA pattern, got {listed}; a "
            "fixed pattern belongs to a place in the frame. Leave the others out."
        )
    for iso, members in groups.items():
        if len(members) < 2:
            more = "" if len(groups) == 1 else f"; ISOs are {sorted(groups)}"
            raise ValueError(
                f"got one frame only of the {_WHERE[what]} at ISO {iso:g}{more}. Two "
                "are needed to tell noise from what is fixed in the frame, and eight "
                "or more are better: shoot another at that ISO, or leave it out."
            )
    return dict(sorted(groups.items()))


def _measure_dark(frames: Sequence[RawImage]) -> DarkFigures:
    for index, frame in enumerate(frames):
        level = float(np.median(frame.normalised()) / frame.ratio)
        if level > MOST_DARK:
            name = f" ({frame.path.name})" if frame.path else ""
            raise ValueError(
                f"dark frame {index}{name} at ISO {frame.iso:g} holds light: its "
                f"median is {level:.1%} of the range above black. Shoot it with the "
                "lens cap on and the viewfinder covered, or correct black_level."
            )
    return measure_darks(frames)


def _check_flats(frames: Sequence[RawImage]) -> None:
    for index, frame in enumerate(frames):
        name = f" ({frame.path.name})" if frame.path else ""
        planes = frame.packed()
        white = float(np.mean(planes >= NEARLY_WHITE * frame.white_level))
        if white > _MOST_WHITE:
            raise ValueError(
                f"flat {index}{name} at ISO {frame.iso:g} is burnt out: {white:.1%} of "
                "its pixels are at white. Expose less: half of the range is best."
            )
        level = float(np.median(frame.normalised()) / frame.ratio)
        if level < _LEAST_LIGHT:
            raise ValueError(
                f"flat {index}{name} at ISO {frame.iso:g} is too dark: its median is "
                f"{level:.1%} of the range above black. Expose more: half is best."
            )
