"""The reference names everything that there is: public names, metatags, orders, columns, keys, commands and options."""

from __future__ import annotations

import dataclasses
import html
import re
import subprocess
import sys
import tomllib
import typing

import click
import peewee
import pytest
from pyarrow import parquet

import hakubooru as hb
import reference_tables
from code_blocks import ROOT
from hakubooru.caption import CaptionFormat
from hakubooru.caption.presets import PRESETS
from hakubooru.errors import HakubooruError, IncompleteError, InputError
from hakubooru.export.sinks import SINKS
from hakubooru.ingest.maps import RecordMap
from hakubooru.recipe import Stratum
from hakubooru.results.tables import MADE
from hakubooru.select.danbooru import parse
from hakubooru_cli.main import cli as library
from hakubooru_cli.train import cli as trainer
from hakubooru_trainer.config import Options
from hakubooru_trainer.evaluate.options import EvaluationOptions
from hakubooru_trainer.metrics import FIELDS as METRICS

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
        *("-D", "nb_execution_mode=off"),  # another test runs the notebooks
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
    kinds = [kind for name in hb.__all__ if isinstance(kind := getattr(hb, name), type)]
    missing += [
        f"{kind.__name__}.{name}"
        for kind in kinds
        if not issubclass(kind, peewee.Model | BaseException)
        for name in (
            dir(kind) if kind is hb.Selection else vars(kind)
        )  # a database inherits what is for the engine
        if callable(getattr(kind, name)) and not name.startswith("_") and not re.search(rf"\b{name}\b", page)
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
    # A directive that is read as Markdown is shown as it is written.
    assert re.findall(r"^ *\.\. \w+::.*|.*\*\*.*", site[page], re.MULTILINE) == []


@pytest.mark.slow
def test_the_tables_are_on_their_pages(site):
    assert all(f"{name}:" in site["reference/search"] for name in reference_tables.answered())
    assert all(f"order:{name}" in site["reference/search"] for name in reference_tables.order_names())
    assert all(name in site["reference/captions"] for name in PRESETS)
    for kind, page in (
        (hb.Recipe, "recipe"),
        (Stratum, "recipe"),
        (hb.ImageFormat, "recipe"),
        (hb.OutputFormat, "recipe"),
        (CaptionFormat, "captions"),
        (RecordMap, "sources"),
        (hb.Lock, "files"),
    ):
        assert all(field.name in site[f"reference/{page}"] for field in dataclasses.fields(kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Options, EvaluationOptions])
def test_every_key_of_training_and_evaluation_is_on_its_page(site, kind):
    page = site["reference/training"]
    sections = typing.get_type_hints(kind)
    assert [name for name in sections if f"[{name}]" not in page] == []
    tables = [typing.get_args(hint)[0] if typing.get_args(hint) else hint for hint in sections.values()]
    names = [field.name for table in tables for field in dataclasses.fields(table)]
    assert len(names) > 10
    assert [name for name in names if not re.search(rf"^{name} = ", page, re.MULTILINE)] == []


@pytest.mark.slow
def test_the_files_are_described_as_they_are_written(site, demo):
    page = site["reference/files"]
    assert [
        name for name in parquet.read_schema(demo / "out" / "manifest.parquet").names if name not in page
    ] == []
    assert [name for name in (*SINKS, *METRICS) if name not in page] == []
    assert [path.name for path in (demo / "out").iterdir() if path.is_file() and path.name not in page] == []
    for word in ("journal.sqlite", "stamp.json", "state.json", "lokr_w1", "kilowatt_hours"):
        assert word in page


@pytest.mark.slow
def test_exit_codes_and_words_of_newcomers_are_explained(site):
    codes = {kind.exit_code for kind in (InputError, IncompleteError)} | {0, 130}
    assert all(re.search(rf"^\s*{code}\s*$", site["reference/errors"], re.MULTILINE) for code in codes)
    words = ("gold", "bucket", "LoKr", "min-SNR", "booru", "recipe", "Epsilon", "sidecar", "held-out loss")
    assert [word for word in words if not re.search(rf"^\s*{word}", site["glossary"], re.MULTILINE)] == []


def test_every_metatag_and_order_is_described():
    assert set(reference_tables.answered()) <= set(reference_tables.METATAGS)
    assert set(reference_tables.order_names()) <= {*reference_tables.ORDERS, *reference_tables.METATAGS}
    for example, _ in reference_tables.METATAGS.values():
        parse(example)


def test_every_column_is_described():
    assert reference_tables.columns().count("\n") == 2 + len(hb.Post._meta.sorted_fields)


def test_every_made_column_is_described():
    assert set(reference_tables.MADE) == set(MADE)


def test_every_extra_is_on_the_page_of_installing():
    page = (PAGES / "how-to" / "install.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [extra for extra in project["optional-dependencies"] if f"| `{extra}` |" not in page] == []


def test_the_keys_for_users_of_sd_scripts_exist():
    page = (PAGES / "how-to" / "sd-scripts.md").read_text(encoding="utf-8")
    sections = {
        name: typing.get_args(hint)[0] if typing.get_args(hint) else hint
        for name, hint in typing.get_type_hints(Options).items()
    }
    keys = {f"{name}.{field.name}" for name, table in sections.items() for field in dataclasses.fields(table)}
    named_keys = set(re.findall(r"`([a-z]+\.[a-z_]+)", page))
    assert len(named_keys) > 50
    assert sorted(named_keys - keys) == []


def test_every_page_is_in_the_list_of_its_folder():
    for index in PAGES.glob("*/index.md"):
        listed = re.findall(r"^[\w-]+$", index.read_text(encoding="utf-8"), re.MULTILINE)
        assert {path.stem for path in index.parent.glob("*.md")} - {"index"} == set(listed)


def test_every_error_is_in_the_tree():
    tree = reference_tables.error_tree()
    kinds = [HakubooruError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    own = [kind.__name__ for kind in kinds if kind.__module__ == "hakubooru.errors"]
    assert len(own) > 20
    assert [name for name in own if name not in tree] == []


def _commands(program):
    for command in program.commands.values():
        yield from _commands(command) if isinstance(command, click.Group) else [command]
