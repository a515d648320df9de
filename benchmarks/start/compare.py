"""What was tried: the validation rows of each training, beside its options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.start.training import Recipe, load_network, read_checkpoint

_DEFAULT = Recipe()


def compare(folders: Sequence[Path]) -> pd.DataFrame:
    """Collect the logs of trainings: PSNR in dB by band of noise, at every step logged.

    Rows of a training show averaged weights at a constant rate, the last row of a
    cool-down the weights at its end.
    """
    rows = []
    for folder in folders:
        recipe = read_checkpoint(folder / "checkpoint.pt")["recipe"]
        network = load_network(folder / "checkpoint.pt")
        facts = {
            "run": folder.name,
            "options": options(recipe),
            "weights": sum(p.numel() for p in network.parameters()),
        }
        logs = [("constant rate", pd.read_csv(folder / "log.csv"))]
        if (folder / "anneal.csv").exists():
            logs.append(("cooled down", pd.read_csv(folder / "anneal.csv").tail(1)))
        for phase, log in logs:
            log = log.drop(columns=["rate", "loss"])
            rows += [facts | {"phase": phase} | row for row in log.to_dict("records")]
    return pd.DataFrame(rows).set_index("run")


def options(recipe: dict) -> str:
    """Write a recipe as the options of `train` that differ from the defaults."""
    changed = {k: v for k, v in recipe.items() if v != getattr(_DEFAULT, k)}
    words = [f"--{k.replace('_', '-')} {v}" for k, v in changed.items()]
    return f"`{' '.join(words)}`" if words else "defaults"
