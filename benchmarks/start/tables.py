"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def to_markdown(sections: Mapping[str, pd.DataFrame]) -> str:
    """Write one table under each heading."""
    parts = []
    for heading, table in sections.items():
        head = [table.index.name or "", *map(str, table.columns)]
        rows = [[str(index), *map(_cell, row)] for index, row in _rows(table)]
        lines = [head, ["---"] * len(head), *rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"### {heading}\n\n{body}\n")
    return "\n".join(parts)


def _rows(table: pd.DataFrame):
    return zip(table.index, table.itertuples(index=False), strict=True)


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
