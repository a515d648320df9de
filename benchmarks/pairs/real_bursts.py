"""Fit on real bursts of one night, denoise another: sky noise and level before, after.

A burst is an ``.npz`` with `noisy` (n, H, W) uint16, `clean` (H, W) the mean of
`n_averaged` (H, W) frames among them the noisy ones, `pattern`, `black_level` and
`white_level`. The clean partner of a frame is the mean without it. Sources are
simulated cameras, so nothing of another real sensor is needed.

    python -m benchmarks.pairs.real_bursts --fit s1_galaxy.npz --test s2_galaxy.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from skadl import ADLDenoiser, RawImage, RawPair, SourcePool, write_dng
from skadl.datasets import make_domain
from skadl.raw.mosaic import pack_mosaic

SENSOR, ISO = "burst camera", 800.0  # bursts carry no ISO; one value for all serves
SOURCES = ("SonyA7S2", "NikonD850", "CanonEOS5D4", "OppoReno10x")
RATIO = 30.0  # lifts the faint sky to the brightness that the sources are shown at
SKY_QUANTILE = 0.95  # stars are misaligned by up to a pixel: judge the sky


def read_burst(path: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    """Frames (n, H, W), their leave-one-out means, and the facts of `RawImage`."""
    with np.load(path) as burst:
        noisy, n_averaged = burst["noisy"], burst["n_averaged"].astype(float)
        total = n_averaged * burst["clean"]
        others = (total - noisy) / np.maximum(n_averaged - 1, 1)
        facts = dict(
            cfa=str(burst["pattern"]),
            black_level=float(burst["black_level"]),
            white_level=float(burst["white_level"]),
            sensor=SENSOR,
            iso=ISO,
            ratio=RATIO,
        )
    return noisy, others.astype(np.float32), facts


def tile_pairs(path: Path, n_pairs: int, side: int) -> list[RawPair]:
    """Cut the burst into pairs of tiles; the scene of a pair is its place."""
    noisy, clean, facts = read_burst(path)
    places = [
        (top, left)
        for top in range(0, noisy.shape[1] - side + 1, side)
        for left in range(0, noisy.shape[2] - side + 1, side)
    ]
    pairs = [
        RawPair(
            RawImage(noisy[i, top : top + side, left : left + side], **facts),
            RawImage(clean[i, top : top + side, left : left + side], **facts),
            scene=f"{path.stem} {top},{left}",
        )
        for i in range(len(noisy))
        for top, left in places
    ]
    order = np.random.RandomState(0).permutation(len(pairs))
    return [pairs[i] for i in order[:n_pairs]]


def sky_figures(
    path: Path, denoiser: ADLDenoiser, out: Path | None
) -> dict[str, float]:
    """Noise and bias of the sky over all frames of a burst, in counts."""
    noisy, clean, facts = read_burst(path)
    before, after, signal = [], [], []
    for i, (frame, truth) in enumerate(zip(noisy, clean, strict=True)):
        image = RawImage(frame.astype(np.float32), **facts)
        denoised = denoiser.predict(image)
        # Borders that registration left empty are no sky.
        valid = (truth > 0.5 * np.median(truth)) & (frame > facts["black_level"])
        sky = valid & (truth < np.quantile(truth[valid], SKY_QUANTILE))
        before.append((frame - truth)[sky])
        after.append((denoised.mosaic - truth)[sky])
        signal.append((truth - facts["black_level"])[sky])
        if out is not None and i == 0:
            write_dng(out / f"{path.stem}_noisy.dng", image)
            write_dng(out / f"{path.stem}_denoised.dng", denoised)
            greens = pack_mosaic(frame.astype(np.float32), facts["cfa"])[1:3].mean()
            greens -= pack_mosaic(denoised.mosaic, facts["cfa"])[1:3].mean()
            assert abs(greens) < 10, "green level moved"
    before, after, signal = map(np.concatenate, (before, after, signal))
    return {
        "sky noise before": before.std(),
        "sky noise after": after.std(),
        "sky signal above black": signal.mean(),
        "bias before, % of signal": 100 * before.mean() / signal.mean(),
        "bias after, % of signal": 100 * after.mean() / signal.mean(),
        "level change, % of signal": 100
        * (after.mean() - before.mean())
        / signal.mean(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", type=Path, required=True, help="burst to fit on")
    parser.add_argument("--test", type=Path, nargs="+", required=True, help="bursts")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--side", type=int, default=256, help="of a tile, in pixels")
    parser.add_argument("--out", type=Path, help="folder for DNGs of the first frames")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
    sources = {
        name: make_domain(name, 40, size=256, random_state=arguments.seed + 1 + i)
        for i, name in enumerate(SOURCES)
    }
    denoiser = ADLDenoiser(random_state=arguments.seed, verbose=1)
    pairs = tile_pairs(arguments.fit, arguments.pairs, arguments.side)
    denoiser.fit(pairs, source_pairs=SourcePool(sources))
    print(denoiser.selection_report_.summary())
    gain, read_variance = denoiser.sensors_.get(SENSOR).noise_at(ISO)
    print(f"measured gain {gain:.2f} counts/e-, read noise {read_variance**0.5:.1f}")
    for path in arguments.test:
        print(path.stem)
        for name, value in sky_figures(path, denoiser, arguments.out).items():
            print(f"  {name:28s} {value:10.3f}")


if __name__ == "__main__":
    main()
