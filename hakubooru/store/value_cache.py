"""The cache of joined files: the values of each in an SQLite file of its own, named by the hash of what it was read from.

Such a file has a table `rows` with the ids and values, a table `columns` with the kinds of the columns, and a table `blocks`
with the ids alone. It appears only when it is complete and on the disk. A file that was not used for a month is removed when
another is made.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import platformdirs

from hakubooru.errors import DestinationError, InputError
from hakubooru.files import remove_unused, touch
from hakubooru.store.value_files import is_text_form, read_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hakubooru.store.value_files import Rows

NUMBER: Final = "number"
TEXT: Final = "text"
BLOCK_TYPE: Final = "<i8"
"""The type of the ids in a block."""
_IDS_A_BLOCK: Final = 100_000
_LAYOUT: Final = 3
"""The version of the files; raise it when they change."""
_WORDS: Final = {
    **dict.fromkeys(("nan", "+nan", "-nan"), "NULL"),
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), "9e999"),
    **dict.fromkeys(("-inf", "-infinity"), "-9e999"),
}
"""The words that a CSV has for what is no finite number, and what SQLite has for them."""
_CASES: Final = " ".join(f"WHEN '{word}' THEN {number}" for word, number in _WORDS.items())
_ID: Final = re.compile(r"\s*([0-9]{1,19})(?:\.0*)?\s*", re.ASCII)


def place_of(sha256: str) -> Path:
    """The place of the values that were read from files with a hash; perhaps nothing is there yet."""
    folder = platformdirs.user_cache_path("hakubooru").absolute() / "joined"
    return folder / f"{sha256}.{_LAYOUT}.sqlite"


def columns_of(place: Path) -> dict[str, str] | None:
    """The kind of each column of values, `NUMBER` or `TEXT`, by its name; None if the file is missing or not whole.

    The file then counts as used.
    """
    try:
        with closing(sqlite3.connect(uri_of(place), uri=True)) as connection:
            ((pages, size),) = connection.execute("SELECT * FROM pragma_page_count, pragma_page_size")
            if pages * size != place.stat().st_size:
                return None
            columns = dict(connection.execute("SELECT name, kind FROM columns ORDER BY rowid"))
    except (OSError, sqlite3.Error):
        return None
    touch(place)
    return columns


def uri_of(place: Path) -> str:
    """The URI by which SQLite opens a file of the cache, which never changes."""
    return f"{place.as_uri()}?mode=ro&immutable=1"


def quoted(name: str) -> str:
    """The name of a column in SQL."""
    return '"{}"'.format(name.replace('"', '""'))


def make(place: Path, source: Path, files: Sequence[Path], *, ids_a_block: int = _IDS_A_BLOCK) -> None:
    """Read files of values into a place of the cache; several processes may do so at the same time.

    Args:
        place: the place.
        source: the file or folder that was asked for, for messages.
        files: the files to read.
        ids_a_block: how many ids are in a row of `blocks`.

    Raises:
        InputError: an id is doubled or is none, or there are no values.
        DestinationError: the cache cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_unused(place.parent)
        with TemporaryDirectory(dir=place.parent) as folder:
            beside = Path(folder, place.name)
            with closing(sqlite3.connect(beside, isolation_level=None)) as connection:
                connection.execute("ATTACH ? AS unsorted", [f"{beside}.unsorted"])
                for schema in ("main", "unsorted"):
                    connection.execute(f"PRAGMA {schema}.journal_mode = OFF")
                    connection.execute(f"PRAGMA {schema}.synchronous = OFF")
                _Builder(connection, source, ids_a_block).build(files)
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            beside.replace(place)
    except (OSError, sqlite3.OperationalError) as error:
        raise DestinationError(
            f"{place.parent} cannot be written: {error}; free space there and in the folder of temporary files, or set "
            "XDG_CACHE_HOME"
        ) from error


class _Builder:
    """Reads files into the tables of a joined file, in the order of ids."""

    def __init__(self, connection: sqlite3.Connection, source: Path, ids_a_block: int) -> None:
        self.connection = connection
        self.source = source
        self.ids_a_block = ids_a_block
        self.columns: dict[str, str] = {}
        """The kind of each column: NUMBER until a text is met."""
        self.last = -(2**63)
        self.is_sorted = True

    def build(self, files: Sequence[Path]) -> None:
        """Fill the tables.

        Raises:
            InputError: an id is doubled or is none, or there are no values.
        """
        run = self.connection.execute
        run("CREATE TABLE unsorted.rows (id INTEGER NOT NULL)")
        run("BEGIN")
        for file in files:
            for rows in read_values(file):
                self._add(rows, file)
        kept = {name: kind for name, kind in self.columns.items() if self._has_values(name)}
        if not kept:
            raise InputError(
                f"{self.source} has no values of posts; give a file with an id and a value in each row"
            )
        self._sort(kept)
        self._write_blocks()
        run("CREATE TABLE main.columns (name TEXT, kind TEXT)")
        self.connection.executemany("INSERT INTO main.columns VALUES (?, ?)", kept.items())
        run("COMMIT")

    def _sort(self, columns: Mapping[str, str]) -> None:
        run = self.connection.execute
        names = ", ".join(
            f"{quoted(name)} {'NUMERIC' if kind == NUMBER else 'TEXT'}" for name, kind in columns.items()
        )
        run(f"CREATE TABLE main.rows (id INTEGER PRIMARY KEY, {names})")
        # A CSV has NaN and infinities as text. Numbers of other files are stored as they are, and NaN as NULL.
        values = ", ".join(
            f"CASE lower(trim({quoted(name)})) {_CASES} ELSE {quoted(name)} END"
            if kind == NUMBER
            else quoted(name)
            for name, kind in columns.items()
        )
        order = "rowid" if self.is_sorted else "id"
        try:
            run(f"INSERT INTO main.rows SELECT id, {values} FROM unsorted.rows ORDER BY {order}")
        except sqlite3.IntegrityError as error:
            sql = "SELECT id FROM unsorted.rows GROUP BY id HAVING COUNT(*) > 1 ORDER BY id LIMIT 1"
            ((doubled,),) = run(sql).fetchall()
            raise InputError(f"{self.source}: post {doubled} has several rows; keep one") from error

    def _write_blocks(self) -> None:
        self.connection.execute("CREATE TABLE main.blocks (first INTEGER PRIMARY KEY, ids BLOB)")
        ids = self.connection.execute("SELECT id FROM main.rows ORDER BY id")
        while block := ids.fetchmany(self.ids_a_block):
            data = np.array(block, BLOCK_TYPE).tobytes()
            self.connection.execute("INSERT INTO main.blocks VALUES (?, ?)", [block[0][0], data])

    def _add(self, rows: Rows, file: Path) -> None:
        ids = _ids(rows.ids, file)
        self.is_sorted = self.is_sorted and ids == sorted(ids) and self.last <= ids[0]
        self.last = max(self.last, ids[-1])
        for name, values in rows.columns.items():
            if name not in self.columns:
                self._add_column(name, file)
            if self.columns[name] == NUMBER and not _are_numbers(values, as_text=is_text_form(file)):
                self.columns[name] = TEXT
        names = ", ".join(map(quoted, ["id", *rows.columns]))
        marks = ", ".join("?" * (1 + len(rows.columns)))
        values_of_rows = zip(ids, *rows.columns.values(), strict=True)
        try:
            self.connection.executemany(
                f"INSERT INTO unsorted.rows ({names}) VALUES ({marks})", values_of_rows
            )
        except OverflowError as error:
            raise InputError(
                f"{file} has a whole number of more than 64 bits; write it as a text, or leave its column out"
            ) from error
        except UnicodeEncodeError as error:
            raise InputError(f"{file} has a text that is no Unicode: {error}; correct it") from error

    def _add_column(self, name: str, file: Path) -> None:
        earlier = next((other for other in self.columns if other.lower() == name.lower()), None)
        if earlier is not None:
            raise InputError(
                f"{file} has the columns {earlier!r} and {name!r}, which searches cannot tell apart; rename one of them"
            )
        self.columns[name] = NUMBER
        self.connection.execute(f"ALTER TABLE unsorted.rows ADD COLUMN {quoted(name)}")

    def _has_values(self, name: str) -> bool:
        sql = f"SELECT EXISTS (SELECT 1 FROM unsorted.rows WHERE {quoted(name)} IS NOT NULL)"
        return bool(self.connection.execute(sql).fetchone()[0])


def _are_numbers(values: list[Any], *, as_text: bool) -> bool:
    if not as_text:
        return not any(isinstance(value, str) for value in values)
    return all(value is None or is_number(value) for value in values)


def is_number(text: str) -> bool:
    """Whether a text is a number for SQLite, or a word that a CSV has for one: nan or inf."""
    try:
        float(text)
    except ValueError:
        return False
    # Python reads 1_000 and digits of other scripts as numbers, and SQLite does not.
    return "_" not in text and text.isascii()


def _ids(values: list[Any], file: Path) -> list[int]:
    if set(map(type, values)) == {int} and min(values) >= 0 and max(values) < 2**63:
        return values
    return [_id(value, file) for value in values]


def _id(value: Any, file: Path) -> int:
    try:
        text = _ID.fullmatch(value) if isinstance(value, str) else None
        number = int(text[1] if text else value)
        is_same = text is not None or (not isinstance(value, (bool, str)) and number == value)
        if is_same and 0 <= number < 2**63:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"{file}: {value!r} is not a post id; give whole numbers, none of them missing")
