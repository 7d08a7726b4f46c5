"""Every published set of images gives its images, from a disk and, by its indexes, from a server of loopback."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hakubooru as hb
from booru import post_row, write
from hakubooru.image import holdings
from hakubooru.image import remote as remote_module
from hakubooru.image.holdings import census
from hakubooru.image.published import REPOSITORIES
from hakubooru.image.sources import find_archives
from image_sets import FORMS, SETS, ImageSet, md5_of, name_of, write_archive, write_index
from pictures import picture
from serving import serving

POSTS = [1, 2, 7, 13, 20, 33, 1001, 1007, 1020, 2002, 2013, 2999, 3001, 3003, 10_007, 12_001]
OTHERS = [4, 1004, 2500, 9_999_999]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("posts") / "posts.db"
    write(path, [post_row(post, md5=md5_of(post)) for post in sorted(POSTS + OTHERS)], lambda _: ["solo"])
    return path


def export(database, out, images, ids, **options):
    """The exported image of each post, and the report."""
    with hb.open(database) as db:
        report = db.posts.among(ids).export(out, images=images, **options)
    return {int(path.stem): path.read_bytes() for path in out.glob("x*/*.webp")}, report


def index_of(image_set: ImageSet, url: str) -> list[str]:
    """The places to name with --index: none for indexes that are found by themselves."""
    repositories = {name for names in REPOSITORIES.values() for name in names}
    return (
        [] if image_set.index in (None, "", "index", *repositories) else [f"{url}/datasets/{image_set.index}"]
    )


def test_every_set_of_the_reference_is_tested():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "sources.md").read_text(encoding="utf-8")
    rows = page.partition("<!-- sets of images -->")[2].partition("\n\n")[0].split("\n")[3:]
    assert len(rows) > 20
    assert {row.split(" | ")[0].removeprefix("| ") for row in rows} <= SETS.keys()


@pytest.mark.parametrize("name", SETS)
def test_a_set_on_a_disk(database, tmp_path, name):
    images = SETS[name].write(tmp_path, name, POSTS)
    some = POSTS[::4]
    pairs, _ = export(database, tmp_path / "out", tmp_path / name, some)
    assert pairs == {post: images[post] for post in some}
    pairs, report = export(database, tmp_path / "out", tmp_path / name, POSTS + OTHERS)
    assert pairs == images
    assert report.left_out == {"no archive holds it": len(OTHERS)}
    groups = census(find_archives([tmp_path / name]), np.array(sorted(POSTS + OTHERS)))
    named_by_md5 = sum(group.by_md5 for group in groups)
    assert sum(group.wanted for group in groups) + named_by_md5 == len(POSTS)
    assert (sum(group.repeated for group in groups) > 0) == SETS[name].repeats
    assert bool(report.passed_over) == SETS[name].repeats


REMOTE = [name for name, image_set in SETS.items() if image_set.index is not None]


@pytest.mark.parametrize("name", REMOTE)
def test_a_part_of_a_set_on_a_server(database, tmp_path, name):
    """Only the wanted images are fetched."""
    remote_module._system_within.cache_clear()
    images = SETS[name].write(tmp_path / "datasets", name, POSTS)
    with serving(tmp_path) as server:
        places = index_of(SETS[name], server.url)
        url = f"{server.url}/datasets/{name.replace(' ', '%20')}"
        pairs, _ = export(database, tmp_path / "out", url, [2, 2999, 12_001, 4], index=places)
        assert pairs == {post: images[post] for post in (2, 2999, 12_001)}
        fetched = sum(512 + len(data) for data in pairs.values())
        assert fetched <= server.sent <= 1 + 1.1 * fetched + 1024


@pytest.fixture
def walked(monkeypatch):
    """The archives whose headers are walked, because no index of them is known."""
    paths = []
    build_index = holdings.build_index
    monkeypatch.setattr(holdings, "build_index", lambda path: paths.append(path) or build_index(path))
    return paths


@pytest.mark.parametrize("name", REMOTE)
def test_indexes_are_used_on_a_disk_too(tmp_path, name, walked):
    SETS[name].write(tmp_path / "datasets", name, POSTS)
    places = [tmp_path / "datasets" / SETS[name].index] if "/" in SETS[name].index else []
    groups = census(find_archives([tmp_path / "datasets" / name], indexes=places))
    assert sum(group.images for group in groups) == len(POSTS) * (1.5 if SETS[name].updated else 1)
    assert walked == []


ARCHIVES = st.one_of(
    st.integers(0, 9).map(lambda digit: f"data-{digit}.tar"),
    st.integers(0, 7).map(lambda rest: f"data-{rest // 4}{rest:03d}.tar"),
    st.integers(0, 3).map(lambda rest: f"0{rest:03d}.tar"),
    st.integers(0, 3).map(lambda start: f"{start}000.tar" if start else "0.tar"),
    st.sampled_from(["a.tar", "b.tar.gz", "0002.tar.gz", "deep/0003.tar", "updates/20240601/x-3.tar", "00000.tar"]),
    st.sampled_from(["loose", "0007", "updates/batch-1", "z.zip", "0001.zip", "train-00000.parquet", "0003.parquet"]),
)  # fmt: skip
INDEXES = st.sampled_from(["", "beside", "index", "elsewhere"])
DIALECTS = st.sampled_from(["hfutils", "webshart", "spans"])


@st.composite
def layouts(draw):
    """Archives by name: the form of their names, their posts, where their index is, its dialect, and whether it has repeats."""
    archives = st.tuples(
        st.sampled_from([*FORMS]),
        st.lists(st.sampled_from(POSTS), min_size=1, max_size=12, unique=True),
        INDEXES,
        DIALECTS,
        st.booleans(),
    )
    return draw(st.dictionaries(ARCHIVES, archives, min_size=1, max_size=5))


def lay(folder, name, form, posts, *, repeats):
    members = [(name_of(post, form), picture(post)) for post in posts]
    write_archive(folder / "set" / name, members + members[:1] * repeats)


def index(folder, name, place, dialect):
    """Write the index of a tar; other archives have none."""
    if not place or not name.endswith(".tar"):
        return
    tar = folder / "set" / name
    places = {
        "beside": tar.with_suffix(".json"),
        "index": tar.parent.parent / "index" / f"{tar.stem}.json",
        "elsewhere": folder / "elsewhere" / name.replace(".tar", ".json"),
    }
    write_index(tar, places[place], dialect)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layout=layouts(), seed=st.integers(0, 99), share=st.sampled_from([0.1, 0.5, 1]))
def test_any_layout_of_any_names_gives_what_is_there(database, tmp_path_factory, layout, seed, share):
    folder = tmp_path_factory.mktemp("set")
    holds, named_by_id = set(), set()
    for name, (form, posts, place, dialect, repeats) in layout.items():
        lay(folder, name, form, posts, repeats=repeats)
        index(folder, name, place, dialect)
        holds |= {*posts}
        named_by_id |= {*posts} if "md5}" not in FORMS[form] or "post" in FORMS[form] else set()
    selected = sorted(random.Random(seed).sample(POSTS + OTHERS, max(1, round(share * 20))))
    expected = {post: picture(post) for post in holds.intersection(selected)}
    options = {"images": folder / "set", "index": folder / "elsewhere"}
    if expected:
        pairs, report = export(database, folder / "out", ids=selected, **options)
        assert pairs == expected
        assert sum(report.left_out.values()) == len(selected) - len(expected)
    groups = census(find_archives([folder / "set"], indexes=[folder / "elsewhere"]), np.array(selected))
    assert sum(group.wanted for group in groups) == len(named_by_id.intersection(selected))
    shutil.rmtree(folder)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.dictionaries(
        ARCHIVES.filter(lambda name: name.endswith(".tar")),
        st.lists(st.sampled_from(POSTS), min_size=1, max_size=12, unique=True),
        min_size=1,
        max_size=4,
    ),
    form=st.sampled_from([*FORMS]),
    place=st.sampled_from(["beside", "index", "elsewhere"]),
    dialect=DIALECTS,
    selected=st.lists(st.sampled_from(POSTS + OTHERS), min_size=1, unique=True),
)
def test_any_layout_on_a_server_gives_what_is_there(
    database, tmp_path_factory, *, layout, form, place, dialect, selected
):
    folder = tmp_path_factory.mktemp("served")
    for name, posts in layout.items():
        lay(folder, name, form, posts, repeats=False)
        index(folder, name, place, dialect)
    holds = {post for posts in layout.values() for post in posts}
    expected = {post: picture(post) for post in holds.intersection(selected)}
    if not expected:
        return
    remote_module._system_within.cache_clear()
    with serving(folder) as server:
        options = {"index": f"{server.url}/elsewhere"} if place == "elsewhere" else {}
        pairs, _ = export(database, folder / "out", f"{server.url}/set", selected, **options)
    assert pairs == expected
    shutil.rmtree(folder)
