"""Scenes of skadl's own, which a fit shows beside those of its pairs.

A trained network knows pictures of all kinds. Trained on pairs that show few kinds,
such as a wall, or the sky of one night, it forgets the others: six pairs of one galaxy
cost 0.9 dB between the stars of another field. Scenes of all kinds, under the target's
noise, keep it as good as it began.
"""

from __future__ import annotations

import numpy as np

from skadl.datasets import get_camera, make_domain
from skadl.raw.mosaic import mosaic_of
from skadl.raw.pair import RawPair

OWN = "skadl"
OTHER_SCENES = 100  # beside those of sources
ONLY_SCENES = 300  # where there are no sources
_CAMERA = "SonyA7S2"  # whose colours these have before they are brought to the target's
_ROOM = 32  # packed pixels, by which a scene exceeds a patch


def draw_scenes(
    n_scenes: int, cfa: str, patch_size: int, rng: np.random.RandomState
) -> list[RawPair]:
    """Draw pairs whose clean frames show dead leaves and photographs, free of noise."""
    side = mosaic_of(cfa).side * (patch_size + _ROOM)
    camera = get_camera(_CAMERA).under(cfa)
    return make_domain(camera, n_scenes, size=side, random_state=rng)
