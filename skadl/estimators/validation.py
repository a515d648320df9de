"""Validation of fit's arguments: they become pairs, a pool and a table, or errors."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from skadl.data.pool import SourcePool
from skadl.estimators.no_y import NO_Y
from skadl.noise.renoising import RENOISED
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.raw.mosaic import mosaic_of
from skadl.raw.pair import RawPair, check_pairs_sequence, target_labels
from skadl.screening.check import check_pairs

MIN_TARGET_PAIRS = 2  # one for V', one for T^train


def check_target_pairs(target_pairs: Any) -> tuple[RawPair, ...]:
    """Return the target pairs as a tuple, or say what was got instead."""
    pairs = check_pairs_sequence(target_pairs, "target_pairs")
    if len(pairs) < MIN_TARGET_PAIRS:
        raise ValueError(
            f"got {len(pairs)} target pairs, at least {MIN_TARGET_PAIRS} are needed: "
            "one to validate on, one to train on."
        )
    return pairs


def apply_on_bad_pair(
    pairs: tuple[RawPair, ...], on_bad_pair: str
) -> tuple[tuple[RawPair, ...], tuple[str, ...]]:
    """Refuse or leave out target pairs that `check_pairs` finds bad; say which.

    "warn" leaves all of them to :func:`skadl.estimators.preparation.prepare`, which
    names faulty ones. ValueError for "raise", and where "drop" leaves fewer than two.
    """
    if on_bad_pair == "warn":
        return pairs, ()
    checked = check_pairs(pairs)
    if not checked.bad:
        return pairs, ()
    labels = target_labels(pairs)
    what = "; ".join(
        f"{labels[index]}: {checked.pairs[index].what}" for index in checked.bad
    )
    n_bad = "one bad pair" if len(checked.bad) == 1 else f"{len(checked.bad)} bad pairs"
    if on_bad_pair == "raise":
        raise ValueError(
            f"got {n_bad}: {what}. See skadl.check_pairs for what to do, or fit with "
            'on_bad_pair="drop" or "warn".'
        )
    kept = tuple(x for i, x in enumerate(pairs) if i not in checked.bad)
    if len(kept) < MIN_TARGET_PAIRS:
        raise ValueError(
            f"got {n_bad}: {what}. Without, {len(kept)} of {len(pairs)} would be left, "
            f"and at least {MIN_TARGET_PAIRS} are needed. See skadl.check_pairs for "
            'what to do, or fit with on_bad_pair="warn".'
        )
    return kept, (f"left out before training: {what}.",)


def check_source_pairs(
    source_pairs: SourcePool | Mapping[str, Sequence[RawPair]] | Sequence | None,
    n_target: int,
) -> SourcePool | None:
    """Return the sources as a pool, refusing what cross-validation may have cut.

    That is a plain sequence exactly as long as the target pairs.
    """
    if isinstance(source_pairs, Mapping):
        source_pairs = SourcePool(source_pairs) if source_pairs else None
    if source_pairs is None:
        return None
    if isinstance(source_pairs, SourcePool):
        if RENOISED in source_pairs.domains:
            raise ValueError(
                f"a source domain is called {RENOISED!r}, the name of the domain that "
                "fit adds; rename it."
            )
        return source_pairs
    try:
        pairs = check_pairs_sequence(source_pairs, "source_pairs")
    except TypeError as error:  # what is given by position may be a y
        raise TypeError(f"{error} And {NO_Y.format(method='fit')}") from error
    if len(pairs) == n_target:
        raise ValueError(
            f"source_pairs is a plain sequence exactly as long as target_pairs "
            f"({n_target}): scikit-learn's cross-validation silently cuts such a "
            "sequence to the fold. Pass source_pairs=SourcePool(source_pairs)."
        )
    return SourcePool(pairs) if pairs else None


def check_mosaics(
    pairs: Sequence[RawPair], domains: Mapping[str, Sequence[RawPair]]
) -> int:
    """Return the number of planes of all pairs; ValueError if mosaics differ in kind.

    A network is shown the planes of one kind of mosaic, in the order that these have.
    """
    of_target = mosaic_of(pairs[0].noisy.cfa)
    for name, members in {"target_pairs": pairs, **domains}.items():
        for pair in members:
            other = mosaic_of(pair.noisy.cfa)
            if other.n_planes != of_target.n_planes:
                raise ValueError(
                    f"target_pairs[0] has a mosaic of the kind {of_target.family}, "
                    f"and a pair of {name!r} one of the kind {other.family}: a network "
                    "learns from one kind alone. Leave the others out, or fit one "
                    "denoiser for each."
                )
    return of_target.n_planes


def check_meta(meta: Any, pairs: Sequence[RawPair]) -> SensorTable:
    """Return every sensor of the pairs: as `meta` says, the rest from the pairs.

    The ISO range always comes from the pairs. TypeError for what folds would cut,
    ValueError where the two disagree on a sensor's pattern.
    """
    if not (meta is None or isinstance(meta, SensorTable)):
        raise TypeError(
            f"meta must be a SensorTable or None, got {type(meta).__name__}; facts of "
            "single captures (ISO, ratio, levels) belong into each RawPair."
        )
    derived = SensorTable.from_pairs(pairs)
    if meta is None:
        return derived
    merged: dict[str, SensorInfo] = {}
    for name, from_pairs in derived.items():
        if name not in meta:
            continue
        given = meta.get(name)
        if given.cfa != from_pairs.cfa:
            raise ValueError(
                f"meta says {given.cfa} for sensor {name!r}, its pairs say "
                f"{from_pairs.cfa}; correct one of them."
            )
        merged[name] = replace(given, iso_range=from_pairs.iso_range)
    return meta.updated(derived.sensors).updated(merged)


def check_val_fraction(
    val_fraction: float | Sequence[float],
) -> tuple[float, float]:
    """Return the first and the last fraction, or say what was got instead."""
    if isinstance(val_fraction, numbers.Real):
        val_fraction = (val_fraction, val_fraction)
    valid = len(val_fraction) == 2 and all(
        isinstance(fraction, numbers.Real) and 0 < fraction < 1
        for fraction in val_fraction
    )
    if not valid or val_fraction[0] > val_fraction[1]:
        raise ValueError(
            "val_fraction must be a number between 0 and 1 or a pair (start, end) of "
            f"them with start <= end, got {val_fraction!r}."
        )
    return float(val_fraction[0]), float(val_fraction[1])
