"""`hakubooru select`: select posts, and show how many each step keeps."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click

import hakubooru as hb
from hakubooru.errors import IncompleteError
from hakubooru.quantity import quantity
from hakubooru.select import check_suffix
from hakubooru_cli.options import Choice, selection_options
from hakubooru_cli.query_command import QueryCommand

_TAG_TYPES = ("artist", "copyright", "character", "general", "meta")
"""The types of tags in the order in which Danbooru shows them; those of other sites follow."""


def _lock(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value and not value.endswith(".lock"):
        raise click.BadParameter(
            f"{value!r} does not end in .lock; write --lock after QUERY, or with a file: --lock=NAME.lock"
        )
    return value


@click.command(cls=QueryCommand)
@selection_options
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the ids to a .txt (one a line) or .parquet file."
)
@click.option(
    "--columns",
    metavar="A,B",
    help="Write these columns to --out FILE.parquet, .csv or .jsonl: those of the file (`all`), tags, character, "
    "artist, copyright, general, meta, caption, quality, year.",
)
@click.option("--funnel", is_flag=True, help="Show how many posts each step keeps.")
@click.option(
    "--show", type=click.IntRange(min=0), metavar="N", help="Show the first N posts with their tags."
)
@click.option(
    "--lock",
    metavar="[FILE.lock]",
    is_flag=False,
    flag_value="",
    callback=_lock,
    help="Write a lock, or compare with it and show what changed (exit code 1). By default ./NAME.lock.",
)
@click.option("--explain", is_flag=True, help="Only show what would run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def select(
    choice: Choice,
    *,
    out: Path | None,
    columns: str | None,
    funnel: bool,
    show: int | None,
    lock: str | None,
    explain: bool,
    as_json: bool,
) -> None:
    """Select posts from a metadata database.

    QUERY is a search as on Danbooru, such as "(cirno or hatsune_miku) -animated rating:g score:>20". QUERY, --recipe and
    --ids narrow each other. The query searches the posts of the recipe. Samples, order and limit come
    last. A lock is named after the recipe, or else after the database. It holds fingerprints of the ids and of the
    recipe's captions.
    """
    if explain and (out or funnel or show is not None or lock is not None or as_json):
        raise click.UsageError(
            "--explain only shows what would run; leave out --out, --funnel, --show, --lock and --json"
        )
    if columns and out is None:
        raise click.UsageError("--columns needs a file to write to; add --out FILE.parquet, .csv or .jsonl")
    if out:
        _check(out, columns)
    with hb.open(choice.file) as database:
        selection = choice.select(database)
        if explain:
            click.echo(selection.explain())
            return
        lock_file = None if lock is None else Path(lock or f"{choice.name}.lock")
        result = Result(choice, selection, funnel=funnel, lock=lock_file, show=show or 0)
        if out:
            _write(out, selection, columns)
    click.echo(json.dumps(result.table(out)) if as_json else result.text(out))
    if result.changes:
        changes = "".join(f"\n  {change}" for change in result.changes)
        raise IncompleteError(
            f"the selection is not what {result.lock} says:{changes}\n"
            f"to accept the changes, delete {result.lock} and run the same command again"
        )


class Result:
    """The result of a selection, as text and as JSON."""

    def __init__(
        self, choice: Choice, selection: hb.Selection, *, funnel: bool, lock: Path | None, show: int
    ) -> None:
        self.steps = selection.funnel_rows() if funnel else []
        ids = selection.to_ids()
        self.count = len(ids)
        self.span = (int(ids.min()), int(ids.max())) if len(ids) else (None, None)
        self.fingerprint = selection.fingerprint()
        self.shown = list(islice(selection.posts(), show)) if show else []
        self.lock = lock
        self.is_new = self.lock is not None and not self.lock.exists()
        self.changes: list[str] = []
        if self.lock is not None:
            shape = choice.recipe.caption_format() if choice.recipe is not None else None
            before = None if self.is_new else hb.Lock.read(self.lock)
            now = hb.Lock.of(selection, asked=choice.asked(), caption=shape)
            if before is None:
                now.write(self.lock)
            else:
                self.changes = before.changes(now)

    def table(self, out: Path | None) -> dict[str, Any]:
        """Return the result as a table that JSON can hold; without what the options do not ask for."""
        first, last = self.span
        table: dict[str, Any] = {
            "posts": self.count,
            "first_id": first,
            "last_id": last,
            "fingerprint": self.fingerprint,
        }
        if self.steps:
            table["funnel"] = [asdict(row) for row in self.steps]
        if self.shown:
            table["shown"] = [_post_table(post) for post in self.shown]
        if out:
            table["out"] = str(out)
        if self.lock:
            table |= {"lock": str(self.lock), "lock_is_new": self.is_new, "changes": self.changes}
        return table

    def text(self, out: Path | None) -> str:
        """Return the result as lines of text."""
        first, last = self.span
        lines = [funnel_text(self.steps)] if self.steps else []
        lines += [_post_text(post) for post in self.shown]
        where = f", id {first:,}" if self.count == 1 else f", ids {first:,} to {last:,}" if self.count else ""
        lines.append(quantity(self.count, "post") + where)
        if out:
            lines.append(f"{'ids' if out.suffix == '.txt' else 'posts'} written to {out}")
        if self.lock and not self.changes:
            lines.append(f"{self.lock} written" if self.is_new else f"{self.lock} says the same")
        return "\n".join(lines)


def _check(out: Path, columns: str | None) -> None:
    if columns is None:
        check_suffix(out)
        return
    from hakubooru.results.tables import check_table_suffix  # noqa: PLC0415

    check_table_suffix(out)


def _post_table(post: hb.Post) -> dict[str, Any]:
    columns = ("id", "rating", "score", "fav_count", "image_width", "image_height", "file_ext", "created_at")
    tags: dict[str, list[str]] = {kind: [] for kind in _TAG_TYPES}
    for tag in post.tags:
        tags.setdefault(str(tag.type), []).append(str(tag.name))
    return {name: getattr(post, name) for name in columns} | {"tags": tags}


def _post_text(post: hb.Post) -> str:
    table = _post_table(post)
    tags = "\n".join(f"{kind:>12}  {' '.join(names)}" for kind, names in table["tags"].items() if names)
    known = [
        post.rating,
        None if post.score is None else f"score {post.score}",
        None
        if post.image_width is None
        else f"{post.image_width}x{post.image_height} {post.file_ext or ''}".strip(),
        None if post.created_at is None else post.created_at[:10],
    ]
    head = f"{post.id}  {', '.join(str(value) for value in known if value is not None)}".strip()
    return f"{head}\n{tags}" if tags else head


def _write(out: Path, selection: hb.Selection, columns: str | None) -> None:
    if columns is None:
        hb.write_ids(out, selection.to_ids())
        return
    from hakubooru.results.tables import write_table  # noqa: PLC0415 - the command starts faster without Arrow

    names = [name.strip() for name in columns.split(",")]
    write_table(out, selection.database, selection.to_ids(), names)


def funnel_text(steps: list[hb.FunnelRow]) -> str:
    """Return a funnel as lines of text: the step, how many posts it keeps, how many it removes."""
    width = max(len(row.step) + 2 * row.depth for row in steps)
    return "\n".join(
        f"{'  ' * row.depth + row.step:<{width}}  {row.posts:>12,}"
        + (f"  -{row.removed:,}" if row.removed else "")
        for row in steps
    )
