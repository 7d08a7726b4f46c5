"""Relations of posts and tags, which are more than the memory holds, beside a plain dictionary."""

import gzip
import sqlite3
import tempfile
from contextlib import closing
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import hakubooru as hb
from booru import post_row, write, write_random
from danbooru import api_post, every_row, write_lines
from hakubooru.errors import DumpError
from hakubooru.ingest.relational import Relations

PAIRS = some.lists(some.tuples(some.integers(0, 60) | some.just(2**31 - 1), some.integers(0, 9)), max_size=40)


@given(PAIRS, some.integers(1, 7), some.integers(1, 6), some.randoms(use_true_random=False))
def test_the_tags_of_a_post_are_found_in_their_order_whatever_the_ranges(pairs, piece, bits, draw):
    expected = {}
    for post, tag in pairs:
        expected.setdefault(post, []).append(tag)
    with tempfile.TemporaryDirectory() as folder:
        relations = Relations(Path(folder), range_bits=bits)
        for first in range(0, len(pairs), piece):
            posts, tags = np.array(pairs[first : first + piece]).T
            relations.add(posts, tags)
        ids = [*range(1, 70), 2**31 - 1]
        for post in draw.sample(ids, len(ids)):
            assert relations.of(post).tolist() == expected.get(post, [])


def test_a_broken_relation_is_told_by_the_name_of_the_packed_file(tmp_path):
    write_random(tmp_path / "posts.db")
    with closing(sqlite3.connect(tmp_path / "posts.db")) as connection:
        connection.execute("UPDATE posttagrelation SET tag_id = 'x' WHERE id = 3")
        connection.commit()
    packed = tmp_path / "posts.db.gz"
    packed.write_bytes(gzip.compress((tmp_path / "posts.db").read_bytes()))
    with pytest.raises(
        DumpError, match=r"posts\.db\.gz: posttagrelation\.tag_id is not a whole number in some rows"
    ):
        hb.build(packed, tmp_path / "out.db")
    assert not (tmp_path / "out.db").exists()


def test_databases_and_other_dumps_in_any_order_give_the_same_tables(tmp_path):
    write(
        tmp_path / "old.db",
        [post_row(1)],
        lambda _: ["solo", "1girl"],
        [("solo", "general"), ("1girl", "meta")],
    )
    write(tmp_path / "new.db", [post_row(2)], lambda _: ["comic"], [("comic", "general"), ("o_o", "general")])
    write_lines(tmp_path / "posts.jsonl", [api_post(3, general="chibi 1girl")])
    seen = []
    for names in permutations(["old.db", "new.db", "posts.jsonl"]):
        out = tmp_path / "out.db"
        out.unlink(missing_ok=True)
        hb.build([tmp_path / name for name in names], out)
        seen.append(every_row(out))
    assert all(tables == seen[0] for tables in seen)
    assert [row[:2] for row in seen[0]["tag"]][:2] == [
        (1, "comic"),
        (2, "o_o"),
    ]  # the ids of one database stay
