from __future__ import annotations

import pytest

import hakubooru as hb
from booru import post_row, write

TAGS = {
    "general": [
        "long_hair",
        "1girl",
        "o_o",
        "solo",
        "star_(sky)",
        "(o)_(o)",
        "looking_at_viewer",
        "male_focus",
    ],
    "character": ["hatsune_miku", "vert_(neptunia)"],
    "copyright": ["vocaloid"],
    "artist": ["bespin", "banned_artist", "banned_by_moderators"],
    "meta": ["highres", "photoshop_(medium)", "bad_id", "commentary_request", "absurdres"],
}
KIND = {name: kind for kind, names in TAGS.items() for name in names}


def write_posts(
    path, posts: dict[int, tuple[str, dict]], tags: dict[str, tuple[str, int]] | None = None
) -> None:
    """A database of posts: id → tags (a text, in the order of its relations) and columns.

    Tags have the kinds of `KIND` and the popularity 0, unless `tags` says more: name → kind, popularity.
    """
    kinds = {name: (kind, 0) for name, kind in KIND.items()} | (tags or {})
    rows = [post_row(post_id, **columns) for post_id, (_, columns) in posts.items()]
    write(
        path, rows, lambda post_id: posts[post_id][0].split(), [(name, *more) for name, more in kinds.items()]
    )


@pytest.fixture
def booru(tmp_path):
    """Opens a database of the posts given: `booru({1: ("1girl solo", {"rating": "explicit"})})`."""
    databases = []

    def make(posts, tags=None):
        path = tmp_path / f"captions{len(databases)}.db"
        write_posts(path, posts, tags)
        databases.append(hb.open(path))
        return databases[-1]

    yield make
    for database in databases:
        database.close()


@pytest.fixture
def caption(booru):
    """The caption of one post in a format: `caption("kohaku-epsilon", "1girl solo", rating="explicit")`."""
    from hakubooru.caption import Captioner

    def make(format, tags, *, id=1, popularity=None, **columns):
        database = booru({id: (tags, columns)}, popularity)
        [(_, text)] = Captioner(database, format).captions(database.posts.to_ids())
        return text

    return make


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder of its own for what is read of joined files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
