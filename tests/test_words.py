"""The words of the code: each docstring and comment stands by itself, and variables are nouns."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from imports import statements

PROJECT = Path(__file__).parents[1]
WORDED = ["hakubooru", "trainer", "cli", "migrations"]
"""The folders whose docstrings and comments stand by themselves."""
NAMED = ["trainer"]
"""The folders whose variables are nouns."""

CONTINUES = re.compile(r"(of|and|such)\s|likewise|the same|as above", re.IGNORECASE)
"""The beginnings of a docstring that only continues the one before."""
MAY_CONTINUE = re.compile(rf"""["'](\s|\\.)*({CONTINUES.pattern})""", re.IGNORECASE)
"""What stands somewhere in a source with such a docstring: the others, four of five, need not be parsed."""
REPEATS = re.compile(r"#\s*(noqa[^-]*-\s*)?(likewise|as above)\W*", re.IGNORECASE)
"""A comment that says no more than the one before."""
NO_NOUNS = {"told", "found", "made"}


def continued(source):
    """The lines of docstrings, those of attributes too, that do not stand by themselves."""
    if not MAY_CONTINUE.search(source):
        return []
    return [
        node.lineno
        for node in statements(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str) and CONTINUES.match(node.value.value.lstrip())
    ]


def repeated(source):
    """The lines of comments that do not stand by themselves."""
    if not REPEATS.search(source):
        return []
    return [
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and REPEATS.fullmatch(token.string)
    ]


def no_nouns(source):
    """The lines at which a variable or an argument gets one of the names that are no nouns."""
    if not any(name in source for name in NO_NOUNS):
        return []
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in NO_NOUNS)
        or (isinstance(node, ast.arg) and node.arg in NO_NOUNS)
        or (isinstance(node, ast.MatchAs | ast.MatchStar) and node.name in NO_NOUNS)
    ]


def places(folder, rule):
    files = sorted((PROJECT / folder).rglob("*.py"))
    assert files
    return [
        f"{file.relative_to(PROJECT)}:{line}"
        for file in files
        for line in rule(file.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("folder", WORDED)
def test_docstrings_stand_by_themselves(folder):
    assert places(folder, continued) == []


@pytest.mark.parametrize("folder", WORDED)
def test_comments_stand_by_themselves(folder):
    assert places(folder, repeated) == []


@pytest.mark.parametrize("folder", NAMED)
def test_variables_are_nouns(folder):
    assert places(folder, no_nouns) == []


@pytest.mark.parametrize(
    ("rule", "source", "lines"),
    [
        (continued, '"""Of the module."""', [1]),
        (continued, 'def f():\n    """\n    Likewise, a function."""', [2]),
        (continued, 'async def f():\n    """And so on."""', [2]),
        (continued, 'class A:\n    """The same, a class."""\n    x: int\n    """As above."""', [2, 4]),
        (continued, 'class A:\n    def __init__(self):\n        self.x = 1\n        """Such a number."""', [4]),
        (continued, '"""Offers andirons, suchlike and all of the same."""\nx = "Of text"', []),
        (repeated, "x = 1  # likewise\ny = 2\n# As above.\nz = 3  # noqa: E501 - likewise", [1, 3, 4]),
        (repeated, "x = 1  # likewise for numbers, which are short\ny = '# likewise'", []),
        (no_nouns, "told = 1\nfor found in []: pass\nif made := 1: pass", [1, 2, 3]),
        (no_nouns, "def f(told, *, found): pass\n[1 for made in []]\nlambda told: 1", [1, 1, 2, 3]),
        (no_nouns, "with x as (told, y):\n    match y:\n        case [*found]: pass\n        case made: pass", [1, 3, 4]),
        (no_nouns, "x.told = 1\nfound()\nprint(made=made)", []),
    ],
)  # fmt: skip
def test_the_rules_notice(rule, source, lines):
    assert sorted(rule(source)) == lines
