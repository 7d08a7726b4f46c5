"""Every published set of Danbooru's posts opens, and gives what it has and no more."""

import io

import pytest

from blue_leaf import blue_leaf_tables
from danbooru import contents, every_row
from hakubooru.errors import DumpError
from hakubooru.ingest import build
from hakubooru.ingest.json_text import read_json
from hakubooru.ingest.maps import COLUMNS
from hakubooru.ingest.unpack import leaves
from published_sets import SETS, posts
from set_records import KINDS, tags_of, typed

POSTS = posts()


def expected_row(post, columns):
    """The row of a post; None for every column that the set lacks."""
    numbers = {"rating": "gsqe".index(post["rating"])}
    values = {
        column: int(value) if isinstance(value, bool) else value for column, value in post.items()
    } | numbers
    if "updated_at" not in columns and "created_at" in columns:
        columns = columns | {"updated_at"}
        values["updated_at"] = values["created_at"]
    return tuple(values[column] if column in columns else None for column in COLUMNS)


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
    assert rows == [expected_row(post, published.columns) for post in POSTS]
    by_post = {post["id"]: [tag for number, tag in relations if number == post["id"]] for post in POSTS}
    assert {post["id"]: sorted(tags_of(post)) for post in POSTS} == {
        number: sorted(names) for number, names in by_post.items()
    }
    types = expected_types() if published.is_typed else dict.fromkeys(expected_types(), 0)
    assert {tag: number for tag, number, _ in tags} == types
    assert (report.new, report.rejected, report.site) == (len(POSTS), 0, "danbooru")
    assert {source.records for source in report.recognised} == {published.records}
    columns = published.columns | ({"updated_at"} if "created_at" in published.columns else set())
    assert set(report.lacking) == set(COLUMNS) - columns
    assert report.unknown == {}


@pytest.mark.parametrize(
    "name", ["waifuset", "kohya", "Disty0/danbooru-json, pretty", "gallery-dl, sidecars"]
)
def test_a_large_object_is_read_entry_by_entry(tmp_path, name):
    SETS[name].write(tmp_path, POSTS)
    texts = [text for path in tmp_path.rglob("*.*") for text in unpacked(path) if text.startswith(b"{")]
    for text in texts:
        at_once, by_entry = (entries(text, at_once=size) for size in (2**20, 10))
        assert [entry.value for entry in by_entry] == [entry.value for entry in at_once]
        assert [entry.number for entry in by_entry] == [entry.number for entry in at_once]
    assert sum(len(entries(text, at_once=10)) for text in texts) == len(POSTS)


def unpacked(path):
    """The files in a file."""
    with path.open("rb") as stream:
        return [leaf.stream.read() for leaf in leaves(path, stream, path.stat().st_size)]


def entries(data, *, at_once):
    return list(read_json(io.BytesIO(data), "set.json", data[:1000], at_once=at_once))


def test_a_broken_object_is_told_with_its_place(tmp_path):
    (path,) = SETS["kohya"].write(tmp_path, [POSTS[0] | {"id": number} for number in range(1, 8000)])
    path.write_bytes(path.read_bytes()[:-200])
    assert path.stat().st_size > 2**20, "it is not read at once"
    with pytest.raises(
        DumpError, match=r"cannot be read after item 7,99\d: .*correct it there, or download it again"
    ):
        build([path], tmp_path / "some.db")
    with pytest.raises(DumpError, match="cannot be read after item 0: 'utf-8' codec can't decode byte"):
        entries(b"{ \xff\xff\xff\xff\xff\xff\xff\xff\xff", at_once=10)


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


def test_relations_of_posts_far_apart_and_in_no_order(tmp_path):
    apart = [post | {"id": post["id"] * 30_000} for post in POSTS]
    some = [*reversed(POSTS), POSTS[0] | {"id": 2**31 - 1}, *apart]
    (tmp_path / "set").mkdir()
    build(SETS["KBlueLeaf, parquet/"].write(tmp_path / "set", some), tmp_path / "some.db")
    relations = contents(tmp_path / "some.db")[2]
    for post in some:
        assert [name for number, name in relations if number == post["id"]] == tags_of(post)
