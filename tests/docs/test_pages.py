"""Every code block of README and the site runs, or says why not and names only what the programs have."""

from __future__ import annotations

import shutil
import sys

import pytest

from code_blocks import PAGES, ROOT, blocks, commands, mistakes, run
from hakubooru_cli.main import cli as library
from hakubooru_cli.train import cli as trainer

pytestmark = pytest.mark.docs
PROGRAMS = {"hakubooru": library, "hakubooru-train": trainer}
LANGUAGES = {"sh", "python", "toml", "text", "json", "sql"}


@pytest.fixture
def folder(demo, tmp_path):
    """The folder in which a page's blocks run: the demo, its database and images by the names of the pages, examples."""
    shutil.copytree(demo, tmp_path / "demo")
    (tmp_path / "danbooru.db").symlink_to("demo/danbooru.db")
    (tmp_path / "images").symlink_to("demo/images")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, folder):
    script = "".join(_step(block) for block in blocks(page) if block.reason is None)
    if not script:
        pytest.skip("the page has no code that runs")
    (folder / ".page.py").write_text(_PRELUDE + script, encoding="utf-8")
    run([sys.executable, "-W", "ignore", ".page.py"], folder)


_PRELUDE = """
import pathlib, subprocess
main = __name__ == "__main__"  # processes that Python starts import this file again, and run nothing of it
def file(name, text):
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text(text, encoding="utf-8")
def shell(text):
    subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=True)
"""


def _step(block):
    if block.file:
        return f"file({block.file!r}, {block.text!r})\n"
    if block.language == "sh":
        return f"main and shell({block.text!r})\n"
    if block.language == "python":
        return f"main and exec(compile({block.text!r}, 'line {block.line}', 'exec'), globals())\n"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_of_a_page_exist(page):
    wrong = [
        f"line {block.line}: {mistake}"
        for block in blocks(page)
        if block.language == "sh"
        for words in commands(block.text)
        for mistake in mistakes(words, PROGRAMS[words[0]])
    ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_names_its_language(page):
    assert {block.language for block in blocks(page)} <= LANGUAGES


def test_a_wrong_command_and_a_wrong_option_are_seen():
    [line] = commands("cat x | hakubooru select FILE --recipe epsilon --funel  # a comment\n")
    assert mistakes(line, library) == ["hakubooru select FILE --recipe epsilon --funel: no option --funel"]
    [line] = commands("hakubooru chose FILE\n")
    assert mistakes(line, library) == ["hakubooru chose FILE: no command chose"]
