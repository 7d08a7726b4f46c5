"""Captions of a selection, and files of them: JSON lines, Parquet or text, by one process or several."""

from __future__ import annotations

import contextlib
import errno
from concurrent.futures.process import BrokenProcessPool
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from hakubooru.arrays import integers, strings
from hakubooru.caption.captioner import Captioner
from hakubooru.errors import CaptionFormatError, DestinationError, IncompleteError
from hakubooru.files import replacing
from hakubooru.processes import Workers, ahead
from hakubooru.progress import progress
from hakubooru.quantity import quantity
from hakubooru.select.arguments import amount

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterator, Mapping
    from typing import IO

    import pandas as pd
    import pyarrow as pa

    from hakubooru.arrays import Ids
    from hakubooru.caption.format import CaptionFormat
    from hakubooru.store.store import PostSet

_POSTS_A_BLOCK: Final = 20_000
_BLOCKS_AHEAD: Final = 3  # for each worker, so that none waits for the writer


class Captions:
    """The captions of a selection's posts, in the selection's order; iterate it for pairs of id and caption."""

    def __init__(
        self, selection: PostSet, format: str | CaptionFormat | Mapping[str, Any] = "kohaku-epsilon"
    ) -> None:
        """Keep a selection and a format; the selection runs when the first caption is read.

        Args:
            selection: the posts.
            format: the name of a preset, a format, or a table of its fields.

        Raises:
            CaptionFormatError: the format is not valid; the message names the field.
        """
        self._selection = selection
        self.captioner = Captioner(selection.database, format)
        self._ids: Ids | None = None

    @property
    def ids(self) -> Ids:
        """The ids of the posts, (N,) int64."""
        if self._ids is None:
            self._ids = self._selection.to_ids()
        return self._ids

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self.captioner.captions(self.ids)

    def __repr__(self) -> str:
        return f"<Captions of {self._selection!r}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{number}</td><td>{escape(text)}</td></tr>" for number, text in self.head().items()
        )
        return f"<table><tr><th>id</th><th>caption</th></tr>{rows}</table><p>{quantity(len(self), 'caption')}</p>"

    def head(self, n: int = 5) -> pd.Series[str]:
        """Return the first captions, as a pandas Series by post id.

        Raises:
            InputError: `n` is negative, or not a whole number.
        """
        return self._series(self.ids[: amount(n, "head()", things="captions")])

    def to_pandas(self) -> pd.Series[str]:
        """Return all captions, as a pandas Series by post id."""
        return self._series(self.ids)

    def write(self, path: str | os.PathLike[str], workers: int = 1) -> None:
        """Write all captions to a `.jsonl`, `.parquet` or `.txt` file; memory does not grow with the posts.

        Args:
            path: `.jsonl` holds `{"id": 1, "caption": "…"}` on each line, `.parquet` the columns `id` and `caption`,
                `.txt` a caption on each line. The file appears when it is whole.
            workers: processes that write captions.

        Raises:
            DestinationError: the file cannot be written there.
            CaptionFormatError: captions have line ends, which a `.txt` file cannot hold.
            IncompleteError: a worker process was killed; nothing was written.
        """
        path = Path(path)
        check_suffix(path, self.captioner)
        write_captions(self.captioner, self.ids, path, workers)

    def _series(self, ids: Ids) -> pd.Series[str]:
        import pandas as pd  # noqa: PLC0415 - half a second, for those who ask for a Series

        captions = [caption for _, caption in self.captioner.captions(ids)]
        return pd.Series(captions, index=pd.Index(ids, name="id"), name="caption", dtype="str")


def check_suffix(path: Path, captioner: Captioner) -> None:
    """Check that captions can be written to a file.

    Raises:
        DestinationError: the file's suffix is not a known kind, the file is a folder, or its folder does not exist.
        CaptionFormatError: captions have line ends, which a `.txt` file with one caption on each line cannot hold.
    """
    if path.suffix not in _ENCODERS:
        raise DestinationError(
            f"{path} cannot be written: its name must end with one of {', '.join(_ENCODERS)}"
        )
    if path.is_dir():
        raise DestinationError(f"{path} cannot be written: it is a folder; name a file")
    if not path.parent.is_dir():
        raise DestinationError(f"{path} cannot be written: there is no folder {path.parent}; create it first")
    form = captioner.format
    for field in ("separator", "keep_separator", "before", "after"):
        if path.suffix == ".txt" and form.layout == "text" and "\n" in getattr(form, field):
            raise CaptionFormatError(
                f"caption.{field} has a line end, but {path} holds one caption on each line; write .jsonl or .parquet"
            )


def write_captions(
    captioner: Captioner, ids: Ids, path: Path, workers: int = 1, *, posts_a_block: int = _POSTS_A_BLOCK
) -> None:
    """Write the captions of posts to a file, in the order of the ids.

    `.jsonl` holds `{"id": 1, "caption": "…"}` on each line; a caption in the layout `json` is an object there.
    `.parquet` holds the columns `id` and `caption`. `.txt` holds a caption on each line. The file appears when it is
    whole, and is the same for any number of workers. Memory does not grow with the posts.

    Args:
        captioner: writes the captions.
        ids: posts, (N,) int64.
        path: the file to write.
        workers: processes that write captions.
        posts_a_block: how many captions a process makes at a time.

    Raises:
        DestinationError: the file cannot be written there.
        CaptionFormatError: captions have line ends, which a `.txt` file cannot hold.
        InputError: the database has no post of one of these ids.
        IncompleteError: a worker process was killed; nothing was written.
    """
    check_suffix(path, captioner)
    with (
        _explained(path),
        replacing(path) as beside,
        _Writer(beside, path.suffix) as writer,
        progress(total=len(ids), unit=" captions", unit_scale=True) as bar,
        contextlib.closing(_blocks(captioner, ids, path.suffix, workers, posts_a_block)) as blocks,
    ):
        for posts, block in blocks:
            writer.write(block)
            bar.update(posts)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Explain that a file cannot be written at its path; a disk that is full is another error."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
        raise DestinationError(f"{path} cannot be written: {error.strerror}; choose another path") from error


class _Writer:
    """Writes blocks from the encoders to a file; used in a `with` statement."""

    def __init__(self, path: Path, suffix: str) -> None:
        try:
            self._file: IO[bytes] = path.open("wb")
        except OSError as error:
            raise DestinationError(
                f"{path} cannot be created ({error.strerror}); choose another file"
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
    """Yield the number of posts in each block, and the block as its encoder made it."""
    slices = (ids[start : start + size] for start in range(0, len(ids), size))
    if workers == 1:
        for some in slices:
            yield len(some), _ENCODERS[suffix](captioner, some)
        return
    pool = Workers(workers, _begin, captioner, suffix)
    try:
        yield from ahead(pool, _encode, slices, _BLOCKS_AHEAD * workers)
    except BrokenProcessPool as error:
        raise IncompleteError(
            "a worker process was killed, often because memory ran out; run the command again with fewer workers"
        ) from error


_here: dict[str, Any] = {}
"""The state of a worker process, shared by its blocks."""


def _begin(captioner: Captioner, suffix: str) -> None:
    _here.update(captioner=captioner, encode=_ENCODERS[suffix])


def _encode(ids: Ids) -> tuple[int, Any]:
    return len(ids), _here["encode"](_here["captioner"], ids)


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
