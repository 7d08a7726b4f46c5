"""Charts of statistics."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from hakubooru.errors import InputError
from whole_command import call


def heights(axes):
    return [round(bar.get_height(), 6) for bar in axes.patches]


def widths(axes):
    return [round(bar.get_width(), 6) for bar in axes.patches]


@pytest.mark.slow
def test_each_section_is_a_chart_of_its_counts(db):
    stats = db.posts.stats(top=4)
    charts = {axes.get_title(loc="left"): axes for axes in stats.plot().axes}
    assert list(charts) == list(stats.sections())
    assert {"ratings", "years", "scores", "megapixels", "buckets", "general tags"} <= {*charts}
    assert heights(charts["ratings"]) == list(stats.ratings.values())
    assert heights(charts["years"]) == [stats.years[year] for year in sorted(stats.years)]
    assert widths(charts["general tags"]) == list(stats.tags["general"].values())
    assert charts["general tags"].get_yticklabels()[0].get_text() == next(
        iter(stats.tags["general"])
    ).replace("_", " ")


@pytest.mark.slow
def test_two_selections_stand_side_by_side_as_shares(db):
    all_posts, girls = db.posts.stats(), db.posts.search("1girl").stats()
    figure = girls.plot(all_posts, labels=("girls", "all"))
    (chart,) = (axes for axes in figure.axes if axes.get_title(loc="left") == "ratings, % of posts")
    expected = [
        round(100 * count / stats.posts, 6)
        for stats in (girls, all_posts)
        for count in stats.ratings.values()
    ]
    assert heights(chart) == expected
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["girls", "all"]


@pytest.mark.slow
def test_a_notebook_shows_the_charts_without_pyplot(db):
    with Image.open(BytesIO(db.posts.stats(top=1).plot()._repr_png_())) as image:
        assert image.format == "PNG"


@pytest.mark.slow
def test_nothing_can_be_drawn(db):
    assert db.posts.ids(10_000).stats().plot().axes != []


@pytest.mark.slow
def test_the_command_draws_into_a_file(path, tmp_path):
    code, stdout, _ = call("stats", path, "1girl", "--plot", tmp_path / "girls.png")
    assert (code, stdout.splitlines()[0].endswith("posts")) == (0, True)
    with Image.open(tmp_path / "girls.png") as image:
        assert image.width > 1000
    code, _, stderr = call("stats", path, "--plot", tmp_path / "girls.bmp")
    assert code == 2
    assert ".png, .svg or .pdf" in stderr


def test_statistics_show_themselves(db):
    stats = db.posts.stats()
    assert repr(stats).startswith("200 posts\n\nratings\n")
    assert f"<td>{stats.ratings['general']:,}</td>" in stats._repr_html_()
    with pytest.raises(InputError, match="must end in"):
        stats.save_plot("stats.txt")
