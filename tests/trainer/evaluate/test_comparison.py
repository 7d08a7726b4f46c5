"""Comparing two evaluations, paired by character."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pyarrow import parquet

from hakubooru.errors import InputError
from hakubooru_trainer.evaluate import conditions
from hakubooru_trainer.evaluate.comparison import compare
from hakubooru_trainer.evaluate.conditions import Conditions

SETTINGS = {"version": 1, "drawing.steps": 24, "drawing.negative": "", "characters": "sha256:1"}


def write(folder, scores, query="solo", **settings):
    """The folder of an evaluation that ended with these scores."""
    folder.mkdir()
    about = {"asked": {"references.query": query, "references.count": 16}}
    conditions.keep(folder, Conditions(SETTINGS | settings, {"by": folder.name}, about))
    import pyarrow as pa

    table = pa.table({"character": [f"hero_{n}" for n in range(len(scores))], "score": list(scores)})
    parquet.write_table(table, folder / "scores.parquet")
    return folder


def test_pairs_tell_what_means_alone_do_not(tmp_path):
    """Characters differ far more than the models do; each model is a little better in all of them."""
    draw = np.random.default_rng(1)
    first = draw.uniform(0.1, 0.8, 300)
    other = first + draw.normal(0.02, 0.03, 300)
    comparison = compare(write(tmp_path / "a", first), write(tmp_path / "b", other))
    assert comparison.difference.mean == pytest.approx(np.mean(other - first))
    error = np.std(other - first) / 300**0.5
    assert comparison.difference.low == pytest.approx(np.mean(other - first) - 1.96 * error, abs=0.0006)
    assert comparison.difference.low > 0
    text = str(comparison)
    assert f"{tmp_path / 'b'} is better" in text
    assert "paired by 300 characters" in text
    assert comparison.better + comparison.worse == 300
    most = int(np.argmax(other - first))
    assert comparison.gains[0][0] == f"hero_{most}"


def test_models_that_may_be_equal_are_called_so(tmp_path):
    a = write(tmp_path / "a", [0.1, 0.5, 0.9, 0.3])
    b = write(tmp_path / "b", [0.5, 0.1, 0.3, 0.9])
    comparison = compare(a, b)
    assert comparison.difference.low < 0 < comparison.difference.high
    assert "the interval holds 0: they may be equal" in str(comparison)


def test_evaluations_that_differ_are_refused_with_all_that_does(tmp_path):
    a = write(tmp_path / "a", [0.1])
    b = write(tmp_path / "b", [0.1], **{"drawing.steps": 30, "drawing.negative": "lowres"})
    with pytest.raises(InputError) as error:
        compare(a, b)
    assert f"drawing.steps is 24 in {a} and 30 in {b}" in str(error.value)
    assert f'drawing.negative is "" in {a} and "lowres" in {b}' in str(error.value)
    assert "characters" not in str(error.value).partition("; evaluate both")[0].partition(":")[2]


def test_what_was_asked_for_explains_why_references_differ(tmp_path):
    a = write(tmp_path / "a", [0.1], references="sha256:1")
    b = write(tmp_path / "b", [0.1], references="sha256:2", query="solo rating:g")
    with pytest.raises(InputError) as error:
        compare(a, b)
    assert f'references is "sha256:1" in {a} and "sha256:2" in {b}' in str(error.value)
    assert f'references.query is "solo" in {a} and "solo rating:g" in {b}; evaluate both' in str(error.value)
    # Another question with the same answer is no difference.
    same = write(tmp_path / "c", [0.1], references="sha256:1", query="solo rating:g")
    assert compare(a, same).difference.mean == 0


def test_folders_without_results_are_named(tmp_path):
    a = write(tmp_path / "a", [0.1, 0.2])
    with pytest.raises(InputError, match=r"none.evaluation\.json is no record of an evaluation"):
        compare(a, tmp_path / "none")
    b = write(tmp_path / "b", [0.1])
    with pytest.raises(InputError, match="have scores of different characters"):
        compare(a, b)
    (b / "scores.parquet").unlink()
    with pytest.raises(InputError, match=r"scores\.parquet has no scores .*an evaluation that ended"):
        compare(a, b)
    table = json.loads((a / "evaluation.json").read_text())
    table["settings"]["drawing.steps"] = 25
    (a / "evaluation.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match=r"evaluation\.json was changed after it was written"):
        compare(a, b)
