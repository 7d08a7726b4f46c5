"""Inputs of a training run as users have them: exports of another kind, files of Windows' editors."""

from __future__ import annotations

import pytest
import torch

import hakubooru as hb
from exports import write_database
from hakubooru.errors import DataSetError
from hakubooru_trainer.config import load
from hakubooru_trainer.config.options import DataOptions
from hakubooru_trainer.data import samples
from hakubooru_trainer.distributed import Ranks
from hakubooru_trainer.sample import read_prompts


def test_captions_alone_are_no_data_set(tmp_path):
    write_database(tmp_path / "posts.db", [1, 2, 3])
    with hb.open(tmp_path / "posts.db") as database:
        database.posts.export(tmp_path / "out", sink="captions")
    with pytest.raises(
        DataSetError, match=r"out holds captions without images .*; name an export with images"
    ):
        samples.load([DataOptions(path=str(tmp_path / "out"))], Ranks(torch.device("cpu")))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_prompts_and_configurations_of_windows_editors_are_read(tmp_path, encoding):
    (tmp_path / "prompts.txt").write_bytes("1girl, ★\r\n\r\nsolo\r\n".encode(encoding))
    assert read_prompts(tmp_path / "prompts.txt") == ["1girl, ★", "solo"]
    text = '[run]\r\nout = "x"\r\n[model]\r\npath = "★"\r\n[[data]]\r\npath = "z"\r\n'
    (tmp_path / "run.toml").write_bytes(text.encode(encoding))
    assert load(tmp_path / "run.toml").model.path == "★"
