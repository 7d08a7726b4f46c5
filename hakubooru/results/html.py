"""Show a selection as HTML in a notebook, without running it; if it ran before, its first posts are read."""

from __future__ import annotations

from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from hakubooru.quantity import quantity
from hakubooru.select.steps import Combined, Everything, Step
from hakubooru.store.schema import Post, id_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakubooru.arrays import Ids
    from hakubooru.store.store import Store

SHOWN: Final = 5
"""How many posts are shown."""
_COLUMNS: Final = (
    "id",
    "created_at",
    "rating",
    "score",
    "fav_count",
    "image_width",
    "image_height",
    "file_ext",
)


def as_html(
    database: Store, step: Step, ids: Ids | None, pictures: Mapping[int, str] = MappingProxyType({})
) -> str:
    """Show the steps of a selection as HTML, with its count and first posts if its ids are known.

    Args:
        database: the file.
        step: the selection's last step.
        ids: the posts, (N,) int64, if they are known.
        pictures: the pictures of the first posts as HTML, by id.
    """
    count = "not counted yet: call .count()" if ids is None else quantity(len(ids), "post")
    steps = "".join(f"<li>{line}</li>" for line in _items(step))
    head = f"<b>Selection</b> of {escape(database.path.name)}: {count}"
    return (
        f"<div>{head}<ol>{steps}</ol>{'' if ids is None else _table(database, ids[:SHOWN], pictures)}</div>"
    )


def _items(step: Step) -> Iterator[str]:
    match step:
        case Everything():
            yield escape(str(step))
        case Combined(_, left, right):
            branches = "".join(
                f"<li><ol>{''.join(f'<li>{i}</li>' for i in _items(s))}</ol></li>" for s in (left, right)
            )
            yield f"{escape(str(step))}:<ul>{branches}</ul>"
        case _:
            yield from _items(step.source)
            yield escape(str(step))


def _table(database: Store, ids: Ids, pictures: Mapping[int, str]) -> str:
    posts = {post.id: post for post in database.execute(Post.select().where(Post.id.in_(id_list(ids))))}
    rows = [posts[post_id] for post_id in ids.tolist() if post_id in posts]
    head = "".join(f"<th>{name}</th>" for name in (*["image"][: len(pictures)], *_COLUMNS))
    cells = (
        "".join(
            [
                *(f"<td>{picture}</td>" for number, picture in pictures.items() if number == post.id),
                *(f"<td>{escape(str(getattr(post, name)))}</td>" for name in _COLUMNS),
            ]
        )
        for post in rows
    )
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
