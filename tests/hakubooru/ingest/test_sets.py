"""Every published set of Danbooru's posts opens, and gives what it has and no more."""

import pytest

from danbooru import contents
from hakubooru.ingest import build
from hakubooru.ingest.maps import COLUMNS
from published_sets import KINDS, SETS, posts, tags_of, typed

POSTS = posts()


def expected_row(post, kept):
    """The row of a post; None for every column that the set lacks."""
    numbers = {"rating": "gsqe".index(post["rating"])}
    values = {
        column: int(value) if isinstance(value, bool) else value for column, value in post.items()
    } | numbers
    if "updated_at" not in kept and "created_at" in kept:
        kept = kept | {"updated_at"}
        values["updated_at"] = values["created_at"]
    return tuple(values[column] if column in kept else None for column in COLUMNS)


def expected_types():
    return {
        name: number
        for post in POSTS
        for number, kind in enumerate(KINDS)
        for name in typed(post)[f"tag_string_{kind}"].split()
    }


@pytest.mark.parametrize("name", SETS)
def test_a_set_gives_what_it_has_and_no_more(tmp_path, name):
    published = SETS[name]
    report = build(
        published.write(tmp_path / "set", POSTS) if (tmp_path / "set").mkdir() is None else [],
        tmp_path / "some.db",
    )
    rows, tags, relations = contents(tmp_path / "some.db")
    assert rows == [expected_row(post, published.kept) for post in POSTS]
    by_post = {post["id"]: [tag for number, tag in relations if number == post["id"]] for post in POSTS}
    assert {post["id"]: sorted(tags_of(post)) for post in POSTS} == {
        number: sorted(names) for number, names in by_post.items()
    }
    types = expected_types() if published.is_typed else dict.fromkeys(expected_types(), 0)
    assert {tag: number for tag, number, _ in tags} == types
    assert (report.new, report.rejected, report.site) == (len(POSTS), 0, "danbooru")
    assert {found.records for found in report.recognised} == {published.records}
    kept = published.kept | ({"updated_at"} if "created_at" in published.kept else set())
    assert set(report.lacking) == set(COLUMNS) - kept
    assert report.unknown == {}
