"""Where a sensor saturates, if that is not the white level: what is masked beyond.

Many cameras saturate below the white level that their files or LibRaw state. There the
clean frame stops while the noisy one, with less light, goes on: the pair looks shifted
or wrong, and is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skadl.raw.image import RawImage
from skadl.raw.pair import RawPair
from skadl.support.robust import quantile

_BEYOND_WHITE = (1.005, 1e-4)  # times the white level; share of pixels
_PILE = (0.002, 8.0)  # share of pixels at a limit, and times as many as just below it
_LEAST_PILED = 12  # pixels, where frames agree on the limit
_PILE_WIDTH = 0.002  # of the span
_BRIGHTER = 0.02  # than the clean frame, where that stops
_LEAST_LEVEL = 0.01  # of the range: 12 bits in a file of 16 are 0.06
_STRAY = 0.02  # of pixels beyond a limit that holds
_BELOW_WHITE = 0.97  # from which a limit is the white level


@dataclass(frozen=True)
class Saturation:
    """Where the data of a frame stop."""

    level: float  # black at 0 and white at 1
    is_sure: bool  # by this frame alone; else others must stop there, too


def find_saturation(pair: RawPair) -> Saturation | None:
    """Find where one of the frames stops, if that is not its white level."""
    clean, noisy = _find_in(pair.clean), _find_in(pair.noisy)
    if clean is not None and not _is_limit(pair, clean):
        clean = None  # an even surface, which looks the same without noise
    known = [saturation for saturation in (clean, noisy) if saturation is not None]
    return max(known, key=lambda saturation: saturation.is_sure, default=None)


def _is_limit(pair: RawPair, saturation: Saturation) -> bool:
    """Whether the noisy frame is brighter where the clean one stops, or stops, too."""
    if pair.noisy.mosaic.shape != pair.clean.mosaic.shape:
        return False
    limit = saturation.level * (1 - _PILE_WIDTH)
    at_limit = pair.clean.mosaic >= in_counts(limit, pair.clean)
    black = np.mean(pair.noisy.black_level)
    noisy = (pair.noisy.mosaic[at_limit] - black) / pair.noisy.span
    beyond = np.mean(noisy > saturation.level * (1 + _PILE_WIDTH))
    light = float(noisy.mean())
    stops = light > _BELOW_WHITE * saturation.level and beyond < _STRAY
    light *= pair.noisy.ratio / pair.clean.ratio
    return bool(stops or light > (1 + _BRIGHTER) * saturation.level)


def agreed_level(found: Sequence[Saturation]) -> float | None:
    """Where a sensor saturates, as two of its pairs or more agree; None if none do."""
    best, most = None, 1
    for one in found:
        agree = [other for other in found if _agree(one, other)]
        if len(agree) > most:
            best, most = one.level, len(agree)
    return best


def _agree(one: Saturation, other: Saturation | None) -> bool:
    return other is not None and abs(one.level - other.level) <= 2 * _PILE_WIDTH


def mask_beyond(pair: RawPair, level: float | None) -> RawPair:
    """Take the white level of a pair in memory down to where the sensor saturates."""
    if level is None or level >= 1:
        return pair
    frames = (_with_white(frame, level) for frame in (pair.noisy, pair.clean))
    return RawPair(*frames, pair.scene)


def in_counts(level: float, image: RawImage) -> float:
    """Bring a normalised level to the counts of an image."""
    return float(np.mean(image.black_level)) + level * image.span


def _with_white(image: RawImage, level: float) -> RawImage:
    return replace(image, white_level=in_counts(level, image))


def _find_in(image: RawImage) -> Saturation | None:
    # Above the white level, or piled up below it: at the highest counts are many more
    # pixels than just under them, while an unclipped histogram falls off.
    counts, black = image.mosaic, float(np.mean(image.black_level))
    if counts.dtype.kind == "f" and not np.isfinite(counts).all():
        return None  # said where frames are measured
    beyond = np.count_nonzero(counts > _BEYOND_WHITE[0] * image.white_level)
    if beyond > _BEYOND_WHITE[1] * counts.size:
        top = quantile(counts, 1 - _BEYOND_WHITE[1] / 10)
        return Saturation((top - black) / image.span, True)
    if counts.dtype.kind not in "ui":  # a mean blurs where its frames saturate
        return None
    width = max(1.0, _PILE_WIDTH * image.span)
    # The highest counts may be hot pixels that a limit of the camera does not hold.
    for top, least in (
        (quantile(counts, 1 - _PILE[0] / 4), _PILE[0] * counts.size),
        (float(counts.max()), _LEAST_PILED),
    ):
        if top - black < _LEAST_LEVEL * image.span:  # dark, and alike all over
            return None
        # Of a few, since all but a few are lower.
        high = counts[counts >= np.floor(top - 1.5 * width)]
        n_at = np.count_nonzero(np.abs(high - top) <= width / 2)
        below = (high < top - width / 2) & (high >= top - 1.5 * width)
        is_pile = n_at > least and n_at > _PILE[1] * np.count_nonzero(below)
        if is_pile and top < _BELOW_WHITE * image.white_level:
            is_sure = n_at > _PILE[0] * counts.size
            return Saturation((top - black) / image.span, is_sure)
    return None
