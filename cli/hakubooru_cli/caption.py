"""`hakubooru caption`: write captions of posts to a file, show one post's caption, or list the formats."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import hakubooru as hb
from hakubooru.caption import PRESETS, SOURCES, check_suffix, example_caption, join_parts, types_without_part
from hakubooru.quantity import quantity
from hakubooru_cli.options import Choice, note_types, selection_options, settings_option
from hakubooru_cli.query_command import QueryCommand

_SHOWN = 10


def _list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    for name, preset in PRESETS.items():
        click.echo(f"{click.style(name, bold=True)}: {SOURCES[name]}\n  {example_caption(preset)}\n")
    for note in types_without_part():
        click.echo(note)
    context.exit()


@click.command(cls=QueryCommand)
@selection_options
@click.option(
    "--caption", metavar="F", help="The format: a name that --list shows, or a TOML file with [caption]."
)
@settings_option
@click.option("--out", type=click.Path(), help="Write all captions to a .jsonl, .parquet or .txt file.")
@click.option("--workers", type=click.IntRange(1), help="Processes that write to --out; by default, one.")
@click.option("--post", type=int, metavar="ID", help="Show the caption of one post, and its parts by name.")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="Show the formats."
)
def caption(
    choice: Choice,
    *,
    caption: str | None,
    overrides: tuple[str, ...],
    out: str | None,
    workers: int | None,
    post: int | None,
) -> None:
    """Write the captions of posts, or show some.

    Without --out and --post, the first ten captions are shown. Without --caption, the format is the recipe's, or else
    kohaku-epsilon.
    """
    if out and post is not None:
        raise click.UsageError(
            "--out writes all captions and --post shows one, so they cannot go together; leave one of them out"
        )
    if workers is not None and not out:
        raise click.UsageError(
            "--workers is for --out, which writes all captions; add --out, or leave it out"
        )
    if post is not None and (choice.narrows or choice.scale != 1):
        raise click.UsageError(
            "--post shows the caption of one post, whatever is selected; leave out QUERY and the options that select "
            "posts, except --recipe and --join"
        )
    for text in overrides:
        if not text.startswith("caption"):
            raise click.UsageError(f"--set {text}: captions have no other settings than caption.KEY=VALUE")
    shape = hb.caption_format(choice.settings(overrides, caption).caption or "kohaku-epsilon")
    with hb.open(choice.file) as database:
        note_types(database, shape)
        if post is not None:
            choice.join_files(database)  # the format may name them
            _show_parts(database, shape, post)
            return
        selection = choice.select(database)
        if out:
            captioner = hb.Captioner(database, shape)
            check_suffix(Path(out), captioner)
            captions = selection.captions(captioner.format)
            captions.write(out, workers=workers or 1)
            click.echo(f"{quantity(len(captions), 'caption')} written to {out}")
        else:
            captions = selection.captions(shape)
            for post_id, text in captions.head(_SHOWN).items():
                click.echo(f"{post_id}  {text}")
            if len(captions) > _SHOWN:
                click.echo(
                    f"note: showing the first {_SHOWN} of {len(captions):,} captions; --out FILE writes all",
                    err=True,
                )


def _show_parts(database: hb.Database, shape: hb.CaptionFormat, post: int) -> None:
    captioner = hb.Captioner(database, shape)
    [(_, parts)] = captioner.parts(np.array([post], np.int64))
    click.echo(join_parts(parts, captioner.format))
    for part, words in parts.items():
        click.echo(f"{part:>12}  {', '.join(words) or '-'}")
