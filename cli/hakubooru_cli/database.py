"""`hakubooru db`: build a metadata database, show what it holds, migrate and optimize it."""

from __future__ import annotations

import dataclasses
import json

import click

import hakubooru as hb
from hakubooru.engine import cost


@click.group()
def db() -> None:
    """Build a metadata database, show what it holds, migrate and optimize it."""


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
    type=click.Path(),
    help="A file of Danbooru's tag objects, or a CSV of name, category, count, aliases.",
)
@click.option("--strict", is_flag=True, help="Stop at the first bad record.")
@click.option(
    "--old-ratings",
    is_flag=True,
    help="The dumps are from before May 2022, when the rating s meant safe (now general).",
)
def build(dumps: tuple[str, ...], out: str, *, tags: str | None, strict: bool, old_ratings: bool) -> None:
    """Build a database from dumps of posts, or update one.

    A DUMP is a file of posts as Danbooru's API returns them: JSON lines or a JSON array, plain, gzipped or in a tar, or
    Parquet.
    """
    report = hb.build(dumps, out, tags=tags, strict=strict, old_ratings=old_ratings)
    for line in _sentences(report):
        click.echo(line)


def _sentences(report: hb.BuildReport) -> list[str]:
    counts = f"{report.new:,} new posts, {report.updated:,} updated, {report.unchanged:,} unchanged, {report.rejected:,} rejected"
    lines = [f"{report.path}: {report.read:,} records read in {report.seconds:,.1f} s: {counts}"]
    if report.rejects:
        lines.append(f"the rejected records, with reasons, are in {report.rejects}")
    lines += [
        f"{dump} has no rating g, so it may be from before May 2022, when s meant safe. Its s was read as sensitive; "
        f"if it means safe, run the same command again with --old-ratings"
        for dump in report.dumps_without_general
    ]
    return lines


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
    ratings = counts.pop("ratings")
    for name, value in (counts | ratings).items():
        click.echo(f"{name:>12}  {value:,}" if value is not None else f"{name:>12}  -")


@db.command()
@click.argument("file", type=click.Path())
@click.option("--check", is_flag=True, help="Only show what there is to do.")
def migrate(file: str, *, check: bool) -> None:
    """Migrate a metadata database of an older layout to the newest, in place.

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
    """Make searches by tag tens of times faster, with a sidecar of arrays beside FILE.

    This is optional. FILE itself is not changed. After FILE has changed, its sidecar is not used; run the command
    again. If FILE's folder cannot be written to, the sidecar goes to your cache folder.
    """
    with hb.open(file) as database:
        needed = cost(database)
        minutes = 1 + needed.relations // 40_000_000
        click.echo(f"a sidecar of about {needed.bytes / 1e9:.1f} GB, in about {minutes} minutes …", err=True)
        click.echo(f"written: {hb.optimize(database)}")
