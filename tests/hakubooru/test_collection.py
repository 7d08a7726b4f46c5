"""A selection as a collection, and what notebooks show."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

import hakubooru as hb
from danbooru import api_post
from gallery import TALL, WIDE, write_gallery
from hakubooru.errors import ExpressionError, InputError, SourceError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    write_gallery(folder)
    return folder


@pytest.fixture
def gallery(folder):
    with hb.open(folder / "gallery.db") as db:
        yield db


def test_a_list_of_posts_runs_the_selection_once(db, statements):
    girls = db.posts.search("1girl")
    expected = [post.id for post in list(girls)]
    searched = [
        statement for statement in statements if "group_concat" in statement.lower() or "1girl" in statement
    ]
    assert (
        len(
            [statement for statement in statements if "tag_id" in statement and "post_id IN" not in statement]
        )
        <= 2
    )
    count = len(statements)
    assert (len(girls), [post.id for post in girls]) == (len(expected), expected)
    repeat = statements[count:]
    assert not {*repeat} & {*searched}


def test_places_and_slices_keep_the_order(db):
    best = db.posts.order_by("-score")
    ids = best.to_ids().tolist()
    assert best[0].id == ids[0]
    assert best[-1].id == ids[-1]
    assert best[0].tags is not None
    for place in (slice(3), slice(5, 9), slice(None, None, 7), slice(-4, None)):
        assert best[place].to_ids().tolist() == ids[place]
    assert best.head(3)["id"].tolist() == ids[:3]
    with pytest.raises(IndexError, match="200 posts"):
        best[200]
    with pytest.raises(InputError, match="order_by"):
        best[::-1]


def test_what_is_left_and_what_is_in(db):
    girls = db.posts.search("1girl")
    assert (~girls).to_ids().tolist() == db.posts.search("-1girl").to_ids().tolist()
    assert girls[0] in girls
    assert int(girls[0].id) in girls
    assert 10_000 not in girls
    assert len(~db.posts) == 0


def test_a_selection_is_no_truth(db):
    with pytest.raises(ExpressionError, match=r"\.count\(\) > 0"):
        bool(db.posts)


def test_a_contact_sheet_has_thumbnails_and_captions(gallery, folder, tmp_path):
    sheet = gallery.posts.order_by("-id").show(folder / "images", n=12, caption="danbooru")
    html = sheet._repr_html_()
    assert len(sheet) == 12
    assert html.count("data:image/webp;base64,") == 2
    assert html.count("no archive holds it") == 10
    assert "1girl solo" in html
    assert "12 posts" in repr(sheet)
    sheet.save(tmp_path / "sheet.html")
    assert html in (tmp_path / "sheet.html").read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"db\.images"):
        gallery.posts.show()
    with pytest.raises(SourceError, match="does not exist"):
        gallery.posts.show("nowhere")


def test_a_post_has_its_image(gallery, folder):
    assert gallery.posts.ids(5, 6)[0].image(folder / "images").size == WIDE
    gallery.images = folder / "images"
    assert gallery.posts.ids(6, 7)[0].image().size == TALL
    with pytest.raises(InputError, match="no archive holds it"):
        gallery.posts.ids(145, 146)[0].image()


def test_a_notebook_shows_pictures_once_it_knows_where_they_are(gallery, folder):
    some = gallery.posts.ids(5, 9)
    some.count()
    assert "<img" not in some._repr_html_()
    gallery.images = [folder / "images"]
    html = some._repr_html_()
    assert html.count('src="data:image/webp;base64,') == 4
    assert "<th>image</th>" in html


@pytest.mark.slow
def test_a_selection_is_browsed(gallery, folder, monkeypatch):
    addresses = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    with gallery.posts.search("solo").browse(folder / "images", query="rating:g", work=folder) as browser:
        assert addresses == [browser.first]
        assert browser.session.answer("").ids.tolist() == [*range(150, 0, -3)]


def test_the_image_is_upright_and_whole(tmp_path):
    from booru import post_row, write

    write(tmp_path / "one.db", [post_row(1)])
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image.save(file, "jpeg", exif=exif)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(file.getvalue())
    with hb.open(tmp_path / "one.db") as db:
        assert db.image(1, tmp_path / "images").size == (20, 40)
        (tmp_path / "images" / "1.jpg").write_bytes(file.getvalue()[:-20])
        with pytest.raises(InputError, match="truncated jpg"):
            db.image(1, tmp_path / "images")


@pytest.mark.parametrize("count", [-1, 1.5, True, "2"])
def test_how_many_is_a_whole_number_of_0_or_more(db, folder, count):
    """A slice to -1 would leave the last one out without a word, and LIMIT -1 gives all."""
    posts = db.posts
    for call in (
        lambda: posts.show(folder / "images", n=count),
        lambda: posts.captions().head(count),
        lambda: posts.stats(top=count),
        lambda: posts.limit(count),
    ):
        with pytest.raises(InputError, match=r"takes (a whole number|0 .* or more), not"):
            call()
    if count is not True:
        with pytest.raises(InputError, match="takes a whole number of 0 or more, or None"):
            db.tags.matching("*", limit=count)


def test_ids_to_write_may_be_any_list_and_are_checked(tmp_path):
    file = tmp_path / "ids.txt"
    for ids in ([3, 1, 1], (3, 1, 1), np.array([3.0, 1.0, 1.0]), iter([3, 1, 1])):
        hb.write_ids(file, ids)
        assert hb.read_ids(file).tolist() == [3, 1, 1]
    with pytest.raises(InputError, match=r"'1\.5' is not a post id"):
        hb.write_ids(file, np.array([1.5]))
    assert hb.read_ids(file).tolist() == [3, 1, 1]


def test_a_path_in_place_of_a_list_or_of_a_database(path, tmp_path):
    (tmp_path / "dump.jsonl").write_text(json.dumps(api_post(7)))
    assert hb.build(str(tmp_path / "dump.jsonl"), tmp_path / "new.db").new == 1
    with pytest.raises(InputError, match=r"takes an open database: write optimize\(hb.open\("):
        hb.optimize(path)
