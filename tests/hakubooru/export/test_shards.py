"""Shards are cut by number and bytes across archives, the same however the export came about."""

from __future__ import annotations

import io
import sqlite3
import tarfile

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hakubooru as hb
from exports import start_the_machine_anew, write_database
from hakubooru import repair, verify
from hakubooru.errors import DestinationError
from hakubooru.export import shards as module
from hakubooru.export.journal import Journal
from hakubooru.export.sinks.webdataset import WebDatasetSink
from pictures import files_of, picture, write_tar

IDS = [1000 * thousand + rest for rest in range(12) for thousand in range(1, 6)]


@pytest.fixture
def many(tmp_path):
    """Sixty posts in twelve archives."""
    write_database(tmp_path / "posts.db", IDS)
    for rest in range(12):
        members = {f"{i}.webp": picture(i) for i in IDS if i % 1000 == rest}
        write_tar(tmp_path / "images" / f"data-0{rest:03d}.tar", members)
    return tmp_path


def run(folder, out, ids=None, *, shard_images=25, **options):
    with hb.open(folder / "posts.db") as database:
        posts = database.posts if ids is None else database.posts.among(ids)
        form = {"sink": "webdataset", "shard_images": shard_images}
        return posts.export(folder / out, images=folder / "images", output=form, **options)


def members(shard):
    with tarfile.open(shard) as tar:
        return [member.name for member in tar]


def in_order(ids):
    return sorted(ids, key=lambda number: (number % 1000, number))


def test_a_shard_has_images_of_many_archives_and_a_plain_name(many):
    run(many, "out")
    shards = sorted((many / "out" / "shards").iterdir())
    assert [shard.name for shard in shards] == ["00000.tar", "00001.tar", "00002.tar"]
    names = [f"{number}.{kind}" for number in in_order(IDS) for kind in ("webp", "txt")]
    assert [members(shard) for shard in shards] == [names[:50], names[50:100], names[100:]]


def test_a_shard_is_what_tar_makes_of_its_pairs(many):
    run(many, "out", in_order(IDS)[:2])
    file = io.BytesIO()
    table = pd.read_parquet(many / "out" / "manifest.parquet").set_index("id")
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in in_order(IDS)[:2]:
            for name, data in (
                (f"{number}.webp", picture(number)),
                (f"{number}.txt", table.caption[number].encode()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    ours = (many / "out" / "shards" / "00000.tar").read_bytes()
    assert ours == file.getvalue().rstrip(b"\0").ljust(len(ours), b"\0")
    assert table.path[in_order(IDS)[1]] == f"shards/00000.tar/{in_order(IDS)[1]}.webp"


def test_shards_that_stay_as_they_are_are_not_written_again(many):
    first = in_order(IDS)[:30]
    run(many, "out", first, shard_images=10)
    inodes_before = {path.name: path.stat().st_ino for path in (many / "out" / "shards").iterdir()}
    run(many, "out", shard_images=10)
    inodes_after = {path.name: path.stat().st_ino for path in (many / "out" / "shards").iterdir()}
    assert inodes_before.items() <= inodes_after.items()
    assert len(inodes_after) == 6
    run(many, "out", shard_images=10)
    assert {path.name: path.stat().st_ino for path in (many / "out" / "shards").iterdir()} == inodes_after


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sets(st.sampled_from(IDS), min_size=1), min_size=1, max_size=3),
    images=st.integers(1, 30),
)
def test_any_steps_give_the_shards_of_one_export(many, steps, images):
    out, whole = (f"{name}-{hash((str(steps), images))}" for name in ("out", "whole"))
    for ids in steps:
        run(many, out, sorted(ids), shard_images=images, prune=True)
    run(many, whole, sorted(steps[-1]), shard_images=images)
    assert files_of(many / out) == files_of(many / whole)
    assert verify(many / out).is_good
    assert not list((many / out / ".hakubooru" / "spool").iterdir())


def test_neither_archive_nor_database_is_needed_for_what_is_on_record(many):
    run(many, "out")
    for path in (many / "images").iterdir():
        path.unlink()
    write_tar(many / "images" / "new.tar", {"9001.webp": picture(1)})
    run(many, "out", IDS[::2], prune=True)
    table = pd.read_parquet(many / "out" / "manifest.parquet")
    assert set(table.id[table.status == "exported"]) == set(IDS[::2])
    assert verify(many / "out").is_good


def test_a_rename_that_a_kill_came_before_is_made_up_for(many, monkeypatch):
    run(many, "out", IDS[::2])
    monkeypatch.setattr(module, "finish_moves", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(many, "out")
    monkeypatch.undo()
    assert verify(many / "out").is_good  # nothing is renamed yet
    run(many, "out")
    run(many, "whole")
    assert files_of(many / "out") == files_of(many / "whole")


def interrupt(*_):
    raise KeyboardInterrupt


def test_what_a_damaged_shard_has_lost_is_exported_again(many):
    run(many, "out", IDS[::2], shard_images=50)
    shard = many / "out" / "shards" / "00000.tar"
    data = bytearray(shard.read_bytes())
    names = members(shard)
    with tarfile.open(shard) as tar:
        data[tar.getmember(names[20]).offset] ^= 1  # no tar any more from here on
    shard.write_bytes(data)
    run(many, "out", shard_images=50)
    run(many, "whole", shard_images=50)
    assert files_of(many / "out") == files_of(many / "whole")


def test_a_shard_that_was_taken_away_is_exported_again(many):
    run(many, "out")
    files = files_of(many / "out")
    (many / "out" / "shards" / "00001.tar").unlink()
    run(many, "out")
    assert files_of(many / "out") == files
    (many / "out" / "shards" / "00001.tar").write_bytes(b"")
    assert repair(many / "out").is_good
    assert files_of(many / "out") == files


def test_what_was_in_the_spool_at_a_power_cut_is_exported_again(many, monkeypatch):
    monkeypatch.setattr("hakubooru.export.sinks.webdataset.cut", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(many, "out")
    monkeypatch.undo()
    spool = many / "out" / ".hakubooru" / "spool"
    for path in spool.iterdir():
        path.write_bytes(bytes(path.stat().st_size))  # of the right size, without contents
    start_the_machine_anew(many / "out")
    run(many, "out")
    run(many, "whole")
    assert files_of(many / "out") == files_of(many / "whole")


def test_finished_shards_are_on_the_disk(many):
    run(many, "out")
    start_the_machine_anew(many / "out")
    with Journal(many / "out") as journal:
        assert not journal.doubtful()


def test_an_export_of_an_earlier_version_is_refused(many):
    run(many, "out")
    with sqlite3.connect(many / "out" / ".hakubooru" / "journal.sqlite") as journal:
        journal.execute("DELETE FROM setting WHERE name = 'output.shards'")
    journal.close()
    with pytest.raises(
        DestinationError, match=r'output\.shards was "of one archive each" and is now "across archives"'
    ):
        run(many, "out")
    assert verify(many / "out").is_good


def take_and_stop(sink):
    with sink.writer() as writer:
        writer.image(1, "x001/1.webp", b"image")
        writer.caption(1, "caption")
        interrupt()


def test_a_spool_that_is_thrown_away_leaves_nothing(tmp_path):
    sink = WebDatasetSink(str(tmp_path))
    sink.clean()
    with pytest.raises(KeyboardInterrupt):
        take_and_stop(sink)
    with sink.writer():
        pass
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_shards_of_several_kinds_of_image_are_told(small):
    members = {f"{i}.x": picture(i, kind) for i, kind in enumerate(["webp", "jpg", "webp", "png"], 1)}
    folder = small / "images"
    folder.mkdir()
    for name, data in members.items():
        (folder / name).with_suffix(".webp").write_bytes(data)
    report = run(small, "out")
    assert report.kinds_in_shards == {"jpg": 1, "png": 1, "webp": 2}
    assert "The shards hold jpg (1), png (1), webp (2): `datasets` takes its columns from the first" in str(
        report
    )
    assert "datasets" not in str(run(small, "one", [1, 3]))
    assert "datasets" not in str(run(small, "converted", image={"format": "webp"}))
    with hb.open(small / "posts.db") as database:
        assert "datasets" not in str(database.posts.export(small / "pairs", images=folder))


@pytest.mark.parametrize("is_in_order", [True, False])
def test_pairs_in_the_order_of_shards_are_written_once(small, monkeypatch, is_in_order):
    posts = range(1, 41)
    halves = [posts[:20], posts[20:]] if is_in_order else [posts[20:], posts[:20]]
    for name, some in zip("ab", halves, strict=True):
        write_tar(small / "images" / f"{name}.tar", {f"{i}.webp": picture(i) for i in some})
    numbers = []
    monkeypatch.setattr(
        module._Change, "_write", lambda _self, number, *_: numbers.append(number) or interrupt()
    )
    with hb.open(small / "posts.db") as database:
        if is_in_order:
            database.posts.export(small / "out", images=small / "images", sink="webdataset")
            assert verify(small / "out").is_good
        else:
            with pytest.raises(KeyboardInterrupt):
                database.posts.export(small / "out", images=small / "images", sink="webdataset")
    assert numbers == ([] if is_in_order else [0])
