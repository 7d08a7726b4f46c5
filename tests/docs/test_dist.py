"""The wheel and the sdist: what is in them, and that the wheel works in a fresh environment."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

from code_blocks import ROOT

pytestmark = [pytest.mark.docs, pytest.mark.slow]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder of the wheel and the sdist, built as `make dist` does."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return out


def test_the_wheel_holds_four_packages_with_their_data(dist):
    (wheel,) = dist.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if "dist-info" not in name}
    assert tops == {"hakubooru", "hakubooru_cli", "hakubooru_migrations", "hakubooru_trainer"}
    assert "hakubooru/recipes/epsilon.toml" in names
    assert any(name.endswith("tokenizer/LICENSE") for name in names)
    assert any(name.endswith("py.typed") for name in names)


def test_the_sdist_holds_tests_and_documentation(dist):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "docs/tutorial.md", "tests/conftest.py"} <= names


def test_the_wheel_works_in_a_fresh_environment(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    install = [str(python), "-m", "pip", "install", "--quiet", "-c", str(constraints), str(wheel)]
    result = subprocess.run(install, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    program = [str(python.with_name("hakubooru")), "demo", "demo"]
    result = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "demo" / "out" / "manifest.parquet").exists()
    trained = [str(python.with_name("hakubooru-train")), "plan", "x.toml"]
    result = subprocess.run(trained, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "pip install '.[train]'" in result.stderr
