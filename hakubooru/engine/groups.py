"""Groups of posts: samples of each artist, character, work, rating or year, and families of parents and children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.arrays import by_id, distinct, id_text, is_first
from hakubooru.engine.cache import SidecarColumns
from hakubooru.engine.columns import MISSING, YEAR
from hakubooru.engine.tag_counts import FEW
from hakubooru.select.sampling import keys
from hakubooru.store.relations import posts_of_tags, relations_of
from hakubooru.store.schema import TAG_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Ids, Values
    from hakubooru.engine.cache import CachedStore
    from hakubooru.engine.columns import Columns

_PENDING: Final = 8_000_000  # pairs, 8 bytes each, between two sortings
_BITS: Final = 32
_MASK: Final = (1 << _BITS) - 1
_POSTS_A_ROUND: Final = 20_000
_POSTS_A_PIECE: Final = 20_000
_TAGS_A_PIECE: Final = 200


def sample_per(
    database: CachedStore,
    ids: Ids,
    by: str,
    at_most: int,
    seed: int,
    *,
    strict: bool = False,
    few: int = FEW,
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
        few: without a sidecar, dates and tags are looked up for fewer than one in this many of the posts.
    """
    # A rank in the order of keys takes fewer bits than a key, and identifies its post.
    by_key = np.argsort(keys(ids, seed))
    ranks = np.empty(len(ids), np.int64)
    ranks[by_key] = np.arange(len(ids))
    if by in TAG_TYPES:
        rows = database.rows("SELECT id FROM tag WHERE type = ?", [TAG_TYPES.index(by)])
        tags = np.array([tag_id for (tag_id,) in rows], np.int64)
        pairs = tag_pairs(database, ids, ranks, tags, few=few)
        chosen = _with_room(pairs, at_most) if strict else _smallest(pairs, tags, at_most)
    else:
        groups = years(database, ids, few=few) if by == "year" else _ratings(database, ids)
        smallest = Smallest(at_most, int(groups.max(initial=0)) + 1)
        smallest.add(groups, ranks)
        chosen = smallest.ranks()
    is_in = np.zeros(len(ids), bool)
    is_in[by_key[chosen]] = True
    sample: Ids = ids[is_in]
    return sample


def years(database: CachedStore, ids: Ids, *, few: int = FEW) -> Ids:
    """The year of each post's date as the file writes it, (N,) int64; 0 for a post without a date.

    Args:
        database: the file.
        ids: posts of the file, (N,) int64, each once.
        few: dates are looked up for fewer than one in this many of the posts, in place of a scan.
    """
    columns = database.cache.columns
    if columns.are_read("year") or not columns.are_few(len(ids), few):
        of_posts: Ids = columns.at(columns["year"], ids).astype(np.int64)
        return of_posts
    sql = f"SELECT id, {YEAR} FROM post WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    of_post = dict(database.rows(sql, [id_text(ids)]))
    return np.array([of_post[post_id] for post_id in ids.tolist()], np.int64)


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
        self._limits = np.full(groups, _MASK, np.int64)
        self._pending: list[Ids] = [np.empty(0, np.int64)]  # groups and ranks, packed
        self._count = 0

    def add(self, groups: Ids, ranks: Ids) -> None:
        """Add pairs of a group and a rank, (N,) each. A pair may be added several times."""
        has_chance = ranks <= self._limits[groups]
        self._pending.append(groups[has_chance] << _BITS | ranks[has_chance])
        self._count += len(self._pending[-1])
        if self._count > self._most_pending:
            self._settle()

    def ranks(self) -> Ids:
        """The ranks that are among the smallest of a group; a rank may occur several times."""
        self._settle()
        ranks: Ids = self._pending[0] & (_MASK)
        return ranks

    def _settle(self) -> None:
        pairs = distinct(np.concatenate(self._pending))
        groups = pairs >> _BITS
        place = _places(groups)
        last = place == self._at_most - 1
        self._limits[groups[last]] = pairs[last] & _MASK
        self._pending, self._count = [pairs[place < self._at_most]], 0


def _smallest(pairs: Iterator[tuple[Ids, Ids]], tags: Ids, at_most: int) -> Ids:
    """The ranks of the posts that are drawn for one of the tags, from pieces of tag ids and ranks."""
    smallest = Smallest(at_most, int(tags.max(initial=0)) + 1)
    for groups, ranks in pairs:
        smallest.add(groups, ranks)
    return smallest.ranks()


def _with_room(pairs: Iterator[tuple[Ids, Ids]], at_most: int) -> Ids:
    """The ranks of the posts that `with_room` takes, from pieces of tag ids and ranks."""
    pieces = [ranks << _BITS | groups for groups, ranks in pairs]
    return with_room(np.concatenate([np.empty(0, np.int64), *pieces]), at_most)


def with_room(pairs: Ids, at_most: int, *, posts_a_round: int = _POSTS_A_ROUND) -> Ids:
    """Take posts in the order of their ranks, each if all of its groups have fewer than `at_most` posts: their ranks.

    Args:
        pairs: ranks and groups, (N,) int64: `rank << 32 | group`, in any order; a pair may occur several times.
        at_most: the largest number of posts to take from a group.
        posts_a_round: how many posts are looked at together.
    """
    pairs = distinct(pairs)
    room = np.full(int((pairs & _MASK).max(initial=0)) + 1, at_most, np.int64)
    begins = np.flatnonzero(is_first(pairs >> _BITS))
    taken = [np.empty(0, np.int64)]
    for of_round in np.split(pairs, begins[posts_a_round::posts_a_round]):
        ranks, groups = of_round >> _BITS, of_round & _MASK
        is_taken = _taken(np.cumsum(is_first(ranks)) - 1, groups, room)
        room -= np.bincount(groups[is_taken], minlength=len(room))
        of_taken = ranks[is_taken]
        taken.append(of_taken[is_first(of_taken)])
    return np.concatenate(taken)


def _taken(posts: Ids, groups: Ids, room: Ids) -> Values:
    """Take posts in their order, each if all of its groups have room: which pairs are of posts that are taken, (N,) bool.

    A post is taken as soon as its groups have room even if all posts before it are, and is left out as soon as one of
    its groups is full of taken posts before it. Each look at the pairs decides at least the first post that waits, and
    in a random order most of them.

    Args:
        posts: the post of each pair, (N,) int64, ascending from 0.
        groups: the group of each pair, (N,) int64.
        room: how many posts each group still takes, by its number, (G,) int64.
    """
    is_taken = np.zeros(int(posts.max(initial=-1)) + 1, bool)
    waits = np.ones(len(is_taken), bool)
    by_group = np.sort(groups << _BITS | posts)
    while waits.any():
        group, post = by_group >> _BITS, by_group & _MASK
        places = _places(group)
        limits = room[group]
        has_room = waits.copy()
        has_room[post[places >= limits]] = False
        is_taken |= has_room
        of_taken = is_taken[post]
        ahead = np.cumsum(of_taken) - of_taken
        waits &= ~has_room
        waits[post[ahead - ahead[np.arange(len(group)) - places] >= limits]] = False
        by_group = by_group[(is_taken | waits)[post]]
    return is_taken[posts]


def _places(groups: Ids) -> Ids:
    """The place of each pair in its group, from 0, (N,) int64, for pairs that are sorted by group."""
    starts = np.flatnonzero(is_first(groups))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))


def tag_pairs(
    database: CachedStore, ids: Ids, ranks: Ids, tags: Ids, *, few: int = FEW
) -> Iterator[tuple[Ids, Ids]]:
    """Iterate over the tags of posts in pieces: tag ids and the ranks of the posts, (R,) int64 each.

    Args:
        database: the file.
        ids: posts, (N,) int64, each once.
        ranks: the rank of each post, (N,) int64.
        tags: the tags that count, (T,) int64.
        few: posts are looked up, in place of tags, for fewer than one in this many of the posts.
    """
    columns = database.cache.columns
    if isinstance(columns, SidecarColumns):
        look_up = _tags_in_sidecar if columns.are_few(len(ids), few) else _posts_in_sidecar
        yield from look_up(columns, ids, ranks, tags)
        return
    ranks_of = by_id(ids, ranks.astype(np.int32), -1)
    for posts, some in _relations(database, ids, tags, few):
        of_posts = ranks_of(posts)
        is_candidate = of_posts >= 0
        yield some[is_candidate], of_posts[is_candidate].astype(np.int64)


def _tags_in_sidecar(columns: SidecarColumns, ids: Ids, ranks: Ids, tags: Ids) -> Iterator[tuple[Ids, Ids]]:
    """Iterate over the pairs of `tag_pairs`, looked up by post."""
    is_asked = _is_among(tags)
    for first in range(0, len(ids), _POSTS_A_PIECE):
        posts = slice(first, first + _POSTS_A_PIECE)
        counts, some = columns.sidecar.tags_of(np.searchsorted(columns.ids, ids[posts]))
        inside = is_asked.take(some, mode="clip")
        yield some[inside].astype(np.int64), np.repeat(ranks[posts], counts)[inside]


def _posts_in_sidecar(columns: SidecarColumns, ids: Ids, ranks: Ids, tags: Ids) -> Iterator[tuple[Ids, Ids]]:
    """Iterate over the pairs of `tag_pairs`, looked up by tag."""
    of_file = np.full(len(columns.ids), -1, np.int64)
    of_file[columns.indices(ids)] = ranks
    for first in range(0, len(tags), _TAGS_A_PIECE):
        some_tags = tags[first : first + _TAGS_A_PIECE]
        of_tags = [columns.sidecar.places(tag_id) for tag_id in some_tags.tolist()]
        some = of_file[np.concatenate(of_tags)]
        is_candidate = some >= 0
        yield np.repeat(some_tags, [len(of_tag) for of_tag in of_tags])[is_candidate], some[is_candidate]


def _relations(database: CachedStore, ids: Ids, tags: Ids, few: int) -> Iterator[tuple[Ids, Ids]]:
    """Iterate over the relations of the tags, at least those of the posts: post ids and tag ids, (R,) int64 each."""
    if not database.cache.columns.are_few(len(ids), few):
        return posts_of_tags(database, tags)
    is_asked = _is_among(tags)
    rows = ((posts, some, is_asked.take(some, mode="clip")) for _, posts, some in relations_of(database, ids))
    return ((posts[inside], some[inside]) for posts, some, inside in rows)


def _is_among(tags: Ids) -> Values:
    """Whether each number is one of some tags; the last place, where none is, stands for all larger numbers."""
    is_asked = np.zeros(int(tags.max(initial=0)) + 2, bool)
    is_asked[tags] = True
    return is_asked


def _ratings(database: CachedStore, ids: Ids) -> Ids:
    columns = database.cache.columns
    ratings: Ids = columns.at(columns["rating"], ids).astype(np.int64)
    return ratings


def best_of_family(ids: Ids, columns: Columns, by: str) -> Ids:
    """Keep the best post of each family, in the order of `ids`, (M,) int64.

    Args:
        ids: posts of the file, (N,) int64.
        columns: the columns of the file.
        by: the column that is compared; among equal posts, the one with the smallest id is the best.
    """
    places = np.searchsorted(columns.ids, ids)
    families = families_of(columns.ids, columns["parent_id"])[places]
    order = np.lexsort((ids, -columns[by][places].astype(np.int64), families))
    best: Ids = ids[np.sort(order[is_first(families[order])])]
    return best


def families_of(ids: Ids, parents: Values) -> Ids:
    """The number of each post's family, (N,) int64: equal for relatives, and different for all others.

    Children of one parent are relatives even if the file does not have the parent. Posts that are ancestors of each
    other, which Danbooru does not allow, are one family.

    Args:
        ids: all posts of a file, (N,) int64, ascending.
        parents: the id of the parent of each post, (N,); `MISSING` if it has none.
    """
    children = np.flatnonzero(parents != MISSING)
    kin = distinct(np.concatenate([ids[children], parents[children].astype(np.int64)]))
    up = np.arange(len(kin))
    up[np.searchsorted(kin, ids[children])] = np.searchsorted(kin, parents[children])
    # Each round goes twice as far up, to the oldest ancestor. In a ring there is none: the smallest place represents it.
    least = up
    for _ in range(max(1, len(kin)).bit_length()):
        least = np.minimum(least, least[up])
        up = up[up]
    families = ids.astype(np.int64, copy=True)
    member = np.flatnonzero(np.isin(ids, kin, assume_unique=True))
    families[member] = kin[least[up]][np.searchsorted(kin, ids[member])]
    return families
