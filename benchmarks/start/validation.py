"""Fixed validation images: held-out photographs under published cameras' noise.

None of the three cameras of the project's benchmark is among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.start.batches import CONDITIONING, to_channels_last
from benchmarks.start.scenes import Photograph
from skadl.datasets import camera_info, get_camera, make_domain
from skadl.evaluation.metrics import SMALLEST_MSE
from skadl.network.unet import ModulatedUNet
from skadl.noise.noise_level import expected_noise
from skadl.raw.mosaic import mosaic_of, to_common_geometry
from skadl.raw.pair import RawPair

CAMERAS = ("CanonEOS5D4", "CanonEOS700D", "IMX686", "OppoReno10x", "Pixel4a")
CROP = 256  # pixels
CROPS = 2  # of each photograph
MOST_READ = 1.0  # standard deviation over the range: more shows nothing any more


@dataclass(frozen=True)
class Band:
    """A kind of picture: ISO as a share of the range in logarithms, light, factor."""

    iso: tuple[float, float]
    ratio: tuple[float, float]
    exposure: tuple[float, float]  # of the photograph's bright parts


BANDS = {
    "clean": Band((0.0, 0.1), (1, 1), (0.4, 1.0)),
    "medium": Band((0.5, 0.9), (1, 1), (0.2, 1.0)),
    "dark": Band((0.6, 1.0), (1, 1), (0.01, 0.04)),
    "noisy": Band((0.5, 1.0), (8, 30), (0.2, 1.0)),
    "extreme": Band((0.5, 1.0), (100, 300), (0.2, 1.0)),
}


def photograph_pairs(
    photographs: list[Photograph], cfa: str | None = None
) -> dict[str, list[RawPair]]:
    """Photograph crops of held-out photographs in every band, always the same.

    `cfa` is the mosaic of all cameras; None leaves each its own.
    """
    pairs: dict[str, list[RawPair]] = {}
    crop = CROP - CROP % (16 * mosaic_of(cfa or "RGGB").side)  # whole packed pixels
    for number, (name, band) in enumerate(BANDS.items()):
        rng = np.random.default_rng([7, number])
        pairs[name] = []
        for index in range(CROPS * len(photographs)):
            photograph = photographs[index % len(photographs)]
            camera = get_camera(CAMERAS[index % len(CAMERAS)])
            camera = camera if cfa is None else camera.under(cfa)
            low, high = np.log(camera.iso_range)
            iso = np.exp(low + (high - low) * rng.uniform(*band.iso))
            iso = float(np.clip(round(iso), *camera.iso_range))
            ratio = np.exp(rng.uniform(*np.log(band.ratio)))
            read = camera.noise_at(iso)[1] ** 0.5
            span = camera.white_level - camera.black_level
            ratio = max(min(ratio, MOST_READ * span / read), 1.0)
            exposure = np.exp(rng.uniform(*np.log(band.exposure)))
            top, left = (
                rng.integers(side - crop + 1) for side in photograph.rgb.shape[:2]
            )
            rgb = photograph.rgb[top : top + crop, left : left + crop]
            scene = np.clip(rgb * (exposure / photograph.bright), 0, 1)
            pairs[name] += make_domain(
                camera,
                1,
                size=crop,
                iso=iso,
                ratio=float(ratio),
                scenes=[scene],
                random_state=int(rng.integers(2**31)),
            )
    return pairs


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """Normalised planes (n, C, h, w) in common geometry, with what is told."""

    noisy: torch.Tensor
    clean: torch.Tensor
    metadata: torch.Tensor
    bands: list[str]  # of each image

    @classmethod
    def of(cls, pairs: dict[str, list[RawPair]]) -> ValidationSet:
        """Prepare pairs of the package's cameras by band; the noise told is true."""
        noisy, clean, metadata, bands = [], [], [], []
        for band, members in pairs.items():
            for pair in members:
                noise = expected_noise(
                    camera_info(pair.sensor.split()[0]), pair.iso, pair.noisy.ratio
                )
                cfa = pair.noisy.cfa
                noisy.append(to_common_geometry(pair.noisy.normalised(), cfa))
                clean.append(to_common_geometry(pair.clean.normalised(), cfa))
                vector = CONDITIONING.vector("", 100.0, pair.noisy.ratio, noise)
                metadata.append(vector)
                bands.append(band)
        return cls(
            to_channels_last(np.stack(noisy)),
            to_channels_last(np.stack(clean)),
            torch.from_numpy(np.stack(metadata)),
            bands,
        )

    def noisy_psnr(self) -> dict[str, float]:
        """Mean PSNR of the noisy images of each band, in dB."""
        return self._by_band(self.noisy)

    @torch.no_grad()
    def psnr(self, network: ModulatedUNet) -> dict[str, float]:
        """Mean PSNR of the denoised images of each band, in dB."""
        # One at a time: what a forward pass keeps stays in the cache.
        denoised = [
            network(x[None], m[None])
            for x, m in zip(self.noisy, self.metadata, strict=True)
        ]
        return self._by_band(torch.cat(denoised))

    def _by_band(self, images: torch.Tensor) -> dict[str, float]:
        error = images.clamp(0, 1) - self.clean.clamp(0, 1)
        mse = error.square().mean(dim=(1, 2, 3)).clamp(min=SMALLEST_MSE)
        values = (-10 * torch.log10(mse)).tolist()
        by_band: dict[str, list[float]] = {band: [] for band in self.bands}
        for band, value in zip(self.bands, values, strict=True):
            by_band[band].append(value)
        means = {band: float(np.mean(psnrs)) for band, psnrs in by_band.items()}
        return means | {"mean": float(np.mean(list(means.values())))}
