import json
import tempfile

import pyarrow as pa
import pytest
from pyarrow import parquet

from danbooru import api_post, contents, write_lines
from danbooru2024 import COLUMNS, write_parquet
from hakubooru.errors import DumpError
from hakubooru.ingest import build
from hakubooru.ingest.dumps import find_dumps
from hakubooru.ingest.tabular import read_parquet
from published_sets import SETS
from published_sets import posts as published_posts


@pytest.fixture
def posts():
    hidden = dict.fromkeys(("md5", "file_url", "large_file_url", "preview_file_url"))
    return [
        api_post(
            number,
            general=f"solo tag_{number % 9}",
            artist="bespin" if number % 2 else "",
            meta="highres",
            rating="gsqe"[number % 4],
            parent_id=number - 1 if number % 3 == 0 else None,
            pixiv_id=58_080_247 + number if number % 5 else None,
            **(hidden if number % 11 == 0 else {}),
        )
        for number in range(1, 100)
    ]


def test_the_layout_has_as_many_columns_as_the_published_one(tmp_path, posts):
    path = write_parquet(tmp_path / "metadata.parquet", posts)
    schema = parquet.read_schema(path)
    assert len(schema) == len(set(COLUMNS)) == 88
    assert schema.names[-1] == "id"
    assert schema.field("pixiv_id").type == pa.float64()


def test_parquet_gives_the_same_tables_as_json_lines(tmp_path, posts):
    build([write_lines(tmp_path / "posts.jsonl", posts)], tmp_path / "lines.db")
    report = build([write_parquet(tmp_path / "metadata.parquet", posts)], tmp_path / "parquet.db")
    assert (report.new, report.rejected) == (99, 0)
    assert contents(tmp_path / "parquet.db") == contents(tmp_path / "lines.db")


def test_parquet_updates_what_json_lines_began(tmp_path, posts):
    older = [post | {"score": 1, "updated_at": "2020-01-01T00:00:00.000-05:00"} for post in posts[::2]]
    build([write_lines(tmp_path / "posts.jsonl", older)], tmp_path / "some.db")
    report = build([write_parquet(tmp_path / "metadata.parquet", posts)], tmp_path / "some.db")
    assert (report.new, report.updated, report.unchanged) == (49, 50, 0)


def test_only_the_columns_that_are_wanted_are_read_and_progress_is_told(tmp_path, posts):
    path = write_parquet(tmp_path / "metadata.parquet", posts)
    (dump,) = find_dumps([path])
    batches = list(dump.batches(lambda names: sorted({"id", "rating"} & names)))
    assert dump.bytes_read() == dump.size == path.stat().st_size
    assert {key for batch in batches for key in set(batch.keys())} == {"id", "rating"}
    numbers = [batch.where(place).number for batch in batches for place in range(len(batch))]
    assert numbers == list(range(1, 100))
    assert {batch.unit for batch in batches} == {"row"}


def test_bad_rows_are_written_down(tmp_path, posts):
    bad = [posts[0], posts[1] | {"rating": "x"}, posts[2] | {"created_at": "x"}]
    report = build([write_parquet(tmp_path / "metadata.parquet", bad)], tmp_path / "some.db")
    rejects = [json.loads(line) for line in report.rejects.read_text(encoding="utf-8").splitlines()]
    assert report.new == 1
    assert {(reject["reason"].split()[0], reject["record"]["id"]) for reject in rejects} == {
        ("rating", 2),
        ("created_at", 3),
    }
    assert all(1 <= reject["row"] <= 3 for reject in rejects)


def test_a_parquet_file_of_something_else_is_told(tmp_path):
    parquet.write_table(pa.table({"name": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(
        DumpError, match=r"is Parquet, and holds records with the keys name: .* --map map.toml"
    ):
        build([tmp_path / "other.parquet"], tmp_path / "some.db")
    assert not (tmp_path / "some.db").exists()


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo", "+05:30"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_with_a_zone_are_those_of_danbooru(tmp_path, unit, zone):
    eve = api_post(1, created_at="2016-12-31T22:00:00.123-05:00")
    table = pa.Table.from_pylist([eve]).drop_columns(["created_at", "media_asset"])
    times = pa.array(["2017-01-01T03:00:00.123Z"]).cast(pa.timestamp(unit, zone))
    parquet.write_table(table.append_column("created_at", times), tmp_path / "times.parquet")
    build([tmp_path / "times.parquet"], tmp_path / "some.db")
    build([write_lines(tmp_path / "posts.jsonl", [eve])], tmp_path / "lines.db")
    assert contents(tmp_path / "some.db") == contents(tmp_path / "lines.db")
    assert contents(tmp_path / "some.db")[0][0][1] == "2016-12-31T22:00:00.123-05:00"


def test_times_without_a_zone_are_refused(tmp_path):
    table = pa.Table.from_pylist([api_post(1)]).drop_columns(["created_at", "media_asset"])
    times = pa.array(["2017-01-01T03:00:00"]).cast(pa.timestamp("us"))
    parquet.write_table(table.append_column("created_at", times), tmp_path / "times.parquet")
    with pytest.raises(DumpError, match=r"there are no posts in .*1 record was rejected"):
        build([tmp_path / "times.parquet"], tmp_path / "some.db")
    [reject] = map(json.loads, (tmp_path / "some.db.rejects.jsonl").read_text(encoding="utf-8").splitlines())
    assert reject["reason"].startswith("created_at is '2017-01-01 03:00:00', without a time zone")


@pytest.mark.parametrize(
    "name", ["deepghs/danbooru2024", "nyanko-devs/danbooru2026", "p1atdev/danbooru-2024"]
)
def test_a_large_row_group_is_read_column_by_column(tmp_path, monkeypatch, name):
    SETS[name].write(tmp_path, published_posts(30))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    for path in tmp_path.rglob("*.parquet"):
        at_once = rows(path)
        assert rows(path, largest_group=0, count=7) == at_once
        assert at_once
    assert not list((tmp_path / "temporary").iterdir())


def rows(path, **options):
    """The rows of a file, each by column, in order."""
    batches = [batch for batch, _ in read_parquet(path, path.name, sorted, **options)]
    assert [batch.first for batch in batches] == [1 + sum(map(len, batches[:n])) for n in range(len(batches))]
    return [batch.record(place) for batch in batches for place in range(len(batch))]
