"""Numbers, names and tables as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

_WIDTH = 80  # characters, of a line of prose


def percent(rate: float) -> str:
    """Write a fraction so that neither a few nor nearly all look like none or all.

    >>> [percent(rate) for rate in (0, 0.0004, 0.004, 0.45, 0.9996, 1)]
    ['0 %', '<0.1 %', '0.4 %', '45 %', '>99.9 %', '100 %']
    """
    if 0 < rate < 0.001:
        return "<0.1 %"
    if 0.999 < rate < 1:
        return ">99.9 %"
    plain = rate in (0, 1) or 0.0995 <= rate <= 0.99
    return f"{100 * rate:.0f} %" if plain else f"{100 * rate:.1f} %"


def short_label(name: str, longest: int = 40) -> str:
    r"""Make a name safe to show, on one line, cut to `longest` characters.

    Names come from files and folders; this is where they pass on their way to a
    terminal, a picture or a page.

    >>> short_label("a\x1b[2J\nb")
    'a�[2J b'
    """
    name = printable_line(name)
    return name if len(name) <= longest else name[: longest - 1] + "…"


def wrapped(text: str, indent: str = "  ") -> str:
    """Break a long sentence into lines, all but the first indented; words stay whole.

    >>> print(wrapped("note: " + 20 * "pairs "))
    note: pairs pairs pairs pairs pairs pairs pairs pairs pairs pairs pairs pairs
      pairs pairs pairs pairs pairs pairs pairs pairs
    """
    return fill(
        printable(text),
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows of cells as lines: the first column to the left, others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in rows
    ]


def printable(text: str) -> str:
    r"""Replace what a terminal might obey; names in files may hold anything.

    Control characters, surrogates of bytes that are no text, and what turns the
    direction of writing or has no shape: all that `str.isprintable` refuses.

    >>> print(printable("a \x1b[2J"))
    a �[2J
    """
    return "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def printable_line(text: str) -> str:
    r"""Put a message that may quote a file on one line that is safe to show.

    >>> printable_line("a\nb")
    'a b'
    """
    return printable(" ".join(text.split()))
