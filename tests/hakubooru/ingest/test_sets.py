"""Every published set of Danbooru's posts opens, and gives what it has and no more."""

import pytest

from blue_leaf import blue_leaf_tables
from danbooru import contents, every_row
from hakubooru.errors import DumpError
from hakubooru.ingest import build, json_text
from hakubooru.ingest.maps import COLUMNS
from published_sets import SETS, posts
from set_records import KINDS, tags_of, typed

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
    (tmp_path / "set").mkdir()
    report = build(published.write(tmp_path / "set", POSTS), tmp_path / "some.db")
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


@pytest.mark.parametrize(
    "name", ["waifuset", "kohya", "Disty0/danbooru-json, pretty", "gallery-dl, sidecars"]
)
def test_a_large_object_is_read_entry_by_entry(tmp_path, monkeypatch, name):
    (tmp_path / "set").mkdir()
    paths = SETS[name].write(tmp_path / "set", POSTS)
    build(paths, tmp_path / "at_once.db")
    monkeypatch.setattr(json_text, "_SMALL", 10)
    build(paths, tmp_path / "by_entry.db")
    assert every_row(tmp_path / "by_entry.db") == every_row(tmp_path / "at_once.db")


def test_a_broken_object_is_told_with_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(json_text, "_SMALL", 10)
    (path,) = SETS["kohya"].write(tmp_path, POSTS)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(
        DumpError, match=r"cannot be read after item 10: .*correct it there, or download it again"
    ):
        build([path], tmp_path / "some.db")
    path.write_bytes(b"{ \xff\xff\xff\xff\xff\xff\xff\xff\xff")
    with pytest.raises(DumpError, match="cannot be read after item 0: 'utf-8' codec can't decode byte"):
        build([path], tmp_path / "some.db")


def test_parquet_duckdb_and_sqlite_of_kblueleaf_give_equal_tables_and_keep_his_ids_of_tags(tmp_path):
    tables = []
    for name in ("KBlueLeaf, parquet/", "KBlueLeaf, three files", "KBlueLeaf, .duckdb", "KBlueLeaf, SQLite"):
        folder = tmp_path / name.replace("/", "")
        folder.mkdir()
        build(SETS[name].write(folder, POSTS), folder / "some.db")
        tables.append(every_row(folder / "some.db"))
    assert tables[1:] == tables[:-1]
    published = blue_leaf_tables(POSTS)
    assert tables[0]["tag"] == sorted(tuple(row.values()) for row in published["tag"])
    assert tables[0]["post"] == [tuple(row.values()) for row in published["post"]]
    pairs = [(row["post_id"], row["tag_id"]) for row in published["posttagrelation"]]
    assert [row[1:] for row in tables[0]["posttagrelation"]] == pairs


def test_relations_of_posts_far_apart_and_in_no_order(tmp_path, monkeypatch):
    monkeypatch.setattr("hakubooru.ingest.relational._RANGE_BITS", 2)
    monkeypatch.setattr("hakubooru.ingest.relational._PAIRS", 7)
    some = [*reversed(POSTS), POSTS[0] | {"id": 2**31 - 1}, POSTS[3] | {"id": 5_000_000}]
    (tmp_path / "set").mkdir()
    build(SETS["KBlueLeaf, parquet/"].write(tmp_path / "set", some), tmp_path / "some.db")
    relations = contents(tmp_path / "some.db")[2]
    for post in some:
        assert [name for number, name in relations if number == post["id"]] == tags_of(post)
