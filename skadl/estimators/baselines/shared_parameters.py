"""Parameters that a class takes from its base, in its signature and its docstring.

A subclass writes ``**shared`` where it takes all others of its base. Left so,
scikit-learn and `help` would not find them.
"""

from __future__ import annotations

import inspect
import re

_MARK = "**shared"
_PARAMETERS = re.compile(
    r"(?<=\nParameters\n----------\n).*?(?=\n\n\w+\n-{3,}\n|\Z)", re.S
)


def spell_out(cls: type) -> None:
    """Replace ``**shared`` of a class by what it stands for in the class above it."""
    base = cls.__mro__[1]
    if "__init__" in cls.__dict__:
        joined = _joined_signature(cls.__init__, base.__init__)
        cls.__init__.__signature__ = joined
        rest = list(joined.parameters.values())[1:]  # without self
        cls.__signature__ = joined.replace(parameters=rest)  # what Sphinx asks
    if cls.__doc__ and base.__doc__ and _MARK in cls.__doc__:
        cls.__doc__ = _joined_docstring(cls.__doc__, base.__doc__)


def _joined_signature(function, base) -> inspect.Signature:
    signature = inspect.signature(function)
    own = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    shared = inspect.signature(base).parameters
    rest = [parameter for name, parameter in shared.items() if name not in own]
    return signature.replace(parameters=[*own.values(), *rest])


def _joined_docstring(text: str, base: str) -> str:
    r"""Put the entries of the base's parameters that are not told otherwise.

    >>> head = "What.\n\nParameters\n----------\n"
    >>> joined = _joined_docstring(head + "b : 1\n**shared", head + "a : 2\nb : 3")
    >>> joined.removeprefix(head)
    'b : 1\na : 2'
    """
    text, base = inspect.cleandoc(text), inspect.cleandoc(base)
    own = [entry for entry in _entries(text) if entry != _MARK]
    told = {name for entry in own for name in _names(entry)}
    rest = [entry for entry in _entries(base) if not told & _names(entry)]
    return _PARAMETERS.sub(lambda _: "\n".join([*own, *rest]), text, count=1)


def _entries(text: str) -> list[str]:
    """Split the parameters of a docstring, each with its description."""
    found = _PARAMETERS.search(text)
    return re.split(r"\n(?=\S)", found[0]) if found else []


def _names(entry: str) -> set[str]:
    return set(entry.partition(" :")[0].split(", "))
