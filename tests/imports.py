"""What modules import of each other, read from their syntax trees: at once, inside functions, and for type hints."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path


def modules(packages: Mapping[str, Path]) -> dict[str, Path]:
    """The files of packages by the full names of their modules."""
    return {
        ".".join((name, *file.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__"): file
        for name, folder in packages.items()
        for file in folder.rglob("*.py")
    }


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement below a node, wherever it stands: what is below expressions, nearly all, is not walked."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield node
            yield from statements(node)


def imported(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Every import below a node, wherever it stands, as a module and the name that is taken from it."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not read"
            yield from ((node.module or "", alias.name) for alias in node.names)


def import_graph(packages: Mapping[str, Path]) -> dict[str, set[str]]:
    """By module, which others of the packages it imports."""
    files = modules(packages)
    graph = {}
    for module, file in files.items():
        pairs = imported(ast.parse(file.read_text(encoding="utf-8")))
        targets = {whole if (whole := f"{source}.{name}") in files else source for source, name in pairs}
        graph[module] = targets & files.keys() - {module}
    return graph


def with_packages(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """By module, what its imports run: the modules and the packages that hold these, which Python runs first.

    The outermost packages are left out: they import what they hold when it is first used.
    """
    return {
        module: others
        | {
            package
            for other in others
            for package in _packages(other) - _packages(module) - {module}
            if package in graph and "." in package
        }
        for module, others in graph.items()
    }


def _packages(module: str) -> set[str]:
    names = module.split(".")
    return {".".join(names[:end]) for end in range(1, len(names))}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan 1972)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    components = []

    def visit(module: str) -> None:
        numbers[module] = lowest[module] = len(numbers)
        stack.append(module)
        for other in graph[module]:
            if other not in numbers:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], numbers[other])
        if lowest[module] == numbers[module]:
            place = stack.index(module)
            if len(stack) - place > 1:
                components.append(sorted(stack[place:]))
            del stack[place:]

    for module in graph:
        if module not in numbers:
            visit(module)
    return components
