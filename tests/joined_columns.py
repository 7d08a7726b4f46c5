"""Files of values by post id that a test writes and joins."""

from __future__ import annotations

import json


def join(database, folder, **columns):
    """Join a file for each column, named by it: post id → number or text."""
    for name, values in columns.items():
        file = folder / f"{name}.jsonl"
        rows = [{"id": post, "value": value} for post, value in values.items() if value is not None]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        database.join(name, file)
    return database
