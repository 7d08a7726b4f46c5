"""Which characters are asked for, and what is known of each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pyarrow import parquet

import hakubooru as hb
from booru import post_row, write
from hakubooru.errors import InputError, SearchError, UnknownTagError
from hakubooru_trainer.evaluate.characters import Casting, read_cast, read_names


def test_characters_with_the_most_solo_posts_come_first(database, options):
    """By a slow count over the posts themselves."""
    solo, images = Counter(), Counter()
    for post in database.posts.posts():
        names = {tag.name for tag in post.tags}
        for name in (name for name in names if name.startswith("hero_")):
            solo[name] += "solo" in names
            images[name] += "solo" in names and post.rating == "general"
    ranked = sorted(solo, key=lambda name: (-solo[name], name))
    cast = Casting(database, options(characters={"count": 5})).cast
    assert [character.name for character in cast.characters] == ranked[:5]
    assert [(character.solo, character.images) for character in cast.characters] == [
        (solo[n], images[n]) for n in ranked[:5]
    ]
    most = max(images.values())
    fewest = sorted(images.values())[-3]
    few = Casting(database, options(characters={"images": fewest})).cast
    assert [character.name for character in few.characters] == ranked[
        : sum(count >= fewest for count in images.values())
    ]
    with pytest.raises(
        InputError, match=rf"no character of .*planted\.db has {most + 1} posts with an image"
    ):
        Casting(database, options(characters={"images": most + 1}))


def test_people_and_series_are_those_of_most_of_a_characters_posts(tmp_path, options):
    tags = {
        1: ["1boy", "male_focus", "solo", "cloud", "ff7", "ff"],
        2: ["1boy", "solo", "cloud", "ff7", "ff"],
        3: ["1girl", "solo", "cloud", "dissidia", "ff"],
        4: ["1girl", "solo", "tifa", "ff7"],
        5: ["1girl", "solo", "tifa", "ff"],
        6: ["1girl", "solo", "tifa", "dissidia"],
        7: ["solo", "nobody"],
    }
    kinds = {"cloud": "character", "tifa": "character", "nobody": "character"} | dict.fromkeys(
        ("ff7", "ff", "dissidia"), "copyright"
    )
    names = sorted({name for some in tags.values() for name in some})
    write(tmp_path / "a.db", [post_row(number) for number in tags], tags.__getitem__, [(name, kinds.get(name, "general")) for name in names])  # fmt: skip
    with hb.open(tmp_path / "a.db") as database:
        cast = Casting(database, options(characters={"images": 1})).cast
    assert [(character.name, character.people, character.series) for character in cast.characters] == [
        ("cloud", ("1boy",), ("ff", "ff7")),
        ("tifa", ("1girl",), ("dissidia",)),  # none has half of the posts: one of the most common
        ("nobody", (), ()),
    ]


@pytest.mark.slow
def test_candidates_stand_in_an_order_that_the_seed_alone_decides(database, options):
    first, second = (Casting(database, options()) for _ in range(2))
    other = Casting(database, options(characters={"seed": 1}))
    for name, posts in zip(
        (character.name for character in first.cast.characters), first.candidates, strict=True
    ):
        expected = database.posts.search(f"{name} solo rating:g,s").with_image().shuffle(seed=0).to_ids()
        assert posts.tolist() == expected.tolist()
    assert all(map(np.array_equal, first.candidates, second.candidates))
    assert not all(map(np.array_equal, first.candidates, other.candidates))
    assert first.cast == other.cast


def test_the_sidecar_changes_nothing(booru, tmp_path, options):
    path = tmp_path / "copy.db"
    path.write_bytes(booru[0].read_bytes())
    with hb.open(path) as plain:
        expected = Casting(plain, options())
    with hb.open(path) as fast:
        hb.optimize(fast)
        actual = Casting(fast, options())
    assert actual.cast == expected.cast
    assert all(map(np.array_equal, expected.candidates, actual.candidates))


def test_a_file_of_characters_keeps_them_with_their_fingerprint(database, options, tmp_path):
    cast = Casting(database, options(characters={"count": 3})).cast
    cast.write(tmp_path / "characters.parquet")
    assert read_cast(tmp_path / "characters.parquet") == cast
    table = parquet.read_table(tmp_path / "characters.parquet")
    assert table.schema.metadata[b"hakubooru.fingerprint"].decode() == cast.fingerprint
    assert table.column_names == ["character", "solo", "images", "people", "series"]
    other = Casting(database, options(characters={"count": 4})).cast
    assert other.fingerprint != cast.fingerprint
    parquet.write_table(table.slice(1), tmp_path / "characters.parquet")
    with pytest.raises(InputError, match=r"characters\.parquet was changed after it was written"):
        read_cast(tmp_path / "characters.parquet")
    (tmp_path / "characters.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"characters\.parquet is no list of characters"):
        read_cast(tmp_path / "characters.parquet")


def test_listed_characters_stand_in_the_order_of_the_list(database, options):
    names = ["hero_09_(planted)", "hero_02_(planted)"]
    casting = Casting(database, options(), names)
    assert [character.name for character in casting.cast.characters] == names
    with pytest.raises(
        UnknownTagError, match=r"list of characters: the database has no tag 'hero_2_\(planted\)'"
    ):
        Casting(database, options(), ["hero_2_(planted)"])
    with pytest.raises(InputError, match="'smile' is not of type character but of type general"):
        Casting(database, options(), ["smile"])
    with pytest.raises(SearchError):
        Casting(database, options(references={"query": "solo rating:x"}))


def test_lists_of_names_are_read_as_people_write_them(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeff# the best\r\nhatsune miku\r\n\r\n  cirno \r\nhatsune_miku\r\n".encode())
    assert read_names(path) == ["hatsune_miku", "cirno"]
    path.write_text("# none\n")
    with pytest.raises(InputError, match="has no characters; write one tag a line"):
        read_names(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as a list of characters"):
        read_names(path)
