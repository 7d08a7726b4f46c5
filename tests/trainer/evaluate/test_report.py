"""The page, its charts and tables, and the popularity that it shows."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from pyarrow import parquet
from safetensors.torch import save_file

import hakubooru as hb
from hakubooru_trainer.evaluate import charts, licences
from hakubooru_trainer.evaluate.charts import Group, Point
from hakubooru_trainer.evaluate.options import CCIP
from hakubooru_trainer.evaluate.scores import Interval
from onnx_networks import write_tagger
from planted import Painter


class Page(HTMLParser):
    """The text of a page, and what its elements name."""

    def __init__(self, path):
        super().__init__()
        self.open, self.text, self.sources = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in {"meta", "img", "br", "rect", "path", "circle"}:
            self.open.append(tag)
        self.sources += [value for name, value in attributes if name in {"src", "href"}]

    def handle_endtag(self, tag):
        if tag not in {"rect", "path", "circle"}:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.slow
def test_a_page_holds_all_it_shows(evaluated, tmp_path, options):
    outcome = evaluated(Painter.of(6, lambda own, draw: own + own % 2))
    page = Page(outcome.page)
    text = " ".join(page.text)
    assert page.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert len(page.sources) == 18 * (2 + 4)  # two pictures and four references of each
    assert "http" not in outcome.page.read_text(encoding="utf-8").replace(page.sources[0], "")
    assert "Does painter.safetensors know its characters?" in text
    assert f"{outcome.figures.score.mean:.3f}" in text
    assert "18 characters, 36 pictures, 108 references" in text
    for title in ("How the scores lie", "By popularity", "The best 18", "How it was evaluated", "Licences"):
        assert title in text
    rows = parquet.read_table(tmp_path / "out" / "scores.parquet").to_pylist()
    ranked = sorted(rows, key=lambda row: (-row["score"], row["difference"]))
    places = [text.index(row["character"], text.index("The best")) for row in ranked]
    assert places == sorted(places)


@pytest.mark.slow
def test_popularity_is_that_of_the_training_data(evaluated, tmp_path, booru, few):
    """An export of every other post: its characters are counted post by post."""
    with hb.open(booru[0]) as database:
        chosen = database.posts.search("solo").where(hb.Post.id % 2 == 0)
        chosen.export(tmp_path / "export", images=booru[1])
        exported = set(parquet.read_table(tmp_path / "export" / "manifest.parquet", filters=[("status", "=", "exported")])["id"].to_pylist())  # fmt: skip
        counts = {}
        for post in chosen.posts():
            for tag in post.tags:
                if tag.name in few and post.id in exported:
                    counts[tag.name] = counts.get(tag.name, 0) + 1
    outcome = evaluated(
        Painter.of(6, lambda own, draw: own),
        names=few,
        manifest=tmp_path / "export" / "manifest.parquet",
    )
    rows = parquet.read_table(tmp_path / "out" / "scores.parquet").to_pylist()
    assert {row["character"]: row["trained"] for row in rows} == counts
    assert "posts in the training data" in " ".join(Page(outcome.page).text)


@pytest.mark.slow
def test_tags_that_prompts_ask_for_are_counted(evaluated, options, tmp_path):
    """A tagger that takes red for a girl, and everything drawn in a hue with red in it."""
    folder = write_tagger(tmp_path / "tagger", {"1girl": ("0", 0), "red_show": ("3", 2)})
    outcome = evaluated(
        Painter(lambda picture, draw: np.array([250 * (picture.number == 0), 0, 0])),
        options=options(tags={"model": str(folder)}),
    )
    text = " ".join(Page(outcome.page).text)
    assert re.search(r"1girl\s+36\s+50\.0%", text)
    assert re.search(r"red_show\s+18\s+0\.0%", text)
    # Half of 1girl, none of red_show, which half of the characters ask for: 1/2 and 1/4.
    assert outcome.figures.tags.mean == pytest.approx(3 / 8, abs=0.03)
    assert "A tagger sees" in text


def test_bars_stand_for_characters():
    drawing = charts.histogram([0.0, 0.04, 0.5, 1.0, 1.0], 0.1, 0.9)
    bars = re.findall(r'class="bar".*?height="([\d.]+)".*?<title>(.*?): (\d+) characters?', drawing)
    assert len(bars) == charts.BINS
    heights = {label: (float(height), int(count)) for height, label, count in bars}
    assert heights["0.00 to 0.05"][1] == heights["0.95 to 1.00"][1] == 2
    assert heights["0.50 to 0.55"][0] == pytest.approx(heights["0.00 to 0.05"][0] / 2, abs=0.1)
    assert drawing.count('class="bound"') == 2
    assert charts.histogram([0.5], float("nan"), float("nan")).count('class="bound"') == 0


def test_dots_lie_where_posts_and_scores_say():
    points = [Point("few & <odd>", 10, 0.0), Point("more", 100, 1.0), Point("most", 1000, 0.5)]
    group = Group("10 to 1,000", 10, 1000, 3, Interval(0.5, 0.4, 0.6))
    drawing = charts.popularity(points, [group], "posts")
    dots = [(float(x), float(y)) for x, y in re.findall(r'class="dot" cx="([\d.]+)" cy="([\d.]+)"', drawing)]
    assert dots[1][0] - dots[0][0] == pytest.approx(dots[2][0] - dots[1][0], abs=0.2)
    assert dots[2][1] == pytest.approx((dots[0][1] + dots[1][1]) / 2, abs=0.1)
    assert "few &amp; &lt;odd&gt;: 10 posts, 0.00" in drawing


def test_licences_are_those_of_pages_and_files(tmp_path):
    import torch

    assert licences.of_network(CCIP, "deepghs/ccip_onnx", "judges").terms.startswith("OpenRAIL: use for any")
    assert licences.of_network("x", "SmilingWolf/wd-x", "tags").terms == "Apache License 2.0"
    assert licences.of_network("a/b", "a/b", "tags").terms == "see its page"
    assert licences.of_network("folder", "", "tags") == ("folder", "tags", licences.UNKNOWN, "a folder")
    path = tmp_path / "model.safetensors"
    save_file(
        {"a": torch.zeros(1)},
        path,
        {"modelspec.license": "Fair AI Public License 1.0-SD", "modelspec.title": "Epsilon"},
    )
    assert licences.of_weights(path, "draws") == (
        "Epsilon",
        "draws",
        "Fair AI Public License 1.0-SD",
        str(path),
    )
    assert licences.of_weights(tmp_path, "draws").terms == licences.UNKNOWN
