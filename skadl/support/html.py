"""Small pieces of HTML for notebooks; every name passes through `escaped`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from skadl.support.text import short_label

_LONGEST = 80  # characters of a name
_LEFT = ' style="text-align:left"'


def escaped(text: object, longest: int = _LONGEST) -> str:
    r"""Make any text safe to show on a page, on one line.

    >>> escaped("<b>\n&")
    '&lt;b&gt; &amp;'
    """
    return html.escape(short_label(str(text), longest))


def view(title: str, facts: Mapping[str, object], pictures: Sequence[str] = ()) -> str:
    """Lay out pictures (HTML), and a title with a table of facts below them."""
    rows = "".join(
        f"<tr><th{_LEFT}>{escaped(name)}</th><td{_LEFT}>{escaped(value)}</td></tr>"
        for name, value in facts.items()
    )
    shown = "".join(pictures)
    return f"<div>{shown}<div><b>{escaped(title)}</b></div><table>{rows}</table></div>"


def picture(address: str, caption: str) -> str:
    """Show a picture with its caption; next to another one where there is room."""
    caption = escaped(caption)
    return (
        '<figure style="display:inline-block;margin:0 8px 8px 0">'
        f'<img src="{html.escape(address)}" alt="{caption}" style="max-width:100%">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table of cells that are HTML already."""
    lines = [_row("th", header), *(_row("td", row) for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}{_LEFT}>{cell}</{tag}>' for cell in cells)}</tr>"
