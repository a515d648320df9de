"""A directive that shows the ``--help`` of every ``skadl`` command, as it is now."""

from __future__ import annotations

import click
from docutils import nodes
from docutils.parsers.rst import Directive

from skadl.commands.main import main


class CommandHelp(Directive):
    """Show the help of ``skadl`` and of each of its commands."""

    def run(self) -> list[nodes.Node]:
        """Build a section for each command."""
        document = self.state.document
        shown: list[nodes.Node] = []
        context = click.Context(main)
        commands = {"skadl": main} | {
            f"skadl {name}": main.get_command(context, name)
            for name in main.list_commands(context)
        }
        for title, command in commands.items():
            context = click.Context(command, info_name=title, max_content_width=76)
            section = nodes.section(ids=[nodes.make_id(title)])
            section += nodes.title(text=title)
            section += nodes.literal_block(
                text=command.get_help(context), language="text"
            )
            document.note_implicit_target(section, section)
            shown.append(section)
        return shown


def setup(app) -> dict:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"version": "1", "parallel_read_safe": True}
