"""Planted truths come out, and an evaluation that was cut off ends as one that was not."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from pyarrow import parquet

import hakubooru as hb
from hakubooru.errors import DestinationError, IncompleteError, InputError
from hakubooru_trainer.evaluate import catalogue, drawing, extraction
from hakubooru_trainer.evaluate.comparison import compare
from onnx_networks import write_tagger
from planted import Painter

HUES = 6


def right():
    return Painter.of(HUES, lambda own, draw: own)


def by_chance():
    """Takes every character for a random other one."""

    def other(own, draw):
        number = int(draw.integers(0, 17))
        return number + (number >= own)

    return Painter.of(HUES, other)


def pictures(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("pictures/*/*.png")
    }


@pytest.mark.slow
def test_whoever_draws_each_character_rightly_scores_the_ceiling(evaluated):
    figures = evaluated(right()).figures
    assert figures.score.low <= figures.ceiling.mean <= figures.score.high
    assert figures.ceiling.low <= figures.score.mean <= figures.ceiling.high
    assert figures.floor.high < figures.score.low
    assert figures.ceiling.mean < 0.9  # references differ: the ceiling says something


@pytest.mark.slow
def test_whoever_draws_by_chance_scores_the_floor(evaluated):
    figures = evaluated(by_chance()).figures
    assert figures.score.low <= figures.floor.mean <= figures.score.high
    assert figures.score.high < figures.ceiling.low


@pytest.mark.slow
def test_whoever_draws_a_third_of_the_characters_wrongly_loses_a_third(evaluated, tmp_path):
    evaluated(right(), "right")
    evaluated(Painter.of(HUES, lambda own, draw: own + 3 * (own % 3 == 0)), "worse")  # the opposite hue
    rows = parquet.read_table(tmp_path / "worse" / "scores.parquet").to_pylist()
    assert {
        row["character"]: row["score"] for row in rows if row["character"][5:7] in {"00", "03", "15"}
    } == {f"hero_{number}_(planted)": 0.0 for number in ("00", "03", "15")}
    comparison = compare(tmp_path / "right", tmp_path / "worse")
    first, other = comparison.scores
    assert comparison.difference.mean == pytest.approx(other - first)
    assert first / 3 == pytest.approx(first - other, rel=0.2)
    assert comparison.difference.high < 0
    assert {name[5:7] for name, _ in comparison.losses} <= {"00", "03", "06", "09", "12", "15"}


@pytest.mark.slow
def test_scores_are_what_a_loop_over_colours_gives(evaluated, tmp_path, booru):
    """The share of references within the threshold, from the images themselves."""
    evaluated(right())
    rows = parquet.read_table(tmp_path / "out" / "scores.parquet").to_pylist()
    references = parquet.read_table(tmp_path / "out" / "references.parquet").to_pylist()

    def colour(path):
        from PIL import Image

        return np.asarray(Image.open(path).convert("RGB"), np.float64).mean((0, 1)) / 255

    for place, row in enumerate(rows):
        own = [reference for reference in references if reference["character"] == row["character"]]
        assert len(own) == row["references"] == 6
        reference_hues = np.array([colour(booru[1] / f"{reference['post']}.png") for reference in own])
        picture_hues = [
            colour(tmp_path / "out" / "pictures" / "000" / f"{place:05d}-{number}.png") for number in (0, 1)
        ]
        apart = np.array([np.linalg.norm(reference_hues - hue, axis=1) for hue in picture_hues])
        assert row["score"] == pytest.approx(np.mean(apart <= 0.1))
        assert row["difference"] == pytest.approx(apart.mean(), abs=1e-4)
        assert row["best_score"] == pytest.approx(max(np.mean(apart <= 0.1, axis=1)))
        assert row["best_score"] >= row["worst_score"]


@pytest.mark.slow
def test_a_second_model_costs_no_features_of_references(evaluated, monkeypatch, tmp_path, options, few):
    looked = []
    plain = extraction.picture_of
    monkeypatch.setattr(extraction, "picture_of", lambda data: looked.append(1) or plain(data))
    fresh = options(references={"cache": str(tmp_path / "cache")})
    evaluated(right(), "one", options=fresh, names=few)
    assert len(looked) == 6 * (6 + 2)
    looked.clear()
    evaluated(by_chance(), "two", options=fresh, names=few)
    assert len(looked) == 6 * 2


@pytest.mark.slow
@pytest.mark.parametrize("pictures_before", [3, 8])
def test_an_interrupted_evaluation_draws_the_same(evaluated, tmp_path, pictures_before, monkeypatch, few):
    whole = right()
    evaluated(whole, "whole", names=few)
    first = right()
    paths = []
    plain = drawing.replacing

    def fails(path):
        paths.append(path)
        if len(paths) > pictures_before:
            raise KeyboardInterrupt
        return plain(path)

    monkeypatch.setattr(drawing, "replacing", fails)
    with pytest.raises(KeyboardInterrupt):
        evaluated(first, names=few)
    assert len(pictures(tmp_path / "out")) == pictures_before
    monkeypatch.setattr(drawing, "replacing", plain)
    second = right()
    evaluated(second, names=few)
    assert pictures(tmp_path / "out") == pictures(tmp_path / "whole")
    # Batches are drawn as before: whole ones that are done are left out.
    assert second.batches == whole.batches[pictures_before // 4 :]
    for name in ("scores.parquet", "report.html"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_features_that_were_kept_before_an_interruption_stay(evaluated, tmp_path, monkeypatch, options, few):
    fresh = options(references={"cache": str(tmp_path / "cache")}, score={"batch": 2})
    add, portions = catalogue.Catalogue.add_features, []

    def fails(self, network, features):
        if len(portions) == 3:
            raise KeyboardInterrupt
        portions.append(len(features))
        add(self, network, features)

    monkeypatch.setattr(catalogue.Catalogue, "add_features", fails)
    with pytest.raises(KeyboardInterrupt):
        evaluated(right(), options=fresh, names=few)
    monkeypatch.undo()
    looked = []
    plain = extraction.picture_of
    monkeypatch.setattr(extraction, "picture_of", lambda data: looked.append(1) or plain(data))
    evaluated(right(), options=fresh, names=few)
    assert len(looked) == 6 * (6 + 2) - sum(portions)


@pytest.mark.slow
def test_pictures_of_another_model_are_not_mixed(evaluated, tmp_path, options, few):
    evaluated(right(), names=few)
    with pytest.raises(
        DestinationError, match=r"holds another evaluation: drawn\.by differs \(drawn\.by was"
    ):
        evaluated(Painter.of(HUES, lambda own, draw: own, identity="another"), names=few)
    with pytest.raises(DestinationError, match=r"drawing\.steps differs \(drawing\.steps was 2 and is 3\)"):
        evaluated(right(), names=few, options=options(drawing={"steps": 3}))
    with pytest.raises(DestinationError, match=r"drawn\.drawing\.batch was 4 and is 2"):
        evaluated(right(), names=few, options=options(drawing={"batch": 2}))
    with pytest.raises(
        DestinationError, match=r"drawn\.tokens differs \(drawn\.tokens was .words. and is .others.\)"
    ):
        evaluated(Painter.of(HUES, lambda own, draw: own, tokens="others"), names=few)
    record = tmp_path / "out" / "evaluation.json"
    table = json.loads(record.read_text())
    del table["drawn"]["tokens"]  # as earlier versions wrote it
    record.write_text(json.dumps(table))
    evaluated(right(), names=few)
    record.write_text("{}")
    with pytest.raises(InputError, match="is no record of an evaluation"):
        evaluated(right(), names=few)
    record.unlink()
    with pytest.raises(DestinationError, match=r"has pictures and scores\.parquet and no evaluation\.json"):
        evaluated(Painter.of(HUES, lambda own, draw: own, identity="another"), names=few)


@pytest.mark.slow
def test_what_a_second_call_evaluates_with_is_recorded(evaluated, tmp_path, options, few):
    """A tagger that was not there at first; the rest of the record stays."""
    folder = write_tagger(tmp_path / "my-tagger", {"1girl": ("0", 0)})
    records = []
    for tags in ({}, {"model": str(folder)}):
        evaluated(right(), names=few, options=options(tags=tags))
        records.append(json.loads((tmp_path / "out" / "evaluation.json").read_text()))
    names = [[licence["model"] for licence in record["about"]["licences"]] for record in records]
    assert [name for name in names[1] if name not in names[0]] == [str(folder)]
    assert all(records[0][key] == records[1][key] for key in ("settings", "drawn", "fingerprint"))


@pytest.mark.slow
def test_a_damaged_picture_is_named(evaluated, tmp_path, few):
    evaluated(right(), names=few)
    path = tmp_path / "out" / "pictures" / "000" / "00003-1.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(IncompleteError, match=r"00003-1\.png cannot be decoded .* remove it and run"):
        evaluated(right(), names=few)
    path.unlink()
    evaluated(right(), names=few)


@pytest.mark.slow
def test_characters_without_a_reference_are_left_out_and_named(evaluated, booru, tmp_path, few):
    folder = tmp_path / "some"
    shutil.copytree(booru[1], folder)
    with hb.open(booru[0]) as database:
        for post in database.posts.search("hero_02_(planted)").to_ids().tolist():
            (folder / f"{post}.png").unlink(missing_ok=True)
        broken = database.posts.search("hero_04_(planted) solo rating:g").to_ids().tolist()
    for post in broken:
        if (folder / f"{post}.png").exists():
            (folder / f"{post}.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    outcome = evaluated(right(), "fewer", images=[str(folder)], names=few)
    assert outcome.figures.without == ["hero_02_(planted)", "hero_04_(planted)"]
    assert outcome.figures.unreadable == 6
    assert outcome.characters == 4
    assert "2 characters have no reference in the archives: hero_02_(planted), hero_04" in str(outcome)
    others = tmp_path / "others"
    others.mkdir()
    shutil.copy(next(iter(booru[1].iterdir())), others / "999999.png")
    with pytest.raises(InputError, match="none of the archives holds an image of these characters"):
        evaluated(right(), "none", images=[str(others)], names=few)
