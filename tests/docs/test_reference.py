"""The reference names everything that there is: public names, metatags, orders, columns, keys, commands and options."""

from __future__ import annotations

import dataclasses
import html
import re
import subprocess
import sys

import click
import pytest

import generate
import hakubooru as hb
from code_blocks import ROOT
from hakubooru.caption import CaptionFormat
from hakubooru.caption.presets import PRESETS
from hakubooru.errors import HakubooruError
from hakubooru.recipe import Stratum
from hakubooru.select.danbooru import parse
from hakubooru_cli.main import cli as library
from hakubooru_cli.train import cli as trainer

pytestmark = [pytest.mark.docs, pytest.mark.xdist_group("site")]  # one process builds the site
PAGES = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: the text of each page by its name."""
    out = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--keep-going",
        "-q",
        str(PAGES),
        str(out),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return {
        str(path.relative_to(out).with_suffix("")): html.unescape(
            re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8"))
        )
        for path in out.rglob("*.html")
    }


@pytest.mark.slow
def test_every_public_name_and_method_is_on_the_page_of_python(site):
    page = site["reference/python"]
    missing = [name for name in hb.__all__ if not re.search(rf"\b{name}\b", page)]
    missing += [
        name for name in dir(hb.Selection) if not name.startswith("_") and not re.search(rf"\b{name}\b", page)
    ]
    assert missing == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "program"), [("reference/commands", library), ("reference/training-commands", trainer)]
)
def test_every_command_and_option_is_on_its_page(site, page, program):
    missing = [
        f"{command.name} {option}"
        for command in _commands(program)
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option not in site[page]
    ]
    missing += [command.name for command in _commands(program) if str(command.name) not in site[page]]
    assert missing == []


@pytest.mark.slow
def test_the_tables_are_on_their_pages(site):
    assert all(f"{name}:" in site["reference/search"] for name in generate.answered())
    assert all(f"order:{name}" in site["reference/search"] for name in generate.order_names())
    assert all(name in site["reference/captions"] for name in PRESETS)
    for kind, page in (
        (hb.Recipe, "recipe"),
        (Stratum, "recipe"),
        (hb.ImageFormat, "recipe"),
        (hb.OutputFormat, "recipe"),
        (CaptionFormat, "captions"),
    ):
        assert all(field.name in site[f"reference/{page}"] for field in dataclasses.fields(kind))


def test_every_metatag_and_order_is_described():
    assert set(generate.answered()) <= set(generate.METATAGS)
    assert set(generate.order_names()) <= {*generate.ORDERS, *generate.METATAGS}
    for example, _ in generate.METATAGS.values():
        parse(example)


def test_every_column_is_described():
    assert generate.columns().count("\n") == 2 + len(hb.Post._meta.sorted_fields)


def test_every_error_is_in_the_tree():
    tree = generate.error_tree()
    kinds = [HakubooruError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    own = [kind.__name__ for kind in kinds if kind.__module__ == "hakubooru.errors"]
    assert len(own) > 20
    assert [name for name in own if name not in tree] == []


def _commands(program):
    for command in program.commands.values():
        yield from _commands(command) if isinstance(command, click.Group) else [command]
