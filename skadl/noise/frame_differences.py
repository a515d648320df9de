"""Two noisy frames of one scene: their difference holds no clean frame's noise.

Where clean frames are means of few, what they add to the residual is known with an
error only; the difference of two noisy frames is what photon transfer is measured on
since ever. Frames of other exposures serve too: `A - c B`, c their ratio, has the
variance ``(1 + c) K S + (1 + c^2) read_variance``, S the signal of A, so it is brought
to the noise of one frame of ``(1 + c) / (1 + c^2)`` times that signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skadl.noise.residual import LEAST_WHITE, Residual
from skadl.noise.signal_bins import sort_into_bins
from skadl.raw.pair import RawPair

# Of the residual's variance, of the clean frame: less is known well enough, and what is
# fixed in the noisy frames, which a difference does not show, is noise in them.
_LEAST_SHARE = 0.02
_MOST_APART = 2.5  # of the exposures of two frames
_SURE = 100.0  # standard errors of a plane's light, from which it tells the exposure


@dataclass(frozen=True, eq=False)
class NoiseSample:
    """A residual that noise is measured on, and the positions of its pairs."""

    residual: Residual
    pairs: tuple[int, ...]


def noise_samples(
    pairs: Sequence[RawPair], measured: Sequence[Residual]
) -> list[NoiseSample]:
    """Take differences of noisy frames where clean ones are noisy, else residuals."""
    scenes: dict[tuple, list[int]] = {}
    for index, (pair, one) in enumerate(zip(pairs, measured, strict=True)):
        if pair.scene is not None and _is_noise(one):
            facts = (str(pair.scene), pair.iso, pair.noisy.cfa, one.signal.shape)
            scenes.setdefault((*facts, one.span), []).append(index)
    samples: list[NoiseSample] = []
    for members in scenes.values():
        # Neighbours in exposure.
        members.sort(key=lambda index: measured[index].signal.mean())
        for first, second in zip(members, members[1:], strict=False):
            both = [measured[index] for index in (second, first)]
            if max(one.clean_shares[0] for one in both) < _LEAST_SHARE:
                continue
            found = difference(*both)
            if found is not None:
                samples.append(NoiseSample(found, (first, second)))
    covered = {index for sample in samples for index in sample.pairs}
    samples += [
        NoiseSample(one, (index,))
        for index, one in enumerate(measured)
        if index not in covered
    ]
    return sorted(samples, key=lambda sample: sample.pairs)


def difference(one: Residual, other: Residual) -> Residual | None:
    """Difference of two noisy frames as the residual of one; None if it is no noise.

    Their signals are those of their clean frames, at their own exposures.
    """
    frames = [part.signal + part.residual for part in (one, other)]
    usable = ~(one.clipped | other.clipped | one.at_black | other.at_black)
    sums = [(usable * frame).sum(axis=(1, 2), dtype=float) for frame in frames]
    if sums[1].sum() <= 0:
        return None
    ratio = sums[0].sum() / sums[1].sum()
    if not 1 / _MOST_APART < ratio < _MOST_APART or np.array_equal(*frames):
        return None
    # Colours of light may differ from frame to frame; a plane without light tells none.
    error = np.where(usable, other.residual, 0).std() * usable.sum(axis=(1, 2)) ** 0.5
    ratios = np.where(
        sums[1] > _SURE * error, sums[0] / np.maximum(sums[1], 1e-300), ratio
    )[:, None, None]
    scale = 1 + ratios**2
    signal = one.signal * (1 + ratios) / scale
    residual = (frames[0] - ratios * frames[1]) / np.sqrt(scale)
    clipped, at_black = one.clipped | other.clipped, one.at_black | other.at_black
    least = max(one.least_variance, other.least_variance)
    planes = signal, residual, clipped, at_black
    binned = sort_into_bins(None, *planes, least)
    found = replace(
        one,
        signal=signal,
        residual=residual,
        clipped=clipped,
        at_black=at_black,
        least_variance=least,
        holds_clean=False,
        # Of two frames that end at black no half is whole.
        **binned | {"clipped_black": np.empty((0, 2))},
    )
    return found if _is_noise(found) else None


def _is_noise(measured: Residual) -> bool:
    curve = measured.curve
    return bool(curve.signal.size) and curve.whiteness >= LEAST_WHITE
