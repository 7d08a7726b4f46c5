from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import hakubooru as hb
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.evaluate.evaluation import Task, evaluate
from hakubooru_trainer.evaluate.options import (
    CharacterOptions,
    DrawingOptions,
    EvaluationOptions,
    ReferenceOptions,
    ScoreOptions,
)
from onnx_networks import write_ccip
from planted import names, write_planted

CHARACTERS, HUES = 18, 6


@pytest.fixture(scope="session")
def booru(tmp_path_factory):
    """A database and a folder of images, whose characters are colours."""
    return write_planted(tmp_path_factory.mktemp("planted"), CHARACTERS, hues=HUES)


@pytest.fixture(scope="session")
def ccip_folder(tmp_path_factory):
    return write_ccip(tmp_path_factory.mktemp("ccip"))


@pytest.fixture
def database(booru):
    with hb.open(booru[0]) as db:
        yield db


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder for features that tests share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def options(ccip_folder, cache):
    """A small evaluation; keywords replace values of sections: drawing={"batch": 3}."""

    def with_sections(**sections):
        plain = EvaluationOptions(
            characters=CharacterOptions(images=5),
            references=ReferenceOptions(count=6, cache=str(cache)),
            drawing=DrawingOptions(images=2, area=64 * 64, step=16, min_side=32, steps=2, batch=4),
            score=ScoreOptions(model=str(ccip_folder), resamples=500),
        )
        return replace(
            plain, **{name: replace(getattr(plain, name), **values) for name, values in sections.items()}
        )

    return with_sections


@pytest.fixture
def task(booru, options, tmp_path):
    """An evaluation of the planted booru into a new folder; keywords replace its parts."""

    def with_parts(out="out", **parts):
        database, images = booru
        plain = Task(
            model=Path("painter.safetensors"),
            lokr=None,
            database=database,
            images=[str(images)],
            out=tmp_path / out,
            options=options(),
        )
        return replace(plain, **parts)

    return with_parts


@pytest.fixture
def few():
    """Six characters, for tests to which their number does not matter."""
    return names(6)


@pytest.fixture
def evaluated(task):
    """The outcome of an evaluation with a drawer, in this process."""

    def run(drawer, out="out", **parts):
        with Ranks(torch.device("cpu")) as ranks:
            return evaluate(task(out, **parts), lambda: drawer, ranks, print)

    return run
