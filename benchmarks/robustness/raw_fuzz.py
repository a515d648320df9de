"""Whether damaged RAW files crash skadl, hang it, fill memory, or change in silence.

Every mutant is read, described as by `skadl info`, and denoised as by `skadl denoise`,
in worker processes with a limit on memory and time. For Linux.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from benchmarks.robustness.kills import small_denoiser
from benchmarks.robustness.raw_mutants import changed_outside, mutate, write_seeds
from skadl import ADLDenoiser, read_raw
from skadl.commands.denoise_files import BatchOptions, FileResult, denoise_file
from skadl.commands.describe_file import describe_file
from skadl.datasets import make_domain
from skadl.raw.fits import NO_BLACK

GIB = 2**30
BATCH = 200  # mutants of one worker
READ, WARNED, REFUSED = "read", "read with a warning", "refused"
GOOD = (READ, WARNED, REFUSED)


@click.command(name="raw_fuzz")
@click.option("--mutants", default=20_000, help="In all.")
@click.option("--memory", default=1.0, help="GiB that a file may take beside skadl.")
@click.option("--seconds", default=10, help="Of processor time, for one mutant.")
@click.option("--denoise-every", default=4, help="Denoise one mutant of so many.")
@click.option("--first", default=0, help="Number of the first mutant.")
@click.option("--files", multiple=True, type=Path, help="More files to begin with.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    mutants: int,
    memory: float,
    seconds: int,
    denoise_every: int,
    first: int,
    files: tuple[Path, ...],
    folder: Path,
) -> None:
    """Damage RAW files at random; read, describe and denoise each."""
    load = os.getloadavg()
    torch.set_num_threads(1)  # a forked child has no others
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        seeds = [*write_seeds(room), *files]
        check = _Check(room, seeds, tiny_model(), denoise_every)
        found = pd.DataFrame(
            try_all(check, range(first, first + mutants), room, memory, seconds)
        )
    write_found(found, folder / "raw_fuzz", "Damaged RAW files", READING, load)


def write_found(
    found: pd.DataFrame,
    place: Path,
    title: str,
    reading: str,
    load: tuple[float, float, float],
) -> None:
    """Write counts and a page at `place`; exit code 1 if a mutant ended badly."""
    place.parent.mkdir(parents=True, exist_ok=True)
    counts, page = place.with_suffix(".csv"), place.with_suffix(".md")
    count_outcomes(found).to_csv(counts, index=False, float_format="%.4g")
    sections: dict[str, pd.DataFrame | str] = {
        "By file": tabulate(found, "file"),
        "By mutation": tabulate(found, "mutation"),
        "Reading": reading,
    }
    write_markdown(page, title, sections, load)
    click.echo(page.read_text(encoding="utf-8"))
    odd = found[~found.outcome.isin(GOOD)]
    if len(odd):
        click.echo(odd.to_string())
        raise SystemExit(1)


READING = """\
Refused: a sentence of one line that begins with the file's name. Read: `skadl.read_raw`
gives the counts of the sound file, or others where the damage lies among the counts
themselves; with a warning, they may be any. Other: a crash, the limit of memory or
time, an exception of another kind, a result that is not whole or beside others, or a
silent change: other counts without a warning, although none of their bytes was touched.
Info and denoising of the same mutant end well too, or it counts as other. Seconds are
processor time of the worst mutant; memory is what its worker had more than before, in
MiB."""


def tiny_model() -> ADLDenoiser:
    """Fit a network for some steps: what it computes does not matter here."""
    pairs = make_domain("NikonD850", 3, size=64, iso=800, random_state=0)
    model = small_denoiser(n_pretrain_iter=2, n_iter=0, n_finetune_iter=0)
    return model.set_params(renoised_share=0).fit(pairs)


class _Check:
    """What is done with one mutant, by its number; gives a row of facts."""

    def __init__(
        self, room: Path, seeds: list[Path], model: ADLDenoiser, denoise_every: int
    ) -> None:
        self.room, self.seeds, self.model = room, seeds, model
        self.denoise_every = denoise_every
        self.sound = [
            (seed.read_bytes(), read_raw(seed, sensor="S", iso=100).mosaic)
            for seed in seeds
        ]

    def name(self, number: int) -> tuple[str, int]:
        """Say which seed a mutant comes from, and the number of its damage."""
        index, damage = number % len(self.seeds), number // len(self.seeds)
        return self.seeds[index].name, damage

    def __call__(self, number: int) -> dict:
        index, damage = number % len(self.seeds), number // len(self.seeds)
        seed, (data, mosaic) = self.seeds[index], self.sound[index]
        mutation, mutant = mutate(data, damage)
        path = self.room / f"mutant{seed.suffix}"
        path.write_bytes(mutant)
        row = {"file": seed.name, "mutation": mutation, "message": ""}
        try:
            outcome = self._read(path, seed, mutant, mosaic)
            self._describe(path)
            if damage % self.denoise_every == 0:
                self._denoise(path)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            outcome = type(error).__name__
            row["message"] = f"{where}: {str(error)[:300]}"
        return row | {"outcome": outcome}

    def _read(self, path: Path, seed: Path, mutant: bytes, sound: np.ndarray) -> str:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                mosaic = read_raw(path, sensor="S", iso=100).mosaic
            except ValueError as error:
                check_sentence(str(error), path)
                return REFUSED
        for warning in caught:
            if str(warning.message) != NO_BLACK:  # said of a night's frames but once
                check_sentence(str(warning.message), path)
        if caught:
            return WARNED
        if path.suffix == ".fits":
            return READ  # cards say a number once: nothing contradicts a damaged one
        if not _has_counts(mosaic, sound) and changed_outside(seed, mutant):
            raise SilentChange(f"{mosaic.shape} for {sound.shape}")
        return READ

    def _describe(self, path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                record, text = describe_file(path)
            except ValueError as error:
                check_sentence(str(error), path)
                return
        json.dumps(record, allow_nan=False)
        assert all(line.isprintable() for line in text.splitlines())

    def _denoise(self, path: Path) -> None:
        out = self.room / "out"
        out.mkdir()
        try:
            task = FileResult(path, out / "a.dng")
            options = BatchOptions(sensor="NikonD850", iso=800, gps=True)
            result = denoise_file(self.model, task, options)
            left = [found.name for found in out.iterdir()]
            if result.error:
                check_sentence(result.error, path)
                assert not left, left
            else:
                assert left == ["a.dng"], left
                read_raw(out / "a.dng", sensor="any", iso=100)
        finally:
            shutil.rmtree(out, ignore_errors=True)


def _has_counts(mosaic: np.ndarray, sound: np.ndarray) -> bool:
    """Whether all counts are there in their place, maybe with a margin around them.

    A tag of the visible area that is gone leaves a sound file of another picture.
    """
    more = np.subtract(mosaic.shape, sound.shape)
    if (more < 0).any():
        return False
    return any(
        np.array_equal(mosaic[top:, left:][: sound.shape[0], : sound.shape[1]], sound)
        for top in range(more[0] + 1)
        for left in range(more[1] + 1)
    )


class SilentChange(Exception):
    """Other counts than the sound file's, and no word of it."""


def check_sentence(text: str, path: Path) -> None:
    """Fail where a refusal is no sentence in one line that names the file."""
    assert path.name in text and text.isprintable(), text
    # An error's name before it is that of an exception that nobody foresaw.
    assert "Error: " not in text and "memory" not in text, text


def try_all(
    check: Callable[[int], dict],
    numbers: range,
    room: Path,
    memory: float,
    seconds: int,
) -> Iterator[dict]:
    """Check each mutant in workers; one that dies is replaced behind the mutant."""
    done = 0
    while done < len(numbers):
        batch = numbers[done : done + BATCH]
        told = room / "told"
        child = os.fork()
        if child == 0:
            _work(check, batch, told, memory, seconds)
        _, status = os.waitpid(child, 0)
        rows = [json.loads(line) for line in told.read_text().splitlines()]
        yield from rows
        done += len(rows)
        if len(rows) < len(batch):
            file, damage = check.name(batch[len(rows)])
            how = f"exit code {os.waitstatus_to_exitcode(status)}"
            if os.WIFSIGNALED(status):
                how = signal.Signals(os.WTERMSIG(status)).name
            yield {
                "file": file,
                "mutation": f"number {damage}",
                "message": "",
                "outcome": how,
                "seconds": float(seconds),
                "mib": 0.0,
            }
            done += 1
            shutil.rmtree(room / "out", ignore_errors=True)


def count_outcomes(found: pd.DataFrame) -> pd.DataFrame:
    """Count mutants by file, mutation, outcome and message, with the worst of each."""
    what = ["file", "mutation", "outcome", "message"]
    worst = {"seconds": ("seconds", "max"), "mib": ("mib", "max")}
    return found.groupby(what, as_index=False).agg(mutants=("mib", "size"), **worst)


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
                **{outcome: outcomes[outcome] for outcome in GOOD},
                "other": others,
                "seconds, worst": f"{own.seconds.max():.2f}",
                "MiB more, worst": f"{own.mib.max():.0f}",
            }
        )
    return pd.DataFrame(rows)


def _work(
    check: Callable[[int], dict], batch: range, told: Path, memory: float, seconds: int
) -> None:
    """Check mutants in place of this process, under limits, telling a line of each."""
    taken = int(Path("/proc/self/statm").read_text().split()[0])
    limit = taken * resource.getpagesize() + int(memory * GIB)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)  # LibRaw prints what it raises as well
    code = 99
    try:
        with told.open("w") as lines:
            for number in batch:
                signal.setitimer(signal.ITIMER_PROF, seconds)
                signal.alarm(60 * seconds)  # for a file that sleeps
                before = _peak_mib()
                start = time.process_time()
                row = check(number)
                row |= {"seconds": time.process_time() - start}
                row |= {"mib": _peak_mib() - before}
                lines.write(json.dumps(row) + "\n")
                lines.flush()
        code = 0
    finally:
        os._exit(code)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
