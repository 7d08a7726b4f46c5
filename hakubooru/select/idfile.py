"""Lists of post ids as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakubooru.arrays import Ids

SUFFIXES: Final = (".txt", ".parquet")
"""What a list of ids can be written as: a text with one id a line, or a Parquet file with a column `id`."""


def read_ids(path: Path) -> Ids:
    """The ids of a text file, one a line, in its order, (N,) int64; or of a Parquet file's column `id`.

    Raises:
        InputError: the file cannot be read, or a line is not an id.
    """
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path)
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}; give a text file with one post id a line"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text; give a text file with one post id a line") from error
    try:
        return np.array([int(line) for line in lines if line.strip()], np.int64)
    except (ValueError, OverflowError) as error:
        number, line = next((i, line) for i, line in enumerate(lines, 1) if line.strip() and not _is_id(line))
        raise InputError(
            f"{path}, line {number}: {line.strip()[:40]!r} is not a post id; give one whole number a line"
        ) from error


def packed(ids: Iterable[int] | os.PathLike[str] | str) -> bytes:
    """Ids of a list, an array or a file, ascending and once each, as little-endian int64.

    Raises:
        InputError: the file cannot be read, or an entry is not an id.
    """
    if isinstance(ids, str | os.PathLike):
        ids = read_ids(Path(ids))
    values = ids if isinstance(ids, np.ndarray) else np.array(list(ids))
    if len(values) and not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"post ids are whole numbers; these are {values.dtype}")
    return np.unique(values).astype("<i8").tobytes()


def check_suffix(path: Path) -> None:
    """Check that a file's suffix names a format that ids can be written in.

    Raises:
        InputError: it does not.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: its suffix names no format for ids; end it in {' or '.join(SUFFIXES)}")


def write_ids(path: Path, ids: Ids) -> None:
    """Write ids beside and rename.

    Raises:
        InputError: the name has another suffix than .txt or .parquet.
    """
    check_suffix(path)
    beside = path.with_name(f".{path.name}.new")
    try:
        if path.suffix == ".parquet":
            import pyarrow as pa  # noqa: PLC0415 - heavy, and only this format needs it
            from pyarrow import parquet  # noqa: PLC0415

            parquet.write_table(pa.table({"id": ids}), beside)
        else:
            with beside.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{post_id}\n" for post_id in ids.tolist())
        os.replace(beside, path)  # noqa: PTH105 - as atomic as the system can
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another path") from error
    finally:
        beside.unlink(missing_ok=True)


def _read_parquet(path: Path) -> Ids:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    try:
        ids: Ids = parquet.read_table(path, columns=["id"])["id"].to_numpy().astype(np.int64)
    except (pa.ArrowInvalid, KeyError) as error:
        raise InputError(f"{path} is not a Parquet file with a column `id`") from error
    return ids


def _is_id(line: str) -> bool:
    try:
        return -(2**63) <= int(line) < 2**63
    except ValueError:
        return False
