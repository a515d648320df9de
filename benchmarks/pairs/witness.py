"""Harmful pools judged pair by pair, by what a denoiser makes of each noisy frame.

Pools of simulated pairs in which a third, two thirds or nine tenths are harmful, all in
one way. Today's screening compares the pairs of a pool with one another; the witness,
a network that saw no pair of the camera, judges each by itself.

    python -m benchmarks.pairs.witness
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

import skadl
from benchmarks.pairs.paircheck import FINE, MARGIN, draw_shots
from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from benchmarks.start.harmful_shares import with_denoised_raw, with_iso_doubled
from benchmarks.start.prediction import network_planes
from skadl.datasets import get_camera, make_scenes
from skadl.noise.noise_level import NoiseLevel, noise_level
from skadl.noise.residual import noise_of_pair
from skadl.raw.mosaic import unpack_mosaic
from skadl.raw.pair import RawPair
from skadl.screening import ResidualAnalysis, Screening, analyse_residual, screen
from skadl.screening.witness import judge_pair

SHARES = (1 / 3, 2 / 3, 0.9)
HARMLESS = "ISO label times 2"
KINDS = (
    "half a pixel off",
    "one pixel off",
    "clean frame of another pair",
    "black truth",
    "smoothed truth",
    "exposure 5 % off",
    "moved object",
    "denoised raw",
    HARMLESS,
)
READING = """\
Limits were chosen on seeds 0 to 5; these are others.
Useful: share of the sound pairs of a pool that are kept. Refused: share of the harmful
ones that are called faulty. Means over cameras, light factors and seeds; "lowest" is
the worst camera and seed. A pair's noise is measured on the pair. Costly: harmful pairs
whose clean frame is wrong by more than 1 % of the noise's variance. An ISO label that
is wrong by a factor of two does no harm where noise is measured, so the witness keeps
such pairs. The witness judges with what a pair's residual shows by itself, without the
comparison of noise that needs a majority. Gates that judge a step of training come
after either and are not part of this."""


@click.command(name="witness")
@click.option("--cameras", default="SonyA7S2,CanonEOS70D,OppoReno10x")
@click.option("--seeds", default="6,7,8")
@click.option("--size", default=128, help="Side of mosaics, in pixels.")
@click.option("--pairs", default=20, help="Of a pool.")
@click.option("--network", type=Path, help="Model file; by default the universal.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    cameras: str, seeds: str, size: int, pairs: int, network: Path | None, folder: Path
) -> None:
    """Judge harmful pools with today's screening and with a denoiser as witness."""
    load = os.getloadavg()
    model = skadl.load(network) if network else skadl.load_universal()
    denoise = network_planes(model.module_.cpu())
    rows = [
        row
        for seed in map(int, seeds.split(","))
        for camera in cameras.split(",")
        for row in judge_pools(camera, seed, size, pairs, denoise)
    ]
    found = pd.DataFrame(rows)
    folder.mkdir(parents=True, exist_ok=True)
    found.to_csv(folder / "witness.csv", index=False, float_format="%.4g")
    sections = {"Pools": tabulate(found), "Reading": READING}
    page = folder / "witness.md"
    write_markdown(page, "Harmful pools and a witness", sections, load)
    click.echo(page.read_text(encoding="utf-8"))


def judge_pools(
    name: str, seed: int, size: int, n_pairs: int, denoise: Callable
) -> list[dict]:
    """Spoil pools of one camera in every way and share, and judge every pair."""
    camera = get_camera(name)
    rng = np.random.default_rng([seed, size])
    scenes = make_scenes("mixture", n_pairs, FINE * (size + 2 * MARGIN), seed)
    shots = draw_shots(camera, scenes, size, seed)
    honest = [shot.pair(rng) for shot in shots]
    seen = [analyse_residual(pair) for pair in honest]
    kept = [
        ask(pair, analysis, camera, denoise)
        for pair, analysis in zip(honest, seen, strict=True)
    ]
    rows = []
    for kind in KINDS:
        spoiled, shares = [], []
        for i in range(n_pairs):
            pair, share = spoil(kind, shots, honest, i, rng)
            spoiled.append(pair)
            shares.append(share)
        analyses = [analyse_residual(pair) for pair in spoiled]
        asked = [
            ask(pair, analysis, camera, denoise)
            for pair, analysis in zip(spoiled, analyses, strict=True)
        ]
        for share in SHARES:
            order = rng.permutation(n_pairs)
            bad = set(order[: round(share * n_pairs)].tolist())
            pool = [spoiled[i] if i in bad else honest[i] for i in range(n_pairs)]
            known = [analyses[i] if i in bad else seen[i] for i in range(n_pairs)]
            today = screen(pool, known)
            for i in range(n_pairs):
                witness = asked[i] if i in bad else kept[i]
                rows.append(
                    {
                        "camera": name,
                        "seed": seed,
                        "kind": kind,
                        "share": round(share, 3),
                        "pair": i,
                        "iso": honest[i].iso,
                        "ratio": honest[i].ratio,
                        "is_harmful": i in bad,
                        "wrong": shares[i] if i in bad else 0.0,
                        "today": today[i].is_faulty,
                        "witness": witness.is_faulty,
                        "reason": witness.reason or "",
                    }
                )
    return rows


def ask(
    pair: RawPair, analysis: ResidualAnalysis, camera, denoise: Callable
) -> Screening:
    """Measure a pair's noise, let the network denoise its noisy frame, and judge."""
    noise = noise_of(pair, analysis, camera)
    return judge_pair(pair, denoise(pair.noisy, noise), noise, analysis.screening)


def noise_of(pair: RawPair, analysis: ResidualAnalysis, camera) -> NoiseLevel:
    """Noise measured on the pair; where it shows none, that of the camera."""
    iso = float(np.clip(pair.iso, *camera.iso_range))
    expected = camera.gain_at(iso), camera.read_scale_at(iso) ** 2
    gain, read = noise_of_pair(analysis.curve, *expected)
    return noise_level(gain, read, pair.ratio, pair.noisy.span)


def spoil(
    kind: str, shots: list, honest: list[RawPair], i: int, rng: np.random.Generator
) -> tuple[RawPair, float]:
    """Return a harmful pair, and how wrong its clean frame is, relative to noise."""
    shot, pair = shots[i], honest[i]
    clean, black = pair.clean, shot.camera.black_level
    if kind.endswith("pixel off"):
        strength = 0.5 if kind.startswith("half") else 1.0
        return shot.spoil("misaligned", strength, honest, i, rng)[:2]
    if kind.startswith("clean frame of another"):
        other = shots[(i + 1) % len(shots)].clean
        return replace(pair, clean=clean.with_mosaic(other)), shot.defect(other)
    if kind == "black truth":
        wrong = np.full_like(shot.clean, black)
        return replace(pair, clean=clean.with_mosaic(wrong)), shot.defect(wrong)
    if kind == "smoothed truth":
        planes = gaussian_filter(clean.packed(), (0, 1.0, 1.0))
        wrong = unpack_mosaic(planes, clean.cfa).astype(np.float32)
        return replace(pair, clean=clean.with_mosaic(wrong)), shot.defect(wrong)
    if kind.startswith("exposure"):
        wrong = (black + 1.05 * (shot.clean - black)).astype(np.float32)
        return replace(pair, clean=clean.with_mosaic(wrong)), shot.defect(wrong)
    if kind == "moved object":
        return shot.spoil("motion", shot.size / 8, honest, i, rng)[:2]
    if kind == "denoised raw":
        return with_denoised_raw(pair), np.nan
    return with_iso_doubled(pair), 0.0


def tabulate(found: pd.DataFrame) -> pd.DataFrame:
    """Count useful pairs that are kept and harmful ones refused, by kind and share."""
    rows = []
    for (kind, share), own in found.groupby(["kind", "share"], sort=False):
        good, bad = own[~own.is_harmful], own[own.is_harmful]
        costly = bad[~(bad.wrong < 0.01)]
        pools = good.groupby(["camera", "seed"])
        row = {"harmful": kind, "share": f"{share:.2f}"}
        for judge in ("today", "witness"):
            row[f"useful, {judge}"] = f"{1 - good[judge].mean():.0%}"
            row[f"lowest, {judge}"] = f"{1 - pools[judge].mean().max():.0%}"
            row[f"refused, {judge}"] = f"{bad[judge].mean():.0%}"
            row[f"costly refused, {judge}"] = (
                f"{costly[judge].mean():.0%}" if len(costly) else ""
            )
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
