"""Imports go one way: from a higher layer to a lower, and only the modules named here know a heavy library."""

import ast
from pathlib import Path

import pytest

import hpo

LAYERS = [
    {"fold"},
    {"errors", "trial", "nets", "head", "history", "bulk", "pareto", "evidence", "variates", "density", "autoencoder"},
    {
        "rounds",
        "noise",
        "metrics",
        "document",
        "svmlight",
        "optimizer",
        "percentile",
        "journal",
        "store",
        "ui",
        "factory",
        "device",
    },
    {"objectives", "criteria", "paired", "weights", "dataset", "hashed", "replay", "capacity", "synthetic"},
    {"regularizers", "batched", "combine"},
    {"kernels", "prose"},
    {"linear"},
    {"flight", "layout", "network", "domain"},
    {"key_rules", "conditions", "priors", "catalogue"},
    {"keys"},
    {"mlp", "judging", "ranking", "sites", "rules", "plugins", "scale"},
    {"plan", "described"},
    {"module"},
    {"section"},
    {"strategy", "architecture", "language", "settings"},
    {"source"},
    {"space"},
    {"columns", "files", "split"},
    {"reading", "parts", "auxiliary"},
    {"space_file", "table", "text", "sampling", "selection", "view", "ledger", "networks"},
    {"augment", "preprocess", "dealing", "working", "identity", "figures", "verdict"},
    {"raw"},
    {"data", "starter", "predict"},
    {"shift"},
    {"row", "export", "report", "recorder", "removal"},
    {"program", "mirror"},
    {"stack"},
    {"population", "study", "needs", "pretrained"},
    {"worker", "testing"},
    {"loop", "crew", "finals", "finished"},
    {"refit", "tryout", "compare"},
    {"job"},
    {"result", "ways"},
    {"ensemble"},
    {"writing"},
    {"searching"},
    {"words", "api", "ensembling"},
    {"terminal", "ending"},
    {"cli"},
]
ONLY = {
    "optuna": {"working", "paired", "sampling", "history", "percentile", "ledger", "figures"},
    "mlflow": {"mirror", "removal"},
    "click": {"cli"},
    "rich": {"cli", "terminal"},
    "pydantic": {"space", "space_file", "section", "strategy", "architecture", "language", "settings", "source"},
    "yaml": {"document", "export", "starter"},
    "plotly": {"figures", "report"},
    "subprocess": {"recorder", "ui", "worker"},
}
ROOT = Path(hpo.__file__).parent
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def module(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "hpo":
            names |= {f"hpo.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def level(name: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("path", FILES, ids=module)
def test_a_module_imports_only_lower_layers(path):
    own = level(module(path))
    used = {name.split(".")[1] for name in imported(path) if name.startswith("hpo.")} - {module(path)}
    assert [name for name in used if level(name) >= own] == []


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_known_to_its_modules_only(library):
    users = {module(path) for path in FILES if library in {name.split(".")[0] for name in imported(path)}}
    assert users == ONLY[library]


def test_text_is_in_utf_8_whatever_the_locale():
    calls = [
        (path.name, node)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]
    texts = [
        (name, node)
        for name, node in calls
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "write_text")
    ]
    assert texts
    assert [
        (name, node.lineno) for name, node in texts if "encoding" not in {keyword.arg for keyword in node.keywords}
    ] == []
