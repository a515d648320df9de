"""A stack or master beside its frames: it looks like one of them, with far less noise.

Programs that stack copy the header of a frame, so settings do not tell a stack from its
frames. Its noise does: of three frames of one scene the variances of the differences
give the variance of each (the three-cornered hat of clock makers), whatever the scene
shows. A stack of its own frames shares noise with them, which makes it come out lower
still. Where light moves steadily the frame in the middle lies between the others, too;
but not in the steps from pixel to pixel, where a stack must have less noise as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from skadl.raw.image import RawImage

_MOST_SAMPLES = 2048  # of a frame, spread over it
_MOST_OTHERS = 7  # frames that one is compared with
_TAIL = 0.02  # of the differences, left out at both ends: hot pixels, what moved
# Variance relative to that of the frames: a mean of four has a quarter, less what it
# shares. Less by one sign is enough where the name says that it is a stack.
_FAR_LESS, _LESS = 0.35, 0.7
_LEAST = 64  # samples
_DARK = 0.01  # of white: brightness is known too badly to be compensated
_SIGMAS = 4.0  # standard errors, before one of two frames is said to be noisier
_NAME = re.compile(
    r"(?<![a-z])(stack(ed)?|master|mean|average(d)?|avg|median|integrat(ed|ion))"
    r"(?![a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class NoiseSample:
    """What of a frame tells how noisy it is beside others of its scene."""

    values: np.ndarray  # (n,), black at 0 and white at 1
    steps: np.ndarray  # (n,), from these pixels to their diagonal neighbours


def take_sample(image: RawImage) -> NoiseSample:
    """Sample a frame at places that depend on its shape alone."""
    packed = image.packed()
    step = max(1, round((packed.size / _MOST_SAMPLES) ** 0.5))
    # Odd steps in rows and columns meet, of a pattern in the scene, all phases.
    step += 1 - step % 2
    here, there = (part[:, ::step, ::step] for part in (packed, packed[:, 1:, 1:]))
    height, width = (
        min(a, b) for a, b in zip(here.shape[1:], there.shape[1:], strict=True)
    )
    here, there = (
        (part[:, :height, :width] - image.black_planes[:, None, None]) / image.span
        for part in (here, there)
    )
    return NoiseSample(*(x.ravel().astype(np.float32) for x in (here, there - here)))


def find_masters(samples: Sequence[NoiseSample], names: Sequence[str]) -> list[int]:
    """Find which of some frames of one scene are means of others, least noise first.

    By far less noise, or by less noise and a name that says so. Never half of them.
    """
    if len(samples) < 2 or min(sample.values.size for sample in samples) < _LEAST:
        return []
    light = _brightness(samples)
    values = np.stack([sample.values for sample in samples]) / light
    steps = np.stack([sample.steps for sample in samples]) / light
    if len(samples) == 2:
        shares = np.tile(_shares_of_two(values, steps), (2, 1))
    else:
        shares = np.stack([_noise_shares(values), _noise_shares(steps)])
    named = np.array([says_master(name) for name in names])
    found = np.flatnonzero((shares[0] < _FAR_LESS) & (shares[1] < _LESS))
    found = np.union1d(found, np.flatnonzero(named & (shares.min(axis=0) < _LESS)))
    if 2 * len(found) > len(samples):
        return []
    return sorted(found.tolist(), key=lambda index: shares[0, index])


def says_master(name: str) -> bool:
    """Whether a file's name says that it is a stack or master."""
    return bool(_NAME.search(name))


def _brightness(samples: Sequence[NoiseSample]) -> np.ndarray:
    """How bright each frame is relative to the others, (m, 1); 1 where it is dark."""
    means = np.array([sample.values.mean() for sample in samples], float)[:, None]
    return means / np.median(means) if means.min() > _DARK else np.ones_like(means)


def _noise_shares(values: np.ndarray) -> np.ndarray:
    """Noise variance of each frame, of values (m, n), relative to the median."""
    size = min(len(values), _MOST_OTHERS)
    others = np.linspace(0, len(values) - 1, size).astype(int).tolist()
    between = {
        (i, j): _variance(values[i] - values[j])
        for i in range(len(values))
        for j in others
        if i != j
    }
    variances = []
    for i in range(len(values)):
        pairs = combinations([j for j in others if j != i], 2)
        hats = [between[i, j] + between[i, k] - between[j, k] for j, k in pairs]
        variances.append(np.median(hats) / 2)
    return _relative(np.array(variances), float(np.median(variances)))


def _shares_of_two(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Noise variance of each of two frames relative to the noisier one."""
    # Both show the same detail, so their steps differ by noise alone, half of which is
    # that of the neighbour; the sum of both variances is that of the difference.
    total = _variance(values[0] - values[1])
    more = (steps[0] ** 2 - steps[1] ** 2) / 2
    low, high = np.quantile(more, (_TAIL, 1 - _TAIL))
    more = np.clip(more, low, high)
    apart = float(more.mean())
    if abs(apart) < _SIGMAS * more.std() / more.size**0.5:
        return np.ones(2)  # detail hides which is noisier
    variances = np.array([total + apart, total - apart]) / 2
    return _relative(variances, float(variances.max()))


def _relative(variances: np.ndarray, typical: float) -> np.ndarray:
    return variances / typical if typical > 0 else np.ones_like(variances)


def _variance(differences: np.ndarray) -> float:
    """Variance but for the tails; the same share is lost of every Gaussian."""
    low, high = np.quantile(differences, (_TAIL, 1 - _TAIL))
    return float(np.var(differences[(differences >= low) & (differences <= high)]))
