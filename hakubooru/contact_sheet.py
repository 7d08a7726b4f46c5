"""Contact sheets: thumbnails of posts with captions, as HTML that a notebook shows."""

from __future__ import annotations

import base64
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hakubooru.errors import InputError
from hakubooru.files import listed, write_text
from hakubooru.image.shelf import NoImageError, Shelf
from hakubooru.image.thumbnail import thumbnail_of
from hakubooru.quantity import quantity

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from hakubooru.files import Places
    from hakubooru.store.store import Store

_STYLE = "display:flex;flex-wrap:wrap;gap:8px"
_CARD = "width:180px;margin:0;font-size:11px;line-height:1.3"
_PICTURE = "width:180px;height:180px;object-fit:contain;background:#8882;border-radius:4px"


class ContactSheet:
    """Posts with a thumbnail and a caption each; notebooks show it."""

    def __init__(self, cards: Sequence[tuple[int, str, str]]) -> None:
        """Keep the cards.

        Args:
            cards: a post's id, its thumbnail as a data URL or the reason why there is none, and its caption.
        """
        self._cards = list(cards)

    def __len__(self) -> int:
        return len(self._cards)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sheet to an HTML file, which needs no other file."""
        page = f'<!doctype html><meta charset="utf-8"><title>contact sheet</title>{self._repr_html_()}\n'
        write_text(Path(path), page)

    def __repr__(self) -> str:
        return f"<contact sheet of {quantity(len(self), 'post')}; .save('sheet.html') writes it>"

    def _repr_html_(self) -> str:
        cards = "".join(
            f'<figure style="{_CARD}">{picture_html(picture)}<figcaption><b>{number}</b> {escape(caption)}</figcaption></figure>'
            for number, picture, caption in self._cards
        )
        return f'<div style="{_STYLE}">{cards}</div>'


def picture_html(picture: str, style: str = _PICTURE) -> str:
    """A thumbnail as HTML; a text in its place if it is not a data URL."""
    if picture.startswith("data:"):
        return f'<img alt="" style="{style}" src="{escape(picture)}">'
    return f'<div style="{style}">{escape(picture)}</div>'


def thumbnail_url(shelf: Shelf, number: int, store: Store) -> str:
    """The thumbnail of a post as a data URL; else the reason why there is none."""
    try:
        data = thumbnail_of(shelf.find(number, store))
    except NoImageError as error:
        return str(error)
    return "data:image/webp;base64," + base64.b64encode(data).decode()


def shelf_of(images: Places) -> Shelf:
    """The shelf of some places; the last few are kept, so that a notebook searches a place once until files come or go in it.

    Raises:
        InputError: no place is given, or one is neither a path nor a URL.
        SourceError: a place is missing or cannot be read, or no images were found at all.
    """
    places = listed(images)
    if not places:
        raise InputError('no images are named: write images="images/", or say it once: db.images = "images/"')
    return _shelf(tuple((place, _stamp(place)) for place in map(str, places)))


@lru_cache(4)
def _shelf(places: tuple[tuple[str, tuple[int, ...]], ...]) -> Shelf:
    return Shelf([place for place, _ in places])


def _stamp(place: str) -> tuple[int, ...]:
    """What changes with the files of a folder, or with a tar; empty for a URL."""
    try:
        status = Path(place).stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns
