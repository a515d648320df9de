"""How long what people do with skadl takes: the times that the pages may quote.

Each command runs in a process of its own, as people start it, on simulated pairs and
photographs. A command may hold a core for itself or share it with others: processor
time tells what it cost, wall-clock time what one waited on this machine that day.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pandas as pd

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from skadl import write_dng
from skadl.datasets import make_domain
from skadl.raw.image import RawImage

CAMERA = "CanonEOS70D"
ISO = 1600
METADATA = ["--iso", ISO, "--ratio", 1]  # the files do not tell
READING = """\
`waited` is wall-clock time and `processor` that of all threads together, both with the
start of Python. Where others were at work, see the load, one waits longer than on a
machine of one's own; half of the processor time is a fair guess of the least on two
cores. A fit is one of the default length, from the network that comes with skadl; of
a shorter one the steps are timed, and the line `fit` is preparation and so many steps.
Photographs are noise: what is in them changes no time."""


@click.command(name="times")
@click.option("--pairs", default=6, help="Of a folder.")
@click.option("--size", default=384, help="Sides of their frames, in pixels.")
@click.option("--megapixels", type=float, multiple=True, default=[24.0])
@click.option("--photographs", default=3)
@click.option("--steps", default=100, help="Of the timed fit; 1100 is a whole one.")
@click.option("--demo/--no-demo", "shows_demo", default=False)
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    pairs: int,
    size: int,
    megapixels: Sequence[float],
    photographs: int,
    steps: int,
    shows_demo: bool,
    folder: Path,
) -> None:
    """Time commands of skadl on simulated files."""
    load = os.getloadavg()
    with tempfile.TemporaryDirectory() as scratch:
        times = time_commands(
            Path(scratch), pairs, size, megapixels, photographs, steps, shows_demo
        )
    folder.mkdir(parents=True, exist_ok=True)
    times.to_csv(folder / "times.csv", index=False, float_format="%.2f")
    sections = {"Seconds": tabulate(times), "Reading": READING}
    write_markdown(folder / "times.md", "Times", sections, load)
    click.echo((folder / "times.md").read_text(encoding="utf-8"))


def time_commands(
    scratch: Path,
    n_pairs: int,
    size: int,
    megapixels: Sequence[float],
    n_photographs: int,
    n_steps: int,
    shows_demo: bool,
) -> pd.DataFrame:
    """Write files, and time each command on them."""
    pairs = scratch / "pairs"
    write_pairs(pairs, n_pairs, size)
    of_pairs = f"{n_pairs} pairs of {size}x{size}"
    rows = [
        run("start: skadl --version", ["--version"]),
        run(f"check {of_pairs}", ["check", pairs, *METADATA], finds_faults=True),
    ]
    fits = []
    for n_iter in (0, n_steps):
        words = [*METADATA, "--iterations", n_iter, "--set", "n_finetune_iter=0"]
        model = scratch / f"{n_iter}.safetensors"
        what = f"fit of {n_iter} steps, {of_pairs}, simulated sources"
        words = ["fit", pairs, "--simulated-sources", "--out", model, *words]
        fits.append(run(what, words))
    rows += fits
    whole = dict.fromkeys(("what", "waited", "processor"))
    whole["what"] = f"fit of 1100 steps, {of_pairs}: reckoned from the two above"
    for kind in ("waited", "processor"):
        step = (fits[1][kind] - fits[0][kind]) / n_steps
        # Where others were at work, the longer fit may have waited less.
        whole[kind] = fits[0][kind] + 1100 * step if step > 0 else np.nan
    rows.append(whole)
    for size_in_mp in megapixels:
        photos = scratch / f"photos{size_in_mp:g}"
        write_photographs(photos, n_photographs, size_in_mp)
        what = f"denoise {n_photographs} photographs of {size_in_mp:g} megapixels"
        out = scratch / f"denoised{size_in_mp:g}"
        rows.append(run(what, ["denoise", photos, "--out", out, "--iso", ISO]))
    if shows_demo:
        rows.append(run("demo", ["demo", "--out", scratch / "demo"]))
    return pd.DataFrame(rows)


def run(
    what: str, words: Sequence[object], finds_faults: bool = False
) -> dict[str, object]:
    """Run one command, and say what time it took.

    One that `finds_faults` says so by its exit code as well.
    """
    command = [sys.executable, "-m", "skadl", *map(str, words)]
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(command, capture_output=True, text=True)
    after = os.times()
    if done.returncode > finds_faults:
        raise click.ClickException(f"{what}: {done.stderr}")
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    return {
        "what": what,
        "waited": time.perf_counter() - start,
        "processor": used,
    }


def write_pairs(folder: Path, n_pairs: int, size: int) -> None:
    """Write simulated pairs as DNG files, the folders noisy and clean."""
    for kind in ("noisy", "clean"):
        (folder / kind).mkdir(parents=True)
    pairs = make_domain(CAMERA, n_pairs, size=size, iso=ISO, ratio=1, random_state=0)
    for number, pair in enumerate(pairs):
        for kind in ("noisy", "clean"):
            image = as_counts(getattr(pair, kind), 1)
            write_dng(folder / kind / f"{number}.dng", image)


def write_photographs(folder: Path, n_photographs: int, megapixels: float) -> None:
    """Write photographs as DNG files: a small simulated one, again and again."""
    folder.mkdir()
    size = 256
    pairs = make_domain(
        CAMERA, n_photographs, size=size, iso=ISO, ratio=1, random_state=1
    )
    n_tiles = max(round((megapixels * 1e6) ** 0.5 / size), 1)
    for number, pair in enumerate(pairs):
        write_dng(folder / f"{number}.dng", as_counts(pair.noisy, n_tiles))


def as_counts(image: RawImage, n_tiles: int) -> RawImage:
    """Return an image in whole counts, repeated in both directions."""
    counts = np.rint(image.mosaic).clip(0).astype(np.uint16)
    return replace(image, mosaic=np.tile(counts, (n_tiles, n_tiles)))


def tabulate(times: pd.DataFrame) -> pd.DataFrame:
    """Turn seconds into text."""
    table = times.copy()
    for kind in ("waited", "processor"):
        table[kind] = times[kind].map("{:.1f}".format).replace("nan", "")
    return table


if __name__ == "__main__":
    main()
