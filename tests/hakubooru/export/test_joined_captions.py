"""Exports whose captions have the words of a joined file."""

from __future__ import annotations

import pytest

import hakubooru as hb
from hakubooru.errors import DestinationError
from pictures import files_of, picture, write_tar

FORMAT = {"base": "danbooru", "order": ["general", "text"], "text": "florence"}


@pytest.fixture
def places(small, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(small / "cache"))
    write_tar(small / "images" / "a.tar", {f"{post}.webp": picture(post) for post in range(1, 7)})
    (small / "texts.csv").write_text(
        "id,text\n" + "".join(f"{post},A picture of {post}.\n" for post in range(1, 6))
    )
    return small


def run(folder, **options):
    with hb.open(folder / "posts.db") as database:
        database.join("florence", folder / "texts.csv")
        posts = database.posts.ids(1, 7)
        return posts.export(folder / "out", images=folder / "images", caption=FORMAT, **options)


def test_texts_are_in_captions_and_a_repair_finds_them_again(places):
    run(places)
    files = files_of(places / "out")
    assert files["x003/3.txt"].endswith(b"A picture of 3.")
    assert b"A picture" not in files["x006/6.txt"]  # it has none
    (places / "out" / "x003" / "3.webp").write_bytes(b"damaged")
    assert not hb.verify(places / "out").is_good
    assert hb.repair(places / "out").is_good
    assert files_of(places / "out") == files


def test_several_workers_write_the_same(places):
    run(places, workers=2)
    assert files_of(places / "out")["x002/2.txt"].endswith(b"A picture of 2.")


def test_an_export_does_not_go_on_with_another_file(places):
    run(places)
    texts = places / "texts.csv"
    texts.write_text(texts.read_text().replace("picture", "painting"))
    with pytest.raises(DestinationError, match=r"joined\.florence"):
        run(places)
