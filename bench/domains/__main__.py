"""Searches how strongly to adapt from one domain to another, by several ways, and holds the results beside others' numbers.

Each search is a process of its own. What is done is kept in `build/domains`, a line of JSON each, apart for every state of code and
data, so that an interrupted run goes on. The page in docs is written when nothing was left out, else one in build/domains.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import free_kernels, runs
from bench.domains import page, sets
from bench.domains.run import search

_ROOT = Path(__file__).parent.parent.parent
_BUILD = _ROOT / "build" / "domains"
_TASKS = (*sets.REVIEWS, sets.DIGITS)
_SEEDS = (0, 1, 2)
_SECONDS, _WORKERS = 120.0, 2
Json = dict[str, Any]


def state(data: Path) -> str:
    """Twelve hexadecimal digits of the code, the spaces and the data: what others made is not mixed with it."""
    own = [*(_ROOT / "hpo").rglob("*.py"), *Path(__file__).parent.glob("*.py"), *sets.SPACES.glob("*"), *data.glob("amazon-*")]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(own))).hexdigest()[:12]


class Book:
    """The records of one state, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.records: list[Json] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def has(self, key: Mapping[str, Any]) -> bool:
        return any(all(r[name] == value for name, value in key.items()) for r in self.records)

    def add(self, record: Json) -> None:
        self.records.append(record)
        unfinished = self._path.with_suffix(".new")  # a kill leaves no line cut in half
        unfinished.write_text("".join(json.dumps(r) + "\n" for r in self.records))
        unfinished.replace(self._path)
        scores = "  ".join(f"{who} {100 * score:5.1f}" for who, score in record["test"].items() if score is not None)
        print(f"{record['task']:<18} {record['way']:<30} seed {record['seed']}  {scores}  {record['seconds']:5.1f} s", file=sys.stderr, flush=True)


def adapt(book: Book, task: str, seed: int, options: argparse.Namespace) -> None:
    """All ways of adapting in one task, from one seed."""
    budget = {"seconds": options.seconds} if task in sets.REVIEWS else {"trials": options.trials}
    for way, space in sets.adapting(task, options.data).items():
        key = {"part": "adapting", "task": task, "way": way, "seed": seed}
        if not book.has(key):
            with tempfile.TemporaryDirectory() as folder:
                record, _ = search(space, seed, budget, options.workers, Path(folder, "run"))
            book.add({**key, **record})


def tune(book: Book, task: str, seed: int, options: argparse.Namespace) -> None:
    """All ways of learning from few labelled rows in one task, from one seed."""
    keys = [{"part": "tuning", "task": task, "way": way, "seed": seed} for way in (sets.SCRATCH, sets.FROZEN, sets.TUNED, sets.SEARCHED)]
    if all(map(book.has, keys)):
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = rows_of(task, options.data, folder)
        _, network = search(sets.first(task, options.data), seed, {"trials": 20}, options.workers, folder / "first")
        for key, space in zip(keys, sets.tuning(task, options.data, rows, network).values(), strict=True):
            if not book.has(key):
                record, _ = search(space, seed, {"trials": options.trials}, options.workers, folder / key["way"].partition(" ")[0])
                book.add({**key, **record})


def rows_of(task: str, data: Path, folder: Path) -> Path:
    """The file of all rows of the target."""
    if task == sets.DIGITS:
        return sets.SPACES / "digits_rotated.csv"
    target = sets.REVIEWS[task][1]
    found = folder / "rows.svmlight"
    found.write_text("".join((data / f"amazon-{target}-{part}.svmlight").read_text() for part in ("train", "test")))
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.domains", description=__doc__)
    parser.add_argument("--data", type=Path, default=_ROOT.parent / "shared" / "data", help="folder of the reviews; default: %(default)s")
    parser.add_argument("--tasks", nargs="+", choices=_TASKS, default=list(_TASKS), help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(_SEEDS), help="default: 0 1 2")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="of sampling, a search of reviews; default: %(default)g")
    parser.add_argument("--trials", type=int, default=40, help="of every other search; default: %(default)s")
    parser.add_argument("--workers", type=int, default=_WORKERS, help="processes of a search; default: %(default)s")
    parser.add_argument("--out", type=Path, help="folder of domains.json and .md; default: docs, or build/domains if it is not all")
    options = parser.parse_args()
    options.data = options.data.resolve()
    if not (options.data / "amazon-dvd-test.svmlight").is_file() and set(options.tasks) & set(sets.REVIEWS):
        parser.error(f"--data: {options.data} lacks amazon-dvd-test.svmlight; name the folder of the reviews, or other --tasks.")
    return options


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    yield from ((task, seed) for seed in options.seeds for task in options.tasks)


def main() -> None:
    options = _arguments()
    os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    free_kernels()
    book = Book(_BUILD / f"{state(options.data)}.jsonl")
    for do in (adapt, tune):
        for task, seed in jobs(options):
            do(book, task, seed, options)
    wanted = [r for r in book.records if r["task"] in options.tasks and r["seed"] in options.seeds]
    everything = tuple(options.tasks) == _TASKS and tuple(options.seeds) == _SEEDS
    out = options.out or (_ROOT / "docs" if everything else _BUILD)
    out.mkdir(parents=True, exist_ok=True)
    about = runs.about("torch", "optuna", "scikit-learn") | {"seconds": options.seconds, "trials": options.trials, "workers": options.workers}
    print(page.write(wanted, about, out))


if __name__ == "__main__":
    main()
