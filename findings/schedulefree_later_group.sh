#!/usr/bin/env bash
# schedulefree: a group that is added after train(), as one that unfreezes a text encoder later does, is in eval mode, and step() looks at the first group alone: its weights are trained, eval() leaves them as they are in training, not averaged, and the first train() after
# that moves them as if they had been averaged. Nothing says so. Expected: averaged as the first group's, or the error that step() raises of a first group in eval mode. train() after add_param_group helps.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 schedulefree==1.4.1 numpy==2.4.6
cat > "$folder/program.py" <<'PYTHON'
from importlib.metadata import version
import schedulefree, torch

torch.set_num_threads(1)

def run(kind, train_again):
    """The weight of the first group and of the later one: in training, for evaluation, and in training again."""
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = kind(weights[:1], lr=0.01)
    optimizer.train()
    optimizer.add_param_group({"params": weights[1:]})
    if train_again:
        optimizer.train()
    for _ in range(50):
        for weight in weights:
            weight.grad = torch.ones(1)
        optimizer.step()
    seen = []
    for mode in (lambda: None, optimizer.eval, optimizer.train):
        mode()
        seen.append([round(weight.item(), 5) for weight in weights])
    return seen

print("schedulefree", version("schedulefree"), "torch", torch.__version__, "first and later group in training, in evaluation, in training again:")
for kind in (schedulefree.AdamWScheduleFree, schedulefree.RAdamScheduleFree, schedulefree.SGDScheduleFree):
    training, evaluation, again = run(kind, train_again=False)
    print(f"  {kind.__name__}: {training} {evaluation} {again}")
    assert training[0] == training[1] == evaluation[1] == again[0], training
    assert evaluation[0] != training[0] and again[1] != training[1], (evaluation, again)
    seen = run(kind, train_again=True)
    assert all(first == later for first, later in seen) and seen == [training, [evaluation[0]] * 2, training], seen
PYTHON
"$folder/venv/bin/python" "$folder/program.py"
