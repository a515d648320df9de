"""The folded U-Net on a CPU: strip by strip, so that a feature map stays in cache.

A convolution is limited by memory where a map is larger than the cache, and a map
freshly allocated costs a page fault for every 4 KiB. So each level of the U-Net is
walked in strips of rows, its two convolutions one after the other, and only what
another level reads is kept: the skips, and two maps in between, in memory that the
next tile uses again.

Results equal the plain network's up to rounding: a strip reads two rows more on each
side than it keeps, one for each of its two 3x3 convolutions, and computes them twice.
Of a tile only a core is used: on the way up no level computes more than that asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skadl.network.base import SLOPE, MapMemory, Rectangle
from skadl.support.allocation import keep_freed_memory

# Of the widest map of a strip. Smaller strips compute more rows twice, larger ones fall
# out of the cache.
STRIP_BYTES = 12 * 2**20
_LEAST_PIXEL_BYTES = 64  # of a pixel's channels, to move them by the pixel: cache line
# torch.compile's operators on a CPU, without a promise that the next release has them:
# a convolution with its leaky ReLU in one pass, and its weights laid out for it once.
_FUSED_OPERATORS = (
    "_convolution_pointwise",
    "_reorder_convolution_weight",
    "_is_mkldnn_bf16_supported",
)


class StripUNet:
    """Compute what a folded U-Net would remove from an image, on the CPU.

    Of `encoder` and `decoder` two convolutions for each level, in forward order;
    `dtype` of maps and weights, None is float32; `memory` is for its maps.
    """

    n_shown = 1  # maps of all planes

    def __init__(
        self,
        encoder: Iterable[nn.Conv2d],
        ups: Iterable[nn.ConvTranspose2d],
        decoder: Iterable[nn.Conv2d],
        head: nn.Conv2d,
        dtype: torch.dtype | None,
        memory: MapMemory | None = None,
    ) -> None:
        self.dtype = dtype or torch.float32
        self.n_planes = head.out_channels // self.n_shown
        self._encoder, self._decoder = (
            [_Conv(conv.weight, conv.bias, self.dtype) for conv in convs]
            for convs in (encoder, decoder)
        )
        self._ups = [_Up(up, self.dtype) for up in ups]
        self._head = _Conv(head.weight, head.bias, self.dtype, rectified=False)
        self._memory: MapMemory = {} if memory is None else memory
        self._body: Callable[[Tensor], Tensor] | None = None
        keep_freed_memory()

    def run_in(self, body: Callable[[Tensor], Tensor] | None) -> None:
        """Leave the convolutions to a function of all that they are shown, or not."""
        self._body = body

    @torch.no_grad()
    def removed(self, x: Tensor, core: Rectangle | None = None) -> Tensor:
        """Return noisy minus denoised, (1, 4, h, w) both, float32, channels_last.

        Outside a `core` there is anything. The next call writes its own result into
        the same memory.
        """
        x = x.contiguous(memory_format=torch.channels_last)
        height, width = x.shape[2:]
        regions = _regions(core or np.s_[:, :], (height, width), len(self._ups))
        if self._body is not None:
            result, (rows, _) = self._result(x), regions[0]
            given = self._body(self._shown(x, 0, height))
            kept = (part[:, :, rows] for part in (x, given, result))
            self._remove(*kept, rows.start, 0)
            return result
        skips = []
        y = x
        last = len(self._ups)
        for level in range(last + 1):
            convs = self._encoder[2 * level : 2 * level + 2]
            skip, y = self._encode(y, convs, level, pools=level < last)
            skips.append(skip)
        y = skips.pop()
        if not last:  # no way up at whose end the head could sit
            result = self._result(x)
            self._remove(x, self._head(y), result, 0, 0)
            return result
        y = y[:, :, regions[last][0], regions[last][1]]
        for level in reversed(range(last)):
            y = self._decode(y, skips.pop(), level, x, *regions[level : level + 2])
        return y

    def _result(self, x: Tensor) -> Tensor:
        """Return the memory of the result; free until the last convolution is done."""
        return self._map("result", self.n_planes, *x.shape[2:], torch.float32)

    def _shown(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Return rows of what the first convolution is shown, in any dtype."""
        return x[:, :, start:stop]

    def _remove(
        self, x: Tensor, given: Tensor, result: Tensor, top: int, left: int
    ) -> None:
        """Write noisy minus denoised of a part of the tile, from what the head gives.

        `top` and `left` are where in the tile it begins.
        """
        result.copy_(given)

    def _encode(
        self, x: Tensor, convs: list[_Conv], level: int, pools: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return a level's map, and that map at half the size for the next level."""
        height, width = x.shape[2:]
        n_channels = convs[1].width
        whole = self._map(f"skip {level}", n_channels, height, width)
        half = None
        if pools:
            # Two in turn: a level reads the one and writes the other.
            half = self._map(
                f"between {level % 2}", n_channels, height // 2, width // 2
            )
        strips = self._strips(slice(0, height), height, width * n_channels)
        for start, stop, above, below in strips:
            first, last = start - above, stop + below
            y = x[:, :, first:last] if level else self._shown(x, first, last)
            y = y.to(self.dtype).contiguous(memory_format=torch.channels_last)
            for conv in convs:
                y = conv(y)
            # Beyond the strip each convolution saw zeros instead of the map: cut off.
            y = y[:, :, above : above + stop - start]
            whole[:, :, start:stop] = y
            if pools:
                # Half the time that max_pool2d takes in this layout.
                y = torch.maximum(y[:, :, ::2], y[:, :, 1::2])
                pooled = half[:, :, start // 2 : stop // 2]
                torch.maximum(y[..., ::2], y[..., 1::2], out=pooled)
        return whole, half

    def _decode(
        self,
        x: Tensor,
        skip: Tensor,
        level: int,
        noisy: Tensor,
        region: Rectangle,
        below: Rectangle,
    ) -> Tensor:
        """Return a region of a level's map on the way up; at last what is removed.

        `x` is the region `below`, of the level below. Beside it the convolutions see
        zeros: for two pixels what they give is wrong, and cut off.
        """
        rows, columns = region
        left, right = 2 * below[1].start, 2 * below[1].stop
        skip = skip[..., left:right]
        up = self._ups[-1 - level]
        convs = self._decoder[2 * len(self._ups) - 2 * level - 2 :][:2]
        n_channels = convs[1].width
        if level:
            sides = rows.stop - rows.start, columns.stop - columns.start
            result = self._map(f"between {level % 2}", n_channels, *sides)
        else:
            result = self._result(noisy)
        inside = slice(columns.start - left, columns.stop - left)
        n_values = 2 * (right - left) * n_channels
        for start, stop, above, more in self._strips(rows, skip.shape[2], n_values):
            first, last = start - above, stop + more  # both even
            half = slice(first // 2 - below[0].start, last // 2 - below[0].start)
            y = up(x[:, :, half], skip[:, :, first:last])
            for conv in convs:
                y = conv(y)
            y = y[:, :, above : above + stop - start]
            if level:
                first, last = start - rows.start, stop - rows.start
                result[:, :, first:last] = y[..., inside]
            else:  # the head at once, while the strip is in the cache
                part = np.s_[:, :, start:stop, left:right]
                self._remove(noisy[part], self._head(y), result[part], start, left)
        return result

    def _strips(
        self, kept: slice, height: int, n_values: int
    ) -> Iterator[tuple[int, int, int, int]]:
        """Yield start and stop of strips, with the rows to read above and below.

        All even, so that rows pair up for pooling and upsampling. None beyond the map:
        there the convolutions pad as they pad the whole.
        """
        rows = max(STRIP_BYTES // (n_values * self.dtype.itemsize), 16) // 2 * 2
        for start in range(kept.start, kept.stop, rows):
            stop = min(start + rows, kept.stop)
            yield start, stop, min(2, start), min(2, height - stop)

    def _map(
        self,
        name: str,
        n_channels: int,
        height: int,
        width: int,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Return memory for a map: that of the last one of this name, if it does."""
        dtype = dtype or self.dtype
        n_bytes = n_channels * height * width * dtype.itemsize
        if name not in self._memory or self._memory[name].size < n_bytes:
            # By NumPy, which asks the kernel for huge pages; torch does not.
            self._memory[name] = np.empty(n_bytes, np.uint8)
        y = torch.from_numpy(self._memory[name][:n_bytes]).view(dtype)
        return y.view(1, height, width, n_channels).permute(0, 3, 1, 2)


class _Conv:
    """A convolution, mostly with its leaky ReLU, in one pass where torch can do that.

    Elsewhere it is two, with the same result at the cost of another walk over the map;
    and on one thread torch takes four times as long for one of 1x1, without oneDNN.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, dtype: torch.dtype, rectified: bool = True
    ) -> None:
        self.width, self.padding = len(weight), weight.shape[2] // 2
        self.weight, self.bias = weight.to(dtype), bias.to(dtype)
        self.rectified = rectified
        self.is_fused = _can_fuse(dtype)
        if self.is_fused:
            # The size of the input is left open.
            self.weight = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, *self._geometry(), None
            )

    def __call__(self, x: Tensor) -> Tensor:
        if not self.is_fused:
            y = F.conv2d(x, self.weight, self.bias, padding=self.padding)
            return F.leaky_relu(y, SLOPE, inplace=True) if self.rectified else y
        then = ("leaky_relu", [SLOPE], "") if self.rectified else ("none", [], "")
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self._geometry(), *then
        )

    def _geometry(self) -> tuple[list[int], list[int], list[int], int]:
        """Return padding, stride, dilation and groups."""
        return [self.padding] * 2, [1, 1], [1, 1], 1


class _Up:
    """A 2x2 transposed convolution of stride 2, and the join with the skip."""

    def __init__(self, up: nn.ConvTranspose2d, dtype: torch.dtype) -> None:
        self.width = up.out_channels
        # Blocks of 2x2 do not overlap, so each is a product of a matrix with the
        # channels of one pixel, a 1x1 convolution: up to six times as fast. But what it
        # gives must be rearranged, which takes longer than it saves for few channels.
        self.as_product = self.width * dtype.itemsize >= _LEAST_PIXEL_BYTES
        if self.as_product:
            # (2C, C, 2, 2) -> (2, 2, C, 2C) -> (4C, 2C, 1, 1)
            weight = up.weight.permute(2, 3, 1, 0).reshape(4 * self.width, -1, 1, 1)
            weight = weight.contiguous(memory_format=torch.channels_last)
            self.product = _Conv(weight, up.bias.repeat(4), dtype, rectified=False)
        else:
            self.weight, self.bias = up.weight.to(dtype), up.bias.to(dtype)

    def __call__(self, x: Tensor, skip: Tensor) -> Tensor:
        if not self.as_product:
            y = F.conv_transpose2d(x, self.weight, self.bias, stride=2)
            return torch.cat([y, skip], dim=1)
        height, width = x.shape[2:]
        blocks = self.product(x).permute(0, 2, 3, 1)
        # Written where the join has it, beside the skip, instead of into a map of its
        # own: (h, w, 2, 2, C) into the first half of (h, 2, w, 2, 2C).
        joined = x.new_empty(height, 2, width, 2, 2 * self.width)
        joined.transpose(1, 2)[..., : self.width] = blocks.view(
            height, width, 2, 2, self.width
        )
        joined = joined.view(1, 2 * height, 2 * width, 2 * self.width)
        joined = joined.permute(0, 3, 1, 2)
        joined[:, self.width :] = skip
        return joined


def _regions(core: Rectangle, sides: tuple[int, int], n_ups: int) -> list[Rectangle]:
    """Return what must be known of each level, finest first, for a core of the result.

    Two convolutions read two pixels more on each side. All even, so that pixels pair
    up, but for a border.

    >>> [rows for rows, _ in _regions(np.s_[24:40, :9], (64, 9), 2)]
    [slice(24, 40, None), slice(10, 22, None), slice(4, 12, None)]
    """
    regions = [
        tuple(
            _even(*side.indices(n)[:2], n) for side, n in zip(core, sides, strict=True)
        )
    ]
    for level in range(1, n_ups + 1):
        regions.append(
            tuple(
                _even(max(side.start - 2, 0) // 2, -(-(side.stop + 2) // 2), n >> level)
                for side, n in zip(regions[-1], sides, strict=True)
            )
        )
    return regions


def _even(start: int, stop: int, length: int) -> slice:
    return slice(start // 2 * 2, min(stop + stop % 2, length))


def _can_fuse(dtype: torch.dtype) -> bool:
    """Say whether torch has oneDNN and its operators, and they take `dtype` here."""
    operators = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(operators, name) for name in _FUSED_OPERATORS):
        return False
    return dtype == torch.float32 or operators._is_mkldnn_bf16_supported()
