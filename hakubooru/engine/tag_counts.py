"""Count how many posts of a selection have each tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hakubooru.arrays import distinct
from hakubooru.engine.cache import SidecarColumns
from hakubooru.engine.posts import tag_table
from hakubooru.store.relations import ROWS_A_PIECE, relations, relations_of
from hakubooru.store.schema import TAG_TYPES

if TYPE_CHECKING:
    import pandas as pd

    from hakubooru.arrays import Ids
    from hakubooru.engine.cache import CachedStore


FEW: Final = 8
"""A table is scanned for more than one post in this many; fewer posts are looked up by an index."""


def tag_counts(database: CachedStore, ids: Ids) -> pd.DataFrame:
    """The tags of some posts: a frame with `name`, `type` and `posts`, the commonest first, equals by name.

    Args:
        database: the file.
        ids: posts of the file, (N,) int64, each once.
    """
    import pandas as pd  # noqa: PLC0415 - half a second that only frames need
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    counts = count_tags(database, ids)
    tags = tag_table(database)
    tags = tags.append_column("posts", pa.array(counts[tags["id"].to_numpy()])).filter(pc.field("posts") > 0)
    tags = tags.sort_by([("posts", "descending"), ("name", "ascending")])
    frame: pd.DataFrame = tags.select(["name", "posts"]).to_pandas()
    types = pd.Categorical.from_codes(tags["type"].to_numpy(), pd.Index(list(TAG_TYPES)))
    return pd.DataFrame({"name": frame["name"], "type": types, "posts": frame["posts"]})


def count_tags(database: CachedStore, ids: Ids, *, few: int = FEW, rows_a_piece: int = ROWS_A_PIECE) -> Ids:
    """How many of some posts bear each tag, by the tag's id, (T,) int64; a tag that a post bears twice counts once.

    A tag that the relations list twice for a post counts once. The counts come from the sidecar if there is one. Else the
    relations of the posts are looked up in pieces, or all relations are scanned. Memory stays constant.

    Args:
        database: the file.
        ids: posts of the file, (N,) int64, each once.
        few: relations are looked up for fewer than one in this many of the posts.
        rows_a_piece: how many relations a scan reads at a time.
    """
    counts = np.zeros(database.ends("tag")[1] + 1, np.int64)
    columns = database.cache.columns
    if isinstance(columns, SidecarColumns):
        tag_ids, posts_of_tags = columns.tag_counts(ids)
        is_tag = tag_ids < len(counts)
        counts[tag_ids[is_tag]] = posts_of_tags[is_tag]
    elif columns.are_few(len(ids), few):
        for _, posts, tags in relations_of(database, ids):
            _count(counts, posts, tags)
    else:
        _count_in_a_scan(database, np.sort(ids, kind="stable"), counts, rows_a_piece)
    return counts


def _count_in_a_scan(database: CachedStore, ids: Ids, counts: Ids, rows_a_piece: int) -> None:
    is_counted, is_scattered = np.zeros(len(ids), bool), np.zeros(len(ids), bool)
    ends = []
    for rows, posts, tags in relations(database, rows=rows_a_piece):
        places = np.searchsorted(ids, posts)
        is_selected = places < len(ids)
        is_selected[is_selected] = ids[places[is_selected]] == posts[is_selected]
        _count(counts, places[is_selected], tags[is_selected])
        in_piece = np.zeros(len(ids), bool)
        in_piece[places[is_selected]] = True
        is_scattered |= is_counted & in_piece
        is_counted |= in_piece
        ends.append(rows[-1])
    _count_once(database, counts, ids[is_scattered], np.sort(np.array(ends, np.int64)))


def _count(counts: Ids, posts: Ids, tags: Ids, sign: int = 1) -> None:
    """Add the number of different posts of each tag to the counts, or with sign=-1 subtract it."""
    is_tag = tags < len(counts)
    posts, tags = posts[is_tag], tags[is_tag]
    bits = len(counts).bit_length()
    if len(posts) and int(posts.max()) >> (63 - bits):  # ids so large that they leave no room for a tag's
        posts = np.unique(posts, return_inverse=True)[1]
    pairs = distinct(posts << bits | tags)
    counts += sign * np.bincount(pairs & ((1 << bits) - 1), minlength=len(counts))[: len(counts)]


def _count_once(database: CachedStore, counts: Ids, posts: Ids, ends: Ids) -> None:
    """Correct the counts of posts whose relations lie in several pieces; `ends` are the last rows of the pieces."""
    for rows, of_post, tags in relations_of(database, posts):
        pieces = np.searchsorted(ends, rows)
        for piece in np.unique(pieces):
            inside = pieces == piece
            _count(counts, of_post[inside], tags[inside], sign=-1)
        _count(counts, of_post, tags)
