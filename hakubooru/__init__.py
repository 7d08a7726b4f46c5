"""Curate image data sets from Danbooru's metadata.

    import hakubooru as hb

    db = hb.open("danbooru2023.db")
    posts = db.posts.ids(5_000_000).tagged(all=["1girl", "solo"]).rating("general").with_image()
    posts.export("out/", images="images/", caption="kohaku-epsilon")

Nothing is opened, read or written before it is asked for.
"""

from hakubooru.caption import CaptionFormat
from hakubooru.database import Database, DatabaseInfo
from hakubooru.database import create_database as create
from hakubooru.database import open_database as open  # noqa: A004 - `hb.open` reads as it should
from hakubooru.errors import HakubooruError, IncompleteError, InputError
from hakubooru.select.ask import (
    artist,
    banned,
    character,
    child,
    copyright,  # noqa: A004 - Danbooru's word for a work
    date,
    deleted,
    fav_count,
    file_type,
    gold,
    ids,
    parent,
    rating,
    score,
    size,
    tag_count,
    tag_popularity,
    tagged,
    with_image,
)
from hakubooru.select.predicate import Predicate
from hakubooru.select.recipe import Recipe
from hakubooru.select.selection import Selection
from hakubooru.store.schema import LocalPost, Post, PostTagRelation, Tag

__all__ = [
    "CaptionFormat",
    "Database",
    "DatabaseInfo",
    "HakubooruError",
    "IncompleteError",
    "InputError",
    "LocalPost",
    "Post",
    "PostTagRelation",
    "Predicate",
    "Recipe",
    "Selection",
    "Tag",
    "artist",
    "banned",
    "character",
    "child",
    "copyright",
    "create",
    "date",
    "deleted",
    "fav_count",
    "file_type",
    "gold",
    "ids",
    "open",
    "parent",
    "rating",
    "score",
    "size",
    "tag_count",
    "tag_popularity",
    "tagged",
    "with_image",
]
__version__ = "0.1.0"
