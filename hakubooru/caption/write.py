"""Captions to a file: JSON lines, Parquet or text, by one process or several, in flat memory."""

from __future__ import annotations

import contextlib
import signal
from collections import deque
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from hakubooru.arrow import integers, strings
from hakubooru.errors import CaptionFormatError, DestinationError, IncompleteError
from hakubooru.files import replacing
from hakubooru.processes import Workers
from hakubooru.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future
    from pathlib import Path
    from typing import IO

    import pyarrow as pa

    from hakubooru.arrays import Ids
    from hakubooru.caption.captioner import Captioner

_POSTS_A_BLOCK: Final = 20_000
_BLOCKS_AHEAD: Final = 3  # for each worker, so that none waits for the writer


def check_suffix(path: Path, captioner: Captioner) -> None:
    """Check that captions can be written to such a file.

    Raises:
        DestinationError: the file's suffix says no known kind, it is a folder, or there is no folder to put it in.
        CaptionFormatError: the captions have line ends, and the file would be one caption a line.
    """
    if path.suffix not in _ENCODERS:
        raise DestinationError(f"{path} cannot be written: captions go to {', '.join(_ENCODERS)}")
    if path.is_dir():
        raise DestinationError(f"{path} cannot be written: it is a folder; name a file")
    if not path.parent.is_dir():
        raise DestinationError(f"{path} cannot be written: there is no folder {path.parent}; make it first")
    form = captioner.format
    for field in ("separator", "keep_separator", "before", "after"):
        if path.suffix == ".txt" and form.layout == "text" and "\n" in getattr(form, field):
            raise CaptionFormatError(
                f"`{field}` has a line end, and {path} would hold one caption a line: write .jsonl or .parquet"
            )


def write_captions(
    captioner: Captioner, ids: Ids, path: Path, workers: int = 1, *, posts_a_block: int = _POSTS_A_BLOCK
) -> None:
    """Write the captions of posts, in the order of the ids; the file is the same for any number of workers.

    `.jsonl` holds `{"id": 1, "caption": "…"}` a line (a caption in the layout `json` stands there as an object),
    `.parquet` the columns `id` and `caption`, `.txt` a caption a line. The file appears when it is whole.

    Args:
        captioner: of which database, in which format.
        ids: posts, (N,) int64.
        path: where to.
        workers: processes that make captions; above 1, a script needs `if __name__ == "__main__":`.
        posts_a_block: how many captions a process makes at a time.

    Raises:
        DestinationError: the file cannot be written there.
        InputError: the database has no post of one of these ids.
        IncompleteError: a worker was ended from outside; nothing was written.
    """
    check_suffix(path, captioner)
    with (
        replacing(path) as beside,
        _Writer(beside, path.suffix) as writer,
        progress(total=len(ids), unit=" captions", unit_scale=True) as bar,
        contextlib.closing(_blocks(captioner, ids, path.suffix, workers, posts_a_block)) as blocks,
    ):
        for posts, block in blocks:
            writer.write(block)
            bar.update(posts)


class _Writer:
    """Takes blocks as the encoders make them."""

    def __init__(self, path: Path, suffix: str) -> None:
        try:
            self._file: IO[bytes] = path.open("wb")
        except OSError as error:
            raise DestinationError(
                f"{path} cannot be made: {error.strerror}; choose another place"
            ) from error
        self._parquet = None
        if suffix == ".parquet":
            import pyarrow.parquet as pq  # noqa: PLC0415 - for this kind of file only

            self._parquet = pq.ParquetWriter(self._file, _schema(), compression="zstd")

    def write(self, block: Any) -> None:
        (self._parquet or self._file).write(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._parquet is not None:
            self._parquet.close()
        self._file.close()


def _blocks(
    captioner: Captioner, ids: Ids, suffix: str, workers: int, size: int
) -> Generator[tuple[int, Any]]:
    """The number of posts in each block, and the block."""
    slices = (ids[start : start + size] for start in range(0, len(ids), size))
    if workers == 1:
        for some in slices:
            yield len(some), _ENCODERS[suffix](captioner, some)
        return
    with Workers(workers, _begin, captioner, suffix) as pool:
        waiting: deque[tuple[int, Future[Any]]] = deque()
        try:
            for some in slices:
                waiting.append((len(some), pool.submit(_encode, some)))
                if len(waiting) > _BLOCKS_AHEAD * workers:
                    posts, future = waiting.popleft()
                    yield posts, future.result()
            for posts, future in waiting:
                yield posts, future.result()
        except BrokenProcessPool as error:
            raise IncompleteError(
                "a worker process was ended from outside (often for want of memory); run it again with fewer workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_here: dict[str, Any] = {}
"""What a worker process was given when it began."""


def _begin(captioner: Captioner, suffix: str) -> None:
    # Ctrl-C reaches every process of the terminal: the first ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _here.update(captioner=captioner, encode=_ENCODERS[suffix])


def _encode(ids: Ids) -> Any:
    return _here["encode"](_here["captioner"], ids)


def _json_lines(captioner: Captioner, ids: Ids) -> bytes:
    shape = orjson.Fragment if captioner.format.layout == "json" else str
    lines = ({"id": post_id, "caption": shape(text)} for post_id, text in captioner.captions(ids))
    return b"".join([orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines])


def _text_lines(captioner: Captioner, ids: Ids) -> bytes:
    return "".join([f"{text}\n" for _, text in captioner.captions(ids)]).encode()


def _record_batch(captioner: Captioner, ids: Ids) -> pa.RecordBatch:
    import pyarrow as pa  # noqa: PLC0415 - for this kind of file only

    captions = strings([text for _, text in captioner.captions(ids)])
    return pa.record_batch([integers(ids, pa.int64()), captions], schema=_schema())


def _schema() -> pa.Schema:
    import pyarrow as pa  # noqa: PLC0415 - for this kind of file only

    return pa.schema([("id", pa.int64()), ("caption", pa.string())])


_ENCODERS: Final[dict[str, Callable[[Captioner, Ids], Any]]] = {
    ".jsonl": _json_lines,
    ".parquet": _record_batch,
    ".txt": _text_lines,
}
