"""Pairs and fits small enough that a test can afford a whole search."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.model_selection import GridSearchCV

from skadl import ADLDenoiser, RawPair, SourcePool
from skadl.datasets import make_domain

TARGET, SOURCE, OTHER_SOURCE = "SonyA7S2", "NikonD850", "OppoReno10x"
ISOS = (800, 1600)  # pairs take them in turn, so that no fold lacks one

TINY = dict(
    start="random",
    n_pretrain_iter=3,
    n_iter=4,
    n_finetune_iter=2,
    batch_size=2,
    patch_size=8,
    learning_rate=2e-3,
    base_channels=4,
    n_levels=2,
    device="cpu",
    random_state=0,
)
BRIEF = dict(n_pretrain_iter=1, n_iter=1, n_finetune_iter=0)
N_TARGET, N_SPLITS = 6, 3
N_TRAIN = N_TARGET - N_TARGET // N_SPLITS  # pairs of a training fold


def tiny_denoiser(estimator=ADLDenoiser, **changes) -> ADLDenoiser:
    """An estimator that fits in a tenth of a second."""
    return estimator(**{**TINY, **changes})


def search_for(estimator=None, grid=None, **options) -> GridSearchCV:
    """A search of one candidate and three folds, in which errors are not hidden."""
    options = {"cv": N_SPLITS, "error_score": "raise", **options}
    estimator = tiny_denoiser(**BRIEF) if estimator is None else estimator
    return GridSearchCV(estimator, grid or {"queue_size": [5]}, **options)


@cache
def make_tiny_pairs(camera: str, n_pairs: int, seed: int = 0) -> list[RawPair]:
    """Pairs of 32x32 mosaics; callers leave them as they are."""
    isos = [ISOS[index % len(ISOS)] for index in range(n_pairs)]
    return make_domain(camera, n_pairs, size=32, iso=isos, ratio=4, random_state=seed)


def target_pairs(n_pairs: int = N_TARGET) -> list[RawPair]:
    """Pairs of the target sensor, in a list of the caller's own."""
    return list(make_tiny_pairs(TARGET, n_pairs))


def source_pairs(n_pairs: int = 4) -> list[RawPair]:
    """Pairs of a source sensor, in a list of the caller's own."""
    return list(make_tiny_pairs(SOURCE, n_pairs, seed=1))


def source_pool(n_pairs: int = 4) -> SourcePool:
    """A pool of two domains."""
    return SourcePool(
        {
            "near": source_pairs(n_pairs),
            "far": make_tiny_pairs(OTHER_SOURCE, n_pairs, seed=2),
        }
    )


class ShapedPairs:
    """A sequence of pairs that cuts itself."""

    def __init__(self, pairs):
        self.pairs = pairs
        self.shape = (len(pairs),)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        if isinstance(index, tuple):  # scikit-learn asks for x[indices, ...]
            return ShapedPairs([self.pairs[i] for i in index[0]])
        return self.pairs[index]


def weights(model: ADLDenoiser) -> dict[str, np.ndarray]:
    """Copies of the trained weights by name."""
    return {
        name: tensor.detach().cpu().numpy().copy()
        for name, tensor in model.module_.state_dict().items()
    }


def assert_same_fit(first: ADLDenoiser, second: ADLDenoiser) -> None:
    """Two fits that did the same: weights bit for bit, and the report."""
    expected = weights(second)
    for name, values in weights(first).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
    assert first.selection_report_.equals(second.selection_report_)


def differ(first: ADLDenoiser, second: ADLDenoiser) -> bool:
    """Whether any weight of two fits differs."""
    other = weights(second)
    return any((values != other[name]).any() for name, values in weights(first).items())
