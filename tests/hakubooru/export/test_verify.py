from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import hakubooru as hb
from exports import spoil
from hakubooru import repair, verify
from hakubooru.errors import DestinationError, IncompleteError
from hakubooru_cli.main import cli
from pictures import files_of, picture, write_tar

WRONG = {
    "image is missing": (1, ["x001/1.webp"]),
    "caption is missing": (1, ["x002/2.txt"]),
    "image has another size": (1, ["x003/3.webp"]),
    "image has other contents": (1, ["x004/4.webp"]),
    "caption is another": (1, ["x005/5.txt"]),
}


ORPHANS = ["x006/6.png", "x007/8.webp", "x040/40.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_whole_export_is_good(out, workers):
    report = verify(out, decode=True, workers=workers)
    assert report.is_good
    assert str(report) == f"{out}: all 39 pairs are what the manifest says, and there are no other files."


def test_what_is_wrong_is_told(out):
    spoil(out)
    files = files_of(out)
    report = verify(out)
    assert (report.problems, report.orphans) == (WRONG, ORPHANS)
    assert "34 of 39 pairs" in str(report)
    assert "caption is another (1: x005/5.txt)" in str(report)
    assert files_of(out) == files


@pytest.mark.slow
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


def test_a_manifest_must_name_a_sink_that_is_known(shards):
    table = parquet.read_table(shards / "manifest.parquet")
    parquet.write_table(table.replace_schema_metadata({}), shards / "manifest.parquet")
    with pytest.raises(DestinationError, match=r"names no sink"):
        verify(shards)


def test_a_folder_in_the_place_of_a_file_is_told(out):
    (out / "x001" / "1.webp").unlink()
    (out / "x001" / "1.webp").mkdir()
    assert verify(out).problems == {"image is missing": (1, ["x001/1.webp"])}


def test_images_that_do_not_decode_are_found(out):
    from hakubooru.export.checks import undecodable

    whole = picture(1, "png", (64, 64))
    assert not undecodable(whole, 64, 64)
    assert undecodable(whole, 64, 65) == "image decodes to another width or height"
    assert undecodable(whole[:-30], 64, 64) == "image cannot be decoded"


@pytest.mark.slow
def test_the_command(out):
    result = CliRunner().invoke(cli, ["verify", str(out)])
    assert (result.exit_code, "all 39 pairs" in result.stdout) == (0, True)
    spoil(out)
    result = CliRunner().invoke(cli, ["verify", str(out), "--decode"])
    assert isinstance(result.exception, IncompleteError)
    assert CliRunner().invoke(cli, ["verify", str(out), "--repair"]).exit_code == 0


def test_a_manifest_without_a_column_is_told(out):
    table = parquet.read_table(out / "manifest.parquet")
    parquet.write_table(table.drop_columns(["parts"]), out / "manifest.parquet")
    with pytest.raises(DestinationError, match="has no column parts"):
        verify(out)


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_manifest_with_other_bits_is_told(shards):
    """What is good has the values that were written; of the parts nothing is compared, nor of what Parquet says besides."""
    path = shards / "manifest.parquet"
    whole, table = path.read_bytes(), parquet.read_table(path).drop_columns("parts")
    draw = random.Random(1)
    good = 0
    for at in draw.sample(range(len(whole)), 200):
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 << draw.randrange(8)
        path.write_bytes(spoilt)
        with contextlib.suppress(DestinationError):
            if verify(shards).is_good:
                good += 1
                assert parquet.read_table(path, columns=table.column_names).to_pydict() == table.to_pydict()
    assert good < 100


@pytest.mark.parametrize(
    ("name", "kind"), [("path", pa.binary()), ("caption", pa.binary()), ("id", pa.duration("s"))]
)
def test_a_column_of_another_kind_is_told(shards, name, kind):
    path = shards / "manifest.parquet"
    table = parquet.read_table(path)
    at = table.column_names.index(name)
    parquet.write_table(table.set_column(at, name, table[name].cast(kind)), path)
    with pytest.raises(DestinationError, match=f"is damaged: {name} has values of another kind"):
        verify(shards)


def test_a_copy_of_a_shard_is_in_nobodys_way(shards):
    shard = next((shards / "shards").iterdir())
    copy = shard.with_stem(shard.stem + "-copy")
    shutil.copy(shard, copy)
    write_tar(shards.parent / "images" / "a.tar", {f"{i}.webp": picture(i) for i in range(1, 36)})
    with hb.open(shards.parent / "posts.db") as database:
        database.posts.export(shards, images=shards.parent / "images", sink="webdataset")
    assert verify(shards).strays == [f"shards/{copy.name}"]


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


@pytest.fixture
def public():
    """A folder that every user can read. Every session of pytest that begins makes the one of its tests private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another")
def test_what_another_user_cannot_read_or_write(out, public):
    code = (
        "import os, sys\n"
        "from hakubooru.errors import HakubooruError\n"
        "from hakubooru import repair, verify\n"
        "verify(sys.argv[1])  # so that all is imported that the other may not see\n"
        "os.setuid(65534)\n"
        "for do in (verify, repair):\n"
        "    try: print(do(sys.argv[1]))\n"
        "    except HakubooruError as error: print(error)\n"
    )
    shared = shutil.copytree(out, public / "out")
    (shared / "x001").chmod(0)
    process = subprocess.run(
        [sys.executable, "-c", code, str(shared)], capture_output=True, text=True, check=True
    )
    assert "pair cannot be read (Permission denied) (1: x001/1.webp)" in process.stdout
    assert "journal.sqlite cannot be written to; change its permissions" in process.stdout
