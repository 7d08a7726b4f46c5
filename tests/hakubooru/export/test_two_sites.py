"""Posts of two sites with the same ids, exported into one set: names, manifests and training keep them apart."""

import json
import shutil

import pytest
from pyarrow import parquet

import hakubooru as hb
from danbooru import api_post, write_lines
from hakubooru.errors import DestinationError
from hakubooru.ingest import build
from pictures import picture, write_tar
from published_sites import e621_export

IDS = [1, 2, 1001]


@pytest.fixture
def sites(tmp_path):
    """A database and archive of each site, with posts of the same ids."""
    build(
        [write_lines(tmp_path / "posts.jsonl", [api_post(number) for number in IDS])],
        tmp_path / "danbooru.db",
    )
    posts, lists = e621_export(tmp_path, count=1001)
    build(posts, tmp_path / "e621.db", tags=lists)
    for site, size in {"danbooru": (64, 48), "e621": (48, 64)}.items():
        (tmp_path / site).mkdir()
        write_tar(
            tmp_path / site / "images.tar", {f"{number}.png": picture(number, "png", size) for number in IDS}
        )
    return tmp_path


def export(folder, site, out, **options):
    with hb.open(folder / f"{site}.db") as db:
        posts = db.posts.among(IDS)
        return posts.export(
            out, images=folder / site, caption=hb.CaptionFormat(order=("general", "rating")), **options
        )


def names(folder):
    files = (path for path in folder.rglob("x*/*") if path.suffix in (".png", ".txt"))
    return sorted(path.relative_to(folder).as_posix() for path in files)


def test_names_of_two_sites_are_different(sites):
    for site in ("danbooru", "e621"):
        assert export(sites, site, sites / "set" / site).exported == 3
        assert hb.verify(sites / "set" / site).is_good
    plain = [f"x001/{number}.{suffix}" for number in (1, 1001) for suffix in ("png", "txt")]
    assert names(sites / "set" / "danbooru") == sorted([*plain, "x002/2.png", "x002/2.txt"])
    prefixed = [name.replace("/", "/e621_") for name in names(sites / "set" / "danbooru")]
    assert names(sites / "set" / "e621") == sorted(prefixed)
    shutil.copytree(sites / "set" / "danbooru", sites / "one")
    shutil.copytree(sites / "set" / "e621", sites / "one", dirs_exist_ok=True)
    assert len(names(sites / "one")) == 12
    assert (sites / "one/x001/e621_1.txt").read_text() == "anthro, lugia, solo, nsfw"


def test_a_manifest_says_which_site_its_ids_are_of(sites):
    for site in ("danbooru", "e621"):
        export(sites, site, sites / site / "out")
    assert b"hakubooru.site" not in parquet.read_schema(sites / "danbooru/out/manifest.parquet").metadata
    file = parquet.read_table(sites / "e621/out/manifest.parquet")
    assert file.schema.metadata[b"hakubooru.site"] == b"e621"
    assert file["id"].to_pylist() == IDS
    assert file["rating"].to_pylist() == ["questionable", "explicit", "explicit"]


def test_posts_of_another_site_are_not_taken_for_those_that_are_there(sites):
    export(sites, "danbooru", sites / "out")
    files = names(sites / "out")
    with pytest.raises(DestinationError, match=r'database.site was "danbooru" and is now "e621"'):
        export(sites, "e621", sites / "out")
    assert names(sites / "out") == files
    assert export(sites, "danbooru", sites / "out").added == 0


def test_images_of_ones_own_belong_to_no_site(sites):
    (sites / "own").mkdir()
    (sites / "own" / "a.png").write_bytes(picture(7, "png"))
    (sites / "own" / "a.txt").write_text("my own")
    hb.export_own(sites / "out", own=sites / "own")
    with hb.open(sites / "e621.db") as db:
        report = db.posts.among(IDS).export(sites / "out", images=sites / "e621", own=sites / "own")
    assert report.exported == 4


def test_keys_of_shards_are_different(sites):
    export(sites, "e621", sites / "shards", sink="webdataset")
    assert hb.verify(sites / "shards").is_good
    assert (
        parquet.read_table(sites / "shards/manifest.parquet")["path"]
        .to_pylist()[0]
        .endswith(".tar/e621_1.png")
    )


def test_a_file_of_another_site_belongs_to_no_pair(sites):
    out = sites / "out"
    export(sites, "e621", out)
    (out / "x001" / "1.png").write_bytes(b"x")
    (out / "x001" / "gelbooru_1.png").write_bytes(b"x")
    report = hb.verify(out)
    assert not report.is_good
    assert report.orphans == ["x001/1.png", "x001/gelbooru_1.png"]
    assert report.problems == {}


def test_captions_alone(sites):
    with hb.open(sites / "e621.db") as db:
        db.posts.among(IDS).export(
            sites / "texts", images=(), sink="captions", caption=hb.CaptionFormat(order=("species",))
        )
    assert (sites / "texts/x001/e621_1.txt").read_text() == "lugia"


@pytest.mark.slow
def test_training_keeps_the_images_of_two_sites_apart(sites):
    torch = pytest.importorskip("torch")
    from hakubooru_trainer.config.options import DataOptions
    from hakubooru_trainer.data import samples
    from hakubooru_trainer.distributed import Ranks

    for site in ("danbooru", "e621"):
        export(sites, site, sites / "set" / site)
    options = [DataOptions(path=str(sites / "set" / site)) for site in ("danbooru", "e621")]
    data = samples.load(options, Ranks(torch.device("cpu")))
    assert len(data) == len(set(data.ids.tolist())) == 6
    assert data.ids[:3].tolist() == IDS
    assert json.dumps(sorted({sample.caption for sample in data})).count("anthro") >= 1
