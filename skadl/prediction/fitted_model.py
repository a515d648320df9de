"""What a fit of a network leaves behind, and how it denoises an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial

import numpy as np
import torch

from skadl.network.base import ModulatedNetwork
from skadl.network.conditioning import Conditioning
from skadl.network.engines import choose_engine
from skadl.network.quantised import Ranges, find_ranges
from skadl.noise.clipped_black import signal_where_clipped
from skadl.noise.frame_offsets import FrameOffsets, find_offsets, shown_noise
from skadl.noise.noise_level import NoiseLevel, expected_noise
from skadl.noise.sensors import SensorInfo, SensorTable
from skadl.prediction.bands import each_band
from skadl.prediction.calibration import calibration_planes
from skadl.prediction.clipping import ClipLevels
from skadl.prediction.correction import Correction, correct
from skadl.prediction.frame import FrameNetwork, Track
from skadl.prediction.model import (
    ImageModel,
    PredictOptions,
    blend,
    warn_of_other_size,
    warn_outside_iso_range,
)
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.raw.image import RawImage, align_image
from skadl.raw.levels import cast_counts
from skadl.raw.mosaic import (
    align_blocks,
    common_mosaic,
    crop_to_blocks,
    mosaic_of,
    pack_mosaic,
    pad_to_blocks,
)
from skadl.support.device import resolve_precision

GIB = 2**30
OtherNetwork = Callable[[torch.device], ModulatedNetwork]
_WAY_OUT = (
    'A model fitted with conditioning="noise" predicts any sensor whose noise is known.'
)


@dataclass(frozen=True, eq=False)
class FittedModel(ImageModel):
    """A fitted network, with what it must be told of an image."""

    network: ModulatedNetwork
    conditioning: Conditioning
    sensors: SensorTable
    autocast_dtype: torch.dtype | None  # of the convolutions; None is float32
    safeguard: bool  # whether an image is spared what would harm it
    # Networks for mosaics of other numbers of planes, where there are any.
    others: Mapping[int, OtherNetwork] = field(default_factory=dict)

    def known_sensors(self) -> list[str]:
        """Names of the sensors that the model can predict."""
        if self.conditioning.uses_sensor:
            return list(self.conditioning.sensors)
        return super().known_sensors()

    @property
    def takes_any_noise(self) -> bool:
        """Whether a sensor is known by its noise, wherever that comes from."""
        return not self.conditioning.uses_sensor

    def resolve_sensor(
        self, name: str | None, info: SensorInfo | None = None
    ) -> SensorInfo:
        """Return the sensor's facts, with noise, or say what is missing."""
        if not self.conditioning.uses_sensor:
            return super().resolve_sensor(name, info)
        known = self.known_sensors()
        if info is not None:
            raise ValueError(
                "got a SensorInfo in place of a sensor's name, but "
                f"conditioning={self.conditioning.kind!r} needs one of the names "
                f"seen during fit: {known}. {_WAY_OUT}"
            )
        if name not in known:
            raise ValueError(
                f"sensor {name!r} was not seen during fit; known sensors are {known}. "
                f"Name one of them, or fit with pairs of {name!r}. {_WAY_OUT}"
            )
        return self.sensors.get(name)

    def for_image(self, image: RawImage) -> FittedModel:
        """Return the model with the network for the mosaic of an image."""
        own, other = common_mosaic(self.network.n_planes), mosaic_of(image.cfa)
        if own.n_planes == other.n_planes:
            return self
        if other.n_planes not in self.others:
            raise ValueError(
                f"{image!r} has a mosaic of the kind {other.family}, and this model "
                f"denoises {own.family} mosaics; use the network that comes with "
                f"skadl, or fit on pairs with {other.family} mosaics."
            )
        device = next(self.network.parameters()).device
        return replace(self, network=self.others[other.n_planes](device), others={})

    def denoise_planes(
        self, image: RawImage, info: SensorInfo | None = None
    ) -> np.ndarray:
        """Return normalised planes (4, h, w), float32; sides are rounded down."""
        model = self.for_image(image)
        if model is not self:
            return model.denoise_planes(image, info)
        info = self.resolve_sensor(image.sensor) if info is None else info
        image = image.with_mosaic(image.mosaic)  # a lazy one is read once
        offsets = find_offsets(image, info)
        image, fixed = aligned_frame(image, offsets, crop_to_blocks)
        correction, restore = self._correct(
            image, info, offsets, fixed, PredictOptions()
        )
        planes = np.empty(correction.noisy.shape, np.float32)

        def fill(rows: slice) -> None:
            planes[:, rows] = pack_mosaic(restore(correction.denoised(rows)), image.cfa)

        each_band(fill, *planes.shape[1:])
        return planes

    def denoise_mosaic(
        self,
        image: RawImage,
        info: SensorInfo,
        options: PredictOptions,
        track: Track | None = None,
    ) -> np.ndarray:
        """Return the denoised mosaic (H, W) in counts, in the options' dtype."""
        image = image.with_mosaic(image.mosaic)  # a lazy one is read once
        height, width = image.mosaic.shape
        dtype = options.result_dtype(image.mosaic.dtype)
        warn_of_other_size(info, image)
        offsets = find_offsets(image, info)
        cfa, side = image.cfa, mosaic_of(image.cfa).side
        image, fixed = aligned_frame(image, offsets, pad_to_blocks)
        correction, restore = self._correct(image, info, offsets, fixed, options, track)
        # What is removed from a band makes room for its result, where that is float32.
        is_float32 = dtype == np.float32
        result = (
            correction.residual.counts
            if is_float32
            else np.empty(image.mosaic.shape, dtype)
        )

        def fill(rows: slice) -> None:
            counts = correction.noisy.to_counts(restore(correction.denoised(rows)))
            rows = slice(side * rows.start, side * rows.stop)
            counts = blend(image.mosaic[rows], counts, options.strength)
            result[rows] = cast_counts(counts, dtype)

        each_band(fill, *correction.noisy.shape[1:])
        result = align_blocks(result, cfa)
        return np.ascontiguousarray(result[:height, :width])

    def _engine(self, options: PredictOptions) -> tuple[str, torch.dtype | None]:
        """Choose what computes the convolutions, and in which precision."""
        device = next(self.network.parameters()).device
        dtype = self.autocast_dtype
        if options.precision == "int8":
            if not self.network.needs_noise:
                raise ValueError(
                    "precision='int8' is for networks that see an image in units of "
                    "its noise, network='pyramid_unet' and 'local_unet': others need "
                    "finer steps. Leave precision out."
                )
            dtype = torch.int8
        elif options.precision is not None:
            dtype = resolve_precision(options.precision, device)
        return choose_engine(options.engine, dtype, device), dtype

    def _correct(
        self,
        image: RawImage,
        info: SensorInfo,
        offsets: FrameOffsets,
        fixed: np.ndarray | None,
        options: PredictOptions,
        track: Track | None = None,
    ) -> tuple[Correction, Callable[[np.ndarray], np.ndarray]]:
        """Find out what to take away from an image of aligned blocks.

        `fixed` are the counts of `offsets`, aligned as well. Also what turns denoised
        values, whose mean is that of the noisy ones, into light.
        """
        warn_outside_iso_range(info, image)
        noisy = NormalisedMosaic.of(image, info, fixed)
        noise = shown_noise(info, image, offsets)
        engine, dtype = self._engine(options)

        @lru_cache(maxsize=1)  # asked for its memory first, then for its work
        def network_for(noise: NoiseLevel) -> FrameNetwork:
            facts = image.sensor, image.iso, image.ratio, noise
            folded = self.network.fold(self.conditioning.vector(*facts))

            @cache
            def ranges() -> Ranges:
                planes = calibration_planes(noise, folded.n_planes)
                return find_ranges(folded, torch.from_numpy(planes))

            in_8_bits = ranges if dtype == torch.int8 else None
            return FrameNetwork(folded, dtype, engine, in_8_bits)

        correction = correct(
            network_for,
            noisy,
            noise,
            clip_levels=ClipLevels.of(image),
            safeguard=self.safeguard,
            self_ensemble=options.self_ensemble,
            memory=_memory_for_tiles(network_for(noise), noisy, options),
            track=track,
        )
        if not offsets.clips_black:
            return correction, _as_it_is
        whole = expected_noise(info, image.iso, image.ratio)
        return correction, partial(
            signal_where_clipped, shot=whole.shot, read=whole.read
        )


def aligned_frame(
    image: RawImage,
    offsets: FrameOffsets,
    to_blocks: Callable[[np.ndarray, str], np.ndarray],
) -> tuple[RawImage, np.ndarray | None]:
    """Bring a frame, and what is to be taken off it, to whole blocks laid out alike."""
    cfa, fixed = image.cfa, offsets.counts
    if fixed is not None:
        fixed = align_blocks(to_blocks(fixed, cfa), cfa)
    return align_image(image.with_mosaic(to_blocks(image.mosaic, cfa))), fixed


def _as_it_is(band: np.ndarray) -> np.ndarray:
    return band


def _memory_for_tiles(
    network: FrameNetwork, noisy: NormalisedMosaic, options: PredictOptions
) -> float:
    """Return the bytes that frames leave over, or say how many are needed."""
    mosaic, fixed = noisy.counts, noisy.fixed
    dtype = options.result_dtype(mosaic.dtype)
    frames = mosaic.size * (4 + (0 if dtype == np.float32 else dtype.itemsize))
    if fixed is not None:
        frames += fixed.size * 4
    taken = frames + network.frame_memory(mosaic.size) + network.fixed_memory
    memory = options.memory_limit * GIB - taken
    needed = network.least_memory(noisy.shape)
    if memory < needed:
        height, width = mosaic.shape
        raise ValueError(
            f"a memory limit of {options.memory_limit:g} GiB is too low for an image "
            f"of {height}x{width}; predict it with memory_limit="
            f"{np.ceil((taken + needed) / GIB * 100) / 100:g} or more."
        )
    return memory
