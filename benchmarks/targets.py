"""What adaptive domain learning is worth on new sensors, against plainer trainings.

Every training of a target takes the same number of steps and is measured on the same
unseen scenes. Each finished run is appended to a CSV at once, and a run that is there
already is skipped: start the same command again to go on, or only to tabulate.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from result_files import DEFAULT_FOLDER, write_markdown
from target_log import Run, append, finished_runs, keys_of, read_runs
from target_tables import (
    NO_POOL,
    READING,
    TOLERANCE,
    describe_bars,
    tabulate_methods,
)

from skadl import ADLDenoiser, RawPair, SourcePool, psnr
from skadl.datasets import (
    get_camera,
    make_domain,
    make_harmful_noise,
    make_harmful_truth,
)

CAMERAS = ("SonyA7S2", "NikonD850", "CanonEOS5D4", "CanonEOS70D", "OppoReno10x")
HARMFUL = ("harmful noise", "harmful truth")
POOLS = ("clean", "harm")  # four other cameras; these and the harmful sets
METHODS = ("target-only", "fine-tune", "adl", "adl-queue", "adl-paired", "joint")
TEST_RATIOS = (1, 1, 3, 10, 30, 100)
TEST_SEED = 4242


@click.command(name="targets")
@click.option(
    "--targets",
    default="SonyA7S2,CanonEOS70D,NikonD850",
    help="Cameras, with commas between.",
)
@click.option("--seeds", default="0,1,2")
@click.option("--pool", "pools", default="clean,harm")
@click.option(
    "--methods",
    default="target-only,fine-tune,adl",
    help=f"Of {', '.join(METHODS)}.",
)
@click.option("--jobs", default=1, help="Runs at a time.")
@click.option("--threads", default=1, help="Of each run.")
@click.option("--target-pairs", default=20)
@click.option("--source-pairs", default=60, help="Of each domain.")
@click.option("--test-pairs", default=24)
@click.option("--size", default=256, help="Side of the mosaics, in pixels.")
@click.option(
    "--set",
    "parameters",
    multiple=True,
    help="Parameter of ADLDenoiser for all methods, as in n_iter=500.",
)
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    targets: str,
    seeds: str,
    pools: str,
    methods: str,
    jobs: int,
    threads: int,
    target_pairs: int,
    source_pairs: int,
    test_pairs: int,
    size: int,
    parameters: Sequence[str],
    folder: Path,
) -> None:
    """Compare trainings on simulated target sensors."""
    load = os.getloadavg()
    settings = {
        "target_pairs": target_pairs,
        "source_pairs": source_pairs,
        "test_pairs": test_pairs,
        "size": size,
        "parameters": resolve_parameters(parameters),
    }
    runs = list_runs(
        targets.split(","),
        [int(seed) for seed in seeds.split(",")],
        check_names(pools.split(","), POOLS),
        check_names(methods.split(","), METHODS),
        digest(settings),
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "targets.csv"
    missing = [run for run in runs if astuple(run) not in finished_runs(path)]
    click.echo(f"{len(runs) - len(missing)} runs are there, {len(missing)} to go")
    measured = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(measure)(run, settings, threads) for run in missing
    )
    for summary, images in measured:
        # The run's own row last: without it, its images do not count.
        append(folder / "targets_images.csv", images)
        append(path, pd.DataFrame([summary]))
        click.echo(
            "{target} {seed} {pool} {method}: {psnr:.2f} dB, gain {gain:+.2f}, worst "
            "image {worst_gain:+.2f}, {seconds:.0f} s".format(**summary)
        )
    wanted = {astuple(run) for run in runs}
    results = read_runs(path)
    results = results[[key in wanted for key in keys_of(results)]]
    write_markdown(
        folder / "targets.md",
        "New sensors: ADL against plainer trainings",
        {
            "Bars": describe_bars(results),
            "Methods": tabulate_methods(results),
            "Reading": READING,
            f"Settings {digest(settings)}": f"`{json.dumps(settings)}`",
        },
        load,
    )
    click.echo((folder / "targets.md").read_text(encoding="utf-8"))


def list_runs(
    targets: Sequence[str],
    seeds: Sequence[int],
    pools: Sequence[str],
    methods: Sequence[str],
    settings: str,
) -> list[Run]:
    """List all runs once; a method that takes no sources has no pool."""
    runs = [
        Run(
            target, seed, NO_POOL if method == "target-only" else pool, method, settings
        )
        for seed in seeds
        for target in targets
        for pool in pools
        for method in methods
    ]
    return list(dict.fromkeys(runs))


def measure(
    run: Run, settings: Mapping[str, Any], n_threads: int
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train once and measure on the test images.

    Parameters
    ----------
    run : Run
    settings : mapping
        Sizes of the data, and parameters.
    n_threads : int

    Returns
    -------
    summary : dict
        One row.
    images : DataFrame
        One row for each test image.
    """
    target, sources, test = simulate(run, settings)
    estimator = make_estimator(run, settings["parameters"])
    start = time.perf_counter()
    with limited_threads(n_threads):
        estimator.fit(target, sources)
        seconds = time.perf_counter() - start
        scores = np.array([estimator.score([pair]) for pair in test])
    noisy = np.array([noisy_psnr(pair) for pair in test])
    key = vars(run)
    summary = key | {
        "n_steps": estimator.n_iter_,
        "noisy": noisy.mean(),
        "psnr": scores.mean(),
        "gain": (scores - noisy).mean(),
        "worst_gain": (scores - noisy).min(),
        "n_worse": int((scores - noisy < -TOLERANCE).sum()),
        **acceptance(estimator),
        "seconds": seconds,
    }
    images = pd.DataFrame(
        {
            "image": np.arange(len(test)),
            "scene": [pair.scene for pair in test],
            "iso": [pair.iso for pair in test],
            "ratio": [pair.ratio for pair in test],
            "noisy": noisy,
            "psnr": scores,
        }
    )
    return summary, images.assign(**key)[[*key, *images]]


def simulate(
    run: Run, settings: Mapping[str, Any]
) -> tuple[list[RawPair], SourcePool | None, list[RawPair]]:
    """Photograph the pairs of a run.

    Parameters
    ----------
    run : Run
    settings : mapping
        Sizes.

    Returns
    -------
    target : list of RawPair
        Their ISO spans the camera's range, so no test image lies outside.
    sources : SourcePool or None
    test : list of RawPair
        The same for every seed.
    """
    others = [name for name in CAMERAS if name != run.target][:4]
    rng = np.random.RandomState(run.seed)
    each = {"size": settings["size"], "random_state": rng}
    n_target, n_source = settings["target_pairs"], settings["source_pairs"]
    target = make_domain(
        run.target, n_target, iso=spread_isos(run.target, n_target), **each
    )
    domains = {}
    if run.pool != NO_POOL:
        domains |= {name: make_domain(name, n_source, **each) for name in others}
    if run.pool == "harm":
        makers = (make_harmful_noise, make_harmful_truth)
        for name, make, camera in zip(HARMFUL, makers, others, strict=False):
            domains[name] = make(n_source, camera=camera, **each)
    n_test = settings["test_pairs"]
    test_rng = np.random.RandomState(TEST_SEED)
    test = make_domain(
        run.target,
        n_test,
        size=settings["size"],
        iso=test_rng.permutation(spread_isos(run.target, n_test)).tolist(),
        ratio=np.resize(TEST_RATIOS, n_test).tolist(),
        scenes="mixture-test",
        random_state=test_rng,
    )
    return target, SourcePool(domains) if domains else None, test


def spread_isos(camera: str, n_pairs: int) -> list[float]:
    """Spread ISOs over the range of a camera, evenly on a logarithmic scale."""
    low, high = get_camera(camera).iso_range
    return np.geomspace(low, high, n_pairs).round().clip(low, high).tolist()


def make_estimator(run: Run, parameters: Mapping[str, Any]) -> ADLDenoiser:
    """Build the estimator of a run.

    Parameters
    ----------
    run : Run
    parameters : mapping
        Other than the defaults, for every method.

    Returns
    -------
    ADLDenoiser
        Every method takes as many steps, and as many of them in fine-tuning.
    """
    estimator = ADLDenoiser(**parameters, random_state=run.seed)
    before_finetuning = estimator.n_pretrain_iter + estimator.n_iter
    changes = {
        "target-only": {"n_pretrain_iter": before_finetuning, "n_iter": 0},
        "fine-tune": {
            "gate": "none",
            "source_share": 1.0,
            "n_pretrain_iter": 0,
            "n_iter": before_finetuning,
        },
        "adl": {},
        "adl-queue": {"gate": "queue"},
        "adl-paired": {"gate": "paired"},
        "joint": {"gate": "none"},
    }
    return estimator.set_params(**changes[run.method])


def noisy_psnr(pair: RawPair) -> float:
    """PSNR of the noisy input, as `ADLDenoiser.score` computes it."""
    noisy, clean = (
        np.clip(image.normalised(), 0, 1) for image in (pair.noisy, pair.clean)
    )
    return psnr(noisy, clean)


def acceptance(estimator: ADLDenoiser) -> dict[str, float]:
    """Share of batches accepted, of other cameras and of harmful sets; NaN if none."""
    shares = {}
    domains = estimator.selection_report_.by_domain()
    for name, is_harmful in (("accepted", False), ("accepted_harmful", True)):
        members = [d for d in domains if (d.domain in HARMFUL) == is_harmful]
        offered = sum(domain.offered for domain in members)
        accepted = sum(domain.accepted for domain in members)
        shares[name] = accepted / offered if offered else np.nan
    return shares


@contextmanager
def limited_threads(n_threads: int) -> Iterator[None]:
    """Let torch compute with so many threads, then with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resolve_parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Return all parameters of ADLDenoiser, some of them given as ``name=value``."""
    given = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            given[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            given[name] = value  # a string
    parameters = ADLDenoiser(**given).get_params()
    del parameters["random_state"], parameters["verbose"]
    return parameters


def digest(settings: Mapping[str, Any]) -> str:
    """Return a short name for settings."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def check_names(names: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    """Return the names, or say which one is unknown."""
    for name in names:
        if name not in known:
            raise click.BadParameter(f"got {name!r}; known are {', '.join(known)}.")
    return names


if __name__ == "__main__":
    main()
