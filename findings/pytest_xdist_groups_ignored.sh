#!/usr/bin/env bash
# pytest-xdist: with pytest 9.2.0, --dist loadgroup spreads the tests of a group over all workers, without a word: what a group is to set up once (a cluster, a browser, a model) is set up in each.
# xdist writes the group into an attribute of a test that pytest no longer reads. Expected: one worker runs the tests of a group, as with 9.1.1, or an error.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cat > "$folder/test_group.py" <<'PYTHON'
import os
import pathlib
import time

import pytest

@pytest.mark.xdist_group("cluster")
@pytest.mark.parametrize("number", range(8))
def test_of_a_group(number):
    time.sleep(0.2)
    (pathlib.Path(os.environ["SEEN"]) / os.environ["PYTEST_XDIST_WORKER"]).touch()
PYTHON
for version in 9.1.1 9.2.0; do
    python3.11 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "pytest==$version" pytest-xdist==3.8.0
    export SEEN="$folder/seen$version"; mkdir "$SEEN"
    "$folder/$version/bin/python" -m pytest -q -n 2 --dist loadgroup -p no:cacheprovider "$folder/test_group.py" > "$folder/output" || { cat "$folder/output"; exit 1; }
    echo "pytest $version, pytest-xdist 3.8.0: one group ran in $(ls "$SEEN" | wc -l) of 2 workers"
done
[ "$(ls "$folder/seen9.1.1" | wc -l)" = 1 ] && [ "$(ls "$folder/seen9.2.0" | wc -l)" = 2 ]
