"""The page "Data" has every set that the program and its tests know, and says of each what it is, costs and lacks."""

from __future__ import annotations

import re

import pytest

from code_blocks import ROOT, commands
from hakubooru.image.layouts import LAYOUTS, MEMBERS
from hakubooru.image.published import REPOSITORIES
from hakubooru.ingest.dumps import what_it_is
from hakubooru.ingest.maps import COLUMNS
from hakubooru.ingest.sets import API, SETS
from published_sets import SETS as PUBLISHED

pytestmark = pytest.mark.docs
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
SECTIONS = {
    part.partition("\n")[0]: part
    for chapter in re.split(r"^## ", PAGE, flags=re.MULTILINE)
    for part in re.split(r"^### ", chapter, flags=re.MULTILINE)[1:]
}
"""The text of each section of the third level, by its heading."""
FORMS = ("lines in ", "CSV", "an array after")
"""How the names of the tests' sets begin that are forms of files, and no published sets."""
DESCRIBED = [name for name, text in SECTIONS.items() if "**Size**" in text]


def section_of(published):
    """The section that describes a set of `tests/published_sets.py`."""
    name = re.split("[ ,']", published)[0]
    places = [text for heading, text in SECTIONS.items() if name in heading] or [
        text for text in SECTIONS.values() if name in text
    ]
    assert places, f"docs/data.md has no section of {published}: add its lines, size, licence and faults"
    return places[0]


def test_every_kind_of_records_that_is_recognised_is_named():
    assert [records.name for records in (API, *SETS) if f"*{records.name}*" not in PAGE] == []


@pytest.mark.parametrize("name", [name for name in PUBLISHED if not name.startswith(FORMS)])
def test_every_set_of_the_tests_has_its_lines_and_says_what_it_lacks(name):
    text = section_of(name)
    assert "hakubooru db " in text
    lacking = set(COLUMNS) - PUBLISHED[name].columns - {"updated_at"}
    says = text.partition("**Lacks**")[2].partition("\n\n")[0]
    if "everything but `id`" in says and PUBLISHED[name].columns == {"id"}:
        return
    assert set(re.findall(r"`(\w+)`", says)) - {"updated_at"} >= lacking


@pytest.mark.parametrize("heading", DESCRIBED)
def test_a_set_has_commands_size_licence_and_faults(heading):
    text = SECTIONS[heading]
    assert list(commands("\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))))
    assert all(f"- **{label}**: " in text for label in ("Size", "Licence", "Known faults"))


def test_there_are_some_twenty_sets():
    assert len(DESCRIBED) > 20


def test_every_layout_name_and_index_of_images_is_on_the_page():
    assert [layout.words for layout in LAYOUTS if layout.words not in PAGE] == []
    assert [name for name in REPOSITORIES if name not in PAGE] == []
    assert [name for names in REPOSITORIES.values() for name in names if name not in PAGE] == []
    assert len(MEMBERS) == 3
    assert all(name in PAGE for name in ("ID.webp", "danbooru_ID_MD5.ext", "0000003-name.ext"))


@pytest.mark.parametrize(
    "head", [b"-- MySQL dump 10.13", b"<html>", b"version https://git-lfs.github.com/spec/v1"]
)
def test_what_the_page_says_of_refused_files_is_what_the_program_says(head):
    assert what_it_is(head) in PAGE


def test_a_set_without_its_lines_is_seen():
    with pytest.raises(AssertionError, match="no section of somebody/new"):
        section_of("somebody/new, Parquet")
