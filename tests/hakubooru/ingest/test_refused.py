"""Sets whose columns nobody knows, and files that are something else: one sentence says what was seen and what to do."""

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
from contextlib import closing

import brotli
import duckdb
import py7zr
import pyarrow as pa
import pytest
from backports import zstd
from pyarrow import parquet

import hakubooru as hb
from blue_leaf import blue_leaf_parquet
from danbooru import api_post, contents, tags_of, write_lines
from hakubooru.errors import DumpError, InputError
from hakubooru.ingest import build
from hakubooru.ingest.unpack import leaves
from old_generations import write_generation
from published_sets import posts
from set_files import tar_of
from whole_command import call


def table(folder, **columns):
    parquet.write_table(pa.table({name: [value] for name, value in columns.items()}), folder / "set.parquet")
    return folder / "set.parquet"


def database(folder, **tables):
    with closing(sqlite3.connect(folder / "set.db")) as connection:
        for name, columns in tables.items():
            connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
        connection.commit()
    return folder / "set.db"


def text(folder, data, name="set.json"):
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder / name


def empty_duckdb(folder):
    duckdb.connect(str(folder / "set.duckdb")).close()
    return folder / "set.duckdb"


def one_of_three(folder):
    return blue_leaf_parquet(folder, posts(3))[0] / "post.parquet"


def nested(folder, depth):
    data = b'{"id": 1, "tag_string": ""}\n'
    for _ in range(depth):
        data = gzip.compress(data)
    return text(folder, data)


SET = "that is no set of posts that hakubooru knows. If it has posts with tags, describe its keys with --map map.toml"
REFUSED = {
    "deepghs/danbooru_newest, table.parquet": (
        lambda folder: table(
            folder, id=1, filename="1.jpg", mimetype="image/jpeg", file_ext="jpg", rating="g", md5="0"
        ),
        f"is Parquet, and holds records with the keys file_ext, filename, id, md5, mimetype, rating: {SET}",
    ),
    "deepghs/danbooru_newest_index, records.parquet": (
        lambda folder: table(
            folder,
            id=1,
            file_url="",
            mimetype="image/jpeg",
            file_ext="jpg",
            file_size=1,
            image_width=1,
            image_height=1,
            rating="g",
            md5="0",
        ),
        f"file_ext, file_size, file_url, id, image_height, image_width, md5, mimetype, rating: {SET}",
    ),
    "telecomadm1145/test2": (
        lambda folder: table(folder, id=1, image_url="", rating="general", quality_meta="best quality"),
        f"is Parquet, and holds records with the keys id, image_url, quality_meta, rating: {SET}",
    ),
    "nyanko7, artists.tar.xz": (
        lambda folder: text(
            folder,
            lzma.compress(tar_of({"artists.json": b'{"id": 1, "name": "bespin", "other_names": []}\n'})),
            "artists.tar.xz",
        ),
        f"is JSON in tar in xz, and holds records with the keys id, name, other_names: {SET}",
    ),
    "a database of the first generation": (
        lambda folder: write_generation(folder / "old.db", 1, [], []),
        "is a metadata database of the first generation: it needs no build; run `hakubooru db migrate` on it",
    ),
    "Moebooru's API": (
        lambda folder: text(folder, '[{"id": 1, "tags": "a b", "created_at": 1483239600, "file_size": 5}]'),
        f"is JSON, and holds records with the keys created_at, file_size, id, tags: {SET}",
    ),
    "zenless-fab/zerochan-wip-test": (
        lambda folder: table(
            folder, id=1, filename="1.jpg", tags=["a"], tag_info={"character": ["b"]}, image=b""
        ),
        "holds records with the keys filename, id, image, tag_info, tag_info.character, tags",
    ),
    "site_tags as posts": (
        lambda folder: table(folder, id=1, name="1girl", post_count=5, category=0, words=["1girl"]),
        f"holds records with the keys category, id, name, post_count, words: {SET}",
    ),
    "Jannchie's scores": (
        lambda folder: table(folder, post_id=1, score=0.5, raw_score=0.5, ok=True),
        f"holds records with the keys ok, post_id, raw_score, score: {SET}",
    ),
    "booru-quality-80": (
        lambda folder: database(folder, images=["md5", "path"], more=["x"]),
        "has 0 tables of posts, and must have one; its tables: images (md5, path); more (x)",
    ),
    "two tables of posts": (
        lambda folder: database(folder, a=["id", "tag_string"], b=["id", "tag_string"]),
        "has 2 tables of posts, and must have one",
    ),
    "a DuckDB file without tables": (
        empty_duckdb,
        "has 0 tables of posts, and must have one; its tables: none",
    ),
    "one of KBlueLeaf's three": (
        one_of_three,
        "and posttagrelation and tag is missing: name post.parquet, tag.parquet",
    ),
    "Chars/Danbooru2023-Meta": (
        lambda folder: text(
            folder, seven_zipped("-- MySQL dump 10.13\n", "danbooru_posts.sql"), "danbooru_posts.7z"
        ),
        "danbooru_posts.7z/danbooru_posts.sql is not a dump: it is a dump of MySQL; load it into MySQL, and export the table as",
    ),
    "a CSV without an id": (
        lambda folder: text(folder, "name,tag_string\na,b\n", "set.csv"),
        "is CSV, and holds records with the keys name, tag_string",
    ),
    "a text": (lambda folder: text(folder, "hello\n"), "is not a dump: name a file of posts as JSON, CSV"),
    "a picture": (
        lambda folder: text(folder, b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(99)),
        "is not a dump: name a file",
    ),
    "a page": (lambda folder: text(folder, "<html></html>"), "it looks like XML or HTML"),
    "nothing": (lambda folder: text(folder, ""), "it is empty; download it again"),
    "a pointer": (
        lambda folder: text(folder, "version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "a folder of pictures": (
        lambda folder: text(folder, b"\xff\xd8\xff", "a.jpg").parent,
        "is a folder without a file of records",
    ),
    "an archive of pictures": (
        lambda folder: text(folder, zipped(b"\xff\xd8\xff", "a.jpg"), "a.zip"),
        "is not a dump: name a file of posts",
    ),
    "packed six times": (lambda folder: nested(folder, 6), "is packed more than 5 times: unpack it"),
    "a list of numbers": (lambda folder: text(folder, "[1, 2, 3]"), "there are no posts in"),
    "an object of numbers": (
        lambda folder: text(folder, '{"a": 1,\n"b": 2}'),
        "holds records with the keys a, b",
    ),
}


def zipped(data, name="posts.json"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def seven_zipped(data, name="posts.json"):
    file = io.BytesIO()
    with py7zr.SevenZipFile(file, "w") as archive:
        archive.writestr(data, name)
    return file.getvalue()


def tarred(data):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("posts.json")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_set_of_posts_is_refused_with_one_sentence(tmp_path, name):
    make, message = REFUSED[name]
    (tmp_path / "set").mkdir()
    path = make(tmp_path / "set")
    code, stdout, stderr = call("db", "build", path, "--out", tmp_path / "some.db")
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert str(path) in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "some.db").exists()


BOMBS = {
    "set.gz": gzip.compress,
    "set.xz": lzma.compress,
    "set.bz2": bz2.compress,
    "set.zst": zstd.compress,
    "set.br": brotli.compress,
    "set.zip": zipped,
    "set.7z": seven_zipped,
    "set.tar.gz": tarred,
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "set.7z" else name for name in BOMBS]
)
def test_a_bomb_is_not_unpacked_beyond_its_bound(tmp_path, name):
    data = json.dumps(api_post(1)).encode() + b" " * 4_000_000
    path = text(tmp_path, BOMBS[name](data), name)
    assert path.stat().st_size < 20_000
    with pytest.raises(DumpError, match=r"unpacks to more than [\d,]+ bytes, 100 times"):
        unpacked(path, least_bound=200_000)
    assert unpacked(path, least_bound=5_000_000) == data
    assert unpacked(path) == data


def unpacked(path, **options):
    with path.open("rb") as stream:
        return b"".join(leaf.stream.read() for leaf in leaves(path, stream, path.stat().st_size, **options))


def test_a_member_of_an_archive_is_no_path(tmp_path):
    path = text(tmp_path, zipped(json.dumps(api_post(1)), "../../posts.json"), "set.zip")
    assert build([path], tmp_path / "some.db").new == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["set.zip", "some.db"]


# A map of the user's own

MAP = """
separator = "|"
blanks = true
texts = true
dates = "epoch"
[columns]
id = "number"
image_width = ["w", "size.w"]
created_at = "time"
[tags]
all = "words"
character = "people"
[ratings]
clean = "general"
adult = "explicit"
"""


def test_a_map_describes_a_set_that_is_not_known(tmp_path):
    rows = [
        {
            "number": "5",
            "size": {"w": 640},
            "time": "1483239600",
            "words": "long hair|reimu",
            "people": "reimu",
            "rating": "clean",
        },
        {"number": "6", "size": {"w": 641}, "time": "", "words": "", "people": None, "rating": "adult"},
    ]
    dump = write_lines(tmp_path / "set.jsonl", rows)
    own = text(tmp_path, MAP, "map.toml")
    code, stdout, _ = call("db", "build", dump, "--out", tmp_path / "some.db", "--map", own)
    assert code == 0
    assert "set.jsonl: JSON, the map map.toml" in stdout
    assert tags_of(tmp_path / "some.db", 5) == ["long_hair", "reimu"]
    assert contents(tmp_path / "some.db")[1] == [("long_hair", 0, 1), ("reimu", 2, 1)]
    with hb.open(tmp_path / "some.db") as db:
        first, second = db.posts.posts()
        assert (first.image_width, first.created_at, first.rating) == (
            640,
            "2016-12-31T22:00:00.000-05:00",
            "general",
        )
        assert (second.image_width, second.created_at, second.rating) == (641, None, "explicit")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[tag]\nall = "x"', "the file has no key 'tag'; did you mean 'tags'?"),
        ("blanks = true", "[tags] is missing; name the key of the tags"),
        ('[columns]\nidd = "x"\n[tags]\nall = "x"', "columns has 'idd'; did you mean 'id'?"),
        ('[tags]\npeople = "x"', "tags has 'people'; there are: all, general"),
        ("[tags]\nall = 5", "tags.all = 5; write a key, or a list of keys"),
        ('[tags]\nall = "x"\n[ratings]\na = "nsfw"', "ratings has 'nsfw'; there are: general"),
        ('dates = "american"\n[tags]\nall = "x"', 'dates = "american"; there are: iso, epoch, ctime'),
        ('zone = "Mars"\n[tags]\nall = "x"', "zone is 'Mars'; it must be a time zone"),
        (
            'site = "pixiv"\n[tags]\nall = "x"',
            "'pixiv' is not a site that hakubooru knows; there are: danbooru",
        ),
        ('separator = ""\n[tags]\nall = "x"', "separator is empty; write the text between two tags"),
        ('blanks = "yes"\n[tags]\nall = "x"', 'blanks = "yes"; write true or false'),
        ('id_pattern = "["\n[tags]\nall = "x"', "id_pattern is not a regular expression"),
        ('id_pattern = "[0-9]"\n[tags]\nall = "x"', "id_pattern must have one group"),
        ("columns = 5\n[tags]\nall = 'x'", "columns = 5 is not a table"),
        ("tags = [", "is not TOML"),
    ],
)
def test_a_wrong_map_is_told(tmp_path, toml, message):
    dump = write_lines(tmp_path / "set.jsonl", [api_post(1)])
    own = text(tmp_path, toml, "map.toml")
    with pytest.raises(InputError) as caught:
        build([dump], tmp_path / "some.db", map=own)
    assert message in str(caught.value)
    assert str(own) in str(caught.value)


@pytest.mark.parametrize("number", [1483239600, 1483239600000, "1483239600", 1483239600.0])
def test_a_map_reads_seconds_and_milliseconds(tmp_path, number):
    dump = write_lines(tmp_path / "set.jsonl", [{"id": 1, "t": "solo", "created_at": number}])
    own = text(tmp_path, 'dates = "epoch"\n[tags]\nall = "t"', "map.toml")
    build([dump], tmp_path / "some.db", map=own)
    with hb.open(tmp_path / "some.db") as db:
        assert next(iter(db.posts.posts())).created_at == "2016-12-31T22:00:00.000-05:00"


def test_a_map_that_does_not_fit_its_set_is_told(tmp_path):
    dump = write_lines(tmp_path / "set.jsonl", [{"id": 1, "words": "a"}])
    own = text(tmp_path, '[tags]\nall = "tags"', "map.toml")
    with pytest.raises(
        DumpError, match=r"has records with the keys id, words, and the map .* needs tags: correct the map"
    ):
        build([dump], tmp_path / "some.db", map=own)
    with pytest.raises(InputError, match="cannot be read"):
        build([dump], tmp_path / "some.db", map=tmp_path / "no.toml")


def test_a_set_of_two_kinds_of_tables_is_told(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    parquet.write_table(pa.Table.from_pylist([{"id": 1, "tag_string": "a"}]), folder / "a.parquet")
    parquet.write_table(pa.Table.from_pylist([{"post_id": 1, "score": 5}]), folder / "b.parquet")
    with pytest.raises(
        DumpError, match=r"has a file with records with the keys post_id, score, which lacks id; the first"
    ):
        build([folder], tmp_path / "some.db")


def test_a_readme_beside_the_records_is_passed_over(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("posts.json", json.dumps(api_post(1)))
        archive.writestr("README", "The posts.")
    (description,) = build([tmp_path / "set.zip"], tmp_path / "some.db").recognised
    assert str(description).endswith(
        "set.zip: JSON in zip, posts of Danbooru's API; 1 file beside them was passed over"
    )


@pytest.mark.parametrize(
    ("module", "name"), [("duckdb", "set.duckdb"), ("py7zr", "set.7z"), ("brotli", "set.br")]
)
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, module, name):
    if name == "set.duckdb":
        empty_duckdb(tmp_path)
    else:
        text(tmp_path, BOMBS[name](json.dumps(api_post(1)).encode()), name)
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(DumpError, match=rf"library {module} is not installed: pip install '.\[formats\]'"):
        build([tmp_path / name], tmp_path / "some.db")
