"""Tables written as TOML are read as they were."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from hakubooru.browse.draft_files import toml_text

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = (
    texts
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
tables = st.recursive(
    st.dictionaries(texts, scalars | st.lists(scalars, max_size=3), max_size=3),
    lambda inner: st.dictionaries(
        texts, inner | st.lists(inner, min_size=1, max_size=3) | scalars, max_size=3
    ),
    max_leaves=8,
)


@given(tables)
def test_a_table_is_read_as_it_was_written(table):
    assert tomllib.loads(toml_text(table)) == table


def test_steps_are_tables_of_their_own():
    table = {
        "seed": 1,
        "steps": [{"search": "a"}, {"drop": [1, 2], "off": True}],
        "image": {"format": "webp"},
    }
    assert toml_text(table).splitlines() == [
        "seed = 1",
        "",
        "[[steps]]",
        'search = "a"',
        "",
        "[[steps]]",
        "drop = [1, 2]",
        "off = true",
        "",
        "[image]",
        'format = "webp"',
    ]
