import multiprocessing
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import hakubooru as hb
from hakubooru.errors import (
    BusyError,
    DatabaseFileError,
    InputError,
    OldGenerationError,
    UnfinishedWriteError,
)

POST = (
    "INSERT INTO post VALUES (?, '2020-01-01T00:00:00.000-05:00', 1, '', 'x', NULL, 0, 0, 0, NULL, 0, 0, 0, 0, "
    "10, 20, 30, 'jpg', ?, 1, 1, 0, 5, 'u', 'l', 'p', '2020-01-01T00:00:00.000-05:00')"
)


def fill(path, posts=3):
    """A file with some posts, of which each bears tag 1, and tags 2 and 3 where its id divides by them."""
    with hb.create(path) as db:
        connection = db.connection()
        connection.execute("BEGIN")
        for number, name in enumerate(["solo", "even", "third"], 1):
            connection.execute("INSERT INTO tag VALUES (?, ?, ?, 0)", [number, name, number - 1])
        for post in range(1, posts + 1):
            connection.execute(POST, [post, post % 4])
            for tag in (3, 2, 1):
                if post % tag == 0:
                    connection.execute(
                        "INSERT INTO posttagrelation (post_id, tag_id) VALUES (?, ?)", [post, tag]
                    )
        connection.execute("COMMIT")
    return path


@pytest.fixture
def path(tmp_path):
    return fill(tmp_path / "some.db")


def post(db, number):
    return next(db.execute(hb.Post.select().where(hb.Post.id == number)))


# What cannot be opened


def refusal(path, error=DatabaseFileError, **options):
    entries = sorted(path.parent.iterdir()) if path.parent.is_dir() else None
    with pytest.raises(error) as caught:
        hb.open(path, **options)
    assert entries is None or sorted(path.parent.iterdir()) == entries, "opening leaves nothing behind"
    assert str(path) in str(caught.value)
    return str(caught.value)


def damaged(path):
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xaa" * 3996
    path.write_bytes(data)


def of_other_tables(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE booru (id)")


BAD_FILES = {
    "missing": (Path.unlink, "does not exist; check the path"),
    "empty": (lambda path: path.write_bytes(b""), "is empty: download it again"),
    "text": (lambda path: path.write_text("hello\n" * 100), "is not an SQLite file"),
    "packed": (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(200)), "unpack it first"),
    "a dump": (lambda path: path.write_text('{"id": 1}\n' * 100), "turn a dump into a database"),
    "an LFS pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "short": (lambda path: path.write_bytes(path.read_bytes()[:50]), "is not an SQLite file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-4096]), "is truncated"),
    "damaged": (damaged, "is damaged"),
    "of other tables": (of_other_tables, "is not a Danbooru metadata database.*has the tables: booru"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_FILES.values(), ids=BAD_FILES)
@pytest.mark.parametrize("writable", [False, True])
def test_what_is_wrong_with_a_file_is_told(path, spoil, message, writable):
    spoil(path)
    assert re.search(message, refusal(path, writable=writable))


def test_text_that_is_not_utf8_is_told(path):
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute("UPDATE tag SET name = CAST(x'61ff62' AS TEXT) WHERE id = (SELECT MIN(id) FROM tag)")
    with hb.open(path) as db:
        message = r"contains text that is not UTF-8 \(column 'name' with text .*a\ufffdb.*\); correct it"
        with pytest.raises(DatabaseFileError, match=message):
            db.rows("SELECT name FROM tag")
        with pytest.raises(DatabaseFileError, match=message):
            list(db.posts.captions())


def test_a_mistyped_name_is_answered_with_the_nearest(path):
    assert "did you mean some.db?" in refusal(path.with_name("sone.db"))


def test_a_folder_is_told(tmp_path):
    assert "is a folder" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "no" / "such.db")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_told_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.db")
    assert "is not a regular file" in refusal(tmp_path / "pipe.db")


@pytest.mark.parametrize(
    ("generation", "statements"),
    [
        (3, ["ALTER TABLE post DROP COLUMN updated_at"]),
        (2, ["ALTER TABLE post DROP COLUMN updated_at", "ALTER TABLE post ADD COLUMN tag_list TEXT"]),
        (1, ["ALTER TABLE post ADD COLUMN tag_list_general TEXT", "DROP TABLE posttagrelation"]),
    ],
)
def test_an_older_generation_is_recognised_and_the_mend_named(path, generation, statements):
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    message = refusal(path, OldGenerationError)
    assert f"generation {generation}" in message
    assert f"hakubooru db migrate {path}" in message


def test_a_locked_file_is_told_with_its_holder(path):
    hold = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('BEGIN EXCLUSIVE'); print('.', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        with pytest.raises(BusyError, match=rf"process {process.pid} .*BEGIN EXCLUSIVE"):
            hb.open(path, busy_timeout=0.1)
        process.stdin.close()


def test_queries_wait_for_a_lock_as_long_as_they_may(path):
    with (
        hb.open(path, busy_timeout=0.1) as db,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        with pickle.loads(pickle.dumps(db)) as copy:
            assert copy.busy_timeout == 0.1
        other.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        for read in (db.rows, db.reader.column):
            with pytest.raises(BusyError, match="is locked by"):
                read("SELECT id FROM post")
        assert time.monotonic() - start < 4, "by default it is five seconds for each"


KILLED_IN_A_TRANSACTION = """
import os, sqlite3, signal, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("PRAGMA cache_spill = 5")
connection.execute("BEGIN")
connection.execute("UPDATE post SET score = 999")
connection.execute("INSERT INTO post SELECT id + 1000000, created_at, uploader_id, source, md5, parent_id, has_children, "
    "is_deleted, is_banned, pixiv_id, has_active_children, bit_flags, has_large, has_visible_children, image_width, image_height, "
    "file_size, file_ext, rating, score, up_score, down_score, fav_count, file_url, large_file_url, preview_file_url, updated_at FROM post")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.kill
@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed there by signal")
def test_a_file_that_a_killed_writer_left_is_not_read_but_recovered(tmp_path):
    path = fill(tmp_path / "torn.db", posts=2000)
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_A_TRANSACTION, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.with_name("torn.db-journal").stat().st_size > 0
    assert "killed" in refusal(path, UnfinishedWriteError)
    hb.open(path, writable=True).close()
    with hb.open(path) as db:
        assert db.scalar("SELECT COUNT(*) FROM post WHERE score = 999") == 0
        assert db.info().posts == 2000
        assert db.scalar("PRAGMA integrity_check") == "ok"


def test_a_file_whose_header_is_ahead_of_it_is_recovered_where_a_journal_says_how(path):
    # So it looks between the first and the last page of a commit.
    whole = path.read_bytes()
    path.write_bytes(whole[:-4096])
    path.with_name("some.db-journal").write_bytes(b"")
    with pytest.raises(UnfinishedWriteError):
        hb.open(path)


def test_a_write_ahead_log_with_content_is_told(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("UPDATE post SET score = 77")
        connection.commit()
        data, log = path.read_bytes(), path.with_name("some.db-wal").read_bytes()
    copy = path.with_name("copy.db")
    copy.write_bytes(data)
    copy.with_name("copy.db-wal").write_bytes(log)
    assert "killed" in refusal(copy, UnfinishedWriteError)
    hb.open(copy, writable=True).close()
    with hb.open(copy) as db:
        assert db.scalar("SELECT MIN(score) FROM post") == 77


def test_a_file_left_in_wal_mode_opens_without_leaving_anything_beside_it(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    entries = sorted(path.parent.iterdir())
    with hb.open(path) as db:
        assert db.info().posts == 3
        assert sorted(path.parent.iterdir()) == entries
    with hb.open(path, writable=True) as db:
        assert db.scalar("PRAGMA journal_mode") == "delete"


def test_a_file_in_wal_mode_with_a_journal_is_not_opened_as_immutable(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    path.with_name("some.db-journal").write_bytes(b"left by a writer that was killed")
    with pytest.raises(UnfinishedWriteError):
        hb.open(path)


@pytest.mark.parametrize("name", ["a b.db", "what?.db", "hash#.db", "100%41.db", "東方.db", ":memory:"])
def test_any_file_name_will_do(tmp_path, name):
    fill(tmp_path / name)
    with hb.open(tmp_path / name) as db:
        assert db.info().posts == 3
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_relative_name_is_kept_in_messages_and_found_from_other_folders(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with hb.open("some.db") as db:
        assert repr(db) == "hakubooru.open('some.db')"
        data = pickle.dumps(db)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pickle.loads(data) as db:
        assert db.info().posts == 3


# What can


def test_opening_is_read_only_unless_asked(path):
    with hb.open(path) as db, pytest.raises(DatabaseFileError, match="cannot be written"):
        db.rows("DELETE FROM post")
    with hb.open(path, writable=True) as db:
        db.rows("DELETE FROM post WHERE id = 1")
    with hb.open(path) as db:
        assert db.info().posts == 2


def test_create_refuses_what_exists(path, tmp_path):
    data = path.read_bytes()
    with pytest.raises(DatabaseFileError, match="already exists"):
        hb.create(path)
    assert path.read_bytes() == data
    with pytest.raises(DatabaseFileError, match="cannot be created"):
        hb.create(tmp_path / "no" / "such.db")


def test_posts_find_their_tags_and_tags_their_type(path):
    fill(path.with_name("six.db"), posts=6)
    with hb.open(path.with_name("six.db")) as db:
        assert [tag.name for tag in post(db, 6).tags] == ["third", "even", "solo"]
        assert [tag.name for tag in post(db, 6).tags_of("artist")] == ["even"]
        assert post(db, 1).tags_of("meta") == []
        with pytest.raises(InputError, match="not one of general"):
            post(db, 6).tags_of("copywrite")
        assert post(db, 6).tags_of("species") == []


def test_a_tag_finds_its_posts(path):
    with hb.open(path) as db:
        assert list(db.tags["solo"].posts.to_ids()) == [1, 2, 3]
        assert list(db.tags["even"].posts.where(hb.Post.id > 2).to_ids()) == []
        [bearer] = post(db, 2).tags[0].posts.posts()
        assert [tag.name for tag in bearer.tags] == ["even", "solo"]


def test_the_tags_of_many_posts_take_two_queries_and_those_of_one_are_asked_for_once(path):
    with hb.open(path) as db:
        first = post(db, 2)
        statements = []
        db.connection().set_trace_callback(statements.append)
        assert {number: len(tags) for number, tags in db.tags_of_posts([1, 2, 3, 99]).items()} == {
            1: 1,
            2: 2,
            3: 2,
        }
        assert len(statements) == 2
        assert first.tags == first.tags
        assert first.tags_of("artist")
        assert len(statements) == 4


def test_a_post_without_tags_has_none(path):
    with hb.open(path, writable=True) as db:
        db.rows("DELETE FROM posttagrelation")
        assert post(db, 1).tags == []


def test_a_relation_to_a_tag_that_is_not_there_is_passed_over(path):
    with hb.open(path, writable=True) as db:
        db.rows("INSERT INTO posttagrelation (post_id, tag_id) VALUES (1, 999)")
        assert [tag.name for tag in post(db, 1).tags] == ["solo"]


def test_a_post_that_came_from_nowhere_says_so():
    with pytest.raises(InputError, match="is not from a database"):
        _ = hb.Post(id=1).tags


def test_several_files_can_be_open_and_a_query_is_run_anew_on_each(path):
    fill(path.with_name("more.db"), posts=5)
    query = hb.Post.select().where(hb.Post.id > 1)
    with hb.open(path) as few, hb.open(path.with_name("more.db")) as more:
        assert [row.id for row in few.execute(query)] == [2, 3]
        assert [row.id for row in more.execute(query)] == [2, 3, 4, 5]
        assert [tag.name for tag in post(more, 4).tags] == ["even", "solo"]
        assert [row.id for row in few.execute(query)] == [2, 3]


def test_binding_gives_peewees_own_style(path):
    with hb.open(path) as db, db.bind():
        assert hb.Post.get_by_id(2).rating == "questionable"
        assert hb.Post.select().where(hb.Post.rating == "sensitive").count() == 1


@pytest.mark.slow
def test_threads_share_a_database(tmp_path):
    path = fill(tmp_path / "shared.db", posts=200)
    with hb.open(path) as db, ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda number: len(post(db, number).tags), range(1, 201)))
    assert counts == [1 + (number % 2 == 0) + (number % 3 == 0) for number in range(1, 201)]


def test_closing_closes_the_connections_of_all_threads(path):
    db = hb.open(path)
    thread = threading.Thread(target=db.info)
    thread.start()
    thread.join()
    db.close()
    db.close()
    for question in (db.info, lambda: list(db.execute(hb.Post.select()))):
        with pytest.raises(InputError, match="was closed"):
            question()


def _count(db):
    with db:
        return db.info().posts


@pytest.mark.slow
@pytest.mark.parametrize("writable", [False, True])
def test_a_database_travels_to_another_process(path, writable):
    with hb.open(path, writable=writable) as db:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(_count, (db,)) == 3
        with pickle.loads(pickle.dumps(db)) as copy:
            assert copy.writable is writable
