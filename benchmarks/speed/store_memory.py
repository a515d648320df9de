"""Peak memory of a fit whose sources are files, measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import re
from functools import partial
from pathlib import Path

import numpy as np
import torch

from skadl import ADLDenoiser, PatchStore, RawImage, RawPair, SourcePool
from skadl.datasets import make_domain
from skadl.raw.image import LazyRawImage

FACTS = dict(
    cfa="RGGB", black_level=512, white_level=16383, sensor="simulated", iso=1600
)
GAIN, READ_NOISE, RATIO = 2.0, 8.0, 4.0
BRIEF = dict(n_pretrain_iter=2, n_iter=40, n_finetune_iter=2, device="cpu")
SMALL = dict(start="random", base_channels=8, n_levels=3, random_state=0)


def photograph(seed: int, size: int, is_noisy: bool, path: Path) -> RawImage:
    """Stand in for the reader of a RAW file: one frame of a random scene."""
    rng = np.random.default_rng(seed)
    blocks = rng.uniform(0.02, 0.8, (size // 32, size // 32))
    signal = np.kron(blocks, np.ones((32, 32))) * (16383 - 512)
    if is_noisy:
        signal = rng.poisson(signal / RATIO / GAIN) * GAIN
        signal = signal + rng.normal(scale=READ_NOISE, size=signal.shape)
    counts = np.rint(signal + 512).clip(0, 16383).astype(np.uint16)
    return RawImage(counts, **FACTS, ratio=RATIO if is_noisy else 1.0, path=path)


def lazy_pairs(n_pairs: int, size: int) -> list[RawPair]:
    """List pairs that are made when they are read, as files would be."""
    return [
        RawPair(
            *(
                LazyRawImage(f"{seed}", partial(photograph, seed, size, is_noisy))
                for is_noisy in (True, False)
            )
        )
        for seed in range(n_pairs)
    ]


def fit_and_weigh(
    n_pairs: int, size: int, folder: Path | None, memory_gib: float
) -> tuple[float, float]:
    """Fit once; give the peak resident memory of the process in MiB, before and after.

    Without a folder for the store the sources are held in memory. `memory_gib` is that
    of `PatchStore`.
    """
    torch.set_num_threads(1)
    target = make_domain("SonyA7S2", 6, size=256, iso=1600, ratio=4, random_state=0)
    store = None if folder is None else PatchStore(folder, memory_gib=memory_gib)
    pool = SourcePool(lazy_pairs(n_pairs, size), store=store)
    before = peak_memory()
    ADLDenoiser(**BRIEF, **SMALL).fit(target, source_pairs=pool)
    return before, peak_memory()


def weigh(*arguments) -> tuple[float, float]:
    """Call `fit_and_weigh` in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(fit_and_weigh, arguments)


def peak_memory() -> float:
    """Return the peak resident memory of this process in MiB, as Linux counts it."""
    # Not getrusage: a new process inherits its figure from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
