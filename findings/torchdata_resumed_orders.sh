#!/usr/bin/env bash
# torchdata: a StatefulDataLoader that shuffles by a generator of its own, without workers, ends the epoch in which it was resumed rightly, and goes on with orders that the run that was not stopped never has, also where its state was taken at an epoch's end. With workers, or shuffled by torch's own
# random numbers, the epochs follow as in that run. A test of one epoch sees nothing. Expected: the same epochs each time, since all of the state that is there was saved and loaded.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile torch==2.13.0 torchdata==0.11.0 numpy==2.4.6
cat > "$folder/program.py" <<'PYTHON'
from importlib.metadata import version
import torch
from torchdata.stateful_dataloader import StatefulDataLoader

def loader(workers, own):
    torch.manual_seed(7)
    generator = torch.Generator().manual_seed(3) if own else None
    return StatefulDataLoader(range(20), batch_size=4, shuffle=True, num_workers=workers, generator=generator)

def ids(batches):
    return [id for batch in batches for id in batch.tolist()]

def resumed(workers, own, end):
    """The epochs after the one in which the state was taken, numbered by those of a run that was not stopped; 0 is none of them."""
    whole = loader(workers, own)
    epoch = []
    for number, batch in enumerate(whole):
        epoch += batch.tolist()
        if number == 1:
            state = whole.state_dict()
    if end:
        state = whole.state_dict()
    epochs = [epoch, *(ids(whole) for _ in range(3))]
    again = loader(workers, own)
    again.load_state_dict(state)
    if not end:
        assert ids(again) == epoch[8:]
    return [epochs.index(order) + 1 if order in epochs else 0 for order in (ids(again), ids(again))]

def main():
    print("torchdata", version("torchdata"), "torch", torch.__version__, "epochs that follow a resumed one:")
    for end in (False, True):
        for workers, own in ((0, True), (0, False), (1, True)):
            seen = resumed(workers, own, end)
            print(f"  state taken {'at the end' if end else 'in the middle'} of the first, {workers} workers, {'own generator' if own else 'torch`s numbers'}: {seen}")
            assert seen == ([2, 3] if workers or not own else [0, 0]), seen

if __name__ == "__main__":
    main()
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/program.py"
