"""Posts of Danbooru's API, as tests need them, and what a database holds, as they compare it."""

import json
import sqlite3
from contextlib import closing


def api_post(id=1, *, general="1girl solo", artist="", character="", copyright="", meta="", **changes):
    """A post as the API gives it today; any key can be changed, and left out by giving `...`."""
    names = " ".join(filter(None, (general, artist, character, copyright, meta)))
    post = {
        "id": id,
        "created_at": "2023-02-03T04:05:06.789-05:00",
        "uploader_id": 7,
        "score": 12,
        "source": "https://example.com/art",
        "md5": f"{id:032x}",
        "last_comment_bumped_at": None,
        "rating": "g",
        "image_width": 800,
        "image_height": 1200,
        "tag_string": names,
        "fav_count": 34,
        "file_ext": "jpg",
        "parent_id": None,
        "has_children": False,
        "file_size": 123456,
        "up_score": 14,
        "down_score": -2,
        "is_pending": False,
        "is_deleted": False,
        "is_banned": False,
        "updated_at": "2024-05-19T01:30:25.096-04:00",
        "pixiv_id": None,
        "has_active_children": False,
        "bit_flags": 0,
        "has_large": True,
        "has_visible_children": False,
        "media_asset": {"id": id, "variants": []},
        "tag_string_general": general,
        "tag_string_artist": artist,
        "tag_string_character": character,
        "tag_string_copyright": copyright,
        "tag_string_meta": meta,
        "file_url": f"https://cdn.example.com/original/{id}.jpg",
        "large_file_url": f"https://cdn.example.com/sample/{id}.jpg",
        "preview_file_url": f"https://cdn.example.com/180x180/{id}.jpg",
    }
    return {key: value for key, value in (post | changes).items() if value is not ...}


def write_lines(path, posts):
    """A dump as JSON lines; text and bytes among the posts are written as they are."""
    with path.open("wb") as file:
        for post in posts:
            line = post if isinstance(post, bytes) else json.dumps(post, ensure_ascii=False).encode()
            file.write(line + b"\n")
    return path


def contents(path):
    """Posts, tags by name without their ids, and each post's tags by name in their order."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute(
            "SELECT post_id, name FROM posttagrelation r JOIN tag ON tag.id = tag_id ORDER BY post_id, r.id"
        ).fetchall()
        return (
            connection.execute("SELECT * FROM post ORDER BY id").fetchall(),
            connection.execute("SELECT name, type, popularity FROM tag ORDER BY name").fetchall(),
            names,
        )


def every_row(path):
    """All tables as they stand, ids and all."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in sorted(tables)
        }


def tags_of(path, post_id):
    """Names of a post's tags, in order."""
    return [name for number, name in contents(path)[2] if number == post_id]
