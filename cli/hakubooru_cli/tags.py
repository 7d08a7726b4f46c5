"""`hakubooru tags`: show the tags of a metadata database."""

from __future__ import annotations

import json

import click

import hakubooru as hb
from hakubooru_cli.options import QueryCommand


@click.command(cls=QueryCommand)
@click.argument("file", type=click.Path())
@click.argument("pattern")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The most tags to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def tags(file: str, pattern: str, *, limit: int, as_json: bool) -> None:
    """Show the tags whose names or aliases match PATTERN, with type and number of posts, the most common first.

    In PATTERN, * stands for any characters. Quote the pattern, so that the shell does not expand it.
    """
    with hb.open(file) as database:
        matching = database.tags.matching(pattern, limit)
        count = database.tags.count_matching(pattern) if len(matching) == limit else len(matching)
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
