"""Reading parts of a file: each by itself, or several with what lies between them, whichever the disk does sooner.

A jump costs a hard disk as much time as a megabyte, an SSD as much as some tens of kilobytes, and the page cache as
much as a few. So what it costs here is measured on the first large archive of each disk: a jump is a short read far
from the last, and the rest of a long read is what its bytes take. Parts closer together than the bytes that a jump
is worth are read in one go: all of a dense selection, none of a sparse one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

_LEAST_GAP: Final = 512
"""Bytes between two parts that are never worth a jump: the padding of a tar."""
_LARGEST_GAP: Final = 4 * 2**20
_JUMPS: Final = 6
_LONG: Final = 2**20
_LARGE: Final = 32 * 2**20
"""Bytes of a file in which jumps are far."""
_BUFFER: Final = 2**20
"""Bytes that are read in one go at the most, unless one part has more."""

_gaps: Final[dict[int, int]] = {}
"""Of each disk, the bytes that a jump is worth."""


def read_spans(path: str, spans: Iterator[tuple[int, int]]) -> Iterator[memoryview]:
    """The bytes from start to end (not included) of each span, in ascending order; fewer where the file ends.

    What is given holds until the next is asked for.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open("rb", buffering=0) as file:
        gap = _gap(file)
        buffer = bytearray(_BUFFER)
        for run in _runs(spans, gap):
            start, end = run[0][0], run[-1][1]
            if end - start > len(buffer):
                buffer = bytearray(end - start)
            view = memoryview(buffer)[: _read(file, start, memoryview(buffer)[: end - start])]
            for first, last in run:
                yield view[first - start : last - start]


def runs(spans: Iterator[tuple[int, int]], gap: int, most: int) -> Iterator[list[tuple[int, int]]]:
    """Spans that are read together.

    Args:
        spans: start and end (not included) of each, in bytes.
        gap: bytes between two that are read rather than left out; below 0 each span is read by itself.
        most: bytes that are read in one go, unless one span has more.
    """
    run: list[tuple[int, int]] = []
    for span in spans:
        if run and (not 0 <= span[0] - run[-1][1] <= gap or span[1] - run[0][0] > most):
            yield run
            run = []
        run.append(span)
    if run:
        yield run


def _runs(spans: Iterator[tuple[int, int]], gap: int) -> Iterator[list[tuple[int, int]]]:
    return runs(spans, gap, _BUFFER)


def _gap(file: io.FileIO) -> int:
    status = os.fstat(file.fileno())
    if status.st_size < _LARGE:
        return _gaps.get(status.st_dev, _LEAST_GAP)
    if status.st_dev not in _gaps:
        _gaps[status.st_dev] = _measured(file, status.st_size)
    return _gaps[status.st_dev]


def _measured(file: io.FileIO, size: int) -> int:
    short, long = memoryview(bytearray(4096)), memoryview(bytearray(_LONG))
    begun = time.perf_counter()
    for number in range(1, _JUMPS + 1):
        _read(file, number * size // (_JUMPS + 2), short)
    jumped = time.perf_counter()
    _read(file, (_JUMPS + 1) * size // (_JUMPS + 2), long)
    jump = (jumped - begun) / _JUMPS
    byte = max(time.perf_counter() - jumped - jump, 1e-9) / _LONG
    return int(min(max(jump / byte, _LEAST_GAP), _LARGEST_GAP))


def _read(file: io.FileIO, start: int, buffer: memoryview) -> int:
    """Fill a buffer from a place in a file; gives how many bytes there were."""
    file.seek(start)
    count = 0
    while count < len(buffer) and (some := file.readinto(buffer[count:])):
        count += some
    return count
