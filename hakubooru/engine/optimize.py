"""Write the sidecar of a metadata file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.engine.columns import GROUPS, NUMBERS, Columns
from hakubooru.engine.sidecar import NewSidecar
from hakubooru.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hakubooru.arrays import Ids, Values
    from hakubooru.store.store import Store

_ROWS_A_READ: Final = 4_000_000
_BYTES_A_POST: Final = 80
_BYTES_A_RELATION: Final = 2.5
_NOWHERE: Final = 2**32 - 1
_COMMON: Final = (
    32  # for a tag of more than one post in 32, a bit for every post takes less than a list of posts
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The size of a sidecar before it is written."""

    relations: int
    """How many relations the file has; they decide how long it takes."""
    bytes: int
    """The most bytes that the sidecar takes on the disk; twice as many while it is written."""


def cost(database: Store) -> Cost:
    """Estimate the size of the sidecar of a file."""
    posts = database.scalar("SELECT COUNT(*) FROM post")
    relations = database.scalar("SELECT COUNT(*) FROM posttagrelation")
    return Cost(relations=relations, bytes=int(posts * _BYTES_A_POST + relations * _BYTES_A_RELATION))


def optimize(database: Store, *, common: int = _COMMON, rows_a_read: int = _ROWS_A_READ) -> Path:
    """Write the sidecar of a file, in place of an older one; gives its folder.

    The posts are read in a few scans, the relations in one, in pieces. The file itself is not changed.

    Args:
        database: the file.
        common: a tag of more than one post in this many is stored as a bit for every post, other tags as lists of posts.
        rows_a_read: how many relations to read at a time.

    Raises:
        DestinationError: neither the file's folder nor the user's cache can be written.
    """
    columns = Columns(database)
    with NewSidecar(database.path) as sidecar:
        for name in (*GROUPS, *NUMBERS):
            sidecar.save(name, columns[name])
        _write_tags(database, sidecar, columns.ids, common, rows_a_read)
        return sidecar.finish()


def _write_tags(database: Store, sidecar: NewSidecar, ids: Ids, share: int, rows_a_read: int) -> None:
    counts = np.zeros(database.scalar("SELECT ifnull(MAX(tag_id), 0) + 1 FROM posttagrelation"), np.int64)
    for tag_id, count in database.rows("SELECT tag_id, COUNT(*) FROM posttagrelation GROUP BY tag_id"):
        counts[tag_id] = count
    together = _by_tag(_relations(database, rows_a_read), sidecar.scratch("together"), ids, counts)
    starts = np.cumsum(counts) - counts
    is_common = counts * share > len(ids)
    common = np.flatnonzero(is_common)
    bits = sidecar.empty("bits", (len(common), -(-len(ids) // 8)), np.uint8)
    posts = sidecar.empty("posts", (int(counts[~is_common].sum()),), np.uint32)
    rows, filled = [], 0
    for tag_id in progress(np.flatnonzero(counts).tolist(), desc="tags", unit=" tags"):
        places = _distinct(together[starts[tag_id] : starts[tag_id] + counts[tag_id]])
        if is_common[tag_id]:
            row = int(np.searchsorted(common, tag_id))
            mask = np.zeros(len(ids), bool)
            mask[places] = True
            bits[row] = np.packbits(mask)
            rows.append((tag_id, len(places), row, 1))
        else:
            posts[filled : filled + len(places)] = places
            rows.append((tag_id, len(places), filled, 0))
            filled += len(places)
    sidecar.save("tags", np.array(rows, np.int64).reshape(-1, 4))
    del together
    sidecar.scratch("together").unlink()


def _by_tag(relations: Iterator[tuple[Values, Values]], path: Path, ids: Ids, counts: Ids) -> Values:
    """Group the posts of all relations by tag, with a counting sort on disk; posts are indices in `ids`."""
    total = int(counts.sum())
    together = np.memmap(path, np.uint32, "w+", shape=(max(total, 1),))
    # One more place than ids: posts beyond the last id get it.
    place_of_id = np.full(int(ids[-1]) + 2 if len(ids) else 1, _NOWHERE, np.uint32)
    place_of_id[ids] = np.arange(len(ids), dtype=np.uint32)
    filled = np.cumsum(counts) - counts
    with progress(total=total, desc="relations", unit=" relations", unit_scale=True) as bar:
        for posts, tags in relations:
            order = np.argsort(tags, kind="stable")
            of_tag = tags[order]
            first = np.flatnonzero(np.append(True, of_tag[1:] != of_tag[:-1]))
            many = np.diff(np.append(first, len(of_tag)))
            rank = np.arange(len(of_tag)) - np.repeat(first, many)
            together[filled[of_tag] + rank] = place_of_id.take(posts[order], mode="clip")
            filled[of_tag[first]] += many
            bar.update(len(tags))
    return together


def _relations(database: Store, rows_a_read: int) -> Iterator[tuple[Values, Values]]:
    """Iterate over the post ids and tag ids of the file's relations, millions at a time."""
    sql = (
        "SELECT COUNT(*), MAX(id), group_concat(post_id), group_concat(tag_id) FROM "
        f"(SELECT id, post_id, tag_id FROM posttagrelation WHERE id > ? ORDER BY id LIMIT {rows_a_read})"
    )
    count, last = rows_a_read, -(2**63)
    while count == rows_a_read:
        ((count, last, posts, tags),) = database.rows(sql, [last])
        if count:
            yield np.fromstring(posts, np.int64, sep=","), np.fromstring(tags, np.int64, sep=",")


def _distinct(places: Values) -> Values:
    """Sort indices ascending, each once, without the posts that the file does not have."""
    places = np.sort(places, kind="stable")
    places = places[: np.searchsorted(places, _NOWHERE)]
    first = np.ones(len(places), bool)
    np.not_equal(places[1:], places[:-1], out=first[1:])
    distinct: Values = places[first]
    return distinct
