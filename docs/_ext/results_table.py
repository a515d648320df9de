"""A directive that shows a table of a committed result file.

``.. results-table:: ../benchmarks/results/bench/table1.md`` reads the Markdown
table below the heading ``:section:`` (by default the first), so that no measured
figure is typed into a page. ``:columns:`` and ``:rows:`` choose by name, with ``|``
between.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive, directives


def read_tables(text: str) -> dict[str, list[list[str]]]:
    """Read the Markdown tables of a page.

    Parameters
    ----------
    text : str

    Returns
    -------
    dict of str to list of rows
        By the heading above each table; the first row holds the titles.
    """
    tables: dict[str, list[list[str]]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").strip()
        elif line.startswith("|") and not re.fullmatch(r"[|\s:-]+", line):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            tables.setdefault(heading, []).append(cells)
    return tables


def choose(
    table: list[list[str]], columns: list[str] | None, rows: list[str] | None
) -> list[list[str]]:
    """Keep the columns and rows that are asked for, in the order asked for.

    Parameters
    ----------
    table : list of rows
        Titles first.
    columns : list of str or None
        Titles; None keeps all.
    rows : list of str or None
        Beginnings of the first cell (several cells joined by " / "); None keeps all.

    Returns
    -------
    list of rows

    Raises
    ------
    ValueError
        If a column or row is not in the table.
    """
    titles, body = table[0], table[1:]
    if rows is not None:
        kept = []
        for wanted in rows:
            found = [row for row in body if " / ".join(row).startswith(wanted)]
            if not found:
                raise ValueError(f"no row begins with {wanted!r}")
            kept += [row for row in found if row not in kept]
        body = kept
    if columns is None:
        return [titles, *body]
    missing = [column for column in columns if column not in titles]
    if missing:
        raise ValueError(f"no column {missing}; there are {titles}")
    places = [titles.index(column) for column in columns]
    return [[row[place] for place in places] for row in [titles, *body]]


class ResultsTable(Directive):
    """Show a committed table, with a line that says where it is from."""

    required_arguments = 1
    option_spec = {
        "section": directives.unchanged,
        "columns": directives.unchanged,
        "rows": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """Build the table's nodes."""
        source = Path(self.state.document.current_source).parent
        path = (source / self.arguments[0]).resolve()
        document_settings = self.state.document.settings
        document_settings.record_dependencies.add(str(path))
        if hasattr(document_settings, "env"):
            document_settings.env.note_dependency(str(path))
        try:
            tables = read_tables(path.read_text(encoding="utf-8"))
            section = self.options.get("section") or next(iter(tables))
            chosen = choose(
                tables[section], self._names("columns"), self._names("rows")
            )
        except (OSError, KeyError, StopIteration, ValueError) as error:
            raise self.error(f"results-table {self.arguments[0]}: {error!r}") from error
        root = next(p for p in path.parents if (p / "pyproject.toml").is_file())
        where = nodes.paragraph(classes=["result-source"])
        where += nodes.Text(f"From {path.relative_to(root).as_posix()}, “{section}”.")
        frame = nodes.container(classes=["result-table"])
        frame += build_table(chosen)
        return [frame, where]

    def _names(self, option: str) -> list[str] | None:
        value = self.options.get(option)
        return None if value is None else [name.strip() for name in value.split("|")]


def build_table(rows: list[list[str]]) -> nodes.table:
    """Build a table; parts in backquotes are shown as code, addresses as links.

    Parameters
    ----------
    rows : list of rows
        Titles first.

    Returns
    -------
    table
    """
    group = nodes.tgroup(cols=len(rows[0]))
    group += [nodes.colspec(colwidth=1) for _ in rows[0]]
    head, body = nodes.thead(), nodes.tbody()
    head += _row(rows[0])
    body += [_row(row) for row in rows[1:]]
    group += [head, body]
    table = nodes.table(classes=["table"])
    table += group
    return table


def _row(cells: list[str]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        paragraph = nodes.paragraph()
        for part in re.split(r"(`[^`]*`|https://\S+)", cell):
            if part.startswith("https://"):
                short = part.removeprefix("https://").rstrip("/")
                paragraph += nodes.reference(text=short, refuri=part)
            elif part.startswith("`"):
                paragraph += nodes.literal(text=part.strip("`"))
            else:
                paragraph += nodes.Text(part)
        entry = nodes.entry()
        entry += paragraph
        row += entry
    return row


def setup(app) -> dict:
    """Register the directive."""
    app.add_directive("results-table", ResultsTable)
    return {"version": "1", "parallel_read_safe": True}
