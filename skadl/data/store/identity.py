"""What tells one frame from another, without reading its file where that will do."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache, partial
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from skadl.raw.image import LazyRawImage, RawImage

_LAYOUT = b"skadl frame 2, tiles of 64"  # another gives every frame another name


def identity(image: RawImage) -> str:
    """Name a frame by where its counts come from, or else by the counts.

    40 hexadecimal digits. Another path, size or time of change of a file, another
    reader or argument gives another name; nothing is read for it.
    """
    # Of a lazy image the reader and its arguments are looked at, and the files that
    # they name. Where the reader is a closure, a lambda or of a class that is no
    # dataclass, the image is read and the counts tell.
    digest = hashlib.blake2b(_LAYOUT, digest_size=20)
    try:
        description = _describe(image)
    except (_NotDescribed, OSError):  # reading says what is wrong, if anything is
        description = _describe(image.with_mosaic(image.mosaic))
    digest.update(description.encode())
    return digest.hexdigest()


class _NotDescribed(Exception):
    """Something that has no name beyond this process."""


def _describe(item: Any) -> str:
    """Write down what an object is, the same in every process."""
    match item:
        case LazyRawImage():
            parts = item.path, item.reader, item.overrides
        case str() | PurePath() if os.path.isfile(item):
            path = Path(item).resolve()
            found = path.stat()
            return repr((str(path), found.st_size, found.st_mtime_ns))
        case None | bool() | int() | float() | str() | bytes():
            return repr(item)
        case PurePath():
            parts = (str(item),)
        case np.generic():
            parts = (item.item(),)
        case np.ndarray() if not item.dtype.hasobject:
            counts = np.ascontiguousarray(item).data.cast("B")
            content = hashlib.blake2b(counts, digest_size=20).hexdigest()
            parts = item.dtype.str, *item.shape, content
        case tuple() | list():
            parts = item
        case Mapping():
            parts = [part for pair in sorted(item.items()) for part in pair]
        case partial():
            parts = item.func, item.args, item.keywords
        case MethodType():
            parts = item.__func__, item.__self__
        case FunctionType() | BuiltinFunctionType() | type():
            return _describe_code(item)
        case _ if is_dataclass(item):
            # Declared fields alone: others, such as cached properties, come and go.
            parts = [type(item), *(getattr(item, f.name) for f in fields(item))]
        case _:
            raise _NotDescribed
    return f"{type(item).__name__}({', '.join(map(_describe, parts))})"


@cache
def _describe_code(item: Any) -> str:
    """Name a function or class; one that is not skadl's own by its source as well."""
    name = f"{item.__module__}.{item.__qualname__}"
    if "<" in name:  # <lambda>, <locals>: others are called the same
        raise _NotDescribed
    if isinstance(item, BuiltinFunctionType) or name.startswith("skadl."):
        return name
    try:
        return f"{name}: {inspect.getsource(item)}"
    except (OSError, TypeError):
        raise _NotDescribed from None
