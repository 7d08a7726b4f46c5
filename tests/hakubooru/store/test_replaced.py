import os
import shutil
import sqlite3
from contextlib import closing

import pytest

import hakubooru as hb
from hakubooru.errors import DatabaseFileError


@pytest.fixture
def other(path, tmp_path):
    """Another file with the same posts, and higher scores."""
    other = tmp_path / "other.db"
    shutil.copy(path, other)
    with closing(sqlite3.connect(other)) as file, file:
        file.execute("UPDATE post SET score = score + 1000")
    return other


def test_a_file_that_was_replaced_before_the_first_query_is_told(path, other):
    with hb.open(path) as db:
        other.replace(path)
        with pytest.raises(DatabaseFileError, match="was replaced by another file since it was opened"):
            db.posts.score(min=1).count()


def test_a_file_that_was_replaced_or_removed_while_it_is_open_is_told(path, other):
    """The open connections would read the old file, and new ones the new file: results would be a mixture."""
    with hb.open(path) as db:
        count = db.posts.count()
        os.utime(path)
        assert db.posts.count() == count
        other.replace(path)
        with pytest.raises(
            DatabaseFileError, match="was replaced by another file since it was opened; open it"
        ):
            db.posts.score(min=1).count()
    with hb.open(path) as db:
        assert db.posts.score(min=900).count() == count
        path.unlink()
        with pytest.raises(DatabaseFileError, match="is no longer there"):
            db.posts.count()


def test_a_copy_of_the_same_time_is_no_other_file(path, other):
    with hb.open(path) as db:
        count = db.posts.count()
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("UPDATE post SET score = 1000")
        assert db.posts.score(min=900).count() == count
        shutil.copy2(path, other).replace(path)
        assert db.posts.score(max=900).count() == 0


def test_a_copy_that_changes_is_another_file(path, other):
    with hb.open(path) as db:
        shutil.copy2(path, other).replace(path)
        assert db.posts.count()
        with closing(sqlite3.connect(path)) as file, file:
            file.execute("UPDATE post SET score = 1000")
        with pytest.raises(DatabaseFileError, match="was replaced by another file"):
            db.posts.count()
