"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

_MOST_OF_NAME = 40  # characters, of up to four bytes: names have 255


def check_folder(path: Path) -> None:
    """Raise FileNotFoundError where there is no folder for a file to write."""
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(path.parent)!r} to write {path.name} to; "
            "create it first."
        )


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file under a passing name, and put it in place once it is whole.

    Yields the name to write to, in the same folder; gone afterwards. An OSError, with
    what to do, if the file cannot be written.
    """
    # Cut, so that a name as long as may be has room for what is added.
    part = path.with_name(f".{path.name[:_MOST_OF_NAME]}.{uuid.uuid4().hex}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise type(error)(
            f"cannot write {str(path)!r} ({error.strerror or error}); choose a folder "
            "that may be written to and has room."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
