"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path


def check_folder(path: Path) -> None:
    """Refuse to write a file where there is no folder for it.

    Parameters
    ----------
    path : Path
        File to write.

    Raises
    ------
    FileNotFoundError
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"there is no folder {str(path.parent)!r} to write {path.name} to; "
            "create it first."
        )


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file under a passing name, and put it in place once it is whole.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Path
        The name to write to, in the same folder; gone afterwards.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
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
