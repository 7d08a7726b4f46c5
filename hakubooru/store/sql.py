"""Lists of ids as one SQL parameter, whatever their length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from peewee import SQL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakubooru.arrays import Ids


def id_text(ids: Iterable[int] | Ids) -> str:
    """Ids as the JSON text that `json_each(?)` takes apart; SQLite limits the number of variables, not this."""
    values = ids.tolist() if isinstance(ids, np.ndarray) else [int(i) for i in ids]
    return str(values)


def id_list(ids: Iterable[int] | Ids) -> SQL:
    """Ids as the right-hand side of peewee's `in_`."""
    return SQL("(SELECT value FROM json_each(?))", [id_text(ids)])
