"""What the page works on: files, frames in memory, the model, where results go."""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skadl.commands.app.jobs import Job, Worker, run_command
from skadl.commands.app.pictures import Frame, Window
from skadl.commands.denoise_files import (
    BatchOptions,
    denoise_file,
    find_raw_files,
    plan_outputs,
)
from skadl.commands.describe_file import UNNAMED
from skadl.estimators.adl import ADLDenoiser
from skadl.estimators.loading import load, load_universal
from skadl.raw.mosaic import mosaic_of
from skadl.raw.rawfile import read_raw_as_it_is
from skadl.support.text import printable

# In memory: of 24 megapixels the counts take 50 MB, the denoised planes 100 MB.
MOST_FRAMES = 2
UNIVERSAL = ""  # stands for the network that comes with skadl


@dataclass(frozen=True)
class OpenFile:
    """A file of the list."""

    number: int
    path: Path

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON takes it."""
        return {"number": self.number, "name": printable(self.path.name)}


class Session:
    """One run of the app; every tab of the browser sees the same files and jobs.

    Parameters
    ----------
    scratch : Path
        For files dropped on the page, and pictures of a check.
    out : Path
        Folder for results, made when the first is written.
    """

    def __init__(self, scratch: Path, out: Path) -> None:
        self.scratch, self.out = scratch, out
        self.worker = Worker()
        self.files: dict[int, OpenFile] = {}
        self.model_path = UNIVERSAL
        self._model: ADLDenoiser | None = None
        self._frames: dict[int, Frame] = {}
        self._pictures: list[Path] = []
        self._lock = threading.RLock()

    def close(self) -> None:
        """End all work."""
        self.worker.close()

    def state(self) -> dict[str, Any]:
        """Say all that a tab must know, as JSON takes it."""
        return {
            "out": str(self.out),
            "model": self.model_path,
            "files": [file.as_dict() for file in list(self.files.values())],
            "denoised": [
                n for n, f in list(self._frames.items()) if f.denoised is not None
            ],
            "jobs": [job.as_dict() for job in list(self.worker.jobs.values())],
        }

    # Files

    def open(self, place: str) -> list[dict[str, Any]]:
        """Add a RAW file, or those of a folder, to the list; ValueError if none."""
        path = _typed(place)
        if not place.strip() or not path.exists():
            raise ValueError(
                f"there is no file or folder {printable(place)!r}; type where your RAW "
                "files are."
            )
        found, empty = find_raw_files([path])
        if empty:
            raise ValueError(
                f"{printable(str(path))} holds no RAW file. Folders inside it are not "
                "searched: type one of them."
            )
        return [self._add(file).as_dict() for file in found]

    def upload_path(self, name: str) -> Path:
        """Say where a dropped file goes: under its own name, in a folder of its own."""
        name = re.split(r"[\\/]", name)[-1]
        if name in ("", ".", ".."):
            raise ValueError("a dropped file has no name.")
        folder = Path(tempfile.mkdtemp(prefix="dropped-", dir=self.scratch))
        return folder / name

    def add_upload(self, path: Path) -> dict[str, Any]:
        """Add a dropped file to the list."""
        return self._add(path).as_dict()

    def remove(self, number: int) -> None:
        """Take a file off the list; the file itself stays, a dropped copy goes."""
        with self._lock:
            file = self.files.pop(number, None)
            self._frames.pop(number, None)
        if file is not None and self.scratch in file.path.parents:
            shutil.rmtree(file.path.parent, ignore_errors=True)

    def facts(self, number: int) -> dict[str, Any]:
        """Say what a file holds and where its noise is known from."""
        file, record = self._file(number), self._frame(number).facts
        noise = record["noise"]
        known = noise["source"] is not None
        side = mosaic_of(record["cfa"]).side
        return file.as_dict() | {
            "camera": record["camera"] and printable(record["camera"]),
            "iso": record["iso"],
            "width": record["width"] // side,
            "height": record["height"] // side,
            "noise": noise["figures"] if known else None,
            "origin": noise["origin"] if known else noise["reason"],
            "notes": list(noise["notes"]) if known else [],
        }

    def picture(self, number: int, window: Window, strength: float | None) -> bytes:
        """Draw a part of a file, as it is or denoised."""
        return self._frame(number).png(window, strength)

    # Work

    def denoise(self, number: int) -> Job:
        """Denoise a file for the page; nothing is written."""
        file = self._file(number)

        def work(job: Job) -> None:
            job.step(0, 1)
            frame, model = self._frame(number), self._loaded_model()
            planes = model.predict(frame.image, dtype=np.float32).normalised()
            job.step(1, 1)
            with self._lock:
                if number in self.files:
                    self._keep(number, replace(frame, denoised=planes))

        return self.worker.submit("denoise", printable(file.path.name), work)

    def write(self, numbers: Sequence[int], out: str, strength: float) -> Job:
        """Denoise files and write them to a folder; older results stay."""
        if not (isinstance(strength, (int, float)) and 0 <= strength <= 1):
            raise ValueError(f"strength must be from 0 to 1, got {strength!r}.")
        files = [self._file(number).path for number in numbers]
        if not files:
            raise ValueError("no file is chosen; open some first.")
        folder = _typed(out).resolve() if out.strip() else self.out
        self.out = folder
        options = BatchOptions(
            predict={"strength": float(strength)},
            history=f"denoised in skadl app, strength {strength:g}",
        )

        def work(job: Job) -> list[dict[str, Any]]:
            folder.mkdir(parents=True, exist_ok=True)
            model, rows = self._loaded_model(), []
            plan = plan_outputs(files, folder, None, replaces=False)
            for index, task in enumerate(plan):
                job.step(index, len(plan), printable(task.source.name))
                if not task.error and not task.is_kept:
                    done = denoise_file(model, task, options)
                    if done.error and not _says_camera(task.source):
                        unnamed = replace(options, sensor=UNNAMED)
                        done = denoise_file(model, task, unnamed)
                    task = done
                rows.append(
                    {
                        "name": printable(task.source.name),
                        "output": None if task.error else printable(str(task.output)),
                        "error": task.error,
                        "kept": task.is_kept,
                    }
                )
                job.result = rows
            job.done = len(plan)
            return rows

        return self.worker.submit("write", f"{len(files)} to {printable(out)}", work)

    def check(self, place: str) -> Job:
        """Check a folder of pairs, with pictures of those not good."""
        folder = _folder(place)

        def work(job: Job) -> dict[str, Any]:
            pictures = self.scratch / f"check-{job.number}"
            words = ["check", str(folder), "--json", "--pictures", str(pictures)]
            record = json.loads(run_command(job, words, accepted=(0, 1)))
            drawn = {Path(p).name.split("_")[0]: Path(p) for p in record["pictures"]}
            rows = []
            for pair in record["pairs"]:
                picture = drawn.get(f"{pair['index']:03d}")
                shown = None
                if picture is not None:
                    self._pictures.append(picture)
                    shown = len(self._pictures) - 1
                names = ("name", "verdict", "what", "next_step")
                rows.append({n: pair.get(n) for n in names} | {"picture": shown})
            return {"pairs": rows, "problems": record["problems"]}

        return self.worker.submit("check", printable(str(folder)), work)

    def check_picture(self, number: int) -> Path:
        """Return the file of a picture of a check."""
        if not 0 <= number < len(self._pictures):
            raise ValueError("there is no such picture.")
        return self._pictures[number]

    def fit(self, place: str, model: str, with_sources: bool) -> Job:
        """Fit a denoiser on a folder of pairs, and write it."""
        folder = _folder(place)
        path = _typed(model).resolve()
        if not model.strip() or path.is_dir():
            raise ValueError("type a name for the model, as my-camera.safetensors.")
        if path.exists():
            raise ValueError(
                f"there is a file {printable(str(path))} already; type another name."
            )
        path = path if path.suffix else path.with_suffix(".safetensors")
        checkpoint = path.with_name(f"{path.name}.checkpoint")

        def work(job: Job) -> dict[str, Any]:
            def look() -> None:
                place = _place(checkpoint)
                if place is not None:
                    job.step(*place)

            words = ["fit", str(folder), "--out", str(path), "--json", "--force"]
            words += ["--checkpoint-every", "2"]
            words += ["--simulated-sources"] if with_sources else []
            try:
                record = json.loads(run_command(job, words, look))
            finally:
                checkpoint.unlink(missing_ok=True)
            return {"model": record["model"], "report": record["report"]}

        return self.worker.submit("fit", printable(path.name), work)

    def use_model(self, path: str) -> None:
        """Denoise with a model file from now on, or with the network of skadl."""
        model = None if path == UNIVERSAL else load(_typed(path))
        with self._lock:
            self.model_path, self._model = path, model
            for number, frame in list(self._frames.items()):
                self._frames[number] = replace(frame, denoised=None)

    def _add(self, path: Path) -> OpenFile:
        with self._lock:
            for file in self.files.values():
                if file.path == path:
                    return file
            file = OpenFile(max(self.files, default=0) + 1, path)
            self.files[file.number] = file
            return file

    def _file(self, number: int) -> OpenFile:
        if number not in self.files:
            raise ValueError("this file is no longer in the list; open it again.")
        return self.files[number]

    def _frame(self, number: int) -> Frame:
        with self._lock:
            frame = self._frames.get(number)
            if frame is None:
                frame = Frame.read(self._file(number).path)
            self._keep(number, frame)
            return frame

    def _keep(self, number: int, frame: Frame) -> None:
        """Keep a frame as the one used last; the oldest one goes."""
        self._frames.pop(number, None)
        self._frames[number] = frame
        while len(self._frames) > MOST_FRAMES:
            self._frames.pop(next(iter(self._frames)))

    def _loaded_model(self) -> ADLDenoiser:
        if self._model is None:
            self._model = load_universal()
        return self._model


def _says_camera(path: Path) -> bool:
    """Whether a file can be read without a name for its camera."""
    try:
        read_raw_as_it_is(path)
    except (OSError, ValueError):
        return False
    return True


def _typed(place: str) -> Path:
    """Path as a person types or pastes it: with ~, or with quotes around it."""
    path = Path(place.strip().strip("\"'"))
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"there is no user {printable(path.parts[0][1:])!r}; type the whole path."
        ) from error


def _folder(place: str) -> Path:
    folder = _typed(place)
    if not place.strip() or not folder.is_dir():
        raise ValueError(
            f"there is no folder {printable(place)!r}; type where your pairs are."
        )
    return folder


def _place(checkpoint: Path) -> tuple[int, int, str] | None:
    """Say how far a fit is, as its checkpoint tells."""
    from skadl.estimators.model_files.reader import read_model_file

    try:
        training = read_model_file(checkpoint).training
    except (OSError, ValueError):
        return None
    if training is None or not math.isfinite(training.snapshot.n_iter):
        return None
    snapshot = training.snapshot
    return snapshot.iteration, snapshot.n_iter, training.place
