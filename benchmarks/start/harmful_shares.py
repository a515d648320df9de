"""Source pairs of which a third, two thirds or nine tenths do harm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter, shift

from benchmarks.tables.run import RunData
from skadl.raw.mosaic import unpack_mosaic
from skadl.raw.pair import RawPair

SHARES = {"third": 1 / 3, "two thirds": 2 / 3, "nine tenths": 0.9}
WITHOUT = " without harm"
SHARE_POOLS = [name + end for name in SHARES for end in ("", WITHOUT)]
"""Each share, and the same pool without its harmful pairs."""


def spoil_share(data: RunData, pool: str, rng: np.random.Generator) -> RunData:
    """Spoil a share of each source domain, every kind of harm in turn, or drop it."""
    share = SHARES[pool.removesuffix(WITHOUT)]
    sources, kinds = {}, {}
    for name, pairs in data.sources.items():
        bad = rng.permutation(len(pairs))[: round(share * len(pairs))].tolist()
        harm = dict(zip(bad, np.resize(list(KINDS), len(bad)).tolist(), strict=True))
        kept = range(len(pairs))
        if pool.endswith(WITHOUT):
            kept, harm = [i for i in kept if i not in harm], {}
        sources[name] = [
            KINDS[harm[i]](pairs, i) if i in harm else pairs[i] for i in kept
        ]
        kinds[name] = [harm.get(i, data.kinds[name][i]) for i in kept]
    return replace(data, sources=sources, kinds=kinds)


def _other_truth(pairs: Sequence[RawPair], i: int) -> RawPair:
    """Take the clean frame of the next pair."""
    other = pairs[(i + 1) % len(pairs)].clean.mosaic
    return replace(pairs[i], clean=pairs[i].clean.with_mosaic(other))


def _half_pixel(pairs: Sequence[RawPair], i: int) -> RawPair:
    """Move the clean frame by half a pixel of the mosaic along each axis."""
    planes = pairs[i].clean.packed().astype(float)
    moved = shift(planes, (0, 0.25, 0.25), order=3, mode="mirror")
    return _with_clean(pairs[i], moved)


def with_iso_doubled(pair: RawPair) -> RawPair:
    """Say twice the ISO."""
    return replace(pair, noisy=replace(pair.noisy, iso=2 * pair.iso))


def _exposure(pairs: Sequence[RawPair], i: int) -> RawPair:
    """Make the clean frame 5 % brighter."""
    clean = pairs[i].clean
    black = np.min(clean.black_level)
    planes = black + 1.05 * (clean.packed().astype(float) - black)
    return _with_clean(pairs[i], planes)


def with_denoised_raw(pair: RawPair) -> RawPair:
    """Smooth the noisy frame, as some cameras do."""
    noisy = pair.noisy
    planes = gaussian_filter(noisy.packed().astype(float), (0, 0.8, 0.8))
    counts = np.rint(unpack_mosaic(planes, noisy.cfa)).astype(np.uint16)
    return replace(pair, noisy=noisy.with_mosaic(counts))


def _with_clean(pair: RawPair, planes: np.ndarray) -> RawPair:
    mosaic = unpack_mosaic(planes, pair.clean.cfa).astype(np.float32)
    return replace(pair, clean=pair.clean.with_mosaic(mosaic))


KINDS: dict[str, Callable[[Sequence[RawPair], int], RawPair]] = {
    "clean frame of another pair": _other_truth,
    "half a pixel off": _half_pixel,
    "ISO label times 2": lambda pairs, i: with_iso_doubled(pairs[i]),
    "exposure 5 % off": _exposure,
    "denoised raw": lambda pairs, i: with_denoised_raw(pairs[i]),
}
