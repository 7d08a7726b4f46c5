"""Several processes that train as one."""

from __future__ import annotations

import pytest
import torch

from hakubooru.errors import ConfigError
from hakubooru_trainer import loop
from hakubooru_trainer.config.options import BatchOptions
from hakubooru_trainer.distributed import Ranks


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_batches_are_dealt_out_by_their_numbers(monkeypatch, world):
    """Every update's batches are shared among the ranks, wherever a run is taken up, and in their order."""
    every = []
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        every.append(Ranks(torch.device("cpu")))
    for first in range(9):
        shares = [one.mine(range(first, 50)) for one in every]
        assert sorted(number for share in shares for number in share) == [*range(first, 50)]
        for start in range(first, 50, 7):
            update = range(start, min(start + 7, 50))
            for one, share in zip(every, shares, strict=True):
                assert [*one.mine(update)] == [number for number in share if number in update]


def test_each_rank_needs_a_batch(options, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "5")
    told = options(batch=BatchOptions(accumulation=4))
    with pytest.raises(ConfigError, match=r"4 batches \(batch\.accumulation\) and there are 5 ranks"):
        loop.prepare(told, Ranks(torch.device("cpu")), loop.data_set(told, Ranks(torch.device("cpu"))))
