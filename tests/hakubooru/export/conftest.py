from __future__ import annotations

import pytest

import hakubooru as hb
from exports import post_ids, write_database, write_set
from pictures import picture, write_tar


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Indexes of remote archives are kept in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def booru(tmp_path_factory):
    """A folder with a database and a set of archives; never written to."""
    folder = tmp_path_factory.mktemp("booru")
    write_database(folder / "posts.db", post_ids())
    write_set(folder / "images")
    return folder


@pytest.fixture
def small(tmp_path):
    """A folder with a database of the posts 1 to 40; tests write the archives."""
    write_database(tmp_path / "posts.db", list(range(1, 41)))
    return tmp_path


@pytest.fixture
def out(small):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 31)})
    write_tar(small / "images" / "b.tar", {f"{i}.jpg": picture(i, "jpg") for i in range(31, 40)})
    with hb.open(small / "posts.db") as database:
        database.posts.export(small / "out", images=small / "images")
    return small / "out"


@pytest.fixture
def shards(small):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 31)})
    with hb.open(small / "posts.db") as database:
        database.posts.export(small / "shards", images=small / "images", sink="webdataset")
    return small / "shards"
