#!/usr/bin/env bash
# accelerate: where the batches of an epoch are no multiple of gradient_accumulation_steps, the ones left over make an update of their own, whose gradient is divided by the whole number all the same: with 5 batches and 4 steps, the
# last batch of each epoch moves SGD by a quarter of what its gradient asks, and Adam, which does not see the size, by a whole step on one batch's noise. Expected: the mean over the batches that are there, or that they
# are carried over, as sync_with_dataloader=False does.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 accelerate==1.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import accelerate, torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin
from torch.utils.data import DataLoader

def moves(sync):
    """How far each update of two epochs of five batches moves a weight whose gradient is 1 for each batch."""
    plugin = GradientAccumulationPlugin(num_steps=4, sync_with_dataloader=sync)
    accelerator = Accelerator(cpu=True, gradient_accumulation_plugin=plugin)
    model = torch.nn.Linear(1, 1, bias=False)
    weight = model.weight
    model, optimizer, loader = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0), DataLoader(torch.ones(5, 1), batch_size=1))
    steps = []
    for _ in range(2):
        for batch in loader:
            before = weight.item()
            with accelerator.accumulate(model):
                accelerator.backward(model(batch).sum())
                optimizer.step()
                optimizer.zero_grad()
            if accelerator.sync_gradients:
                steps.append(round(before - weight.item(), 3))
    return steps

seen = {sync: moves(sync) for sync in (True, False)}
print("accelerate", accelerate.__version__, "torch", torch.__version__, "moves by the updates of two epochs of 5 batches, by 4 accumulated:", seen[True], "with sync_with_dataloader=False:", seen[False])
assert seen == {True: [1, 0.25, 1, 0.25], False: [1, 1]}, seen
PYTHON
