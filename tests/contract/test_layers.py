"""Imports between packages go one way and use public modules; libraries are imported by the packages listed here."""

import ast
from pathlib import Path

import pytest

import hpo

FLOORS = [
    {"core", "nets"},
    {"nn", "data"},
    {"regularizers"},
    {"space"},
    {"training", "study", "shift"},
    {"selection"},
    {"export", "report", "tracking", "testing"},
    {"workflows"},
    {"cli"},
]
# The modules of a package that other packages may import; None: all.
PUBLIC = {
    "data": {
        "column_types",
        "config",
        "dataset",
        "density_ratio",
        "preprocess",
        "readers",
        "sources",
        "synthetic",
        "table",
        "test_part",
    }
    | {"text_augmentation", "text_features"},
    "export": {"configuration", "network_files", "predict", "pretrained"},
    "regularizers": {"", "active", "base", "configs"},
    "report": {"", "summary"},
    "selection": {
        "decision",
        "entrants",
        "ensemble.build",
        "ensemble.context",
        "finalist",
        "finals",
        "out_of_fold",
        "refit",
        "result",
        "result_builder",
        "result_parts",
        "row_predictions",
        "score_table",
    },
    "shift": {"domains", "inputs", "mmd", "text", "verdict"},
    "study": {"baselines", "directory", "ranking", "resume", "samplers", "seeds", "storage", "study", "weights"},
    "tracking": {"mlflow_cleanup", "mlflow_server", "mlflow_view", "mlflow_writer", "recorder"},
    "training": {"builder", "capacity", "evaluation", "experiment", "population", "worker", "worker_pool"},
    "workflows": {"add_ensemble", "api", "callbacks", "compare", "completed", "prepare", "search", "stages"},
}
LIBRARIES = {
    "optuna": {"study", "report"},
    "mlflow": {"tracking"},
    "click": {"cli"},
    "rich": {"cli"},
    "pydantic": {"core", "data", "space"},
    "yaml": {"core", "export", "cli"},
    "plotly": {"report"},
    "PIL": {"report"},
    "subprocess": {"tracking", "training"},
}
ROOT = Path(hpo.__file__).parent
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            folder = ROOT.parent / (node.module or "").replace(".", "/")
            for alias in node.names:
                is_module = (folder / f"{alias.name}.py").exists() or (folder / alias.name).is_dir()
                names.add(f"{node.module}.{alias.name}" if is_module else str(node.module))
    return names


IMPORTS = {path: imports(path) for path in FILES}


def others(path: Path) -> list[tuple[str, str]]:
    """The package and the module inside it of everything that a file imports from another package of ours."""
    parts = [name.split(".", 2) for name in IMPORTS[path] if name.startswith("hpo.")]
    return [(part[1], part[2] if len(part) > 2 else "") for part in parts if part[1] != package(path)]


def floor(name: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if name in names)


def test_packages_import_only_packages_on_lower_floors():
    wrong = [(str(path), name) for path in FILES for name, _ in others(path) if floor(name) >= floor(package(path))]
    assert wrong == []


def test_packages_import_only_public_modules_of_each_other():
    used = [(str(path), name, module) for path in FILES for name, module in others(path)]
    assert [one for one in used if one[1] in PUBLIC and one[2] not in PUBLIC[one[1]]] == []


def test_modules_do_not_import_each_other_in_a_circle():
    modules = {
        "hpo." + ".".join(path.relative_to(ROOT).with_suffix("").parts): names for path, names in IMPORTS.items()
    }
    left = {name: {one for one in names if one in modules} for name, names in modules.items()}
    while free := {name for name, names in left.items() if not names & left.keys()}:
        left = {name: names for name, names in left.items() if name not in free}
    assert left == {}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_by_its_packages_only(library):
    users = {package(path) for path in FILES if library in {name.split(".")[0] for name in IMPORTS[path]}}
    assert users == LIBRARIES[library]


def test_text_is_read_and_written_as_utf_8():
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
    assert [(name, node.lineno) for name, node in texts if "encoding" not in {kw.arg for kw in node.keywords}] == []
