"""Whether a fit that is killed again and again ends as one that never was.

A small fit with a checkpoint before every step is killed (SIGKILL) at a random moment,
in a child process of its own, and goes on in the next child, which is killed too, until
one gets through. Then its model must be that of an undisturbed fit, byte for byte, and
nothing may lie beside it but the checkpoint. For Linux.
"""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from skadl import ADLDenoiser, RawPair, SourcePool
from skadl.datasets import make_domain
from skadl.estimators.model_files.reader import read_model_file

SAME = "same bytes"
SPARED, KILLED, FAILED = "spared", "killed", "failed"
NOWHERE = "none yet"


@click.command(name="kills")
@click.option("--kills", default=100, help="In all.")
@click.option("--seed", default=0, help="Of the moments.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(kills: int, seed: int, folder: Path) -> None:
    """Kill fits at random moments, and compare what they end with."""
    load = os.getloadavg()
    torch.set_num_threads(1)  # a forked child has no others
    with tempfile.TemporaryDirectory() as room:
        found = kill_fits(Path(room), kills, np.random.default_rng(seed))
    folder.mkdir(parents=True, exist_ok=True)
    found.to_csv(folder / "kills.csv", index=False, float_format="%.4g")
    sections: dict[str, pd.DataFrame | str] = {
        "By the stage of the checkpoint": tabulate(found),
        "Reading": READING,
    }
    write_markdown(folder / "kills.md", "Killed fits", sections, load)
    click.echo((folder / "kills.md").read_text(encoding="utf-8"))
    if not (found.outcome == SAME).all():
        raise SystemExit(1)


READING = f"""\
A row for each stage that the checkpoint stood in after a kill. {SAME.capitalize()}: the
fit that was killed there went on, was perhaps killed again, and ended with the model of
a fit that was never stopped, with no file beside it but its checkpoint."""


def small_domains() -> tuple[list[RawPair], SourcePool]:
    """Pairs of a target and of a source that a fit takes moments for."""
    return (
        make_domain("SonyA7S2", 3, size=36, random_state=0),
        SourcePool(make_domain("NikonD850", 4, size=36, random_state=1)),
    )


def small_denoiser(**lengths: int) -> ADLDenoiser:
    """Return a denoiser with a tiny network and stages of so many steps."""
    return ADLDenoiser(
        start="random",
        batch_size=2,
        patch_size=16,
        base_channels=4,
        n_levels=2,
        device="cpu",
        random_state=0,
        **lengths,
    )


@dataclass(frozen=True)
class SmallFit:
    """A fit of three short stages, run in child processes."""

    pairs: Sequence[RawPair]
    pool: SourcePool

    def run(self, model: Path, checkpoint: Path | None, moment: float | None) -> str:
        """Fit and save in a child, which is killed after so many seconds, if it runs.

        They count from its first writing of the checkpoint, or, below 0, from its
        start. Returns `SPARED`, `KILLED` or `FAILED`.
        """
        before = _written(checkpoint)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self._fit(model, checkpoint)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        if moment is not None:
            while moment >= 0 and _written(checkpoint) == before and _runs(child):
                time.sleep(0.001)
            time.sleep(abs(moment))
            os.kill(child, signal.SIGKILL)  # there until it is waited for
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return KILLED
        return SPARED if os.WEXITSTATUS(status) == 0 else FAILED

    def _fit(self, model: Path, checkpoint: Path | None) -> None:
        denoiser = small_denoiser(n_pretrain_iter=8, n_iter=16, n_finetune_iter=8)
        denoiser.fit(
            self.pairs, self.pool, checkpoint=checkpoint, checkpoint_every=0
        ).save(model)


def kill_fits(room: Path, n_kills: int, rng: np.random.Generator) -> pd.DataFrame:
    """Kill fits so often; a row a kill, in order.

    Columns: number of the fit, seconds that it was given, stage and iteration of its
    checkpoint then, and how the fit ended.
    """
    small = SmallFit(*small_domains())
    expected = room / "expected"
    begin = time.perf_counter()
    if small.run(expected, None, None) != SPARED:
        raise SystemExit("the undisturbed fit failed")
    longest = time.perf_counter() - begin
    rows: list[dict] = []
    for number in itertools.count():
        own = room / f"fit{number}"
        own.mkdir()
        kills = []
        while True:
            is_last = len(rows) + len(kills) >= n_kills
            # One in ten at any moment, the others while it trains.
            moment = rng.uniform(-longest if rng.random() < 0.1 else 0, longest / 2)
            moment = None if is_last else moment
            ended = small.run(own / "model", own / "checkpoint", moment)
            if ended != KILLED:
                break
            kills.append({"fit": number, "seconds": moment, **_standing(own)})
        outcome = _compare(own, expected) if ended == SPARED else FAILED
        rows += [{**kill, "outcome": outcome} for kill in kills]
        if len(rows) >= n_kills:
            break
    return pd.DataFrame(rows)


def _written(checkpoint: Path | None) -> int:
    """When a checkpoint was last written; 0 where there is none."""
    if checkpoint is None or not checkpoint.exists():
        return 0
    return checkpoint.stat().st_mtime_ns


def _runs(child: int) -> bool:
    """Whether a child has not ended; it may still be waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _standing(own: Path) -> dict:
    """Where the checkpoint of a killed fit stands."""
    path = own / "checkpoint"
    if not path.exists():
        return {"stage": NOWHERE, "iteration": 0}
    snapshot = read_model_file(path).training.snapshot
    return {"stage": snapshot.stage, "iteration": snapshot.iteration}


def _compare(own: Path, expected: Path) -> str:
    left = {path.name for path in own.iterdir()} - {"model", "checkpoint"}
    if left:
        return f"left {sorted(left)}"
    same = (own / "model").read_bytes() == expected.read_bytes()
    return SAME if same else "other bytes"


def tabulate(found: pd.DataFrame) -> pd.DataFrame:
    """Count kills and outcomes by stage."""
    rows = []
    for stage, own in [*found.groupby("stage", sort=False), ("all", found)]:
        same = int((own.outcome == SAME).sum())
        rows.append(
            {"stage": stage, "kills": len(own), SAME: same, "other": len(own) - same}
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
