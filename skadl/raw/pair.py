"""One pair of a noisy and a clean raw image."""

from __future__ import annotations

import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skadl.raw.image import UNREADABLE, RawImage, small_planes
from skadl.raw.mosaic import check_cfa, mosaic_of
from skadl.raw.thumbnail import thumbnails
from skadl.support.html import escaped, picture, view

# Arrays contradict their levels if most lies this far outside, as parts of the range
# (a dark frame lies at its black level), or if anything lies so many ranges away.
_BELOW_BLACK, _ABOVE_WHITE, _FARTHEST = 0.01, 0.25, 1e4
_LEAST_WHITE = 100.0  # counts, of a sensor whose frames do not end at 1
NO_TABLE = (
    "pairs of RAW images are no table of numbers, so a step such as StandardScaler "
    "cannot take them. Give them to the denoiser alone: it normalises each frame by "
    "its black and white level."
)


@dataclass(frozen=True, eq=False)
class RawPair:
    """A noisy frame and the clean frame of the same scene.

    Parameters
    ----------
    noisy, clean : RawImage
        Same mosaic shape and CFA pattern. The light factor is that of `noisy`.
    scene : hashable, optional
        What the pair shows; pairs of one scene must not straddle a
        cross-validation split, so pass ``groups=[pair.scene for pair in pairs]``.

    Raises
    ------
    TypeError
        If a member is not a `RawImage`.
    """

    noisy: RawImage
    clean: RawImage
    scene: Any = None

    def __post_init__(self) -> None:
        for role in ("noisy", "clean"):
            image = getattr(self, role)
            if not isinstance(image, RawImage):
                raise TypeError(
                    f"RawPair.{role} must be a RawImage, got "
                    f"{type(image).__name__}; build pairs from arrays with "
                    "skadl.make_pairs, images from files with skadl.read_raw."
                )

    def __float__(self) -> float:
        """Refuse to be a number, which tables of scikit-learn ask for."""
        raise TypeError(NO_TABLE)

    @property
    def sensor(self) -> str:
        """Sensor of the noisy frame."""
        return self.noisy.sensor

    @property
    def iso(self) -> float:
        """ISO of the noisy frame."""
        return self.noisy.iso

    @property
    def ratio(self) -> float:
        """Light factor of the noisy frame."""
        return self.noisy.ratio

    def _repr_html_(self) -> str:
        frames = (self.noisy, self.clean)
        try:
            (shape, noisy), (_, clean) = map(small_planes, frames)
        except UNREADABLE as error:
            return f"<p>RawPair: {escaped(error, 400)}</p>"
        facts = {
            "files": ", ".join(frame.path.name for frame in frames if frame.path),
            "scene": "" if self.scene is None else str(self.scene),
            "sensor": self.sensor,
            "ISO": f"{self.iso:g}",
            "light factor": f"{self.ratio:g}",
            "size": f"{shape[1]} x {shape[0]} pixels, {self.noisy.cfa}",
        }
        return view(
            "RawPair",
            {name: fact for name, fact in facts.items() if fact},
            list(map(picture, thumbnails([noisy, clean]), ("noisy", "clean"))),
        )


def read_pair(pair: RawPair) -> RawPair:
    """Hold the frames of a pair in memory, so that lazy ones are read once."""
    frames = (frame.with_mosaic(frame.mosaic) for frame in (pair.noisy, pair.clean))
    return RawPair(*frames, pair.scene)


def make_pairs(
    noisy: Sequence[np.ndarray],
    clean: Sequence[np.ndarray],
    *,
    sensor: str | Sequence[str],
    iso: float | Sequence[float],
    cfa: str | Sequence[str],
    black_level: float | Sequence,
    white_level: float | Sequence[float],
    ratio: float | Sequence[float] = 1.0,
    scene: Any = None,
) -> list[RawPair]:
    """Build pairs from arrays when there are no files to read.

    Parameters
    ----------
    noisy, clean : sequence of n ndarrays of shape (H, W), or ndarray (n, H, W)
        Mosaics in sensor counts.
    sensor, iso, cfa, white_level, ratio : scalar or sequence of n
        Of each pair as in `RawImage`; a scalar holds for all.
    black_level : scalar, four values in CFA reading order, or sequence of n of them
        Four plain numbers always mean the four CFA positions.
    scene : str, int, or sequence of n, optional
        What each pair shows; see `RawPair`.

    Returns
    -------
    list of RawPair

    Raises
    ------
    ValueError
        If the numbers of items differ, or the counts of a mosaic contradict its
        levels: they were normalised already, say.

    Examples
    --------
    >>> import numpy as np
    >>> frames = np.zeros((3, 4, 4), np.uint16)
    >>> pairs = make_pairs(frames, frames, sensor="A", iso=[100, 200, 400],
    ...                    cfa="RGGB", black_level=0, white_level=1023)
    >>> [pair.iso for pair in pairs]
    [100.0, 200.0, 400.0]
    """
    n_pairs = len(noisy)
    if len(clean) != n_pairs:
        raise ValueError(
            f"got {n_pairs} noisy and {len(clean)} clean mosaics; "
            "give one clean mosaic for each noisy one."
        )

    def broadcast(name: str, value: Any) -> list:
        if isinstance(value, (str, numbers.Number)) or value is None:
            return [value] * n_pairs
        values = list(value)
        if len(values) != n_pairs:
            raise ValueError(
                f"{name} has {len(values)} entries for {n_pairs} pairs; "
                "give one value for all or one for each pair."
            )
        return values

    n_sites = mosaic_of(check_cfa(cfa)).n_planes if isinstance(cfa, str) else 4
    if isinstance(black_level, numbers.Number):
        blacks = [black_level] * n_pairs
    elif len(black_level) == n_sites and all(
        np.ndim(level) == 0 for level in black_level
    ):
        blacks = [tuple(black_level)] * n_pairs
    else:
        blacks = broadcast("black_level", black_level)
    rows = zip(
        noisy,
        clean,
        broadcast("sensor", sensor),
        broadcast("iso", iso),
        broadcast("cfa", cfa),
        blacks,
        broadcast("white_level", white_level),
        broadcast("ratio", ratio),
        broadcast("scene", scene),
        strict=True,
    )
    pairs = [
        RawPair(
            RawImage(noisy_, cfa_, black_, white_, sensor_, iso_, ratio_),
            RawImage(clean_, cfa_, black_, white_, sensor_, iso_),
            scene_,
        )
        for noisy_, clean_, sensor_, iso_, cfa_, black_, white_, ratio_, scene_ in rows
    ]
    for index, pair in enumerate(pairs):
        _check_against_levels(pair.noisy, f"noisy[{index}]")
        _check_against_levels(pair.clean, f"clean[{index}]")
    return pairs


def _check_against_levels(image: RawImage, name: str) -> None:
    """Refuse counts that cannot be those of the levels: of other units, say."""
    counts, black, white = image.mosaic, np.min(image.black_level), image.white_level
    lowest, highest = float(counts.min()), float(counts.max())
    levels = (
        f"its levels say black at {black:g} and white at {white:g}. Give the counts as "
        "the sensor has them, or the levels of what you give (black_level=0, "
        "white_level=1 for normalised data)."
    )
    found = f"{name} holds values from {lowest:.6g} to {highest:.6g}, but {levels}"
    if not np.isfinite([lowest, highest]).all():
        return  # said where frames are measured
    if max(abs(lowest), abs(highest)) > _FARTHEST * white:
        raise ValueError(found)
    is_normalised = white >= _LEAST_WHITE and 0 < highest <= 1 and lowest >= -1
    if counts.dtype.kind == "f" and is_normalised:
        raise ValueError(found)
    margin = image.span * np.array([_BELOW_BLACK, _ABOVE_WHITE])
    floor, ceiling = black - margin[0], white + margin[1]
    if np.mean(counts < floor) > 0.5 or np.mean(counts > ceiling) > 0.5:
        raise ValueError(found)


def check_pairs_sequence(pairs: Any, what: str) -> tuple[RawPair, ...]:
    """Turn a sequence, object array or torch Dataset of pairs into a tuple."""
    is_iterable = hasattr(pairs, "__iter__")
    is_indexed = hasattr(pairs, "__len__") and hasattr(pairs, "__getitem__")
    if isinstance(pairs, (str, bytes, Mapping)) or not (is_iterable or is_indexed):
        raise TypeError(
            f"{what} must be a sequence of RawPair, got {type(pairs).__name__}."
        )
    if not is_iterable:  # a torch Dataset, which need not raise IndexError
        pairs = [pairs[index] for index in range(len(pairs))]
    members = tuple(pairs)
    for index, member in enumerate(members):
        if not isinstance(member, RawPair):
            raise TypeError(
                f"{what} must hold RawPair, but item {index} is a "
                f"{type(member).__name__}; build pairs from arrays with "
                "skadl.make_pairs(noisy, clean, sensor=..., iso=..., ...)."
            )
    return members


def pair_names(pairs: Sequence[RawPair]) -> list[str]:
    """Name each pair by its file; files of one name by their scene as well."""
    files = Counter(p.noisy.path.name for p in pairs if p.noisy.path is not None)
    names = []
    for index, pair in enumerate(pairs):
        if pair.noisy.path is None:
            name = str(index) if pair.scene is None else f"{index} {pair.scene}"
        else:
            name = pair.noisy.path.name
            if files[name] > 1 and pair.scene is not None:
                name = f"{pair.scene}/{name}"
        names.append(name)
    return names


def target_labels(pairs: Sequence[RawPair]) -> list[str]:
    """Name each pair that a fit was given, for a sentence: its file, or its place."""
    return [
        f"target_pairs[{index}]" + ("" if p.scene is None else f" (scene {p.scene!r})")
        if p.noisy.path is None
        else f"target pair {name}"
        for index, (p, name) in enumerate(zip(pairs, pair_names(pairs), strict=True))
    ]
