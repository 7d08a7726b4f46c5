#!/usr/bin/env bash
# diffusers, transformers: the learning rate of get_scheduler("cosine") goes up again behind num_training_steps, and is whole again after as many steps more: a run that is made longer, or whose steps are counted for one GPU and made by accelerate on two, trains its end at growing rates. "linear", "polynomial" and
# "cosine_with_restarts" stay at their ends. Expected: zero, to which its description says that it falls.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import warnings
import diffusers.optimization, torch, transformers

warnings.simplefilter("error")

def rates(source, name):
    """The learning rates at the end of ten steps, five steps later, and ten."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = source.get_scheduler(name, optimizer, num_warmup_steps=0, num_training_steps=10)
    seen = []
    for _ in range(20):
        optimizer.step()
        schedule.step()
        seen.append(schedule.get_last_lr()[0])
    return [round(seen[number - 1], 3) for number in (5, 10, 15, 20)]

print("diffusers", diffusers.__version__, "transformers", transformers.__version__, "rates after 5, 10, 15 and 20 steps of 10:")
for source in (diffusers.optimization, transformers):
    seen = {name: rates(source, name) for name in ("linear", "polynomial", "cosine", "cosine_with_restarts")}
    print(f"  {source.__name__}: {seen}")
    assert seen["cosine"] == [0.5, 0, 0.5, 1], seen
    assert all(max(seen[name][1:]) < 1e-5 for name in ("linear", "polynomial", "cosine_with_restarts")), seen
PYTHON
