"""Posts of e621 and Gelbooru: their types, ratings, captions and lists of tags."""

import re

import pytest

import hakubooru as hb
import hakubooru_migrations
from danbooru import api_post, contents, write_lines
from hakubooru.errors import DatabaseFileError
from hakubooru.ingest import build
from published_sites import (
    E621_TAGS,
    e621_api,
    e621_export,
    e621_gallery_dl,
    gelbooru_api,
    gelbooru_gallery_dl,
    gelbooru_sqlite,
)
from whole_command import call


@pytest.fixture
def e621(tmp_path):
    posts, lists = e621_export(tmp_path)
    return build(posts, tmp_path / "e621.db", tags=lists), tmp_path / "e621.db"


def test_the_export_has_the_nine_types_of_e621(e621):
    report, path = e621
    assert (report.site, report.new, report.rejected) == ("e621", 4, 0)
    with hb.open(path) as db:
        (post,) = db.posts.ids(1, 2).posts()
        assert {kind: [tag.name for tag in post.tags_of(kind)] for kind in E621_TAGS} == E621_TAGS
        assert (post.created_at, post.image_width, post.fav_count) == (
            "2021-12-31T22:04:05.670-05:00",
            1446,
            10,
        )
        assert (post.is_deleted, post.is_banned, post.parent_id) == (False, None, None)
        assert db.tags["lugia"].id == 1006
        assert db.posts.search("rating:s").count() == db.posts.search("is:sfw").count() == 1
        assert db.info().site == "e621"


def test_the_api_and_gallery_dl_give_the_tables_of_the_export(tmp_path, e621):
    rows, _, relations = contents(e621[1])
    for write in (e621_api, e621_gallery_dl):
        out = tmp_path / f"{write.__name__}.db"
        report = build(write(tmp_path / write.__name__), out)
        assert (report.site, report.rejected) == ("e621", 0)
        others, types, pairs = contents(out)
        for row, other in zip(rows, others, strict=True):
            assert {
                values
                for values in zip(row, other, strict=True)
                if None not in values and values[0] != values[1]
            } == set()
            assert sum(value is not None for value in other) >= 17
        assert sorted(pairs) == sorted(relations)
        assert {name: number for name, number, _ in types} == {
            name: number for name, number, _ in contents(e621[1])[1] if _
        }


def test_ratings_have_the_names_of_their_site(e621):
    _, path = e621
    counts = {"safe": 1, "questionable": 2, "explicit": 1}
    with hb.open(path) as db:
        assert db.info().ratings == db.posts.stats().ratings == counts
        assert db.posts.value_counts("rating").to_dict() == counts | {"general": 0}
        assert [post.rating for post in db.posts.search("id:1..3 order:id").posts()] == [
            "questionable",
            "explicit",
            "safe",
        ]
        assert (
            db.posts.rating("safe").to_ids().tolist()
            == db.posts.search("rating:safe").to_ids().tolist()
            == [3]
        )
        assert db.posts.where(hb.Post.rating == "safe").count() == db.posts.search("is:safe").count() == 1
        assert "species" in db.posts.stats().tags
    code, stdout, _ = call("select", path, "id:3", "--show", 1)
    assert code == 0
    assert "3  safe, score 4, 1446x1512 png, 2021-12-31" in stdout
    assert re.search(r"^ +species  lugia$", stdout, re.MULTILINE)
    code, stdout, _ = call("tags", path, "lu*", "--type", "species")
    assert (code, stdout.split()[:2]) == (0, ["lugia", "species"])


def test_a_caption_has_species_and_calls_safe_safe(e621):
    _, path = e621
    with hb.open(path) as db:
        ids = db.posts.ids(3, 4)
        order = ("species", "general", "rating", "lore")
        caption = hb.CaptionFormat(order=order)
        assert [text for _, text in ids.captions(caption)] == ["lugia, anthro, solo, safe, adult (lore)"]
        # A preset that names no species writes them as general tags, and leaves lore and contributors out.
        words = next(iter(ids.captions("kohaku-epsilon")))[1].replace("|||", ",").split(", ")
        assert {"lugia", "safe", "nintendo", "atherol"} <= {word.strip() for word in words}
        assert not {"adult (lore)", "someone", "spelling eror"} & {word.strip() for word in words}


def test_quality_words_of_another_site_go_by_its_own_favourites(tmp_path):
    posts, _ = e621_export(tmp_path, count=60)
    build(posts, tmp_path / "e621.db")
    with hb.open(tmp_path / "e621.db") as db:
        caption = hb.CaptionFormat(order=("quality",))
        words = [text for _, text in db.posts.search("rating:e").captions(caption)]
    assert words[0] == "worst quality"
    assert words[-1] == "masterpiece"


def test_aliases_and_implications_of_a_list(e621):
    _, path = e621
    with hb.open(path) as db:
        assert db.tags.aliases(["alone", "old"]) == {"alone": "solo"}
        assert db.posts.search("alone").count() == 4
        assert db.tags.implying(["feral"]) == {"feral": ["lugia"]}, (
            "through pokemon_(species), which no post has"
        )


def test_a_search_takes_implications_where_asked(tmp_path):
    pairs = [("black_cat", "cat"), ("cat", "animal")]
    implications = [{"antecedent_name": name, "consequent_name": implied} for name, implied in pairs]
    lists = write_lines(tmp_path / "tag_implications.jsonl", implications)
    names = ["black_cat", "cat", "animal", "solo"]
    posts = [api_post(number, general=name) for number, name in enumerate(names, 1)]
    build([write_lines(tmp_path / "posts.jsonl", posts)], tmp_path / "some.db", tags=lists)
    with hb.open(tmp_path / "some.db") as db:
        assert db.posts.search("animal").to_ids().tolist() == [3]
        assert db.posts.search("animal", implications=True).to_ids().tolist() == [1, 2, 3]
        assert db.posts.search("-cat id:<4", implications=True).to_ids().tolist() == [3]
    code, stdout, _ = call("select", tmp_path / "some.db", "animal", "--implications")
    assert (code, "3" in stdout) == (0, True)
    build([tmp_path / "posts.jsonl"], tmp_path / "plain.db")
    with (
        hb.open(tmp_path / "plain.db") as db,
        pytest.raises(hb.InputError, match="has no tag implications: build it"),
    ):
        db.posts.search("cat", implications=True)


def test_gelbooru(tmp_path):
    report = build(gelbooru_api(tmp_path), tmp_path / "gelbooru.db")
    assert (report.site, report.new, report.rejected) == ("gelbooru", 4, 0)
    assert {"fav_count", "is_deleted", "file_size"} <= set(report.lacking)
    with hb.open(tmp_path / "gelbooru.db") as db:
        (post,) = db.posts.ids(1, 2).posts()
        assert [tag.name for tag in post.tags] == ["1girl", "hand_on_another's_head", ":q"]
        assert (post.created_at, post.file_ext, post.rating) == (
            "2023-01-20T13:19:14.000-05:00",
            "png",
            "sensitive",
        )
        assert (post.uploader_id, post.image_width, post.has_active_children) == (99, 800, False)
        assert (db.posts.search("parent:any").count(), db.posts.search("parent:none").count()) == (0, 4)


def test_gallery_dl_gives_types_of_gelbooru(tmp_path):
    report = build(gelbooru_gallery_dl(tmp_path), tmp_path / "gelbooru.db")
    assert (report.site, report.rejected) == ("gelbooru", 0)
    types = {name: number for name, number, _ in contents(tmp_path / "gelbooru.db")[1]}
    assert types == {"1girl": 0, "hand_on_another's_head": 0, ":q": 4}


def test_gelbooru_sqlite(tmp_path):
    report = build(gelbooru_sqlite(tmp_path), tmp_path / "some.db")
    assert (report.site, report.new, report.rejected) == ("gelbooru", 2, 0)
    assert {source.records for source in report.recognised} == {"posts of Gelbooru-SQLite"}
    assert report.unknown == dict.fromkeys(("bit_flags", "down_score", "fav_count", "file_ext", "file_size", "has_large", "has_visible_children", "is_banned", "is_deleted", "up_score"), 2)  # fmt: skip
    with hb.open(tmp_path / "some.db") as db:
        for post in db.posts.posts():
            assert [(tag.name, tag.type) for tag in post.tags] == [
                ("1girl", "general"),
                ("hand_on_another's_head", "unknown"),
            ]
            assert post.created_at == "2023-01-20T13:19:14.000-05:00"
            assert (post.file_url, post.preview_file_url) == (
                "https://example.com/original",
                "https://example.com/preview",
            )


def test_a_built_database_is_a_source_of_its_site(tmp_path, e621):
    report = build([e621[1]], tmp_path / "again.db")
    assert (report.site, report.new, report.rejected) == ("e621", 4, 0)
    assert set(report.lacking) == set(e621[0].lacking) > {"is_banned"}
    assert contents(tmp_path / "again.db") == contents(e621[1])


def test_two_sites_are_two_files(tmp_path, e621):
    dump = write_lines(tmp_path / "posts.jsonl", [api_post(1)])
    with pytest.raises(DatabaseFileError, match="has posts of e621, and these are of danbooru"):
        build([dump], e621[1])
    with pytest.raises(DatabaseFileError, match="posts of danbooru and e621, whose ids are not alike"):
        build([dump, *e621_api(tmp_path)], tmp_path / "both.db")


def test_gelbooru_sqlite_is_built_and_not_migrated_or_opened(tmp_path):
    (path,) = gelbooru_sqlite(tmp_path)
    for refuse in (hakubooru_migrations.plan, hakubooru_migrations.migrate, hb.open):
        with pytest.raises(
            DatabaseFileError, match=r"is Gelbooru-SQLite .*: build a database from it, `hakubooru db build"
        ):
            refuse(path)
