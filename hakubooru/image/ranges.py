"""Reading parts of a file, each by itself or several in one read.

Parts are read together if few bytes lie between them: a jump takes an SSD as long as reading some tens of kilobytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

_GAP: Final = 64 * 2**10
"""The most bytes between two parts that are read with them."""
_BUFFER: Final = 2**20
"""The most bytes of one read, unless a single part has more."""


def read_parts(
    path: str, parts: Iterator[tuple[int, int]], *, gap: int = _GAP, most: int = _BUFFER
) -> Iterator[memoryview]:
    """Yield the bytes of each part of a file; fewer if the file ends before the part does.

    The bytes are valid only until the next part is read: the buffer is used again.

    Args:
        path: the file.
        parts: start and end (not included) of each part, in bytes, ascending.
        gap: the most bytes between two parts that are read with them.
        most: the most bytes of one read, unless a single part has more.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open("rb", buffering=0) as file:
        buffer = bytearray()
        for run in runs(parts, most, gap=gap):
            start, end = run[0][0], run[-1][1]
            if end - start > len(buffer):
                buffer = bytearray(end - start)
            view = memoryview(buffer)[: _read(file, start, memoryview(buffer)[: end - start])]
            for first, last in run:
                yield view[first - start : last - start]


def runs(
    parts: Iterator[tuple[int, int]], most: int, *, gap: int, share: float = 0.0
) -> Iterator[list[tuple[int, int]]]:
    """Group parts that are read together.

    Args:
        parts: start and end (not included) of each part, in bytes.
        most: the most bytes of one read, unless a single part has more.
        gap: bytes between two parts that are always read with them.
        share: the most bytes between two parts that are read with them, by the bytes of the second part.
    """
    run: list[tuple[int, int]] = []
    for start, end in parts:
        if run:
            between = start - run[-1][1]
            if not 0 <= between <= max(gap, share * (end - start)) or end - run[0][0] > most:
                yield run
                run = []
        run.append((start, end))
    if run:
        yield run


def _read(file: io.FileIO, start: int, buffer: memoryview) -> int:
    """Fill a buffer from a place in a file; return how many bytes were read."""
    file.seek(start)
    count = 0
    while count < len(buffer) and (some := file.readinto(buffer[count:])):
        count += some
    return count
