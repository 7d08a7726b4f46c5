"""The command `hakubooru`, with its subcommands."""

from __future__ import annotations

import sys

import click

import hakubooru
from hakubooru_cli import database
from hakubooru_cli.browse import browse
from hakubooru_cli.caption import caption
from hakubooru_cli.demo import demo
from hakubooru_cli.export import export, sources, verify
from hakubooru_cli.select import select
from hakubooru_cli.shell import run
from hakubooru_cli.stats import stats
from hakubooru_cli.tags import tags


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(hakubooru.__version__, prog_name="hakubooru")
def cli() -> None:
    """Curate image data sets from Danbooru's metadata.

    New here? `hakubooru demo` tries every step on a small image board that it draws. docs/ has a tutorial, and a glossary
    of words such as gold, bucket and recipe.

    Exit codes: 0 done, 1 failed or incomplete, 2 wrong input, 130 interrupted.
    """


for command in (demo, database.db, select, caption, export, verify, stats, tags, sources, browse):
    cli.add_command(command)


def main() -> None:
    """Run `hakubooru` with the arguments of this process, and exit with its code."""
    sys.exit(run(cli, "hakubooru"))
