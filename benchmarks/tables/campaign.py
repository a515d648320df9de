"""What to measure: which cameras, seeds, numbers of pairs and settings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.tables.dataset import DatasetSettings
from benchmarks.tables.run import Settings, estimator_parameters


@dataclass(frozen=True)
class Campaign:
    """What every table is measured on.

    Examples
    --------
    >>> reduced(Campaign()).seeds
    (0,)
    """

    # Cameras or sensors taken as new.
    targets: Sequence[str] = ("SonyA7S2", "CanonEOS70D", "NikonD850")
    seeds: Sequence[int] = (0, 1, 2)
    target_pairs: Sequence[int] = (6, 20)  # sizes of T^adp
    # Sizes of T^adp for the curve against them.
    curve_pairs: Sequence[int] = (2, 5, 10, 20, 40)
    # Only these of what a table asks for; all where empty.
    strategies: Sequence[str] = ()
    pools: Sequence[str] = ()
    settings: Settings | DatasetSettings = field(default_factory=Settings)
    gaps: Sequence[str] = ()  # what is missing from the data, a line each
    # Targets that have too few pairs for some number of them.
    left_out: Collection[tuple[str, int]] = ()


REDUCED_PARAMETERS = {
    "n_pretrain_iter": 4,
    "n_iter": 12,
    "n_finetune_iter": 4,
    "batch_size": 4,
    "patch_size": 16,
    "base_channels": 4,
    "n_levels": 2,
    "mlp_width": 8,
}


def reduced(campaign: Campaign) -> Campaign:
    """Shrink a campaign to the whole path in minutes; its figures mean nothing.

    Two targets, one seed, a tiny network and few steps.
    """
    parameters = {**campaign.settings.parameters, **REDUCED_PARAMETERS}
    return replace(
        campaign,
        targets=tuple(campaign.targets)[:2],
        seeds=tuple(campaign.seeds)[:1],
        target_pairs=tuple(campaign.target_pairs)[:1],
        curve_pairs=tuple(campaign.curve_pairs)[:2],
        settings=Settings(
            source_pairs=5,
            test_pairs=7,
            size=64,
            test_size=64,
            parameters=estimator_parameters(parameters),
        ),
    )
