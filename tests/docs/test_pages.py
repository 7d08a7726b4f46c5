"""Every code block of README and the site runs, or says why not and names only what the programs have."""

from __future__ import annotations

import pytest

from code_blocks import PAGES, ROOT, blocks, commands, mistakes, run_page
from hakubooru_cli.main import cli as library
from hakubooru_cli.train import cli as trainer

pytestmark = pytest.mark.docs
PROGRAMS = {"hakubooru": library, "hakubooru-train": trainer}
LANGUAGES = {"sh", "python", "toml", "text", "json", "sql"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, demo, tmp_path):
    import drawings  # which imports matplotlib: every run of tests reads this file, and most leave its tests out

    if not run_page(page, tmp_path, demo):
        pytest.skip("the page has no code that runs")
    missing = [name for name in drawings.written(page) if not (tmp_path / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_of_a_page_exist(page):
    messages = [
        f"line {block.line}: {mistake}"
        for block in blocks(page)
        if block.language == "sh"
        for words in commands(block.text)
        for mistake in mistakes(words, PROGRAMS[words[0]])
    ]
    assert messages == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_names_its_language(page):
    assert {block.language for block in blocks(page)} <= LANGUAGES


def test_a_wrong_command_and_a_wrong_option_are_seen():
    [line] = commands("cat x | hakubooru select FILE --recipe epsilon --funel  # a comment\n")
    assert mistakes(line, library) == ["hakubooru select FILE --recipe epsilon --funel: no option --funel"]
    [line] = commands("hakubooru chose FILE\n")
    assert mistakes(line, library) == ["hakubooru chose FILE: no command chose"]
