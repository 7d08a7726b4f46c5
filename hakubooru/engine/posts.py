"""Read what captions need of posts: rating, date, a count, and tags; from the sidecar, or a statement for each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hakubooru.engine.cache import CachedStore
from hakubooru.engine.columns import NO_DATE, SidecarColumns, date_text
from hakubooru.errors import InputError
from hakubooru.store.sql import id_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakubooru.arrays import Ids, Values
    from hakubooru.store.store import Store

_POSTS: Final = """
SELECT post.id, post.rating, post.{count}, coalesce(substr(post.created_at, 1, 10), '')
FROM json_each(?) AS wanted CROSS JOIN post ON post.id = wanted.value
"""
_TAGS: Final = "SELECT wanted.key, tag_id FROM json_each(?) AS wanted CROSS JOIN posttagrelation"
# Tags come in the order of their relations. An index on the post alone holds them in that order, by the format of the
# file. Without such an index they are sorted.
_BY_INDEX: Final = f"{_TAGS} INDEXED BY {{index}} ON post_id = wanted.value"
_SORTED: Final = f"{_TAGS} ON post_id = wanted.value ORDER BY wanted.key, posttagrelation.id"
_INDEX_ON_POST: Final = """
SELECT name FROM pragma_index_list('posttagrelation') AS list
WHERE NOT partial AND (SELECT COUNT(*) = 1 AND MAX(name) = 'post_id' FROM pragma_index_info(list.name))
"""
_DAYS: Final = "SELECT id, coalesce(substr(created_at, 1, 10), '') FROM post WHERE id IN (SELECT value FROM json_each(?))"


class TaggedPosts(NamedTuple):
    """Some posts with their tags."""

    ids: Ids
    """The posts, (P,) int64."""
    ratings: Values
    """The number of each post's rating, (P,)."""
    counts: Values
    """The count by which each post's quality is judged, (P,)."""
    days: list[str]
    """The first ten characters of each post's date."""
    many: Values
    """How many tags each post has, (P,)."""
    tags: Ids
    """The ids of the tags of all posts, one post after another, in the order of their relations."""


def read_posts(
    store: Store, ids: Ids, count: str, *, posts_a_batch: int, repeats: bool = False
) -> Iterator[TaggedPosts]:
    """Iterate over posts and their tags in batches, in the order of `ids`.

    Args:
        store: the file.
        ids: posts, (N,) int64.
        count: the column by which quality is judged, `fav_count` or `score`.
        posts_a_batch: how many posts a batch has.
        repeats: whether a tag that the relations list twice for a post is there twice.

    Raises:
        InputError: the file has no post of one of these ids.
    """
    columns = store.cache.columns if isinstance(store, CachedStore) else None
    batches = (ids[start : start + posts_a_batch] for start in range(0, len(ids), posts_a_batch))
    if isinstance(columns, SidecarColumns) and not repeats:
        return (_from_sidecar(store, columns, some, count) for some in batches)
    statements = _POSTS.format(count=count), _tags_statement(store)
    return (_from_file(store, statements, some, repeats=repeats) for some in batches)


def _from_sidecar(store: Store, columns: SidecarColumns, ids: Ids, count: str) -> TaggedPosts:
    places = np.minimum(np.searchsorted(columns.ids, ids), max(len(columns.ids) - 1, 0))
    is_there = columns.ids[places] == ids if len(columns.ids) else np.zeros(len(ids), bool)
    if not is_there.all():
        raise _no_post(store, int(ids[~is_there].min()))
    days = columns.take("day", places).tolist()
    texts = [date_text(day) for day in days]
    if odd := [place for place, day in enumerate(days) if day % 2 or day == NO_DATE]:
        written = dict(store.rows(_DAYS, [id_text(ids[odd])]))
        for place in odd:
            texts[place] = written[int(ids[place])]
    many, tags = columns.sidecar.tags_of(places)
    return TaggedPosts(ids, columns.take("rating", places), columns.take(count, places), texts, many, tags)


def _from_file(store: Store, statements: tuple[str, str], ids: Ids, *, repeats: bool) -> TaggedPosts:
    of_posts, of_tags = statements
    listed = id_text(ids)
    rows = store.rows(of_posts, [listed])
    if len(rows) < len(ids):
        raise _no_post(store, min(set(ids.tolist()) - {row[0] for row in rows}))
    there, ratings, counts, days = zip(*rows, strict=True)
    assert there == tuple(ids.tolist()), "SQLite reads the posts in the order asked for"
    places, tags = store.reader.table(of_tags, [listed], columns=2, table="posttagrelation")
    many = np.bincount(places, minlength=len(ids))
    if not repeats:
        many, tags = _once(many, tags)
    return TaggedPosts(ids, np.array(ratings), np.array(counts), list(days), many, tags)


def _once(many: Values, tags: Ids) -> tuple[Values, Ids]:
    """Leave out repeated tags of posts: a file may hold a relation twice."""
    posts = np.repeat(np.arange(len(many)), many)
    pairs = posts << 40 | tags
    ascending = np.sort(pairs)
    if not (ascending[1:] == ascending[:-1]).any():
        return many, tags
    first = np.sort(np.unique(pairs, return_index=True)[1])
    return np.bincount(posts[first], minlength=len(many)), tags[first]


def _tags_statement(store: Store) -> str:
    for (index,) in store.rows(_INDEX_ON_POST):
        quoted = index.replace('"', '""')
        return _BY_INDEX.format(index=f'"{quoted}"')
    return _SORTED


def _no_post(store: Store, post_id: int) -> InputError:
    return InputError(f"{store.path} has no post {post_id}; select posts of this database")
