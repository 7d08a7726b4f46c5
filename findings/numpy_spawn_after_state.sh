#!/usr/bin/env bash
# NumPy: a Generator whose state was saved and set again goes on with the same numbers, but its spawn starts anew: bit_generator.state does not hold how many children there were, nor the seed. A run that gives each epoch or worker
# a spawned generator and resumes by the state draws the first children again, or those of a random seed. Expected: the state holds all that later results depend on. Pickling keeps it.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import copy
import numpy as np

run = np.random.default_rng(1)
earlier = [child.random() for child in run.spawn(2)]  # two epochs
resumed, other, copied = np.random.default_rng(1), np.random.default_rng(), copy.deepcopy(run)
resumed.bit_generator.state = other.bit_generator.state = run.bit_generator.state
numbers = [generator.random() for generator in (run, resumed, other, copied)]
children = [generator.spawn(1)[0].random() for generator in (run, resumed, other, copied)]
print("numpy", np.__version__, "the run, one with its state and seed, one with its state, and a copy:")
print("  next numbers:", numbers)
print("  next children:", children, "earlier children:", earlier)
assert len(set(numbers)) == 1, numbers
assert children[3] == children[0] not in earlier, children
assert children[1] == earlier[0] and children[2] not in (children[0], *earlier), children
PYTHON
