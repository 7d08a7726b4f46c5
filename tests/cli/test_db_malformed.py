"""Malformed dumps, records and lists of tags, and what each gets."""

import gzip
import io
import json
import tarfile

import pytest

from danbooru import api_post, contents
from whole_command import call


def line(**changes):
    return json.dumps(api_post(**changes)).encode() + b"\n"


def tar(name, data):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


GOOD = line()
LONG = b'{"id": 1, "source": "' + b"x" * 17_000_000 + b'"}\n'

# What the dump holds, the exit code, and what is said (in the rejects where the command goes on).
DUMPS = {
    "nothing": (b"", 2, "it is empty; download it again"),
    "a web page": (b"<!DOCTYPE html><html>", 2, "looks like XML or HTML"),
    "UTF-16 without an id": ("[{}]".encode("utf-16"), 2, "1 record was rejected"),
    "a zip archive": (b"PK\x03\x04" + bytes(60), 2, "is cut off or damaged (File is not a zip file)"),
    "a database": (b"SQLite format 3\0" + bytes(100), 2, "is a damaged SQLite file"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", 2, "git lfs pull"),
    "cut gzip": (gzip.compress(GOOD * 9)[:-9], 2, "is cut off or damaged"),
    "cut tar.gz": (tar("posts.json", GOOD * 500)[:-40], 2, "is cut off or damaged"),
    "a tar of folders": (tar("._posts.json", b"x"), 2, "an archive without files"),
    "damaged Parquet": (b"PAR1" + bytes(50) + b"PAR1", 2, "damaged Parquet"),
    "cut array": (b"[" + GOOD.strip() + b', {"id": 2', 2, "cannot be read after item 1"),
    "an array that does not end": (
        b"[" + GOOD.strip(),
        2,
        "cannot be read after item 1: the text ends too early",
    ),
    "a cut line": (GOOD + GOOD[:200] + b"\n", 0, "the line is not JSON in UTF-8"),
    "a line that is no object": (
        GOOD + b"[1, 2]\n",
        0,
        "the record must be an object with the fields of a post",
    ),
    "Latin-1": (GOOD + b'{"source": "caf\xe9"}\n', 0, "the line is not JSON in UTF-8"),
    "half a surrogate pair": (GOOD + b'{"source": "\\ud83d"}\n', 0, "the line is not JSON in UTF-8"),
    "a line of 17 MB": (GOOD + LONG, 0, "longer than 16,777,216 bytes"),
    "an id in quotes": (GOOD + b'{"id": "12"}\n', 0, "id is '12', and must be a whole number"),
    "id 0": (GOOD + line(id=0), 0, "id is 0, and must be a positive number"),
    "an id of 30 digits": (GOOD + line(id=10**29), 0, "id is 1e+29, and must be a whole number"),
    "an unknown rating": (GOOD + line(rating="x"), 0, "rating is 'x', and must be one of g, s, q, e"),
    "half a favourite": (GOOD + line(fav_count=0.5), 0, "fav_count is 0.5, and must be a whole number"),
    "a date in words": (
        GOOD + line(created_at="May 2005"),
        0,
        "created_at is 'May 2005', and must be a date such as",
    ),
    "a 13th month": (
        GOOD + line(updated_at="2023-13-01"),
        0,
        "updated_at is '2023-13-01', and must be a date such as",
    ),
    "a flag in words": (GOOD + line(is_deleted="yes"), 0, "is_deleted is 'yes', and must be true or false"),
    "only bad records": (b"{}\n{}\n", 2, "2 records were rejected"),
}


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        pytest.param(*dump, id=name, marks=[pytest.mark.slow] if len(dump[0]) > 2**24 else [])
        for name, dump in DUMPS.items()
    ],
)
def test_a_malformed_dump(tmp_path, data, code, message):
    (tmp_path / "dump").write_bytes(data)
    exit_code, stdout, stderr = call("db", "build", tmp_path / "dump", "--out", tmp_path / "new.db")
    assert exit_code == code
    assert "Traceback" not in stdout + stderr
    if code:
        assert stderr.startswith("error: ")
        assert stderr.count("\n") == 1
        assert message in stderr
        assert not (tmp_path / "new.db").exists()
    else:
        [reject] = (tmp_path / "new.db.rejects.jsonl").read_text(encoding="utf-8").splitlines()
        assert message in json.loads(reject)["reason"]
        assert json.loads(reject)["line"] == 2
        assert "1 new post, 0 updated, 0 unchanged, 1 rejected" in stdout
        assert len(contents(tmp_path / "new.db")[0]) == 1
        strict, _, stderr = call(
            "db", "build", tmp_path / "dump", "--out", tmp_path / "strict.db", "--strict"
        )
        assert strict == 1
        assert "dump, line 2: " in stderr
        assert not (tmp_path / "strict.db").exists()


TAGS = {
    "a category of another booru": (
        b"solo,0\nfox,6\n",
        "tags, line 2: category '6' is not one of",
    ),
    "another table": (b"id;name\n1;solo\n", "is not a list of tags: it has records with the keys id, name"),
    "a space in a name": (b"long hair,0\n", "tags, line 1: 'long hair' is not a tag name"),
}


@pytest.mark.parametrize(("data", "message"), TAGS.values(), ids=TAGS)
def test_a_malformed_list_of_tags(tmp_path, data, message):
    (tmp_path / "dump").write_bytes(GOOD)
    (tmp_path / "tags").write_bytes(data)
    command = ("db", "build", tmp_path / "dump", "--out", tmp_path / "new.db", "--tags", tmp_path / "tags")
    code, _, stderr = call(*command)
    assert code == 2
    assert message in stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["dump", "tags"]


def test_what_is_missing_in_a_record_is_unknown(tmp_path):
    (tmp_path / "dump").write_bytes(GOOD + line(id=2, score=...) + line(id=3, tag_string=["solo"]))
    code, stdout, _ = call("db", "build", tmp_path / "dump", "--out", tmp_path / "new.db")
    assert code == 0
    assert "3 new posts, 0 updated, 0 unchanged, 0 rejected" in stdout
    assert "1 post does not say" in stdout


def test_tags_without_ids_are_read(tmp_path):
    (tmp_path / "dump").write_bytes(GOOD)
    (tmp_path / "tags").write_bytes(b'[{"name": "solo", "category": 0}]')
    code, _, _ = call(
        "db", "build", tmp_path / "dump", "--out", tmp_path / "new.db", "--tags", tmp_path / "tags"
    )
    assert code == 0
