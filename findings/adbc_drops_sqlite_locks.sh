#!/usr/bin/env bash
# adbc-driver-sqlite: a read through it ends the write lock that Python's sqlite3 holds on the same file in the same process, so a second writer gets in.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check adbc-driver-sqlite==1.13.0 adbc-driver-manager==1.13.0 pyarrow==26.0.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sqlite3, subprocess, sys
from importlib.metadata import version
import adbc_driver_manager, adbc_driver_sqlite, pyarrow as pa

path = f"{sys.argv[1]}/posts.db"
ours = sqlite3.connect(path, isolation_level=None)
ours.execute("CREATE TABLE post (id INTEGER)")

def other_writer():
    """What another process gets when it wants to write."""
    code = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\ntry: c.execute('BEGIN IMMEDIATE'); print('the lock')\nexcept sqlite3.OperationalError as e: print(e)"
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout.strip()

ours.execute("BEGIN IMMEDIATE")
before = other_writer()
database = adbc_driver_sqlite.connect(f"file:{path}?mode=ro")
connection = adbc_driver_manager.AdbcConnection(database)
statement = adbc_driver_manager.AdbcStatement(connection)
statement.set_sql_query("SELECT id FROM post")
stream, _ = statement.execute_query()
rows = pa.RecordBatchReader._import_from_c(stream.address).read_all().num_rows
statement.close(); connection.close(); database.close()
after = other_writer()
print("adbc-driver-sqlite", version("adbc-driver-sqlite"), "sqlite3", sqlite3.sqlite_version, "- before the read another writer gets:", before, "- after it:", after)
assert ours.in_transaction
assert "locked" in before, before
assert after == "the lock", after
PYTHON
