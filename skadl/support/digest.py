"""The digest in a file that skadl wrote: a damaged one is told from a whole one.

A flipped bit in a weight gives another finite weight, and other pictures in silence. So
the description holds a digest of the whole file, computed with zeros in its place.
"""

from __future__ import annotations

import hashlib
import re
from typing import BinaryIO

UNSEALED = 64 * "0"  # stands in the description until the digest is known
# The description is a JSON text within a JSON text, so its quotes are escaped. In a
# name or a note they would be escaped twice.
_PLACE = re.compile(rb'\\"digest\\": \\"([0-9a-f]{64})\\"')
_CHUNK = 1 << 20


def seal(data: bytes) -> bytes:
    """Put the digest of a file into it, in place of `UNSEALED`."""
    place = _PLACE.search(data)
    digest = _new_hash(data).hexdigest().encode()
    return data[: place.start(1)] + digest + data[place.end(1) :]


def check_digest(head: bytes, body: BinaryIO) -> bool:
    """Refuse a file whose content does not fit its digest; say whether it has one.

    `head` is length and header of the file, `body` stands behind them, and does so
    again afterwards.
    """
    place = _PLACE.search(head)
    if place is None:
        return False
    found = _new_hash(head[: place.start(1)], UNSEALED.encode(), head[place.end(1) :])
    begin = body.tell()
    while chunk := body.read(_CHUNK):
        found.update(chunk)
    body.seek(begin)
    if found.hexdigest().encode() != place[1]:
        raise ValueError(
            "it is damaged or cut off: its content does not fit its digest"
        )
    return True


def _new_hash(*parts: bytes) -> hashlib.blake2b:
    found = hashlib.blake2b(digest_size=32)
    for part in parts:
        found.update(part)
    return found
