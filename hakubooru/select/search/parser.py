r"""Parse the text of a search into its syntax tree, by recursive descent.

    search   = [ either ]
    either   = all { "or" all }
    all      = list { "and" list }
    list     = factor { factor }          the factors with "~" are alternatives
    factor   = [ "-" | "~" ] expr
    expr     = "(" either ")" | metatag | wildcard | tag

A word ends at white space; in the value of a metatag, `\ ` is a space that does not end it. A `)` at the end of a word
closes a group if one is open and the word itself has no `(` for it. Otherwise it belongs to the word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from hakubooru.select.search.metatags import CLOSING, KNOWN, MAY_BE_EMPTY, check
from hakubooru.select.search.mistake import CLOSES_NOTHING, mistake
from hakubooru.select.search.orders import CUSTOM, custom_ids
from hakubooru.select.search.ranges import ValueMistake
from hakubooru.select.search.syntax import (
    UNBALANCED,
    All,
    Metatag,
    Name,
    Query,
    Term,
    Wildcard,
    all_of,
    either,
    is_balanced,
    leaves,
    without,
)

if TYPE_CHECKING:
    from hakubooru.select.search.syntax import Place

_SPACE: Final = re.compile(r"\s*")
_WORD: Final = re.compile(r"\S+")
_VALUE: Final = re.compile(r"(?:\\\s|\S)*")
_ESCAPED_SPACE: Final = re.compile(r"\\(\s)")
_KEYWORD: Final = re.compile(r"(and|or)(?=\s|\)|$)", re.IGNORECASE)
_METATAG: Final = re.compile(r"([a-z0-9_]+):", re.IGNORECASE)
_QUOTED: Final = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\])*)\1""", re.DOTALL)
_ESCAPE: Final = re.compile(r"""\\([\\"'])""")
_DEEPEST: Final = 20
"""How deep parentheses may be nested; SQLite's parser has a limit too."""


def parse(text: str) -> Query:
    """Parse a search into its syntax tree.

    Raises:
        SearchError: the search cannot be read, or a metadata file cannot answer it; the message shows the place.
    """
    parser = _Parser(text)
    condition = parser.search()
    for leaf in leaves(condition):
        if isinstance(leaf, Metatag):
            check(leaf, text)
    return _lift(condition, text)


def _lift(condition: Term, text: str) -> Query:
    """Move `order:`, `limit:` and `random:` from the top of a tree into the fields of a query."""
    parts = condition.parts if isinstance(condition, All) else (condition,)
    closing: dict[str, Metatag] = {}
    terms: list[Term] = []
    for part in parts:
        if not isinstance(part, Metatag) or part.name not in CLOSING:
            terms.append(part)
        elif part.name in closing and part.value.lower() != closing[part.name].value.lower():
            raise mistake(text, part.place, f"{part.name}: is given twice; keep one")
        else:
            closing[part.name] = part
    for leaf in (leaf for part in terms for leaf in leaves(part)):
        if isinstance(leaf, Metatag) and leaf.name in CLOSING:
            message = f"{leaf.name}: belongs to the whole search: not after - or ~, in parentheses, or beside `or`; write (… or …) {leaf}"
            raise mistake(text, leaf.place, message)
    numbers = {name: int(closing[name].value) for name in ("limit", "random") if name in closing}
    order = closing["order"].value.lower() if "order" in closing else None
    if order == CUSTOM:
        _check_list(all_of(terms), closing["order"], text)
    return Query(all_of(terms), order, numbers.get("limit"), numbers.get("random"), text)


def _check_list(condition: Term, order: Metatag, text: str) -> None:
    try:
        custom_ids(condition)
    except ValueMistake as error:
        raise mistake(text, order.place, f"order: {error}") from None


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.opened: list[int] = []  # the places of "(" without their ")" so far

    def search(self) -> Term:
        self.space()
        if self.at == len(self.text):
            return All(())
        condition = self.disjunction()
        if self.at < len(self.text):
            self.fail((self.at, self.at + 1), CLOSES_NOTHING)
        return condition

    def disjunction(self) -> Term:
        parts = [self.conjunction()]
        while self.keyword("or"):
            parts.append(self.conjunction())
        return either(parts)

    def conjunction(self) -> Term:
        lists = [self.factors()]
        while self.keyword("and"):
            lists.append(self.factors())
        return all_of(lists)

    def factors(self) -> Term:
        terms: list[Term] = []
        optional: list[Term] = []
        first_optional = 0
        while not self.at_end_of_factors():
            tilde = self.text[self.at] == "~"
            term = self.factor()
            if tilde:
                first_optional = first_optional if optional else len(terms)
                optional.append(term)
            else:
                terms.append(term)
        if optional:
            terms.insert(first_optional, either(optional))
        if not terms:
            self.fail_without_factors()
        return all_of(terms)

    def factor(self) -> Term:
        sign = self.text[self.at]
        if sign not in "-~":
            return self.expression()
        start = self.at
        self.at += 1
        self.space()
        if self.at == len(self.text) or self.text[self.at] in "-~)" or _KEYWORD.match(self.text, self.at):
            self.fail((start, start + 1), f"{sign} needs a tag, a metatag or a group after it")
        term = self.expression()
        return without(term) if sign == "-" else term

    def expression(self) -> Term:
        if self.text[self.at] == "(":
            return self.group()
        metatag = _METATAG.match(self.text, self.at)
        if metatag and metatag[1].lower() in KNOWN:
            return self.metatag(metatag[1].lower(), metatag.end())
        start = self.at
        word = self.word()
        kind = Wildcard if "*" in word else Name
        return kind(word, (start, self.at))

    def group(self) -> Term:
        start = self.at
        self.opened.append(start)
        if len(self.opened) > _DEEPEST:
            self.fail((start, start + 1), f"parentheses are nested more than {_DEEPEST} deep; use fewer")
        self.at += 1
        self.space()
        term = self.disjunction()
        if self.at == len(self.text):
            self.fail_unclosed()
        self.opened.pop()
        self.at += 1
        return term

    def metatag(self, name: str, value_at: int) -> Term:
        start, self.at = self.at, value_at
        if self.text[value_at : value_at + 1] in ("'", '"'):
            value = self.quoted()
            return Metatag(name, value, quoted=True, place=(start, self.at))
        word = self.word(_VALUE)
        if not word and name not in MAY_BE_EMPTY:
            self.fail((start, value_at), f"{name}: needs a value right after it")
        value = _ESCAPED_SPACE.sub(r"\1", word)
        return Metatag(name, value, quoted=value != word, place=(start, self.at))

    def quoted(self) -> str:
        match = _QUOTED.match(self.text, self.at)
        if match is None:
            self.fail((self.at, self.at + 1), "this quote is never closed")
        self.at = match.end()
        following = self.text[self.at : self.at + 1]
        if following and not following.isspace() and not (following == ")" and self.opened):
            self.fail((self.at, self.at + 1), "a space is missing after the quote")
        return _ESCAPE.sub(r"\1", match[2])

    def word(self, pattern: re.Pattern[str] = _WORD) -> str:
        """Take the next word, without the parentheses after it that close a group."""
        match = pattern.match(self.text, self.at)
        assert match is not None
        word, closing = match[0], len(self.opened)
        while closing and word.endswith(")") and not is_balanced(word) and word not in UNBALANCED:
            word, closing = word[:-1], closing - 1
        self.at += len(word)
        return word

    def keyword(self, word: str) -> bool:
        match = _KEYWORD.match(self.text, self.at)
        if match is None or match[1].lower() != word:
            return False
        self.at = match.end()
        self.space()
        return True

    def at_end_of_factors(self) -> bool:
        self.space()
        return (
            self.at == len(self.text) or self.text[self.at] == ")" or bool(_KEYWORD.match(self.text, self.at))
        )

    def space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def fail_without_factors(self) -> NoReturn:
        before = re.search(r"\S+\s*$", self.text[: self.at])
        keyword = _KEYWORD.match(self.text, self.at)
        if keyword:
            self.fail(keyword.span(), f"`{keyword[0]}` needs something on its left")
        if before and _KEYWORD.fullmatch(before[0].strip()):
            word = before[0].strip()
            self.fail((before.start(), before.start() + len(word)), f"`{word}` needs something on its right")
        if self.opened and self.at == len(self.text):
            self.fail_unclosed()
        if self.opened:
            self.fail((self.opened[-1], self.at + 1), "these parentheses are empty")
        self.fail((self.at, self.at + 1), CLOSES_NOTHING)

    def fail_unclosed(self) -> NoReturn:
        self.fail((self.opened[-1], self.opened[-1] + 1), "this ( is never closed; add a )")

    def fail(self, place: Place, message: str) -> NoReturn:
        raise mistake(self.text, place, message)
