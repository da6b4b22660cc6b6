"""Plant shifts in synthetic domains, split real tables at random, and compare the verdict of `hpo shift` with the
truth.

Records are kept in `build/shift` in one file per state of the code, so an interrupted run can be resumed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench import free_kernels, runs
from bench.book import Book
from bench.shift import made, page, real
from hpo.shift.verdict import name_shift, run_unlabelled_tests

_ROOT = Path(__file__).parent.parent.parent
_BUILD = _ROOT / "build" / "shift"
_FIRST = 1000  # first seed: those below were used to choose the levels
_DRAWS, _HARD_DRAWS, _SIZES = 100, 25, (0.25, 0.5)
Json = dict[str, Any]


class Job(NamedTuple):
    """A pair of domains."""

    part: str  # planted, real, sizes or hard
    name: str
    size: float
    seed: int


def jobs(draws: int, fewer: int, names: list[str]) -> list[Job]:
    found = [Job("planted", kind, 1.0, _FIRST + i) for i in range(draws) for kind in made.KINDS]
    found += [Job("real", names[i % len(names)], 0.0, _FIRST + i) for i in range(draws if names else 0)]
    found += [Job("sizes", kind, size, _FIRST + i) for i in range(fewer) for size in _SIZES for kind in made.KINDS[1:]]
    return found + [Job("hard", kind, 1.0, _FIRST + i) for i in range(fewer) for kind in made.HARD]


def record(job: Job, folder: Path) -> Json:
    """Return the verdict on a pair of domains for each amount of target labels."""
    began = time.process_time()
    data = real.load(job.name, folder) if job.part == "real" else None
    seen, said, p = None, {}, {}
    for labels in made.LABELS:
        domains = real.split(data, job.seed, labels) if data else made.domains(job.name, job.seed, job.size, labels)
        seen = seen or run_unlabelled_tests(domains)
        verdict = name_shift(domains, seen)
        said[labels] = list(verdict.kinds)
        p[labels] = verdict.concept and verdict.concept.p
    assert seen is not None
    residual = seen.residual and seen.residual.p
    p |= {"marginal": seen.covariate.p, "shares": seen.shares.p, "residual": residual}
    return {"said": said, "p": p, "seconds": round(time.process_time() - began, 2)}


def sources() -> list[Path]:
    """Return the code that determines a record."""
    tests = ("column_tests", "concept_shift", "covariate_tests", "domain_classifier", "label_shares", "mmd")
    decisive = (*tests, "domains", "source_model", "verdict")
    return [
        *(_ROOT / "hpo" / "shift" / f"{name}.py" for name in decisive),
        *(Path(__file__).parent / f"{name}.py" for name in ("made", "real")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.shift", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=_ROOT.parent / "shared" / "data", help="folder of the CSVs; default: %(default)s"
    )
    parser.add_argument(
        "--draws", type=int, default=_DRAWS, help="of each planted shift and of real splits; default: %(default)s"
    )
    parser.add_argument(
        "--fewer", type=int, default=_HARD_DRAWS, help="of each smaller and of each hard shift; default: %(default)s"
    )
    parser.add_argument(
        "--out", type=Path, help="folder of shift.json and .md; default: docs, or build/shift if it is not all"
    )
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1"}
    free_kernels()
    names = [name for name, source in real.SETS.items() if ":" in source or (options.data / source).exists()]
    if absent := [name for name in real.SETS if name not in names]:
        print(f"Left out, because {options.data} lacks their CSVs: {', '.join(absent)}.", file=sys.stderr)
    book, todo, records = Book(_BUILD, sources()), jobs(options.draws, options.fewer, names), []
    for i, job in enumerate(todo, 1):
        found = book.once(job._asdict(), partial(record, job, options.data))
        records.append(found)
        print(f"[{i}/{len(todo)}] {found['name']:<22} {found['size']:<4} {found['said']}", file=sys.stderr, flush=True)
    everything = not absent and options.draws >= _DRAWS and options.fewer >= _HARD_DRAWS
    out = options.out or (_ROOT / "docs" if everything else _BUILD)
    out.mkdir(parents=True, exist_ok=True)
    print(page.write(records, runs.about("scikit-learn", "scipy", "numpy"), out))


if __name__ == "__main__":
    main()
