"""Many small images at once: the network sees those of one size as one batch.

Folding a network for one image, and starting its operators, takes longer than a small
image itself. Here each look at an image waits until all have one, and the network that
was not folded is told the noise of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from skadl.noise.clipped_black import signal_where_clipped
from skadl.noise.frame_offsets import find_offsets, shown_noise
from skadl.noise.noise_level import expected_noise
from skadl.noise.sensors import SensorInfo
from skadl.prediction.clipping import ClipLevels
from skadl.prediction.correction import Correction, Look, Steps, correction_steps
from skadl.prediction.fitted_model import FittedModel, aligned_frame
from skadl.prediction.frame import NOT_FINITE
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.raw.image import RawImage
from skadl.raw.mosaic import (
    aligned,
    common_pattern,
    crop_to_blocks,
    pack_mosaic,
    to_common_geometry,
    unpack_mosaic,
)
from skadl.raw.symmetry import AS_IT_IS

_EVERYTHING = np.s_[:, :, :]
MOST_PIXELS = 2**17  # packed, of a batch: maps of 16 channels are then 8 MiB


def denoise_together(
    model: FittedModel, images: Sequence[RawImage], infos: Sequence[SensorInfo]
) -> list[np.ndarray]:
    """Return normalised planes (4, h, w) of each image, as `denoise_planes` does.

    For images that fit into memory together, and that are to be judged, not shown: a
    correction is taken away whole, where the safeguard would weigh it, at the price of
    a second run of the network.
    """
    if not images:
        return []
    model = model.for_image(images[0])
    images = [image.with_mosaic(image.mosaic) for image in images]  # read once
    offsets = [find_offsets(*item) for item in zip(images, infos, strict=True)]
    steps = []
    for image, info, found in zip(images, infos, offsets, strict=True):
        image, fixed = aligned_frame(image, found, crop_to_blocks)
        mosaic = NormalisedMosaic.of(image, info, fixed)
        noise = shown_noise(info, image, found)
        levels = ClipLevels.of(image)
        steps.append(
            correction_steps(mosaic, noise, levels, model.safeguard, weighs=False)
        )
    planes = []
    corrections = _walk(model, images, steps)
    for image, info, found, correction in zip(
        images, infos, offsets, corrections, strict=True
    ):
        denoised = correction.denoised(slice(0, correction.noisy.shape[1]))
        if found.clips_black:
            whole = expected_noise(info, image.iso, image.ratio)
            denoised = signal_where_clipped(denoised, whole.shot, whole.read)
        planes.append(pack_mosaic(denoised, aligned(image.cfa)))
    return planes


def _walk(
    model: FittedModel, images: Sequence[RawImage], steps: Sequence[Steps]
) -> list[Correction]:
    """Take all steps, a look of each image at a time."""
    done: list[Correction | None] = [None] * len(steps)
    waiting = {place: next(one) for place, one in enumerate(steps)}
    while waiting:
        looks = [(images[place], look) for place, look in waiting.items()]
        answers = dict(zip(waiting, _show(model, looks), strict=True))
        waiting = {}
        for place, removed in answers.items():
            try:
                waiting[place] = steps[place].send(removed)
            except StopIteration as end:
                done[place] = end.value
    return done


def _show(
    model: FittedModel, looks: Sequence[tuple[RawImage, Look]]
) -> list[np.ndarray]:
    """Return what the network removes from each mosaic: (2 h, 2 w) of its pattern."""
    removed: list[np.ndarray | None] = [None] * len(looks)
    for places in _batches([look.mosaic.shape for _, look in looks]):
        codes = [
            model.conditioning.vector(image.sensor, image.iso, image.ratio, look.noise)
            for image, look in (looks[place] for place in places)
        ]
        mosaics = [looks[place][1].mosaic for place in places]
        for place, mosaic in zip(
            places, _remove(model, mosaics, np.stack(codes)), strict=True
        ):
            removed[place] = mosaic
    return removed


def _batches(shapes: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Positions of shapes that are alike, so many at a time as make a batch."""
    alike: dict[tuple[int, ...], list[int]] = {}
    for place, shape in enumerate(shapes):
        alike.setdefault(shape, []).append(place)
    for (_, height, width), places in alike.items():
        size = max(MOST_PIXELS // (height * width), 1)
        for start in range(0, len(places), size):
            yield places[start : start + size]


@torch.no_grad()
def _remove(
    model: FittedModel, mosaics: Sequence[NormalisedMosaic], codes: np.ndarray
) -> Iterator[np.ndarray]:
    """Run the network on mosaics of one shape; `codes` (B, n_metadata)."""
    network = model.network
    parameter = next(network.parameters())
    device, dtype = parameter.device, model.autocast_dtype
    planes = np.stack([mosaic.turned(AS_IT_IS)[_EVERYTHING] for mosaic in mosaics])
    height, width = planes.shape[2:]
    below, right = (-side % network.multiple for side in (height, width))
    if below or right:
        planes = np.pad(planes, ((0, 0), (0, 0), (0, below), (0, right)), "reflect")
    x = torch.from_numpy(planes).to(device)  # (B, 4, h, w)
    x = x.contiguous(memory_format=torch.channels_last)
    metadata = torch.from_numpy(codes).to(device, parameter.dtype)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        y = (x - network(x, metadata)).float()[:, :, :height, :width]
    if not bool(torch.isfinite(y).all()):
        raise FloatingPointError(NOT_FINITE)
    for mosaic, removed in zip(mosaics, y.cpu().numpy(), strict=True):
        common = unpack_mosaic(removed, common_pattern(mosaic.cfa))
        yield np.ascontiguousarray(to_common_geometry(common, mosaic.cfa))
