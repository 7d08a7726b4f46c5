#!/usr/bin/env bash
# ratarmount: the index that it writes beside a tar is used as long as the tar has the same size, however new the tar is: of an archive that was written anew with its images in another order, 1.jpg gives the bytes of another image, with no error and no warning.
# Tars are padded to 10,240 bytes, so that sizes are often the same. Expected: a newer tar is indexed anew, or refused. verifyModificationTime=True does it (--verify-mtime), and then the index is refused for a tar that was copied.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile ratarmountcore==0.11.1
"$folder/venv/bin/python" - "$folder/00000.tar" <<'PYTHON' > "$folder/output" || { cat "$folder/output"; exit 1; }
import io, os, sys, tarfile
from importlib.metadata import version
from ratarmountcore.mountsource.factory import open_mount_source

path = sys.argv[1]
names = [f"{number}.jpg" for number in range(1, 1101)]

def write(order, modified):
    with tarfile.open(path, "w") as tar:
        for name in order:
            info = tarfile.TarInfo(name); info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    os.utime(path, (modified, modified))

def wrong(**options):
    """The members whose bytes are those of another one."""
    with open_mount_source(path, writeIndex=True, **options) as source:
        read = {name: source.open(source.lookup(f"/{name}")).read().decode() for name in names}
    return {name: data for name, data in read.items() if name != data}

write(names, 1_700_000_000)
first, size = wrong(), os.path.getsize(path)
assert os.path.exists(f"{path}.index.sqlite")
turned = names[::-1]
write(turned, 1_800_000_000)
second = wrong()
checked = wrong(verifyModificationTime=True)
print("seen: ratarmountcore", version("ratarmountcore"), "members that give another's bytes: at first", len(first), "of a newer tar of the same size", len(second), "of", len(names), "such as", [*second.items()][-1], "with verifyModificationTime", len(checked))
assert os.path.getsize(path) == size and not first and not checked
assert len(second) > 1000, second
PYTHON
grep '^seen: ' "$folder/output"
