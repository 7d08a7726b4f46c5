"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hakubooru as hb

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "hakubooru": ROOT / "hakubooru",
    "hakubooru_trainer": ROOT / "trainer" / "hakubooru_trainer",
    "hakubooru_cli": ROOT / "cli" / "hakubooru_cli",
    "hakubooru_migrations": ROOT / "migrations" / "hakubooru_migrations",
}
MAY_IMPORT = {
    "hakubooru": set(),
    "hakubooru_trainer": {"hakubooru"},
    "hakubooru_migrations": {"hakubooru"},
    "hakubooru_cli": {"hakubooru", "hakubooru_trainer", "hakubooru_migrations"},
}


def test_all_is_the_public_surface():
    modules = {name for name, value in vars(hb).items() if type(value).__name__ == "module"}
    public = {name for name in vars(hb) if not name.startswith("_")} - modules
    assert sorted(public) == sorted(hb.__all__)


def test_version_is_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == hb.__version__


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package):
    for file in PACKAGES[package].rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            roots = {name.split(".")[0] for name in names} & set(PACKAGES)
            assert roots - {package} <= MAY_IMPORT[package], f"{file} imports {roots}"


def test_importing_is_light():
    code = "import sys, hakubooru; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "pyarrow", "PIL", "rapidfuzz"} & set(shown.stdout.split())


def test_the_command_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; from hakubooru_cli.main import cli; cli(['--help'])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Curate image data sets" in shown.stdout


def test_every_python_file_is_a_room_not_a_hall():
    long = [
        f"{file.relative_to(ROOT)}: {lines}"
        for package in PACKAGES.values()
        for file in package.rglob("*.py")
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 400
    ]
    assert long == []
