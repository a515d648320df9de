"""The command ``skadl``. A command's module is imported when the command is asked for.

So `skadl --help` needs no library, and each `skadl NAME --help` no torch: what a
command computes with, it imports inside its function.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

import skadl
from skadl.commands.terminal import never_fail_to_print, sigterm_as_ctrl_c
from skadl.support.text import printable_line

# Name: module, and the line for it in `skadl --help`; a test compares the line with
# the first sentence of the command.
_COMMANDS = {
    "app": (
        "skadl.commands.app.command",
        "Denoise photographs, check pairs and fit in a browser.",
    ),
    "calibrate": (
        "skadl.commands.calibrate",
        "Measure a camera on the dark frames and flats of RAW files in FOLDER.",
    ),
    "check": (
        "skadl.commands.check",
        "Check the noisy/clean pairs of RAW files in FOLDER, before any training.",
    ),
    "datasets": (
        "skadl.commands.datasets",
        "List the public datasets that skadl reads; nothing is downloaded.",
    ),
    "demo": (
        "skadl.commands.demo.command",
        "Show on simulated cameras what skadl does and gains.",
    ),
    "denoise": (
        "skadl.commands.denoise",
        "Denoise RAW files of any camera, with the network of skadl or your own.",
    ),
    "fit": (
        "skadl.commands.fit",
        "Fit a denoiser on the noisy/clean pairs of RAW files in FOLDER.",
    ),
    "info": (
        "skadl.commands.info",
        "Say what FILE holds: a model that skadl saved, or a camera's RAW file.",
    ),
    "plan": (
        "skadl.commands.plan",
        "Say which pairs to shoot for a new camera, and what is missing in a folder.",
    ),
}


class _LazyGroup(click.Group):
    """A group whose commands are in modules of their own."""

    def main(self, *args: Any, **options: Any) -> Any:
        with sigterm_as_ctrl_c():
            return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            # It may quote a file's name.
            error.message = printable_line(error.message)
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        return getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(skadl.__version__, prog_name="skadl")
def main() -> None:
    """Fit a denoiser for a new camera sensor from about twenty RAW pairs.

    `skadl denoise` denoises photographs of any camera at once. To make it better for
    yours: `skadl plan` says what to shoot, `skadl check` whether the pairs are good,
    `skadl fit` makes a model of them for `skadl denoise`. `skadl demo` shows what that
    gains.
    """
    never_fail_to_print()
