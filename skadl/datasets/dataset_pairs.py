"""What the readers of datasets return: the pairs that are there, and what is not."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from skadl.data.folders.load import LoadedPairs
from skadl.data.folders.matching import Problem
from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair
from skadl.support.progress import Progress


@dataclass(frozen=True)
class Missing(Problem):
    """A scene, folder or file that should be there and is not.

    Parameters
    ----------
    path : Path
        Where it should be, or what lacks it.
    reason : str
        A sentence or two: what is missing, and what to do.
    """


@dataclass(frozen=True, eq=False, repr=False)
class DatasetPairs(LoadedPairs):
    """The pairs of a public dataset, in a fixed order, and what was not found.

    Parameters
    ----------
    folder : Path
        Where the dataset was found.
    pairs : tuple of RawPair
    problems : tuple of Problem
        In the order of the scenes; those that are `Missing` are not there at all.
    notes : tuple of str
        None of a dataset.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from skadl import make_pairs
    >>> frames = np.zeros((2, 4, 4), np.uint16)
    >>> pairs = make_pairs(frames, frames, sensor=["A", "B"], scene="desk", iso=100,
    ...                    cfa="RGGB", black_level=0, white_level=1023)
    >>> loaded = DatasetPairs(Path("set"), tuple(pairs))
    >>> loaded.groups
    ['desk', 'desk']
    >>> list(loaded.by_sensor())
    ['A', 'B']
    """

    @property
    def missing(self) -> tuple[Missing, ...]:
        """The problems of what is not there at all."""
        return tuple(found for found in self.problems if isinstance(found, Missing))

    @property
    def groups(self) -> list[Hashable]:
        """Scene of each pair, to pass as `groups` to scikit-learn's splitters."""
        return [pair.scene for pair in self.pairs]

    def by_sensor(self) -> dict[str, tuple[RawPair, ...]]:
        """Group the pairs by sensor, in the order of first appearance.

        Returns
        -------
        dict of str to tuple of RawPair
            What `skadl.SourcePool` takes; leave the target's out.
        """
        groups: dict[str, list[RawPair]] = {}
        for pair in self.pairs:
            groups.setdefault(pair.sensor, []).append(pair)
        return {name: tuple(members) for name, members in groups.items()}

    def verified(self, *, verbose: int = 0) -> DatasetPairs:
        """Read every frame once, to know that all can be read before a long fit.

        Parameters
        ----------
        verbose : int, default=0
            1 shows a progress bar.

        Returns
        -------
        DatasetPairs
            The pairs whose frames can be read and have one shape; the others are
            among its problems.
        """
        # A clean frame may serve many pairs: each file is read once.
        results: dict[Path | int, tuple[int, ...] | str] = {}
        readable, problems = [], list(self.problems)
        steps = Progress(verbose).track("verifying", self.pairs, len(self.pairs))
        for pair in steps:
            shapes = [_read_shape(image, results) for image in (pair.noisy, pair.clean)]
            reasons = [shape for shape in shapes if isinstance(shape, str)]
            if not reasons and shapes[0] != shapes[1]:
                sizes = " and ".join("x".join(map(str, shape)) for shape in shapes)
                reasons = [f"noisy and clean frame differ in size: {sizes}."]
            if reasons:
                place = pair.noisy.path or self.folder
                problems.append(Problem(place, " ".join(dict.fromkeys(reasons))))
            else:
                readable.append(pair)
        return DatasetPairs(self.folder, tuple(readable), tuple(problems))


def _read_shape(image: RawImage, results: dict) -> tuple[int, ...] | str:
    """Shape of a frame, or the reason why it cannot be read."""
    key = id(image) if image.path is None else image.path
    if key not in results:
        try:
            results[key] = image.mosaic.shape
        except (OSError, ValueError) as error:
            results[key] = str(error)
    return results[key]


def check_members(name: str, values: Collection, known: Collection) -> None:
    """Raise ValueError for an option that is empty or holds what is not known."""
    if isinstance(values, str):
        raise ValueError(
            f"{name} must be a sequence, got {values!r}; give [{values!r}]."
        )
    members = known if isinstance(known, range) else list(known)
    unknown = [value for value in values if value not in members]
    if unknown or not len(values):
        if isinstance(known, range):
            members = f"{known[0]} to {known[-1]}"
        got = repr(unknown[0]) if unknown else "none"
        raise ValueError(f"{name} must be among {members}, got {got}.")


def list_problems(
    place: Path, missing: Sequence[str], unreadable: Sequence[str]
) -> list[Problem]:
    """Say of a folder what is missing, by name, and what is wrong, by sentence."""
    problems: list[Problem] = []
    if missing:
        problems.append(Missing(place, f"{', '.join(missing)} missing."))
    if unreadable:
        problems.append(Problem(place, " ".join(unreadable)))
    return problems


def whole_file_problem(path: Path) -> str | None:
    """Say why a file is missing or empty; None if neither."""
    try:
        is_empty = path.stat().st_size == 0
    except OSError:
        return f"{path.name} is missing."
    return f"{path.name} is empty; download it again." if is_empty else None
