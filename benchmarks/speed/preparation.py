"""What comes before the first training step, and what a check of pairs takes.

Simulated pairs of every camera, in as many domains as are asked for. A fit looks at
each pair: it measures the noise, and what begins at a trained network asks that what
the pair shows. The time is from the call of `fit` to the first step. `check_pairs` is
timed with and without the denoiser, and `skadl check` with the start of Python.

    python -m benchmarks.speed.preparation
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pandas as pd
from joblib.externals.loky import get_reusable_executor

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from skadl import ADLDenoiser, SourcePool, check_pairs, write_dng
from skadl.commands.check import universal_denoiser
from skadl.datasets import camera_names, make_domain
from skadl.estimators.fitting import begin_fit
from skadl.estimators.start import find_start
from skadl.raw.pair import RawPair

N_TARGET = 6
N_SCENES = 10  # drawn for each camera; others are these, moved
CHECKED = 6, 384  # pairs, and their side in pixels
READING = """\
CPU is the processor time of this process and of those that it started, wall the time
that passed; on a busy machine only the former means much. A pool that is larger than
the draws of a fit is prepared in part, so fewer pairs may be prepared than there are.
Up to 400 re-noised ones are made besides, in the same time. Memory is by how much the
highest use of this process grew while it prepared, the prepared pairs with it."""


@click.command(name="preparation")
@click.option("--pool", "pools", multiple=True, default=["256x400", "64x10000"])
@click.option("--domains", default=50)
@click.option("--start", "starts", multiple=True, default=["random", "universal"])
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(pools: Sequence[str], domains: int, starts: Sequence[str], folder: Path):
    """Time the preparation of pools, as SIDExPAIRS, and a check of pairs."""
    load = os.getloadavg()
    prepared = pd.DataFrame(
        prepare(side, n_pairs, domains, start)
        for side, n_pairs in (map(int, pool.split("x")) for pool in pools)
        for start in starts
    )
    checked = pd.DataFrame(check())
    folder.mkdir(parents=True, exist_ok=True)
    prepared.to_csv(folder / "preparation.csv", index=False, float_format="%.4g")
    checked.to_csv(folder / "preparation-check.csv", index=False, float_format="%.4g")
    sections = {
        "Before the first step": prepared.round(2),
        f"Check of {CHECKED[0]} pairs of {CHECKED[1]} pixels": checked.round(2),
        "Reading": READING,
    }
    page = folder / "preparation.md"
    write_markdown(page, "Preparation and check of pairs", sections, load)
    click.echo(page.read_text(encoding="utf-8"))


def prepare(side: int, n_pairs: int, n_domains: int, start: str) -> dict:
    """Time what a fit of the default length does before its first step."""
    target = make_domain("SonyA7S2", N_TARGET, size=side, random_state=0)
    pool = SourcePool(make_domains(side, n_pairs, n_domains))
    parameters = ADLDenoiser(start=start, random_state=0, device="cpu").get_params()
    memory = peak_gib()
    cpu, wall = cpu_seconds(), time.perf_counter()
    fitting = begin_fit(parameters, find_start(start), target, pool, None)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    n_prepared = N_TARGET + sum(map(len, fitting.domains.values()))
    return {
        "pixels": side,
        "pairs": n_pairs,
        "start": start,
        "prepared": n_prepared,
        "wall s": wall,
        "CPU s": cpu,
        "wall ms a pair": 1e3 * wall / n_prepared,
        "CPU ms a pair": 1e3 * cpu / n_prepared,
        "memory GiB": peak_gib() - memory,
    }


def make_domains(side: int, n_pairs: int, n_domains: int) -> dict[str, list[RawPair]]:
    """Pairs of many sensors, cheaply: a few scenes of each camera, rolled."""
    names = camera_names()
    scenes = {
        name: make_domain(name, N_SCENES, size=side, random_state=1) for name in names
    }
    rng = np.random.default_rng(0)
    domains = {}
    for number in range(n_domains):
        camera = scenes[names[number % len(names)]]
        domains[f"sensor {number}"] = [
            rolled(camera[i % N_SCENES], f"sensor {number}", rng)
            for i in range(n_pairs // n_domains)
        ]
    return domains


def rolled(pair: RawPair, sensor: str, rng: np.random.Generator) -> RawPair:
    """Move both frames of a pair round their border by whole CFA patterns."""
    by = 2 * rng.integers(pair.noisy.mosaic.shape[0] // 2, size=2)
    frames = (
        replace(frame, mosaic=np.roll(frame.mosaic, by, (0, 1)), sensor=sensor)
        for frame in (pair.noisy, pair.clean)
    )
    return RawPair(*frames, pair.scene)


def check() -> Iterator[dict]:
    """Time `check_pairs`, and `skadl check` from the start of Python."""
    n_pairs, side = CHECKED
    pairs = make_domain(
        "NikonD850", n_pairs, size=side, iso=1600, ratio=1.0, random_state=0
    )
    denoiser = universal_denoiser()
    check_pairs(pairs[:1], denoiser=denoiser)  # warms up
    for name, options in (
        ("check_pairs", {}),
        ("check_pairs with the denoiser", {"denoiser": denoiser}),
    ):
        cpu = cpu_seconds()
        check_pairs(pairs, **options)
        yield {"what": name, "CPU s a pair": (cpu_seconds() - cpu) / n_pairs}
    with tempfile.TemporaryDirectory() as folder:
        for index, pair in enumerate(pairs):
            for name in ("noisy", "clean"):
                frame = getattr(pair, name)
                path = Path(folder, name, f"{index}.dng")
                path.parent.mkdir(exist_ok=True)
                counts = np.rint(frame.mosaic).astype(np.uint16)
                write_dng(path, frame.with_mosaic(counts))
        for name, options in (("skadl check --no-denoiser", ["--no-denoiser"]),) + (
            ("skadl check", []),
        ):
            command = [sys.executable, "-m", "skadl", "check", folder, "--ratio", "1"]
            cpu = cpu_seconds()
            subprocess.run(command + options, capture_output=True, check=False)
            yield {"what": name, "CPU s a pair": (cpu_seconds() - cpu) / n_pairs}


def cpu_seconds() -> float:
    """Processor time of this process and of those that it started, which end."""
    get_reusable_executor().shutdown(wait=True)
    own, ended = map(
        resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def peak_gib() -> float:
    """Highest use of memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
