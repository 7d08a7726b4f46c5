import gzip
import json
import sqlite3
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

import hakubooru as hb
from danbooru import api_post, contents, every_row, tags_of, write_lines
from hakubooru.errors import DatabaseFileError, DumpError, IncompleteError, OldGenerationError
from hakubooru.ingest import build
from hakubooru.ingest.batches import Objects
from hakubooru.ingest.builder import build_files
from hakubooru.ingest.json_text import Entry
from hakubooru.ingest.post_tags import NameNumbers
from hakubooru.ingest.posts import PostWriter
from hakubooru.ingest.records import RecordReader
from hakubooru.ingest.sets import API
from hakubooru.ingest.tag_ids import TagIds
from hakubooru.store.writing import count_popularity, transaction

DATA = Path(__file__).parents[2] / "data"
REAL = DATA / "danbooru_posts_2016.jsonl"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "booru.db"


def make(out, *posts, **options):
    return build([write_lines(out.with_name("dump.jsonl"), posts)], out, **options)


def tag_rows(path):
    with closing(sqlite3.connect(path)) as connection:
        return {row[0]: row[1:] for row in connection.execute("SELECT name, id, type, popularity FROM tag")}


def folder(out):
    return sorted(entry.name for entry in out.parent.iterdir() if not entry.name.startswith("dump"))


# Real posts


@pytest.mark.slow
def test_real_posts_of_2016(out):
    report = build([REAL], out, tags=DATA / "danbooru_tags.csv.gz")
    assert (report.new, report.rejected, report.read) == (20, 0, 20)
    assert report.dumps_without_general == (REAL,)
    with hb.open(out) as db:
        posts = {post.id: post for post in db.execute(hb.Post.select())}
        for line in REAL.read_text(encoding="utf-8").splitlines():
            real = json.loads(line)
            post = posts[real["id"]]
            assert [tag.name for tag in post.tags] == real["tag_string"].split()
            for kind in ("artist", "character", "copyright"):
                assert sorted(tag.name for tag in post.tags_of(kind)) == sorted(
                    real[f"tag_string_{kind}"].split()
                )
            for column in ("created_at", "md5", "image_width", "source", "file_url", "pixiv_id", "fav_count"):
                assert getattr(post, column) == real[column]
            assert post.rating == "sensitive"
        assert posts[2434967].md5 == "test98bf686ca7910ee0ad48e59ba99807d3"
        # In 2016 highres was general; the list of tags knows better.
        assert db.tags["highres"].type == "meta"
        assert db.info().relations == sum(len(post.tags) for post in posts.values()) == 698


def test_old_ratings_are_mapped_where_asked(out):
    report = build([REAL], out, old_ratings=True)
    assert report.dumps_without_general == ()
    with hb.open(out) as db:
        assert db.info().ratings == {"general": 20, "sensitive": 0, "questionable": 0, "explicit": 0}


def test_old_ratings_can_be_asked_for_later(out):
    build([REAL], out)
    report = build([REAL], out, old_ratings=True)
    assert (report.updated, report.unchanged) == (20, 0)
    with hb.open(out) as db:
        assert db.info().ratings["general"] == 20


def test_a_dump_with_g_is_not_taken_for_an_old_one(out):
    with pytest.raises(DumpError, match=r"line 2 has the rating g, so the dump is not from before May 2022"):
        make(out, api_post(1, rating="s"), api_post(2, rating="g"), old_ratings=True)
    assert make(out, api_post(1, rating="s"), api_post(2, rating="g")).new == 2
    with hb.open(out) as db:
        assert db.info().ratings["sensitive"] == 1


def test_a_dump_with_g_is_not_told_to_be_old(out):
    assert make(out, api_post(1, rating="g"), api_post(2, rating="s")).dumps_without_general == ()
    assert make(out, api_post(3, rating="q")).dumps_without_general == ()


# Tags


def test_popularity_is_counted(out):
    make(out, api_post(1, general="solo 1girl"), api_post(2, general="solo"), api_post(3, general=""))
    assert {name: row[2] for name, row in tag_rows(out).items()} == {"solo": 2, "1girl": 1}


def test_tag_objects_give_ids_and_types_and_unknown_tags_come_above_the_largest(out, tmp_path):
    objects = [
        {"id": 470575, "name": "1girl", "category": 0},
        {"id": 1429147, "name": "bespin", "category": 1},
        {"id": 12, "name": "unused", "category": 4},
    ]
    tags = write_lines(tmp_path / "tags.jsonl", objects)
    make(out, api_post(1, general="1girl new_one bespin", artist="other"), tags=tags)
    assert tag_rows(out) == {
        "1girl": (470575, 0, 1),
        "bespin": (1429147, 1, 1),
        "unused": (12, 2, 0),
        "new_one": (1429148, 0, 1),
        "other": (1429149, 1, 1),
    }


def test_a_csv_gives_types_only(out, tmp_path):
    (tmp_path / "tags.csv").write_text("highres,5,1,\nmiku,4,1,\nunused,0,1,\n", encoding="utf-8")
    make(out, api_post(1, general="highres miku solo"), tags=tmp_path / "tags.csv")
    assert {name: row[1] for name, row in tag_rows(out).items()} == {"highres": 4, "miku": 2, "solo": 0}


def test_aliases_are_kept(out, tmp_path):
    (tmp_path / "tags.csv").write_text(
        '1girl,0,9,"1girls,sole_female"\nunused,0,9,other\nsolo,0,9,\n', encoding="utf-8"
    )
    make(out, api_post(1), tags=tmp_path / "tags.csv")
    with hb.open(out) as db:
        assert db.tags.aliases(["1girls", "sole_female", "other", "solo"]) == {
            "1girls": "1girl",
            "sole_female": "1girl",
        }
        assert db.scalar("PRAGMA user_version") == 3
    (tmp_path / "tags.csv").write_text('1girl,0,9,\nsolo,0,9,"alone,1girls"\nother,0,1\n', encoding="utf-8")
    make(out, api_post(2, general="other"), tags=tmp_path / "tags.csv")
    with hb.open(out) as db:
        names = ["1girls", "sole_female", "alone", "other"]
        assert db.tags.aliases(names) == {"1girls": "solo", "sole_female": "1girl", "alone": "solo"}


def test_known_tags_settle_the_types_of_an_existing_file(out, tmp_path):
    make(out, api_post(1, general="highres", artist="solo"))
    (tmp_path / "tags.csv").write_text("highres,5\nsolo,0\n", encoding="utf-8")
    make(out, api_post(2, general="1girl"), tags=tmp_path / "tags.csv")
    assert {name: row[1] for name, row in tag_rows(out).items()} == {"highres": 4, "solo": 0, "1girl": 0}


def test_ids_that_the_file_has_given_stay(out, tmp_path):
    make(out, api_post(1, general="a b"))
    tags = [{"id": 2, "name": "c", "category": 0}, {"id": 77, "name": "a", "category": 1}]
    make(out, api_post(2, general="a c"), tags=write_lines(tmp_path / "tags.jsonl", tags))
    rows = tag_rows(out)
    assert (rows["a"], rows["b"]) == ((1, 1, 2), (2, 0, 1))
    assert rows["c"][0] > 77, "its own id was another's"
    assert tags_of(out, 2) == ["a", "c"]


def test_the_most_special_type_counts_whatever_the_order(out):
    posts = [api_post(1, general="x"), api_post(2, general="", meta="x"), api_post(3, general="", artist="x")]
    make(out, *posts)
    make(out.with_name("other.db"), *reversed(posts))
    assert tag_rows(out)["x"] == tag_rows(out.with_name("other.db"))["x"] == (1, 4, 3)


def test_more_tags_than_are_kept_in_memory(out):
    posts = [api_post(n, general=" ".join(f"tag_{n * 7 + k}" for k in range(20))) for n in range(1, 200)]
    make(out, *posts)
    reader = RecordReader(API, NameNumbers(most=30))
    with hb.create(out.with_name("other.db")) as other:
        connection = other.connection()
        writer = PostWriter(connection, TagIds(connection))
        with transaction(connection):
            for first in range(0, len(posts), 7):
                entries = [Entry("", "line", 1, post) for post in posts[first : first + 7]]
                writer.write(reader.read(Objects(entries))[0])
            count_popularity(connection)
    assert contents(out) == contents(out.with_name("other.db"))


NASTY = [
    "it's", '"', "\\", "100%", "%s", "_", "a\0b", "x" * 500, "\u202e\u0627\u0628", "😀", "東方", ";DROP", "--", "?", ":q", "NULL",
    "1", "a\u3000b", "[x]", "<b>", "$1", "#1", "é", "e\u0301",
]  # fmt: skip


def test_tag_names_are_data(out):
    make(out, api_post(1, general=" ".join(NASTY)), api_post(2, artist=NASTY[0], general=NASTY[6]))
    assert tags_of(out, 1) == NASTY
    with hb.open(out) as db:
        for name in NASTY:
            assert db.tags[name].name == name
        assert db.tags["a\0b"].popularity == 2
        assert db.tags["it's"].type == "artist"


# Records


def test_bad_records_are_written_down_and_counted(out):
    report = make(out, api_post(1), b"{broken", api_post(2, rating="x"), [1], b"\xff", api_post(3))
    rejects = [json.loads(line) for line in report.rejects.read_text(encoding="utf-8").splitlines()]
    assert report.rejects.name == "booru.db.rejects.jsonl"
    assert (report.new, report.rejected) == (2, 4)
    assert [reject["line"] for reject in rejects] == [2, 3, 4, 5]
    assert all(reject["dump"].endswith("dump.jsonl") for reject in rejects)
    assert rejects[0]["record"] == "{broken"
    assert rejects[1]["reason"] == "rating is 'x', and must be one of g, s, q, e"
    assert rejects[1]["record"]["id"] == 2
    assert b"\r" not in report.rejects.read_bytes()
    assert folder(out) == ["booru.db", "booru.db.rejects.jsonl"]
    assert make(out, api_post(1)).rejects is None
    assert folder(out) == ["booru.db"], "what an earlier build refused is no longer of interest"


def test_strict_stops_at_the_first_bad_record(out):
    with pytest.raises(
        IncompleteError, match=r"dump.jsonl, line 2: score is 'x', and must be a whole number; correct it"
    ):
        make(out, api_post(1), api_post(2, score="x"), api_post(3), strict=True)
    assert not out.exists()
    assert make(out, api_post(1), api_post(2), api_post(3), strict=True).new == 3


def test_a_dump_without_a_post_makes_nothing(out):
    with pytest.raises(DumpError, match=r"there are no posts in .*1 record was rejected"):
        make(out, api_post(0))
    assert folder(out) == ["booru.db.rejects.jsonl"]


@pytest.mark.parametrize("name", ["no.jsonl", "folder"])
def test_a_wrong_dump_is_told_before_anything_is_written(out, tmp_path, name):
    (tmp_path / "folder").mkdir()
    dump = write_lines(tmp_path / "dump.jsonl", [api_post(1)])
    with pytest.raises(DumpError, match=name):
        build([dump, tmp_path / name], out)
    assert folder(out) == ["folder"]
    with pytest.raises(DumpError, match="needs at least one dump"):
        build([], out)


def test_a_wrong_list_of_tags_leaves_nothing(out, tmp_path):
    (tmp_path / "tags.csv").write_text("a,0\nb,6\n", encoding="utf-8")
    with pytest.raises(DumpError, match="line 2"):
        make(out, api_post(1), tags=tmp_path / "tags.csv")
    assert folder(out) == ["tags.csv"]


# Files


def test_an_out_that_is_something_else_is_left_alone(out, tmp_path):
    out.write_text("my notes")
    with pytest.raises(DatabaseFileError, match="is not an SQLite file"):
        make(out, api_post(1))
    assert out.read_text() == "my notes"
    with pytest.raises(DatabaseFileError, match="cannot be created"):
        build([write_lines(tmp_path / "dump.jsonl", [api_post(1)])], tmp_path / "no" / "folder.db")


def test_no_log_is_left_beside_a_file_that_had_one(out):
    make(out, api_post(1))
    with closing(sqlite3.connect(out)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    make(out, api_post(2))
    assert folder(out) == ["booru.db"]
    assert out.read_bytes()[18:20] == b"\1\1", "a version of 2 asks for a log"


def test_an_out_of_an_older_generation_is_left_alone(out):
    make(out, api_post(1))
    with closing(sqlite3.connect(out)) as connection:
        connection.execute("ALTER TABLE post DROP COLUMN updated_at")
    data = out.read_bytes()
    with pytest.raises(OldGenerationError):
        make(out, api_post(2))
    assert out.read_bytes() == data


def test_a_built_file_has_exactly_the_published_tables(out, tmp_path):
    make(out, api_post(1))
    hb.create(tmp_path / "plain.db").close()

    def definitions(path):
        with closing(sqlite3.connect(path)) as connection:
            return set(connection.execute("SELECT name, sql FROM sqlite_master"))

    assert definitions(out) == definitions(tmp_path / "plain.db")


def test_dumps_are_read_plain_gzipped_and_as_an_array(out, tmp_path):
    posts = [api_post(number) for number in range(1, 7)]
    plain = write_lines(tmp_path / "dump1", posts[:2])
    packed = tmp_path / "dump2"
    packed.write_bytes(gzip.compress("\n".join(map(json.dumps, posts[2:4])).encode()))
    array = tmp_path / "dump3"
    array.write_text(json.dumps(posts[4:]), encoding="utf-8")
    assert build([plain, packed, array], out).new == 6


# Updates


def test_the_newer_record_counts_tags_included(out):
    old = api_post(1, general="old both", score=1, updated_at="2024-03-10T02:00:00.000-04:00")
    new = api_post(1, general="both new", score=2, updated_at="2024-03-10T01:30:00.000-05:00")
    assert make(out, old).new == 1
    report = make(out, new)
    assert (report.new, report.updated, report.unchanged) == (0, 1, 0)
    assert tags_of(out, 1) == ["both", "new"]
    assert {name: row[2] for name, row in tag_rows(out).items()} == {"old": 0, "both": 1, "new": 1}
    assert make(out, old).unchanged == 1
    assert tags_of(out, 1) == ["both", "new"]


@pytest.fixture(scope="module")
def commonest(tmp_path_factory):
    """The first thousand tags of the real list."""
    path = tmp_path_factory.mktemp("tags") / "commonest.csv"
    with gzip.open(DATA / "danbooru_tags.csv.gz", "rb") as lines:
        path.write_bytes(b"".join(islice(lines, 1000)))
    return path


@pytest.mark.parametrize("is_known", [False, True])
def test_the_same_dump_twice_changes_nothing(out, commonest, is_known):
    tags = commonest if is_known else None
    posts = [api_post(number, general="solo", meta="highres") for number in range(1, 30)]
    make(out, *posts, tags=tags)
    data = out.read_bytes()
    assert make(out, *posts, *posts, tags=tags).unchanged == 58
    assert out.read_bytes() == data


def test_an_update_leaves_what_people_keep_in_localpost(out):
    make(out, api_post(1))
    with hb.open(out, writable=True) as db:
        db.rows("INSERT INTO localpost VALUES (1, '/data/1.webp', NULL, 1)")
    make(out, api_post(1, updated_at="2025-01-01T00:00:00.000-05:00"))
    with hb.open(out) as db:
        assert db.rows("SELECT * FROM localpost") == [(1, "/data/1.webp", None, 1)]


def test_a_popularity_of_zero_throughout_is_mended(out):
    make(out, api_post(1))
    with hb.open(out, writable=True) as db:
        db.rows("UPDATE tag SET popularity = 0")
    make(out, api_post(1))
    assert {row[2] for row in tag_rows(out).values()} == {1}


KNOWN = {"csv": "b,4,9,beta\nc,0,8,\n", "objects": '[{"id": 77, "name": "c", "category": 4}]'}


@pytest.mark.parametrize(("batch", "form"), [(1, None), (2, "csv"), (5000, "objects")])
def test_dumps_in_any_order_give_the_same_tables(out, tmp_path, batch, form):
    tags = [tmp_path / form] if form else []
    for path in tags:
        path.write_text(KNOWN[form], encoding="utf-8")
    first = [api_post(1, general="a b"), api_post(2, general="c", updated_at="2020-01-01T00:00:00.000-05:00")]
    second = [api_post(2, artist="c d"), api_post(3, general="e"), api_post(1, general="tie a", score=9)]
    third = [api_post(4, meta="a"), api_post(1, general="tie z", score=9), api_post(3, updated_at=...)]
    dumps = [write_lines(tmp_path / f"dump{n}", some) for n, some in enumerate((first, second, third))]
    results = []
    for order in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]:
        out.unlink(missing_ok=True)
        build_files([dumps[n] for n in order], out, tags=tags, batch=batch)
        results.append(every_row(out))
    assert all(tables == results[0] for tables in results)
    assert tags_of(out, 1) == ["tie", "z"]
    posts_of_relations = [row[1] for row in results[0]["posttagrelation"]]
    assert posts_of_relations == sorted(posts_of_relations)
    names = [name for number, name, *_ in results[0]["tag"] if number != 77]
    assert names == sorted(names)
