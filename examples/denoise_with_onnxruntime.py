"""Denoise a RAW file with onnxruntime alone, as an application without torch would.

Export a model for the ISO of the file first::

    import skadl
    denoiser = skadl.load("model.safetensors")
    skadl.export_onnx(denoiser, "iso3200.onnx", "My camera", 3200)

Then ``python denoise_with_onnxruntime.py iso3200.onnx noisy.dng denoised.npy``.
Needs numpy, rawpy, onnx and onnxruntime; skadl and torch are not imported. What
`predict` does beside the network, local means and safeguard, is left out.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import onnxruntime
import rawpy

TILE = 512  # packed pixels


def main(model_path: str, raw_path: str, out_path: str) -> None:
    """Read the RAW file, denoise its mosaic, write counts as a NumPy array."""
    properties = onnx.load(model_path, load_external_data=False).metadata_props
    facts = json.loads({p.key: p.value for p in properties}["skadl"])
    session = onnxruntime.InferenceSession(
        model_path, providers=["CPUExecutionProvider"]
    )
    with rawpy.imread(raw_path) as raw:
        mosaic = raw.raw_image_visible.astype(np.float32)

    height, width = (side - side % 2 for side in mosaic.shape)
    black = np.broadcast_to(np.float32(facts["black_level"]), 4)  # in CFA order
    scale = facts["ratio"] / (facts["white_level"] - black.mean())
    sites = site_of_planes(facts["cfa"])
    counts = np.stack([mosaic[y:height:2, x:width:2] for y, x in sites])
    levels = np.stack([black[2 * y + x] for y, x in sites])[:, None, None]
    planes = (counts - levels) * scale - np.float32(facts["offset"])[:, None, None]

    residual = planes - denoise(session, planes, facts["multiple"], facts["halo"])
    # Noise has no mean: what the network takes out shall have none either.
    residual -= residual.mean(axis=(1, 2), keepdims=True)
    denoised = (planes - residual) / scale + levels
    for (y, x), plane in zip(sites, denoised, strict=True):
        mosaic[y:height:2, x:width:2] = plane
    np.save(out_path, mosaic)


def site_of_planes(cfa: str) -> list[tuple[int, int]]:
    """Return row and column of R, Gr, Gb and B in the 2x2 pattern."""
    red, blue = cfa.index("R"), cfa.index("B")
    in_red_row, in_blue_row = red ^ 1, blue ^ 1
    return [divmod(site, 2) for site in (red, in_red_row, in_blue_row, blue)]


def denoise(
    session: onnxruntime.InferenceSession, planes: np.ndarray, multiple: int, halo: int
) -> np.ndarray:
    """Run the graph over tiles that overlap by `halo`, so that memory is bounded."""
    height, width = planes.shape[1:]
    padding = [(0, 0), *((0, -side % multiple) for side in (height, width))]
    padded = np.pad(planes, padding, mode="reflect")
    result = np.empty_like(padded)
    core = TILE - 2 * halo
    for top in range(0, padded.shape[1], core):
        for left in range(0, padded.shape[2], core):
            y, x = max(top - halo, 0), max(left - halo, 0)
            tile = padded[:, y : top + core + halo, x : left + core + halo]
            tile = session.run(None, {"noisy": np.ascontiguousarray(tile[None])})[0][0]
            inside = tile[:, top - y :, left - x :][:, :core, :core]
            result[:, top : top + core, left : left + core] = inside
    return result[:, :height, :width]


if __name__ == "__main__":
    main(*sys.argv[1:4])
