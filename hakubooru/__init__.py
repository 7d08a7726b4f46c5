"""Curate image data sets from Danbooru's metadata.

    import hakubooru as hb

    db = hb.open("danbooru2023.db")
    posts = db.posts.ids(5_000_000).tagged(all=["1girl", "solo"]).rating("general").with_image()
    posts.export("out/", images="images/", caption="kohaku-epsilon")

Nothing is opened, read or written before it is asked for.

These sub-packages have more: `hakubooru.browse`, `hakubooru.caption`, `hakubooru.engine`, `hakubooru.errors`,
`hakubooru.export`, `hakubooru.image`, `hakubooru.ingest`, `hakubooru.quantity`, `hakubooru.results.tables`,
`hakubooru.select` and `hakubooru.select.danbooru`.
"""

from pkgutil import resolve_name as _resolve_name
from typing import TYPE_CHECKING as _TYPE_CHECKING

from hakubooru.version import __version__ as __version__

__all__ = [
    "TAG_TYPES",
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

if _TYPE_CHECKING:
    from hakubooru.caption import CaptionChange, Captioner, CaptionFormat, Captions, caption_format
    from hakubooru.database import Database, DatabaseInfo
    from hakubooru.database import create_database as create
    from hakubooru.database import migrate_database as migrate
    from hakubooru.database import open_database as open  # noqa: A004 - `hb.open` reads as it should
    from hakubooru.engine.optimize import optimize
    from hakubooru.engine.plan import FunnelRow
    from hakubooru.errors import HakubooruError, IncompleteError, InputError
    from hakubooru.export.api import export_own
    from hakubooru.export.repair import repair
    from hakubooru.export.run import ExportReport
    from hakubooru.export.sinks import OutputFormat
    from hakubooru.export.verify import VerifyReport, verify
    from hakubooru.image import ImageFormat
    from hakubooru.image.holdings import census
    from hakubooru.image.sources import find_archives
    from hakubooru.ingest import BuildReport, build
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
    from hakubooru.store.sites import TAG_TYPES

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
else:
    # Every name is loaded when it is first asked for: a program pays for what it uses.
    _PLACES = {
        # What has no place of its own below is a question.
        **{name: f"hakubooru.select.questions:PREDICATES.{name}" for name in __all__},
        "TAG_TYPES": "hakubooru.store.sites:TAG_TYPES",
        "BuildReport": "hakubooru.ingest:BuildReport",
        "CaptionChange": "hakubooru.caption:CaptionChange",
        "CaptionFormat": "hakubooru.caption:CaptionFormat",
        "Captioner": "hakubooru.caption:Captioner",
        "Captions": "hakubooru.caption:Captions",
        "Database": "hakubooru.database:Database",
        "DatabaseInfo": "hakubooru.database:DatabaseInfo",
        "ExportReport": "hakubooru.export.run:ExportReport",
        "FunnelRow": "hakubooru.engine.plan:FunnelRow",
        "HakubooruError": "hakubooru.errors:HakubooruError",
        "ImageFormat": "hakubooru.image:ImageFormat",
        "IncompleteError": "hakubooru.errors:IncompleteError",
        "InputError": "hakubooru.errors:InputError",
        "Joined": "hakubooru.store.joined:Joined",
        "LocalPost": "hakubooru.store.schema:LocalPost",
        "Lock": "hakubooru.lock:Lock",
        "OutputFormat": "hakubooru.export.sinks:OutputFormat",
        "Post": "hakubooru.store.schema:Post",
        "PostTagRelation": "hakubooru.store.schema:PostTagRelation",
        "Predicate": "hakubooru.select.predicates:Predicate",
        "Recipe": "hakubooru.recipe:Recipe",
        "Selection": "hakubooru.selection:Selection",
        "Stats": "hakubooru.stats:Stats",
        "Tag": "hakubooru.store.schema:Tag",
        "VerifyReport": "hakubooru.export.verify:VerifyReport",
        "build": "hakubooru.ingest:build",
        "caption_format": "hakubooru.caption:caption_format",
        "census": "hakubooru.image.holdings:census",
        "create": "hakubooru.database:create_database",
        "export_own": "hakubooru.export.api:export_own",
        "find_archives": "hakubooru.image.sources:find_archives",
        "migrate": "hakubooru.database:migrate_database",
        "open": "hakubooru.database:open_database",
        "optimize": "hakubooru.engine.optimize:optimize",
        "read_ids": "hakubooru.select:read_ids",
        "repair": "hakubooru.export.repair:repair",
        "shipped_recipes": "hakubooru.recipe:shipped",
        "verify": "hakubooru.export.verify:verify",
        "write_ids": "hakubooru.select:write_ids",
        **{name: f"hakubooru.{name}" for name in ("caption", "engine", "errors", "image", "select")},
    }

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = _resolve_name(_PLACES[name])
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_PLACES})
