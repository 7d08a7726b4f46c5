"""A small booru for tests: posts with random columns and tags, written by peewee and by nothing of ours."""

from __future__ import annotations

import logging
import random
from contextlib import contextmanager
from functools import cache
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import hakubooru as hb
from hakubooru.store.schema import Post, PostTagRelation, Tag

TAGS = [
    ("1girl", "general"),
    ("solo", "general"),
    ("long_hair", "general"),
    ("comic", "general"),
    ("o_o", "general"),
    ("bespin", "artist"),
    ("illaoi", "character"),
    ("league_of_legends", "copyright"),
    ("highres", "meta"),
]


def post_row(post_id: int, **columns) -> dict:
    """A post's columns; those not given are plain."""
    row = {
        "id": post_id,
        "created_at": f"{2005 + post_id % 20}-05-23T23:35:31.000-04:00",
        "uploader_id": 1,
        "source": "",
        "md5": f"{post_id:032x}",
        "parent_id": None,
        "has_children": False,
        "is_deleted": False,
        "is_banned": False,
        "pixiv_id": None,
        "has_active_children": False,
        "bit_flags": 0,
        "has_large": False,
        "has_visible_children": False,
        "image_width": 1000,
        "image_height": 800,
        "file_size": 12345,
        "file_ext": "jpg",
        "rating": "general",
        "score": 0,
        "up_score": 0,
        "down_score": 0,
        "fav_count": 0,
        "file_url": f"https://example.invalid/{post_id}.jpg",
        "large_file_url": None,
        "preview_file_url": None,
        "updated_at": "2024-05-19T01:30:25.096-04:00",
    }
    return row | columns


def random_row(post_id: int, draw: random.Random) -> dict:
    """A post with random flags, ratings and counts; one in ten is hidden."""
    hidden = draw.random() < 0.1
    return post_row(
        post_id,
        rating=draw.choice(["general", "sensitive", "questionable", "explicit"]),
        score=draw.randint(-5, 30),
        fav_count=draw.randint(0, 40),
        is_deleted=draw.random() < 0.1,
        is_banned=hidden and draw.random() < 0.3,
        file_ext=draw.choice(["jpg", "jpg", "png", "webp", "avif", "gif", "mp4", "zip"]),
        parent_id=draw.choice([None, None, 1, 2]),
        **({"md5": None, "file_url": None} if hidden else {}),
    )


@contextmanager
def tracing(db, statements):
    """Collect the statements on a database: those of Python's SQLite, and those that read columns; not those of its first count."""
    assert db.about  # a file that does not say what is unknown is scanned when it is first asked
    log = logging.getLogger("hakubooru.store.reader")
    handler = logging.Handler()
    handler.emit = lambda record: statements.append(record.args[0])
    db.connection().set_trace_callback(statements.append)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.setLevel(logging.NOTSET)
        log.removeHandler(handler)
        db.connection().set_trace_callback(None)


def write(path, rows: list[dict], tags_of=lambda post_id: [], tags=TAGS) -> None:
    """A database with these posts, each with the tags that `tags_of(id)` names, in that order.

    Tags are (name, type), or (name, type, popularity).
    """
    with hb.create(path) as db, db.bind(), db.peewee.atomic():
        _insert(Tag, [{"name": name, "type": kind, "popularity": sum(count)} for name, kind, *count in tags])
        tag_ids = {tag.name: tag.id for tag in Tag.select()}
        for _, alike in groupby(rows, dict.keys):
            _insert(Post, list(alike))
        _insert(
            PostTagRelation,
            [{"post": row["id"], "tag": tag_ids[name]} for row in rows for name in tags_of(row["id"])],
        )


def _insert(model, rows: list[dict]) -> None:
    """Insert rows of the same columns by a statement of peewee's, which takes it longer to write than SQLite to run."""
    if rows:
        fields = [getattr(model, name) for name in rows[0]]
        statement, _ = model.insert_many([tuple(rows[0].values())], fields=fields).sql()
        values = ([field.db_value(row[field.name]) for field in fields] for row in rows)
        model._meta.database.connection().executemany(statement, values)


def write_random(path, count: int = 200, seed: int = 1, first_id: int = 1) -> None:
    """A database of random posts, with random tags."""
    Path(path).write_bytes(_random(count, seed, first_id))


@cache
def _random(count, seed, first_id):
    draw = random.Random(seed)
    rows = [random_row(first_id + place, draw) for place in range(count)]
    names = [name for name, _ in TAGS]
    bags = {row["id"]: draw.sample(names, draw.randint(0, 6)) for row in rows}
    with TemporaryDirectory() as folder:
        path = Path(folder, "posts.db")
        write(path, rows, bags.__getitem__)
        return path.read_bytes()
