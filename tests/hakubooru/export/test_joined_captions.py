"""Exports whose captions have the words of a joined file."""

from __future__ import annotations

import pytest
from pyarrow import parquet

import hakubooru as hb
from hakubooru.errors import DestinationError, InputError
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


@pytest.mark.slow
def test_another_process_writes_the_same(places):
    run(places, image={"format": "png"}, workers=1)  # images are never decoded in the caller's process
    assert files_of(places / "out")["x002/2.txt"].endswith(b"A picture of 2.")


def test_an_export_does_not_go_on_with_another_file(places):
    run(places)
    texts = places / "texts.csv"
    texts.write_text(texts.read_text().replace("picture", "painting"))
    with pytest.raises(DestinationError, match=r"joined\.florence"):
        run(places)


def test_an_export_that_grew_is_as_one_of_all_its_posts(places):
    with hb.open(places / "posts.db") as database:
        database.join("florence", places / "texts.csv")
        for ids in ([1, 2, 3], [2, 4, 6], [1, 2, 3, 4, 5, 6]):
            posts = database.posts.among(ids)
            posts.export(places / "out", images=places / "images", caption=FORMAT, prune=True)
            assert hb.verify(places / "out").is_good
        database.posts.ids(1, 7).export(places / "whole", images=places / "images", caption=FORMAT)
    assert files_of(places / "out") == files_of(places / "whole")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda path: path.write_text("id,text\n3,Another.\n"), DestinationError, "captions have as florence, has changed"),
        (lambda path: path.unlink(), InputError, r"texts\.csv does not exist; correct the path"),
    ],
)  # fmt: skip
def test_a_repair_does_not_write_captions_of_another_file(places, spoil, error, message):
    run(places)
    (places / "out" / "x003" / "3.webp").unlink()
    (places / "out" / "x004" / "4.txt").unlink()
    texts = (places / "texts.csv").read_bytes()
    spoil(places / "texts.csv")
    with pytest.raises(error, match=message):
        hb.repair(places / "out")
    assert not (places / "out" / "x003" / "3.webp").exists()
    (places / "texts.csv").write_bytes(texts)
    assert hb.repair(places / "out").is_good
    assert (places / "out" / "x003" / "3.txt").read_text().endswith("A picture of 3.")


def test_captions_alone_are_repaired_from_the_journal(places):
    run(places)
    (places / "texts.csv").unlink()
    (places / "out" / "x003" / "3.txt").write_text("spoilt")
    assert hb.repair(places / "out").is_good
    assert (places / "out" / "x003" / "3.txt").read_text().endswith("A picture of 3.")


def test_a_cache_that_was_emptied_is_filled_again(places):
    run(places)
    for path in (places / "cache" / "hakubooru" / "joined").iterdir():
        path.unlink()
    (places / "out" / "x003" / "3.webp").unlink()
    assert hb.repair(places / "out").is_good


@pytest.mark.parametrize("sink", ["webdataset", "kohya-json", "imagefolder", "captions"])
def test_every_sink_has_the_texts(places, sink):
    run(places, sink=sink)
    manifest = parquet.read_table(places / "out" / "manifest.parquet").to_pylist()
    assert [row["caption"].endswith(f"A picture of {row['id']}.") for row in manifest] == [True] * 5 + [False]
    assert hb.verify(places / "out").is_good
