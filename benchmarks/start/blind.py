"""How far noise estimated from one image lies from the truth.

python -m benchmarks.start.blind [--photographs DIR] [--pairs DIR --figures FILE]

Simulated cameras on the package's scenes, on photographs (sRGB files, which have some
noise of their own), and real sensors whose noise was measured on many frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from benchmarks.real_pairs import load_pairs, read_figures
from benchmarks.start.scenes import read_photograph
from skadl.datasets import camera_names, get_camera, make_domain
from skadl.datasets.simulated.camera_noise import add_camera_noise, expose
from skadl.noise.blind import estimate_noise
from skadl.noise.source import contradicts
from skadl.raw.image import RawImage

_CAMERAS = ("SonyA7S2", "CanonEOS70D", "OppoReno10x")
_ISOS, _RATIOS = (100.0, 800.0, 6400.0), (1.0, 1.0, 4.0, 30.0)
_SMALL = 128  # pixels; smaller frames of a file are put side by side
_HEAD = (
    "| images | number | told | K: median, 90 % | sigma: median, 90 % | sigma within "
    "15 % | within 2 errors: K, read, sigma | truth contradicted |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)

# An image with its true gain and read variance.
Case = tuple[RawImage, float, float]


def simulated(scenes: str, n_images: int, seed: int) -> Iterator[Case]:
    """Photograph the package's scenes with each of its cameras."""
    for name in camera_names():
        pairs = make_domain(name, n_images, size=512, scenes=scenes, random_state=seed)
        for pair in pairs:
            yield pair.noisy, *get_camera(name).noise_at(pair.iso)


def photographs(folder: Path, seed: int) -> Iterator[Case]:
    """Photograph pictures anew with three cameras at drawn ISO and light factor."""
    rng = np.random.default_rng(seed)
    for path in sorted(folder.glob("*.*g")):
        rgb = read_photograph(path)
        for name in _CAMERAS:
            camera = get_camera(name)
            iso, ratio = float(rng.choice(_ISOS)), float(rng.choice(_RATIOS))
            mosaic = add_camera_noise(
                expose(rgb, camera), camera, iso, ratio=ratio, random_state=rng
            )
            levels = camera.black_level, camera.white_level
            image = RawImage(mosaic, camera.cfa, *levels, name, iso, ratio)
            yield image, *camera.noise_at(iso)


def real(folder: Path, figures: Path) -> Iterator[Case]:
    """Take frames of files whose noise is known."""
    for name, (gain, read_variance) in read_figures(figures).items():
        if not (folder / name).exists():
            continue
        frames = [pair.noisy for pair in load_pairs(folder / name, 1.0, 100)]
        first = frames[0]
        if first.mosaic.shape[0] < _SMALL:
            side = int(len(frames) ** 0.5)
            rows = [frames[i * side : (i + 1) * side] for i in range(side)]
            mosaic = np.block([[frame.mosaic for frame in row] for row in rows])
            frames = [first.with_mosaic(mosaic)]
        for frame in frames[:4]:
            yield frame, gain, read_variance


def summarise(name: str, cases: Iterator[Case]) -> str:
    """Write a row of the table."""
    logs, errors, n_cases, n_contradicted = [], [], 0, 0
    for image, gain, read_variance in cases:
        n_cases += 1
        try:
            found = estimate_noise(image)
        except ValueError:
            continue
        truth = gain, read_variance**0.5, (gain * found.signal + read_variance) ** 0.5
        estimate = found.gain, found.read_noise, found.sigma
        logs.append(np.log(np.divide(estimate, truth)))
        errors.append((found.gain_error, found.read_noise_error, found.sigma_error))
        n_contradicted += contradicts(found, truth[2])
    off, inside = np.abs(logs), np.abs(logs) < 2 * np.array(errors)

    def quantiles(column: int) -> str:
        return ", ".join(f"{q:.1%}" for q in np.quantile(off[:, column], (0.5, 0.9)))

    honest = ", ".join(f"{share:.0%}" for share in inside.mean(axis=0))
    return (
        f"| {name} | {n_cases} | {len(logs)} | {quantiles(0)} | {quantiles(2)} | "
        f"{np.mean(off[:, 2] < 0.15):.0%} | {honest} | {n_contradicted} |"
    )


@click.command(help=__doc__)
@click.option("--photographs", "folder", type=click.Path(exists=True, path_type=Path))
@click.option("--pairs", type=click.Path(exists=True, path_type=Path))
@click.option("--figures", type=click.Path(exists=True, path_type=Path))
def main(folder: Path | None, pairs: Path | None, figures: Path | None) -> None:
    """Print the table."""
    click.echo(_HEAD)
    for scenes in ("mixture", "mixture-test"):
        click.echo(summarise(f"simulated, {scenes}", simulated(scenes, 12, 0)))
    if folder is not None:
        for seed in (0, 1, 2):
            click.echo(
                summarise(f"photographs, seed {seed}", photographs(folder, seed))
            )
    if pairs is not None and figures is not None:
        click.echo(summarise("real sensors", real(pairs, figures)))


if __name__ == "__main__":
    main()
