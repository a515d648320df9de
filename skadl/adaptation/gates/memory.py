"""What a gate remembers, as plain values that a file can hold, and back."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np


def to_plain(value: Any) -> Any:
    """Write a value as JSON takes it, so that `from_plain` gives it back bit for bit.

    Numbers, texts, truth values, None, arrays of numbers, and lists, tuples, deques and
    dicts of these; TypeError for anything else.

    >>> to_plain({"recent": deque([0.5, math.inf], maxlen=3)})
    {'dict': [['recent', {'deque': [3, [0.5, {'float': 'inf'}]]}]]}
    """
    match value:
        case None | bool() | str():
            return value
        case np.generic() | np.ndarray() if value.dtype.kind in "biuf":
            items = np.asarray(value).ravel().tolist()
            return {"array": [value.dtype.str, value.shape, list(map(to_plain, items))]}
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else {"float": repr(value)}
        case list():
            return [to_plain(item) for item in value]
        case tuple():
            return {"tuple": [to_plain(item) for item in value]}
        case deque():
            return {"deque": [value.maxlen, [to_plain(item) for item in value]]}
        case dict():
            pairs = [[to_plain(k), to_plain(item)] for k, item in value.items()]
            return {"dict": pairs}
    raise TypeError(f"a {type(value).__name__}")


def from_plain(plain: Any) -> Any:
    """Undo `to_plain`."""
    if isinstance(plain, list):
        return [from_plain(item) for item in plain]
    if not isinstance(plain, Mapping):
        return plain
    ((kind, content),) = plain.items()
    match kind:
        case "float":
            return float(content)
        case "tuple":
            return tuple(from_plain(item) for item in content)
        case "deque":
            return deque(map(from_plain, content[1]), maxlen=content[0])
        case "dict":
            return {from_plain(k): from_plain(item) for k, item in content}
        case "array":
            dtype, shape, items = content
            array = np.array([from_plain(item) for item in items], dtype)
            return array.reshape(shape)[()]  # a scalar where there is no side
    raise ValueError(f"a gate remembers {kind!r}")
