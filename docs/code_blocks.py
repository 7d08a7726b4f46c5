"""The code blocks of the documentation's pages, and how they are run.

A comment in front of a block says what becomes of it:

    <!-- file: mine.toml -->          the block is a file of this name, which later blocks use
    <!-- not run: needs a GPU -->     the block is checked: its commands and options, but not run
    <!-- output -->                   the block has lines that the block before it prints; … stands for others

Every other block of `sh` and `python` runs, in the order of the page, in one folder with the demo's database and images.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = (
    ROOT / "README.md",
    *sorted(
        path
        for path in (ROOT / "docs").rglob("*.md")
        if not {"generated", "notebooks", "_site"} & set(path.relative_to(ROOT).parts)
    ),
)
_MARK: Final = re.compile(r"<!-- (?P<mark>file|not run|output)(: (?P<value>.+))? -->\s*")


@dataclass(frozen=True)
class Block:
    """A fenced block of code on a page."""

    language: str
    text: str
    line: int
    file: str | None = None
    """The name of the file that the block is; None if it is none."""
    reason: str | None = None
    """Why the block is not run; None if it is."""
    is_output: bool = False
    """Whether the block shows what the one before it prints."""


def blocks(page: Path) -> Iterator[Block]:
    """Iterate over the code blocks of a page."""
    mark = None
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            mark = _MARK.fullmatch(token.content)
        elif token.type == "fence" and not token.info.startswith("{"):  # a directive of the site
            values = {mark["mark"]: mark["value"]} if mark else {}
            start = token.map[0] + 1 if token.map else 0
            language, text, is_output = token.info.strip(), token.content, "output" in values
            yield Block(language, text, start, values.get("file"), values.get("not run"), is_output)
            mark = None
        elif token.type != "paragraph_close":
            mark = None


def run_page(page: Path, folder: Path, demo: Path) -> bool:
    """Run the blocks of a page in an empty folder; False if it has none that run.

    The folder gets a copy of the demo, and its database and images by the names that the pages use.
    """
    script = "".join(_step(block) for block in blocks(page) if block.reason is None)
    if script:
        shutil.copytree(demo, folder / "demo")
        (folder / "danbooru.db").symlink_to("demo/danbooru.db")
        (folder / "images").symlink_to("demo/images")
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / ".page.py").write_text(_PRELUDE + script, encoding="utf-8")
        run([sys.executable, "-W", "ignore", ".page.py"], folder)
    return bool(script)


_PRELUDE: Final = """
import contextlib, io, pathlib, subprocess
main = __name__ == "__main__"  # processes that Python starts import this file again, and run nothing of it
def file(name, text):
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text(text, encoding="utf-8")
def shell(text):
    global seen
    seen = subprocess.run(["bash", "-euo", "pipefail", "-c", text], check=True, stdout=subprocess.PIPE, text=True).stdout
    print(seen)
def python(text, line):
    global seen
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        exec(compile(text, f"line {line}", "exec"), globals())
    seen = stream.getvalue()
    print(seen)
def output(text, line):
    printed = {each.rstrip() for each in seen.splitlines()}
    missing = [each for each in text.splitlines() if each.strip() != "…" and each.rstrip() not in printed]
    assert not missing, f"line {line}: not printed: {missing}"
"""


def _step(block: Block) -> str:
    if block.file:
        return f"file({block.file!r}, {block.text!r})\n"
    if block.language == "sh":
        return f"main and shell({block.text!r})\n"
    if block.language == "python":
        return f"main and python({block.text!r}, {block.line})\n"
    if block.is_output:
        return f"main and output({block.text!r}, {block.line})\n"
    return ""


def commands(text: str) -> Iterator[list[str]]:
    """Iterate over the command lines of hakubooru's programs in a shell block, as words."""
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        words = shlex.split(line, comments=True)
        for place, word in enumerate(words):
            if Path(word).name in ("hakubooru", "hakubooru-train"):
                rest = words[place:]
                ends = [i for i, other in enumerate(rest) if other in ("|", "&&", ";", ">")]
                yield [Path(word).name, *rest[1 : min(ends, default=len(rest))]]
                break


def mistakes(words: list[str], program: click.Command) -> list[str]:
    """The commands and options of a command line that the program does not have."""
    command, rest = program, words[1:]
    while isinstance(command, click.Group) and rest:
        inner = command.get_command(click.Context(command), rest[0])
        if inner is None:
            return [] if rest[0].startswith("-") else [f"{' '.join(words)}: no command {rest[0]}"]
        command, rest = inner, rest[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options |= {"--help", "-h"}
    before = rest[: rest.index("--")] if "--" in rest else rest
    return [
        f"{' '.join(words)}: no option {word.partition('=')[0]}"
        for word in before
        if word.startswith("--") and word.partition("=")[0] not in options
    ]


def run(command: Sequence[str], folder: Path) -> None:
    """Run a command in a folder, with the programs of this environment first on the path; it must end with 0."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-2_000:] + result.stderr[-4_000:]
