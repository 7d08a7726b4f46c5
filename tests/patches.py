"""Which constants code sets from outside, read from its syntax tree and from those of the programs in its texts."""

import ast
import re
from collections.abc import Collection, Iterator
from contextlib import suppress

CAPITALS = re.compile(r"_*[A-Z][A-Z0-9_]+")


def patched_constants(tree: ast.AST, packages: Collection[str]) -> Iterator[str]:
    """The statements that set a name in capitals of another module or object.

    Args:
        tree: a syntax tree.
        packages: the packages whose constants are meant. What is imported from elsewhere may be patched.
    """
    nodes = [*ast.walk(tree)]
    theirs = _imported_from_elsewhere(nodes, packages)
    for node in nodes:
        if any(CAPITALS.fullmatch(name) and owner not in theirs for owner, name in _set_by(node, packages)):
            yield ast.unparse(node)
        elif isinstance(node, ast.Constant | ast.JoinedStr) and "import " in (text := _text(node)):
            with suppress(SyntaxError, ValueError):
                yield from patched_constants(ast.parse(text), packages)


def _imported_from_elsewhere(nodes: Collection[ast.AST], packages: Collection[str]) -> set[str]:
    return {
        (alias.asname or alias.name).partition(".")[0]
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).partition(".")[0] not in packages
    }


def _set_by(node: ast.AST, packages: Collection[str]) -> Iterator[tuple[str, str]]:
    """The names that a node sets, each with the name at the beginning of its owner's."""
    match node:
        case ast.Attribute(value=owner, attr=name, ctx=ast.Store() | ast.Del()):
            yield _beginning(owner), name
        case ast.Call(func=ast.Attribute(attr="setattr" | "delattr") | ast.Name(id="setattr" | "delattr")):
            match node.args:
                case [ast.Constant(value=str(path)), *_]:
                    package, _, rest = path.partition(".")
                    if package in packages:
                        yield package, rest.rpartition(".")[2]
                case [owner, ast.Constant(value=str(name)), *_]:
                    yield _beginning(owner), name


def _beginning(owner: ast.AST) -> str:
    while isinstance(owner, ast.Attribute):
        owner = owner.value
    return owner.id if isinstance(owner, ast.Name) else ""


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    """The text of a constant; of an f-string, without what is put into it."""
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(value.value for value in values if isinstance(getattr(value, "value", None), str))
