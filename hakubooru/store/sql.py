"""Lists of ids as one SQL parameter, of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from peewee import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakubooru.arrays import Ids


def id_text(ids: Iterable[int] | Ids) -> str:
    """Write ids as JSON text for `json_each(?)`. SQLite limits the number of variables, but not this list."""
    values = ids.tolist() if isinstance(ids, np.ndarray) else [int(i) for i in ids]
    return str(values)


def id_list(ids: Iterable[int] | Ids) -> SQL:
    """Write ids as the right-hand side of peewee's `in_`."""
    return SQL("(SELECT value FROM json_each(?))", [id_text(ids)])
