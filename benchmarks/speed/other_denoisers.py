"""Other denoisers, as far as their speed goes."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

PEERS = ("PMRID, float32", "PMRID, bfloat16", "BM3D", "NLM", "wavelet")
PACKAGES = {"BM3D": "bm3d", "wavelet": "pywt"}
INSTALL = {"bm3d": "bm3d", "pywt": "PyWavelets"}
# Packed sides: BM3D takes seconds per megapixel.
SIDES = {"BM3D": 256, "NLM": 512, "wavelet": 1024, "PMRID": 1024}
SIGMA = 0.05


def missing_package(peer: str) -> str | None:
    """Return how to install what a peer needs and is not there."""
    package = PACKAGES.get(peer.split(",")[0])
    if package is None or importlib.util.find_spec(package):
        return None
    return f"{peer} is left out: it needs pip install {INSTALL[package]}."


def time_peer(peer: str, n_rounds: int) -> tuple[float, float]:
    """Return the seconds that a peer takes per megapixel of mosaic, at its best."""
    side = SIDES[peer.split(",")[0]]
    planes = np.random.default_rng(0).random((4, side, side), dtype=np.float32)
    call = _pmrid(planes, peer) if peer.startswith("PMRID") else _classic(planes, peer)
    seconds = []
    for _ in range(n_rounds):
        start = time.perf_counter(), time.process_time()
        call()
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    wall, cpu = np.min(seconds, axis=0) / (4 * side**2 / 1e6)
    return float(wall), float(cpu)


def _classic(planes: np.ndarray, peer: str) -> Callable[[], object]:
    if peer == "BM3D":
        import bm3d

        profile = bm3d.BM3DProfileLC()
        return lambda: [bm3d.bm3d(plane, SIGMA, profile) for plane in planes]
    from skimage.restoration import denoise_nl_means, denoise_wavelet

    if peer == "NLM":
        return lambda: [
            denoise_nl_means(p, h=SIGMA, sigma=SIGMA, fast_mode=True) for p in planes
        ]
    return lambda: [denoise_wavelet(plane, sigma=SIGMA) for plane in planes]


def _pmrid(planes: np.ndarray, peer: str) -> Callable[[], object]:
    network = PMRIDShape().eval().to(memory_format=torch.channels_last)
    x = torch.from_numpy(planes)[None].contiguous(memory_format=torch.channels_last)
    is_low = peer.endswith("bfloat16")

    @torch.no_grad()
    def call() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_low):
            return network(x)

    call()
    return call


class PMRIDShape(nn.Module):
    """A network of PMRID's layers, with random weights: for its speed only.

    Notes
    -----
    Wang et al., "Practical Deep Raw Image Denoising on Mobile Devices" (ECCV 2020),
    section 3.3: a U-Net of depthwise separable 5x5 convolutions, 1.03 M parameters,
    written here from the description of its layers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(4, 16, 3, padding=1), nn.ReLU())
        widths, n_blocks = [16, 64, 128, 256, 512], [2, 2, 4, 4]
        self.encoder = nn.ModuleList(
            nn.Sequential(
                _Down(before, after, 2), *(_Down(after, after, 1) for _ in range(n - 1))
            )
            for before, after, n in zip(widths, widths[1:], n_blocks, strict=False)
        )
        self.middle = nn.Sequential(_separable(512, 64, 3), nn.ReLU())
        outputs = [64, 32, 32, 16]
        self.blocks = nn.ModuleList(_Same(c) for c in [64, *outputs[:-1]])
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 2, stride=2)
            for before, after in zip([64, *outputs], outputs, strict=False)
        )
        self.skips = nn.ModuleList(
            nn.Sequential(_separable(before, after, 3), nn.ReLU())
            for before, after in zip(reversed(widths[:-1]), outputs, strict=True)
        )
        self.last = nn.Sequential(_Same(16), nn.Conv2d(16, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Denoise packed planes (B, 4, h, w) whose sides are multiples of 16."""
        maps = [self.first(x)]
        for stage in self.encoder:
            maps.append(stage(maps[-1]))
        y = self.middle(maps.pop())
        for block, up, skip in zip(self.blocks, self.ups, self.skips, strict=True):
            y = up(block(y)) + skip(maps.pop())
        return x + self.last(y)


class _Down(nn.Module):
    """Two separable 5x5 convolutions with a quarter of the channels in between."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            _separable(before, after // 4, 5, stride),
            nn.ReLU(),
            _separable(after // 4, after, 5),
        )
        is_same = stride == 1 and before == after
        self.bypass = nn.Identity() if is_same else _separable(before, after, 3, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.convs(x) + self.bypass(x))


class _Same(nn.Module):
    """Two separable 3x3 convolutions around which the input is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            _separable(width, width, 3), nn.ReLU(), _separable(width, width, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.convs(x))


def _separable(before: int, after: int, side: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, before, side, stride, side // 2, groups=before, bias=False),
        nn.Conv2d(before, after, 1),
    )
