"""``skadl demo``: what skadl does and gains, on simulated cameras."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

import click

from skadl.commands.demo.sizes import SIZES
from skadl.commands.terminal import cannot_write, failure, say, show_warning
from skadl.datasets import camera_names

CAMERAS = camera_names()


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("skadl-demo"),
    show_default=True,
    help="Folder for the results; made if it does not exist.",
)
@click.option(
    "--target",
    type=click.Choice(CAMERAS),
    metavar="CAMERA",
    default="CanonEOS70D",
    show_default=True,
    help=f"Simulated camera that stands for the new one: {', '.join(CAMERAS)}.",
)
@click.option(
    "--size",
    type=click.Choice(tuple(SIZES)),
    default="full",
    show_default=True,
    help="full: one to two minutes. tiny: to see that all works; too little training "
    "to judge by.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    default=0,
    show_default=True,
    help="Another seed gives other scenes, noise and networks.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Write into --out although it holds other files. They stay, except those "
    "with the name of a result.",
)
def demo(out: Path, target: str, size: str, seed: int, force: bool) -> None:
    """Show on simulated cameras what skadl does and gains.

    One camera stands for a new one, of which only twelve noisy/clean pairs exist. The
    network that comes with skadl denoises its pictures without any training. Then the
    network is adapted to the camera in two ways, with equally many steps. The first
    trains on all pairs of other cameras, one harmful set among them, and then on the
    twelve. The second is adaptive domain learning (ADL), which chooses among the
    others. The results are printed and written to a folder: a report, pictures, and
    RAW files (DNG).
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException(
            "the demo draws pictures with matplotlib, which is not installed. "
            "Install it with: python -m pip install 'skadl[plot]'"
        )
    from skadl.commands.demo.folder import FILES, check_folder, write_folder
    from skadl.commands.demo.page import (
        NEXT_STEPS,
        describe_setting,
        summarise,
        wrap,
    )
    from skadl.commands.demo.run import run_demo

    try:
        check_folder(out, force)
    except ValueError as error:
        raise failure(error) from error
    except OSError as error:
        raise click.ClickException(cannot_write(out, error)) from error

    budget = SIZES[size]
    say(wrap(describe_setting(target, budget)))
    say(["", f"This takes about {budget.duration} on two CPU cores.", ""])
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        result = run_demo(
            target,
            budget,
            seed,
            verbose=int(sys.stderr.isatty()),
            announce=lambda sentence: say(wrap(sentence)),
        )
    say(["", summarise(result), ""])
    try:
        write_folder(result, out)
    except OSError as error:
        raise click.ClickException(cannot_write(out, error)) from error
    width = max(map(len, FILES))
    say([f"Written to the folder {out}:"])
    say(f"  {name:<{width}}  {what}" for name, what in FILES.items())
    say(["", f"Open first:  {out / 'report.html'}", "", "Next:"])
    if size == "tiny":
        say(["  the whole demonstration", "    skadl demo"])
    for what, command in NEXT_STEPS:
        say([f"  {what}", f"    {command}"])
