"""Search many data sets many times with different test rows, and compare the reported score with the test score.

Each search is a process with one thread. Records are kept in `build/honesty` in one file per state of code and tables,
so an interrupted run can be resumed. The page in docs is written if nothing was left out, otherwise one in
build/honesty.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from bench import free_kernels, runs
from bench.book import Book
from bench.honesty import page
from bench.honesty.run import MODES, database
from bench.honesty.sets import sets

_ROOT = Path(__file__).parent.parent.parent
_BUILD = _ROOT / "build" / "honesty"
SEEDS = 10
Json = dict[str, Any]


def sources(data: Path, known: Collection[str]) -> list[Path]:
    """Return the files that determine a record: the code and the tables."""
    own = (Path(__file__).parent / name for name in ("run.py", "sets.py"))
    return [
        *sorted((_ROOT / "hpo").rglob("*.py")),
        *own,
        *sorted(path for path in data.glob("*.csv") if path.stem in known),
    ]


def searched(jobs: list[Json], data: Path, book: Book, processes: int) -> Iterator[tuple[Json, Json | None]]:
    """Yield each job and its record as it ends; None if the search failed."""
    told = {"data": str(data), "database": str(database(book.folder))}

    def search(job: Json) -> Json:
        return book.once(
            job, lambda: runs.run_module(["bench.honesty.run"], book.folder, os.sched_getaffinity(0), job | told)
        )

    with ThreadPoolExecutor(processes) as pool:
        running = {pool.submit(search, job): job for job in jobs}
        try:
            for done in as_completed(running):
                failed = isinstance(done.exception(), subprocess.CalledProcessError)
                yield running[done], None if failed else done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # only waiting ones; running searches end normally
            raise


def line(done: str, job: Json, record: Json | None) -> str:
    """Return the result of a search as one line."""
    name = f"[{done}] {job['set']:<16} seed {job['seed']:<3} {job['mode']:<8}"
    if record is None:
        return f"{name} FAILED"
    ours = record["ours"]
    scores = "  ".join(
        f"{what} {loss:8.4g}"
        for what, loss in (
            ("reported", ours["reported"]["loss"]),
            ("test", ours["test"]["loss"]),
            ("defaults", ours["default_test"]["loss"]),
        )
    )
    return f"{name} {scores}  {sum(record['seconds'].values()):5.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.honesty", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=_ROOT.parent / "shared" / "data", help="folder of the CSVs; default: %(default)s"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="searches of each set; default: %(default)s")
    parser.add_argument("--sets", nargs="+", help="default: all")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), help="default: all")
    parser.add_argument("--processes", type=int, default=2, help="searches at a time; default: %(default)s")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of honesty.json, .png and .md; default: docs, or build/honesty if it is not all",
    )
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    free_kernels()
    known, absent = sets(options.data)
    if absent:
        print(f"Left out, because {options.data} lacks their CSVs: {', '.join(absent)}.", file=sys.stderr)
    names = options.sets or list(known)
    if strange := [name for name in names if name not in known]:
        parser.error(f"--sets: no such set: {', '.join(strange)}; there are: {', '.join(known)}")
    book = Book(_BUILD, sources(options.data, known))
    jobs = [{"set": n, "seed": s, "mode": m} for s in range(options.seeds) for n in names for m in options.modes]
    began, records, failed = time.perf_counter(), {}, []
    for i, (job, record) in enumerate(searched(jobs, options.data.resolve(), book, options.processes), 1):
        key = job["set"], job["seed"], job["mode"]
        print(line(f"{i}/{len(jobs)}", job, record), file=sys.stderr, flush=True)
        if record is None:
            failed.append(" ".join(map(str, key)))
        else:
            records[key] = record
    print(f"{(time.perf_counter() - began) / 60:.1f} minutes", file=sys.stderr)
    if failed:
        sys.exit(f"{len(failed)} of {len(jobs)} searches failed, and no page was written: {'; '.join(failed)}.")
    everything = not absent and set(names) == set(known) and options.modes == list(MODES) and options.seeds >= SEEDS
    out = options.out or (_ROOT / "docs" if everything else _BUILD)
    out.mkdir(parents=True, exist_ok=True)
    ordered = [records[n, s, m] for n in names for s in range(options.seeds) for m in options.modes]
    print(page.write(ordered, runs.about("torch", "optuna"), out))


if __name__ == "__main__":
    main()
