"""How much data and training a demonstration gets, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Budget:
    """Numbers of pairs, sizes of mosaics and lengths of the trainings."""

    n_target_pairs: int  # of the new sensor, to fit on
    n_source_pairs: int  # of each other camera and of the harmful set
    n_test_pairs: int  # of the new sensor, to measure on
    side: int  # of these mosaics, in pixels
    shown: tuple[int, int]  # height and width of the picture's mosaic, in pixels
    n_iter: int  # on the sources, of each training
    n_finetune_iter: int  # on the new sensor's pairs, after it
    duration: str  # what to tell who waits
    is_telling: bool = True  # whether it is enough training to judge by
    # Further parameters, the same for all trainings.
    steps: Mapping[str, Any] = field(default_factory=dict)


SIZES = {
    "tiny": Budget(
        n_target_pairs=6,
        n_source_pairs=4,
        n_test_pairs=4,
        side=128,
        shown=(320, 480),
        n_iter=20,
        n_finetune_iter=4,
        duration="half a minute",
        is_telling=False,
        steps={"patch_size": 64, "batch_size": 4},
    ),
    "full": Budget(
        n_target_pairs=12,
        n_source_pairs=20,
        n_test_pairs=16,
        side=192,
        shown=(320, 480),
        n_iter=300,
        n_finetune_iter=30,
        duration="one to two minutes",
    ),
}
