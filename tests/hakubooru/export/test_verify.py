from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tarfile

import pytest
from click.testing import CliRunner
from pyarrow import parquet

import hakubooru as hb
from hakubooru.errors import DestinationError, IncompleteError
from hakubooru.export import repair, verify
from hakubooru.export.journal import Journal
from hakubooru_cli.main import cli
from pictures import files_of, picture, write_tar


@pytest.fixture
def out(small):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 31)})
    write_tar(small / "images" / "b.tar", {f"{i}.jpg": picture(i, "jpg") for i in range(31, 40)})
    with hb.open(small / "posts.db") as database:
        database.posts.export(small / "out", images=small / "images")
    return small / "out"


def spoil(out):
    """One of each: what is wrong, by the file that is."""
    (out / "x001" / "1.webp").unlink()
    (out / "x002" / "2.txt").unlink()
    with (out / "x003" / "3.webp").open("ab") as file:
        file.write(b"more")
    data = bytearray((out / "x004" / "4.webp").read_bytes())
    data[-1] ^= 1
    (out / "x004" / "4.webp").write_bytes(data)
    (out / "x005" / "5.txt").write_text("something else")
    (out / "x006" / "6.png").write_bytes(b"")
    (out / "x007" / "8.webp").write_bytes(b"")
    (out / "x040").mkdir()
    (out / "x040" / "40.txt").write_text("")
    (out / "x009" / "9.npz").write_bytes(b"latents of a trainer")


WRONG = {
    "image is missing": (1, ["x001/1.webp"]),
    "caption is missing": (1, ["x002/2.txt"]),
    "image has another size": (1, ["x003/3.webp"]),
    "image has other contents": (1, ["x004/4.webp"]),
    "caption is another": (1, ["x005/5.txt"]),
}
ORPHANS = ["x006/6.png", "x007/8.webp", "x040/40.txt"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_whole_export_is_good(out, workers):
    report = verify(out, decode=True, workers=workers)
    assert report.is_good
    assert (
        str(report) == f"{out}: all 39 pairs are what the manifest says, and there is no file of any other."
    )


def test_what_is_wrong_is_told(out):
    spoil(out)
    before = files_of(out)
    report = verify(out)
    assert (report.problems, report.orphans) == (WRONG, ORPHANS)
    assert "34 of 39 pairs" in str(report)
    assert "caption is another (1: x005/5.txt)" in str(report)
    assert files_of(out) == before


def test_repair_gives_the_same_bytes_again(out):
    before = files_of(out)
    spoil(out)
    assert repair(out, workers=2).is_good
    after = files_of(out)
    assert after.pop("x009/9.npz") == b"latents of a trainer"
    assert after == before
    assert repair(out).is_good


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
        before = files_of(out)
        (out / "x001" / "1.webp").write_bytes(b"")
        aside = update.rename(small / "aside.tar")
        with pytest.raises(
            DestinationError, match=r"archives are gone .*: 0/updates/20240601/data-1\.tar; bring"
        ):
            repair(out)
        aside.rename(update)
        assert repair(out).is_good
        assert files_of(out) == before
        update.unlink()
        (out / "x001" / "1.webp").unlink()
        database.posts.export(out, images=small / "images")
    assert files_of(out)["x001/1.webp"] == picture(1, size=(30, 30))


def test_shards_are_not_repaired_without_their_archive(small):
    archive = write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 31)})
    write_tar(small / "images" / "b.tar", {f"{i}.webp": picture(i) for i in range(31, 41)})
    out = small / "shards"
    with hb.open(small / "posts.db") as database:
        database.posts.export(out, images=small / "images", sink="webdataset")
        shard = next((out / "shards").glob("a-*"))
        data = bytearray(shard.read_bytes())
        data[540] ^= 1
        shard.write_bytes(data)
        archive.unlink()
        before = files_of(out)
        with pytest.raises(DestinationError, match=r"archives are gone: .*a\.tar"):
            repair(out)
        with pytest.raises(DestinationError, match=r"archives are gone: .*a\.tar"):
            database.posts.ids(2).export(out, images=small / "images", sink="webdataset", prune=True)
    assert files_of(out) == before
    assert not verify(out).is_good


@pytest.fixture
def shards(small):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 31)})
    with hb.open(small / "posts.db") as database:
        database.posts.export(small / "shards", images=small / "images", sink="webdataset")
    return small / "shards"


def test_what_does_not_belong_into_a_shard_is_told_and_removed(shards):
    before = files_of(shards)
    shard = next((shards / "shards").iterdir())
    with tarfile.open(shard, "a") as tar:
        tar.addfile(tarfile.TarInfo("999.webp"))
    report = verify(shards)
    assert [*report.problems] == ["member that belongs to no pair", "shard is damaged"]
    assert repair(shards).is_good
    assert files_of(shards) == before


def test_a_shard_without_its_end_is_told_and_repaired(shards):
    before = files_of(shards)
    shard = next((shards / "shards").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1024])
    assert [*verify(shards).problems] == ["shard is damaged"]
    assert repair(shards).is_good
    assert files_of(shards) == before


def test_shards_are_compared_with_the_manifest_and_nothing_else(shards):
    shutil.rmtree(shards / ".hakubooru")
    assert verify(shards, decode=True).is_good
    path = shards / "manifest.parquet"
    table = parquet.read_table(path)
    captions = table["caption"].to_pylist()
    captions[4] += ", more"
    parquet.write_table(
        table.set_column(table.schema.get_field_index("caption"), "caption", [captions]), path
    )
    assert [(what, count) for what, (count, _) in verify(shards).problems.items()] == [
        ("caption is another", 1)
    ]
    parquet.write_table(table.slice(0, 29), path)
    assert [*verify(shards).problems] == ["member that belongs to no pair"]
    path.write_bytes(b"garbage")
    with pytest.raises(DestinationError, match="is damaged"):
        verify(shards)


def test_what_stands_behind_the_end_of_a_shard_is_told(shards):
    before = files_of(shards)
    shard = next((shards / "shards").iterdir())
    with shard.open("ab") as file:
        file.write(bytes(512))
    assert [*verify(shards).problems] == ["shard is damaged"]
    assert repair(shards).is_good
    assert files_of(shards) == before


def test_a_manifest_must_name_a_sink_that_is_known(shards):
    table = parquet.read_table(shards / "manifest.parquet")
    parquet.write_table(table.replace_schema_metadata({}), shards / "manifest.parquet")
    with pytest.raises(DestinationError, match=r"names no sink"):
        verify(shards)


@pytest.mark.parametrize(("sink", "file"), [("imagefolder", "metadata.jsonl"), ("kohya-json", "meta.json")])
def test_a_list_that_is_gone_is_written_again(small, sink, file):
    write_tar(small / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 6)})
    out = small / "listed"
    with hb.open(small / "posts.db") as database:
        database.posts.export(out, images=small / "images", sink=sink)
    before = files_of(out)
    (out / file).unlink()
    assert verify(out).problems == {"list is missing": (1, [file])}
    assert "5 of 5 pairs" in str(verify(out))
    shutil.rmtree(small / "images")
    assert repair(out).is_good
    assert files_of(out) == before


def test_captions_are_mended_without_what_the_export_came_from(out):
    before = files_of(out)
    (out / "x002" / "2.txt").unlink()
    (out / "x005" / "5.txt").write_text("something else")
    shutil.rmtree(out.parent / "images")
    (out.parent / "posts.db").unlink()
    assert repair(out).is_good
    assert files_of(out) == before


def test_a_folder_in_the_place_of_a_file_is_told(out):
    (out / "x001" / "1.webp").unlink()
    (out / "x001" / "1.webp").mkdir()
    assert verify(out).problems == {"image is missing": (1, ["x001/1.webp"])}


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
        with pytest.raises(DestinationError, match=r"was interrupted: it holds 1 images"):
            repair(out)
        database.posts.export(out, images=out.parent / "images")
    assert files_of(out) == whole
    assert manifest != whole["manifest.parquet"]


def test_a_journal_that_lost_its_origin_is_told(out):
    (out / "x001" / "1.webp").unlink()
    (out / ".hakubooru" / "journal.sqlite").unlink()
    with pytest.raises(DestinationError, match="does not say where"):
        repair(out)


def test_images_that_do_not_decode_are_found(out):
    from hakubooru.export.checks import undecodable

    whole = picture(1, "png", (64, 64))
    assert not undecodable(whole, 64, 64)
    assert undecodable(whole, 64, 65) == "image decodes to another width or height"
    assert undecodable(whole[:-30], 64, 64) == "image cannot be decoded"


def test_there_must_be_an_export(out, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DestinationError, match=r"has no manifest\.parquet"):
        verify(tmp_path / "empty")
    shutil.rmtree(out / ".hakubooru")
    assert verify(out).is_good
    (out / "x001" / "1.webp").unlink()
    with pytest.raises(DestinationError, match="has lost its folder"):
        repair(out)
    (out / "manifest.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(DestinationError, match="is damaged"):
        verify(out)


def test_the_command(out):
    result = CliRunner().invoke(cli, ["verify", str(out)])
    assert (result.exit_code, "all 39 pairs" in result.stdout) == (0, True)
    spoil(out)
    result = CliRunner().invoke(cli, ["verify", str(out), "--decode"])
    assert isinstance(result.exception, IncompleteError)
    assert CliRunner().invoke(cli, ["verify", str(out), "--repair"]).exit_code == 0


def test_an_image_is_sought_in_archives_that_were_renamed(out):
    before = files_of(out)
    images = out.parent / "images"
    with hb.open(out.parent / "posts.db") as database:
        (images / "a.tar").rename(images / "z.tar")
        database.posts.export(out, images=images)
        (out / "x001" / "1.webp").unlink()
        with pytest.raises(DestinationError, match=r"archives are gone .*: 0/a\.tar; bring them back"):
            repair(out)
        database.posts.export(out, images=images)
    assert files_of(out) == before


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
    before = files_of(out)
    wrong = [out / "x001" / "1.webp", next((out / "own").glob("b-*.png"))]
    for path in wrong:
        path.write_bytes(b"")
    with Journal(out) as journal:
        journal.forget(verify(out).bad_ids)
    assert repair(out).is_good
    assert files_of(out) == before


def test_own_images_that_changed_since_are_left_as_they_were_exported(small):
    own = small / "own"
    own.mkdir()
    for name in "abc":
        (own / f"{name}.png").write_bytes(picture(ord(name), "png"))
        (own / f"{name}.txt").write_text(f"my {name}")
    write_tar(small / "images" / "a.tar", {"1.webp": picture(1)})
    with hb.open(small / "posts.db") as database:
        database.posts.export(small / "out", images=small / "images", own=own)
    before = files_of(small / "out")
    (small / "out" / "x001" / "1.webp").unlink()
    (own / "c.txt").rename(small / "aside")
    left = files_of(small / "out")
    with pytest.raises(DestinationError, match="own has changed since its images were exported"):
        repair(small / "out")
    assert files_of(small / "out") == left
    (small / "aside").rename(own / "c.txt")
    assert repair(small / "out").is_good
    assert files_of(small / "out") == before


def test_nothing_is_repaired_while_an_export_is_under_way(out):
    spoil(out)
    before = files_of(out)
    with Journal(out), pytest.raises(DestinationError, match="another export is writing"):
        repair(out)
    assert files_of(out) == before


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_files_that_cannot_be_read_are_told_like_all_others(out):
    before = files_of(out)
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
    assert files_of(out) == before


def test_a_folder_in_the_place_of_a_caption_is_told(out):
    (out / "x001" / "1.txt").unlink()
    (out / "x001" / "1.txt").mkdir()
    with pytest.raises(DestinationError, match=r"1\.txt is a folder, and a file of the export goes there"):
        repair(out)


def test_a_manifest_without_a_column_is_told(out):
    table = parquet.read_table(out / "manifest.parquet")
    parquet.write_table(table.drop_columns(["parts"]), out / "manifest.parquet")
    with pytest.raises(DestinationError, match="has no column parts"):
        verify(out)


def test_every_byte_of_a_shard_counts(shards):
    shard = next((shards / "shards").iterdir())
    whole = shard.read_bytes()
    draw = random.Random(1)
    for at in [len(whole) - 1, len(whole) - 600, *draw.sample(range(len(whole)), 200)]:
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 << draw.randrange(8)
        shard.write_bytes(spoilt)
        assert not verify(shards).is_good, at
    shard.write_bytes(whole)
    assert verify(shards).is_good


def test_a_manifest_with_other_bits_is_told(shards):
    path = shards / "manifest.parquet"
    whole = path.read_bytes()
    draw = random.Random(1)
    for at in draw.sample(range(len(whole)), 100):
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 << draw.randrange(8)
        path.write_bytes(spoilt)
        with contextlib.suppress(DestinationError):
            verify(shards)


def test_a_copy_of_a_shard_is_in_nobodys_way(shards):
    shard = next((shards / "shards").iterdir())
    copy = shard.with_stem(shard.stem + "-copy")
    shutil.copy(shard, copy)
    write_tar(shards.parent / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 36)})
    with hb.open(shards.parent / "posts.db") as database:
        database.posts.export(shards, images=shards.parent / "images", sink="webdataset")
    assert verify(shards).orphans == [f"shards/{copy.name}"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another")
def test_what_another_user_cannot_read_or_write(out):
    code = (
        "import os, sys\n"
        "from hakubooru.errors import HakubooruError\n"
        "from hakubooru.export import repair, verify\n"
        "verify(sys.argv[1])  # so that all is imported that the other may not see\n"
        "os.setuid(65534)\n"
        "for do in (verify, repair):\n"
        "    try: print(do(sys.argv[1]))\n"
        "    except HakubooruError as error: print(error)\n"
    )
    for path in (out, *out.parents):
        if path.stat().st_uid == os.geteuid() and path != path.parent:
            path.chmod(path.stat().st_mode | 0o055)
    (out / "x001").chmod(0)
    shown = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True, check=True)
    assert "pair cannot be read (Permission denied) (1: x001/1.webp)" in shown.stdout
    assert "journal.sqlite cannot be written to; allow it" in shown.stdout
