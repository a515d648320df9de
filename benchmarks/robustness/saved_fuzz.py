"""Whether damaged models, checkpoints and stored frames crash skadl or change silently.

Every mutant is used for what its file is for: a model and a checkpoint predict, a
checkpoint goes on with its fit, a frame of a patch store gives its counts. In worker
processes with a limit on memory and time. For Linux.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import traceback
import warnings
from pathlib import Path
from unittest import mock

import click
import numpy as np
import pandas as pd
import torch

from benchmarks.result_files import DEFAULT_FOLDER
from benchmarks.robustness.kills import small_denoiser, small_domains
from benchmarks.robustness.raw_fuzz import (
    READ,
    REFUSED,
    SilentChange,
    check_sentence,
    tiny_model,
    try_all,
    write_found,
)
from benchmarks.robustness.raw_mutants import mutate
from skadl import ADLDenoiser, PatchStore, RawPair, load
from skadl.datasets import make_domain
from skadl.estimators import checkpoints
from skadl.support import digest

MODEL, CHECKPOINT, STORE = "model.safetensors", "fit.checkpoint", "store.frame"
# The second where finite weights are so large that what they compute is not.
REFUSALS = (ValueError, FloatingPointError)
SEALED = ("sealed.safetensors", "sealed.checkpoint")  # by a foe, with a new digest
DIGEST = re.compile(rb'\\"digest\\": \\"([0-9a-f]{64})\\"')
RESUME_EVERY = 8  # one checkpoint of so many goes on with its fit, though it is refused


@click.command(name="saved_fuzz")
@click.option("--mutants", default=6_000, help="In all.")
@click.option("--memory", default=1.0, help="GiB that a file may take beside skadl.")
@click.option("--seconds", default=20, help="Of processor time, for one mutant.")
@click.option("--first", default=0, help="Number of the first mutant.")
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(mutants: int, memory: float, seconds: int, first: int, folder: Path) -> None:
    """Damage files that skadl wrote at random, and use each."""
    load_average = os.getloadavg()
    torch.set_num_threads(1)  # a forked child has no others
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        check = SavedCheck(room)
        numbers = range(first, first + mutants)
        found = pd.DataFrame(try_all(check, numbers, room, memory, seconds))
    title = "Damaged models, checkpoints and stored frames"
    write_found(found, folder / "saved_fuzz", title, READING, load_average)


READING = f"""\
Refused: a sentence of one line that begins with the file's name. Read: a model or a
checkpoint predicts what the sound one predicts, bit for bit, and a checkpoint's fit
ends with the same bytes; a frame of a store gives its counts, which are built again
where its file is damaged. Other: a crash, the limit of memory or time, an exception of
another kind, files left over, or other results in silence. One checkpoint in
{RESUME_EVERY} goes on with its fit, and every one that is not refused. Sealed: the
mutant has a digest that fits it again, as a foe would write it, so that all else in it
is looked at; a picture of it may be any, of finite counts. Seconds are processor time
of the worst mutant; memory is what its worker had more than before, in MiB."""


class SavedCheck:
    """What is done with one mutant, by its number; gives a row of facts."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.pairs, self.pool = small_domains()
        self.image = make_domain("NikonD850", 1, size=64, iso=800, random_state=2)[
            0
        ].noisy
        self.expected = room / "expected"
        seeds = self._seeds()
        for name, origin in zip(SEALED, (MODEL, CHECKPOINT), strict=True):
            seeds[name] = seeds[origin]
        self.names, self.sound = list(seeds), seeds
        self.predicted = {
            name: load_quietly(self._write(name, seeds[name])).predict(self.image)
            for name in (MODEL, CHECKPOINT)
        }

    def name(self, number: int) -> tuple[str, int]:
        """Say which seed a mutant comes from, and the number of its damage."""
        return self.names[number % len(self.names)], number // len(self.names)

    def __call__(self, number: int) -> dict:
        """Damage a file, use it, and say how that ended."""
        name, damage = self.name(number)
        mutation, mutant = mutate(self.sound[name], damage)
        row = {"file": name, "mutation": mutation, "message": ""}
        try:
            if name in SEALED:
                outcome = self._use_sealed(
                    self._write(name, seal_again(mutant)), damage
                )
            elif name == STORE:
                outcome = self._open_store(mutant)
            else:
                path = self._write(name, mutant)
                outcome = self._predict(path)
                if name == CHECKPOINT and (
                    outcome == READ or damage % RESUME_EVERY == 0
                ):
                    self._resume(path, outcome)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            outcome = type(error).__name__
            row["message"] = f"{where}: {str(error)[:300]}"
        return row | {"outcome": outcome}

    def _seeds(self) -> dict[str, bytes]:
        tiny_model().save(self.room / MODEL)
        self._fit(None).save(self.expected)
        calls = 0

        def stop_at_the_tenth(contents):
            nonlocal calls
            calls += 1
            if calls == 10:
                raise KeyboardInterrupt
            return pack(contents)

        pack = checkpoints.pack
        with mock.patch.object(checkpoints, "pack", stop_at_the_tenth):
            try:
                self._fit(self.room / CHECKPOINT)
            except KeyboardInterrupt:
                pass
        folder = self.room / "seed store"
        for _ in self._stored(folder):
            pass
        (self.frame,) = [path.name for path in folder.iterdir()][:1]
        files = {
            MODEL: self.room / MODEL,
            CHECKPOINT: self.room / CHECKPOINT,
            STORE: folder / self.frame,
        }
        return {name: path.read_bytes() for name, path in files.items()}

    def _write(self, name: str, content: bytes) -> Path:
        path = self.room / name
        path.write_bytes(content)
        return path

    def _fit(self, checkpoint: Path | None) -> ADLDenoiser:
        denoiser = small_denoiser(n_pretrain_iter=4, n_iter=10, n_finetune_iter=2)
        return denoiser.fit(
            self.pairs, self.pool, checkpoint=checkpoint, checkpoint_every=0
        )

    def _predict(self, path: Path) -> str:
        try:
            denoiser = load_quietly(path)
        except ValueError as error:
            check_sentence(str(error), path)
            return REFUSED
        found = denoiser.predict(self.image)
        if not np.array_equal(found.mosaic, self.predicted[path.name].mosaic):
            raise SilentChange("another picture")
        return READ

    def _use_sealed(self, path: Path, damage: int) -> str:
        outcome = READ
        try:
            found = load_quietly(path).predict(self.image)
            assert np.isfinite(found.mosaic).all()
        except REFUSALS as error:
            if path.name in str(error):
                check_sentence(str(error), path)
            outcome = REFUSED
        if path.suffix == ".checkpoint" and damage % RESUME_EVERY == 0:
            with contextlib.suppress(*REFUSALS):
                self._fit(path)
        return outcome

    def _resume(self, path: Path, outcome: str) -> None:
        try:
            denoiser = self._fit(path)
        except ValueError as error:
            check_sentence(str(error), path)
            assert outcome == REFUSED, error
            return
        ended = self.room / "ended"
        denoiser.save(ended)
        if ended.read_bytes() != self.expected.read_bytes():
            raise SilentChange("the fit ends otherwise")

    def _open_store(self, mutant: bytes) -> str:
        folder = self.room / "store"
        try:
            folder.mkdir()
            (folder / self.frame).write_bytes(mutant)
            for stored, pair in zip(self._stored(folder), self.pairs, strict=True):
                for role in ("noisy", "clean"):
                    ours, theirs = getattr(stored, role), getattr(pair, role)
                    facts = [(i.cfa, i.black_level, i.iso) for i in (ours, theirs)]
                    if facts[0] != facts[1] or not np.array_equal(
                        ours.packed(), theirs.packed()
                    ):
                        raise SilentChange("other counts")
            left = {path.suffix for path in folder.iterdir()}
            assert left == {".frame"}, left
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return READ

    def _stored(self, folder: Path) -> list[RawPair]:
        store = PatchStore(folder)
        pairs = [store.pair(pair) for pair in self.pairs]
        for pair in pairs:
            pair.noisy.packed(), pair.clean.packed()
        return pairs


def load_quietly(path: Path) -> ADLDenoiser:
    """Load a model without the word that a checkpoint is no finished fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(path, device="cpu")


def seal_again(content: bytes) -> bytes:
    """Put the digest of a damaged file into it, if there is still a place for it."""
    place = DIGEST.search(content)
    if place is None:
        return content
    begin, end = place.span(1)
    return digest.seal(content[:begin] + digest.UNSEALED.encode() + content[end:])


if __name__ == "__main__":
    main()
