"""Reading parts of a file, each by itself or several in one read, whichever is faster on the disk.

A jump takes a hard disk as long as reading a megabyte, an SSD as long as some tens of kilobytes, and the page cache as
long as a few. So the cost of a jump is measured on the first large archive of each disk. A jump is a short read far
from the last one. The time of a long read without the jump is the time of its bytes. Parts are read together if the
gap between them is smaller than the bytes that could be read during a jump.
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
"""Bytes between two parts that are always read rather than skipped: the padding of a tar."""
_LARGEST_GAP: Final = 4 * 2**20
_JUMPS: Final = 6
_LONG: Final = 2**20
_LARGE: Final = 32 * 2**20
"""Bytes of a file that is large enough to measure jumps in it."""
_BUFFER: Final = 2**20
"""The most bytes of one read, unless a single part has more."""

_gaps: Final[dict[int, int]] = {}
"""The bytes that each disk could read during a jump, by the disk's number."""


def read_spans(path: str, spans: Iterator[tuple[int, int]]) -> Iterator[memoryview]:
    """Yield the bytes of each span of a file; fewer if the file ends before the span does.

    The bytes are valid only until the next span is read: the buffer is used again.

    Args:
        path: the file.
        spans: start and end (not included) of each span, in bytes, ascending.

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
    """Group spans that are read together.

    Args:
        spans: start and end (not included) of each span, in bytes.
        gap: the most bytes between two spans that are read with them; below 0, each span is read by itself.
        most: the most bytes of one read, unless a single span has more.
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
    """Fill a buffer from a place in a file; return how many bytes were read."""
    file.seek(start)
    count = 0
    while count < len(buffer) and (some := file.readinto(buffer[count:])):
        count += some
    return count
