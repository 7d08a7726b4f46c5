"""`hakubooru browse`: look at posts in a web browser, and put a data set together."""

from __future__ import annotations

import click

import hakubooru as hb
from hakubooru_cli.query_command import QueryCommand


@click.command(cls=QueryCommand)
@click.argument("file", type=click.Path())
@click.argument("query", required=False, default="")
@click.option(
    "--images",
    metavar="DIR",
    multiple=True,
    type=click.Path(),
    help="A folder that holds tars or folders of images, at any depth, or a URL. You may give several.",
)
@click.option(
    "--recipe",
    metavar="R",
    help=f"The data set to begin with: {', '.join(hb.shipped_recipes())}, or a TOML file.",
)
@click.option(
    "--work",
    metavar="DIR",
    default=".",
    type=click.Path(),
    help="The folder for recipes and exports; by default, the current one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Listen on this address, so that others can look too.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="0 takes a free port."
)
@click.option("--no-open", is_flag=True, help="Do not open the page; only print its address.")
def browse(
    file: str,
    *,
    query: str,
    images: tuple[str, ...],
    recipe: str | None,
    work: str,
    host: str,
    port: int,
    no_open: bool,
) -> None:
    """Look at posts in a web browser, and put a data set together.

    The page is on this machine alone, unless --host says otherwise; then its address has a secret token. Nothing is
    written but recipes and exports, into the folder --work. Ctrl-C ends it; exports go on.
    """
    from hakubooru.browse import Browser  # noqa: PLC0415 - an extra

    with (
        hb.open(file) as database,
        Browser(
            database, query=query, images=images, recipe=recipe, work=work, host=host, port=port
        ) as browser,
    ):
        click.echo(f"{browser.first}\nCtrl-C ends it.")
        if not no_open:
            browser.show()
        try:
            browser.wait()
        except KeyboardInterrupt:
            click.echo("", err=True)
