"""Make the pictures of ``docs/pictures.rst`` and of the front page.

    python docs/pictures/rose.py

``nikon-rose.npz`` is a crop of a RAW file from https://github.com/mushfiqulalam/isp
(images/DSC_1339_768x512_rggb.raw; its MIT licence is in ``nikon-rose-LICENSE``). A part
of its light is drawn again, which gives strong noise; what the camera wrote is shown
beside it. Needs the extra ``bm3d``.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from skadl.baselines import BM3D
from skimage.io import imsave

import skadl
from skadl import RawImage, psnr
from skadl.noise.source import find_noise
from skadl.plots import Display, render

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "benchmarks" / "results" / "photograph.md"
BLACK, WHITE = 600, 16383
LESS_LIGHT = 40
GAIN, READ_NOISE = 0.42, 2.5  # counts per electron, counts; the gain is the file's own
DISPLAY = Display(2.2, (1.75, 1.0, 1.35))
CROPS = {"petals": (10, 148), "leaf": (0, 0)}  # top, left, in blocks of 2x2
SIDE = 138
TIMES = 3  # as large
NAMES = {"noisy": "noisy", "bm3d": "BM3D", "skadl": "skadl"}


def photograph() -> tuple[RawImage, RawImage]:
    """Return the frame as the camera wrote it, and one of a fortieth of its light."""
    with np.load(HERE / "nikon-rose.npz") as file:
        counts = file["mosaic"]
    electrons = (counts.astype(float) - BLACK).clip(0) / GAIN / LESS_LIGHT
    rng = np.random.default_rng(0)
    dark = GAIN * rng.poisson(electrons) + rng.normal(0, READ_NOISE, counts.shape)
    facts = {"cfa": "RGGB", "black_level": BLACK, "white_level": WHITE, "iso": 100}
    facts["sensor"] = "a Nikon DSLR"
    dark = np.rint(dark + BLACK).astype(np.uint16)
    return RawImage(counts, **facts), RawImage(dark, ratio=LESS_LIGHT, **facts)


def main() -> None:
    """Denoise, write the crops, and say how near the frame of the camera each comes."""
    shot, noisy = photograph()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the noise was estimated
        images = {
            "noisy": noisy,
            "bm3d": BM3D().predict(noisy, dtype=np.float32),
            "skadl": skadl.load_universal().predict(noisy, dtype=np.float32),
            "shot": shot,
        }
    for crop, (top, left) in CROPS.items():
        rows, columns = slice(top, top + SIDE), slice(left, left + SIDE)
        for name, image in images.items():
            picture = render(image.normalised()[:, rows, columns], display=DISPLAY)
            picture = picture.repeat(TIMES, axis=0).repeat(TIMES, axis=1)
            imsave(HERE / f"{crop}-{name}.png", picture, check_contrast=False)
    row = np.concatenate(
        [
            render(images[name].normalised()[:, 10:148, 148:286], display=DISPLAY)
            for name in NAMES
        ],
        axis=1,
    )
    imsave(HERE / "petals.png", row.repeat(2, axis=0).repeat(2, axis=1))
    lines = ["# A rose in a fortieth of its light", "", "## PSNR", ""]
    lines += ["| image | PSNR, dB |", "| --- | --- |"]
    truth = shot.normalised().clip(0, 1)
    for name, label in NAMES.items():
        score = psnr(images[name].normalised().clip(0, 1), truth)
        lines.append(f"| {label} | {score:.2f} |")
    lines += ["", f"Both were told: {find_noise(noisy).sentence}.", ""]
    lines += ["The frame that the camera wrote has noise of its own.", ""]
    lines += ["Command: `python docs/pictures/rose.py`", ""]
    RESULTS.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
