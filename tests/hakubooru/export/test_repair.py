from __future__ import annotations

import os
import shutil
import tarfile

import pytest
from pyarrow import parquet

import hakubooru as hb
from exports import spoil, write_database
from hakubooru import repair, verify
from hakubooru.errors import DestinationError, InputError
from hakubooru.export.journal import Journal
from pictures import files_of, picture, write_tar


@pytest.mark.slow
def test_repair_gives_the_same_bytes_again(out):
    original = files_of(out)
    spoil(out)
    assert repair(out, workers=2).is_good
    files = files_of(out)
    assert files.pop("x009/9.npz") == b"latents of a trainer"
    assert files == original
    assert repair(out).is_good


def test_a_list_that_a_killed_repair_began_is_removed(out):
    (out / ".other.part").write_bytes(b"a download of somebody's")
    original = files_of(out)
    for name in (".rejects.jsonl.part", ".manifest.parquet.part"):
        (out / name).write_bytes(b"beg")
    assert repair(out).is_good
    assert files_of(out) == original
    assert [path.name for path in out.glob(".*.part")] == [".other.part"]


def test_what_cannot_be_repaired_is_told(out):
    (out / "x001" / "1.webp").unlink()
    members = {f"{i}.webp": b"" if i == 1 else picture(i) for i in range(1, 31)}
    write_tar(out.parent / "images" / "a.tar", members)
    report = repair(out)
    assert report.pairs == 38
    assert report.problems == {"could not be exported again: empty file": (1, ["post 1"])}
    assert report.orphans == ["x001/1.txt"]
    with hb.open(out.parent / "posts.db") as database:
        assert database.posts.export(out, images=out.parent / "images").exported == 38


def test_an_older_image_does_not_stand_in_for_one_whose_archive_is_gone(small):
    """An image came from an update; without it the original would take its place."""
    update = write_tar(small / "images/updates/20240601/data-1.tar", {"1.webp": picture(1, size=(90, 90))})
    write_tar(small / "images/data-0001.tar", {"1.webp": picture(1, size=(30, 30))})
    out = small / "out"
    with hb.open(small / "posts.db") as database:
        database.posts.export(out, images=small / "images")
        files = files_of(out)
        (out / "x001" / "1.webp").write_bytes(b"")
        aside = update.rename(small / "aside.tar")
        with pytest.raises(
            DestinationError, match=r"from archives that are gone: 0/updates/20240601/data-1\.tar; bring"
        ):
            repair(out)
        aside.rename(update)
        assert repair(out).is_good
        assert files_of(out) == files
        update.unlink()
        (out / "x001" / "1.webp").unlink()
        database.posts.export(out, images=small / "images")
    assert files_of(out)["x001/1.webp"] == picture(1, size=(30, 30))


def test_shards_are_repaired_with_their_archive_and_pruned_without(small):
    archive = write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 31)})
    write_tar(small / "images" / "b.tar", {f"{i}.webp": picture(i) for i in range(31, 41)})
    out = small / "shards"
    with hb.open(small / "posts.db") as database:
        database.posts.export(out, images=small / "images", sink="webdataset")
        (shard,) = (out / "shards").iterdir()
        data = bytearray(shard.read_bytes())
        data[540] ^= 1
        shard.write_bytes(data)
        archive.unlink()
        files = files_of(out)
        with pytest.raises(
            DestinationError, match=r"archives that are gone: .*a\.tar; bring these archives back"
        ):
            repair(out)
        assert files_of(out) == files
        assert verify(out).problems == {"image has other contents": (1, ["shards/00000.tar/1.webp"])}
        database.posts.ids(2).export(out, images=small / "images", sink="webdataset", prune=True)
        write_tar(archive, {f"{i}.webp": picture(i) for i in range(1, 31)})
        database.posts.ids(2).export(small / "less", images=small / "images", sink="webdataset")
    assert verify(out).is_good
    assert files_of(out) == files_of(small / "less")


def test_what_does_not_belong_into_a_shard_is_told_and_removed(shards):
    files = files_of(shards)
    shard = next((shards / "shards").iterdir())
    with tarfile.open(shard, "a") as tar:
        tar.addfile(tarfile.TarInfo("999.webp"))
    report = verify(shards)
    assert [*report.problems] == ["member that belongs to no pair", "shard is damaged"]
    assert repair(shards).is_good
    assert files_of(shards) == files


def test_a_shard_without_its_end_is_told_and_repaired(shards):
    files = files_of(shards)
    shard = next((shards / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1024])
    assert [*verify(shards).problems] == ["shard is damaged"]
    assert repair(shards).is_good
    assert files_of(shards) == files


def test_what_stands_behind_the_end_of_a_shard_is_told(shards):
    files = files_of(shards)
    shard = next((shards / "shards").iterdir())
    with shard.open("ab") as file:
        file.write(bytes(512))
    assert [*verify(shards).problems] == ["shard is damaged"]
    assert repair(shards).is_good
    assert files_of(shards) == files


@pytest.mark.parametrize(("sink", "file"), [("imagefolder", "metadata.jsonl"), ("kohya-json", "meta.json")])
def test_a_list_that_is_gone_is_written_again(small, sink, file):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 6)})
    out = small / "listed"
    with hb.open(small / "posts.db") as database:
        database.posts.export(out, images=small / "images", sink=sink)
    files = files_of(out)
    (out / file).unlink()
    assert verify(out).problems == {"list is missing": (1, [file])}
    assert "5 of 5 pairs" in str(verify(out))
    shutil.rmtree(small / "images")
    assert repair(out).is_good
    assert files_of(out) == files


def test_captions_are_mended_without_what_the_export_came_from(out):
    files = files_of(out)
    (out / "x002" / "2.txt").unlink()
    (out / "x005" / "5.txt").write_text("something else")
    shutil.rmtree(out.parent / "images")
    (out.parent / "posts.db").unlink()
    assert repair(out).is_good
    assert files_of(out) == files


@pytest.mark.parametrize("sink", ["folder", "webdataset"])
def test_captions_that_were_edited_in_the_manifest_are_told_with_the_mend(small, sink):
    """A repair neither writes them anywhere nor throws them away; the export run again writes the manifest as it was."""
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 31)})
    out = small / "out"
    with hb.open(small / "posts.db") as database:
        database.posts.export(out, images=small / "images", sink=sink)
        files = files_of(out)
        table = parquet.read_table(out / "manifest.parquet")
        captions = [
            f"{text}, edited" if place in {3, 5} else text
            for place, text in enumerate(table["caption"].to_pylist())
        ]
        column = table.schema.get_field_index("caption")
        parquet.write_table(table.set_column(column, "caption", [captions]), out / "manifest.parquet")
        edited = files_of(out)
        assert sum(count for count, _ in verify(out).problems.values()) == 2
        with pytest.raises(
            DestinationError, match=r"another caption than was exported for .*4\.webp \(2 in all\); run that"
        ):
            repair(out)
        assert files_of(out) == edited
        database.posts.export(out, images=small / "images", sink=sink)
    assert files_of(out) == files
    assert repair(out).is_good


def test_an_export_that_was_interrupted_is_not_repaired(out):
    """Killed before its manifest was written, an extension has files that the manifest of the first does not tell of."""
    manifest = (out / "manifest.parquet").read_bytes()
    write_tar(out.parent / "images" / "c.tar", {"40.webp": picture(40)})
    with hb.open(out.parent / "posts.db") as database:
        database.posts.export(out, images=out.parent / "images")
        whole = files_of(out)
        table = parquet.read_table(out / "manifest.parquet")
        parquet.write_table(table.slice(0, 39), out / "manifest.parquet")
        assert verify(out).orphans == ["x040/40.txt", "x040/40.webp"]
        with pytest.raises(
            DestinationError, match=r"was interrupted: 1 of its images is not in the manifest"
        ):
            repair(out)
        database.posts.export(out, images=out.parent / "images")
    assert files_of(out) == whole
    assert manifest != whole["manifest.parquet"]


def test_a_journal_that_lost_its_origin_is_told(out):
    (out / "x001" / "1.webp").unlink()
    (out / ".hakubooru" / "journal.sqlite").unlink()
    with pytest.raises(DestinationError, match="does not record the sources of"):
        repair(out)


def test_an_image_is_sought_in_archives_that_were_renamed(out):
    files = files_of(out)
    images = out.parent / "images"
    with hb.open(out.parent / "posts.db") as database:
        (images / "a.tar").rename(images / "z.tar")
        database.posts.export(out, images=images)
        (out / "x001" / "1.webp").unlink()
        with pytest.raises(
            DestinationError, match=r"archives that are gone: 0/a\.tar; bring these archives back"
        ):
            repair(out)
        database.posts.export(out, images=images)
    assert files_of(out) == files


def test_a_repair_that_was_killed_is_taken_up(small):
    """Killed after pairs were struck from the record; also where they are own images, whose folder did not change."""
    (small / "own").mkdir()
    for name in "abc":
        (small / "own" / f"{name}.png").write_bytes(picture(ord(name), "png"))
        (small / "own" / f"{name}.txt").write_text(f"my {name}")
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 4)})
    out = small / "out"
    with hb.open(small / "posts.db") as database:
        database.posts.export(out, images=small / "images", own=small / "own")
    files = files_of(out)
    paths = [out / "x001" / "1.webp", next((out / "own").glob("b-*.png"))]
    for path in paths:
        path.write_bytes(b"")
    with Journal(out) as journal:
        journal.forget(verify(out).bad_ids)
    assert repair(out).is_good
    assert files_of(out) == files


def test_own_images_that_changed_since_are_left_as_they_were_exported(small):
    own = small / "own"
    own.mkdir()
    for name in "abc":
        (own / f"{name}.png").write_bytes(picture(ord(name), "png"))
        (own / f"{name}.txt").write_text(f"my {name}")
    write_tar(small / "images" / "a.tar", {"1.webp": picture(1)})
    with hb.open(small / "posts.db") as database:
        database.posts.export(small / "out", images=small / "images", own=own)
    files = files_of(small / "out")
    (small / "out" / "x001" / "1.webp").unlink()
    (own / "c.txt").rename(small / "aside")
    current = files_of(small / "out")
    with pytest.raises(DestinationError, match="own has changed since its images were exported"):
        repair(small / "out")
    assert files_of(small / "out") == current
    (small / "aside").rename(own / "c.txt")
    assert repair(small / "out").is_good
    assert files_of(small / "out") == files


def test_nothing_is_repaired_while_an_export_is_under_way(out):
    spoil(out)
    files = files_of(out)
    with Journal(out), pytest.raises(DestinationError, match="another export is writing"):
        repair(out)
    assert files_of(out) == files


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_files_that_cannot_be_read_are_told_like_all_others(out):
    files = files_of(out)
    (out / "x001" / "1.webp").unlink()
    (out / "x001" / "1.webp").symlink_to(out / "x001" / "1.webp")
    shutil.rmtree(out / "x003")
    (out / "x003").write_bytes(b"")
    (out / "x005" / "1005.webp").mkdir()
    report = verify(out)
    assert report.problems == {
        "pair cannot be read (Too many levels of symbolic links)": (1, ["x001/1.webp"]),
        "image is missing": (1, ["x003/3.webp"]),
        "caption is missing": (1, ["x003/3.txt"]),
    }
    assert not report.orphans
    (out / "x003").unlink()
    assert repair(out).is_good
    assert files_of(out) == files


def test_a_folder_in_the_place_of_a_caption_is_told(out):
    (out / "x001" / "1.txt").unlink()
    (out / "x001" / "1.txt").mkdir()
    with pytest.raises(DestinationError, match=r"1\.txt is a folder, but the export writes a file there"):
        repair(out)


def test_a_post_that_the_database_has_no_more_is_told(small):
    """Captions of more than 1,500 posts are read as they are needed; only then is a missing post noticed."""
    write_database(small / "posts.db", list(range(1, 1601)))
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 31)})
    with hb.open(small / "posts.db") as database:
        database.posts.export(out := small / "out", images=small / "images")
    files = files_of(out)
    with hb.open(out.parent / "posts.db", writable=True) as database:
        database.rows("DELETE FROM post WHERE id = 7")
    (out / "x001" / "1.webp").unlink()
    with pytest.raises(InputError, match=r"posts\.db has no post 7, but it is selected; use the database"):
        repair(out)
    assert files_of(out) == files


def test_what_a_killed_repair_began_is_removed(out):
    part = out / ".hakubooru" / "part"
    (part / "begun").mkdir()
    assert repair(out).is_good
    assert not list(part.iterdir())
