"""Which frames of a scene are noisy, which are clean, and by how much light."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skadl.data.folders.bursts import Burst
from skadl.data.folders.registration import (
    LEAST_STARS,
    UnregisteredError,
    register,
)
from skadl.data.folders.shots import Shot, find_other_scenes, lights
from skadl.raw.pair import RawPair

LEAST_BURST = 4  # frames, for the mean of the others to be a clean partner of each
_LEAST_LIGHT = 2.0  # of a clean frame, over that of a noisy one
_ROUNDING = 0.9  # of exposure times in EXIF


@dataclass(frozen=True)
class Problem:
    """A file, folder or row that could not become part of a pair."""

    path: Path
    reason: str  # a sentence or two: what is wrong, and what to do


@dataclass(eq=False)
class Matches:
    """Pairs of one scene, as they are found."""

    scene: str
    ratio: float | None = None  # light factor of all; None leaves it to the exposures
    # Whether frames are moved by their stars; None: where these are found and match.
    registers: bool | None = None
    pairs: list[RawPair] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, noisy: Shot, clean: Burst, ratio: float) -> None:
        """Pair a frame with the mean of a burst, of which it may be a member."""
        truth = clean.image(without=noisy)
        self.pairs.append(RawPair(noisy.image(ratio=ratio), truth, self.scene))

    def leave_out(self, shots: Iterable[Shot], reason: str) -> None:
        """Say of some frames why they are in no pair."""
        self.problems += [Problem(shot.path, reason) for shot in shots]


def match_scene(shots: Sequence[Shot], matches: Matches) -> None:
    """Tell noisy from clean frames of one scene by the light that each burst got."""
    by_camera: dict[Hashable, list[Shot]] = {}
    for shot in shots:
        by_camera.setdefault(shot.camera, []).append(shot)
    for shots_of_camera in by_camera.values():
        kept = shots_of_camera
        if not _show_stars(kept):  # which drift from cell to cell of a thumbnail
            kept = _leave_out_other_scenes(kept, matches)
        bursts = _find_bursts(kept)
        if len(bursts) == 1:
            _match_within(bursts[0], matches)
        elif lights(kept) is None and matches.ratio is None:
            matches.leave_out(
                kept,
                "not all files of this scene say their exposure time, so which is "
                "clean, and the light factor, are not known; name the pairs and their "
                "ratio in pairs.csv.",
            )
        else:
            _match_between(bursts, matches)


def match_declared(
    noisy: Sequence[Shot], clean: Sequence[Shot], matches: Matches
) -> None:
    """Pair each noisy frame with the mean of the frames that are said to be clean."""
    # A frame may be noisy and clean: the mean is then taken without it.
    bursts = _find_bursts(clean)
    kept = max(bursts, key=lambda burst: len(burst.shots))
    first = kept.shots[0]
    for burst in bursts:
        if burst is not kept:
            matches.leave_out(
                burst.shots,
                "has other settings than the frames that it was to be averaged with "
                f"({first.path.name}); give it a pair of its own.",
            )
    for shot in noisy:
        reason = _obstacle(shot, kept, matches.ratio)
        if reason is None:
            matches.add(shot, kept, matches.ratio or _light_factor(shot, first))
        else:
            matches.leave_out([shot], reason)


def _match_within(burst: Burst, matches: Matches) -> None:
    """Pair each frame of a burst with the mean of the others."""
    shots = burst.shots
    if len(shots) < LEAST_BURST:
        frames = "the only frame" if len(shots) == 1 else f"{len(shots)} equal frames"
        matches.leave_out(
            shots,
            f"{frames} of this scene and camera: nothing says what is clean. Add a "
            f"longer exposure, or shoot at least {LEAST_BURST} equal frames, whose "
            "mean is.",
        )
        return
    if matches.registers is not False and shots[0].stars is not None:
        if _match_registered(shots, matches):
            return
        if matches.registers is None and _show_stars(shots):
            shots = _leave_out_other_scenes(shots, matches)
            burst = Burst(tuple(shots))
    for shot in shots:
        matches.add(shot, burst, matches.ratio or 1.0)


def _match_registered(shots: Sequence[Shot], matches: Matches) -> bool:
    """Pair each frame with the mean of the others, moved over it by their stars.

    False where frames have to be taken as they are.
    """
    try:
        burst, left_out = register(shots)
    except UnregisteredError as error:
        if matches.registers is None:
            return False
        matches.leave_out(shots, f"cannot be registered: {error}.")
        return True
    matches.leave_out(
        left_out,
        "its stars do not match those of the other frames, or it shows less than half "
        "of their field; clouds passed, or the mount moved.",
    )
    if burst is None:
        return False
    if len(burst.shots) < LEAST_BURST:
        matches.leave_out(
            burst.shots,
            f"only {len(burst.shots)} frames match by their stars; {LEAST_BURST} are "
            "needed.",
        )
        return True
    for index in range(len(burst.shots)):
        noisy, clean = burst.frames(index, matches.ratio or 1.0)
        matches.pairs.append(RawPair(noisy, clean, matches.scene))
    matches.notes.append(
        f"{matches.scene}: {len(burst.shots)} frames registered by their stars; they "
        f"drift by up to {burst.drift:.1f} pixels, matched stars lie "
        f"{burst.error:.2f} pixels off one another"
    )
    return True


def _show_stars(shots: Sequence[Shot]) -> bool:
    return all(s.stars is not None and len(s.stars) >= LEAST_STARS for s in shots)


def _match_between(bursts: Sequence[Burst], matches: Matches) -> None:
    """Take the burst that got most light for the clean one, all others for noisy."""
    firsts = [burst.shots[0] for burst in bursts]
    # Without times: all are exposed alike, so that the ISO says how long.
    light = lights(firsts) or [1 / shot.iso for shot in firsts]
    totals = [
        each * len(burst.shots) for each, burst in zip(light, bursts, strict=True)
    ]
    best = max(range(len(bursts)), key=lambda i: (totals[i], -firsts[i].iso))
    for burst, first, each in zip(bursts, firsts, light, strict=True):
        if burst is bursts[best]:
            continue
        if totals[best] < _LEAST_LIGHT * _ROUNDING * each:
            matches.leave_out(
                burst.shots,
                f"the clean frame of this scene, {firsts[best].path.name}, got only "
                f"{totals[best] / each:.2g} times its light; shoot it with a longer "
                "exposure or more frames.",
            )
            continue
        ratio = matches.ratio or _light_factor(first, firsts[best])
        for shot in burst.shots:
            matches.add(shot, bursts[best], ratio)


def _obstacle(noisy: Shot, clean: Burst, ratio: float | None) -> str | None:
    """Say why two frames that are said to be a pair cannot be one."""
    first = clean.shots[0]
    if [shot.path for shot in clean.shots] == [noisy.path]:
        return "is named as noisy and as clean; name another as clean."
    if noisy.camera != first.camera:
        return (
            f"is of {_describe(noisy)}; its clean frame {first.path.name} is of "
            f"{_describe(first)}. Give a clean frame of the same camera and size."
        )
    if ratio is not None or noisy.settings == first.settings:
        return None
    light = lights([noisy, first])
    if light is None:
        return (
            f"this file or its clean frame {first.path.name} says no exposure time; "
            "give the light factor: ratio=..., or a column ratio in pairs.csv."
        )
    share = len(clean.shots) * light[1] / light[0]
    if share < _ROUNDING:
        return (
            f"its clean frame {first.path.name} got only {share:.2g} times its light; "
            "exchange the two or, if this is meant, give the light factor: ratio=..., "
            "or a column ratio in pairs.csv."
        )
    return None


def _leave_out_other_scenes(shots: Sequence[Shot], matches: Matches) -> list[Shot]:
    reference, others = find_other_scenes([shot.thumbnail for shot in shots])
    matches.leave_out(
        [shots[i] for i in others],
        f"shows another scene than {shots[reference].path.name}; give each scene a "
        "folder of its own, or name the pairs in pairs.csv.",
    )
    return [shot for i, shot in enumerate(shots) if i not in others]


def _find_bursts(shots: Sequence[Shot]) -> list[Burst]:
    bursts: dict[Hashable, list[Shot]] = {}
    for shot in shots:
        bursts.setdefault(shot.settings, []).append(shot)
    return [Burst(tuple(burst)) for burst in bursts.values()]


def _light_factor(noisy: Shot, clean: Shot) -> float:
    """How many times less signal the noisy frame has."""
    if noisy.settings == clean.settings:
        return 1.0
    light, clean_light = lights([noisy, clean])
    factor = clean_light * clean.iso / (light * noisy.iso)
    return float(f"{factor:.6g}")  # without a tail from binary fractions


def _describe(shot: Shot) -> str:
    height, width = shot.shape
    return f"{shot.sensor}, {width} x {height} pixels, {shot.cfa}"
