"""What scikit-learn passes as y, by position: a denoiser has none."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

NO_Y = (
    "{method} takes no y: the clean frame of each pair is in the pair, which "
    "skadl.make_pairs builds from arrays. Sources are passed by keyword: "
    "search.fit(pairs, source_pairs=SourcePool(...)), or step__source_pairs of a "
    "pipeline."
)


def without_y(fit: Callable) -> Callable:
    """Let `fit` be called with sources by keyword and None for y, as pipelines do."""

    @functools.wraps(fit)
    def fit_pairs(self: Any, *given: Any, **named: Any) -> Any:
        if len(given) == 2 and "source_pairs" in named and given[1] is None:
            given = given[:1]
        return fit(self, *given, **named)

    return fit_pairs
