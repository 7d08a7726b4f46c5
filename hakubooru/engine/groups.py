"""Samples of at most a number of posts for each artist, character, work, rating or year."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.select.sampling import keys
from hakubooru.store.reader import relations, relations_of, years
from hakubooru.store.schema import TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Ids
    from hakubooru.engine.cache import CachedStore
    from hakubooru.engine.columns import Columns
    from hakubooru.store.reader import Flags

_PENDING: Final = 8_000_000  # pairs, 8 bytes each, between two sortings
_RANK_BITS: Final = 32
_POSTS_A_ROUND: Final = 20_000


def sample_per(
    database: CachedStore, ids: Ids, by: str, at_most: int, seed: int, *, strict: bool = False
) -> Ids:
    """Keep the posts that have one of the `at_most` smallest keys of one of their groups, in the order of `ids`, (M,) int64.

    A post with several tags of a type belongs to the group of each. A post without one belongs to no group, and is left
    out. Posts without a date are a group of their own.

    If strict, no group has more than `at_most` posts of the sample: posts are taken in the order of their keys, each
    if all of its groups have room.

    Args:
        database: the file.
        ids: posts of the file, (N,) int64, each once.
        by: `artist`, `character`, `copyright`, `rating` or `year`.
        at_most: the largest number of posts to draw from a group.
        seed: the seed of the keys.
        strict: whether a post counts for each of its groups.
    """
    # A rank in the order of keys takes fewer bits than a key, and identifies its post.
    by_key = np.argsort(keys(ids, seed))
    ranks = np.empty(len(ids), np.int64)
    ranks[by_key] = np.arange(len(ids))
    if by in TAG_TYPES:
        chosen = _per_tag(database, ids, ranks, TAG_TYPES.index(by), at_most, strict=strict)
    else:
        groups = _years(database, ids) if by == "year" else _ratings(database, ids)
        smallest = Smallest(at_most, int(groups.max(initial=0)) + 1)
        smallest.add(groups, ranks)
        chosen = smallest.ranks()
    is_in = np.zeros(len(ids), bool)
    is_in[by_key[chosen]] = True
    sample: Ids = ids[is_in]
    return sample


class Smallest:
    """A collector of the smallest ranks of each group, from pairs that come in pieces.

    Args:
        at_most: how many ranks of each group to keep.
        groups: how many groups there are.
        pending: how many pairs, of 8 bytes each, wait before they are sorted.
    """

    def __init__(self, at_most: int, groups: int, *, pending: int = _PENDING) -> None:
        self._at_most = at_most
        self._most_pending = pending
        # A rank above the limit of its group is not among the smallest.
        self._limits = np.full(groups, (1 << _RANK_BITS) - 1, np.int64)
        self._pending: list[Ids] = [np.empty(0, np.int64)]  # groups and ranks, packed
        self._count = 0

    def add(self, groups: Ids, ranks: Ids) -> None:
        """Add pairs of a group and a rank, (N,) each. A pair may be added several times."""
        has_chance = ranks <= self._limits[groups]
        self._pending.append(groups[has_chance] << _RANK_BITS | ranks[has_chance])
        self._count += len(self._pending[-1])
        if self._count > self._most_pending:
            self._settle()

    def ranks(self) -> Ids:
        """The ranks that are among the smallest of a group; a rank may occur several times."""
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


def _per_tag(database: CachedStore, ids: Ids, ranks: Ids, type: int, at_most: int, *, strict: bool) -> Ids:
    """The ranks of the posts that are drawn for one of their tags of a type, by the relations of the file."""
    flags = _tags_of_type(database, type)
    columns = database.cache.columns
    if strict:
        pieces = [posts << _RANK_BITS | groups for groups, posts in tag_pairs(database, ids, ranks, flags)]
        return with_room(np.concatenate([np.empty(0, np.int64), *pieces]), at_most)
    if columns.know_tags():
        return _by_postings(columns, ids, ranks, np.flatnonzero(flags), at_most)
    smallest = Smallest(at_most, len(flags))
    for groups, posts in tag_pairs(database, ids, ranks, flags):
        smallest.add(groups, posts)
    return smallest.ranks()


def with_room(pairs: Ids, at_most: int, *, posts_a_round: int = _POSTS_A_ROUND) -> Ids:
    """Take posts in the order of their ranks, each if all of its groups have fewer than `at_most` posts: their ranks.

    Args:
        pairs: ranks and groups, (N,) int64: `rank << 32 | group`, in any order; a pair may occur several times.
        at_most: the largest number of posts to take from a group.
        posts_a_round: how many posts are looked at together.
    """
    pairs = np.unique(pairs)
    ranks, groups = pairs >> _RANK_BITS, pairs & ((1 << _RANK_BITS) - 1)
    starts = np.flatnonzero(np.append(True, ranks[1:] != ranks[:-1])[: len(ranks)])
    counts = np.zeros(int(groups.max(initial=0)) + 1, np.int64)
    taken = [np.empty(0, np.int64)]
    for first in range(0, len(starts), posts_a_round):
        begins = starts[first : first + posts_a_round]
        ends = np.append(starts, len(pairs))[first + 1 : first + 1 + posts_a_round]
        of_round = groups[begins[0] : ends[-1]]
        # A group that all posts of the round together cannot fill has room for each of them.
        cannot_fill = counts + np.bincount(of_round, minlength=len(counts)) <= at_most
        has_room = np.logical_and.reduceat((counts < at_most)[of_round], begins - begins[0])
        is_taken = np.logical_and.reduceat(cannot_fill[of_round], begins - begins[0])
        counts += np.bincount(of_round[np.repeat(is_taken, ends - begins)], minlength=len(counts))
        for post in np.flatnonzero(has_room & ~is_taken).tolist():
            of_post = groups[begins[post] : ends[post]]
            if (counts[of_post] < at_most).all():
                counts[of_post] += 1
                is_taken[post] = True
        taken.append(ranks[begins[is_taken]])
    return np.concatenate(taken)


def tag_pairs(database: CachedStore, ids: Ids, ranks: Ids, flags: Flags) -> Iterator[tuple[Ids, Ids]]:
    """Iterate over the tags of posts in pieces: tag ids and the ranks of the posts, (R,) int64 each.

    Args:
        database: the file.
        ids: posts, (N,) int64, each once.
        ranks: the rank of each post, (N,) int64.
        flags: a flag for each tag id, (T,) bool: whether the tag counts.
    """
    order = np.argsort(ids, kind="stable")
    in_order, ranks = ids[order], ranks[order]
    is_few = database.cache.columns.are_few(ids)
    for posts, tags, _ in relations_of(database, ids, flags) if is_few else relations(database, flags):
        places = np.searchsorted(in_order, posts)
        is_candidate = places < len(in_order)
        is_candidate[is_candidate] = in_order[places[is_candidate]] == posts[is_candidate]
        yield tags[is_candidate], ranks[places[is_candidate]]


def _by_postings(columns: Columns, ids: Ids, ranks: Ids, tags: Ids, at_most: int) -> Ids:
    """The ranks of the posts that are drawn for one of the tags, by the sidecar's posts of each tag."""
    of_file = np.full(len(columns.ids), -1, np.int64)
    of_file[np.searchsorted(columns.ids, ids)] = ranks
    chosen = [np.empty(0, np.int64)]
    for tag_id in tags.tolist():
        of_tag = of_file[columns.places(tag_id)]
        of_tag = of_tag[of_tag >= 0]
        if len(of_tag) > at_most:
            of_tag = np.partition(of_tag, at_most)[:at_most]
        chosen.append(of_tag)
    return np.concatenate(chosen)


def _tags_of_type(database: CachedStore, type: int) -> Flags:
    last = int(database.scalar("SELECT ifnull(MAX(id), 0) FROM tag"))
    flags = np.zeros(last + 1, bool)
    flags[[tag_id for (tag_id,) in database.rows("SELECT id FROM tag WHERE type = ?", [type])]] = True
    return flags


def _years(database: CachedStore, ids: Ids) -> Ids:
    return years(database, ids, few=database.cache.columns.are_few(ids))


def _ratings(database: CachedStore, ids: Ids) -> Ids:
    columns = database.cache.columns
    ratings: Ids = columns["rating"][np.searchsorted(columns.ids, ids)].astype(np.int64)
    return ratings
