"""Sources of records: a file or a folder of any form that is known by its content, read in batches."""

from __future__ import annotations

import codecs
import io
import os
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

from hakubooru.errors import DumpError
from hakubooru.ingest.batches import RECORDS, Batch, in_batches
from hakubooru.ingest.folders import Folder
from hakubooru.ingest.json_text import read_json
from hakubooru.ingest.relational import (
    RELATION,
    TAGS_KEY,
    ConnectedTables,
    ParquetTables,
    are_complete,
    posts_with_tags,
    role_of,
)
from hakubooru.ingest.tabular import (
    DELIMITERS,
    columns_by_table,
    open_tables,
    parquet_columns,
    read_csv,
    read_parquet,
    read_table,
)
from hakubooru.ingest.unpack import Leaf, Readable, damage_explained, leaves
from hakubooru.quantity import quantity
from hakubooru.store.about import About, recorded_about, site_of_addresses
from hakubooru.store.layout import recognise_generation

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from hakubooru.ingest.json_text import Entry
    from hakubooru.ingest.relational import Tables
    from hakubooru.ingest.tabular import Choose

_PARQUET, _SQLITE, _BOM = b"PAR1", b"SQLite format 3\0", codecs.BOM_UTF8
_DUCKDB, _DUCKDB_AT = b"DUCK", 8
_WIDE: Final = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins as UTF-16's does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MOST_TABLES: Final = 16
"""How many files of a folder are looked at to find KBlueLeaf's three among them."""
_LOOKED_AT: Final = 100
"""How many records are looked at to recognise a set: the first may be an error that a downloader kept."""
_MOST_BESIDE: Final = 100
"""How many files without records may stand before the first one with records."""


class Dump:
    """A source of records: a file, a folder of files, or the files of KBlueLeaf's tables."""

    def __init__(
        self, path: Path, files: Iterable[Path], size: int, tables: dict[str, Path] | None = None
    ) -> None:
        self.path = path
        self.size = size
        """The size of the files in bytes."""
        self.form = ""
        """What the source was recognised as, such as "JSON lines in tar in gzip"; empty before it is read."""
        self.passed_over = 0
        """How many files of a folder or an archive were not read, because they hold no records."""
        self._files = files
        self._tables = tables
        self._done = 0
        self._raw: io.BufferedReader | None = None
        self._share = 0.0
        self._first_beside: tuple[str, bytes] | None = None

    def bytes_read(self) -> int:
        """How many bytes of the files have been read."""
        if self._raw is None:
            return self._done
        return self._done + (self._raw.raw.tell() or int(self._share))

    def keys(self) -> set[str]:
        """The keys of the first records; empty if there are none."""

        def stop(columns: set[str]) -> Sequence[str]:
            raise _FirstKeys(columns)

        keys: set[str] = set()
        count = 0
        try:
            with closing(self.batches(stop, count=_LOOKED_AT)) as batches:
                for batch in batches:
                    if isinstance(batch, Batch):
                        keys |= batch.keys()
                        count += len(batch)
                    if count >= _LOOKED_AT:
                        break
        except _FirstKeys as first:
            keys |= first.keys
        return keys

    def batches(
        self, choose: Choose, headless: Sequence[str] = (), *, count: int = RECORDS
    ) -> Generator[Batch | Entry, None, None]:
        """Iterate over batches of records, and over single entries that are not records.

        Args:
            choose: takes the keys of the rows of a table and returns those that are to be read.
            headless: the columns of a CSV without headings.
            count: how many objects of JSON a batch has at most.

        Raises:
            DumpError: a file is damaged, or holds no records.
        """
        yield from in_batches(self._entries(choose, headless), count)

    def _entries(self, choose: Choose, headless: Sequence[str]) -> Iterator[Batch | Entry]:
        self._done, self.passed_over, self.form = 0, 0, ""
        if self._tables is not None:
            self._recognise("Parquet, three tables")
            yield from _joined(ParquetTables(self.path, self._tables), choose)
            self._done = self.size
            return
        for file in self._files:
            with damage_explained(file), open_bytes(file) as stream:
                self._raw = stream
                size = os.fstat(stream.fileno()).st_size
                try:
                    for leaf in leaves(file, stream, size):
                        yield from self._read(leaf, choose, headless)
                finally:
                    self._raw = None
            self._done += size
        if not self.form:
            self._refuse()

    def _read(self, leaf: Leaf, choose: Choose, headless: Sequence[str]) -> Iterator[Batch | Entry]:
        kind = kind_of(leaf.head)
        if _is_beside(leaf):
            self.passed_over += 1
            return
        if kind == "":
            self._pass_over(leaf)
            return
        self._recognise(" in ".join((kind, *reversed(leaf.packing))))
        match kind:
            case "JSON":
                stream = in_utf8(leaf)
                yield from read_json(stream, leaf.name, stream.peek(2**16))
            case "CSV":
                yield from read_csv(in_utf8(leaf), leaf.name, choose, headless)
            case "Parquet":
                size = leaf.path.stat().st_size if leaf.path else 0
                with leaf.on_disk() as path:
                    for rows, share in read_parquet(path, leaf.name, choose):
                        yield rows
                        self._share = share * size
            case _:
                with leaf.on_disk() as path, open_tables(path, kind, leaf.name) as connection:
                    yield from self._read_tables(leaf, path, connection, choose)

    def _pass_over(self, leaf: Leaf) -> None:
        """Count a file that holds no records, such as a README or a picture beside them."""
        self._first_beside = self._first_beside or (leaf.name, leaf.head)
        self.passed_over += 1
        if not self.form and self.passed_over == _MOST_BESIDE:
            self._refuse()

    def _refuse(self) -> NoReturn:
        if self._first_beside is None:
            raise DumpError(f"{self.path} is an archive without files: name one with a dump in it")
        name, head = self._first_beside
        others = f" ({self.passed_over:,} files like it)" if self.passed_over > 1 else ""
        raise DumpError(f"{name} is not a dump{others}: {what_it_is(head)}")

    def _read_tables(self, leaf: Leaf, path: Path, connection: Any, choose: Choose) -> Iterator[Batch]:
        by_table = columns_by_table(connection)
        if are_complete(by_table):
            self._recognise(f"{self.form}, three tables")
            about = recorded_about(connection) or About(site_of_addresses(connection))
            yield from _joined(ConnectedTables(Path(leaf.name), path, connection, about), choose)
            return
        if recognise_generation(by_table) is not None:
            raise DumpError(
                f"{leaf.name} is a metadata database of the first generation: it needs no build; run `hakubooru db migrate` on it"
            )
        tables = [table for table, columns in by_table.items() if len(by_table) == 1 or _has_tags(columns)]
        if len(tables) != 1:
            described = "; ".join(
                f"{table} ({', '.join(sorted(by_table[table])[:8])})" for table in sorted(by_table)
            )
            raise DumpError(
                f"{leaf.name} has {quantity(len(tables), 'table')} of posts, and must have one; its tables: {described or 'none'}"
            )
        table = tables[0]
        columns = sorted(choose(by_table[table]))
        yield from read_table(connection, table, columns, leaf.name)

    def _recognise(self, form: str) -> None:
        self.form = form if form.startswith(self.form) else self.form


def _has_tags(columns: set[str]) -> bool:
    return any(column.startswith("tag_string") for column in columns)


class _FirstKeys(Exception):  # noqa: N818 - no error: reading ends where the keys are known
    """The keys of the first records of a table."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__()
        self.keys = keys


def _joined(tables: Tables, choose: Choose) -> Iterator[Batch]:
    columns = choose(tables.keys())
    with posts_with_tags(tables, sorted({*columns, "id"} - {TAGS_KEY})) as rows:
        yield from rows


def _is_beside(leaf: Leaf) -> bool:
    """Whether a member of an archive is what macOS writes beside a file."""
    base = leaf.name.rsplit("/", 1)[-1]
    return bool(leaf.packing) and (base.startswith("._") or base == ".DS_Store")


def kind_of(head: bytes) -> str:
    """The form of a file: Parquet, DuckDB, SQLite, JSON or CSV; empty for any other."""
    if head.startswith(_PARQUET):
        return "Parquet"
    if head[_DUCKDB_AT:].startswith(_DUCKDB):
        return "DuckDB"
    if head.startswith(_SQLITE):
        return "SQLite"
    text = head
    for mark, encoding in _WIDE.items():
        if head.startswith(mark):
            text = head[: len(head) // 4 * 4].decode(encoding, "ignore").encode()
            break
    text = text.removeprefix(_BOM).lstrip()
    if text.startswith((b"{", b"[")):
        return "JSON"
    heading = text.split(b"\n", 1)[0]
    is_text = b"\0" not in text and not text.startswith((b"<", b"version https://"))
    is_table = any(delimiter.encode() in heading for delimiter in DELIMITERS)
    return "CSV" if is_text and is_table and b"\n" in text else ""


def in_utf8(leaf: Leaf) -> io.BufferedReader:
    """The text of a file in UTF-8 without a byte-order mark."""
    head = leaf.head
    for mark, encoding in _WIDE.items():
        if head.startswith(mark):
            return io.BufferedReader(Readable(_recoded(leaf.stream, encoding)))
    if head.startswith(_BOM):
        leaf.stream.read(len(_BOM))
    return leaf.stream


def _recoded(stream: IO[bytes], encoding: str) -> Callable[[int], bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()

    def read(count: int) -> bytes:
        while data := stream.read(max(4, count // 2)):  # in UTF-8 text may take half as much again
            if text := decoder.decode(data).encode():
                return text
        return b""

    return read


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader[Any]]:
    """Open a file for a `with` statement.

    Raises:
        DumpError: the file does not exist or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise DumpError(
            f"{path} is no file, and a dump is read more than once; write it to a file, and name that"
        )
    try:
        stream = io.BufferedReader(path.open("rb", buffering=0), 2**20)
    except FileNotFoundError as error:
        raise DumpError(f"{path} does not exist; name a dump of posts") from error
    except OSError as error:
        raise DumpError(f"{path} cannot be read: {error.strerror}") from error
    with stream:
        yield stream


def find_dumps(paths: Sequence[Path]) -> list[Dump]:
    """The sources that paths stand for: each file, the files of each folder, and KBlueLeaf's tables together.

    Raises:
        DumpError: a path does not exist or cannot be read, or a folder has no file that may hold records.
    """
    dumps = []
    single: dict[str, Path] = {}
    for path in paths:
        if path.is_dir():
            dumps.append(_of_folder(path))
            continue
        with open_bytes(path) as stream:
            role = _role(path) if stream.read(4) == _PARQUET else None
        if role is not None:
            single[role] = path
        else:
            dumps.append(Dump(path, [path], path.stat().st_size))
    return dumps + _of_tables(single)


def _of_folder(path: Path) -> Dump:
    folder = Folder(path)
    first = list(islice(folder, _MOST_TABLES))
    if not first:
        raise DumpError(
            f"{path} is a folder without a file of records; name one with files such as .json or .parquet"
        )
    if all(file.suffix == ".parquet" for file in first[:2]):
        roles = {_role(file): file for file in first if file.suffix == ".parquet"}
        if RELATION in roles:
            (dump,) = _of_tables({role: file for role, file in roles.items() if role is not None}, path)
            return dump
    return Dump(path, folder, folder.size())


def _role(path: Path) -> str | None:
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this form needs it
    from pyarrow import parquet  # noqa: PLC0415

    try:
        return role_of(parquet_columns(parquet.read_schema(path)))
    except (pa.ArrowException, OSError):
        return None  # reading it has the better message


def _of_tables(files: dict[str, Path], folder: Path | None = None) -> list[Dump]:
    if not files:
        return []
    missing = {"post", "tag", RELATION} - files.keys()
    if missing:
        shown = ", ".join(str(file) for file in files.values())
        raise DumpError(
            f"{shown}: KBlueLeaf's tables belong together, and {' and '.join(sorted(missing))} is missing: name "
            "post.parquet, tag.parquet and posttagrelation.parquet, or their folder"
        )
    size = sum(file.stat().st_size for file in files.values())
    return [Dump(folder or files["post"], list(files.values()), size, files)]


def what_it_is(head: bytes) -> str:
    """Say what a file is that holds no records, and what to do."""
    if not head.strip():
        return "it is empty; download it again"
    if head.lstrip().startswith(b"<"):
        return "it looks like XML or HTML; get the posts as JSON"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer; fetch the file itself with `git lfs pull`"
    if head.startswith((b"-- MySQL", b"-- MariaDB", b"/*!40")):
        return "it is a dump of MySQL; load it into MySQL, and export the table as CSV"
    return "name a file of posts as JSON, CSV, Parquet, DuckDB or SQLite, packed or in an archive, or a folder of such files"
