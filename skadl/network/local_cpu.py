"""The U-Net behind the local transform on a CPU, in strips of rows as the U-Net is.

The transform is computed with each strip that the U-Net reads and writes. Only the
level is kept in between, in the memory of the result. These are few passes over bands
of rows that the cache holds; `local_transform.look` is the same formula to be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from skadl.network.base import MapMemory, Rectangle, TensorOperations
from skadl.network.cpu import StripUNet
from skadl.network.folded import FoldedUNet
from skadl.network.local_transform import (
    BRIGHTNESS_SCALE,
    DETAIL_SCALE,
    LINEAR_UP_TO,
    REACH,
    noise_floor,
)

# Of a band's planes in float32, for each thread. Larger ones leave the cache; with
# smaller ones the calls cost as much as their work.
BAND_BYTES = 2**19


class StripLocalUNet(StripUNet):
    """Compute what a folded local U-Net would remove from an image, on the CPU."""

    n_shown = 2

    def __init__(
        self,
        unet: FoldedUNet,
        dtype: torch.dtype | None,
        shot: float,
        read: float,
        memory: MapMemory | None = None,
    ) -> None:
        super().__init__(*unet.parts(), dtype, memory)
        self._shot, self._floor = shot, noise_floor(shot, read)

    def _shown(self, x: Tensor, start: int, stop: int) -> Tensor:
        pixels, levels = _pixels(x), _pixels(self._result(x))
        width, n_parts = pixels.shape[1], self.n_shown
        shown = self._map("shown", n_parts * self.n_planes, stop - start, width)
        # (rows, w, n, n_planes): detail and brightness of a pixel side by side
        features = _pixels(shown).view(-1, width, n_parts, self.n_planes)
        for band in _bands(start, stop, pixels):
            level = local_mean(pixels, band, out=levels[band])
            sigma = self._sigma(level, 1 / DETAIL_SCALE)
            detail = (pixels[band] - level).div_(sigma)
            more = self._more(band, level, sigma)
            # 2 * level / (sigma + sqrt(floor)), scaled
            factor = LINEAR_UP_TO / (2 * BRIGHTNESS_SCALE)
            divisor = _line(self._floor**0.5 * factor, sigma, factor * DETAIL_SCALE)
            brightness = asinh(level / divisor).mul_(LINEAR_UP_TO)
            rows = slice(band.start - start, band.stop - start)
            _join(detail, brightness, *more, out=features[rows])
        return shown

    def _more(self, band: slice, level: Tensor, sigma: Tensor) -> tuple[Tensor, ...]:
        """Return what a band shows besides; `sigma` as detail is divided by it."""
        return ()

    def _remove(
        self, x: Tensor, given: Tensor, result: Tensor, top: int, left: int
    ) -> None:
        pixels, given, result = _pixels(x), _pixels(given), _pixels(result)
        columns = slice(left, left + pixels.shape[1])
        for rows in _bands(0, len(pixels), pixels):
            share, rest, *more = _split(given[rows], self.n_shown)
            removed = result[rows]  # holds the level
            sigma = self._sigma(removed)
            taken = self._taken(
                (slice(top + rows.start, top + rows.stop), columns), removed
            )
            # sigma * (share * detail + rest), where sigma * detail = x - level
            torch.sub(pixels[rows], removed, out=removed)
            removed.mul_(share).addcmul_(sigma, rest)
            for part, difference in zip(more, taken, strict=True):
                removed.addcmul_(part, difference, value=-1)

    def _taken(self, place: Rectangle, level: Tensor) -> tuple[Tensor, ...]:
        """Return what may be taken over besides, in the units of the planes."""
        return ()

    def _sigma(self, level: Tensor, scale: float = 1.0) -> Tensor:
        """Return the standard deviation of the noise at a level, times `scale`."""
        variance = level.clamp(min=0)
        return _line(self._floor * scale**2, variance, self._shot * scale**2).sqrt_()


class StripGuidedUNet(StripLocalUNet):
    """The same for a network that is shown the next coarser scale's result."""

    n_shown = 3

    @torch.no_grad()
    def removed(
        self, x: Tensor, coarse: Tensor, core: Rectangle | None = None
    ) -> Tensor:
        """Return noisy minus denoised; `coarse` (1, 4, h/2, w/2) in channels_last."""
        coarse = coarse.contiguous(memory_format=torch.channels_last)
        self._coarse = _pixels(TensorOperations.double(coarse))
        return super().removed(x, core=core)

    def _more(self, band: slice, level: Tensor, sigma: Tensor) -> tuple[Tensor, ...]:
        return ((self._coarse[band] - level).div_(sigma),)

    def _taken(self, place: Rectangle, level: Tensor) -> tuple[Tensor, ...]:
        return (self._coarse[place] - level,)


def local_mean(pixels: Tensor, band: slice, out: Tensor) -> Tensor:
    """Average a band of rows of a map (h, w, C) over all pixels up to `REACH` away.

    Each mean is the sum of its own few pixels: running sums along a map would lose
    digits. Direction by direction, and twenty times as fast as `avg_pool2d`.
    """
    height, width, n_channels = pixels.shape
    above, below = band.start - REACH, band.stop + REACH
    rows = pixels[max(above, 0) : min(below, height)]
    if above < 0 or below > height:
        rows = F.pad(rows, (0, 0, 0, 0, max(-above, 0), max(below - height, 0)))
    # Zeros on both sides: (rows, REACH + w + REACH, C)
    padded = pixels.new_empty(len(out), width + 2 * REACH, n_channels)
    padded[:, :REACH] = padded[:, -REACH:] = 0
    _sum(rows, 0, out=padded[:, REACH:-REACH])
    _sum(padded, 1, out=out)
    # Fewer pixels count near a border.
    out *= _one_by_count(width).expand(-1, n_channels) / (2 * REACH + 1)
    if above < 0 or below > height:
        out *= _one_by_count(height)[band, None] * (2 * REACH + 1)
    return out


def _sum(y: Tensor, axis: int, out: Tensor) -> None:
    """Add up every 2 * REACH + 1 neighbours along an axis."""
    n_all = y.shape[axis]
    n_sums = n_all - 2 * REACH
    pairs = y.narrow(axis, 0, n_all - 1) + y.narrow(axis, 1, n_all - 1)
    torch.add(y.narrow(axis, 2 * REACH, n_sums), pairs.narrow(axis, 0, n_sums), out=out)
    for shift in range(2, 2 * REACH, 2):
        out += pairs.narrow(axis, shift, n_sums)


def _line(start: float, y: Tensor, slope: float) -> Tensor:
    """Return start + slope * y in the place of y, in one pass."""
    return torch.add(torch.tensor(start, dtype=y.dtype), y, alpha=slope, out=y)


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


def _join(*parts: Tensor, out: Tensor) -> None:
    """Write (h, w, C) n times into (h, w, n, C), all planes of a pixel as one number.

    In the dtype of `out`: each part is converted first, so that less is moved.
    """
    unit = _unit(out)
    places = out.view(unit)  # (h, w, n, 1)
    for place, part in enumerate(parts):
        places[:, :, place] = part.to(out.dtype).view(unit)


def _split(given: Tensor, n_parts: int) -> tuple[Tensor, ...]:
    """(h, w, C n) -> (h, w, C) n times, each contiguous, float32."""
    parts = given.unflatten(2, (n_parts, -1)).contiguous()
    places = parts.view(_unit(parts))  # (h, w, n, 1)
    return tuple(
        place.contiguous().view(given.dtype).float() for place in places.unbind(2)
    )


def _unit(pixels: Tensor) -> torch.dtype:
    """Return the largest dtype that moves all planes of a pixel, part by part."""
    n_bytes = pixels.shape[-1] * pixels.element_size()
    return {16: torch.complex128, 8: torch.float64}.get(n_bytes, pixels.dtype)


def _bands(start: int, stop: int, pixels: Tensor) -> Iterator[slice]:
    n_bytes = BAND_BYTES * torch.get_num_threads()
    n_rows = max(n_bytes // (4 * pixels[0].numel()), 1)
    for first in range(start, stop, n_rows):
        yield slice(first, min(first + n_rows, stop))
