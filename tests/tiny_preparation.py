"""Preparation of a few pairs, as a fit of small patches would do it."""

from __future__ import annotations

import numpy as np
import torch

from skadl.estimators.preparation import Additions, prepare
from skadl.network.conditioning import Conditioning
from skadl.noise.sensors import SensorTable


def prepared(
    pairs,
    domains=None,
    conditioning="noise",
    renoises=True,
    witness=None,
    n_own_scenes=np.inf,
):
    """What a fit trains on."""
    domains = domains or {}
    every_pair = [*pairs, *(pair for domain in domains.values() for pair in domain)]
    names = dict.fromkeys(pair.sensor for pair in every_pair)
    return prepare(
        pairs,
        domains,
        SensorTable.from_pairs(every_pair),
        conditioning=Conditioning(conditioning, tuple(names)),
        patch_size=16,
        multiple=2,
        additions=Additions(renoises, n_own_scenes),
        witness=witness,
        device=torch.device("cpu"),
        rng=np.random.RandomState(0),
    )
