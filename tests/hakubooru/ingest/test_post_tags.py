"""Tags of posts that are cut a column at a time, beside a plain reading of each post."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as some

from hakubooru.ingest.post_tags import UNTYPED, NameNumbers, PostTags, tags_of_dicts, tags_of_texts

NAMES = some.sampled_from(["", "a", "b", "1girl", "é", "東方", "a\0", "[x]"])
TEXTS = some.none() | some.lists(NAMES, max_size=5).map(" ".join)


def plainly(columns, separator):
    """The types of each post's tags by name, as a loop over the posts gives them."""
    posts = []
    for row in zip(*(texts for _, texts in columns), strict=True):
        tags = {}
        for (number, _), text in zip(columns, row, strict=True):
            if text is not None:
                tags |= dict.fromkeys(text.split(separator), number)
        tags.pop("", None)
        posts.append(tags)
    return posts


def by_texts(columns, separator):
    arrays = [(kind, pa.array(texts, pa.string())) for kind, texts in columns]
    return tags_of_texts(arrays, separator, NameNumbers())


def by_dicts(posts):
    return tags_of_dicts(posts, NameNumbers())


def parts(tags: PostTags):
    return tags.names, tags.types.tolist(), tags.places.tolist(), tags.starts.tolist()


@given(some.integers(1, 3), some.data())
def test_texts_are_cut_as_one_by_one(columns, data):
    posts = data.draw(some.lists(some.tuples(*[TEXTS] * columns), min_size=1, max_size=6))
    numbered = list(zip([UNTYPED, 0, 3][:columns], zip(*posts, strict=True), strict=True))
    assert parts(by_texts(numbered, " ")) == parts(by_dicts(plainly(numbered, " ")))


def test_typed_texts_that_repeat_the_first_only_add_types():
    columns = [(UNTYPED, ["b a", "a"]), (0, ["b", ""]), (1, ["a", "a"])]
    assert parts(by_texts(columns, " ")) == (["b", "a"], [0, 1], [0, 1, 1], [0, 2, 3])


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_the_separator_may_be_longer_than_a_character(separator):
    tags = by_texts([(UNTYPED, [separator.join(["x y", "z"]), "z"])], separator)
    assert list(tags.of(0)) == ["x y", "z"] if separator != " " else ["x", "y", "z"]


def test_some_posts_have_only_the_names_of_their_own():
    tags = by_dicts([{"a": 0, "b": 1}, {}, {"c": UNTYPED, "b": 4}])
    assert [tags.of(post) for post in range(3)] == [{"a": 0, "b": 4}, {}, {"c": UNTYPED, "b": 4}]
    assert parts(tags.take([2, 1])) == (["c", "b"], [UNTYPED, 4], [0, 1], [0, 2, 2])
    assert parts(tags.take([])) == ([], [], [], [0])
    assert len(tags.take(range(3))) == 3


def test_a_name_keeps_its_number_until_names_are_forgotten():
    vocabulary = NameNumbers(most=2)
    assert vocabulary.numbers(["a", "b"]).tolist() == [0, 1]
    assert vocabulary.numbers(["c", "a"]).tolist() == [2, 0]
    assert vocabulary.numbers(["a", "d"]).tolist() == [3, 4]
