r"""Gain and read noise of real sensors, beside their photon-transfer lines.

`calibrate_sensor` is given all pairs of a sensor's ``.npz`` files, see
`benchmarks.real_pairs` for what these hold and for the table of the lines.

    python -m benchmarks.pairs.photon_transfer --pairs DATA/pairs \
        --figures DATA/real_meta.json
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd

from benchmarks.real_pairs import load_pairs, read_figures
from benchmarks.result_files import DEFAULT_FOLDER, write_markdown
from skadl import RawPair, calibrate_sensor

SENSORS = ("imx296", "nikon_d7000", "flea3", "seestar")


@click.command(name="photon_transfer")
@click.option("--pairs", type=click.Path(path_type=Path), required=True)
@click.option("--figures", type=click.Path(path_type=Path), required=True)
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(pairs: Path, figures: Path, folder: Path) -> None:
    """Measure sensors on all pairs of a folder, and compare with their lines."""
    load = os.getloadavg()
    lines = read_figures(figures)
    found = [measure(pairs, name, lines) for name in SENSORS]
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame([row for row in found if row is not None])
    table.to_csv(folder / "photon_transfer.csv", index=False, float_format="%.4g")
    sections: dict[str, pd.DataFrame | str] = {
        "Gain and read noise": tabulate(table),
        "Reading": READING,
    }
    title = "Sensors measured on pairs"
    write_markdown(folder / "photon_transfer.md", title, sections, load)
    click.echo((folder / "photon_transfer.md").read_text(encoding="utf-8"))


READING = """\
Line: the mean of the photon-transfer lines that come with the files, and beside it what
`skadl.calibrate_sensor` measures on all pairs of the sensor, with the standard error
that it states. Gains are in counts per electron, the mean of the four planes; read
noise is in counts, with what rounding to counts adds to it. By planes: straight lines
through mean and variance of every noisy frame less its clean one, plane by plane, their
mean gain and the root of their mean read variance; only for flat frames, whose pixels
have one signal. A camera that multiplies red and blue before it writes multiplies their
read noise too, so that the line of the greens alone lies lower. In the files of the
Seestar nothing tells the read noise."""


def measure(folder: Path, name: str, lines: dict) -> dict | None:
    """Measure one sensor on all its files; None where there are none."""
    paths = sorted(folder.glob(f"{name}*.npz"))
    if not paths:
        return None
    pairs = [
        RawPair(*(_named(image, name) for image in (pair.noisy, pair.clean)), path.stem)
        for path in paths
        for pair in load_pairs(path, 1.0, 1000)
    ]
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        info = calibrate_sensor(pairs)
    seconds = time.process_time() - start
    own = [lines[path.name] for path in paths if path.name in lines]
    if not own:
        with np.load(paths[0]) as file:
            own = [(float(file["gain_dn_per_e"]), np.nan)]
    gain, variance = np.mean(own, axis=0)
    iso = pairs[0].iso
    planes = line_by_planes(pairs) if "flat" in paths[0].name else (np.nan, np.nan)
    return {
        "sensor": name,
        "pairs": len(pairs),
        "gain_line": gain,
        "gain": info.gain[iso],
        "gain_error": info.gain_error[iso],
        "gain_by_planes": planes[0],
        "read_line": variance**0.5,
        "read": info.read_noise[iso],
        "read_error": info.read_noise_error[iso],
        "read_by_planes": planes[1],
        "seconds": seconds,
    }


def line_by_planes(pairs: Sequence[RawPair]) -> tuple[float, float]:
    """Fit a straight line to each plane of flat frames: mean gain, read noise."""
    signal, variance = np.zeros((2, 4, len(pairs)))
    for index, pair in enumerate(pairs):
        black = pair.noisy.black_planes[:, None, None]
        clean = pair.clean.packed() - black
        signal[:, index] = clean.mean(axis=(1, 2))
        residual = pair.noisy.packed() - black - clean
        variance[:, index] = residual.var(axis=(1, 2), ddof=1)
    lines = []
    for x, y in zip(signal, variance, strict=True):
        design, expected = np.stack([x, np.ones_like(x)], axis=1), y
        for _ in range(10):  # a variance errs in proportion to itself
            line = np.linalg.lstsq(
                design / expected[:, None], y / expected, rcond=None
            )[0]
            expected = design @ line
        lines.append(line)
    gain, read_variance = np.mean(lines, axis=0)
    return float(gain), float(read_variance**0.5)


def tabulate(found: pd.DataFrame) -> pd.DataFrame:
    """Lay the figures out for people."""
    rows = []
    for one in found.itertuples():
        row = {"sensor": one.sensor, "pairs": one.pairs}
        for what, places in (("gain", 4), ("read", 2)):
            line, own, error, planes = (
                getattr(one, f"{what}{end}")
                for end in ("_line", "", "_error", "_by_planes")
            )
            name = "gain" if what == "gain" else "read noise"
            apart = "" if np.isnan(line) else f" ({own / line - 1:+.1%})"
            row[f"{name}, line"] = "" if np.isnan(line) else f"{line:.{places}f}"
            row[f"{name}, measured"] = f"{own:.{places}f}{apart}"
            row[f"{name}, stated error"] = f"{error:.1%}"
            row[f"{name}, by planes"] = (
                ""
                if np.isnan(planes)
                else f"{planes:.{places}f} ({own / planes - 1:+.1%})"
            )
        rows.append(row | {"CPU seconds": f"{one.seconds:.1f}"})
    return pd.DataFrame(rows)


def _named(image, name: str):
    return type(image)(
        image.mosaic,
        image.cfa,
        image.black_level,
        image.white_level,
        name,
        image.iso,
        image.ratio,
    )


if __name__ == "__main__":
    main()
