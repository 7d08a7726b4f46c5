r"""The grammar of a search: its syntax tree as frozen values, and the parser, by recursive descent.

    search   = [ either ]
    either   = all { "or" all }
    all      = list { "and" list }
    list     = factor { factor }          the factors with "~" are alternatives
    factor   = [ "-" | "~" ] expr
    expr     = "(" either ")" | metatag | wildcard | tag

A word ends at white space; in the value of a metatag, `\ ` is a space that does not end it. A `)` at the end of a word
closes a group if one is open and the word itself has no `(` for it. Otherwise it belongs to the word. `str()` of a tree
is its canonical form, which parses into an equal tree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from hakubooru.select.danbooru.metatags import CLOSING, MAY_BE_EMPTY, METATAGS, Metatag, joined_rows
from hakubooru.select.danbooru.mistakes import CLOSES_NOTHING, ValueMistake, mistake
from hakubooru.select.danbooru.orders import CUSTOM
from hakubooru.select.danbooru.ranges import INTEGERS, read_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hakubooru.select.danbooru.metatags import Row
    from hakubooru.select.danbooru.mistakes import Place
    from hakubooru.store.joined import JoinedColumn

_SPACE: Final = re.compile(r"\s*")
_WORD: Final = re.compile(r"\S+")
_VALUE: Final = re.compile(r"(?:\\\s|\S)*")
_ESCAPED_SPACE: Final = re.compile(r"\\(\s)")
_KEYWORD: Final = re.compile(r"(and|or)(?=\s|\)|$)", re.IGNORECASE)
_METATAG: Final = re.compile(r"([\w.]+):")
_QUOTED: Final = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\])*)\1""", re.DOTALL)
_ESCAPE: Final = re.compile(r"""\\([\\"'])""")
_DEEPEST: Final = 20
"""How deep parentheses may be nested; SQLite's parser has a limit too."""
UNBALANCED: Final = frozenset({":)", ":(", ";)", ";(", ">:)", ">:("})
"""The tags of Danbooru whose parenthesis has no partner; they may stand in groups."""


@dataclass(frozen=True)
class Name:
    """The name of a tag."""

    name: str
    place: Place = field(default=(0, 0), compare=False, repr=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Wildcard:
    """A pattern that matches several tags; `*` stands for any number of characters."""

    pattern: str
    place: Place = field(default=(0, 0), compare=False, repr=False)

    def __str__(self) -> str:
        return self.pattern


@dataclass(frozen=True)
class All:
    """A conjunction: all of its parts must hold; without parts, every post matches."""

    parts: tuple[Term, ...]

    def __str__(self) -> str:
        return " ".join(grouped(part, Either) for part in self.parts)


@dataclass(frozen=True)
class Either:
    """An alternative: at least one of its parts must hold."""

    parts: tuple[Term, ...]

    def __str__(self) -> str:
        is_bare = any(closes_group(str(leaf)) for leaf in _leaves(self))  # such as `a)`
        return " or ".join(str(part) if is_bare else grouped(part, All) for part in self.parts)


@dataclass(frozen=True)
class Except:
    """A negation: its part must not hold."""

    part: Term

    def __str__(self) -> str:
        return f"-{grouped(self.part, All, Either)}"


Leaf: TypeAlias = Name | Wildcard | Metatag
Term: TypeAlias = Leaf | All | Either | Except


@dataclass(frozen=True)
class Query:
    """A parsed search: a condition on posts, their order, and their number."""

    condition: Term
    order: str | None = None
    """The value of `order:`, in lower case."""
    limit: int | None = None
    """The value of `limit:`."""
    random: int | None = None
    """The value of `random:`."""
    text: str = field(default="", compare=False, repr=False)
    """The text of the search, to which the places of its terms refer."""
    terms: tuple[Term, ...] = field(init=False, compare=False, repr=False)
    """The terms of the condition, all of which must hold."""
    leaves: tuple[Leaf, ...] = field(init=False, compare=False, repr=False)
    """The tags, wildcards and metatags of the condition, from left to right."""

    def __post_init__(self) -> None:
        condition = self.condition
        object.__setattr__(self, "terms", condition.parts if isinstance(condition, All) else (condition,))
        object.__setattr__(self, "leaves", tuple(_leaves(condition)))

    def __str__(self) -> str:
        tail = {"order": self.order, "limit": self.limit, "random": self.random}
        metatags = [f"{name}:{value}" for name, value in tail.items() if value is not None]
        if not metatags:
            return str(self.condition)
        condition = [grouped(self.condition, Either)] if self.condition != All(()) else []
        return " ".join(condition + metatags)

    def listed_ids(self) -> tuple[int, ...]:
        """The ids of the search's one list of ids, in their order, for `order:custom`; without such a list, none."""
        lists = {leaf for leaf in self.leaves if isinstance(leaf, Metatag) and leaf.name == "id"}
        if len(lists) != 1 or not lists <= set(self.terms):
            return ()
        spans = read_values(lists.pop().value, INTEGERS)
        ids = tuple(span.only for span in spans if span.only is not None)
        return ids if len(ids) == len(spans) else ()


def all_of(parts: Iterable[Term]) -> Term:
    """Join terms into one conjunction, without nesting."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, All) else (part,)))
    return flat[0] if len(flat) == 1 else All(flat)


def either(parts: Iterable[Term]) -> Term:
    """Join terms into one alternative, without nesting."""
    flat = tuple(inner for part in parts for inner in (part.parts if isinstance(part, Either) else (part,)))
    return flat[0] if len(flat) == 1 else Either(flat)


def without(part: Term) -> Term:
    """Negate a term; a double negation gives the term itself."""
    return part.part if isinstance(part, Except) else Except(part)


def _leaves(term: Term) -> Iterator[Leaf]:
    match term:
        case All(parts) | Either(parts):
            for part in parts:
                yield from _leaves(part)
        case Except(part):
            yield from _leaves(part)
        case _:
            yield term


def grouped(term: Term, *kinds: type[All | Either]) -> str:
    """The text of a term, in parentheses if the term is of one of these kinds."""
    if not isinstance(term, kinds):
        return str(term)
    inner = str(term)
    # Right after `saber_(*` or `:`, the parser would read the closing parenthesis as a part of the tag.
    needs_space = not is_balanced(inner) or inner.endswith((":", ";"))
    return f"({inner} )" if needs_space else f"({inner})"


def is_balanced(text: str) -> bool:
    """Whether every parenthesis has its partner."""
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return False
    return depth == 0


def closes_group(word: str) -> bool:
    """Whether the parser reads the last character of a word as the end of an open group."""
    return word.endswith(")") and not is_balanced(word) and word not in UNBALANCED


def parse(text: str, joined: Mapping[str, JoinedColumn] | None = MappingProxyType({})) -> Query:
    """Parse a search into its syntax tree.

    Args:
        text: the search.
        joined: the columns of joined files by their names, which are metatags too. None means that they are not known
            yet: `order:` is then not checked.

    Raises:
        SearchError: the search cannot be read, or a metadata file cannot answer it; the message shows the place.
    """
    parser = _Parser(text, joined_rows(joined) if joined or joined is None else {})
    condition = parser.search()
    for metatag in parser.metatags:
        try:
            metatag.condition  # noqa: B018 - built once, and used when the search is applied
        except ValueMistake as error:
            raise mistake(text, metatag.place, f"{metatag.name}: {error}") from None
    return _lift(condition, parser.metatags, text)


def _lift(condition: Term, metatags: Sequence[Metatag], text: str) -> Query:
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
    at_the_top = {part.place for part in parts if isinstance(part, Metatag)}
    for metatag in metatags:
        if metatag.name in CLOSING and metatag.place not in at_the_top:
            message = f"{metatag.name}: belongs to the whole search: not after - or ~, in parentheses, or beside `or`; write (… or …) {metatag}"
            raise mistake(text, metatag.place, message)
    numbers = {name: int(closing[name].value) for name in ("limit", "random") if name in closing}
    order = closing["order"].value.lower() if "order" in closing else None
    query = Query(all_of(terms), order, numbers.get("limit"), numbers.get("random"), text)
    if order == CUSTOM and not query.listed_ids():
        message = "order: custom needs one id: with the list of ids: write id:3,1,2 order:custom"
        raise mistake(text, closing["order"].place, message)
    return query


class _Parser:
    def __init__(self, text: str, joined: Mapping[str, Row]) -> None:
        self.text = text
        self.joined = joined
        self.at = 0
        self.opened: list[int] = []  # the places of "(" without their ")" so far
        self.metatags: list[Metatag] = []

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
        if metatag and ((name := metatag[1].lower()) in METATAGS or name in self.joined):
            return self.metatag(name, metatag.end())
        start = self.at
        word = self.word()
        return (Wildcard if "*" in word else Name)(word, (start, self.at))

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
            value, is_quoted = self.quoted(), True
        else:
            word = self.word(_VALUE)
            if not word and name not in MAY_BE_EMPTY:
                self.fail((start, value_at), f"{name}: needs a value right after it")
            value = _ESCAPED_SPACE.sub(r"\1", word)
            # `str()` needs quotes where a value ends so: it would go on after a space, or close a group.
            is_quoted = value != word or value.endswith("\\") or closes_group(value)
        self.metatags.append(Metatag(name, value, is_quoted, (start, self.at), self.joined.get(name)))
        return self.metatags[-1]

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
        while closing and closes_group(word):
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
