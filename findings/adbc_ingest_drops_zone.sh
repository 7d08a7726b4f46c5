#!/usr/bin/env bash
# adbc-driver-sqlite: adbc_ingest writes a moment with a time zone as the UTC time of day, and nothing in the text says so: 22:00 of New Year's Eve in New York becomes 2017-01-01T03:00:00.000000, which everyone reads as local
# time, so that the year of the upload is another. Times without a zone look the same. Expected: an offset, or a Z, as pyarrow casts such a moment to text, or an error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile adbc-driver-sqlite==1.13.0 adbc-driver-manager==1.13.0 pyarrow==26.0.1 tzdata==2026.6
"$folder/venv/bin/python" - "$folder/posts.db" <<'PYTHON'
import datetime, sqlite3, sys, zoneinfo
from importlib.metadata import version
import adbc_driver_sqlite.dbapi as adbc
import pyarrow as pa

moment = datetime.datetime(2016, 12, 31, 22, tzinfo=zoneinfo.ZoneInfo("America/New_York"))
posts = pa.table({"created_at": pa.array([moment], pa.timestamp("ms", tz="America/New_York")), "at_home": pa.array([moment.replace(tzinfo=None)], pa.timestamp("ms"))})
with adbc.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    cursor.adbc_ingest("post", posts)
    connection.commit()
zoned, local = sqlite3.connect(sys.argv[1]).execute("SELECT created_at, at_home FROM post").fetchone()
cast = posts["created_at"].cast(pa.string())[0].as_py()
print("adbc-driver-sqlite", version("adbc-driver-sqlite"), "pyarrow", pa.__version__, "moment:", moment.isoformat(), "written:", zoned, "without a zone:", local, "cast by pyarrow:", cast)
assert datetime.datetime.fromisoformat(zoned) == datetime.datetime(2017, 1, 1, 3), zoned
assert zoned.startswith("2017-01-01T03:00:00") and zoned[19:].strip(".0") == "", zoned
assert local.startswith("2016-12-31T22:00:00") and len(local) == len(zoned), local
assert cast.endswith("-0500"), cast
PYTHON
