from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hakubooru.errors import SearchError
from hakubooru.select.danbooru import Query, parse
from hakubooru.select.danbooru.grammar import (
    All,
    Either,
    Except,
    Metatag,
    Name,
    Wildcard,
    all_of,
    either,
    without,
)

a, b, c, d = (Name(letter) for letter in "abcd")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", All(())),
        ("   ", All(())),
        ("a", a),
        ("a b", All((a, b))),
        (" a \t\n b ", All((a, b))),
        ("a and b", All((a, b))),
        ("a or b", Either((a, b))),
        ("a OR b", Either((a, b))),
        ("a b or c d", Either((All((a, b)), All((c, d))))),
        ("a or b and c", Either((a, All((b, c))))),
        ("a or b or c", Either((a, b, c))),
        ("(a or b) c", All((Either((a, b)), c))),
        ("-a b", All((Except(a), b))),
        ("- a", Except(a)),
        ("-a or b", Either((Except(a), b))),
        ("-(a b)", Except(All((a, b)))),
        ("-(-a)", a),
        ("~a", a),
        ("~a ~b", Either((a, b))),
        ("c ~a d ~b", All((c, Either((a, b)), d))),
        ("~a ~(b c)", Either((a, All((b, c))))),
        ("~a and ~b", All((a, b))),
        ("(~a ~b) ~c", All((Either((a, b)), c))),
        ("((a))", a),
        ("( a )", a),
        ("foo_(bar)", Name("foo_(bar)")),
        ("(foo_(bar))", Name("foo_(bar)")),
        ("(foo_(bar) or a)", Either((Name("foo_(bar)"), a))),
        ("foo_(bar_(baz))", Name("foo_(bar_(baz))")),
        (":) (:) or a)", All((Name(":)"), Either((Name(":)"), a))))),
        ("(a or :))", Either((a, Name(":)")))),
        ("((a or :)))", Either((a, Name(":)")))),
        (">:( ;(", All((Name(">:("), Name(";(")))),
        ("or_(band) oregano and_1", All((Name("or_(band)"), Name("oregano"), Name("and_1")))),
        ("a* *_(cosplay)", All((Wildcard("a*"), Wildcard("*_(cosplay)")))),
        ("saber_(*", Wildcard("saber_(*")),
        ("re:zero :d", All((Name("re:zero"), Name(":d")))),
        ("Rating:G,s", Metatag("rating", "G,s")),
        ("-rating:e", Except(Metatag("rating", "e"))),
        ("(a or rating:g)", Either((a, Metatag("rating", "g")))),
        ('source:"a b"', Metatag("source", "a b", quoted=True)),
        ("source:'a \"b'", Metatag("source", 'a "b', quoted=True)),
        (r'source:"\"\\\x"', Metatag("source", r'"\\x', quoted=True)),
        ("(source:'a') b", All((Metatag("source", "a", quoted=True), b))),
        ("source:a_(b)", Metatag("source", "a_(b)")),
        ("unaliased:(9)", Metatag("unaliased", "(9)")),
    ],
)
def test_texts_mean_trees(text, tree):
    assert parse(text) == Query(tree)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("a order:score", Query(a, order="score")),
        ("order:Score_ASC a limit:10 b", Query(All((a, b)), order="score_asc", limit=10)),
        ("random:5", Query(All(()), random=5)),
        ("(a or b) limit:1", Query(Either((a, b)), limit=1)),
    ],
)
def test_order_and_limit_are_of_the_whole_search(text, query):
    assert parse(text) == query
    assert parse(str(query)) == query


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a and b  or ~c ~d", "(a b) or c or d"),
        ("~a ~b c", "(a or b) c"),
        ("-( a b )", "-(a b)"),
        ("(a or :( ) b", "(a or :( ) b"),
        ("limit:5 a or b", None),
        ("LIMIT:5 order:SCORE (a or b)", "(a or b) order:score limit:5"),
        ("source:'x y'", 'source:"x y"'),
        ("SCORE:>5", "score:>5"),
        ("a or =) b", "a or =) b"),
        ("a b or c source:x)", '(a b) or (c source:"x)" )'),
        ("a or b source:c\\", 'a or (b source:"c\\\\")'),
    ],
)
def test_trees_print_in_canonical_form(text, canonical):
    if canonical is None:
        with pytest.raises(SearchError):
            parse(text)
    else:
        assert str(parse(text)) == canonical


letters = st.text("abc:;>_'\"\\.,&/é好", min_size=1, max_size=6)
names = st.one_of(
    st.sampled_from(["a", "foo_(bar)", ":)", ";(", ">:(", "saber_(", "o_o", "re:zero", "'", "日本"]), letters
).filter(lambda text: ":" not in text[:-1] or text in (":)", "re:zero"))
patterns = st.sampled_from(["*", "a*", "*_(cosplay)", "saber_(*"])
quoted = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
metatags = st.one_of(
    st.sampled_from(
        ["rating:g,s", "score:>=5", "date:2015..2016-03", "is:gold", "age:<2w", "ratio:16:9", "id:1,2"]
    ),
).map(lambda text: Metatag(*text.split(":", 1))) | quoted.map(
    lambda text: Metatag("source", text, quoted=True)
)
leaves = names.map(Name) | patterns.map(Wildcard) | metatags
terms = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(all_of),
        st.lists(inner, min_size=2, max_size=4).map(either),
        inner.map(without),
    ),
    max_leaves=12,
)
queries = st.builds(
    Query,
    terms,
    order=st.sampled_from([None, "score", "id_desc", "gentags_asc"]),
    limit=st.none() | st.integers(1, 10**6),
    random=st.none() | st.integers(1, 10**6),
)


@given(queries)
@example(Query(Either((Name(":("), Name("saber_(")))))
def test_what_is_printed_is_parsed_into_the_same(query):
    assert parse(str(query)) == query


@given(
    st.lists(
        st.sampled_from(["a", "=)", "b)", ":)", "(c", "or", "-", "source:x)", "source:d\\", "source:e\\ f"])
    )
)
def test_a_search_with_odd_ends_of_words_is_printed_as_an_equal_one(words):
    try:
        query = parse(" ".join(words))
    except SearchError:
        return
    assert parse(str(query)) == query


def test_a_search_goes_on_after_a_value_that_ends_in_a_backslash():
    query = parse("source:c:\\")
    assert parse(f"{query} solo").terms == (*query.terms, Name("solo"))


@given(st.text("ab()-~* :)or\"'\\", max_size=30))
def test_any_text_is_parsed_once_and_for_all_or_is_a_mistake(text):
    try:
        query = parse(text)
    except SearchError as error:
        _, line, carets = str(error).splitlines()
        assert line == f"  {text}"
        assert re.fullmatch(" +\\^+", carets)
        assert line[carets.index("^") : len(carets)].strip()
    else:
        assert parse(str(query)) == query
        assert str(parse(str(query))) == str(query)


def test_the_caret_stands_under_wide_letters():
    with pytest.raises(SearchError) as error:
        parse("初音ミク score:x")
    assert str(error.value).splitlines()[1:] == ["  初音ミク score:x", "  " + " " * 9 + "^" * 7]


def test_a_long_search_is_shown_around_the_place():
    with pytest.raises(SearchError) as error:
        parse("a " * 500 + "score:x" + " b" * 500)
    _, line, carets = str(error.value).splitlines()
    assert len(line) < 110
    assert line[carets.index("^") : carets.rindex("^") + 1] == "score:x"
