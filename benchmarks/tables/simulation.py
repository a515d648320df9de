"""The data of a run: simulated cameras, some sources harmful, unseen test scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.tables.rough import DARK_SHADING, photograph_darks, roughen
from benchmarks.tables.run import Run, RunData, Settings
from skadl.datasets import (
    SPOILED_KINDS,
    get_camera,
    make_domain,
    make_harmful_noise,
    make_harmful_truth,
    spoil_pairs,
)
from skadl.raw.pair import RawPair

SOURCE_CAMERAS = ("SonyA7S2", "NikonD850", "CanonEOS5D4", "CanonEOS70D", "OppoReno10x")
N_SOURCE_CAMERAS = 4
HARMFUL = {
    "harmful1": make_harmful_noise,
    "harmful2": make_harmful_truth,
}
NO_POOL = "none"
USEFUL = "useful"
PLANTED_SHARE = 0.2
ROUGH_POOL = "rough"
POOLS = {
    "clean": (),
    ROUGH_POOL: (),
    "planted": (),
    "harm": ("harmful1", "harmful2"),
    "harm1": ("harmful1",),
    "harm2": ("harmful2",),
}
"""Pool to the harmful domains it has beside four other cameras; in the planted one
these cameras have harmful pairs among their own. In the rough one all cameras, the
target too, have dark shading, and there are dark frames of each."""

TEST_RATIOS = (1, 1, 3, 10, 30, 100, 300)
_TEST_SEED = 4242
# One stream of random numbers for each part, so that a camera's pairs are the same
# in every pool and for every number of target pairs.
_TARGET_STREAM, _HARMFUL_STREAM, _SOURCE_STREAM, _ROUGH_STREAM = 0, 100, 200, 300


def simulate(run: Run, settings: Settings) -> RunData:
    """Photograph the pairs of a run.

    The target's ISOs span the camera's range, so no test image lies outside.
    """
    # A pattern belongs to a place in the frame: a target that has one is photographed
    # whole, as its test scenes are.
    is_rough = run.pool == ROUGH_POOL
    target = make_domain(
        run.target,
        run.target_pairs,
        size=settings.test_size if is_rough else settings.size,
        iso=spread_isos(run.target, run.target_pairs),
        random_state=_stream(run.seed, _TARGET_STREAM),
    )
    sources: dict[str, Sequence[RawPair]] = {}
    kinds: dict[str, Sequence[str]] = {}
    cameras = () if run.pool == NO_POOL else source_cameras(run.target)
    each = {"n_pairs": settings.source_pairs, "size": settings.size}
    for name in cameras:
        number = SOURCE_CAMERAS.index(name)
        rng = _stream(run.seed, _SOURCE_STREAM + number)
        sources[name] = make_domain(name, **each, random_state=rng)
        kinds[name] = [USEFUL] * settings.source_pairs
        if run.pool == "planted":
            rotated = np.roll(SPOILED_KINDS, -3 * number).tolist()
            sources[name], spoiled = spoil_pairs(
                sources[name], rotated, PLANTED_SHARE, rng
            )
            kinds[name] = [
                spoiled.get(index, USEFUL) for index in range(settings.source_pairs)
            ]
    for index, (name, make) in enumerate(HARMFUL.items()):
        if cameras and name in POOLS[run.pool]:
            rng = _stream(run.seed, _HARMFUL_STREAM + index)
            sources[name] = make(**each, camera=cameras[index], random_state=rng)
            kinds[name] = [name] * settings.source_pairs
    test = photograph_test_scenes(run.target, settings)
    data = RunData(target, sources, test, kinds)
    return _with_dark_shading(run, data, settings) if is_rough else data


def _with_dark_shading(run: Run, data: RunData, settings: Settings) -> RunData:
    """Add its pattern to each noisy frame, and dark frames of all cameras."""
    rng = np.random.default_rng([run.seed, _ROUGH_STREAM])

    def shaded(pairs: Sequence[RawPair]) -> list[RawPair]:
        return [roughen(pair, rng, DARK_SHADING) for pair in pairs]

    sizes = dict.fromkeys(data.sources, settings.size)
    sizes[run.target] = settings.test_size
    return RunData(
        shaded(data.target),
        {name: shaded(pairs) for name, pairs in data.sources.items()},
        shaded(data.test),
        data.kinds,
        {
            name: photograph_darks(name, size, run.seed, DARK_SHADING)
            for name, size in sizes.items()
        },
    )


def photograph_test_scenes(camera: str, settings: Settings) -> list[RawPair]:
    """Photograph scenes that no training shows, over all ISOs and light factors."""
    rng = np.random.RandomState(_TEST_SEED)
    n_pairs = settings.test_pairs
    return make_domain(
        camera,
        n_pairs,
        size=settings.test_size,
        iso=rng.permutation(spread_isos(camera, n_pairs)).tolist(),
        ratio=np.resize(TEST_RATIOS, n_pairs).tolist(),
        scenes="mixture-test",
        random_state=rng,
    )


def source_cameras(target: str) -> tuple[str, ...]:
    """Four cameras that are not the target.

    Examples
    --------
    >>> source_cameras("NikonD850")
    ('SonyA7S2', 'CanonEOS5D4', 'CanonEOS70D', 'OppoReno10x')
    """
    others = [name for name in SOURCE_CAMERAS if name != target]
    return tuple(others[:N_SOURCE_CAMERAS])


def spread_isos(camera: str, n_pairs: int) -> list[float]:
    """Spread ISOs over the range of a camera, evenly on a log scale, rounded."""
    low, high = get_camera(camera).iso_range
    return np.geomspace(low, high, n_pairs).round().clip(low, high).tolist()


def _stream(seed: int, part: int) -> np.random.RandomState:
    return np.random.RandomState([seed, part])
