#!/usr/bin/env bash
# pytorch-optimizer: Prodigy and the optimisers of D-Adaptation (DAdaptAdam, DAdaptSGD) take the learning rate of the first group for all of them, without a word: a text encoder with a quarter of the rate learns as fast as the UNet, and one with rate 0, to hold it still, is trained in full.
# prodigyopt and dadaptation, from which they were taken up, hold a group of rate 0 still and refuse other differences. Its AdamW goes by each group's rate. Expected: the same, or an error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 pytorch-optimizer==4.1.0 prodigyopt==1.1.2 dadaptation==3.2 numpy==2.4.6
cat > "$folder/program.py" <<'PYTHON'
from importlib.metadata import version
import dadaptation, prodigyopt, pytorch_optimizer, torch

torch.set_num_threads(1)

def ways(kind, rate, first_rate=1.0):
    """How far the weights of the first group and of the second have come in 30 steps, where the rate of the second differs."""
    weights = [torch.nn.Parameter(torch.ones(50)) for _ in range(2)]
    optimizer = kind([{"params": [weights[0]], "lr": first_rate}, {"params": [weights[1]], "lr": rate}], lr=first_rate)
    for _ in range(30):
        for weight in weights:
            weight.grad = weight.detach() - 3
        optimizer.step()
    return [float(weight.detach().mean() - 1) for weight in weights]

print("pytorch-optimizer", version("pytorch_optimizer"), "torch", torch.__version__, "way of the first group and of the second, by the rate of the second:")
for name in ("Prodigy", "DAdaptAdam", "DAdaptSGD"):
    kind = getattr(pytorch_optimizer, name)
    equal, quarter, zero = (ways(kind, rate) for rate in (1.0, 0.25, 0.0))
    print(f"  {name}: {equal} at 1, {quarter} at 0.25, {zero} at 0")
    assert equal == quarter == zero and zero[1] > 0, name
    origin = getattr(prodigyopt if name == "Prodigy" else dadaptation, name)
    first, second = ways(origin, 0.0)
    print(f"    {origin.__module__}: {[first, second]} at 0")
    assert first > 0 and second == 0, (first, second)
    try:
        ways(origin, 0.25)
        raise SystemExit("no error")
    except RuntimeError as error:
        assert "Setting different lr values in different parameter groups is only supported for values of 0" in str(error), error
first, second = ways(pytorch_optimizer.AdamW, 0.0, 0.01)
print("  AdamW:", [first, second], "at 0")
assert first > 0 and second == 0
PYTHON
"$folder/venv/bin/python" "$folder/program.py" 2> "$folder/errors" || { cat "$folder/errors"; exit 1; }
