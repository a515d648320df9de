"""Names from files are safe where they are shown, whatever is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.support.text import printable_line, short_label, wrapped

STEERING = {
    "escape": "\x1b]0;pwned\x07",
    "C1 control": "\x9b2J",
    "NUL": "a\0b",
    "bidi override": "photo\u202egnd.exe",
    "bidi isolate": "\u2066a\u2069",
    "bytes that are no text": "\udce9t\udce9",
    "zero width": "a\u200bb",
    "backspace": "ab\x08\x08cd",
}


@pytest.mark.parametrize("name", STEERING.values(), ids=STEERING)
def test_every_way__names_that_steer_a_terminal__are_harmless(name):
    for shown in (printable_line(name), short_label(name), wrapped(f"note: {name}")):
        assert shown.isprintable() and "\ufffd" in shown
        shown.encode()  # no surrogates


@given(st.text(), st.integers(2, 60))
def test_short_label__any_name__is_one_line_of_so_many_letters(name, longest):
    label = short_label(name, longest)
    assert label.isprintable() and len(label) <= longest


@pytest.mark.parametrize("end", ["\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_printable_line__every_line_break__becomes_a_space(end):
    assert printable_line(f"first{end}Error: forged") == "first Error: forged"


def test_printable_line__names_of_the_world__stay():
    for name in ("Käse 1", "夜景 β₂", "ночь.dng", "שלום", "e\u0301te\u0301", "📷 1"):
        assert printable_line(name) == name
