"""Families of posts: all posts that parents and children connect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hakubooru.arrays import distinct
from hakubooru.engine.columns import MISSING

if TYPE_CHECKING:
    from hakubooru.arrays import Ids, Values
    from hakubooru.engine.columns import Columns


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
    first = np.ones(len(ids), bool)
    np.not_equal(families[order][1:], families[order][:-1], out=first[1:])
    best: Ids = ids[np.sort(order[first])]
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
