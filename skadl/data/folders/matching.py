"""Which frames of a scene are noisy, which are clean, and by how much light."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skadl.data.folders.bursts import Burst
from skadl.data.folders.masters import find_masters
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
_SAME_SPAN = 0.02  # between white and black, of frames of one burst
_LEAST_STACK = 3  # frames


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
    notes: list[str] = field(default_factory=list)  # what was taken for what

    def add(self, noisy: Shot, clean: Burst, ratio: float) -> None:
        """Pair a frame with the mean of a burst, of which it may be a member."""
        truth = clean.image(without=noisy)
        changes: dict[str, Any] = {"ratio": ratio}
        if _continues(clean.shots[0], noisy):
            changes["white_level"] = clean.white_level_of(noisy)
        image = noisy.bare().image(**changes)
        self.pairs.append(RawPair(image, truth, self.scene))

    def leave_out(self, shots: Iterable[Shot], reason: str) -> None:
        """Say of some frames why they are in no pair."""
        self.problems += [Problem(shot.path, reason) for shot in shots]

    def say_master(self, master: Shot, frames: Sequence[Shot]) -> None:
        """Say that a frame is a stack of others, and so the clean frame alone."""
        self.notes.append(
            f"{master.path.name} in scene {self.scene!r} has far less noise than "
            f"{frames[0].path.name}: it is taken for a stack of such frames, and is "
            "the clean one"
        )


def match_scene(shots: Sequence[Shot], matches: Matches) -> None:
    """Tell noisy from clean frames of one scene by the light that each burst got."""
    by_camera: dict[Hashable, list[Shot]] = {}
    for shot in shots:
        by_camera.setdefault(shot.camera, []).append(shot)
    for shots_of_camera in by_camera.values():
        kept = shots_of_camera
        if not _show_stars(kept):  # which drift from cell to cell of a thumbnail
            kept = _leave_out_other_scenes(kept, matches)
        kept = _leave_out_copies(kept, matches)
        bursts, stacks = _set_stacks_apart(_find_bursts(kept), matches)
        if len(bursts) == 1 and not stacks:
            _match_within(bursts[0], matches)
        elif len(bursts) > 1 and lights(kept) is None and matches.ratio is None:
            matches.leave_out(
                kept,
                "not all files of this scene say their exposure time, so which is "
                "clean, and the light factor, are not known; name the pairs and their "
                "ratio in pairs.csv.",
            )
        else:
            _match_between(bursts, stacks, matches)


def match_declared(
    noisy: Sequence[Shot], clean: Sequence[Shot], matches: Matches
) -> None:
    """Pair each noisy frame with the mean of the frames that are said to be clean."""
    noisy, clean = (_leave_out_copies(shots, matches) for shots in (noisy, clean))
    for burst in _find_bursts(noisy):
        frames, masters = _split(burst.shots)
        if frames:
            matches.leave_out(masters, _no_noisy_frame(clean[0].path.name))
            noisy = [shot for shot in noisy if shot not in masters]
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
    frames, masters = _split(kept.shots)
    if masters:
        matches.say_master(masters[0], frames)
    kept = _bare_burst(masters[:1] or kept.shots)
    first = kept.shots[0]
    for shot in noisy:
        reason = _obstacle(shot, kept, matches.ratio)
        if reason is None:
            matches.add(shot, kept, matches.ratio or _light_factor(shot, first))
        else:
            matches.leave_out([shot], reason)


def _match_within(burst: Burst, matches: Matches) -> None:
    """Pair each frame of a burst with the mean of the others."""
    shots = burst.shots
    if len(shots) >= LEAST_BURST and shots[0].stars is not None:
        if _match_registered(shots, matches):
            return
        if matches.registers is None and _show_stars(shots):
            shots = tuple(_leave_out_other_scenes(shots, matches))
            burst = Burst(shots)
    if len(shots) < LEAST_BURST:
        frames = "the only frame" if len(shots) == 1 else f"{len(shots)} equal frames"
        matches.leave_out(
            shots,
            f"{frames} of this scene and camera: nothing says what is clean. Add a "
            f"longer exposure, or shoot at least {LEAST_BURST} equal frames, whose "
            "mean is.",
        )
        return
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
        frames = burst.frames(index, matches.ratio or 1.0)
        matches.pairs.append(RawPair(*frames, matches.scene))
    matches.notes.append(
        f"scene {matches.scene!r}: {len(burst.shots)} frames registered by their "
        f"stars; they drift by up to {burst.drift:.1f} pixels, matched stars lie "
        f"{burst.error:.2f} pixels off one another"
    )
    return True


def _show_stars(shots: Sequence[Shot]) -> bool:
    return all(s.stars is not None and len(s.stars) >= LEAST_STARS for s in shots)


def _match_between(
    frames: Sequence[Burst], stacks: Mapping[Burst, int], matches: Matches
) -> None:
    """Take the burst that got most light for the clean one, all others for noisy."""
    bursts = [*stacks, *frames]  # at equal light a stack
    firsts = [burst.shots[0] for burst in bursts]
    # Without times: all are exposed alike, so that the ISO says how long.
    light = lights(firsts) or [1 / shot.iso for shot in firsts]
    totals = [
        each * stacks.get(burst, len(burst.shots))
        for each, burst in zip(light, bursts, strict=True)
    ]
    best = max(range(len(bursts)), key=lambda i: (totals[i], -firsts[i].iso))
    for burst, first, each in zip(bursts, firsts, light, strict=True):
        if burst is bursts[best]:
            continue
        if burst in stacks:
            matches.leave_out(burst.shots, _no_noisy_frame(firsts[best].path.name))
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
    if [shot.content for shot in clean.shots] == [noisy.content]:
        return (
            f"noisy and clean frame are the same: {first.path.name} is a copy of this "
            "file. Give the clean frame: a long exposure, or a mean of several."
        )
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


def _leave_out_copies(shots: Sequence[Shot], matches: Matches) -> list[Shot]:
    """Keep the first of files with the same counts, also through links."""
    firsts: dict[str, Shot] = {}
    for shot in shots:
        first = firsts.setdefault(shot.content, shot)
        if first is not shot:
            matches.leave_out(
                [shot],
                f"is a copy of {first.path.name}: its noise would count twice. Remove "
                "it.",
            )
    return list(firsts.values())


def _find_bursts(shots: Sequence[Shot]) -> list[Burst]:
    """Group shots of the same settings, whose range of counts is about the same."""
    by_settings: dict[Hashable, list[Shot]] = {}
    for shot in shots:
        by_settings.setdefault(shot.settings, []).append(shot)
    bursts: list[list[Shot]] = []
    for members in by_settings.values():
        # A black level that is measured anew moves it a little, another bit depth much.
        for shot in members:
            near = (b for b in bursts if _continues(b[0], shot))
            burst = next(near, None)
            if burst is None:
                bursts.append([shot])
            else:
                burst.append(shot)
    return [Burst(tuple(burst)) for burst in bursts]


def _continues(first: Shot, shot: Shot) -> bool:
    ratio = shot.span / first.span
    return first.settings == shot.settings and abs(ratio - 1) < _SAME_SPAN


def _set_stacks_apart(
    bursts: Sequence[Burst], matches: Matches
) -> tuple[list[Burst], dict[Burst, int]]:
    """Tell bursts of frames from stacks of them, with the number of frames in each."""
    kept: list[Burst] = []
    stacks: dict[Burst, int] = {}
    for burst in bursts:
        frames, masters = _split(burst.shots)
        kept.append(_bare_burst(frames))
        if masters and len(bursts) == 1 and _drift(frames):
            matches.leave_out(
                masters,
                "is a stack of frames whose stars drift, and lies over one of them at "
                "most: the frames are registered instead.",
            )
        elif masters:
            matches.say_master(masters[0], frames)
            # How many frames it was made of is not known: those that are here, or
            # as many as the noise of a stack tells it from a frame by.
            stacks[_bare_burst(masters[:1])] = max(len(frames), _LEAST_STACK)
            matches.leave_out(masters[1:], _no_noisy_frame(masters[0].path.name))
    return kept, stacks


def _drift(frames: Sequence[Shot]) -> bool:
    """Whether frames make pairs by being moved over one another by their stars."""
    if len(frames) < LEAST_BURST or not _show_stars(frames):
        return False
    try:
        burst, _ = register(frames)
    except UnregisteredError:
        return False
    return burst is not None and len(burst.shots) >= LEAST_BURST


def _bare_burst(shots: Sequence[Shot]) -> Burst:
    return Burst(tuple(shot.bare() for shot in shots))


def _no_noisy_frame(clean: str) -> str:
    return (
        f"has far less noise than the frames of its settings, as a stack has: it is no "
        f"noisy frame. The clean frame is {clean}."
    )


def _split(shots: Sequence[Shot]) -> tuple[tuple[Shot, ...], tuple[Shot, ...]]:
    """Tell the frames of a burst from stacks of them, which have far less noise."""
    found = find_masters(
        [shot.sample for shot in shots], [shot.path.stem for shot in shots]
    )
    masters = tuple(shots[index] for index in found)
    return tuple(shot for shot in shots if shot not in masters), masters


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
