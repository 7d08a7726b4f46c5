import gzip
import io
import json
import lzma
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from hakubooru.errors import DumpError
from hakubooru.ingest.taglist import KnownPair, KnownTag, read_tag_list
from hakubooru.store.sites import DANBOORU, E621, GELBOORU
from set_files import tar_of, write_sqlite

DATA = Path(__file__).parents[2] / "data"


def read(tmp_path, data, site=DANBOORU, name="tags"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(read_tag_list(path, site))


def test_the_tag_objects_of_danbooru():
    tags = {tag.name: tag for tag in read_tag_list(DATA / "danbooru_tags_api.json", DANBOORU)}
    assert len(tags) == 100
    assert tags["sugihara_azuki"] == KnownTag("sugihara_azuki", 1, 1429147)
    assert tags['t-34_"tiger"'].id == 1429140
    real = json.loads((DATA / "danbooru_tags_api.json").read_text(encoding="utf-8"))
    types = {0: 0, 1: 1, 3: 3, 4: 2, 5: 4}
    assert {tag["id"]: types[tag["category"]] for tag in real} == {tag.id: tag.type for tag in tags.values()}


@pytest.mark.slow
def test_a_csv_of_danbooru():
    tags = {tag.name: tag for tag in read_tag_list(DATA / "danbooru_tags.csv.gz", DANBOORU)}
    assert len(tags) == 137_536
    assert tags["1girl"] == KnownTag("1girl", 0, None, ("1girls", "sole_female"))
    assert tags["highres"].type == 4
    assert tags['hime-sama_"goumon"_no_jikan_desu'] == KnownTag(
        'hime-sama_"goumon"_no_jikan_desu', 3, None, ('\'tis_time_for_"torture"_princess',)
    )


OBJECTS = '{"id": 1, "name": "a", "category": 4}\n{"id": 2, "name": "東方,x", "category": 0, "extra": []}\n'


@pytest.mark.parametrize(
    "data",
    [OBJECTS, gzip.compress(OBJECTS.encode()), f"[{OBJECTS.strip().replace(chr(10), ',')}]"],
    ids=["lines", "gzipped", "array"],  # the bytes hold the time, and processes must name tests alike
)
def test_objects_may_be_lines_or_an_array_and_gzipped(tmp_path, data):
    assert read(tmp_path, data) == [KnownTag("a", 2, 1), KnownTag("東方,x", 0, 2)]


@pytest.mark.parametrize(
    "data",
    [
        "a,4,10,\n東方,0\n",
        "name,category,count,aliases\na,4,10,\n東方,0,5\n",
        "\ufeffname,category\r\na,4\r\n\r\n東方,0\r\n",
        gzip.compress("a,4,10,\n東方,0\n".encode()),
    ],
    ids=["bare", "headings", "windows", "gzipped"],
)
def test_a_csv_may_have_headings_or_not(tmp_path, data):
    assert read(tmp_path, data) == [KnownTag("a", 2), KnownTag("東方", 0)]


BAD = {
    "a list of e621": (
        "id,name,category,post_count\n1,lugia,5,9\n2,eror,6,9\n",
        "category '6' is not one of danbooru's",
    ),
    "a list of Gelbooru": (
        "name,count,type,is_ambiguous\nmiku,5,character,False\n",
        "is a list of gelbooru's tags (it has the column is_ambiguous), and the posts are of danbooru: name a list of danbooru's",
    ),
    "a list of konachan": (
        "id,name,count,type,ambiguous\n1,circle,9,5,False\n",
        "is a list of another booru's tags (it has the column ambiguous)",
    ),
    "site_tags' aliases": (
        "alias,tag\n1girls,1girl\n",
        "is not a list of tags: it has records with the keys alias, tag",
    ),
    "category of another booru": (
        "a,0\nb,6\n",
        "line 2: category '6' is not one of danbooru's: 0 general, 1 artist",
    ),
    "no category": ("a,0\nb\n", "line 2: category '' is not one of danbooru's"),
    "another table": (
        "id;name\n1;a\n",
        "has records with the keys id, name, and must have name and category",
    ),
    "no name": (",0\n", "line 1: '' is not a tag name"),
    "space in a name": ("long hair,0\n", "line 1: 'long hair' is not a tag name"),
    "open quote": ('a,0\n"b,0\n', "line 2"),
    "not UTF-8": (b"a,0\n\xff\xfe\xfa,0\n", "line"),
    "cut gzip": (gzip.compress(b"a,0\n" * 5000)[:-12], "is cut off or damaged"),
    "broken object": ('{"id": 1, "name": "a", "category": 0}\n{"id": 2\n', "line 2: the line is not JSON"),
    "object of an odd category": ('{"id": 1, "name": "a", "category": 2}', "line 1: category 2 is not one"),
    "id out of reach": (
        '{"id": 99999999999999999999, "name": "a", "category": 0}',
        "line 1: id is 1e+20, and must be a positive whole number",
    ),
    "list of lists": ("[[1]]", "item 1: a tag must be an object with a name and a category"),
    "empty": ("", "is not a dump: it is empty"),
    "a database": (b"SQLite format 3\0" + bytes(100), "is a damaged SQLite file"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_what_is_no_list_of_tags_is_told(tmp_path, data, message):
    with pytest.raises(DumpError) as caught:
        read(tmp_path, data)
    assert message in str(caught.value)
    assert str(tmp_path / "tags") in str(caught.value)


def test_a_missing_list_is_told(tmp_path):
    with pytest.raises(DumpError, match="does not exist"):
        list(read_tag_list(tmp_path / "no.csv", DANBOORU))


def as_csv(*rows):
    return "\n".join(rows) + "\n"


def as_parquet(rows):
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def as_sqlite(tmp_path, rows):
    (path,) = write_sqlite(tmp_path / "tags.sqlite", {"tags": rows})
    return path.read_bytes()


MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
SITE_TAG = {
    "id": 2,
    "name": "miku",
    "post_count": 5,
    "category": 4,
    "created_at": MOMENT,
    "is_deprecated": False,
    "words": ["miku"],
}
MIKU = KnownTag("miku", 2, 2)
LISTS = {
    "site_tags of Danbooru, CSV": (
        DANBOORU,
        lambda _: as_csv(
            "id,name,post_count,category,created_at,updated_at,is_deprecated,words",
            "2,miku,5,4,2024,2024,f,miku",
        ),
        [MIKU],
    ),
    "site_tags of Danbooru, Parquet": (DANBOORU, lambda _: as_parquet([SITE_TAG]), [MIKU]),
    "site_tags of Danbooru, JSON": (
        DANBOORU,
        lambda _: json.dumps([{"id": 2, "name": "miku", "category": 4}], indent=2),
        [MIKU],
    ),
    "site_tags of Danbooru, SQLite": (
        DANBOORU,
        lambda folder: as_sqlite(folder, [{"id": 2, "name": "miku", "post_count": 5, "category": 4}]),
        [MIKU],
    ),
    "site_tags of Gelbooru, with words": (
        GELBOORU,
        lambda _: as_csv(
            "name,count,type,is_ambiguous",
            "miku,5,character,False",
            "solo,9,tag,False",
            "hd,1,metadata,False",
        ),
        [KnownTag("miku", 2), KnownTag("solo", 0), KnownTag("hd", 4)],
    ),
    "e621's export": (
        E621,
        lambda _: as_csv(
            "id,name,category,post_count",
            "1,lugia,5,9",
            "2,adult_(lore),8,9",
            "3,hi_res,7,9",
            "4,eror,6,1",
            "5,va,2,1",
        ),
        [
            KnownTag("lugia", 6, 1),
            KnownTag("adult_(lore)", 7, 2),
            KnownTag("hi_res", 4, 3),
            KnownTag("eror", 9, 4),
            KnownTag("va", 8, 5),
        ],
    ),
    "newtextdoc1111/danbooru-tag-csv": (
        DANBOORU,
        lambda _: as_csv("tag,category,count,alias", '1girl,0,9,"1girls,sole_female"', "miku,4,5,"),
        [KnownTag("1girl", 0, None, ("1girls", "sole_female")), KnownTag("miku", 2)],
    ),
    "a merged list of Danbooru and e621": (
        DANBOORU,
        lambda _: as_csv("1girl,0,9,", "lugia,12,9,", "hi_res,14,9,", "anthro,7,9,"),
        [KnownTag("1girl", 0), KnownTag("lugia", 6), KnownTag("hi_res", 4), KnownTag("anthro", 0)],
    ),
    "NSFW-API's map with wiki": (
        DANBOORU,
        lambda _: json.dumps(
            {"miku": {"category": 4, "post_count": 5, "aliases": ["hatsune"], "wiki": "A singer."}}, indent=1
        ),
        [KnownTag("miku", 2, None, ("hatsune",))],
    ),
    "nyanko7's tags.tar.xz": (
        DANBOORU,
        lambda _: lzma.compress(
            tar_of({"tags.json": b'{"id": 2, "name": "miku", "category": 4, "post_count": 5}\n'})
        ),
        [MIKU],
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_tags_that_people_publish(tmp_path, name):
    site, make, tags = LISTS[name]
    assert read(tmp_path, make(tmp_path), site) == tags


def test_aliases_and_implications_are_told_by_the_name_of_their_file(tmp_path):
    pairs = as_csv("id,antecedent_name,consequent_name,created_at,status", "1,a,b,,active", "2,c,d,,deleted")
    assert read(tmp_path, pairs, name="tag_aliases.csv") == [KnownPair("a", "b", is_alias=True)]
    assert read(tmp_path, pairs, name="tag_implications-2026.csv") == [KnownPair("a", "b", is_alias=False)]
    with pytest.raises(
        DumpError, match=r"its name does not say of what: name it tag_aliases… or tag_implications…"
    ):
        read(tmp_path, pairs, name="pairs.csv")
