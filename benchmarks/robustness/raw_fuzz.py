"""Whether damaged RAW files crash `skadl denoise`, hang it, or leave debris.

Every mutant is denoised by the command itself in a child process of its own, with a
limit on memory and time. For Linux.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import pandas as pd
import torch

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from benchmarks.robustness.raw_mutants import mutate, write_seeds
from skadl import ADLDenoiser, read_raw
from skadl.commands.main import main as skadl_command
from skadl.datasets import make_domain

GIB = 2**30
WRITTEN, REFUSED = "written", "one line and no file"
GOOD = (WRITTEN, REFUSED)


@click.command(name="raw_fuzz")
@click.option("--mutants", default=2000, help="In all.")
@click.option("--memory", default=1.0, help="GiB that a mutant may take beside skadl.")
@click.option("--seconds", default=20, help="Of processor time, for one mutant.")
@click.option("--files", multiple=True, type=Path, help="More files to begin with.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    mutants: int, memory: float, seconds: int, files: tuple[Path, ...], folder: Path
) -> None:
    """Damage RAW files at random and denoise each with the command."""
    load = os.getloadavg()
    torch.set_num_threads(1)  # a forked child has no others
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        model = save_tiny_model(room / "tiny.safetensors")
        seeds = [*write_seeds(room), *files]
        rows = []
        for index in range(mutants):
            seed = seeds[index % len(seeds)]
            mutation, data = mutate(seed.read_bytes(), index // len(seeds))
            mutant = room / f"mutant{seed.suffix}"
            mutant.write_bytes(data)
            outcome = denoise_mutant(model, mutant, room / "out", memory, seconds)
            rows.append({"file": seed.name, "mutation": mutation, **outcome})
    found = pd.DataFrame(rows)
    folder.mkdir(parents=True, exist_ok=True)
    found.to_csv(folder / "raw_fuzz.csv", index=False, float_format="%.4g")
    sections: dict[str, pd.DataFrame | str] = {
        "By file": tabulate(found, "file"),
        "By mutation": tabulate(found, "mutation"),
        "Reading": READING,
    }
    write_markdown(folder / "raw_fuzz.md", "Damaged RAW files", sections, load)
    click.echo((folder / "raw_fuzz.md").read_text(encoding="utf-8"))
    if not found.outcome.isin(GOOD).all():
        raise SystemExit(1)


READING = """\
Written: a DNG that `skadl.read_raw` reads again, and exit code 0. One line and no file:
a sentence on standard error, exit code 1, and nothing left in the folder. Other: a
crash, the limit of memory or time, a traceback, more lines than one, or debris. Seconds
are those of one file without Python's start; memory is all that its process had at
once, Python and torch among it, both for the worst file."""


def save_tiny_model(path: Path) -> Path:
    """Fit a network for some steps: what it computes does not matter here."""
    pairs = make_domain("NikonD850", 3, size=64, iso=800, random_state=0)
    model = ADLDenoiser(
        start="random",
        n_pretrain_iter=2,
        n_iter=0,
        n_finetune_iter=0,
        base_channels=4,
        n_levels=2,
        renoised_share=0,
        device="cpu",
        random_state=0,
    )
    model.fit(pairs).save(path)
    return path


def denoise_mutant(
    model: Path, mutant: Path, out: Path, memory: float, seconds: int
) -> dict:
    """Denoise a damaged file; say outcome, seconds, MiB of memory, and what went wrong.

    The folder `out` is not there yet, and gone afterwards; `memory` is in GiB.
    """
    said = out.with_name("said")
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        _become_command(model, mutant, out, said, memory, seconds)
    _, status, usage = os.wait4(child, 0)
    taken = time.perf_counter() - start
    lines = said.read_text(errors="replace").splitlines() or [""]
    left = [path.name for path in out.iterdir()] if out.is_dir() else []
    if os.WIFSIGNALED(status):
        outcome = signal.Signals(os.WTERMSIG(status)).name
    elif "Traceback" in "".join(lines) or len(lines) > 1:
        outcome = "more than a line"
    elif os.WEXITSTATUS(status) == 0 and left == [f"{mutant.stem}.dng"]:
        read_raw(out / left[0], sensor="any", iso=100)
        outcome = WRITTEN
    elif os.WEXITSTATUS(status) == 1 and not left and lines[0].startswith("Error: "):
        outcome = REFUSED
    else:
        outcome = f"exit code {os.WEXITSTATUS(status)} and {left}"
    shutil.rmtree(out, ignore_errors=True)
    message = "" if outcome in GOOD else lines[-1]
    mib = usage.ru_maxrss / 1024
    return {"outcome": outcome, "seconds": taken, "mib": mib, "message": message}


def tabulate(found: pd.DataFrame, what: str) -> pd.DataFrame:
    """Count outcomes, and give the worst time and memory."""
    rows = []
    for name, own in [*found.groupby(what, sort=False), ("all", found)]:
        outcomes = Counter(own.outcome)
        others = sum(outcomes[outcome] for outcome in outcomes if outcome not in GOOD)
        rows.append(
            {
                what: name,
                "mutants": len(own),
                WRITTEN: outcomes[WRITTEN],
                REFUSED: outcomes[REFUSED],
                "other": others,
                "seconds, worst": f"{own.seconds.max():.2f}",
                "MiB, worst": f"{own.mib.max():.0f}",
            }
        )
    return pd.DataFrame(rows)


def _become_command(
    model: Path, mutant: Path, out: Path, said: Path, memory: float, seconds: int
) -> None:
    """Run the command in place of this process, under limits, with its words kept."""
    now_taken = int(Path("/proc/self/statm").read_text().split()[0])
    limit = now_taken * resource.getpagesize() + int(memory * GIB)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(3 * seconds)  # for a file that sleeps
    words = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(words, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout, sys.stderr = open(1, "w"), open(2, "w")
    code = 99
    try:
        arguments = [model, mutant, "--out", out, "--sensor", "NikonD850", "--iso", 800]
        skadl_command(["denoise", *map(str, arguments)])
    except SystemExit as done:
        code = done.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
