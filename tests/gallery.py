"""A small booru with pictures, and a running browser of it, for tests."""

from __future__ import annotations

import http.client
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import hakubooru as hb
from booru import TAGS, post_row, write
from hakubooru.browse import Browser
from pictures import picture, write_tar

if TYPE_CHECKING:
    from pathlib import Path

ODD = """<b>"it's"</b>"""
"""The name of a tag that must not become HTML."""
POSTS = 150
WIDE, TALL = (160, 80), (60, 120)


def write_gallery(folder: Path) -> Path:
    """A database of 150 posts, of which 140 have a picture, in a tar or in a folder."""
    ratings = ["general", "general", "sensitive", "explicit"]
    rows = [
        post_row(
            i,
            rating=ratings[i % 4],
            score=i - 10,
            fav_count=i,
            file_ext="png",
            parent_id=3 if i in {4, 5} else None,
            has_children=i == 3,
            image_width=(WIDE if i % 2 else TALL)[0],
            image_height=(WIDE if i % 2 else TALL)[1],
        )
        for i in range(1, POSTS + 1)
    ]
    path = folder / "gallery.db"
    write(path, rows, tags_of, [*TAGS, (ODD, "general")])
    images = {i: picture(i, "png", WIDE if i % 2 else TALL) for i in range(1, 141)}
    write_tar(folder / "images" / "0.tar", {f"{i}.png": data for i, data in images.items() if i > 20})
    for i in range(1, 21):
        place = folder / "images" / "loose" / f"{i}.png"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(images[i])
    return path


def tags_of(post_id: int) -> list[str]:
    names = ["1girl"] if post_id % 3 else ["1girl", "solo"]
    return [*names, *(["long_hair", "illaoi"] if post_id % 5 == 0 else []), *([ODD] if post_id == 7 else [])]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(url: str, path: str, *, form: dict[str, str] | None = None, **headers: str) -> Answer:
    """What a server answers to a GET, or with a form to a POST from its own page; `headers` change what is sent."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    request_headers = {"Host": parts.netloc}
    body = None
    if form is not None:
        body = urlencode(form)
        request_headers |= {
            "Origin": f"http://{parts.netloc}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
    request_headers |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    connection.request("GET" if form is None else "POST", path, body, request_headers)
    response = connection.getresponse()
    answer = Answer(response.status, dict(response.getheaders()), response.read())
    connection.close()
    return answer


@contextmanager
def browsing(folder: Path, **options):
    """A browser of the gallery in a folder, with its pictures; `work` is the folder's `work`."""
    path = folder / "gallery.db"
    if not path.exists():
        write_gallery(folder)
    (folder / "work").mkdir(exist_ok=True)
    with (
        hb.open(path) as database,
        Browser(database, **{"images": folder / "images", "work": folder / "work"} | options) as browser,
    ):
        yield browser
