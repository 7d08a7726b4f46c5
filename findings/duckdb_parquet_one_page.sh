#!/usr/bin/env bash
# DuckDB: each column of a row group of Parquet is one data page, whatever its size; pyarrow cuts pages at about 1 MB. A reader has to unpack all of it at once.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import struct, sys
from importlib.metadata import version
import duckdb, pyarrow as pa
from pyarrow import parquet

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]; at += 1
        value |= (byte & 127) << shift; shift += 7
        if not byte & 128:
            return value, at

def pages(path):
    """The sizes of the data pages of the first column, by the page headers (Thrift's compact protocol, first three fields)."""
    column = parquet.ParquetFile(path).metadata.row_group(0).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    data = open(path, "rb").read()[start : start + column.total_compressed_size]
    at, sizes = 0, []
    while at < len(data):
        kind = raw = packed = None
        field = 0
        depth = at
        # fields 1 to 3 are i32: type, uncompressed and compressed size
        for _ in range(3):
            head = data[at]; at += 1
            field += head >> 4
            number, at = varint(data, at)
            number = number >> 1 ^ -(number & 1)
            kind, raw, packed = (number if field == 1 else kind), (number if field == 2 else raw), (number if field == 3 else packed)
        at = skip_struct(data, at)
        if kind in (0, 3):
            sizes.append(raw)
        at += packed
    return sizes

def skip_struct(data, at):
    while True:
        head = data[at]; at += 1
        if head == 0:
            return at
        if head >> 4 == 0:
            _, at = varint(data, at)
        at = skip(data, at, head & 15)

def skip(data, at, kind):
    if kind in (1, 2):
        return at
    if kind == 3:
        return at + 1
    if kind in (4, 5, 6):
        return varint(data, at)[1]
    if kind == 7:
        return at + 8
    if kind == 8:
        size, at = varint(data, at)
        return at + size
    if kind in (9, 10):
        head = data[at]; at += 1
        count = head >> 4
        if count == 15:
            count, at = varint(data, at)
        for _ in range(count):
            at = skip(data, at, head & 15)
        return at
    return skip_struct(data, at)

rows = 120_000
duckdb.sql(f"COPY (SELECT 'tag_' || md5(i::VARCHAR) || repeat('x', 400) AS tags FROM range({rows}) AS t(i)) TO '{sys.argv[1]}/duck.parquet' (FORMAT parquet, ROW_GROUP_SIZE {rows})")
table = parquet.read_table(f"{sys.argv[1]}/duck.parquet")
parquet.write_table(table, f"{sys.argv[1]}/arrow.parquet", row_group_size=rows, use_dictionary=False)
duck, arrow = pages(f"{sys.argv[1]}/duck.parquet"), pages(f"{sys.argv[1]}/arrow.parquet")
print("duckdb", version("duckdb"), "data pages:", len(duck), "the largest", max(duck) // 1_000_000, "MB; pyarrow", version("pyarrow"), "data pages:", len(arrow), "the largest", max(arrow) // 1_000_000, "MB")
assert len(duck) == 1 and max(duck) > 40_000_000, duck
assert len(arrow) > 20, arrow
PYTHON
