"""Sets of e621 and Gelbooru as they are published: exports in CSV, answers of the APIs, and what gallery-dl writes."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING, Any

from set_files import lines, write, write_sqlite

if TYPE_CHECKING:
    from pathlib import Path

E621_TAGS = {
    "general": ["anthro", "solo"],
    "artist": ["atherol"],
    "contributor": ["someone"],
    "copyright": ["nintendo", "pokemon"],
    "character": [],
    "species": ["lugia"],
    "invalid": ["spelling_eror"],
    "meta": ["hi_res"],
    "lore": ["adult_(lore)"],
}
CATEGORIES = {name: number for number, name in enumerate(
    ("general", "artist", "contributor", "copyright", "character", "species", "invalid", "meta", "lore")
)}  # fmt: skip


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    """Rows as PostgreSQL's COPY writes them: t and f, and nothing for NULL."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows[0])
    flags = {True: "t", False: "f", None: ""}
    for row in rows:
        writer.writerow(
            [flags[value] if value is None or isinstance(value, bool) else value for value in row.values()]
        )
    return file.getvalue().encode()


def export_row(number: int) -> dict[str, Any]:
    """A post of e621's export."""
    names = sorted(name for names in E621_TAGS.values() for name in names)
    return {
        "id": number,
        "uploader_id": 46,
        "created_at": "2022-01-01 03:04:05.67",
        "md5": f"{number:032x}",
        "source": "https://example.com/a\nhttps://example.com/b",
        "rating": "sqe"[number % 3],
        "image_width": 1446,
        "image_height": 1512,
        "tag_string": " ".join(names),
        "locked_tags": None,
        "fav_count": 10 * number,
        "file_ext": "png",
        "parent_id": None,
        "change_seq": 43344138,
        "approver_id": None,
        "file_size": 280710,
        "comment_count": 0,
        "description": 'it says "hello", twice',
        "duration": None,
        "updated_at": "2022-11-15 20:20:24.397",
        "is_deleted": number == 3,
        "is_pending": False,
        "is_flagged": False,
        "score": 4,
        "up_score": 5,
        "down_score": -1,
        "is_rating_locked": False,
        "is_status_locked": False,
        "is_note_locked": False,
    }


def api_post(number: int) -> dict[str, Any]:
    """A post of e621's API."""
    row = export_row(number)
    return {
        "id": number,
        "created_at": "2021-12-31T22:04:05.670-05:00",
        "updated_at": "2022-11-15T15:20:24.397-05:00",
        "file": {"width": 1446, "height": 1512, "ext": "png", "size": 280710, "md5": row["md5"], "url": None},
        "preview": {"width": 143, "height": 150, "url": None},
        "sample": {"has": True, "height": 888, "width": 850, "url": None, "alternates": {}},
        "score": {"up": 5, "down": -1, "total": 4},
        "tags": E621_TAGS,
        "locked_tags": [],
        "change_seq": 43344138,
        "flags": {"pending": False, "flagged": False, "deleted": number == 3},
        "rating": row["rating"],
        "fav_count": 10 * number,
        "sources": row["source"].split("\n"),
        "pools": [],
        "relationships": {
            "parent_id": None,
            "has_children": False,
            "has_active_children": False,
            "children": [],
        },
        "uploader_id": 46,
    }


def gallery_dl(number: int) -> dict[str, Any]:
    """A post of e621 as gallery-dl writes it: tags are flattened, files and scores are not."""
    post = api_post(number)
    by_type = {f"tags_{name}": names for name, names in E621_TAGS.items()}
    return (
        post
        | by_type
        | {"tags": [name for names in E621_TAGS.values() for name in names], "category": "e621"}
    )


def e621_export(folder: Path, count: int = 4) -> tuple[list[Path], list[Path]]:
    """The export of posts, and the lists of tags, aliases and implications."""
    tags = [
        {"id": number, "name": name, "category": CATEGORIES[kind], "post_count": 9}
        for number, (kind, name) in enumerate(
            ((kind, name) for kind, names in E621_TAGS.items() for name in names), start=1000
        )
    ]
    pairs = {
        "tag_aliases": [("alone", "solo", "active"), ("old", "anthro", "deleted")],
        "tag_implications": [
            ("lugia", "pokemon_(species)", "active"),
            ("pokemon_(species)", "feral", "active"),
        ],
    }
    lists = write(folder / "tags.csv.gz", gzip.compress(csv_of(tags)))
    for name, rows in pairs.items():
        table = [
            {
                "id": number,
                "antecedent_name": old,
                "consequent_name": new,
                "created_at": None,
                "status": status,
            }
            for number, (old, new, status) in enumerate(rows, 1)
        ]
        lists += write(folder / f"{name}.csv.gz", gzip.compress(csv_of(table)))
    posts = csv_of([export_row(number) for number in range(1, count + 1)])
    return write(folder / "posts.csv.gz", gzip.compress(posts)), lists


def e621_api(folder: Path, count: int = 4) -> list[Path]:
    posts = [api_post(number) for number in range(1, count + 1)]
    return write(folder / "page1.json", json.dumps({"posts": posts}).encode())


def e621_gallery_dl(folder: Path, count: int = 4) -> list[Path]:
    return write(folder / "data.jsonl", lines([gallery_dl(number) for number in range(1, count + 1)]))


def gelbooru_api(folder: Path, count: int = 4) -> list[Path]:
    """An answer of Gelbooru's API, indented."""
    posts = [
        {
            "id": number,
            "created_at": "Fri Jan 20 12:19:14 -0600 2023",
            "score": 7,
            "width": 800,
            "height": 1200,
            "md5": f"{number:032x}",
            "directory": "ab/cd",
            "image": f"{number:032x}.png",
            "rating": ("general", "sensitive", "questionable", "explicit")[number % 4],
            "source": "https://example.com",
            "change": 1674238754,
            "owner": "someone",
            "creator_id": 99,
            "parent_id": 0,
            "sample": 1,
            "tags": "1girl hand_on_another&#039;s_head :q",
            "has_children": "false",
            "file_url": f"https://example.com/{number}.png",
            "preview_url": "",
            "sample_url": "",
        }
        for number in range(1, count + 1)
    ]
    answer = {"@attributes": {"limit": 100, "offset": 0, "count": count}, "post": posts}
    return write(folder / "page1.json", json.dumps(answer, indent=4).encode())


def gelbooru_gallery_dl(folder: Path) -> list[Path]:
    """Posts of Gelbooru as gallery-dl writes them when it is asked for the types of tags."""
    (page,) = gelbooru_api(folder)
    posts = json.loads(page.read_bytes())["post"]
    types = {
        "tags_general": "1girl hand_on_another's_head",
        "tags_metadata": ":q",
        "category": "gelbooru",
        "date": "2023-01-20 18:19:14",
    }
    return write(folder / "data.jsonl", lines([post | types for post in posts]))


def gelbooru_sqlite(folder: Path) -> list[Path]:
    """The tables of AngelBottomless/Gelbooru-SQLite: those of the third generation, with a column of captions."""
    unknown = ("is_deleted", "is_banned", "pixiv_id", "bit_flags", "has_large", "has_visible_children")
    numbers = ("file_size", "file_ext", "up_score", "down_score", "fav_count")
    posts = [
        {
            "id": number,
            "created_at": "Fri Jan 20 12:19:14 -0600 2023" if number == 1 else "2023-01-20T12:19:14-06:00",
            "uploader_id": 99,
            "source": "https://example.com",
            "md5": f"{number:032x}",
            "parent_id": None,
            "has_children": 0,
            "has_active_children": 0,
            "image_width": 800,
            "image_height": 1200,
            "rating": number,
            "score": 7,
            "file_url": "https://example.com/preview",
            "large_file_url": "https://example.com/original",
            "preview_file_url": "https://example.com/sample",
            "caption": "a girl",
        }
        | dict.fromkeys((*unknown, *numbers))
        for number in (1, 2)
    ]
    names = {"1girl": 0, "hand_on_another&#039;s_head": 5}
    return write_sqlite(
        folder / "gelbooru.db",
        {
            "post": posts,
            "tag": [
                {"id": place, "name": name, "type": kind, "popularity": 2}
                for place, (name, kind) in enumerate(names.items(), 1)
            ],
            "posttagrelation": [
                {"id": 2 * post + tag, "post_id": post, "tag_id": tag} for post in (1, 2) for tag in (1, 2)
            ],
            "localpost": [{"id": 1, "filepath": "a.jpg", "latentpath": None, "post_id": 1}],
        },
    )
