"""An open metadata file, without the questions that a `Database` puts to it."""

import pickle

import pytest

import hakubooru as hb
from booru import write_random
from hakubooru import Post
from hakubooru.store.store import Store, open_store


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "random.db"
    write_random(path)
    return path


def test_a_store_gives_the_rows_and_the_tags_that_a_database_gives(file):
    with open_store(file) as store, hb.open(file) as database:
        (post,) = store.execute(Post.select().order_by(Post.id).limit(1))
        (same,) = database.execute(Post.select().order_by(Post.id).limit(1))
        assert [tag.name for tag in post.tags] == [tag.name for tag in same.tags] != []


def test_a_store_is_sent_to_another_process_as_what_it_is(file):
    for opener in (open_store, hb.open):
        with opener(file) as store, pickle.loads(pickle.dumps(store)) as copy:
            assert type(copy) is type(store)
            assert copy.path == file


def test_captions_need_no_more_than_a_store(file):
    with open_store(file) as store, hb.open(file) as database:
        ids = database.posts.to_ids()[:20]
        assert list(hb.Captioner(store).captions(ids)) == list(hb.Captioner(database).captions(ids))


def test_the_columns_of_a_file_are_read_once_and_again_when_it_changes(file):
    with hb.open(file) as database:
        cache = database.cache
        assert database.cache is cache
        file.touch()
        assert database.cache is not cache
    assert not hasattr(Store, "cache")


def test_migrate_leaves_a_file_that_is_up_to_date(file):
    data = file.read_bytes()
    plan = hb.migrate(file)
    assert (plan.generation, list(plan.scripts)) == (4, [])
    assert file.read_bytes() == data
