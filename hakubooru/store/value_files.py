"""Read values by post id from published files: Parquet, CSV, JSON lines, and tars of `ID.txt`.

A file has a column `post_id` or `id`; all other columns with numbers or texts are values. If it has both, `id` is taken for
the number of the row and left out. A tar has one column, `text`.
Nothing but a batch of rows is held in memory.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import tarfile
import zlib
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from hakubooru.errors import InputError
from hakubooru.quantity import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ID_NAMES: Final = ("post_id", "id")
"""The columns that may hold the ids of posts; the first that a file has counts, and the other is no value."""
_ROWS: Final = 5_000
_TEXTS: Final = 2_000
_BUFFER: Final = 2**20
"""The bytes of a Parquet file that are read at a time. By itself Arrow reads whole columns ahead, and keeps them."""
_LONGEST_TEXT: Final = 2**22
"""The most bytes of a text."""
_MEMBER: Final = re.compile(r"[0-9]{1,18}")
_SCALARS: Final = (int, float, str)


class Rows(NamedTuple):
    """A batch of rows: the ids of posts, and the values of each column, None where there is none."""

    ids: list[Any]
    columns: dict[str, list[Any]]


def files_of(path: Path) -> list[Path]:
    """The files to read: the file itself, or all files of a folder that can be read, sorted; hidden ones are passed over.

    Raises:
        InputError: there is no such file, or it has another form.
    """
    if not path.exists():
        where = "" if path.is_absolute() else f" in the current folder, {Path.cwd()}"
        raise InputError(f"{path} does not exist{where}; correct the path")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if _is_listed(file, path))
    if not files or _reader(files[0]) is None:
        raise InputError(f"{path} cannot be joined; give {', '.join(FORMS)}, or a folder of them")
    return files


def read_values(path: Path) -> Iterator[Rows]:
    """Iterate over the rows of a file in batches.

    Raises:
        InputError: the file is damaged, or has no ids.
    """
    reader = _reader(path)
    assert reader is not None
    try:
        yield from reader(path)
    except (OSError, EOFError, zlib.error, tarfile.TarError, csv.Error, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}; correct it, or download it again") from error


def is_text_form(path: Path) -> bool:
    """Whether a file has numbers as text, so that its columns show by all their values what they are."""
    return _suffix(path) in (".csv", ".tsv")


def _is_listed(file: Path, folder: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not is_hidden and file.is_file() and _reader(file) is not None


def _reader(path: Path) -> Callable[[Path], Iterator[Rows]] | None:
    return FORMS.get(_suffix(path))


def _suffix(path: Path) -> str:
    name = path.name.removesuffix(".gz").replace(".tgz", ".tar")
    return PurePosixPath(name).suffix.lower()


def _id_name(names: Sequence[str], path: Path) -> str:
    """Return the column of ids among the columns of a file, and check that each column has a name of its own."""
    doubled = next((name for at, name in enumerate(names) if name and name in names[:at]), None)
    if doubled is not None:
        raise InputError(f"{path} has two columns {doubled!r}; rename one of them")
    for name in ID_NAMES:
        if name in names:
            return name
    shown = ", ".join(map(str, names))
    raise InputError(f"{path} has no column id or post_id; name the column of post ids so (it has {shown})")


def _is_value(name: str) -> bool:
    """Whether a column holds values; one without a name is the index that pandas writes."""
    return name not in ("", *ID_NAMES)


def _read_parquet(path: Path) -> Iterator[Rows]:
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only this form needs it
    from pyarrow import parquet  # noqa: PLC0415

    try:
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            schema = file.schema_arrow
            key = _id_name(schema.names, path)
            names = [field.name for field in schema if _is_value(field.name) and _is_scalar(field.type)]
            for batch in file.iter_batches(batch_size=_ROWS, columns=[key, *names]):
                # Text in a dictionary, and numbers of any width, become Python's own.
                columns = {name: _plain(batch.column(name)).to_pylist() for name in names}
                yield Rows(batch.column(key).to_pylist(), columns)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _is_scalar(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(check(kind) for check in (*numbers, *texts))


def _plain(values: Any) -> Any:
    """A column with decimals, which DuckDB makes of 0.5, as doubles."""
    import pyarrow as pa  # noqa: PLC0415

    return values.cast(pa.float64()) if pa.types.is_decimal(values.type) else values


def _read_csv(path: Path) -> Iterator[Rows]:
    csv.field_size_limit(_LONGEST_TEXT)
    with _opened(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter="\t" if _suffix(path) == ".tsv" else ",", strict=True)
        heading = next(reader, [])
        key = heading.index(_id_name(heading, path))
        names = {place: name for place, name in enumerate(heading) if _is_value(name)}
        while rows := list(islice((row for row in reader if row), _ROWS)):
            short = next((row for row in rows if len(row) != len(heading)), None)
            if short is not None:
                raise csv.Error(
                    f"line {reader.line_num} or before has {quantity(len(short), 'field')}, not {len(heading)}"
                )
            columns = [[value or None for value in column] for column in zip(*rows, strict=True)]
            yield Rows([row[key] for row in rows], {name: columns[place] for place, name in names.items()})


def _read_json_lines(path: Path) -> Iterator[Rows]:
    with _opened(path) as stream:
        number = 0
        while lines := list(islice(stream, _ROWS)):
            records = []
            for line in lines:
                number += 1
                if line.strip():
                    records.append(_record(line, path, number))
            names = dict.fromkeys(name for record in records for name in record)
            if records:
                key = _id_name(list(names), path)
                columns = {
                    name: [_scalar(record.get(name)) for record in records]
                    for name in names
                    if _is_value(name)
                }
                yield Rows([record.get(key) for record in records], columns)


def _record(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InputError(f"{path}, line {number:,} is not JSON: {error}; write one object a line") from error
    if not isinstance(record, dict):
        raise InputError(f"{path}, line {number:,} is not an object; write one object a line")
    return record


def _scalar(value: Any) -> Any:
    return value if isinstance(value, _SCALARS) else None


def _read_tar(path: Path) -> Iterator[Rows]:
    with tarfile.open(path, "r|*") as tar:
        members = (member for member in tar if member.isfile() and _is_text(PurePosixPath(member.name)))
        rows = ((PurePosixPath(member.name).stem, _text_in(tar, member)) for member in members)
        while some := list(islice(rows, _TEXTS)):
            yield Rows([stem for stem, _ in some], {"text": [text for _, text in some]})


def _text_in(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str | None:
    """The text of a member of a tar, without blanks around it; None if nothing remains."""
    if member.size > _LONGEST_TEXT:
        raise ValueError(f"{member.name} has {member.size:,} bytes, and a text has at most {_LONGEST_TEXT:,}")
    file = tar.extractfile(member)
    assert file is not None
    try:
        return file.read().decode("utf-8-sig").strip() or None
    except UnicodeDecodeError as error:
        raise ValueError(f"{member.name} is not UTF-8: {error}") from error


def _is_text(name: PurePosixPath) -> bool:
    return name.suffix == ".txt" and bool(_MEMBER.fullmatch(name.stem))


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.name.endswith(".gz") else path.open("rb")  # type: ignore[return-value]


FORMS: Final[dict[str, Callable[[Path], Iterator[Rows]]]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".tar": _read_tar,
}
"""The readers of files by their suffix, without `.gz`."""
