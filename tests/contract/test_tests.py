"""Tests share code through tests/helpers only, and use the public names of hpo only."""

import ast
from pathlib import Path

import hpo

FILES = sorted(Path(__file__).parents[1].rglob("*.py"))
PATCHING = {"setattr", "delattr", "getattr", "hasattr", "setitem", "delitem"}
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def imported_modules(tree):
    """Return the modules that a file imports, or imports names from."""
    nodes = list(ast.walk(tree))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def names(tree):
    """Return every name that a file imports, reads as an attribute or gives to setattr and the like."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in PATCHING:
            strings = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            found |= {part for text in strings for part in text.split(".")}
    return found


def private_names():
    """Return the names with a leading underscore that hpo defines: modules, functions, classes, methods, attributes."""
    found = set()
    for path in Path(hpo.__file__).parent.rglob("*.py"):
        found.add(path.stem)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, (ast.Attribute, ast.Name)) and isinstance(node.ctx, ast.Store):
                found.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return {name for name in found if name.startswith("_") and not name.startswith("__") and name != "_"}


def test_no_test_imports_a_test():
    modules = {(str(path), name) for path, tree in TREES.items() for name in imported_modules(tree)}
    assert [pair for pair in modules if pair[1].startswith("tests.") and ".test_" in pair[1]] == []


def test_no_test_reads_a_private_name():
    private = private_names()
    assert len(private) > 100
    used = {str(path): sorted(names(tree) & private) for path, tree in TREES.items()}
    assert {path: found for path, found in used.items() if found} == {}
