"""A folder of RAW files as noisy/clean pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from skadl.data.folders.groups import Request
from skadl.data.folders.layouts import find_groups
from skadl.data.folders.matching import (
    LEAST_BURST,
    Matches,
    Problem,
    match_declared,
    match_scene,
)
from skadl.data.folders.shots import Shot
from skadl.raw.image import check_positive
from skadl.raw.pair import RawPair
from skadl.support.progress import Progress
from skadl.support.text import printable_line

_LAYOUTS = (
    "Give each scene a folder with its noisy frames and a longer exposure (or at "
    f"least {LEAST_BURST} equal frames), or name files alike in the folders noisy and "
    "clean, or list the pairs in pairs.csv with the columns noisy and clean."
)
_MOST_LISTED = 5  # problems in an error message


@dataclass(frozen=True, eq=False, repr=False)
class LoadedPairs(Sequence[RawPair]):
    """The pairs of a folder, and what could not be used; to be passed to ``fit``.

    Parameters
    ----------
    folder : Path
    pairs : tuple of RawPair
        Lazy: mosaics are read, and bursts averaged, on use.
    problems : tuple of Problem
    notes : tuple of str
        What was taken for what, where the files do not say: clauses.
    """

    folder: Path
    pairs: tuple[RawPair, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()  # on how the pairs were made

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> RawPair: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RawPair, ...]: ...
    def __getitem__(self, index):
        return self.pairs[index]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({_count(len(self.pairs), 'pair')} from "
            f"{self.folder.name!r}, {_count(len(self.problems), 'problem')})"
        )

    def facts(self) -> dict[str, Any]:
        """Give what was found as plain values, as JSON takes them.

        Returns
        -------
        dict
            Number of pairs; for each sensor its pairs, scenes, pairs by ISO and range
            of light factors; problems with path and reason; notes.
        """
        sensors = {}
        for pair in self.pairs:
            sensors.setdefault(pair.sensor, []).append(pair)
        return {
            "folder": str(self.folder),
            "n_pairs": len(self.pairs),
            "sensors": [
                {
                    "name": name,
                    "n_pairs": len(pairs),
                    "n_scenes": len({pair.scene for pair in pairs}),
                    "pairs_by_iso": {
                        f"{iso:g}": n
                        for iso, n in sorted(Counter(p.iso for p in pairs).items())
                    },
                    "light_factors": [
                        min(pair.ratio for pair in pairs),
                        max(pair.ratio for pair in pairs),
                    ],
                }
                for name, pairs in sensors.items()
            ],
            "problems": [
                {"path": str(problem.path), "reason": problem.reason}
                for problem in self.problems
            ],
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """Describe for a terminal what was found and what was left out.

        Returns
        -------
        str
            Several lines, without a final line break.
        """
        found = f"{_count(len(self.pairs), 'pair')} found in {self.folder}"
        lines = [printable_line(found)]
        for sensor in self.facts()["sensors"]:
            by_iso = (f"{iso} ({n})" for iso, n in sensor["pairs_by_iso"].items())
            low, high = sensor["light_factors"]
            factors = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
            lines += [
                f"  {printable_line(sensor['name'])}: "
                f"{_count(sensor['n_pairs'], 'pair')} of "
                f"{_count(sensor['n_scenes'], 'scene')}, light factor {factors}",
                f"    pairs by ISO: {', '.join(by_iso)}",
            ]
        lines += [f"  {note}." for note in self.notes]
        lines += [f"  left out: {text}" for text in _texts(self.folder, self.problems)]
        return "\n".join(lines)


def load_pairs(
    folder: str | Path,
    *,
    sensor: str | None = None,
    iso: float | None = None,
    ratio: float | None = None,
    black_level: float | Sequence[float] | None = None,
    white_level: float | None = None,
    register: bool | None = None,
    verbose: int = 0,
) -> LoadedPairs:
    """Find the noisy/clean pairs in a folder of RAW files, to fit a denoiser on them.

    Parameters
    ----------
    folder : str or Path
        With all folders in it, or the manifest itself; see Notes.
    sensor : str, optional
        Name of the sensor, instead of the files' "Make Model".
    iso : float, optional
        Of every frame, instead of the files'.
    ratio : float, optional
        Light factor of every noisy frame, instead of what exposure times, ISOs and
        F-numbers say.
    black_level, white_level : optional
        As in `read_raw`.
    register : bool, optional
        Whether the frames of a burst are moved over one another by their stars before
        they are averaged; by default those of FITS files are, where stars are found.
        See :doc:`/guide/astro`.
    verbose : int, default=0
        1 shows a progress bar over the files.

    Returns
    -------
    LoadedPairs
        A sequence of `RawPair`, with `problems`: the files that are no part of a
        pair, each with the reason.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If there are no pairs; if a manifest cannot be read at all, or an argument is
        out of its range.

    Notes
    -----
    Pairs are found in three ways:

    Scene folders. Every folder that holds RAW files is one scene. Names and order do
    not matter: files with the same settings are a burst, and the burst (or single
    file) that got most light, by exposure time, F-number and number of frames, is the
    clean one; at equal light that of lower ISO. All others are noisy. A burst alone
    of four frames or more is noisy and clean: each frame is paired with the mean of
    the others, so that the truth holds nothing of its noise. A stack or master among
    frames of its settings, which far less noise gives away (or less noise and its
    name), is the clean frame. Files that show another scene than the rest of their
    folder are left out, and so are copies of a file.

    The folders ``noisy`` (or ``short``, ``input``) and ``clean`` (or ``long``,
    ``gt``), side by side. ``noisy/x.dng`` belongs to ``clean/x.dng``; ``x`` may also
    be a folder of frames, in either.

    A manifest ``pairs.csv`` or ``pairs.json`` with columns noisy, clean and, where
    wanted, scene, iso, ratio, sensor. A frame is a file name or a pattern
    (``night/*.dng``); a noisy frame is never averaged into its own clean one. What a
    manifest says of ISO, light factor and sensor goes before arguments, and these
    before the files.

    Of bursts the mean without outliers is taken, of counts above each frame's own
    black level (see `skadl.data.folders.bursts.average_burst`): of n frames it keeps
    1/n of the noise variance, which the measured noise of a camera then holds in
    addition; ten frames make it 10 % too high, twenty 5 %.

    The light factor is (time * ISO / F-number squared) of the clean frame over that
    of the noisy one. EXIF's times are rounded: 15 s are 16 s in most cameras, so it
    may err by 7 %.

    Every file is read once here, so that damaged ones are known, and again at every
    use. Only the means of the two bursts used last are kept, two bytes a pixel.
    """
    folder = Path(folder)
    for name, value in (("iso", iso), ("ratio", ratio)):
        if value is not None:
            check_positive(name, value)
    groups, problems = find_groups(folder)
    requests = [group.requests(sensor, iso) for group in groups]
    distinct = dict.fromkeys(r for roles in requests for role in roles for r in role)
    shots: dict[Request, Shot] = {}
    for request in Progress(verbose).track("reading", distinct, len(distinct)):
        try:
            shots[request] = request.read(
                black_level=black_level,
                white_level=white_level,
                registers=register,
            )
        except (OSError, ValueError) as error:
            problems.append(Problem(request.path, str(error)))
    pairs: list[RawPair] = []
    notes: list[str] = []
    for group, roles in zip(groups, requests, strict=True):
        noisy, clean = ([shots[r] for r in role if r in shots] for role in roles)
        matches = Matches(group.scene, group.ratio or ratio, register)
        if group.clean is None:
            match_scene(noisy, matches)
        elif clean:
            match_declared(noisy, clean, matches)
        else:
            matches.leave_out(noisy, "none of its clean frames can be read.")
        pairs += matches.pairs
        problems += matches.problems
        notes += matches.notes
    if not pairs:
        raise ValueError(_describe_nothing(folder, len(shots), problems))
    return LoadedPairs(
        folder,
        tuple(pairs),
        tuple(dict.fromkeys(problems)),
        tuple(dict.fromkeys(notes)),
    )


def _describe_nothing(folder: Path, n_files: int, problems: Sequence[Problem]) -> str:
    if not n_files and not problems:
        return f"{str(folder)!r} and its folders hold no RAW files. {_LAYOUTS}"
    listed = list(_texts(folder, problems))
    more = len(listed) - _MOST_LISTED
    listed = listed[:_MOST_LISTED] + ([f"and {more} more"] if more > 0 else [])
    return (
        f"found no pairs among {_count(n_files, 'readable RAW file')} in "
        f"{str(folder)!r}. {_LAYOUTS} Left out: " + "; ".join(listed)
    )


def _texts(folder: Path, problems: Iterable[Problem]) -> Iterator[str]:
    for problem in problems:
        path = problem.path
        if path != folder and path.is_relative_to(folder):
            path = path.relative_to(folder)
        reason = problem.reason.removeprefix(f"{path.name} ")
        yield printable_line(f"{path}: {reason}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
