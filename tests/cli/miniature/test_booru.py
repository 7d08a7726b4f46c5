from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile

import pytest
from PIL import Image

from hakubooru_cli.miniature.booru import write_booru
from hakubooru_cli.miniature.posts import make_posts


@pytest.fixture(scope="module")
def booru(tmp_path_factory):
    return write_booru(tmp_path_factory.mktemp("booru"), last_id=90, seed=2)


def records(booru):
    with gzip.open(booru.dump, "rt", encoding="utf-8") as lines:
        return {record["id"]: record for record in map(json.loads, lines)}


@pytest.mark.slow
def test_the_same_seed_draws_the_same():
    first, second, other = (list(make_posts(8, seed)) for seed in (1, 1, 2))
    assert first == second
    assert first != other


@pytest.mark.slow
def test_images_are_what_the_records_say(booru):
    posts = records(booru)
    with tarfile.open(booru.images / "0.tar") as archive:
        members = archive.getmembers()
        assert len(members) > 40
        for member in members:
            post = posts[int(member.name.split(".")[0])]
            data = archive.extractfile(member).read()
            assert len(data) == post["file_size"]
            assert hashlib.md5(data).hexdigest() == post["md5"]
            with Image.open(io.BytesIO(data)) as image:
                assert image.size == (post["image_width"], post["image_height"])


@pytest.mark.slow
@pytest.mark.slow
def test_hidden_posts_lack_what_hidden_posts_lack(booru):
    posts = list(records(booru).values())
    hidden = [post for post in posts if "md5" not in post]
    assert hidden
    assert all("file_url" not in post for post in hidden)
    assert any(post["is_deleted"] for post in posts)
    assert {"mp4", "jpg", "png", "webp"} <= {post["file_ext"] for post in posts}


@pytest.mark.slow
def test_posts_have_children_where_posts_name_them_as_parent():
    posts = [post.record for post in make_posts(8, seed=11)]
    assert {post["parent_id"] for post in posts} == {None, 5}
    for flag in ("has_children", "has_active_children", "has_visible_children"):
        assert [post["id"] for post in posts if post[flag]] == [5]


@pytest.mark.slow
def test_tags_are_listed_with_danbooru_s_categories(booru):
    tags = {tag["name"]: tag for tag in json.loads(booru.tags.read_text(encoding="utf-8"))}
    assert tags["1girl"]["category"] == 0
    assert tags["original"]["category"] == 3
    assert len({tag["id"] for tag in tags.values()}) == len(tags)
    used = {name for post in records(booru).values() for name in post["tag_string"].split()}
    assert used == set(tags)


@pytest.mark.slow
def test_updates_lie_under_the_last_digit(booru):
    archives = sorted((booru.images / "updates").rglob("data-*.tar"))
    assert archives
    for path in archives:
        with tarfile.open(path) as archive:
            for name in archive.getnames():
                assert int(name.split(".")[0]) % 10 == int(path.stem.removeprefix("data-"))
