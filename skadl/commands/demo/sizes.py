"""How much data and training a demonstration gets, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Budget:
    """Numbers of pairs, sizes of mosaics and lengths of the trainings."""

    n_target_pairs: int  # of the new sensor, to fit on
    n_source_pairs: int  # of each other camera and of each harmful set
    n_test_pairs: int  # of the new sensor, to measure on
    side: int  # of these mosaics, in pixels
    shown: tuple[int, int]  # height and width of the picture's mosaic, in pixels
    # Of the stages of ADL; the other trainings take as many iterations in total.
    n_pretrain_iter: int
    n_iter: int
    n_finetune_iter: int
    duration: str  # what to tell who waits
    # Further parameters of `ADLDenoiser`, the same for all trainings.
    network: Mapping[str, Any] = field(default_factory=dict)


SIZES = {
    "tiny": Budget(
        n_target_pairs=20,
        n_source_pairs=8,
        n_test_pairs=8,
        side=128,
        shown=(320, 480),
        n_pretrain_iter=100,
        n_iter=300,
        n_finetune_iter=100,
        duration="half a minute",
        network={"base_channels": 8, "n_levels": 3, "patch_size": 32},
    ),
    "full": Budget(
        n_target_pairs=20,
        n_source_pairs=40,
        n_test_pairs=24,
        side=256,
        shown=(320, 480),
        n_pretrain_iter=300,
        n_iter=1400,
        n_finetune_iter=300,
        duration="four minutes",
    ),
}
