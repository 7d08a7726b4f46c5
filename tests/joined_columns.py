"""Joined columns that a test writes itself."""

from __future__ import annotations


class Columns:
    """Columns by name: post id → value."""

    def __init__(self, **columns):
        self.columns = columns

    @property
    def names(self):
        return list(self.columns)

    def values(self, name, ids):
        assert len(ids) <= 100_000
        return [self.columns[name].get(post) for post in ids.tolist()]
