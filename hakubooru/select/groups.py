"""Samples that take at most so many posts of each artist, character, work, rating or year."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.schema import TAG_TYPES
from hakubooru.select.sampling import keys
from hakubooru.select.scan import is_few, relations, relations_of, years

if TYPE_CHECKING:
    from hakubooru.arrays import Ids
    from hakubooru.database import Database
    from hakubooru.select.columns import Columns
    from hakubooru.select.scan import Flags

_PENDING: Final = 8_000_000  # pairs, 8 bytes each, between two sortings
_RANK_BITS: Final = 32


def sample_per(database: Database, ids: Ids, by: str, at_most: int, seed: int) -> Ids:
    """The posts that are among the `at_most` smallest keys of any of their groups, in the order of `ids`, (M,) int64.

    A post that bears several tags of a type belongs to the group of each; one that bears none belongs to no
    group, and is left out. Posts without a date are a group of their own.

    Args:
        database: the file.
        ids: posts of the file, (N,) int64, once each.
        by: `artist`, `character`, `copyright`, `rating` or `year`.
        at_most: so many of a group.
        seed: of the keys.
    """
    # Ranks in the order of keys take fewer bits than keys, and name their post.
    by_key = np.argsort(keys(ids, seed))
    ranks = np.empty(len(ids), np.int64)
    ranks[by_key] = np.arange(len(ids))
    if by in TAG_TYPES:
        chosen = _per_tag(database, ids, ranks, TAG_TYPES.index(by), at_most)
    else:
        groups = years(database, ids) if by == "year" else _ratings(database, ids)
        smallest = Smallest(at_most, int(groups.max(initial=0)) + 1)
        smallest.add(groups, ranks)
        chosen = smallest.ranks()
    is_in = np.zeros(len(ids), bool)
    is_in[by_key[chosen]] = True
    found: Ids = ids[is_in]
    return found


class Smallest:
    """The smallest ranks of each group, found piece by piece.

    Args:
        at_most: so many of a group.
        groups: how many groups there are.
        pending: pairs that wait, 8 bytes each, before they are sorted.
    """

    def __init__(self, at_most: int, groups: int, *, pending: int = _PENDING) -> None:
        self._at_most = at_most
        self._most_pending = pending
        # Above its limit a rank has no chance any more.
        self._limits = np.full(groups, (1 << _RANK_BITS) - 1, np.int64)
        self._pending: list[Ids] = [np.empty(0, np.int64)]  # groups and ranks, packed
        self._count = 0

    def add(self, groups: Ids, ranks: Ids) -> None:
        """Consider some: groups and ranks, (N,) each; a pair may be added again."""
        has_chance = ranks <= self._limits[groups]
        self._pending.append(groups[has_chance] << _RANK_BITS | ranks[has_chance])
        self._count += len(self._pending[-1])
        if self._count > self._most_pending:
            self._settle()

    def ranks(self) -> Ids:
        """Those that are among the smallest of a group; a rank may stand there several times."""
        self._settle()
        ranks: Ids = self._pending[0] & ((1 << _RANK_BITS) - 1)
        return ranks

    def _settle(self) -> None:
        pairs = np.sort(np.concatenate(self._pending))
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]]
        groups = pairs >> _RANK_BITS
        starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1])[: len(groups)])
        place = np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))
        last = place == self._at_most - 1
        self._limits[groups[last]] = pairs[last] & ((1 << _RANK_BITS) - 1)
        self._pending, self._count = [pairs[place < self._at_most]], 0


def _per_tag(database: Database, ids: Ids, ranks: Ids, type: int, at_most: int) -> Ids:
    """The ranks of the posts that are chosen for any of their tags of a type."""
    wanted = _tags_of_type(database, type)
    if database.memory.columns.know_tags():
        return _by_postings(database.memory.columns, ids, ranks, np.flatnonzero(wanted), at_most)
    order = np.argsort(ids, kind="stable")
    in_order, ranks = ids[order], ranks[order]
    smallest = Smallest(at_most, len(wanted))
    found = relations_of(database, ids, wanted) if is_few(database, ids) else relations(database, wanted)
    for posts, tags, _ in found:
        places = np.searchsorted(in_order, posts)
        is_known = places < len(in_order)
        is_known[is_known] = in_order[places[is_known]] == posts[is_known]
        smallest.add(tags[is_known], ranks[places[is_known]])
    return smallest.ranks()


def _by_postings(columns: Columns, ids: Ids, ranks: Ids, tags: Ids, at_most: int) -> Ids:
    """The same, told by the posts of each tag."""
    of_file = np.full(len(columns.ids), -1, np.int64)
    of_file[np.searchsorted(columns.ids, ids)] = ranks
    chosen = [np.empty(0, np.int64)]
    for tag_id in tags.tolist():
        found = of_file[columns.places(tag_id)]
        found = found[found >= 0]
        if len(found) > at_most:
            found = np.partition(found, at_most)[:at_most]
        chosen.append(found)
    return np.concatenate(chosen)


def _tags_of_type(database: Database, type: int) -> Flags:
    last = int(database.scalar("SELECT ifnull(MAX(id), 0) FROM tag"))
    wanted = np.zeros(last + 1, bool)
    wanted[[tag_id for (tag_id,) in database.rows("SELECT id FROM tag WHERE type = ?", [type])]] = True
    return wanted


def _ratings(database: Database, ids: Ids) -> Ids:
    columns = database.memory.columns
    ratings: Ids = columns["rating"][np.searchsorted(columns.ids, ids)].astype(np.int64)
    return ratings
