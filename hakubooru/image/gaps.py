"""What a published index of a tar leaves out: members between those that it names, and after the last one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from hakubooru.image.tar import BLOCK, DamagedTarError, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hakubooru.image.tar import Member, Stream

_EXTENSION: Final = 3 * BLOCK
"""The bytes up to which a gap is taken for the extension headers of the member after it, which most tars have."""
_PADDING: Final = 22 * BLOCK
"""The bytes up to which the rest of a tar is taken for its end mark and its padding to a record of 20 blocks."""
_MOST: Final = 256
"""The most members that are looked for; over a network each takes a request."""

Span = tuple[str, int, int]
"""The name, offset and size of a member that an index names."""


class _PastError(Exception):
    """Raised at the first member behind a gap."""


def gaps(spans: Iterable[Span], end: int) -> Iterator[tuple[int, int]]:
    """Yield where members may lie that an index does not name: start and end, in bytes.

    Args:
        spans: the members that the index names, by offset.
        end: the bytes of the tar.
    """
    at = 0
    for _, offset, size in spans:
        begin = offset - BLOCK
        if begin - at > _EXTENSION:
            yield at, begin
        at = max(at, offset + size + -size % BLOCK)
    if end - at > _PADDING:
        yield at, end


def left_out(file: Stream, spans: Iterable[Span], end: int) -> tuple[list[Member], str]:
    """Find the members of a tar that its index leaves out.

    Args:
        file: the tar.
        spans: the members that the index names, by offset.
        end: the bytes of the tar.

    Returns:
        the members; and "", or a text that says that there are more, which were not looked for one by one.

    Raises:
        OSError: the tar cannot be read.
    """
    members: list[Member] = []
    for start, stop in gaps(spans, end):

        def see(member: Member, stop: int = stop) -> bool:
            if member.header >= stop or len(members) > _MOST:
                raise _PastError
            members.append(member)
            return False

        with contextlib.suppress(_PastError, DamagedTarError):  # damage is met again by who reads the tar
            for _ in walk(file, start, end, see, see):
                pass
        if len(members) > _MOST:
            return members[:_MOST], f"has more than {_MOST} members that its published index leaves out"
    return members, ""
