"""The U-Net behind the local transform on a CPU, in strips of rows as the U-Net is.

The transform is computed with each strip that the U-Net reads and writes, so that
nothing of it is kept: the level is averaged twice, which costs less than to store it.
Written as few passes over memory that the cache holds; `local_transform.look` is the
same formula, written to be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.network.base import N_PLANES
from skadl.network.cpu import StripUNet
from skadl.network.local_transform import (
    BRIGHTNESS_SCALE,
    DETAIL_SCALE,
    LINEAR_UP_TO,
    REACH,
    noise_floor,
)

# Of a band's planes in float32, for each thread: some six of these are in use, and
# should fit the second-level cache. With smaller ones calls cost more than their work.
BAND_BYTES = 2**18


class StripLocalUNet(StripUNet):
    """Compute what a folded local U-Net would remove from an image, on the CPU."""

    def __init__(
        self,
        encoder: Iterable[nn.Conv2d],
        ups: Iterable[nn.ConvTranspose2d],
        decoder: Iterable[nn.Conv2d],
        head: nn.Conv2d,
        dtype: torch.dtype | None,
        shot: float,
        read: float,
    ) -> None:
        super().__init__(encoder, ups, decoder, head, dtype)
        # 0-dimensional, as `torch.add` computes number + alpha * map in one pass only
        # of tensors.
        self._shot, self._floor = shot, torch.tensor(noise_floor(shot, read))

    def _shown(self, x: Tensor, start: int, stop: int) -> Tensor:
        pixels = _pixels(x)
        height, width = pixels.shape[:2]
        # (rows, w, 2, 4): detail and brightness of a pixel side by side
        features = x.new_empty(stop - start, width, 2, N_PLANES, dtype=self.dtype)
        for first, last in _bands(start, stop, width):
            level = local_mean(pixels, first, last)
            sigma = self._sigma(level)
            detail = (pixels[first:last] - level).div_(sigma).mul_(DETAIL_SCALE)
            # 2 * level / (sigma + sqrt(floor)), scaled
            factor = LINEAR_UP_TO / (2 * BRIGHTNESS_SCALE)
            sigma = sigma.mul_(factor).add_(self._floor.sqrt() * factor)
            brightness = asinh(level.div_(sigma)).mul_(LINEAR_UP_TO)
            features[first - start : last - start] = _join(detail, brightness)
        return features.view(1, -1, width, 2 * N_PLANES).permute(0, 3, 1, 2)

    def _removed(self, x: Tensor, given: Tensor, start: int) -> Tensor:
        pixels, given = _pixels(x), _pixels(given)
        n_rows, width = given.shape[:2]
        removed = x.new_empty(n_rows, width, N_PLANES)
        for first, last in _bands(start, start + n_rows, width):
            rows = slice(first - start, last - start)
            share, rest = _split(given[rows].float())
            level = local_mean(pixels, first, last)
            # sigma * (share * detail + rest), where sigma * detail = x - level
            torch.sub(pixels[first:last], level, out=removed[rows])
            removed[rows].mul_(share).addcmul_(self._sigma(level), rest)
        return removed.permute(2, 0, 1)[None]

    def _sigma(self, level: Tensor) -> Tensor:
        """Return the standard deviation of the noise at a level."""
        variance = level.clamp(min=0)
        return torch.add(self._floor, variance, alpha=self._shot, out=variance).sqrt_()


def local_mean(pixels: Tensor, start: int, stop: int) -> Tensor:
    """Average rows of a map (h, w, C) over all pixels up to `REACH` away.

    Each mean is the sum of its own few pixels: running sums along a map would lose
    digits. Direction by direction, and twenty times as fast as `avg_pool2d`.
    """
    height, width, n_channels = pixels.shape
    n_rows = stop - start
    above, below = start - REACH, stop + REACH
    rows = pixels[max(above, 0) : min(below, height)]
    if above < 0 or below > height:
        rows = F.pad(rows, (0, 0, 0, 0, max(-above, 0), max(below - height, 0)))
    # Zeros on both sides: (n_rows, REACH + w + REACH, C)
    padded = pixels.new_empty(n_rows, width + 2 * REACH, n_channels)
    padded[:, :REACH] = padded[:, -REACH:] = 0
    _sum(rows, 0, out=padded[:, REACH:-REACH])
    mean = _sum(padded, 1, out=pixels.new_empty(n_rows, width, n_channels))
    mean *= _one_by_count(width).expand(-1, n_channels).contiguous()
    mean *= _one_by_count(height)[start:stop, None]
    return mean


def _sum(y: Tensor, axis: int, out: Tensor) -> Tensor:
    """Add up every 2 * REACH + 1 neighbours along an axis."""
    n_sums = y.shape[axis] - 2 * REACH
    torch.add(y.narrow(axis, 0, n_sums), y.narrow(axis, 1, n_sums), out=out)
    for shift in range(2, 2 * REACH + 1):
        out += y.narrow(axis, shift, n_sums)
    return out


@lru_cache(maxsize=4)
def _one_by_count(side: int) -> Tensor:
    """Return 1 / how many of a line's pixels are up to `REACH` from each, (side, 1)."""
    position = torch.arange(side)
    last = (position + REACH).clamp(max=side - 1)
    return (1 / (last - (position - REACH).clamp(min=0) + 1))[:, None]


def asinh(y: Tensor) -> Tensor:
    """Return the inverse hyperbolic sine, to 1e-7 absolutely.

    Ten times as fast as torch's, whose loop has no vectors on a CPU.
    """
    # log(|y| + sqrt(y^2 + 1)), odd in y: below 0 the sum itself would cancel.
    root = torch.addcmul(torch.ones(()), y, y).sqrt_()
    return root.add_(y.abs()).sub_(1).log1p_().copysign_(y)


def _pixels(x: Tensor) -> Tensor:
    """(1, C, h, w) in channels_last -> (h, w, C)."""
    return x[0].permute(1, 2, 0)


def _join(first: Tensor, second: Tensor) -> Tensor:
    """(h, w, 4) twice -> (h, w, 2, 4), the 4 values moved as one number of 16 bytes."""
    joined = first.new_empty(*first.shape[:2], 2, N_PLANES)
    halves = joined.view(torch.complex128)  # (h, w, 2, 1)
    for half, part in enumerate((first, second)):
        halves[:, :, half] = part.view(torch.complex128)
    return joined


def _split(given: Tensor) -> tuple[Tensor, ...]:
    """(h, w, 8) -> (h, w, 4) twice, each contiguous."""
    halves = given.contiguous().view(torch.complex128)  # (h, w, 2)
    return tuple(
        halves[:, :, half : half + 1].contiguous().view(torch.float32)
        for half in range(2)
    )


def _bands(start: int, stop: int, width: int) -> Iterator[tuple[int, int]]:
    n_bytes = BAND_BYTES * torch.get_num_threads()
    n_rows = max(n_bytes // (width * N_PLANES * 4), 1)
    for first in range(start, stop, n_rows):
        yield first, min(first + n_rows, stop)
