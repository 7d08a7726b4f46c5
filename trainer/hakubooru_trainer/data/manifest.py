"""Checks of an export's manifest: whether a run can train on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from hakubooru.errors import DataSetError
from hakubooru.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def check_captions(manifest: Path, columns: Sequence[str]) -> None:
    """Refuse columns that a manifest does not have as texts.

    Raises:
        DataSetError: there is such a column.
    """
    texts = [
        field.name
        for field in parquet.read_schema(manifest)
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    for column in columns:
        if column not in texts:
            raise DataSetError(
                f"captions.mix names {column}, and {manifest} has no texts in such a column; {nearest(column, texts)}"
            )


def refuse_captions_alone(manifest: Path) -> None:
    """Refuse an export that has no images.

    Raises:
        DataSetError: it was made with `--sink captions`.
    """
    if (parquet.read_schema(manifest).metadata or {}).get(b"hakubooru.sink") == b"captions":
        raise DataSetError(
            f"{manifest.parent} holds captions without images (--sink captions); "
            "name an export with images, such as one of --sink folder"
        )
