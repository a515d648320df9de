"""Clean patches to train on: dead leaves, the package's photographs, and others.

Photographs of one's own are given as a folder. Those in `HELD_OUT` are never trained
on: the validation uses some, and the package's test scenes show the astronaut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.transform import resize_local_mean
from torch.nn import functional as F

from skadl.datasets.simulated.scenes import make_scenes, srgb_to_linear
from skadl.raw.mosaic import mosaic_of, pack_mosaic, pattern_at, sample_rgb

HELD_OUT = ("gb82_night", "gb82_flowers", "gb82_haze", "gb82_city")
TEST_ONLY = ("skimage_astronaut",)  # one of the package's own test photographs
SHRINKAGES = (1.0, 1.5, 2.2)
BANK_SIZE = 64  # scenes that the package draws at a time, half of them leaves
BANK_SIDE = 256  # pixels
BANK_STEPS = 1000  # after which new ones are drawn
_PHOTOGRAPH_SHARE = 0.5  # of one's own photographs; the rest comes from the bank
_SMOOTH_SHARE = 0.35  # of patches that are enlarged, as if out of focus
_ENLARGEMENT = (2.0, 12.0)
_EXPOSURE = (0.02, 1.2)  # where bright parts (98 % quantile of green) lie
_NIGHT_EXPOSURE, _NIGHT_SHARE = (0.003, 0.02), 0.1


@dataclass(frozen=True, eq=False)
class Photograph:
    """Linear RGB (H, W, 3), float32, and its 98 % quantile of green."""

    name: str
    rgb: np.ndarray
    bright: float


def read_photograph(path: Path) -> np.ndarray:
    """Read an sRGB file as linear RGB (H, W, 3), float32, in [0, 1]."""
    curve = srgb_to_linear(np.arange(256) / 255).astype(np.float32)
    with Image.open(path) as image:
        return curve[np.asarray(image.convert("RGB"))]


def load_photographs(folder: Path, held_out: bool) -> list[Photograph]:
    """Read the PNG and JPEG files of a folder that are, or are not, held out.

    Training gets each at several sizes, held-out ones come as they are.
    """
    photographs = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            continue
        if (path.stem in HELD_OUT) is not held_out or path.stem in TEST_ONLY:
            continue
        linear = read_photograph(path)
        for shrinkage in (1.0,) if held_out else SHRINKAGES:
            sides = tuple(int(side / shrinkage) for side in linear.shape[:2])
            rgb = resize_local_mean(linear, sides, channel_axis=2).astype(np.float32)
            bright = max(float(np.quantile(rgb[..., 1], 0.98)), 1e-3)
            photographs.append(Photograph(path.stem, rgb, bright))
    return photographs


class SceneSource:
    """Draws clean patches; what a step gets depends on the seed and the step alone."""

    def __init__(
        self, photographs: list[Photograph], seed: int, cfa: str = "RGGB"
    ) -> None:
        self.photographs = photographs
        self.seed, self.cfa = seed, cfa

    def draw(
        self, n_patches: int, side: int, step: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw normalised planes (n, C, side, side), float32; `side` is packed."""
        bank = _bank(self.seed, step // BANK_STEPS)
        side *= mosaic_of(self.cfa).side
        return np.stack([self._patch(bank, side, rng) for _ in range(n_patches)])

    def _patch(
        self, bank: list[Photograph], side: int, rng: np.random.Generator
    ) -> np.ndarray:
        takes_own = bool(self.photographs) and rng.random() < _PHOTOGRAPH_SHARE
        source = self.photographs if takes_own else bank
        scene = source[rng.integers(len(source))]
        smooth = rng.random() < _SMOOTH_SHARE
        factor = np.exp(rng.uniform(*np.log(_ENLARGEMENT))) if smooth else 1.0
        rgb = _crop(scene.rgb, int(np.ceil(side / factor)), rng)
        if factor > 1:
            rgb = enlarge(rgb, side)
        rgb = turn(rgb, *rng.integers(0, 2, 3))
        night = rng.random() < _NIGHT_SHARE
        limits = _NIGHT_EXPOSURE if night else _EXPOSURE
        exposure = np.exp(rng.uniform(*np.log(limits))) / scene.bright
        cfa = self.cfa
        if mosaic_of(cfa).transposed is not None:  # either half of the checkerboard
            cfa = pattern_at(cfa, rng.integers(2), 0)
        return pack(rgb, exposure * draw_balance(rng), cfa)


def draw_balance(rng: np.random.Generator) -> np.ndarray:
    """Draw what a sensor makes of grey: R, G, B (3,); sometimes one colour is faint."""
    balance = np.exp([-rng.uniform(0, 1), 0, -rng.uniform(0, 0.9)])
    if rng.random() < 0.05:
        balance[rng.integers(3)] *= 0.05
    return balance


def pack(rgb: np.ndarray, factors: np.ndarray, cfa: str) -> np.ndarray:
    """Sample RGB (H, W, 3) as planes, (4, H/2, W/2) of Bayer, clipped at white."""
    planes = pack_mosaic(sample_rgb(rgb * factors, cfa), cfa)
    return np.clip(planes, 0, 1).astype(np.float32)


def turn(
    rgb: np.ndarray, mirror_rows: bool, mirror_columns: bool, transpose: bool
) -> np.ndarray:
    """View an image (H, W, 3) under a symmetry of the square."""
    rgb = rgb[::-1] if mirror_rows else rgb
    rgb = rgb[:, ::-1] if mirror_columns else rgb
    return rgb.transpose(1, 0, 2) if transpose else rgb


def enlarge(rgb: np.ndarray, side: int) -> np.ndarray:
    """Enlarge an image (h, w, 3) to (side, side, 3) by cubic interpolation."""
    image = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
    image = F.interpolate(image, size=(side, side), mode="bicubic")
    return image[0].clamp(min=0).permute(1, 2, 0).numpy()


@lru_cache(maxsize=2)
def _bank(seed: int, generation: int) -> list[Photograph]:
    state = np.random.RandomState([seed, generation])
    scenes = make_scenes("mixture", BANK_SIZE, BANK_SIDE, state)
    return [Photograph(scene.name, scene.rgb, _bright(scene.rgb)) for scene in scenes]


def _bright(rgb: np.ndarray) -> float:
    return max(float(np.quantile(rgb[..., 1], 0.98)), 1e-3)


def _crop(rgb: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    height, width = rgb.shape[:2]
    if min(height, width) < side:
        below, right = max(side - height, 0), max(side - width, 0)
        rgb = np.pad(rgb, ((0, below), (0, right), (0, 0)), mode="symmetric")
        height, width = rgb.shape[:2]
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return rgb[top : top + side, left : left + side]
