"""How well harmful pairs inside a good domain are found without any training.

A fifth of a simulated domain is spoiled in one way, then in the next; every pair is
screened beside its peers. The same domains as they are tell the false alarms.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
import pandas as pd
from joblib import Parallel, delayed
from sklearn.metrics import roc_auc_score

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from skadl.datasets import SPOILED_KINDS, camera_names, make_domain, spoil_pairs
from skadl.screening import ResidualAnalysis, analyse_residual, screen
from skadl.screening.screen import FAULTS

HONEST = "none"
IN_TURN = "all in turn"
# First words of a kind to the part of the screening that should give its reason.
PARTS = {
    "misaligned": "misaligned",
    "black": "picture",
    "other": "picture",
    "truths": "picture",
    "ratio": "brightness",
    "iso": "noise",
    "noisy": "exchanged",
}


@click.command(name="screening")
@click.option("--cameras", default=",".join(camera_names()), help="Commas between.")
@click.option("--seeds", default="0,1,2")
@click.option("--sizes", default="128,256", help="Sides of mosaics, in pixels.")
@click.option("--pairs", default=24, help="Of a domain.")
@click.option("--share", default=0.2, help="Part of the pairs that is spoiled.")
@click.option("--jobs", default=1, help="Domains at a time.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    cameras: str,
    seeds: str,
    sizes: str,
    pairs: int,
    share: float,
    jobs: int,
    folder: Path,
) -> None:
    """Plant harmful pairs in good domains and count those that are found."""
    load = os.getloadavg()
    domains = [
        (camera, int(seed), int(size))
        for size in sizes.split(",")
        for camera in cameras.split(",")
        for seed in seeds.split(",")
    ]
    rows = Parallel(n_jobs=jobs)(
        delayed(screen_domain)(*domain, pairs, share) for domain in domains
    )
    found = pd.concat(rows, ignore_index=True)
    folder.mkdir(parents=True, exist_ok=True)
    found.to_csv(folder / "screening.csv", index=False, float_format="%.4g")
    sections: dict[str, pd.DataFrame | str] = {
        f"{size} pixels": tabulate(own) for size, own in found.groupby("size")
    }
    write_markdown(
        folder / "screening.md",
        "Harmful pairs found before any training",
        {**sections, "Reading": READING},
        load,
    )
    click.echo((folder / "screening.md").read_text(encoding="utf-8"))


READING = """\
Each row is over all domains (camera and seed) of that size. AUC: area under the ROC
curve of `Screening.score`, spoiled pairs against the others of their domain; mean and
lowest of the domains. Found: spoiled pairs that are odd at the default threshold.
Reason right: of these, those whose reason names what was done. False alarms: pairs
left as they are that are odd all the same; for "none" nothing was spoiled in their
domain."""


def screen_domain(
    camera: str, seed: int, size: int, n_pairs: int, share: float
) -> pd.DataFrame:
    """Spoil a simulated domain in every way, one after the other, and screen it."""
    pairs = make_domain(camera, n_pairs, size=size, random_state=seed)
    honest = [analyse_residual(pair) for pair in pairs]
    where = {"size": size, "camera": camera, "seed": seed}
    rows = [where | count_found(pairs, honest, {}, HONEST)]
    for kind in (*SPOILED_KINDS, IN_TURN):
        kinds = SPOILED_KINDS if kind == IN_TURN else kind
        mixed, spoiled = spoil_pairs(pairs, kinds, share, random_state=seed)
        seen = [
            analyse_residual(pair) if index in spoiled else honest[index]
            for index, pair in enumerate(mixed)
        ]
        rows.append(where | count_found(mixed, seen, spoiled, kind))
    return pd.DataFrame(rows)


def count_found(
    pairs: list, seen: list[ResidualAnalysis], spoiled: dict[int, str], kind: str
) -> dict:
    """Compare what the screening says with what was done."""
    screenings = screen(pairs, seen)
    odd = {i for i, screening in enumerate(screenings) if screening.is_faulty}
    named = [
        index
        for index in odd & set(spoiled)
        if screenings[index].fault is FAULTS[PARTS[spoiled[index].split()[0]]]
    ]
    is_spoiled = [index in spoiled for index in range(len(pairs))]
    scores = [screening.score for screening in screenings]
    return {
        "kind": kind,
        "n_spoiled": len(spoiled),
        "n_found": len(odd & set(spoiled)),
        "n_named": len(named),
        "n_left": len(pairs) - len(spoiled),
        "n_false": len(odd - set(spoiled)),
        "auc": roc_auc_score(is_spoiled, scores) if spoiled else float("nan"),
    }


def tabulate(found: pd.DataFrame) -> pd.DataFrame:
    """Sum up over domains, kind by kind."""
    rows = []
    for kind, own in found.groupby("kind", sort=False):
        total = own.sum(numeric_only=True)
        row = {"what was done": kind, "AUC, mean": "", "AUC, lowest": ""}
        row |= {"pairs": int(total.n_spoiled), "found": "", "reason right": ""}
        if kind != HONEST:
            row["AUC, mean"] = f"{own.auc.mean():.4f}"
            row["AUC, lowest"] = f"{own.auc.min():.3f}"
            row["found"] = f"{total.n_found / total.n_spoiled:.1%}"
            row["reason right"] = f"{total.n_named / max(total.n_found, 1):.1%}"
        row["others"] = int(total.n_left)
        row["false alarms"] = f"{total.n_false / total.n_left:.2%}"
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
