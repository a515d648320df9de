"""The command line: train, cool down, evaluate, export."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pandas as pd
import torch

import skadl
from benchmarks.start.adapt import Adaptation
from benchmarks.start.adapt import run as run_adaptations
from benchmarks.start.adapt import summarise as summarise_fits
from benchmarks.start.classic import CLASSIC, classic_denoiser
from benchmarks.start.compare import compare
from benchmarks.start.evaluate import (
    BENCHMARK_CAMERAS,
    MOST_REAL,
    PHOTOGRAPHS,
    Case,
    benchmark_cases,
    by_ratio,
    harm,
    photograph_cases,
    real_cases,
    score,
    sky_cases,
    tabulate,
)
from benchmarks.start.export import export_checkpoint, export_model
from benchmarks.start.grow import grow
from benchmarks.start.networks import NETWORKS
from benchmarks.start.pmrid import load_pmrid
from benchmarks.start.prediction import Denoiser, leave_noisy, network_denoiser
from benchmarks.start.rough import run as run_rough
from benchmarks.start.rough import summarise as summarise_rough
from benchmarks.start.scenes import SceneSource, load_photographs
from benchmarks.start.shadows import shadow_cases, shadow_means, summarise
from benchmarks.start.tables import to_markdown
from benchmarks.start.training import (
    LOSSES,
    Recipe,
    Training,
    load_network,
    read_checkpoint,
    run,
)
from benchmarks.start.transplant import transplant
from benchmarks.start.validation import ValidationSet, photograph_pairs
from benchmarks.start.xtrans import CAMERAS as XTRANS_CAMERAS
from benchmarks.start.xtrans import DENOISERS, OWN, Trial
from benchmarks.start.xtrans import run as run_trials
from benchmarks.start.xtrans import summarise as summarise_trials
from benchmarks.tables.markdown import describe_processor
from skadl.commands.parameters import read_assignments
from skadl.network.unet import ModulatedUNet
from skadl.raw.mosaic import CFA_PATTERNS, XTRANS_PATTERNS

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
DEFAULT = Recipe()
MOSAICS = [CFA_PATTERNS[0], XTRANS_PATTERNS[0]]


@click.group()
def main() -> None:
    """Train and measure a denoiser that knows noise."""


def _shared(command):
    """Add the options that all trainings have."""
    options = [
        click.option("--photographs", type=FOLDER, required=True),
        click.option("--out", type=FOLDER, required=True, help="For checkpoint, log."),
        click.option("--threads", default=1, show_default=True),
        click.option("--save-every", default=120.0, help="Seconds."),
        click.option("--validate-every", default=500, help="Steps."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@_shared
@click.option("--steps", default=100_000, show_default=True, help="In all.")
@click.option("--network", default=DEFAULT.network, type=click.Choice(list(NETWORKS)))
@click.option("--base-channels", default=DEFAULT.base_channels, show_default=True)
@click.option("--levels", default=DEFAULT.levels, show_default=True)
@click.option("--batch", default=DEFAULT.batch, show_default=True)
@click.option("--side", default=DEFAULT.side, show_default=True)
@click.option("--rate", default=DEFAULT.rate, show_default=True)
@click.option("--loss", default=DEFAULT.loss, type=click.Choice(LOSSES))
@click.option("--precision", default=DEFAULT.precision, show_default=True)
@click.option("--seed", default=DEFAULT.seed, show_default=True)
@click.option("--cfa", default=DEFAULT.cfa, type=click.Choice(MOSAICS))
def train(
    photographs: Path,
    out: Path,
    threads: int,
    save_every: float,
    validate_every: int,
    steps: int,
    **recipe,
) -> None:
    """Train up to --steps in all; go on where the checkpoint in --out stopped."""
    torch.set_num_threads(threads)
    path = out / "checkpoint.pt"
    chosen = Recipe(**recipe)
    training = Training(chosen, _scenes(photographs, chosen))
    if path.exists():
        training.load(path)
        click.echo(f"going on from step {training.step}")
    validation = _validation(photographs, chosen.cfa)
    log = out / "log.csv"
    for row in run(
        training, steps, path, log, save_every, validate_every, validation.psnr
    ):
        click.echo(_line(row))


@main.command()
@_shared
@click.option("--steps", default=2000, show_default=True, help="Of the cool-down.")
def anneal(
    photographs: Path,
    out: Path,
    threads: int,
    save_every: float,
    validate_every: int,
    steps: int,
) -> None:
    """Bring the rate to zero from the checkpoint in --out, which stays as it is."""
    torch.set_num_threads(threads)
    begun, path = out / "checkpoint.pt", out / "annealed.pt"
    recipe = Recipe(**read_checkpoint(begun)["recipe"])
    training = Training(recipe, _scenes(photographs, recipe))
    training.load(begun)
    cooling = (training.step, steps)
    if path.exists() and tuple(read_checkpoint(path)["cooling"]) == cooling:
        training.load(path)
        click.echo(f"going on from step {training.step}")
    training.cooling = cooling
    validation = _validation(photographs, recipe.cfa)
    log = out / "anneal.csv"
    for row in run(
        training, sum(cooling), path, log, save_every, validate_every, validation.psnr
    ):
        click.echo(_line(row))


def _scenes(photographs: Path, recipe: Recipe) -> SceneSource:
    found = load_photographs(photographs, held_out=False)
    return SceneSource(found, recipe.seed, recipe.cfa)


def _validation(photographs: Path, cfa: str) -> ValidationSet:
    held_out = load_photographs(photographs, held_out=True)
    cfa = None if cfa == DEFAULT.cfa else cfa
    validation = ValidationSet.of(photograph_pairs(held_out, cfa))
    click.echo("noisy: " + _line(validation.noisy_psnr()))
    return validation


def _line(row: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:g}" for name, value in row.items())


@main.command()
@click.option("--photographs", type=FOLDER, help="Without it, real pairs alone.")
@click.option(
    "--network",
    "networks",
    type=FILE,
    multiple=True,
    help="Checkpoints, or .safetensors.",
)
@click.option("--pmrid", type=FILE, help="PMRID's torch_pretrained.ckp.")
@click.option(
    "--peer", "peers", type=click.Choice(list(CLASSIC)), multiple=True, default=()
)
@click.option("--pairs", type=FOLDER, help="Real pairs (.npz).")
@click.option("--figures", type=FILE, help="Noise figures of the pairs (.json).")
@click.option(
    "--told",
    type=float,
    multiple=True,
    default=(1.0,),
    help="By what the noise variance that is told is wrong; may be repeated.",
)
@click.option(
    "--collection", "collections", multiple=True, help="Score it alone; repeatable."
)
@click.option("--most", default=MOST_REAL, show_default=True, help="Of a file's pairs.")
@click.option("--out", type=FOLDER, required=True)
@click.option("--threads", default=1, show_default=True)
def evaluate(
    photographs: Path | None,
    networks: tuple[Path, ...],
    pmrid: Path | None,
    peers: tuple[str, ...],
    pairs: Path | None,
    figures: Path | None,
    told: tuple[float, ...],
    collections: tuple[str, ...],
    most: int,
    out: Path,
    threads: int,
) -> None:
    """Score networks and peers; add to scores.csv, write results.md to --out."""
    torch.set_num_threads(threads)
    denoisers: dict[str, Denoiser] = {"noisy": leave_noisy}
    if pmrid is not None:
        denoisers["PMRID"] = load_pmrid(pmrid)
    for peer in peers:
        denoisers[peer] = classic_denoiser(peer)
    for path in networks:
        network = _read(path)
        name = path.stem if path.suffix == ".safetensors" else path.parent.name
        for factor in told:
            note = "" if factor == 1 else f", told {factor:g}"
            for safeguard in (True, False):
                denoiser = network_denoiser(network, safeguard, factor)
                denoisers[name + note + ("" if safeguard else ", no safeguard")] = (
                    denoiser
                )
    cases: Iterator[Case] = iter(())
    if photographs is not None:
        held_out = load_photographs(photographs, held_out=True)
        cases = itertools.chain(benchmark_cases(), photograph_cases(held_out))
    if pairs is not None and figures is not None:
        cases = itertools.chain(cases, real_cases(pairs, figures, most))
    if pairs is not None:
        cases = itertools.chain(cases, sky_cases(pairs, most))
    if collections:
        cases = (case for case in cases if case.collection in collections)
    scores = score(cases, denoisers, out / "scores.csv")
    sections = {}
    for collection in dict.fromkeys(scores["collection"]):
        sections[collection] = tabulate(scores, collection)
        if collection.startswith("benchmark"):
            sections[f"{collection}: by light factor"] = by_ratio(scores, collection)
        if collection == PHOTOGRAPHS:  # whose groups are bands of noise
            by_camera = tabulate(scores, collection, "camera")
            sections[f"{collection}: by camera"] = by_camera
        sections[f"{collection}: harm"] = harm(scores, collection)
    text = to_markdown(sections)
    (out / "results.md").write_text(text, "utf-8")
    click.echo(text)


@main.command()
@click.option("--photographs", type=FOLDER, required=True)
@click.option("--network", "networks", type=FILE, multiple=True)
@click.option("--out", type=FOLDER, required=True)
@click.option("--threads", default=1, show_default=True)
def shadows(
    photographs: Path, networks: tuple[Path, ...], out: Path, threads: int
) -> None:
    """Measure the means of shadows; write shadows.csv and shadows.md to --out."""
    torch.set_num_threads(threads)
    denoisers = {path.parent.name: network_denoiser(_read(path)) for path in networks}
    held_out = load_photographs(photographs, held_out=True)
    means = shadow_means(shadow_cases(held_out), denoisers)
    out.mkdir(parents=True, exist_ok=True)
    means.round(3).to_csv(out / "shadows.csv", index=False)
    collections = dict.fromkeys(means["collection"])
    text = to_markdown({name: summarise(means, name) for name in collections})
    (out / "shadows.md").write_text(text, "utf-8")
    click.echo(text)


def _read(path: Path) -> ModulatedUNet:
    """Read the network of a checkpoint or of a model file."""
    if path.suffix == ".safetensors":
        return skadl.load(path, device="cpu").module_
    return load_network(path)


@main.command()
@click.option("--cameras", default=",".join(BENCHMARK_CAMERAS), show_default=True)
@click.option("--pairs", default="6", show_default=True, help="Commas between.")
@click.option("--pools", default="harm", show_default=True, help="Commas between.")
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option("--rough", is_flag=True, help="Row noise, fixed pattern, clipped blacks.")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE")
@click.option("--out", type=FOLDER, required=True)
@click.option("--threads", default=1, show_default=True)
def adapt(
    cameras: str,
    pairs: str,
    pools: str,
    seeds: str,
    rough: bool,
    assignments: tuple[str, ...],
    out: Path,
    threads: int,
) -> None:
    """Fit from the universal start; add to adapt.csv, write adapt.md to --out."""
    torch.set_num_threads(threads)
    adaptations = [
        Adaptation(camera, int(n), pool, int(seed), rough)
        for seed in seeds.split(",")
        for pool in pools.split(",")
        for n in pairs.split(",")
        for camera in cameras.split(",")
    ]
    path = out / "adapt.csv"
    rows = run_adaptations(adaptations, read_assignments(assignments), path)
    _report(
        rows,
        path,
        "Fits from the start",
        lambda table: summarise_fits(table).set_index("pool"),
        threads,
    )


@main.command("rough")
@click.option("--cameras", default=",".join(BENCHMARK_CAMERAS), show_default=True)
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option("--fits", is_flag=True, help="Fit as well: two fits for each row.")
@click.option("--out", type=FOLDER, required=True)
@click.option("--threads", default=1, show_default=True)
def measure_rough(
    cameras: str, seeds: str, fits: bool, out: Path, threads: int
) -> None:
    """Tell the start more and more of rough cameras; write rough.csv and rough.md."""
    torch.set_num_threads(threads)
    path = out / "rough.csv"
    numbers = [int(seed) for seed in seeds.split(",")]
    rows = run_rough(cameras.split(","), numbers, fits, path)
    _report(rows, path, "Rough cameras", summarise_rough, threads)


def _report(
    rows: Iterator[dict[str, Any]],
    path: Path,
    title: str,
    summarise: Callable[[pd.DataFrame], pd.DataFrame],
    threads: int,
) -> None:
    """Show rows as they come, and summarise their CSV file in a page beside it."""
    for row in rows:
        click.echo("  ".join(f"{k} {_short(v)}" for k, v in row.items()))
    heading = f"{title} ({describe_processor()}, {threads} threads)"
    text = to_markdown({heading: summarise(pd.read_csv(path))})
    path.with_suffix(".md").write_text(text, "utf-8")
    click.echo(text)


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


@main.command()
@click.argument("checkpoint", type=FILE)
@click.argument("path", type=FILE)
def export(checkpoint: Path, path: Path) -> None:
    """Write the model of a CHECKPOINT to PATH, or a smaller checkpoint (.pt)."""
    write = export_checkpoint if path.suffix == ".pt" else export_model
    click.echo(f"{path}: {write(checkpoint, path)} bytes")


@main.command("grow")
@click.argument("checkpoint", type=FILE)
@click.argument("path", type=FILE)
@click.option("--batch", default=4, show_default=True)
@click.option("--side", default=96, show_default=True)
def grow_checkpoint(checkpoint: Path, path: Path, batch: int, side: int) -> None:
    """Write to PATH the "pyramid" that goes on from a "local" CHECKPOINT."""
    grow(checkpoint, path, batch, side)


@main.command("xtrans")
@click.option("--cameras", default=",".join(XTRANS_CAMERAS), show_default=True)
@click.option("--mosaics", default=f"{OWN},{MOSAICS[-1]}", show_default=True)
@click.option("--denoisers", default=",".join(DENOISERS), show_default=True)
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option("--out", type=FOLDER, required=True)
@click.option("--threads", default=1, show_default=True)
def measure_xtrans(
    cameras: str, mosaics: str, denoisers: str, seeds: str, out: Path, threads: int
) -> None:
    """Fit on six pairs; add to xtrans.csv, write xtrans.md to --out."""
    torch.set_num_threads(threads)
    trials = [
        Trial(camera, mosaic, denoiser, int(seed))
        for seed in seeds.split(",")
        for denoiser in denoisers.split(",")
        for camera in cameras.split(",")
        for mosaic in mosaics.split(",")
    ]
    path = out / "xtrans.csv"
    _report(
        run_trials(trials, path),
        path,
        "Fits on six pairs",
        lambda table: summarise_trials(table).set_index("camera"),
        threads,
    )


@main.command("transplant")
@click.argument("model", type=FILE)
@click.argument("path", type=FILE)
@click.option("--cfa", default=MOSAICS[-1], type=click.Choice(MOSAICS))
@click.option("--batch", default=4, show_default=True)
@click.option("--side", default=64, show_default=True)
@click.option("--rate", default=1e-3, show_default=True)
def transplant_model(
    model: Path, path: Path, cfa: str, batch: int, side: int, rate: float
) -> None:
    """Write to PATH a checkpoint of another mosaic that goes on from a MODEL."""
    transplant(model, path, cfa=cfa, batch=batch, side=side, rate=rate)


@main.command("compare")
@click.argument("runs", type=FOLDER, nargs=-1)
@click.option("--out", type=FOLDER, required=True)
def compare_runs(runs: tuple[Path, ...], out: Path) -> None:
    """Collect the logs of RUNS as experiments.csv and experiments.md."""
    table = compare(runs)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "experiments.csv")
    heading = f"What was tried ({describe_processor()}, torch {torch.__version__})"
    text = to_markdown({heading: table})
    (out / "experiments.md").write_text(text, "utf-8")
    click.echo(text)
