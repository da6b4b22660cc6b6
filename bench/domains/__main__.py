"""Search the strength of adaptation between domains for several methods, and compare the results with other methods.

Each search is a process of its own. Records are kept in `build/domains` in one file per state of code and data, so an
interrupted run can be resumed. The page in docs is written if nothing was left out, otherwise one in build/domains.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from bench import free_kernels, runs
from bench.book import Book
from bench.domains import page, sets
from bench.domains.run import search

_ROOT = Path(__file__).parent.parent.parent
_BUILD = _ROOT / "build" / "domains"
_TASKS = (*sets.REVIEWS, sets.DIGITS)
_SEEDS = (0, 1, 2)
_SECONDS, _WORKERS = 120.0, 2
Json = dict[str, Any]


def sources(data: Path) -> list[Path]:
    """Return the files that determine a record: the code, the spaces and the reviews."""
    own = [
        *(_ROOT / "hpo").rglob("*.py"),
        *Path(__file__).parent.glob("*.py"),
        *sets.SPACES.glob("*"),
        *data.glob("amazon-*"),
    ]
    return sorted(own)


def adapt(book: Book, task: str, seed: int, options: argparse.Namespace) -> Iterator[Json]:
    """Return the records of all adaptation methods in one task, for one seed."""
    budget = {"seconds": options.seconds} if task in sets.REVIEWS else {"trials": options.trials}
    for way, space in sets.adapting(task, options.data).items():
        yield one(
            book,
            {"part": "adapting", "task": task, "way": way, "seed": seed, "budget": budget, "workers": options.workers},
            space,
        )


def rank(book: Book, task: str, seed: int, options: argparse.Namespace) -> Iterator[Json]:
    """Return the record of how validators rank randomly drawn trials."""
    key = {
        "part": "ranking",
        "task": task,
        "way": sets.RANDOM,
        "seed": seed,
        "budget": {"trials": options.trials},
        "workers": options.workers,
    }
    yield one(book, key, sets.ranking(task, options.data))


def one(book: Book, key: Json, space: Mapping[str, Any]) -> Json:
    """Return the record of a search that does not depend on another one."""

    def searched() -> Json:
        with tempfile.TemporaryDirectory() as folder:
            return search(space, key["seed"], key["budget"], key["workers"], Path(folder, "run"))[0]

    return book.once(key, searched)


def tune(book: Book, task: str, seed: int, options: argparse.Namespace) -> Iterator[Json]:
    """Return the records of all methods for few labelled rows in one task, for one seed."""
    budget = {"trials": options.trials}
    key = {"part": "tuning", "task": task, "seed": seed, "budget": budget, "workers": options.workers}
    keys = [{**key, "way": way} for way in (sets.SCRATCH, sets.FROZEN, sets.TUNED, sets.SEARCHED)]
    known = [record for own in keys if (record := book.get(own)) is not None]
    if len(known) == len(keys):
        yield from known
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = rows_of(task, options.data, folder)
        _, network = search(sets.first(task, options.data), seed, {"trials": 20}, options.workers, folder / "first")

        def searched(space: Mapping[str, Any], way: str) -> Json:
            return search(space, seed, budget, options.workers, folder / way.partition(" ")[0])[0]

        for own, space in zip(keys, sets.tuning(task, options.data, rows, network).values(), strict=True):
            yield book.once(own, partial(searched, space, own["way"]))


def rows_of(task: str, data: Path, folder: Path) -> Path:
    """Return the file of all rows of the target."""
    if task == sets.DIGITS:
        return sets.SPACES / "digits_rotated.csv"
    target = sets.REVIEWS[task][1]
    found = folder / "rows.svmlight"
    found.write_text("".join((data / f"amazon-{target}-{part}.svmlight").read_text() for part in ("train", "test")))
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.domains", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=_ROOT.parent / "shared" / "data",
        help="folder of the reviews; default: %(default)s",
    )
    parser.add_argument("--tasks", nargs="+", choices=_TASKS, default=list(_TASKS), help="default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(_SEEDS), help="default: 0 1 2")
    parser.add_argument(
        "--seconds", type=float, default=_SECONDS, help="of sampling, a search of reviews; default: %(default)g"
    )
    parser.add_argument("--trials", type=int, default=40, help="of every other search; default: %(default)s")
    parser.add_argument("--workers", type=int, default=_WORKERS, help="processes of a search; default: %(default)s")
    parser.add_argument(
        "--out", type=Path, help="folder of domains.json and .md; default: docs, or build/domains if it is not all"
    )
    options = parser.parse_args()
    options.data = options.data.resolve()
    if not (options.data / "amazon-dvd-test.svmlight").is_file() and set(options.tasks) & set(sets.REVIEWS):
        parser.error(
            f"--data: {options.data} lacks amazon-dvd-test.svmlight; name the folder of the reviews, or other --tasks."
        )
    return options


def line(record: Json) -> str:
    """Return the result of a search as one line."""
    scores = "  ".join(f"{who} {100 * score:5.1f}" for who, score in record["test"].items() if score is not None)
    return f"{record['task']:<18} {record['way']:<30} seed {record['seed']}  {scores}  {record['seconds']:5.1f} s"


def main() -> None:
    options = _arguments()
    os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    free_kernels()
    book, records = Book(_BUILD, sources(options.data)), []
    for do, seed, task in product((adapt, rank, tune), options.seeds, options.tasks):
        for record in do(book, task, seed, options):
            records.append(record)
            print(line(record), file=sys.stderr, flush=True)
    everything = tuple(options.tasks) == _TASKS and tuple(options.seeds) == _SEEDS
    out = options.out or (_ROOT / "docs" if everything else _BUILD)
    out.mkdir(parents=True, exist_ok=True)
    about = runs.about("torch", "optuna", "scikit-learn") | {
        "seconds": options.seconds,
        "trials": options.trials,
        "workers": options.workers,
    }
    print(page.write(records, about, out))


if __name__ == "__main__":
    main()
