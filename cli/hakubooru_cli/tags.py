"""`hakubooru tags`: show the tags of a metadata database."""

from __future__ import annotations

import json

import click

import hakubooru as hb
from hakubooru_cli.query_command import QueryCommand


@click.command(cls=QueryCommand)
@click.argument("file", type=click.Path())
@click.argument("pattern", default="*")
@click.option(
    "--type",
    "kind",
    type=click.Choice(hb.TAG_TYPES),
    help="Only tags of this type.",
)
@click.option(
    "--min-posts", type=click.IntRange(min=0), default=0, metavar="N", help="Only tags of at least N posts."
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The most tags to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def tags(file: str, pattern: str, *, kind: str | None, min_posts: int, limit: int, as_json: bool) -> None:
    """Show the tags whose names or aliases match PATTERN.

    Each has its type and number of posts; the most common come first. In PATTERN, * stands for any characters. Quote the pattern, so that the shell does not expand it. Without PATTERN,
    all tags match.
    """
    with hb.open(file) as database:
        matching = database.tags.matching(pattern, limit, type=kind, min_posts=min_posts)
        count = len(matching)
        if count == limit:
            count = database.tags.count_matching(pattern, type=kind, min_posts=min_posts)
    if count > len(matching):
        click.echo(
            f"note: showing the most common {len(matching):,} of {count:,} tags; --limit {count} shows all",
            err=True,
        )
    if as_json:
        for tag in matching:
            click.echo(json.dumps(tag._asdict(), ensure_ascii=False))
        return
    width = max(len(tag.name) for tag in matching)
    for tag in matching:
        alias = f"  (alias {tag.alias})" if tag.alias else ""
        click.echo(f"{tag.name:<{width}}  {tag.type:<9}  {tag.posts:>10,}{alias}")
