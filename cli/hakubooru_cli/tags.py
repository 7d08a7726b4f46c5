"""`hakubooru tags`: which tags a metadata database has."""

from __future__ import annotations

import json

import click

import hakubooru as hb
from hakubooru_cli.options import QueryCommand


@click.command(cls=QueryCommand)
@click.argument("file", type=click.Path())
@click.argument("pattern")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Tags at the most.")
@click.option("--json", "as_json", is_flag=True, help="As JSON lines.")
def tags(file: str, pattern: str, *, limit: int, as_json: bool) -> None:
    """Show the tags whose names or aliases match PATTERN, with type and number of posts, the commonest first.

    In PATTERN * stands for any characters: quote it, so that the shell leaves it alone.
    """
    with hb.open(file) as database:
        found = database.tags.matching(pattern, limit)
        count = database.tags.count_matching(pattern) if len(found) == limit else len(found)
    if count > len(found):
        click.echo(
            f"note: the commonest {len(found):,} of {count:,} tags; --limit {count} shows all", err=True
        )
    if as_json:
        for tag in found:
            click.echo(json.dumps(tag._asdict(), ensure_ascii=False))
        return
    width = max(len(tag.name) for tag in found)
    for tag in found:
        alias = f"  (alias {tag.alias})" if tag.alias else ""
        click.echo(f"{tag.name:<{width}}  {tag.type:<9}  {tag.posts:>10,}{alias}")
