"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from inspect import ismodule
from pathlib import Path

import pytest

import hakubooru as hb
from imports import circles, import_graph, imported, with_packages
from patches import patched_constants

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "hakubooru": ROOT / "hakubooru",
    "hakubooru_trainer": ROOT / "trainer" / "hakubooru_trainer",
    "hakubooru_cli": ROOT / "cli" / "hakubooru_cli",
    "hakubooru_migrations": ROOT / "migrations" / "hakubooru_migrations",
}
USERS = (ROOT / "cli", ROOT / "examples")
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROOMS = {
    "base": [
        *("hakubooru.arrays", "hakubooru.errors", "hakubooru.files"),
        *("hakubooru.fingerprint", "hakubooru.moments", "hakubooru.nearest", "hakubooru.processes"),
        *("hakubooru.overrides", "hakubooru.progress", "hakubooru.quantity", "hakubooru.settings"),
        "hakubooru.version",
    ],
    "store": ["hakubooru.store"],
    "ingest": ["hakubooru.ingest"],
    "migrations": ["hakubooru_migrations"],
    "select": ["hakubooru.select"],
    "engine": ["hakubooru.engine"],
    "caption": ["hakubooru.caption"],
    "image": ["hakubooru.image"],
    "results": ["hakubooru.results"],
    "export": ["hakubooru.export"],
    "face": [
        *(
            "hakubooru",
            "hakubooru.contact_sheet",
            "hakubooru.curating",
            "hakubooru.database",
            "hakubooru.lock",
            "hakubooru.recipe",
        ),
        *("hakubooru.plots", "hakubooru.selection", "hakubooru.stats"),
    ],
    "browse": ["hakubooru.browse"],
    "options": [
        *(f"hakubooru_trainer.config.{name}" for name in ("data", "learning", "optimisers", "options")),
        "hakubooru_trainer.prompts",
    ],
    "machine": [
        *("hakubooru_trainer", "hakubooru_trainer.distributed", "hakubooru_trainer.energy"),
        *("hakubooru_trainer.lock", "hakubooru_trainer.metrics", "hakubooru_trainer.noise"),
        *("hakubooru_trainer.randomness", "hakubooru_trainer.samplers"),
        *("hakubooru_trainer.stopping", "hakubooru_trainer.timesteps"),
    ],
    "model": ["hakubooru_trainer.model", "hakubooru_trainer.text"],
    "configuration": ["hakubooru_trainer.config"],
    "data": ["hakubooru_trainer.data"],
    "lokr": ["hakubooru_trainer.lokr"],
    "passes": [
        f"hakubooru_trainer.{name}"
        for name in ("average", "loss", "memory", "optim", "passes", "sample", "tally")
    ],
    "run": [
        *("hakubooru_trainer.checkpoint", "hakubooru_trainer.durable", "hakubooru_trainer.fingerprint"),
        *("hakubooru_trainer.convert", "hakubooru_trainer.first_config", "hakubooru_trainer.fits"),
        *("hakubooru_trainer.loop", "hakubooru_trainer.merge", "hakubooru_trainer.model_card"),
        *("hakubooru_trainer.outputs", "hakubooru_trainer.plan", "hakubooru_trainer.record"),
        *("hakubooru_trainer.result_version", "hakubooru_trainer.setup", "hakubooru_trainer.trial"),
    ],
    "evaluation": ["hakubooru_trainer.evaluate"],
    "commands": ["hakubooru_cli"],
}
"""The rooms of the house from the ground up; a module is in the room that names it, or else its package."""

LEVELS = {name: level for level, names in enumerate(ROOMS.values()) for name in names}


def level_of(module: str) -> int:
    """The place of a module's room in the order."""
    name = module
    while name not in LEVELS:
        name, _, _ = name.rpartition(".")
        # The face is all of `hakubooru` that has no room of its own, and so each module of it is named.
        assert name not in {"", "hakubooru"}, f"{module} is in no room: name it in ROOMS"
    return LEVELS[name]


@pytest.fixture(scope="module")
def graph():
    return import_graph(PACKAGES)


@pytest.mark.slow
def test_no_imports_go_in_a_circle(graph):
    assert circles(with_packages(graph)) == []


@pytest.mark.slow
def test_nothing_imports_from_a_room_above_its_own(graph):
    upward = [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in others
        if level_of(other) > level_of(module)
    ]
    assert upward == []


@pytest.mark.slow
def test_every_room_has_its_modules(graph):
    assert {module for module in graph if module in LEVELS} == LEVELS.keys()


@pytest.mark.parametrize(
    "body",
    [
        "from p.b import x",
        "import p.b",
        "from p import b",
        "def f():\n    from p.b import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import x",
    ],
)
def test_circles_are_seen_wherever_an_import_stands(tmp_path, body):
    for name, text in {
        "__init__": "",
        "a": body,
        "b": "import p.c",
        "c": "import p.a",
        "d": "import p.a",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    assert circles(import_graph({"p": tmp_path})) == [["p.a", "p.b", "p.c"]]


def test_circles_are_seen_by_way_of_a_package_that_runs_first(tmp_path):
    (tmp_path / "q").mkdir()
    for name, text in {
        "__init__": "",
        "a": "import p.q.b",
        "q/__init__": "import p.q.c",
        "q/b": "",
        "q/c": "import p.a",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    assert circles(with_packages(import_graph({"p": tmp_path}))) == [["p.a", "p.q", "p.q.c"]]


def test_all_is_the_public_surface():
    public = {name for name in dir(hb) if not name.startswith("_") and not ismodule(getattr(hb, name))}
    assert sorted(public) == sorted(hb.__all__)


def test_what_is_loaded_is_what_type_checkers_see():
    tree = ast.parse(Path(hb.__file__).read_text(encoding="utf-8"))
    (types,) = (node for node in tree.body if isinstance(node, ast.If))
    names = {
        alias.name: alias.asname or alias.name for alias in ast.walk(types) if isinstance(alias, ast.alias)
    }
    places = {names[name]: f"{source}:{name}" for source, name in imported(types)}
    predicates = places.pop("_PREDICATES")
    for node in types.body:
        if isinstance(node, ast.Assign):
            places[ast.unparse(node.targets[0])] = ast.unparse(node.value).replace("_PREDICATES", predicates)
    assert {name: place for name, place in hb._PLACES.items() if ":" in place} == places


@pytest.mark.slow
def test_names_are_loaded_when_they_are_asked_for():
    code = "import sys, hakubooru as hb; assert 'numpy' not in sys.modules; hb.score; assert 'numpy' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert hb.errors.InputError is hb.InputError
    with pytest.raises(AttributeError, match="has no attribute 'verfy'"):
        hb.verfy  # noqa: B018


def test_version_is_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == hb.__version__


def test_users_need_only_what_is_public():
    """What commands, examples and the README take is named in `hb.__all__`, or in a sub-package that `hb` names."""
    texts = {file: file.read_text(encoding="utf-8") for folder in USERS for file in folder.rglob("*.py")}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    texts |= {f"README, example {place}": text for place, text in enumerate(PYTHON_BLOCK.findall(readme))}
    private = []
    for place, text in texts.items():
        tree = ast.parse(text)
        names = {name or "" for source, name in imported(tree) if source == "hakubooru"}
        names |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in {"hb", "hakubooru"}
        }
        private += [
            f"{place}: hb.{name}" for name in names if name not in {*hb.__all__, "", "__version__", "errors"}
        ]
        private += [
            f"{place}: {source}.{name}"
            for source, name in imported(tree)
            if source.startswith("hakubooru.") and name not in public_names(source)
        ]
    assert private == []
    assert len(texts) > len(list((ROOT / "cli").rglob("*.py"))) + 1


def public_names(module: str) -> set[str]:
    """What a sub-package that the docstring of `hakubooru` names has for users; nothing of any other."""
    if f"`{module}`" not in str(hb.__doc__):
        return set()
    package = importlib.import_module(module)
    own = {name for name, value in vars(package).items() if getattr(value, "__module__", None) == module}
    return {name for name in getattr(package, "__all__", own) if not name.startswith("_")}


def test_sub_packages_that_are_named_have_public_names():
    packages = re.findall(r"`(hakubooru\.[\w.]+)`", str(hb.__doc__))
    assert len(packages) == 11
    assert all(public_names(module) for module in packages)


@pytest.mark.slow
def test_importing_is_light():
    code = "import sys, hakubooru; hakubooru.Database; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "pyarrow", "PIL", "rapidfuzz", "tqdm"} & set(process.stdout.split())


def test_the_help_of_the_command_needs_only_click():
    code = (
        "import sys; sys.modules |= dict.fromkeys(['torch', 'numpy', 'peewee']); "
        "from hakubooru_cli.main import cli; cli(['--help'])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Curate image data sets" in process.stdout


def test_every_python_file_is_a_room_not_a_hall():
    long = [
        f"{file.relative_to(ROOT)}: {lines}"
        for package in PACKAGES.values()
        for file in package.rglob("*.py")
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 400
    ]
    assert long == []


@pytest.mark.slow
def test_no_test_patches_a_constant_of_ours():
    """What a test must set is an argument with a default: of the function that it calls, or of an inner one."""
    patched = [
        f"{file.relative_to(ROOT)}: {statement}"
        for file in (ROOT / "tests").rglob("*.py")
        if file != Path(__file__)
        for statement in patched_constants(ast.parse(file.read_text(encoding="utf-8")), PACKAGES)
    ]
    assert patched == []


@pytest.mark.parametrize(
    ("code", "is_ours"),
    [
        ("from hakubooru.export import run\nmonkeypatch.setattr(run, '_MOST', 1)", True),
        ("import hakubooru as hb\nmonkeypatch.setattr(hb.errors, 'MOST', 1)", True),
        ("monkeypatch.setattr('hakubooru.image.remote._MOST', 1)", True),
        ("for module in (one, two):\n    setattr(module, 'MOST', 1)", True),
        ("from hakubooru.export import run\nbefore, run.MOST = run.MOST, 1", True),
        ("CHILD = 'from hakubooru.export import run; run.MOST = 1'", True),
        ("CHILD = f'from hakubooru.export import run; run.MOST = {most}1'", True),
        ("from huggingface_hub import constants\nmonkeypatch.setattr(constants, 'ENDPOINT', 1)", False),
        ("monkeypatch.setattr('tempfile.MOST', 1)", False),
        ("from hakubooru.export import run\nmonkeypatch.setattr(run, 'Journal', 1); print(run.MOST)", False),
        ("MOST = 1", False),
    ],
)
def test_patches_are_seen_however_they_are_written(code, is_ours):
    assert len([*patched_constants(ast.parse(code), PACKAGES)]) == is_ours
