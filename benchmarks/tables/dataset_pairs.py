"""The pairs of one run on a dataset: one sensor left out, the others as sources."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.tables.dataset import DatasetSettings
from benchmarks.tables.run import Run, RunData
from benchmarks.tables.simulation import NO_POOL, USEFUL
from skadl.data.store.patch_store import PatchStore
from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.pair import RawPair

# One stream of random numbers for the target, and one for each source, so that one
# more sensor leaves the pairs of the others as they are.
_TARGET_STREAM, _SOURCE_STREAM = 0, 1


def take_pairs(run: Run, settings: DatasetSettings) -> RunData:
    """Choose the pairs of a run; none is read yet.

    The target's pairs are the first of one order for each seed, in which every ISO
    comes up in turn; likewise those of each source. The pool is `OTHER_SENSORS` or
    none.
    """
    store = PatchStore(settings.frames)
    training, test = settings.split(run.target)
    rng = np.random.RandomState([run.seed, _TARGET_STREAM])
    target = shuffle_over_isos(training, rng)[: run.target_pairs]
    sources: dict[str, Sequence[RawPair]] = {}
    available = {} if run.pool == NO_POOL else settings.sources(run.target)
    for sensor, pairs in available.items():
        rng = np.random.RandomState(
            [run.seed, _SOURCE_STREAM, zlib.crc32(sensor.encode())]
        )
        chosen = shuffle_over_isos(pairs, rng)[: settings.source_pairs]
        windows = [
            cut_window(pair, settings.size, rng.random_sample(2)) for pair in chosen
        ]
        sources[sensor] = [store.pair(pair) for pair in windows]
    if settings.test_pairs is not None:
        n_pairs = min(settings.test_pairs, len(test))
        places = np.linspace(0, len(test) - 1, n_pairs).round().astype(int)
        test = [test[place] for place in places]
    kinds = {sensor: [USEFUL] * len(pairs) for sensor, pairs in sources.items()}
    return RunData([store.pair(pair) for pair in target], sources, test, kinds)


def shuffle_over_isos(
    pairs: Sequence[RawPair], rng: np.random.RandomState
) -> list[RawPair]:
    """Shuffle pairs so that however few are taken span as many ISOs as there are.

    One of each ISO, then the second of each, and so on.
    """
    shuffled = [pairs[index] for index in rng.permutation(len(pairs))]
    seen: Counter[float] = Counter()
    rounds = []
    for pair in shuffled:
        rounds.append(seen[pair.iso])
        seen[pair.iso] += 1
    return [shuffled[index] for index in np.argsort(rounds, kind="stable")]


def cut_window(pair: RawPair, size: int, place: Sequence[float]) -> RawPair:
    """Cut the same window from both frames when they are read.

    `size` is its side in pixels; a smaller frame keeps its own. `place` is two numbers
    in [0, 1]: where along the height and width, from one end to the other.
    """
    place = tuple(float(share) for share in place)
    return RawPair(
        *(_cut(image, size, place) for image in (pair.noisy, pair.clean)), pair.scene
    )


def _cut(image: RawImage, size: int, place: tuple[float, float]) -> RawImage:
    read = partial(_read_window, image=image, size=size, place=place)
    if not isinstance(image, LazyRawImage):
        return read(image.path)
    facts = {"sensor": image.sensor, "iso": image.iso, "ratio": image.ratio}
    return LazyRawImage(image.path, read, **facts)


def _read_window(
    path: Path | None, image: RawImage, size: int, place: tuple[float, float]
) -> RawImage:
    mosaic = image.mosaic
    rows, columns = (
        _window(side, size, share)
        for side, share in zip(mosaic.shape, place, strict=True)
    )
    # A view would keep the whole frame.
    return image.with_mosaic(mosaic[rows, columns].copy())


def _window(side: int, size: int, share: float) -> slice:
    """Whole 2x2 cells, so that the CFA pattern stays."""
    size = min(size, side) // 2 * 2
    start = int(share * ((side - size) // 2)) * 2
    return slice(start, start + size)
