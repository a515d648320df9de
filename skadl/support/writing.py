"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_MOST_OF_NAME = 40  # characters, of up to four bytes: names have 255


def check_folder(path: Path) -> None:
    """Raise FileNotFoundError where there is no folder for a file to write."""
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(path.parent)!r} to write {path.name} to; "
            "create it first."
        )


def hold(file: BinaryIO) -> None:
    """Mark an open file as in use; the mark goes with the process, killed or not."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # not on every network drive
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_abandoned(path: Path) -> bool:
    """Say whether no process holds a file; False where that cannot be told."""
    if fcntl is None:
        return False
    with contextlib.suppress(OSError), path.open("r+b") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of writing a file; nobody may write it now."""
    for part in path.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.part", part.name):
            with contextlib.suppress(OSError):
                part.unlink()


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
