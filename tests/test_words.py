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
WORDED = ["hakubooru", "trainer", "cli", "migrations", "tests"]
"""The folders whose docstrings and comments stand by themselves."""
NAMED = ["hakubooru", "trainer", "cli", "migrations"]
"""The folders whose variables are nouns, as those of the tests are."""

CONTINUES = re.compile(r"(of|and|such)\s|likewise|the same|as above", re.IGNORECASE)
"""The beginnings of a docstring that only continues the one before."""
MAY_CONTINUE = re.compile(rf"""["'](\s|\\.)*({CONTINUES.pattern})""", re.IGNORECASE)
"""What stands somewhere in a source with such a docstring: the others, four of five, need not be parsed."""
REPEATS = re.compile(r"#\s*(noqa[^-]*-\s*)?(likewise|as above)\W*", re.IGNORECASE)
"""A comment that says no more than the one before."""
NO_NOUNS = {"told", "found", "made", "held", "said", "gave"}
IS_NO_NOUN = re.compile(rf"\b({'|'.join(sorted(NO_NOUNS))})\b")


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
    """The lines at which a variable, an argument or a function gets one of the names that are no nouns."""
    if not IS_NO_NOUN.search(source):
        return []
    return [node.lineno for node in ast.walk(ast.parse(source)) if name_of(node) in NO_NOUNS]


def name_of(node):
    """The name that a node of a syntax tree gives to a variable, an argument or a function, or None."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.FunctionDef(name=name):
            return name
        case ast.MatchAs(name=name) | ast.MatchStar(name=name):
            return name
    return None


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


@pytest.mark.parametrize("folder", [*NAMED, pytest.param("tests", marks=pytest.mark.slow)])
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
        (no_nouns, "held, said = 1, 2\nclass A:\n    gave = 1\n    def f(self):\n        said: int = 1", [1, 1, 3, 5]),
        (no_nouns, "def said(): gave = 1", [1, 1]),
        (no_nouns, "x.told = 1\nfound()\nprint(made=made)\nclass A:\n    held: int = 1", [5]),
    ],
)  # fmt: skip
def test_the_rules_notice(rule, source, lines):
    assert sorted(rule(source)) == lines
