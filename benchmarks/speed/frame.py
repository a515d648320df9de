"""How fast a whole photograph is denoised, and how much memory that takes.

Every figure is from a process of its own, the best of several frames; the processes
take turns, and what the processor can do at most is measured among them. Networks are
random: this is about speed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pandas as pd
import torch

from benchmarks.result_files import CHECKOUT, DEFAULT_FOLDER, write_markdown
from benchmarks.speed.other_denoisers import PEERS, missing_package

CONTESTANTS = "benchmarks.speed.frame_contestants"
# s/MP and GiB on two cores without matrix registers; with them bfloat16 has 0.026 and
# 0.085 s/MP.
BARS = {
    "pyramid_unet 16/4, float32": (0.10, 1.2),
    "pyramid_unet 16/4, int8": (0.05, 1.2),
    "pyramid_unet 32/5, float32": (0.45, 2.0),
    "pyramid_unet 32/5, int8": (0.2, 2.0),
}
READING = """
`predict`: a frame of whole counts from the mosaic to the denoised mosaic, with the
safeguard, at the default memory limit. `network`: the part of it spent in the network,
overlap of tiles included. `plain`: the folded network without strips, on one tile of
2048x2048 sensor pixels. s/MP: wall-clock seconds for a million pixels of the mosaic.
CPU s/MP: processor time of all threads together, which a busy machine disturbs less.
`of the peak`: useful operations of
the network a second, over those of a loop of multiply-adds on vector registers in
the same precision with as many threads, processor time against processor time; above
100 % it is the processor's matrix registers that help. In int8 the operations are held
against none. Peak memory: of the
whole process, with Python, torch and the frame. BM3D, NLM and wavelet take each
plane of a crop by itself; PMRID is its published shape, channels_last, in one piece.
""".strip()


@click.command(name="frame")
@click.option(
    "--network",
    "networks",
    multiple=True,
    default=["pyramid_unet 16/4", "pyramid_unet 32/5"],
    help="Base channels / levels, of the U-Net if no other is named.",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    default=["float32", "bfloat16", "int8"],
)
@click.option("--megapixels", default=24.0)
@click.option("--rounds", default=4, help="Processes of every contestant.")
@click.option("--frames", default=3, help="Frames in each process; the best counts.")
@click.option("--threads", default=torch.get_num_threads())
@click.option("--peer", "peers", multiple=True, default=PEERS)
@click.option("--folder", type=Path, default=DEFAULT_FOLDER)
def main(
    networks: Sequence[str],
    precisions: Sequence[str],
    megapixels: float,
    rounds: int,
    frames: int,
    threads: int,
    peers: Sequence[str],
    folder: Path,
) -> None:
    """Time the denoising of a photograph, and measure its memory."""
    load = os.getloadavg()
    torch.set_num_threads(threads)  # which the page says
    contestants = ["peaks"] + [
        f"{what}, {name}, {precision}"
        for name in networks
        for precision in precisions
        for what in ("predict", "plain")
        if (what, precision) != ("plain", "int8")
    ]
    for peer in peers:
        missing = missing_package(peer)
        if missing is None:
            contestants.append(peer)
        else:
            click.echo(missing, err=True)
    rows = []
    for number in range(rounds):
        for contestant in contestants:
            click.echo(f"round {number + 1} of {rounds}: {contestant}", err=True)
            rows += [
                {"round": number, **row}
                for row in run_contestant(
                    contestant, megapixels, frames, threads, waits=number % 2 == 0
                )
            ]
        contestants.reverse()  # nobody always runs behind the same neighbour
    measured = pd.DataFrame(rows)
    folder.mkdir(parents=True, exist_ok=True)
    measured.to_csv(folder / "frame.csv", index=False, float_format="%.5g")
    best = measured.groupby("what", sort=False)[["s/MP", "CPU s/MP"]].min()
    best["MiB"] = measured.groupby("what", sort=False)["MiB"].max()
    best["GFLOP/MP"] = measured.groupby("what", sort=False)["GFLOP/MP"].max()
    peaks = measured.groupby("what")[["GFLOP/s", "CPU GFLOP/s"]].max()
    peaks = peaks.dropna(how="all")
    write_markdown(
        folder / "frame.md",
        f"A photograph of {megapixels:g} megapixels",
        {
            "Denoisers": tabulate(best, peaks),
            "Bars": tabulate_bars(best),
            "Peaks, GFLOP/s": tabulate_peaks(peaks),
            "Reading": READING,
        },
        load,
    )
    click.echo((folder / "frame.md").read_text(encoding="utf-8"))


def run_contestant(contestant: str, *settings: float, waits: bool) -> list[dict]:
    """Measure one contestant in a fresh process.

    Threads that have nothing to do spin, which is fastest and counts as processor
    time, or, if `waits`, sleep. Of both, the best figure of each clock counts.
    """
    words = [sys.executable, "-m", CONTESTANTS, contestant, *map(str, settings)]
    environment = {**os.environ, **({"OMP_WAIT_POLICY": "passive"} if waits else {})}
    done = subprocess.run(
        words,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise click.ClickException(f"{contestant} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def tabulate(best: pd.DataFrame, peaks: pd.DataFrame) -> pd.DataFrame:
    """Write what was measured, with the share of the peak where it is known."""
    rows = []
    for what, row in best.dropna(subset="s/MP").iterrows():
        precision = what.rsplit(", ", 1)[-1]
        share = ""
        if precision in peaks.index and row["GFLOP/MP"] > 0:
            speed = row["GFLOP/MP"] / row["CPU s/MP"]
            share = f"{100 * speed / peaks.loc[precision, 'CPU GFLOP/s']:.0f} %"
        rows.append(
            {
                "denoiser": what,
                "s/MP": f"{row['s/MP']:.4f}",
                "CPU s/MP": f"{row['CPU s/MP']:.4f}",
                "peak memory, MiB": f"{row['MiB']:.0f}",
                "of the peak": share,
            }
        )
    return pd.DataFrame(rows)


def tabulate_bars(best: pd.DataFrame) -> pd.DataFrame:
    """Hold the measurements against what was asked for."""
    rows = []
    for name, (seconds, gib) in BARS.items():
        what = f"predict, {name}"
        if what in best.index:
            found = best.loc[what]
            rows += [
                (f"{what}: s/MP", f"{seconds}", f"{found['s/MP']:.4f}"),
                (
                    f"{what}: CPU s/MP, two cores",
                    f"{2 * seconds:g}",
                    f"{found['CPU s/MP']:.4f}",
                ),
                (f"{what}: GiB", f"{gib}", f"{found['MiB'] / 1024:.2f}"),
            ]
    ours = "network, pyramid_unet 16/4, bfloat16"
    for peer, factor in (("PMRID, bfloat16", "at least 1"), ("BM3D", "at least 100")):
        if {ours, peer} <= set(best.index):
            ratio = best.loc[peer, "CPU s/MP"] / best.loc[ours, "CPU s/MP"]
            rows.append((f"CPU time of {peer} over {ours}", factor, f"{ratio:.3g}"))
    return pd.DataFrame(rows, columns=["bar", "wanted", "measured"])


def tabulate_peaks(peaks: pd.DataFrame) -> pd.DataFrame:
    """Write the ceilings."""
    return pd.DataFrame(
        {
            "loop": peaks.index,
            "GFLOP/s": peaks["GFLOP/s"].map("{:.0f}".format),
            "of one thread's processor time": peaks["CPU GFLOP/s"].map("{:.0f}".format),
        }
    )


if __name__ == "__main__":
    main()
