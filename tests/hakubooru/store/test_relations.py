"""Relations, as they are looked up by index."""

from __future__ import annotations

import numpy as np
import pytest

import hakubooru as hb
from hakubooru.store.relations import posts_of_tags


@pytest.mark.parametrize("span", [7, 100, 10**6])
def test_posts_of_tags_are_those_of_a_scan(path, span):
    with hb.open(path) as db:
        some = np.array([1, 3, 4])
        pieces = list(posts_of_tags(db, some, span=span))
        rows = db.rows("SELECT post_id, tag_id FROM posttagrelation WHERE tag_id IN (1, 3, 4)")
    assert sorted((post, tag) for pair in pieces for post, tag in zip(*pair, strict=True)) == sorted(rows)
    assert len(rows) > 7


def test_no_tags_have_no_posts(path):
    with hb.open(path) as db:
        assert not sum(len(posts) for posts, _ in posts_of_tags(db, np.empty(0, np.int64)))
