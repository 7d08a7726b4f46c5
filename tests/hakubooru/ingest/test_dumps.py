import gzip
import io
import json
import lzma
import tarfile

import pytest

from hakubooru.errors import DumpError
from hakubooru.ingest.dumps import find_dumps
from hakubooru.ingest.json_text import LONGEST_RECORD, Entry, read_array

POSTS = [{"id": 1, "s": 'a "quoted" \\ ] } , [ {'}, {"id": 2, "s": "東方\u2028😀"}, {"id": 3, "s": ""}]
LINES = "".join(json.dumps(post, ensure_ascii=False) + "\n" for post in POSTS).encode()
ARRAY = json.dumps(POSTS, ensure_ascii=False).encode()


def read(path):
    (dump,) = find_dumps([path])
    batches = dump.batches(sorted)
    return [entry for batch in batches for entry in ([batch] if isinstance(batch, Entry) else batch.entries)]


def values(path):
    return [entry.value for entry in read(path)]


def tar(*members, mode="w", format=tarfile.PAX_FORMAT):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=format) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


WAYS = {
    "lines": LINES,
    "lines without an end": LINES.rstrip(),
    "lines of Windows": LINES.replace(b"\n", b"\r\n"),
    "lines and empty ones": LINES.replace(b"\n", b"\n\n \n"),
    "lines after a byte order mark": b"\xef\xbb\xbf" + LINES,
    "lines, gzipped": gzip.compress(LINES),
    "lines, gzipped in two parts": gzip.compress(LINES[:60]) + gzip.compress(LINES[60:]),
    "an array": ARRAY,
    "an array, indented": json.dumps(POSTS, indent=4).encode(),
    "an array after white space": b"\n\t [" + ARRAY[1:-1] + b" \n] \n",
    "an array, gzipped": gzip.compress(ARRAY),
    "a tar": tar(("posts.json", LINES)),
    "a tar.gz": gzip.compress(tar(("metadata/posts.json", LINES))),
    "a GNU tar of long names": tar(("x" * 300 + ".json", LINES), format=tarfile.GNU_FORMAT),
    "a tar of odd names": tar(("../../../etc/passwd", LINES)),
    "a tar from macOS": tar(("./._posts.json", b"\0\5\26\7rubbish"), ("./posts.json", LINES)),
    "a tar of two": tar(
        ("a.json", LINES[: LINES.index(b"\n")]),
        ("b.json", b"[" + LINES.split(b"\n", 1)[1].replace(b"\n", b",", 1) + b"]"),
    ),
    "a tar with a gzipped dump": tar(("posts.json.gz", gzip.compress(LINES))),
}


@pytest.mark.parametrize("data", WAYS.values(), ids=WAYS)
def test_a_dump_is_known_by_its_bytes(tmp_path, data):
    (tmp_path / "dump.bin").write_bytes(data)
    assert values(tmp_path / "dump.bin") == POSTS
    assert [entry.name for entry in tmp_path.iterdir()] == ["dump.bin"]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_an_array_may_be_cut_anywhere_by_reading(chunk):
    stream = io.BytesIO(b"[1, 234, -5.25e1, true , null,\n" + ARRAY[1:-1] + b"]")
    items = [json.loads(item) for _, item in read_array(stream, "array.json", chunk=chunk)]
    assert items == [1, 234, -52.5, True, None, *POSTS]


def test_an_empty_array_is_empty(tmp_path):
    (tmp_path / "array.json").write_bytes(b" [ \n ] ")
    assert values(tmp_path / "array.json") == []


NO_DUMPS = {
    "empty": (b"", "it is empty"),
    "white space": (b" \n \n", "it is empty"),
    "text": (b"hello\n", "is not a dump: name a file of posts as JSON, CSV, Parquet"),
    "a dump of MySQL": (
        b"-- MySQL dump 10.13\n",
        "it is a dump of MySQL; load it into MySQL, and export the table as CSV",
    ),
    "a short line of CSV": (b"id,tags,rating\n1,a\n", "line 2: it has 2 fields, and the heading has 3"),
    "CSV not in UTF-8": (b"id,tags\n1,\xff\n", "line 1: 'utf-8' codec can't decode"),
    "XML": (b'<?xml version="1.0"?><posts/>', "looks like XML"),
    "damaged zstd": (b"(\xb5/\xfd" + bytes(100), "is cut off or damaged"),
    "damaged zip": (b"PK\x03\x04" + bytes(100), "is cut off or damaged"),
    "damaged 7z": (b"7z\xbc\xaf\x27\x1c" + bytes(100), "is cut off or damaged"),
    "damaged xz": (b"\xfd7zXZ\0" + bytes(100), "is cut off or damaged"),
    "cut xz": (lzma.compress(LINES * 50)[:-20], "is cut off or damaged"),
    "damaged bz2": (b"BZh9" + bytes(100), "is cut off or damaged"),
    "damaged SQLite": (b"SQLite format 3\0" + bytes(100), "is a damaged SQLite file"),
    "damaged DuckDB": (bytes(8) + b"DUCK" + bytes(4096), "is a damaged DuckDB file"),
    "an LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "cut gzip": (gzip.compress(LINES * 50)[:-20], "is cut off or damaged"),
    "damaged gzip": (gzip.compress(LINES)[:15] + b"\xff" * 60, "is cut off or damaged"),
    "gzip of nothing": (gzip.compress(b""), "it is empty"),
    "cut tar": (tar(("posts.json", LINES * 50))[:1500], "is cut off or damaged"),
    "tar of nothing": (tar(("dir/._x", b"x")), "an archive without files"),
    "damaged Parquet": (b"PAR1" + bytes(100) + b"PAR1", "a damaged Parquet file"),
    "cut array": (ARRAY[:-30], "cannot be read after item 1: the next one is not JSON"),
    "array without an end": (ARRAY[:-1], "cannot be read after item 3: the text ends too early"),
    "array with an end too many": (b'[{"id": 1},]', "cannot be read after item 1: the next one is not JSON"),
    "array without commas": (
        b'[{"id": 1} {"id": 2}]',
        "cannot be read after item 1: '{\"id\": 2}]' stands in place of ','",
    ),
    "array not in UTF-8": (b'[{"id": "\xff"}]', "cannot be read after item 0"),
    "array nested without end": (b"[" * 100_000, "cannot be read after item 0"),
}


@pytest.mark.parametrize(("data", "message"), NO_DUMPS.values(), ids=NO_DUMPS)
def test_what_is_no_dump_is_told(tmp_path, data, message):
    path = tmp_path / "bad.json"
    path.write_bytes(data)
    with pytest.raises(DumpError) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_dump_and_an_empty_folder_are_told(tmp_path):
    with pytest.raises(DumpError, match="does not exist"):
        read(tmp_path / "no.json")
    with pytest.raises(DumpError, match="is a folder without a file of records"):
        read(tmp_path)


def test_bad_lines_are_told_apart_by_number_and_reading_goes_on(tmp_path):
    lines = [
        b'{"id": 1}',
        b'{"id": 2',
        b'{"id": "\xff"}',
        b'{"id": "\\ud800"}',
        b'{"id": Nan}',
        b"",
        b'{"id": 7}',
    ]
    (tmp_path / "some.jsonl").write_bytes(b"\n".join(lines))
    records = read(tmp_path / "some.jsonl")
    assert [(f.number, f.value) for f in records if not f.reason] == [(1, {"id": 1}), (7, {"id": 7})]
    assert [f.number for f in records if f.reason] == [2, 3, 4, 5]
    assert all(
        f.reason.startswith("the line is not JSON in UTF-8") and f.text == lines[f.number - 1]
        for f in records
        if f.reason
    )


def test_a_line_without_end_does_not_fill_the_memory(tmp_path):
    endless = b"y" * (2 * LONGEST_RECORD)
    (tmp_path / "long.jsonl").write_bytes(b'{"id": 1}\n{"x": "' + endless + b'"}\n{"id": 3}\n')
    records = read(tmp_path / "long.jsonl")
    assert [(f.number, f.value) for f in records] == [(1, {"id": 1}), (2, None), (3, {"id": 3})]
    assert "longer than 16,777,216 bytes" in records[1].reason


def test_bytes_read_reach_the_size_of_the_file(tmp_path):
    for name, data in {"a": LINES, "b": gzip.compress(LINES), "c": tar(("x", ARRAY))}.items():
        (tmp_path / name).write_bytes(data)
        (dump,) = find_dumps([tmp_path / name])
        assert dump.bytes_read() == 0
        assert list(dump.batches(sorted))
        assert dump.bytes_read() == dump.size == len(data)
