"""`hakubooru db`: build a metadata database, show what it holds, migrate and optimize it."""

from __future__ import annotations

import dataclasses
import json

import click

import hakubooru as hb
from hakubooru.engine import cost
from hakubooru.quantity import quantity


@click.group()
def db() -> None:
    """Build, show, migrate and optimize a metadata database."""


@db.command()
@click.argument("dumps", metavar="DUMP...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--out",
    metavar="FILE",
    required=True,
    type=click.Path(),
    help="The database file; an existing one is updated.",
)
@click.option(
    "--tags",
    metavar="TAGS",
    multiple=True,
    type=click.Path(),
    help="A list of tags, of tag aliases or of tag implications; may be given several times.",
)
@click.option(
    "--map",
    "record_map",
    metavar="MAP",
    type=click.Path(),
    help="A TOML file that describes the records of a set that is not recognised.",
)
@click.option("--strict", is_flag=True, help="Stop at the first bad record.")
@click.option(
    "--old-ratings",
    is_flag=True,
    help="The dumps are from before May 2022, when the rating s meant safe (now general).",
)
def build(
    dumps: tuple[str, ...],
    out: str,
    *,
    tags: tuple[str, ...],
    record_map: str | None,
    strict: bool,
    old_ratings: bool,
) -> None:
    """Build a database from published sets of posts, or update one.

    A DUMP is a file or a folder of posts of Danbooru, e621 or Gelbooru as Parquet, DuckDB, SQLite, CSV or JSON, packed or in
    archives; or an address (https://…, hf://datasets/OWNER/NAME/…) of one. What it is, is recognised by its content.
    """
    report = hb.build(dumps, out, tags=tags, map=record_map, strict=strict, old_ratings=old_ratings)
    for line in _sentences(report):
        click.echo(line)


def _sentences(report: hb.BuildReport) -> list[str]:
    counts = f"{quantity(report.new, 'new post')}, {report.updated:,} updated, {report.unchanged:,} unchanged, {report.rejected:,} rejected"
    lines = [
        *map(str, report.recognised),
        f"{report.path}: {quantity(report.read, 'record')} read in {report.seconds:,.1f} s: {counts}",
    ]
    if report.rejects:
        lines.append(f"the rejected records, with reasons, are in {report.rejects}")
    if report.lacking:
        lines.append(f"no source has {', '.join(report.lacking)}: what needs one of these is an error")
    lines += [_unsaid(column, count) for column, count in report.unknown.items()]
    lines += [
        f"{dump} has no rating g, so it may be from before May 2022, when s meant safe. Its s was read as sensitive; "
        f"if it means safe, run the same command again with --old-ratings"
        for dump in report.dumps_without_general
    ]
    return lines


def _unsaid(column: str, posts: int) -> str:
    """Say how many posts do not have a value of a column."""
    they_are, their = ("it is", "its") if posts == 1 else ("they are", "their")
    words = {
        "is_deleted": f"whether {they_are} deleted",
        "is_banned": f"whether {they_are} banned",
        "rating": f"{their} rating",
    }
    so = f"whether {they_are} so" if column.startswith(("is_", "has_")) else ""
    meaning = f"{words.get(column, so)} ({column})" if column in words or so else f"{their} {column}"
    return f"{quantity(posts, 'post does', 'posts do')} not say {meaning}"


@db.command()
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(file: str, *, as_json: bool) -> None:
    """Show what a metadata database holds."""
    with hb.open(file) as database:
        counts = dataclasses.asdict(database.info())
    if as_json:
        click.echo(json.dumps(counts))
        return
    ratings, lacking, unknown = (counts.pop(name) for name in ("ratings", "lacking", "unknown"))
    for name, value in (counts | {f"rated {name}": count for name, count in ratings.items()}).items():
        shown = "-" if value is None else f"{value:,}" if isinstance(value, int) else value
        click.echo(f"{name:>18}  {shown}")
    if lacking:
        click.echo(f"no source has {', '.join(lacking)}")
    for column, count in unknown.items():
        click.echo(_unsaid(column, count))


@db.command()
@click.argument("file", type=click.Path())
@click.option("--check", is_flag=True, help="Only show what there is to do.")
def migrate(file: str, *, check: bool) -> None:
    """Bring a database of an older layout up to date, in place.

    Each step is done whole or not at all. If the command is interrupted, run it again to resume.
    """
    import hakubooru_migrations  # noqa: PLC0415 - the other commands start faster without it

    plan = hakubooru_migrations.plan(file) if check else hakubooru_migrations.migrate(file)
    if not plan.scripts:
        click.echo(f"{file}: generation {plan.generation}, up to date")
        return
    click.echo(
        f"{file}: generation {plan.generation}, {'to be done' if check else 'done'}: {', '.join(plan.scripts)}"
    )
    if check:
        click.echo(
            f"the migration needs at most {plan.bytes_needed:,} free bytes; there are {plan.bytes_free:,}"
        )
    for note in plan.notes:
        click.echo(note)


@db.command("optimize")
@click.argument("file", type=click.Path())
def optimize_file(file: str) -> None:
    """Make searches by tag tens of times faster.

    This writes a sidecar, a folder of arrays, beside FILE. It is optional. FILE itself is not changed. After FILE has changed, its sidecar is not used; run the command
    again. If FILE's folder cannot be written to, the sidecar goes to your cache folder.
    """
    with hb.open(file) as database:
        needed = cost(database)
        minutes = 1 + needed.relations // 40_000_000
        click.echo(
            f"a sidecar of about {needed.bytes / 1e9:.1f} GB, in about {quantity(minutes, 'minute')} …",
            err=True,
        )
        click.echo(f"written: {hb.optimize(database)}")
