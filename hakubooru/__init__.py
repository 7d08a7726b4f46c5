"""Curate image data sets from Danbooru's metadata.

    import hakubooru as hb

    db = hb.open("danbooru2023.db")
    posts = db.posts.ids(5_000_000).tagged(all=["1girl", "solo"]).rating("general").with_image()
    posts.export("out/", images="images/", caption="kohaku-epsilon")

Nothing is opened, read or written before it is asked for.

These sub-packages have more: `hakubooru.browse`, `hakubooru.caption`, `hakubooru.engine`, `hakubooru.errors`,
`hakubooru.export`, `hakubooru.image`, `hakubooru.ingest`, `hakubooru.results.tables`, `hakubooru.select` and
`hakubooru.select.danbooru`.
"""

import typing as _typing
from importlib import import_module as _import_module

from hakubooru.caption import CaptionChange, Captioner, CaptionFormat, Captions, caption_format
from hakubooru.database import Database, DatabaseInfo
from hakubooru.database import create_database as create
from hakubooru.database import migrate_database as migrate
from hakubooru.database import open_database as open  # noqa: A004 - `hb.open` reads as it should
from hakubooru.engine.optimize import optimize
from hakubooru.engine.plan import FunnelRow
from hakubooru.errors import HakubooruError, IncompleteError, InputError
from hakubooru.image import ImageFormat
from hakubooru.lock import Lock
from hakubooru.recipe import Recipe
from hakubooru.recipe import shipped as shipped_recipes
from hakubooru.select import read_ids, write_ids
from hakubooru.select.predicates import Predicate
from hakubooru.select.questions import PREDICATES as _PREDICATES
from hakubooru.selection import Selection
from hakubooru.stats import Stats
from hakubooru.store.joined import Joined
from hakubooru.store.schema import LocalPost, Post, PostTagRelation, Tag
from hakubooru.version import __version__ as __version__

if _typing.TYPE_CHECKING:
    from hakubooru.export.api import export_own
    from hakubooru.export.output import OutputFormat
    from hakubooru.export.repair import repair
    from hakubooru.export.report import ExportReport
    from hakubooru.export.verify import VerifyReport, verify
    from hakubooru.image.holdings import census
    from hakubooru.image.sources import find_archives
    from hakubooru.ingest import BuildReport, build
else:
    # Loaded when they are first asked for: together they take a third as long as all the rest.
    _LATER = {
        "ExportReport": "hakubooru.export.report",
        "OutputFormat": "hakubooru.export.output",
        "export_own": "hakubooru.export.api",
        "repair": "hakubooru.export.repair",
        **dict.fromkeys(("VerifyReport", "verify"), "hakubooru.export.verify"),
        **dict.fromkeys(("BuildReport", "build"), "hakubooru.ingest"),
        "census": "hakubooru.image.holdings",
        "find_archives": "hakubooru.image.sources",
    }

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(_import_module(_LATER[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})


artist = _PREDICATES.artist
banned = _PREDICATES.banned
character = _PREDICATES.character
child = _PREDICATES.child
copyright = _PREDICATES.copyright  # noqa: A001 - Danbooru's word for a work
date = _PREDICATES.date
deleted = _PREDICATES.deleted
fav_count = _PREDICATES.fav_count
file_type = _PREDICATES.file_type
gold = _PREDICATES.gold
ids = _PREDICATES.ids
parent = _PREDICATES.parent
rating = _PREDICATES.rating
score = _PREDICATES.score
size = _PREDICATES.size
tag_count = _PREDICATES.tag_count
tag_popularity = _PREDICATES.tag_popularity
tagged = _PREDICATES.tagged
with_image = _PREDICATES.with_image

__all__ = [
    "BuildReport",
    "CaptionChange",
    "CaptionFormat",
    "Captioner",
    "Captions",
    "Database",
    "DatabaseInfo",
    "ExportReport",
    "FunnelRow",
    "HakubooruError",
    "ImageFormat",
    "IncompleteError",
    "InputError",
    "Joined",
    "LocalPost",
    "Lock",
    "OutputFormat",
    "Post",
    "PostTagRelation",
    "Predicate",
    "Recipe",
    "Selection",
    "Stats",
    "Tag",
    "VerifyReport",
    "artist",
    "banned",
    "build",
    "caption_format",
    "census",
    "character",
    "child",
    "copyright",
    "create",
    "date",
    "deleted",
    "export_own",
    "fav_count",
    "file_type",
    "find_archives",
    "gold",
    "ids",
    "migrate",
    "open",
    "optimize",
    "parent",
    "rating",
    "read_ids",
    "repair",
    "score",
    "shipped_recipes",
    "size",
    "tag_count",
    "tag_popularity",
    "tagged",
    "verify",
    "with_image",
    "write_ids",
]
