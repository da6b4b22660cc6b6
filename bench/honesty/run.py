"""One search and what came of it, as a record: the only part of this benchmark that knows how hpo is made."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

import hpo
from bench.honesty.sets import sets
from hpo import job as jobs
from hpo import result as results
from hpo import selection, space_file
from hpo.ledger import stored
from hpo.metrics import METRICS, shown
from hpo.mirror import create_database
from hpo.store import Place
from hpo.trial import Outcome
from hpo.weights import Vault

Json = dict[str, Any]
MODES: dict[str, Json] = {"holdout": {}}  # what each adds to the `data` of a space


def database(folder: Path) -> Path:
    """An MLflow database without runs, made once: that takes seconds, and each search needs one."""
    path = folder / "mlflow.db"
    create_database(path)
    return path


def record(space: Mapping[str, Any], folder: Path, mode: str) -> Json:
    """Searches the rows of `folder`/data.csv, the store being `folder`/store; the record without its set and seed."""
    said = {**space, "data": {**space["data"], "source": str(folder / "data.csv"), **MODES[mode]}}
    found = hpo.search(said, store=folder / "store")
    job, place = jobs.prepare(space_file.parse(said), folder), Place(folder / "store", said["study"])
    outcomes = {o.trial.label: o for o in map(Outcome.from_json, stored(place.journal)["outcomes"])}
    vault, names = Vault(place.weights), ("loss", shown(job.data.task, "loss"))

    def some(scores: Mapping[str, Any]) -> Json:
        return {name: scores[name] for name in names}

    def logits(outcome: Outcome) -> Tensor:
        network = results.network(job.space, job.factory, job.data.n_inputs, job.data.n_outputs, outcome.trial.params)
        return network.predict(vault.get(outcome.trial.label), job.data.test_x.unsqueeze(0))

    def test(outcome: Outcome) -> Json:
        return some(results.test_scores(job.space, job.data, logits(outcome)))

    # A tuner without a second look: the best validation score, and the weights that had it.
    plain = selection.best([o for o in outcomes.values() if o.trial.role != "ablation"], METRICS[job.space.train.metric])
    assert plain is not None
    defaults, pool = outcomes["defaults"], {found["trial"], *(e["trial"] for e in found["baselines"].values())}
    margin = results.margin(job.space, job.data, logits(plain), logits(defaults))
    return {
        "mode": mode,
        "task": job.data.task,
        "metrics": list(names),
        "rows": {"dev": len(job.data.y), "test": len(job.data.test_y)},
        "epochs": {"search": found["epochs_trained"], "fresh": 0, "refit": 0},
        "seconds": {"search": found["seconds"], "fresh": 0.0, "refit": 0.0},
        "argmax": {
            "trial": plain.trial.label, "reported": some(plain.valid), "test": test(plain), "default_test": test(defaults),
            "error": {"loss": margin["standard_error"]},
        },
        "ours": {
            "trial": found["trial"], "rule": "best", "is_default": found["trial"] == "defaults",
            "reported": some(found["valid"]), "interval": {}, "test": some(found["test"]), "default_test": test(defaults),
            "error": {"loss": found["margin"]["standard_error"]},
        },
        "rules": {"best": {"trial": found["trial"], "test": some(found["test"])}},
        "pool": {label: {"search": outcomes[label].value, "fresh": {}, "test": test(outcomes[label])} for label in sorted(pool)},
    }  # fmt: skip


def main() -> None:
    """Of JSON with `set`, `seed`, `mode`, `data` (folder of CSVs) and `database`, prints the record as a line of JSON."""
    told = json.load(sys.stdin)
    space, frame = sets(Path(told["data"]))[0][told["set"]](told["seed"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame.to_csv(folder / "data.csv", index=False)
        (folder / "store").mkdir()
        shutil.copy(told["database"], folder / "store" / "mlflow.db")
        found = {"set": told["set"], "seed": told["seed"], **record(space, folder, told["mode"])}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
