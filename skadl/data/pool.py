"""The pool of source pairs: sampled by the training loop, never sliced by folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from skadl.data.store.patch_store import PatchStore, StoredImage
from skadl.raw.image import UNREADABLE, LazyRawImage, RawImage, small_planes
from skadl.raw.pair import RawPair, check_pairs_sequence
from skadl.raw.thumbnail import thumbnails
from skadl.support.html import escaped, table

_MOST_SHOWN = 12  # domains with a picture in a notebook: each is a file to read


class SourcePool:
    """Pairs of other sensors, grouped into domains, to hand to ``fit``.

    The pool has no length, shape or index, because scikit-learn's cross-validation
    silently cuts every fit argument that is as long as the target pairs.

    Parameters
    ----------
    pairs : mapping of str to sequence of RawPair, or sequence of RawPair
        A mapping names the domains; a sequence is grouped by sensor.
    store : PatchStore, optional
        Where the frames are kept for training; without one `fit` holds all of them
        in memory.

    Raises
    ------
    TypeError
        If an item is not a `RawPair`.
    ValueError
        If a domain is empty.

    Examples
    --------
    >>> import numpy as np
    >>> from skadl import make_pairs
    >>> frames = np.zeros((2, 4, 4), np.uint16)
    >>> levels = dict(iso=100, cfa="RGGB", black_level=0, white_level=1023)
    >>> pool = SourcePool(make_pairs(frames, frames, sensor=["A", "B"], **levels))
    >>> pool
    SourcePool(A: 1 pair, B: 1 pair)
    """

    def __init__(
        self,
        pairs: Mapping[str, Sequence[RawPair]] | Sequence[RawPair],
        store: PatchStore | None = None,
    ) -> None:
        if isinstance(pairs, SourcePool):
            domains = dict(pairs.domains)
        elif isinstance(pairs, Mapping):
            domains = {
                str(name): check_pairs_sequence(members, f"domain {name!r}")
                for name, members in pairs.items()
            }
        else:
            domains = _group_by_sensor(check_pairs_sequence(pairs, "source_pairs"))
        for name, members in domains.items():
            if not members:
                raise ValueError(f"source domain {name!r} is empty; leave it out.")
        if store is not None:
            domains = {
                name: tuple(map(store.pair, members))
                for name, members in domains.items()
            }
        self._domains = domains

    @property
    def domains(self) -> Mapping[str, tuple[RawPair, ...]]:
        """Pairs by domain name."""
        return self._domains

    def pairs(self) -> Iterable[tuple[str, RawPair]]:
        """Iterate over (domain name, pair), domain by domain."""
        for name, members in self._domains.items():
            for pair in members:
                yield name, pair

    @property
    def __array_interface__(self):
        # NumPy asks for it when a search is given the pool by position, as its y;
        # the search's own message would not say what to do.
        raise TypeError(
            "a SourcePool is not an array; pass it to a search by keyword: "
            "search.fit(pairs, source_pairs=pool)."
        )

    def __repr__(self) -> str:
        counts = (
            f"{name}: {len(members)} pair{'s' if len(members) != 1 else ''}"
            for name, members in self._domains.items()
        )
        return f"SourcePool({', '.join(counts)})"

    def _repr_html_(self) -> str:
        rows = [
            (
                escaped(name),
                str(len(members)),
                _known_isos(members),
                _first_frame(members) if place < _MOST_SHOWN else "",
            )
            for place, (name, members) in enumerate(self._domains.items())
        ]
        header = ("source domain", "pairs", "ISO", "first noisy frame")
        return f"<div><div><b>SourcePool</b></div>{table(header, rows)}</div>"


def _original(image: RawImage) -> RawImage:
    """Return the frame that a store would build, so that showing it builds nothing."""
    return image.original if isinstance(image, StoredImage) else image


def _known_isos(members: Sequence[RawPair]) -> str:
    """Say the range of ISOs, of the frames whose ISO is known without their file."""
    frames = [_original(pair.noisy) for pair in members]
    isos = [
        frame.iso
        for frame in frames
        if not isinstance(frame, LazyRawImage) or frame.is_known("iso")
    ]
    if not isos:
        return "in the files"
    low, high = min(isos), max(isos)
    known = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return known if len(isos) == len(frames) else f"{known}, others in the files"


def _first_frame(members: Sequence[RawPair]) -> str:
    try:
        _, small = small_planes(_original(members[0].noisy))
    except UNREADABLE as error:
        return escaped(error, 400)
    (address,) = thumbnails([small])
    return f'<img src="{escape(address)}" alt="noisy" style="max-height:96px">'


def _group_by_sensor(pairs: Sequence[RawPair]) -> dict[str, tuple[RawPair, ...]]:
    groups: dict[str, list[RawPair]] = {}
    for pair in pairs:
        groups.setdefault(pair.sensor, []).append(pair)
    return {name: tuple(members) for name, members in groups.items()}
