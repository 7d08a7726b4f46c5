"""`hakubooru db`: make a metadata database, say what is in one, bring an older one up to date."""

from __future__ import annotations

import dataclasses
import json

import click

import hakubooru as hb
from hakubooru.select import cost


@click.group()
def db() -> None:
    """Make a metadata database, say what is in one, bring an older one up to date."""


@db.command()
@click.argument("dumps", metavar="DUMP...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--out",
    metavar="FILE",
    required=True,
    type=click.Path(),
    help="The database; an existing one is updated.",
)
@click.option(
    "--tags",
    metavar="TAGS",
    type=click.Path(),
    help="Danbooru's tag objects, or a CSV of name, category, count, aliases.",
)
@click.option("--strict", is_flag=True, help="Stop at the first bad record.")
@click.option(
    "--old-ratings",
    is_flag=True,
    help="The dumps are from before May 2022: their rating s means safe, now general.",
)
def build(dumps: tuple[str, ...], out: str, *, tags: str | None, strict: bool, old_ratings: bool) -> None:
    """Make a database of dumps of posts, or bring one up to date.

    A DUMP is a file of posts as Danbooru's API gives them: JSON lines or a JSON array, plain, gzipped or in a tar, or Parquet.
    """
    report = hb.build(dumps, out, tags=tags, strict=strict, old_ratings=old_ratings)
    for line in _sentences(report):
        click.echo(line)


def _sentences(report: hb.BuildReport) -> list[str]:
    counts = f"{report.new:,} new posts, {report.updated:,} updated, {report.unchanged:,} unchanged, {report.rejected:,} rejected"
    lines = [f"{report.path}: {report.read:,} records read in {report.seconds:,.1f} s: {counts}"]
    if report.rejects:
        lines.append(f"the rejected records and the reasons are in {report.rejects}")
    lines += [
        f"{dump} has no rating g, so it may be from before May 2022, when s meant safe. Its s was taken for sensitive; "
        f"if it means safe, run the same command again with --old-ratings"
        for dump in report.dumps_without_general
    ]
    return lines


@db.command()
@click.argument("file", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def info(file: str, *, as_json: bool) -> None:
    """Say what a metadata database holds."""
    with hb.open(file) as database:
        found = dataclasses.asdict(database.info())
    if as_json:
        click.echo(json.dumps(found))
        return
    ratings = found.pop("ratings")
    for name, value in (found | ratings).items():
        click.echo(f"{name:>12}  {value:,}" if value is not None else f"{name:>12}  -")


@db.command()
@click.argument("file", type=click.Path())
@click.option("--check", is_flag=True, help="Only say what is to be done.")
def migrate(file: str, *, check: bool) -> None:
    """Bring a metadata database of an older layout up to date, in place.

    Each step is done whole or not at all; interrupted, the same command goes on.
    """
    import hakubooru_migrations  # noqa: PLC0415 - no other command changes a layout

    plan = hakubooru_migrations.plan(file) if check else hakubooru_migrations.migrate(file)
    if not plan.scripts:
        click.echo(f"{file}: generation {plan.generation}, up to date")
        return
    click.echo(
        f"{file}: generation {plan.generation}, {'to be done' if check else 'done'}: {', '.join(plan.scripts)}"
    )
    if check:
        click.echo(
            f"it needs at most {plan.bytes_needed:,} free bytes meanwhile; there are {plan.bytes_free:,}"
        )
    for note in plan.notes:
        click.echo(note)


@db.command("optimize")
@click.argument("file", type=click.Path())
def optimize_file(file: str) -> None:
    """Make searches by tag tens of times faster, by a sidecar of arrays beside FILE.

    Optional, and done once for a state of the file, which itself is not changed; a sidecar of an older state is not
    used. Where FILE's folder cannot be written, the sidecar goes to your cache folder.
    """
    with hb.open(file) as database:
        needed = cost(database)
        minutes = 1 + needed.relations // 40_000_000
        click.echo(f"a sidecar of about {needed.bytes / 1e9:.1f} GB, in about {minutes} minutes …", err=True)
        click.echo(f"written: {hb.optimize(database)}")
