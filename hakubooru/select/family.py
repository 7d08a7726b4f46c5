"""Families of posts: what parents and children join."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hakubooru.select.columns import MISSING

if TYPE_CHECKING:
    from hakubooru.arrays import Ids, Values
    from hakubooru.select.columns import Columns


def best_of_family(ids: Ids, columns: Columns, by: str) -> Ids:
    """The ids without those that a relative among them beats, in the order in which they stand, (M,) int64.

    Args:
        ids: posts of the file, (N,) int64.
        columns: of the file.
        by: the column that is compared; of equals the smallest id is the best.
    """
    places = np.searchsorted(columns.ids, ids)
    families = families_of(columns.ids, columns["parent_id"])[places]
    order = np.lexsort((ids, -columns[by][places].astype(np.int64), families))
    first = np.ones(len(ids), bool)
    np.not_equal(families[order][1:], families[order][:-1], out=first[1:])
    best: Ids = ids[np.sort(order[first])]
    return best


def families_of(ids: Ids, parents: Values) -> Ids:
    """A number for each post that its relatives share and no others, (N,) int64.

    A parent that the file lacks joins its children all the same. Posts that are each other's ancestors, which
    Danbooru does not allow, are one family.

    Args:
        ids: all posts of a file, (N,) int64, ascending.
        parents: the id of each one's parent, (N,).
    """
    children = np.flatnonzero(parents != MISSING)
    kin = np.union1d(ids[children], parents[children].astype(np.int64))
    up = np.arange(len(kin))
    up[np.searchsorted(kin, ids[children])] = np.searchsorted(kin, parents[children])
    # Twice as far up each time: the eldest, or somewhere on a ring, of which the smallest place is kept.
    least = up
    for _ in range(max(1, len(kin)).bit_length()):
        least = np.minimum(least, least[up])
        up = up[up]
    families = ids.astype(np.int64, copy=True)
    member = np.flatnonzero(np.isin(ids, kin, assume_unique=True))
    families[member] = kin[least[up]][np.searchsorted(kin, ids[member])]
    return families
