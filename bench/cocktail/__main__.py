"""Search five public tables on five splits each; compare what is handed over with the usual defaults and other models.

Each search is a process with one thread. Records are kept in `build/cocktail` in one file per state of code and tables,
so an interrupted run can be resumed. The page in docs is written if all sets, at least five splits and the default
budget were measured, otherwise one in build/cocktail.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import free_kernels, runs
from bench.book import Book
from bench.cocktail import page, sets
from bench.cocktail.run import Job

_ROOT = Path(__file__).parent.parent.parent
_BUILD = _ROOT / "build" / "cocktail"
_WORKERS = 1
Json = dict[str, Any]


def sources(data: Path, names: Sequence[str]) -> list[Path]:
    """Return the files that determine a record: the code, the space and the tables."""
    own = (Path(__file__).parent / f"{name}.py" for name in ("run", "sets", "rivals"))
    return [*sorted((_ROOT / "hpo").rglob("*.py")), sets.SPACE, *own, *(data / f"{name}.csv" for name in sorted(names))]


def search(job: Job, book: Book) -> Json:
    """Return the record of one search; run it if the book has none."""
    told = job._asdict() | {"data": str(job.data)}
    return book.once(
        job.key, lambda: runs.run_module(["bench.cocktail.run"], book.folder, os.sched_getaffinity(0), told)
    )


def line(done: str, record: Json) -> str:
    """Return the result of a search as one line."""
    scores = "  ".join(f"{who} {100 * score:5.1f}" for who, score in record["test"].items() if score is not None)
    return f"[{done}] {record['set']:<9} split {record['split']:<3} {scores}  {sum(record['seconds'].values()):5.1f} s"


def is_complete(names: Sequence[str], splits: Sequence[int], budget: Json) -> bool:
    """Return whether a run measures all that the page in docs needs."""
    return set(names) == set(sets.NAMES) and len(set(splits)) >= len(sets.SPLITS) and budget == sets.shipped()["budget"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.cocktail", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=_ROOT.parent / "shared" / "data", help="folder of the CSVs; default: %(default)s"
    )
    parser.add_argument("--sets", nargs="+", choices=sets.NAMES, default=list(sets.NAMES), help="default: all")
    parser.add_argument(
        "--splits",
        nargs="+",
        type=int,
        default=list(sets.SPLITS),
        help="random states of the test part and seeds of the search; default: 0 to 4. Published scores are of split "
        f"{sets.PUBLISHED_SPLIT}, and are only shown if it is among them",
    )
    parser.add_argument("--trials", type=int, help="of a search; default: the budget of the space file")
    parser.add_argument(
        "--seconds",
        type=float,
        help="of a search with all that follows it; default: the budget of the space file",
    )
    parser.add_argument("--workers", type=int, default=_WORKERS, help="processes of a search; default: %(default)s")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of cocktail.json, .png and .md; default: docs, or build/cocktail if something is left out",
    )
    return parser


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    if absent := [name for name in options.sets if not (options.data / f"{name}.csv").is_file()]:
        parser.error(
            f"--data: {options.data} lacks {', '.join(f'{name}.csv' for name in absent)}; name their folder, or other "
            "--sets."
        )
    os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    free_kernels()
    data, limits = options.data.resolve(), {"trials": options.trials, "seconds": options.seconds}
    budget = {name: limit for name, limit in limits.items() if limit is not None} or sets.shipped()["budget"]
    book = Book(_BUILD, sources(data, options.sets))
    jobs = [Job(name, split, budget, options.workers, data) for split in options.splits for name in options.sets]
    records = {}
    for i, job in enumerate(jobs, 1):
        records[job.name, job.split] = search(job, book)
        print(line(f"{i}/{len(jobs)}", records[job.name, job.split]), file=sys.stderr, flush=True)
    out = options.out or (_ROOT / "docs" if is_complete(options.sets, options.splits, budget) else _BUILD)
    out.mkdir(parents=True, exist_ok=True)
    ordered = [records[name, split] for name in options.sets for split in options.splits]
    print(page.write(ordered, runs.about("torch", "optuna", "scikit-learn"), out))


if __name__ == "__main__":
    main()
