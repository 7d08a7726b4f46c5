"""The parts of the reference that come from the program: tables of metatags, columns, keys, formats and errors."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
from importlib.util import find_spec
from itertools import groupby, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final

import hakubooru as hb
from hakubooru import curating, errors, settings
from hakubooru.caption import CaptionFormat, example_caption
from hakubooru.caption.presets import PRESETS, SOURCES
from hakubooru.export.manifest import write_manifest
from hakubooru.export.sinks import SINKS, sink_class
from hakubooru.image.layouts import LAYOUTS
from hakubooru.ingest.maps import RecordMap
from hakubooru.ingest.sets import SETS
from hakubooru.recipe import Stratum
from hakubooru.results.tables import MADE as MADE_COLUMNS
from hakubooru.select.danbooru import metatags as search
from hakubooru.select.danbooru import orders
from hakubooru.select.steps import GROUPINGS, MEASURES, WEIGHTS
from hakubooru.store.schema import TAG_TYPES, Post
from hakubooru_cli.training.common import quiet
from hakubooru_trainer.config import help_text as training_help
from hakubooru_trainer.evaluate.options import help_text as evaluation_help
from hakubooru_trainer.metrics import FIELDS as METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

METATAGS: Final = {
    "width": ("width:>=1000", "the width in pixels"),
    "height": ("height:1000..2000", "the height in pixels"),
    "mpixels": ("mpixels:>1", "width times height, in millions; a number alone means within 5% of it"),
    "ratio": ("ratio:2:3", "width : height, to two decimals; `ratio:<1` finds portraits"),
    "score": ("score:>=20", "up-votes less down-votes"),
    "upvotes": ("upvotes:>10", "up-votes"),
    "downvotes": ("downvotes:0", "down-votes, as a positive number"),
    "favcount": ("favcount:>100", "favourites"),
    "filesize": (
        "filesize:>1mb",
        "the size of the file in bytes, kb or mb; a kb or mb alone means within 5% of it",
    ),
    "date": ("date:2019-05", "the day, month or year of upload, in Danbooru's time zone"),
    "age": ("age:>1y", "the time since the upload: s, mi, h, d, w, mo, y"),
    "pixiv": ("pixiv:any", "the id on pixiv"),
    "pixiv_id": ("pixiv_id:none", "the id on pixiv"),
    "md5": ("md5:900150983cd24fb0d6963f7d28e17f72", "the MD5 of the file"),
    "id": ("id:1,5..9", "the id of the post"),
    "filetype": ("filetype:png,jpg", "the extension of the file"),
    "rating": (
        "rating:g,s",
        "the rating, by name or first letter. `rating:safe` is sensitive, as on Danbooru; general is `rating:g`",
    ),
    "source": (
        "source:https://*",
        "the beginning of the source; `*` stands for any characters; `source:none`",
    ),
    "tagcount": ("tagcount:>30", "the number of tags"),
    "gentags": ("gentags:10..20", "the number of general tags"),
    "arttags": ("arttags:1", "the number of artist tags"),
    "chartags": ("chartags:1", "the number of character tags"),
    "copytags": ("copytags:>1", "the number of copyright tags"),
    "metatags": ("metatags:0", "the number of meta tags"),
    "is": (
        "is:gold",
        "a state: parent, child, deleted, banned, active, gold; a rating, sfw, nsfw; a file type",
    ),
    "has": ("has:image", "parent, children, source, or image: a visible picture that an archive can hold"),
    "status": ("status:deleted", "deleted, banned, active, any"),
    "parent": ("parent:any", "a post and its children, by the post's id; any, none, or the parent's state"),
    "child": ("child:any", "posts with children: any, none, or the children's state"),
    "children": ("children:>1", "the number of children"),
    "child_count": ("child_count:>1", "the number of children"),
    "active_children": ("active_children:1", "the number of children that are not deleted"),
    "active_child_count": ("active_child_count:1", "the number of children that are not deleted"),
    "deleted_children": ("deleted_children:0", "the number of deleted children"),
    "deleted_child_count": ("deleted_child_count:0", "the number of deleted children"),
    "embedded": ("embedded:yes", "notes shown in the image"),
    "order": ("order:score", "puts the posts in an order; see below"),
    "limit": ("limit:100", "keeps the first so many posts"),
    "random": ("random:100", "keeps so many posts at random, by --seed"),
    "unaliased": ("unaliased:1girl", "the tag of exactly this name, even if it is an alias of another"),
}
"""An example of each metatag, and what it asks for."""
ORDERS: Final = {
    "id": "the id; the only order that is ascending by itself",
    "score": "the score",
    "favcount": "favourites",
    "upvotes": "up-votes",
    "downvotes": "down-votes",
    "mpixels": "width times height",
    "landscape": "the aspect ratio, widest first",
    "portrait": "the aspect ratio, tallest first",
    "filesize": "the size of the file",
    "md5": "the MD5, which is as good as random",
    "created_at": "the time of upload",
    "change": "the time of the last change",
    "random": "at random, by --seed; the same seed gives the same order",
    "custom": "the order of the ids in `id:`",
    "none": "the order of the selection",
}
"""What each order puts first; those that count tags or children are named as their metatags."""
MADE: Final = {
    "tags": "all tags, separated by blanks, in the order of the file",
    **dict.fromkeys(TAG_TYPES, "the tags of this type"),
    "caption": "the caption in the format kohaku-epsilon",
    "quality": "the word of quality in that caption",
    "year": "the year of upload",
}
"""What the columns are that are made of others."""
REAL_POSTS: Final = Path(__file__).parents[1] / "tests" / "data" / "danbooru_posts_2016.jsonl"
EXAMPLES: Final = (2_434_949, 2_434_954, 2_434_966)
"""The posts whose captions are shown."""
MODELS: Final = ("illustrious", "noobai", "animagine-xl-4", "anima", "kohaku-zeta", "kohaku-hdm")
"""The formats in which they are shown."""
JOINED: Final[dict[str, dict[int, str | float]]] = {
    "text": {2_434_966: "A woman with a crown and tattoos, and tentacles around her."},
    "aesthetic": {2_434_949: 0.7, 2_434_954: 0.2, 2_434_966: 0.9},
}
"""What is joined to them, by name and post."""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Write rows as a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def answered() -> list[str]:
    """The metatags that a metadata file can answer, in the order of the program's table."""
    return [name for name, row in search.METATAGS.items() if not isinstance(row, str)]


def metatags() -> str:
    """Make the table of metatags with an example and a description of each."""
    return table(
        ("metatag", "example", "asks for"),
        ((f"`{name}:`", f"`{METATAGS[name][0]}`", METATAGS[name][1]) for name in answered()),
    )


def lacking() -> str:
    """Make the table of metatags and orders that a metadata file cannot answer, by what it lacks."""
    names: dict[str, list[str]] = {}
    for name, row in search.METATAGS.items():
        if isinstance(row, str):
            names.setdefault(row, []).append(f"`{name}:`")
    for name, value in orders.VALUES.items():
        if isinstance(value, str):
            names.setdefault(value, []).append(f"`order:{name}`")
    return table(
        ("a metadata file has no", "so it cannot answer"),
        ((what, ", ".join(some)) for what, some in names.items()),
    )


def order_names() -> list[str]:
    """The orders that a metadata file can answer, without their endings."""
    values = [name for name, value in orders.VALUES.items() if not isinstance(value, str)]
    return ["id", *values, orders.RANDOM, orders.CUSTOM, orders.NONE]


def order_table() -> str:
    """Make the table of orders."""
    return table(
        ("order", "by"),
        ((f"`order:{name}`", ORDERS.get(name) or METATAGS[name][1]) for name in order_names()),
    )


def columns() -> str:
    """Make the table of the columns of posts."""
    (definition,) = ast.parse(inspect.getsource(Post)).body
    described = {
        before.targets[0].id: ast.literal_eval(after.value)
        for before, after in pairwise(definition.body)
        if isinstance(before, ast.Assign) and isinstance(after, ast.Expr)
    }
    names = [field.name for field in Post._meta.sorted_fields]  # noqa: SLF001 - peewee's documented name
    return table(("column", "what"), ((f"`{name}`", described[name]) for name in names))


def keys(kind: Any) -> str:
    """Make the table of the keys of a section: name, default, and what it means."""
    described = settings.documentation(kind)
    fields = [field for field in dataclasses.fields(kind) if field.name != "name" or kind is not hb.Recipe]
    return table(
        ("key", "default", "what"),
        ((f"`{field.name}`", _default(field), described[field.name]) for field in fields),
    )


def _default(field: dataclasses.Field[Any]) -> str:
    value = settings.default(field)
    if value is dataclasses.MISSING:
        return "must be given"
    text = settings.toml(settings.plain(value)) if value is not None else ""
    return f"`{text}`" if text else ""


_WRAPPED: Final = "```{code-block} text\n:class: wrapped\n"
"""The beginning of a block whose lines are broken where the page ends."""


def presets() -> str:
    """Make a section for each caption format: where it is published, and an example."""
    return "".join(
        f"### {name}\n\n{SOURCES[name]}\n\n{_WRAPPED}\n{example_caption(PRESETS[name])}\n```\n\n"
        for name in PRESETS
    )


def examples() -> str:
    """Show three real posts in the formats of today's models, with a sentence and scores that are joined to them."""
    shown = ""
    with TemporaryDirectory() as folder:
        hb.build([REAL_POSTS], f"{folder}/posts.db", old_ratings=True)
        with hb.open(f"{folder}/posts.db") as database:
            for name, values in JOINED.items():
                rows = [json.dumps({"id": post, name: value}) for post, value in values.items()]
                path = Path(folder, f"{name}.jsonl")
                path.write_text("\n".join(rows), encoding="utf-8")
                database.join(name, path)
            for name in MODELS:
                captions = database.posts.among(EXAMPLES).captions(PRESETS[name])
                texts = "\n\n".join(text for _, text in captions)
                shown += f"### {name}: three posts\n\n{_WRAPPED}\n{texts}\n```\n\n"
    return shown


def recipes() -> str:
    """Make the table of the recipes that ship with the package."""
    loaded = ((name, hb.Recipe.load(name)) for name in hb.shipped_recipes())
    return table(("recipe", "what"), ((f"`{name}`", recipe.description) for name, recipe in loaded))


def error_tree() -> str:
    """Make the tree of errors, from the module that defines them."""
    tree = inspect.getdoc(errors) or ""
    return f"```text\n{tree}\n```\n"


def steps() -> str:
    """Show the kinds of steps of a recipe, from the module that reads them."""
    text = inspect.getdoc(curating) or ""
    return f"```toml\n{text.partition(chr(10) * 2)[2]}\n```\n"


def made() -> str:
    """Make the table of the columns that are made of others."""
    return table(("column", "what"), ((f"`{name}`", MADE[name]) for name in MADE_COLUMNS))


def choices() -> str:
    """Make the table of the words that some steps choose from."""
    words = {
        "filter": curating.FILTERS,
        "sample_per": GROUPINGS,
        "sample_weighted": WEIGHTS,
        "best_of_family": MEASURES,
    }
    return table(
        ("step", "takes one of"),
        ((f"`{step}`", ", ".join(f"`{name}`" for name in some)) for step, some in words.items()),
    )


def sources() -> str:
    """Make the table of the sets of metadata that are recognised, by the keys that tell them."""
    return table(
        ("records", "site", "recognised by"),
        ((one.name, one.site, ", ".join(f"`{key}`" for key in one.needs)) for one in SETS),
    )


def layouts() -> str:
    """Make the table of the layouts whose names announce posts."""
    return table(("layout", "for example"), ((one.words, f"`{one.example}.tar`") for one in LAYOUTS))


def manifest() -> str:
    """Make the table of the columns of a manifest, from the docstring of the function that writes it."""
    text = inspect.getdoc(write_manifest) or ""
    items = re.findall(r"^- (`.+?)(?=^- |\n\n)", text, re.MULTILINE | re.DOTALL)
    rows = (" ".join(item.split()).rpartition("`: ") for item in items)
    return table(("column", "what"), ((f"{names}`", what) for names, _, what in rows))


def sinks() -> str:
    """Make the table of the sinks, from the first lines of their classes."""
    rows = ((name, (inspect.getdoc(sink_class(name)) or "").partition("\n\n")[0]) for name in SINKS)
    return table(("sink", "what it writes"), ((f"`{name}`", " ".join(what.split())) for name, what in rows))


def memory() -> str:
    """Make the table of settings of a run of SDXL with the memory that each needs, counted without weights."""
    quiet()
    from hakubooru_trainer import fits  # noqa: PLC0415 - torch takes seconds
    from hakubooru_trainer.config import options as of  # noqa: PLC0415

    options = of.Options(
        run=of.RunOptions(out="out"),
        model=of.ModelOptions(path="sdxl.safetensors"),
        data=(of.DataOptions(path="data"),),
        batch=of.BatchOptions(size=4),
        cache=of.CacheOptions(latents="latents"),
    )
    counts = fits.count(options, *fits.skeletons(options), (1024, 1024))
    cards = tuple(f"{card} GB" for card in fits.CARDS)
    return table(
        ("setting", "GiB", *cards),
        (
            (
                setting.name,
                f"{setting.needed / fits.GIB:.1f}",
                *("fits" if setting.needed <= card * fits.GIB else "" for card in fits.CARDS),
            )
            for setting in fits.table(options, counts)
        ),
    )


def docstring(module: str, name: str = "") -> str:
    """Show what a module, or a class of it, says of a file, without the first line; the module is not imported.

    Its paragraphs become paragraphs, and what is indented or in columns stays as it is.
    """
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    text = ast.get_docstring(next(classes, tree)) or ""
    parts = groupby(text.split("\n\n")[1:], key=_is_laid_out)
    return "\n".join(
        f"```text\n{dedent(body)}\n```\n" if is_laid_out else f"{body}\n"
        for is_laid_out, body in ((is_laid_out, "\n\n".join(some)) for is_laid_out, some in parts)
    )


def _is_laid_out(part: str) -> bool:
    return not part.startswith("- ") and re.search(r"^ |  ", part, re.MULTILINE) is not None


PARTS: Final[dict[str, Callable[[], str]]] = {
    "metatags.md": metatags,
    "orders.md": order_table,
    "unanswerable.md": lacking,
    "columns.md": columns,
    "made.md": made,
    "presets.md": presets,
    "examples.md": examples,
    "recipes.md": recipes,
    "errors.md": error_tree,
    "sources.md": sources,
    "layouts.md": layouts,
    "map.md": lambda: keys(RecordMap),
    "recipe.md": lambda: keys(hb.Recipe),
    "stratum.md": lambda: keys(Stratum),
    "steps.md": steps,
    "choices.md": choices,
    "image.md": lambda: keys(hb.ImageFormat),
    "output.md": lambda: keys(hb.OutputFormat),
    "caption.md": lambda: keys(CaptionFormat),
    "training.toml": training_help,
    "evaluation.toml": evaluation_help,
    "manifest.md": manifest,
    "sinks.md": sinks,
    "journal.md": lambda: docstring("hakubooru.export.journal"),
    "sidecar.md": lambda: docstring("hakubooru.engine.cache", "Sidecar"),
    "memory.md": memory,
    "states.md": lambda: docstring("hakubooru_trainer.checkpoint"),
    "run.md": lambda: docstring("hakubooru_trainer.record"),
    "lock.md": lambda: table(
        ("key", "what"), ((f"`{name}`", text) for name, text in settings.documentation(hb.Lock).items())
    ),
    "metrics.md": lambda: table(("key", "what"), ((f"`{name}`", text) for name, text in METRICS.items())),
}
"""The generated files and what makes each."""


def write(folder: Path) -> None:
    """Write every generated file into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PARTS.items():
        (folder / name).write_text(make(), encoding="utf-8")
