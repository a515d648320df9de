"""What 8 bits cost: the network that comes with skadl in float32 and in int8.

On simulated frames of four megapixels, of scenes that no training saw. Needs openvino.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd

import skadl
from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from skadl.datasets import camera_info, make_domain
from skadl.evaluation.metrics import clipped_psnr

CAMERAS = ("CanonEOS70D", "NikonD850", "SonyA7S2")
SCENES = "mixture-test"
READING = (
    "PSNR in dB, as in `ADLDenoiser.score`, mean over the images, which get the true "
    "noise of their camera. `lost`: float32 minus int8. ISOs and light factors are "
    "drawn at random."
)


@click.command(name="eight_bits")
@click.option("--images", default=16, help="Of each camera.")
@click.option(
    "--size",
    default=2048,
    help="Sides of a frame, in pixels; smaller tiles are not in 8 bits.",
)
@click.option("--camera", "cameras", multiple=True, default=CAMERAS)
@click.option("--seed", default=0)
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    images: int, size: int, cameras: Sequence[str], seed: int, folder: Path
) -> None:
    """Compare the two precisions."""
    load = os.getloadavg()
    model = skadl.load_universal()
    rows = [
        {"camera": camera, **compare(model, camera, pair)}
        for camera in cameras
        for pair in make_domain(
            camera, images, size=size, scenes=SCENES, random_state=seed
        )
    ]
    measured = pd.DataFrame(rows)
    folder.mkdir(parents=True, exist_ok=True)
    measured.to_csv(folder / "eight-bits.csv", index=False, float_format="%.4f")
    sections = {"PSNR": tabulate(measured), "Reading": READING}
    write_markdown(folder / "eight-bits.md", "What 8 bits cost", sections, load)
    click.echo((folder / "eight-bits.md").read_text(encoding="utf-8"))


def compare(
    model: skadl.ADLDenoiser, camera: str, pair: skadl.RawPair
) -> dict[str, float]:
    """PSNR of one frame in either precision."""
    clean, info = pair.clean.normalised(), camera_info(camera)
    scores = {}
    for precision in ("float32", "int8"):
        denoised = model.predict(
            pair.noisy, sensor=info, precision=precision, dtype=np.float32
        )
        scores[precision] = clipped_psnr(denoised.normalised(), clean)
    return scores


def tabulate(measured: pd.DataFrame) -> pd.DataFrame:
    """Means for each camera and for all, and the most that an image lost."""
    measured = measured.assign(lost=measured.float32 - measured.int8)
    rows = []
    for camera, own in [*measured.groupby("camera"), ("all", measured)]:
        rows.append(
            {
                "camera": camera,
                "images": len(own),
                "float32": f"{own.float32.mean():.2f}",
                "int8": f"{own.int8.mean():.2f}",
                "lost": f"{own.lost.mean():.3f}",
                "most lost": f"{own.lost.max():.3f}",
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
