"""Which kernels a run lets torch use. A device of kind `cuda` can be named without a GPU."""

from __future__ import annotations

import pytest
import torch

from hakubooru.errors import TrainingError
from hakubooru_trainer.config.options import RunOptions
from hakubooru_trainer.determinism import deterministic

pytestmark = pytest.mark.slow

GPU = torch.device("cuda")
OPTIONS = RunOptions(out="out")
FREE = RunOptions(out="out", deterministic=False)


@pytest.mark.parametrize(
    ("options", "device", "strict"),
    [(OPTIONS, GPU, True), (FREE, GPU, False), (OPTIONS, torch.device("cpu"), False)],
)
def test_torch_is_strict_on_a_gpu_and_afterwards_as_it_was(options, device, strict):
    with deterministic(options, device):
        assert torch.are_deterministic_algorithms_enabled() == strict
        assert torch.utils.deterministic.fill_uninitialized_memory != strict
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_an_operation_without_such_a_kernel_is_named_with_the_option():
    numbers = torch.zeros(3)
    with (
        pytest.raises(TrainingError, match=r"^put_.* has no kernel .*; set run\.deterministic = false"),
        deterministic(OPTIONS, GPU),
    ):
        numbers.put_(torch.tensor([0]), torch.tensor([1.0]))
    assert not torch.are_deterministic_algorithms_enabled()


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), deterministic(OPTIONS, GPU):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert not torch.are_deterministic_algorithms_enabled()
