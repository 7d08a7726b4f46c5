from __future__ import annotations

import hashlib
import json

import pytest

import hakubooru as hb
from hakubooru import Post
from hakubooru.caption import caption_format
from hakubooru.errors import DestinationError, InputError
from hakubooru.lock import Lock


def lock(selection, *, asked=None, caption="kohaku-epsilon") -> Lock:
    return Lock.of(selection, asked=asked or {}, caption=caption and caption_format(caption))


def test_fingerprints_are_as_documented(db):
    selection = db.posts.rating("g").order_by("-score")
    ids = sorted(selection.to_ids().tolist())
    plain = b"".join(post_id.to_bytes(8, "little") for post_id in ids)
    assert selection.fingerprint() == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    captions = dict(selection.captions("kohaku-delta"))
    text = "".join(f"{post_id}\t{captions[post_id]}\n" for post_id in ids)
    expected = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert selection.fingerprint("kohaku-delta") == expected


def test_order_does_not_matter_and_all_else_does(db):
    base = db.posts.rating("g")
    assert base.fingerprint() == base.shuffle(seed=3).fingerprint()
    others = [
        db.posts,
        db.posts.limit(0),
        base.limit(base.count() - 1),
        base - db.posts.ids(1, 2) | db.posts.ids(5, 6),
    ]
    assert len({selection.fingerprint() for selection in (base, *others)}) == 5
    assert base.fingerprint("kohaku-epsilon") != base.fingerprint("kohaku-delta")


def test_a_lock_comes_back_as_it_was(db, tmp_path):
    original = lock(db.posts.sample(50, seed=1).rating("g"), asked={"query": "rating:g", "pair": (1, 2)})
    original.write(tmp_path / "a.lock")
    copy = Lock.read(f"{tmp_path}/a.lock")
    assert copy == original
    assert original.changes(copy) == []
    assert [row["step"] for row in original.funnel] == ["all posts", "sample of 50, seed 1", "rating:general"]
    assert original.database == {"posts": 200, "first_id": 1, "last_id": 200}
    assert set(original.versions) == {"hakubooru", "numpy", "peewee"}
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_the_scale_of_qualities_is_written_out(db):
    caption = hb.CaptionFormat(order=("quality",), quality_scale="database")
    result = Lock.of(db.posts, asked={}, caption=caption)
    assert result.caption["quality_scale"] == caption.resolved(db).quality_scale.to_dict()


def test_says_what_changed(db, path, tmp_path):
    old = lock(db.posts.rating("g"), asked={"query": "rating:g"})
    with hb.open(path, writable=True) as writable:
        gone = int(writable.posts.rating("g").to_ids()[0])
        list(writable.execute(Post.delete().where(Post.id == gone).returning(Post.id)))
    new = lock(db.posts.rating("g"), asked={"query": "rating:g"})
    assert old.changes(new) == [
        f"posts: there were {old.posts:,}, now there are {old.posts - 1:,}",
        "database: posts was 200, now it is 199",
        *([f"database: first_id was 1, now it is {new.database['first_id']}"] if gone == 1 else []),
        f"funnel: after rating:general there were {old.posts}, now {new.posts}",
    ]


def test_reasons_without_an_effect_are_no_change(db):
    old = lock(db.posts.rating("g"), asked={"query": "rating:g"})
    new = lock(db.posts.rating("general"), asked={"query": "rating:general"})
    assert old.changes(new) == []


def test_other_posts_and_other_captions(db):
    first, other = (
        lock(db.posts.sample(20, seed=1), asked={"seed": 1}),
        lock(db.posts.sample(20, seed=2), asked={"seed": 2}),
    )
    assert first.changes(other) == [
        "posts: as many as before (20), but not the same ones",
        "asked: seed was 1, now it is 2",
        "funnel: the steps differ",
    ]
    captioned = lock(db.posts.sample(20, seed=1), asked={"seed": 1}, caption="kohaku-delta")
    assert first.changes(captioned)[0] == "captions: the posts are the same, and their captions differ"
    assert any(change.startswith("caption: order was [") for change in first.changes(captioned))
    bare = lock(db.posts.sample(20, seed=1), asked={"seed": 1}, caption=None)
    assert first.changes(bare)[0] == "captions: there were captions before, and now there are none"
    assert bare.changes(first)[0] == "captions: there were none before, and now there are captions"


@pytest.mark.parametrize("text", ["", "{}", "[]", "\0", '{"asked": 1}'])
def test_what_is_no_lock(tmp_path, text):
    file = tmp_path / "a.lock"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.lock is not a lock file .*delete it"):
        Lock.read(file)


def test_a_lock_of_wrong_types(db, tmp_path):
    lock(db.posts).write(tmp_path / "a.lock")
    table = json.loads((tmp_path / "a.lock").read_text(encoding="utf-8"))
    for name, value in {"asked": [], "funnel": 5, "funnel ": 1, "ids": 7, "caption": "x"}.items():
        (tmp_path / "b.lock").write_text(json.dumps(table | {name.strip(): value}), encoding="utf-8")
        with pytest.raises(InputError, match="is not a lock file"):
            Lock.read(tmp_path / "b.lock")


def test_where_it_cannot_be_written(db, tmp_path):
    with pytest.raises(DestinationError, match="choose another folder"):
        lock(db.posts).write(tmp_path / "no" / "a.lock")
