"""``skadl calibrate``: dark frames and flats in, a calibration file out."""

from __future__ import annotations

import json
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skadl.commands.parameters import POSITIVE
from skadl.commands.terminal import failure, note, say, show_warning

if TYPE_CHECKING:
    from skadl.noise.sensors import SensorInfo
    from skadl.raw.image import RawImage

# Words in the names of folders, and of files, that say what a frame is.
_WORDS = {
    "dark": ("dark", "bias", "offset", "black", "cap"),
    "flat": ("flat", "white"),
}
_EXAMPLES = """\b
Examples:
  skadl calibrate calibration --out my-camera.safetensors
  skadl denoise photos --calibration my-camera.safetensors
"""


@click.command(epilog=_EXAMPLES)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File for what is measured, by custom ending in .safetensors.",
)
@click.option("--sensor", metavar="NAME", help="Sensor, instead of the files' camera.")
@click.option("--iso", type=POSITIVE, metavar="NUMBER", help="Instead of the files'.")
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def calibrate(
    folder: Path,
    out: Path,
    sensor: str | None,
    iso: float | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure a camera on the dark frames and flats of RAW files in FOLDER.

    Darks are taken with the lens cap on, two or more at each ISO; sixteen are better.
    Expose them as long as your photographs. Flats show something even and bright, out
    of focus: two or more of equal exposure at each ISO, at about half of the range.
    Darks belong into a folder named dark (or bias), flats into one named flat. Of
    files in other folders skadl sees it itself.

    Written are gain, read noise, row noise, the error of the black level, dark
    shading, the pattern of columns and rows, and hot pixels. `skadl denoise` and
    `skadl fit` take the file with --calibration.
    """
    if out.exists() and not force:
        raise click.ClickException(
            f"there is a file {str(out)!r} already. Choose another with --out, or add "
            "--force to replace it."
        )
    from skadl.noise.calibration import calibrate_sensor
    from skadl.noise.sensor_files import save_sensors
    from skadl.noise.sensors import SensorTable

    frames, problems = _sort_frames(folder, sensor, iso)
    for problem in problems:
        note(problem)
    sensors: dict[str, SensorInfo] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the notes are shown below
        warnings.showwarning = show_warning
        try:
            if not frames:
                raise ValueError(
                    f"there is no dark frame and no flat in {str(folder)!r}. Shoot "
                    "frames with the lens cap on into a folder named dark, and of a "
                    "white wall into one named flat."
                )
            for name, kinds in frames.items():
                sensors[name] = calibrate_sensor(
                    darks=kinds["dark"], flats=kinds["flat"]
                )
            save_sensors(out, SensorTable(sensors))
        except (OSError, ValueError) as error:
            raise failure(error) from error
    counts = {
        name: {kind: len(members) for kind, members in kinds.items()}
        for name, kinds in frames.items()
    }
    if as_json:
        record = {
            "calibration": str(out),
            "sensors": {
                name: {"frames": counts[name], **_record(info)}
                for name, info in sensors.items()
            },
            "problems": problems,
        }
        click.echo(json.dumps(record, allow_nan=False))
    else:
        for name, info in sensors.items():
            say(_lines(name, counts[name], info))
        say(["", f"Written: {out}"])
        say([f"Try next: skadl denoise RAW... --calibration {shlex.quote(str(out))}"])
    if problems:
        raise click.exceptions.Exit(1)


def _sort_frames(
    folder: Path, sensor: str | None, iso: float | None
) -> tuple[dict[str, dict[str, list[RawImage]]], list[str]]:
    """Find darks and flats by sensor, and say which files are neither."""
    from skadl.noise.calibration_frames import kind_of
    from skadl.raw.rawfile import RAW_SUFFIXES, open_raw

    frames: dict[str, dict[str, list[RawImage]]] = {}
    problems = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in RAW_SUFFIXES or path.name.startswith("."):
            continue
        try:
            image = open_raw(path, sensor=sensor, iso=iso)
            kind = _kind_by_name(path.relative_to(folder)) or kind_of(image)
            name = image.sensor
        except (OSError, ValueError) as error:
            problems.append(str(error))
            continue
        if kind is None:
            problems.append(
                f"{path.name} is neither a dark frame nor a flat: it shows a picture. "
                "Left out; where it is one of them, put it into a folder named so."
            )
            continue
        frames.setdefault(name, {"dark": [], "flat": []})[kind].append(image)
    return frames, problems


def _kind_by_name(path: Path) -> str | None:
    for part in reversed(path.parts):
        kinds = [
            kind
            for kind, words in _WORDS.items()
            if any(word in part.lower() for word in words)
        ]
        if len(kinds) == 1:
            return kinds[0]
    return None


def _record(info: SensorInfo) -> dict[str, Any]:
    tables = ("gain", "gain_error", "plane_gain", "read_noise", "read_noise_error")
    tables += ("row_noise", "black_offset")
    record: dict[str, Any] = {
        name: {f"{iso:g}": value for iso, value in (getattr(info, name) or {}).items()}
        for name in tables
    }
    pattern = info.fixed_pattern
    record["fixed_pattern"] = pattern and {
        f"{iso:g}": {
            "rms": _rms(pattern, iso, info.cfa),
            "error": entry.error,
            "hot_pixels": int(entry.hot.size),
        }
        for iso, entry in pattern.by_iso.items()
    }
    return record | {"notes": list(info.notes)}


def _rms(pattern: Any, iso: float, cfa: str) -> float:
    return float(pattern.by_iso[iso].counts(cfa).std())


def _lines(name: str, counts: dict[str, int], info: SensorInfo) -> list[str]:
    from skadl.support.text import aligned, short_label, wrapped

    header = ("ISO", "gain", "read noise", "row noise", "pattern", "hot pixels")
    isos = sorted({*(info.gain or {}), *(info.row_noise or {})})
    rows = [header]
    for iso in isos:
        gain, read = (
            _figure(getattr(info, table), getattr(info, f"{table}_error"), iso)
            for table in ("gain", "read_noise")
        )
        row_noise, pattern, hot = "-", "-", "-"
        if info.row_noise and iso in info.row_noise:
            row_noise = f"{info.row_noise[iso]:.3g}"
        if info.fixed_pattern and iso in info.fixed_pattern.by_iso:
            entry = info.fixed_pattern.by_iso[iso]
            rms = _rms(info.fixed_pattern, iso, info.cfa)
            pattern, hot = f"{rms:.2g} +- {entry.error:.1g}", str(entry.hot.size)
        rows.append((f"{iso:g}", gain, read, row_noise, pattern, hot))
    lines = [
        f"sensor {short_label(name)}: {counts['dark']} dark frames, {counts['flat']} "
        "flats; in counts",
        *aligned(rows),
    ]
    return lines + [wrapped(f"Note: {text}") for text in info.notes]


def _figure(values: Any, errors: Any, iso: float) -> str:
    if not values or iso not in values:
        return "-"
    error = f" (to {errors[iso]:.1%})" if errors and iso in errors else ""
    return f"{values[iso]:.3g}{error}"
