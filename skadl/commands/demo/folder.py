"""The demonstration's files: pictures, RAW files, report and numbers in one folder."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from skadl.commands.demo.page import describe_pictures, picture_file, to_html
from skadl.commands.demo.run import ADL, EVERYTHING, START, DemoResult
from skadl.plots import display_settings, plot_acceptance, render
from skadl.raw.dng import write_dng
from skadl.raw.image import RawImage
from skadl.raw.mosaic import spread_planes

FILES = {
    "report.html": "everything on one page",
    picture_file("noisy"): "a picture as the camera gives it",
    picture_file(START): "the same denoised without training",
    picture_file(EVERYTHING): "after training on all sources",
    picture_file(ADL): "after ADL",
    picture_file("clean"): "without noise, to compare with",
    "acceptance.png": "which source batches ADL took, over time",
    "noisy.dng": "the noisy picture as a RAW file, at full brightness",
    "denoised.dng": "the same after ADL; develop both in any RAW program",
    "report.npz": "every decision, for skadl.DataSelectionReport.load",
    "results.csv": "PSNR and SSIM of each test scene",
    "results.json": "the numbers of the tables",
}
"""Every file of the folder, and what it is."""

_MARK = "skadl demo"  # in results.json, by which an earlier demonstration is known


def check_folder(folder: str | Path, force: bool = False) -> Path:
    """Make sure that results can go into a folder, before any work is done.

    A ValueError if it holds files and no earlier demonstration, unless `force` accepts
    these: they stay as they are, except those named as in `FILES`. An OSError if it
    cannot be written to.
    """
    given, folder = folder, Path(folder).resolve()
    in_use = folder.exists() and any(folder.iterdir())
    if in_use and not force and not _holds_demo(folder):
        raise ValueError(
            f"the folder {str(given)!r} holds other files and no earlier demo. Choose "
            "another with --out, or add --force to write into this one."
        )
    _make_scratch(folder).cleanup()
    return folder


def write_folder(result: DemoResult, folder: str | Path) -> Path:
    """Write the files of a demonstration, complete or not at all.

    The folder is made if it does not exist; files named as in `FILES` are replaced.
    """
    folder = Path(folder).resolve()
    with _make_scratch(folder) as scratch:
        # A plain folder inside it, because the scratch folder is private to the user.
        fresh = Path(scratch) / "demo"
        fresh.mkdir()
        _write_files(result, fresh)
        if not folder.exists():
            fresh.rename(folder)
        else:
            for name in FILES:
                os.replace(fresh / name, folder / name)
    return folder


def _write_files(result: DemoResult, folder: Path) -> None:
    shown, adapted = result.data.shown, result.denoised[ADL]
    pictures = {"noisy": shown.noisy, **result.denoised, "clean": shown.clean}
    display = display_settings(shown.clean)
    for name in describe_pictures(result):
        picture = Image.fromarray(render(pictures[name], display=display))
        picture.save(folder / picture_file(name))
    plot_acceptance(result.report).savefig(folder / "acceptance.png")
    denoised = write_dng(folder / "denoised.dng", _brightened(adapted))
    # One white balance for both, or they could not be compared.
    write_dng(folder / "noisy.dng", _brightened(shown.noisy), template=denoised)
    result.report.save(folder / "report.npz")
    _write_scenes(result, folder / "results.csv")
    numbers = json.dumps(_numbers(result), indent=2)
    (folder / "results.json").write_text(numbers + "\n", encoding="utf-8")
    beside = {name: what for name, what in FILES.items() if name != "report.html"}
    (folder / "report.html").write_text(to_html(result, beside), encoding="utf-8")


def _write_scenes(result: DemoResult, path: Path) -> None:
    columns = [
        f"{row.name}: {unit}" for row in result.rows for unit in ("PSNR (dB)", "SSIM")
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["scene", "ISO", "light factor", *columns])
        for index, pair in enumerate(result.data.test_pairs):
            scores = [row.score.images[index] for row in result.rows]
            values = [
                text for s in scores for text in (f"{s.psnr:.3f}", f"{s.ssim:.4f}")
            ]
            writer.writerow([pair.scene, f"{pair.iso:g}", f"{pair.ratio:g}", *values])


def _numbers(result: DemoResult) -> dict:
    noisy = result.rows[0]
    return {
        "made_by": _MARK,
        "target": result.target,
        "seed": result.seed,
        "test_scenes": len(result.data.test_pairs),
        "scores": [
            {
                "name": row.name,
                "mean_psnr_db": round(row.score.psnr, 3),
                "mean_ssim": round(row.score.ssim, 4),
                "worst_gain_db": round(row.worst_gain(noisy), 3),
                "training_seconds": round(row.seconds, 1),
            }
            for row in result.rows
        ],
        "source_batches": [
            {"domain": row.domain, "offered": row.offered, "accepted": row.accepted}
            for row in result.report.by_domain()
        ],
    }


def _brightened(image: RawImage) -> RawImage:
    """Multiply the signal by the light factor, which a DNG cannot carry."""
    black = spread_planes(image.black_planes, image.cfa, image.mosaic.shape)
    counts = black + image.ratio * (image.mosaic - black)
    counts = np.clip(counts, 0, image.white_level)
    return replace(image.with_mosaic(counts), ratio=1.0)


def _make_scratch(folder: Path) -> tempfile.TemporaryDirectory:
    """Make a scratch folder from which files can be moved to `folder` in one step."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
    place = folder if folder.exists() else folder.parent
    return tempfile.TemporaryDirectory(prefix=".skadl-demo-", dir=place)


def _holds_demo(folder: Path) -> bool:
    try:
        numbers = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(numbers, dict) and numbers.get("made_by") == _MARK
