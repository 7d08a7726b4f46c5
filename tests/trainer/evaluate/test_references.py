"""Which images characters are known by, and that they are read once."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import pytest
from pyarrow import parquet

from hakubooru.errors import DatabaseFileError, DestinationError, IncompleteError
from hakubooru.image import containers, sources
from hakubooru.image import index as tar_index
from hakubooru_trainer.evaluate import extraction, references
from hakubooru_trainer.evaluate.catalogue import Catalogue, Place
from hakubooru_trainer.evaluate.ccip import Ccip
from hakubooru_trainer.evaluate.extraction import Extractor, Source
from pictures import picture, write_tar

CANDIDATES = {"a": np.array([5, 3, 9, 1]), "b": np.array([7, 3]), "c": np.array([100])}


@pytest.fixture
def ccip(ccip_folder):
    return Ccip(str(ccip_folder), print)


@pytest.fixture
def gathered(ccip, tmp_path):
    """The references of the candidates among some places of images, by a catalogue that stays."""

    def gather(*roots, count=2, candidates=CANDIDATES):
        with (
            Catalogue(tmp_path / "cache" / "features.db") as catalogue,
            Extractor[int](ccip, catalogue, 2) as extractor,
        ):
            archives = sources.find_archives(roots)
            result = references.gather(candidates, archives, extractor, count)
            digests = catalogue.known(ccip.fingerprint, result.digests)
            assert digests == set(result.digests)
            return result

    return gather


def posts(result):
    return {name: [reference.post for reference in some] for name, some in result.by_character.items()}


@pytest.fixture
def reads(monkeypatch):
    """The posts whose images are decoded, by their red (see `pictures.picture`)."""
    posts = []
    plain = extraction.picture_of

    def counting(data):
        image = plain(data)
        posts.append(image.getpixel((0, 0))[0])
        return image

    monkeypatch.setattr(extraction, "picture_of", counting)
    return posts


def test_the_first_candidates_that_an_archive_holds_are_taken_and_read_once(gathered, reads, tmp_path):
    ids = [1, 2, 3, 7, 9]
    write_tar(tmp_path / "images" / "0.tar", {f"{post}.png": picture(post, "png") for post in ids})
    result = gathered(tmp_path / "images")
    assert posts(result) == {"a": [3, 9], "b": [7, 3], "c": []}
    assert sorted(reads) == [3, 7, 9]
    reads.clear()
    second = gathered(tmp_path / "images")
    assert second.by_character == result.by_character
    assert second.fingerprint == result.fingerprint
    assert reads == []
    more = gathered(tmp_path / "images", count=3)
    assert posts(more)["a"] == [3, 9, 1]
    assert reads == [1]
    assert more.fingerprint != result.fingerprint


def test_a_reference_that_is_shown_for_the_first_time_is_looked_at_once_more(gathered, reads, tmp_path):
    """Four of five references are shown; in another order the fifth is."""
    posts_of_all = [1, 2, 3, 4, 5]
    write_tar(tmp_path / "images" / "0.tar", {f"{post}.png": picture(post, "png") for post in posts_of_all})
    gathered(tmp_path / "images", count=5, candidates={"a": np.array(posts_of_all)})
    reads.clear()
    backward = {"a": np.array(posts_of_all[::-1])}
    result = gathered(tmp_path / "images", count=5, candidates=backward)
    assert reads == [5]
    with Catalogue(tmp_path / "cache" / "features.db") as catalogue:
        assert catalogue.thumbnails(result.digests).keys() == {*result.digests}
    reads.clear()
    gathered(tmp_path / "images", count=5, candidates=backward)
    assert reads == []


def test_known_references_are_not_even_opened(gathered, tmp_path, monkeypatch):
    write_tar(tmp_path / "images" / "0.tar", {f"{post}.png": picture(post, "png") for post in (3, 7)})
    folder = tmp_path / "images" / "folder"
    folder.mkdir()
    (folder / "5.png").write_bytes(picture(5, "png"))
    result = gathered(tmp_path / "images")
    monkeypatch.setattr(references, "Images", None)
    monkeypatch.setattr(tar_index, "read_parts", None)
    assert gathered(tmp_path / "images").by_character == result.by_character


def test_of_several_archives_the_one_that_counts_more_gives_the_image(gathered, tmp_path):
    write_tar(tmp_path / "images" / "0.tar", {f"{post}.png": picture(post, "png") for post in (3, 5)})
    newer = picture(3, "png", (99, 99))
    write_tar(tmp_path / "images" / "updates" / "20240501" / "data-3.tar", {"3.png": newer})
    (digest,) = {
        reference.sha256
        for reference in gathered(tmp_path / "images").by_character["a"]
        if reference.post == 3
    }
    import hashlib

    assert digest == hashlib.sha256(newer).hexdigest()


def test_an_image_that_changed_is_read_again(gathered, reads, tmp_path):
    tar = tmp_path / "images" / "0.tar"
    write_tar(tar, {f"{post}.png": picture(post, "png") for post in (3, 5)})
    first = gathered(tmp_path / "images")
    reads.clear()
    write_tar(tar, {"3.png": picture(3, "png", (64, 64)), "5.png": picture(5, "png")})
    second = gathered(tmp_path / "images")
    assert reads == [3]  # the other one's contents are known
    assert first.by_character["b"] != second.by_character["b"]


def test_broken_images_are_left_out_counted_and_not_tried_again(gathered, reads, tmp_path):
    broken = picture(5, "png")[:40]
    holes = bytearray(picture(9, "png"))
    holes[50:60] = bytes(10)
    write_tar(
        tmp_path / "images" / "0.tar", {"3.png": picture(3, "png"), "5.png": broken, "9.png": bytes(holes)}
    )
    result = gathered(tmp_path / "images", count=3)
    assert posts(result) == {"a": [3], "b": [3], "c": []}
    assert result.unreadable.keys() == {5, 9}
    reads.clear()
    assert gathered(tmp_path / "images", count=3).unreadable == result.unreadable
    assert reads == []


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_every_kind_of_archive_is_read(gathered, tmp_path, mode):
    suffix = "tar" if mode == "w" else "tar.gz"
    write_tar(
        tmp_path / "images" / f"x.{suffix}", {f"{p}.png": picture(p, "png") for p in (3, 5, 7)}, mode=mode
    )
    assert posts(gathered(tmp_path / "images")) == {"a": [5, 3], "b": [7, 3], "c": []}


def test_an_index_of_another_archive_is_not_believed(gathered, tmp_path):
    tar = write_tar(tmp_path / "images" / "x.tar", {f"{p}.png": picture(p, "png") for p in (3, 5, 7)})
    files = {f"{p}.png": {"offset": 512, "size": 90} for p in (3, 5, 7)}
    tar.with_suffix(".json").write_text(json.dumps({"filesize": tar.stat().st_size, "files": files}))
    assert posts(gathered(tmp_path / "images")) == {"a": [5, 3], "b": [7, 3], "c": []}


def test_an_archive_that_cannot_be_read_is_named(gathered, tmp_path, monkeypatch):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "3.png").write_bytes(picture(3, "png"))

    def failing(path, wanted):
        raise OSError(5, "Input/output error")
        yield

    archives = sources.find_archives([folder])
    monkeypatch.setitem(containers.READERS, "folder", failing)
    with pytest.raises(IncompleteError, match=r"archives could not be read: .*images \(Input/output error\)"):
        references._holders(np.array([3]), archives)
    with pytest.raises(IncompleteError, match=r"images \(Input/output error\); bring them back"):
        gathered(folder)


def test_references_are_written_with_their_contents(gathered, tmp_path):
    write_tar(tmp_path / "images" / "0.tar", {"3.png": picture(3, "png"), "7.png": picture(7, "png")})
    result = gathered(tmp_path / "images")
    result.write(tmp_path / "references.parquet")
    rows = parquet.read_table(tmp_path / "references.parquet").to_pylist()
    assert [(row["character"], row["post"]) for row in rows] == [("a", 3), ("b", 7), ("b", 3)]
    assert rows[0]["sha256"] == rows[2]["sha256"]


def test_a_refused_catalogue_is_not_held_open(tmp_path, monkeypatch):
    connections, connect = [], sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *a, **k: connections.append(connect(*a, **k)) or connections[-1]
    )
    (tmp_path / "features.db").write_bytes(b"no database" * 100)
    with pytest.raises(DatabaseFileError):
        Catalogue(tmp_path / "features.db")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connections[0].execute("SELECT 1")


def test_catalogues_of_newer_versions_and_in_files_are_refused(tmp_path):
    with Catalogue(tmp_path / "features.db") as catalogue:
        catalogue._connection.execute("PRAGMA user_version = 2")
    with pytest.raises(
        DestinationError, match=r"features\.db was written by a newer hakubooru; set references"
    ):
        Catalogue(tmp_path / "features.db")
    (tmp_path / "features.db").write_bytes(b"no database" * 100)
    with pytest.raises(
        DatabaseFileError, match=r"features\.db is damaged \(.*\); delete it, and run the same"
    ):
        Catalogue(tmp_path / "features.db")
    (tmp_path / "file").touch()
    with pytest.raises(DestinationError, match=r"features\.db cannot be written .*; set references\.cache"):
        Catalogue(tmp_path / "file" / "features.db")


def half_a_portion(catalogue):
    with catalogue.portion():
        catalogue.add_features("net", {"a": np.ones(3, np.float32)})
        catalogue.add_places("0.tar", 1, [Place(3, "a", "")])
        raise ZeroDivisionError


def test_a_portion_is_kept_whole_or_not_at_all(tmp_path):
    with Catalogue(tmp_path / "features.db") as catalogue:
        with pytest.raises(ZeroDivisionError):
            half_a_portion(catalogue)
        assert catalogue.known("net", ["a"]) == set()
        with catalogue.portion():
            catalogue.add_features("net", {"a": np.ones(3, np.float32)})
        assert catalogue.known("net", ["a", "b"]) == {"a"}
        assert catalogue.known("other", ["a"]) == set()
        assert catalogue.places("0.tar", 1, [3]) == []


def test_equal_images_are_computed_once(ccip, tmp_path, reads):
    data = [picture(number, "png") for number in (1, 2, 1, 1, 3)]
    with Catalogue(tmp_path / "features.db") as catalogue, Extractor[int](ccip, catalogue, 2) as extractor:
        sources_ = [Source(place, some, shown=place == 4) for place, some in enumerate(data)]
        rows = list(extractor.run(sources_))
        assert [row.key for row in rows] == [0, 1, 2, 3, 4]
        assert rows[0].sha256 == rows[2].sha256 == rows[3].sha256
        assert sorted(reads) == [1, 2, 3]
        assert list(catalogue.thumbnails([row.sha256 for row in rows])) == [rows[4].sha256]
