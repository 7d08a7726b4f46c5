"""Read what captions need: of posts, in batches, rating, date, tags and the values that judge posts; and the tags of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from hakubooru.arrays import distinct, id_text
from hakubooru.engine.cache import CachedStore, SidecarColumns
from hakubooru.engine.columns import NO_DATE, date_text
from hakubooru.errors import InputError
from hakubooru.store.schema import Post

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from hakubooru.arrays import Ids, Values
    from hakubooru.store.store import Store

_POSTS: Final = (
    "SELECT post.id, {values} FROM json_each(?) AS wanted CROSS JOIN post ON post.id = wanted.value"
)
_IDS: Final = "SELECT post.id, {values} FROM (SELECT value AS id FROM json_each(?)) AS post"
"""Reads values of joined files, for which the id of a post is enough."""
_RATING: Final = "coalesce(post.rating, -1)"
_DAY: Final = "coalesce(substr(post.created_at, 1, 10), '')"
_TAGS: Final = "SELECT wanted.key, tag_id FROM json_each(?) AS wanted CROSS JOIN posttagrelation"
# Tags come in the order of their relations. An index on the post alone holds them in that order, by the format of the
# file. Without such an index they are sorted.
_BY_INDEX: Final = f"{_TAGS} INDEXED BY {{index}} ON post_id = wanted.value"
_SORTED: Final = f"{_TAGS} ON post_id = wanted.value ORDER BY wanted.key, posttagrelation.id"
_INDEX_ON_POST: Final = """
SELECT printf('"%w"', name) FROM pragma_index_list('posttagrelation') AS list
WHERE NOT partial AND (SELECT COUNT(*) = 1 AND MAX(name) = 'post_id' FROM pragma_index_info(list.name))
"""
_DAYS: Final = "SELECT id, coalesce(substr(created_at, 1, 10), '') FROM post WHERE id IN (SELECT value FROM json_each(?))"


_TAG: Final = (
    "SELECT tag.id, CAST(tag.name AS TEXT) AS name, CAST(tag.type AS INTEGER) AS type, "
    "CAST(popularity AS INTEGER) AS popularity FROM"
)
_ALL_TAGS: Final = f"{_TAG} tag ORDER BY id"
_THESE_TAGS: Final = f"{_TAG} json_each(?) AS wanted CROSS JOIN tag ON tag.id = wanted.value"

COUNTS: Final = ("fav_count", "score")
"""The columns of a post that it can be judged by; other columns are those of joined files."""


def column_sql(store: Store, name: str) -> str:
    """The SQL of a value of a row of `post`: of its own column, or of a joined one; NULL where a post has none."""
    if name in COUNTS:
        return f"post.{name}"
    return store.joined_columns[name].value_of("post.id")


class TaggedPosts(NamedTuple):
    """Some posts with their tags."""

    ids: Ids
    """The posts, (P,) int64."""
    ratings: Values
    """Their ratings, (P,), as indices of `RATINGS`; any other number if unknown."""
    days: Sequence[str]
    """The first ten characters of their dates; "" if unknown."""
    many: Values
    """How many tags each post has, (P,)."""
    tags: Ids
    """The ids of the tags of all posts, one post after another, in the order of their relations."""
    values: Mapping[str, Any]
    """Further values of the posts by their names; None if unknown."""


def read_posts(
    store: Store,
    ids: Ids,
    columns: Mapping[str, str],
    *,
    posts_a_batch: int,
    repeats: bool,
) -> Iterator[TaggedPosts]:
    """Iterate over posts and their tags in batches, in the order of `ids`.

    Args:
        store: the file.
        ids: posts, (N,) int64.
        columns: further values by name: the column that has each, one of `COUNTS` or of a joined file.
        posts_a_batch: how many posts a batch has.
        repeats: whether a tag that the relations list twice for a post is there twice.

    Raises:
        InputError: the file has no post of one of these ids.
    """
    statements = {name: column_sql(store, column) for name, column in columns.items()}
    read = store.cache.columns if isinstance(store, CachedStore) else None
    sidecar = read if isinstance(read, SidecarColumns) else None
    known = sidecar.names if sidecar is not None else frozenset()
    in_sidecar = {name: column for name, column in columns.items() if column in known}
    in_file = [name for name in columns if name not in in_sidecar]
    of_all = _POSTS.format(values=", ".join([_RATING, _DAY, *statements.values()]))
    need_posts = Post._meta.fields.keys() & {columns[name] for name in in_file}  # noqa: SLF001 - peewee's documented name
    of_others = (_POSTS if need_posts else _IDS).format(
        values=", ".join(statements[name] for name in in_file)
    )
    of_tags = _tags_statement(store)
    for start in range(0, len(ids), posts_a_batch):
        some = ids[start : start + posts_a_batch]
        wanted = id_text(some)
        values: Mapping[str, Any]
        if sidecar is not None and "rating" in known:
            ratings, days, values = _from_sidecar(store, sidecar, some, in_sidecar)
            if in_file:  # such as joined texts
                values = {
                    **values,
                    **dict(zip(in_file, _from_file(store, of_others, some, wanted), strict=True)),
                }
        else:
            ratings, days, *others = _from_file(store, of_all, some, wanted)
            ratings, values = np.array(ratings), dict(zip(columns, others, strict=True))
        if sidecar is not None and not repeats:
            many, tags = sidecar.sidecar.tags_of(np.searchsorted(sidecar.ids, some))
        else:
            places, tags = store.reader.table(of_tags, [wanted], columns=2, table="posttagrelation")
            many = np.bincount(places, minlength=len(some))
            many, tags = (many, tags) if repeats else _once(many, tags)
        yield TaggedPosts(some, ratings, days, many, tags, values)


def tag_table(database: Store, posts: Sequence[TaggedPosts] | None = None) -> pa.Table:
    """The tags of a file, or of some of its posts: a table with `id`, `name`, `type`, the number of the type, and `popularity`.

    The tags are in the order of their ids.

    Args:
        database: the file.
        posts: the posts whose tags to read; None means all tags.

    Raises:
        DatabaseFileError: a name is not UTF-8.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes a while, and only captions and tables need it

    kinds = pa.schema({"id": pa.int64(), "name": pa.string(), "type": pa.int64(), "popularity": pa.int64()})
    statement, parameters = _ALL_TAGS, []
    if posts is not None:
        borne = distinct(np.concatenate([np.empty(0, np.int64), *[some.tags for some in posts]]))
        statement, parameters = _THESE_TAGS, [id_text(borne)]
    tags = pa.Table.from_batches(database.reader.batches(statement, parameters), kinds)
    try:
        tags.validate(full=True)
    except pa.ArrowInvalid:
        database.rows(statement, parameters)  # says which name is not UTF-8
        raise
    return tags


def _from_sidecar(
    store: Store, columns: SidecarColumns, ids: Ids, names: Mapping[str, str]
) -> tuple[Values, Sequence[str], Mapping[str, Any]]:
    """The ratings, the days, and further values of posts."""
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
    values = {name: columns.take(column, places) for name, column in names.items()}
    return columns.take("rating", places), texts, values


def _from_file(store: Store, statement: str, ids: Ids, wanted: str) -> list[Any]:
    """The columns that a statement reads of posts, without their ids; `wanted` is the ids as JSON."""
    rows = store.rows(statement, [wanted])
    if len(rows) < len(ids):
        raise _no_post(store, min(set(ids.tolist()) - {row[0] for row in rows}))
    read_ids, *columns = zip(*rows, strict=True)
    assert read_ids == tuple(ids.tolist()), "SQLite reads the posts in the order asked for"
    return columns


def _once(many: Values, tags: Ids) -> tuple[Values, Ids]:
    """Leave out repeated tags of posts: a file may hold a relation twice."""
    # Small numbers sort four times as fast.
    is_small = len(many) <= 1 << 10 and tags.max(initial=0) < 1 << 22
    kind: Any
    kind, bits = (np.uint32, 22) if is_small else (np.uint64, 40)
    posts = np.repeat(np.arange(len(many), dtype=kind), many)
    pairs = posts << kind(bits) | tags.astype(kind)
    ascending = np.sort(pairs)
    if not (ascending[1:] == ascending[:-1]).any():
        return many, tags
    first = np.sort(np.unique(pairs, return_index=True)[1])
    return np.bincount(posts[first], minlength=len(many)), tags[first]


def _tags_statement(store: Store) -> str:
    for (index,) in store.rows(_INDEX_ON_POST):
        return _BY_INDEX.format(index=index)
    return _SORTED


def _no_post(store: Store, post_id: int) -> InputError:
    return InputError(f"{store.path} has no post {post_id}; select posts of this database")
