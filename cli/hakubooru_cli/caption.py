"""`hakubooru caption`: captions of posts to a file, of one post to read, and what each format makes."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import hakubooru as hb
from hakubooru.caption import PRESETS, SOURCES, check_suffix, example_caption, join_parts
from hakubooru_cli.options import Choice, QueryCommand, selection_options


def _list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    for name, preset in PRESETS.items():
        click.echo(f"{click.style(name, bold=True)}: {SOURCES[name]}\n  {example_caption(preset)}\n")
    context.exit()


@click.command(cls=QueryCommand)
@selection_options
@click.option(
    "--caption", metavar="F", help="A format: a name that --list shows, or a TOML file with [caption]."
)
@click.option("--out", type=click.Path(), help="Write all captions: .jsonl, .parquet or .txt.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that write.")
@click.option("--post", type=int, metavar="ID", help="Show the caption of one post, and its parts by name.")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="Show the formats."
)
def caption(choice: Choice, *, caption: str | None, out: str | None, workers: int, post: int | None) -> None:
    """Write the captions of posts, or show some.

    Without --out and --post, the first ten are shown. The format is the recipe's where there is one, and else
    kohaku-epsilon.
    """
    if out and post is not None:
        raise click.UsageError("--out writes the captions of a selection, --post shows one: give one of them")
    shape = hb.caption_format(caption or (choice.recipe and choice.recipe.caption) or "kohaku-epsilon")
    with hb.open(choice.file) as database:
        if post is not None:
            _show_parts(database, shape, post)
        elif out:
            captioner = hb.Captioner(database, shape)
            check_suffix(Path(out), captioner)
            captions = choice.select(database).captions(captioner.format)
            captions.write(out, workers=workers)
            click.echo(f"{len(captions):,} captions written to {out}")
        else:
            for post_id, text in choice.select(database).captions(shape).head(10).items():
                click.echo(f"{post_id}  {text}")


def _show_parts(database: hb.Database, shape: hb.CaptionFormat, post: int) -> None:
    captioner = hb.Captioner(database, shape)
    [(_, parts)] = captioner.parts(np.array([post], np.int64))
    click.echo(join_parts(parts, captioner.format))
    for part, words in parts.items():
        click.echo(f"{part:>12}  {', '.join(words) or '-'}")
