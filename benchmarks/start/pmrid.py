"""PMRID's published network, to compare with; its weights are given as a file.

Wang et al., "Practical Deep Raw Image Denoising on Mobile Devices" (ECCV 2020),
github.com/MegEngine/PMRID, Apache-2.0. Written anew from the paper and the names and
shapes of the weights; nothing of theirs is part of skadl.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.start.prediction import Denoiser
from skadl.noise.noise_level import expected_noise
from skadl.noise.sensors import SensorInfo
from skadl.raw.image import RawImage
from skadl.raw.mosaic import to_common_geometry

_SPAN = 959.0  # counts from black to white of the phone it was trained on
_SCALE = 256.0  # of normalised input
_GAIN = 0.0005995267 * 1600 + 0.00868861  # counts per electron at its ISO 1600
_VARIANCE = 7.11772e-7 * 1600**2 + 6.514934e-4 * 1600 + 0.11492713  # counts squared
_MULTIPLE = 16


def load_pmrid(path: Path) -> Denoiser:
    """Read the published weights and return the denoiser that they make."""
    weights = torch.load(path, map_location="cpu", weights_only=True)

    def denoise(image: RawImage, info: SensorInfo) -> np.ndarray:
        noise = expected_noise(info, image.iso, image.ratio)
        planes = to_common_geometry(image.normalised(), image.cfa)
        x = torch.from_numpy(np.ascontiguousarray(planes))[None]  # (1, 4, h, w)
        # The k-sigma transform: electrons, shifted so that their variance over their
        # mean is that of the phone at ISO 1600, in the phone's counts there.
        shift = noise.read / noise.shot**2 - _VARIANCE / _GAIN**2
        scale = _GAIN / _SPAN * _SCALE
        y = _padded(weights, (x / noise.shot + shift) * scale)
        denoised = (y / scale - shift) * noise.shot
        return to_common_geometry(denoised[0].numpy(), image.cfa)

    return denoise


@torch.no_grad()
def _padded(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Run the network on planes (1, 4, h, w) of any size, mirrored at the border."""
    height, width = x.shape[2:]
    below, right = -height % _MULTIPLE, -width % _MULTIPLE
    mode = "reflect" if max(below, right) < min(height, width) else "replicate"
    y = _network(weights, F.pad(x, (0, right, 0, below), mode=mode))
    return y[:, :, :height, :width]


def _network(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Four strided stages down and four up, with additive skips; predicts a rest."""

    def conv(y: Tensor, name: str, stride: int = 1) -> Tensor:
        """Apply a convolution, or a depthwise and a pointwise one."""
        if f"{name}.conv.weight" in weights:
            kernel = weights[f"{name}.conv.weight"]
            bias = weights[f"{name}.conv.bias"]
            return F.conv2d(y, kernel, bias, stride, kernel.shape[2] // 2)
        kernel = weights[f"{name}.depthwise.weight"]
        y = F.conv2d(y, kernel, None, stride, kernel.shape[2] // 2, groups=len(kernel))
        pointwise = f"{name}.pointwise"
        return F.conv2d(y, weights[f"{pointwise}.weight"], weights[f"{pointwise}.bias"])

    def encode(y: Tensor, stage: str) -> Tensor:
        block = 0
        while f"{stage}.{block}.conv1.depthwise.weight" in weights:
            name, stride = f"{stage}.{block}", 1 if block else 2
            is_projected = f"{name}.proj.depthwise.weight" in weights
            skip = conv(y, f"{name}.proj", stride) if is_projected else y
            z = F.relu(conv(y, f"{name}.conv1", stride))
            y = F.relu(conv(z, f"{name}.conv2") + skip)
            block += 1
        return y

    def refine(y: Tensor, name: str) -> Tensor:
        return y + conv(F.relu(conv(y, f"{name}.conv0")), f"{name}.conv1")

    skips = [F.relu(conv(x, "conv0"))]
    for level in range(1, 5):
        skips.append(encode(skips[-1], f"enc{level}"))
    y = F.relu(conv(skips.pop(), "encdec"))
    for level in range(1, 5):
        y = refine(y, f"dec{level}.decode_conv")
        up = f"dec{level}.upsample"
        y = F.conv_transpose2d(
            y, weights[f"{up}.weight"], weights[f"{up}.bias"], stride=2
        )
        y = y + F.relu(conv(skips.pop(), f"dec{level}.proj_conv"))
    return x + conv(refine(y, "out0"), "out1")
