"""The main job, from a space to a result that is stored, recorded and ready to be exported."""

from __future__ import annotations

import dataclasses
import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hpo import data as data_module
from hpo import export, loop, report, sampling, selection, space_file
from hpo import result as results
from hpo.capacity import free_memory, rows_for
from hpo.crew import Crew
from hpo.data import Dataset
from hpo.errors import InputError, SearchFailedError, StoreError
from hpo.factory import Factory, importable, name_of
from hpo.linear import one_thread
from hpo.metrics import METRICS, shown
from hpo.network import Network
from hpo.population import Population
from hpo.recorder import Recorder
from hpo.space import Space, flat, task_mistake
from hpo.store import Place
from hpo.study import Study
from hpo.trial import Outcome, Score, Trial
from hpo.view import view
from hpo.weights import Vault
from hpo.worker import Worker


@dataclass(frozen=True)
class Job:
    """A search that can begin: its space is sound and its data are loaded. `base` is where relative paths start, `parameters`
    the size of the largest network; `factory` makes the networks (None: an mlp)."""

    space: Space
    base: Path
    data: Dataset
    parameters: int
    factory: Factory | None = None

    def rows(self, workers: int = 1) -> int:
        """How many fits train at once: all those of a trial, of so many trials."""
        return rows_for(self.space.budget.trials, self.parameters, workers, free_memory(), len(self.data.folds))


class Watcher:
    """Is told how a search goes on. The terminal overrides these; by itself it says nothing."""

    def begin(self, job: Job, study: Study, rows: int, workers: int) -> None: ...
    def epoch(self, score: Score) -> None: ...
    def note(self, sentence: str) -> None: ...
    def end(self) -> None: ...


def load(path: Path, factory: Factory | None = None) -> Job:
    """The search that a space file describes. Raises InputError."""
    return prepare(space_file.load(path), path.parent, factory)


def prepare(space: Space, base: Path, factory: Factory | None = None) -> Job:
    """Loads the data and checks all that can be checked before anything is written; `factory` takes the place of the one
    that the space names. Raises InputError."""
    if factory is None:
        factory = results.factory(space, base)
    elif space.network.kind != "module":
        raise InputError(f"factory: needs network.kind: module, got {space.network.kind}.")
    else:
        named = space.network.model_copy(update={"factory": name_of(factory)})
        space = space.model_copy(update={"network": named})
    data = data_module.prepare(space.data, base)
    if mistake := task_mistake(space, data.task):
        raise mistake
    if space.train.metric in ("roc_auc", "r2") and any(len(set(data.y[fold.valid].tolist())) < 2 for fold in data.folds):
        raise InputError(
            f"train.metric: {space.train.metric} needs two different targets in the validation part, and all "
            f"{len(data.folds[0].valid)} of its rows have the same; use another split seed, or metric: loss."
        )
    sampling.check(space)
    if space.exported.get("fingerprint", data.fingerprint) != data.fingerprint:
        note = "The rows are not those that this configuration was exported from: expect another score."
        data = dataclasses.replace(data, notes=(*data.notes, note))
    networks, notes = _networks(space, data, factory)
    size = max(sum(math.prod(p.shape) for p in one.parameters) for one in networks)
    return Job(space, base, dataclasses.replace(data, notes=(*data.notes, *notes)), size, factory)


def _networks(space: Space, data: Dataset, factory: Factory | None) -> tuple[list[Network], list[str]]:
    """The networks in the middle and at the ends of the space, and what is to be known of them. Raises InputError."""
    batch = space.train.batch_size
    smallest = 1 if any(1 in (rows, rows % batch, batch) for rows in {len(fold.train) for fold in data.folds}) else 2
    found = [results.network(space, factory, data.n_inputs, data.n_outputs, params) for params in space.architectures()]
    for one in found:
        one.check(smallest)
    if "dropout" in space.search and not all(one.depth for one in found):
        raise InputError("search.dropout: the network has no nn.Dropout to act on; give it one, or leave the key out.")
    return found, list(dict.fromkeys(note for one in found for note in one.notes("dropout" in space.search)))


def search(
    job: Job,
    place: Place,
    tracking_uri: str | None = None,
    watcher: Watcher | None = None,
    clock: float | None = None,
    workers: Sequence[Worker] = (),
) -> dict[str, Any]:
    """Searches until the budget is spent and returns the result; on a finished study, the stored one.

    `workers` are processes to train in (see `hpo.worker.started`); without any, this one trains.
    `clock` is when the process began, for `startup_seconds`. Raises InputError if the study is another's, StoreError if
    the store is lost, SearchFailedError if every trial diverged; KeyboardInterrupt leaves a study that can be continued.
    """
    watcher = watcher or Watcher()
    if len(workers) > 1 and job.factory and not importable(job.factory):
        raise InputError(f"workers: another process cannot import {name_of(job.factory)}; put it into a module, or use one worker.")
    with place.locked(), one_thread():
        study = Study(job.space, place.journal, job.data.fingerprint)
        try:
            stored = study.recall("result")
            if stored and not study.open():
                return dict(stored)
            startup = 0.0 if clock is None else time.time() - clock
            return _Search(job, place, study, tracking_uri or place.tracking_uri, watcher, workers).run(startup)
        finally:
            study.close()


class _Search:
    def __init__(
        self, job: Job, place: Place, study: Study, tracking_uri: str, watcher: Watcher, workers: Sequence[Worker]
    ) -> None:
        self._job, self._place, self._study, self._uri, self._watcher = job, place, study, tracking_uri, watcher
        self._vault = Vault(place.weights)
        study.remember("result", None)
        self._said = export.space_dict(job.space)
        study.remember("space_source", {"base": str(job.base.resolve()), "space": self._said})
        self._rows = study.recall("rows") or job.rows(max(1, len(workers)))
        study.remember("rows", self._rows)
        self._workers = [] if job.space.is_point else list(workers[: max(1, self._rows // len(job.data.folds))])
        if not study.recall("id"):
            study.remember("id", uuid.uuid4().hex)

    def run(self, startup: float) -> dict[str, Any]:
        self._recorder = Recorder(self._uri, self._place.folder, self._opening())
        try:
            if self._uri != self._place.tracking_uri:
                _ = self._recorder.ids  # somebody else's server is better asked before hours of training than after
            return self._conclude(self._train(), startup)
        except BaseException as error:
            self._recorder.abandon("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        finally:
            self._watcher.end()

    def _train(self) -> Outcome:
        """Spends the budget, then trains the ablation of the best; returns the best."""
        job, study = self._job, self._study
        for outcome in list(study.outcomes.values()):
            self._recorder.record(outcome)  # what MLflow has already is left as it is
        self._watcher.begin(job, study, self._rows, max(1, len(self._workers)))
        population = self._population()
        loop.run(study, population, self._vault, self._recorder, self._watcher.epoch)
        best = study.best()
        if best is None or not best.valid:
            raise SearchFailedError(_all_diverged(study))
        if not job.space.is_point and selection.regularized(best.trial.params):
            study.fix(selection.ablation(best.trial))
            loop.run(study, population, self._vault, self._recorder, self._watcher.epoch)
        return best

    def _population(self) -> loop.Trains:
        job = self._job
        if len(self._workers) > 1:
            return Crew(self._workers, job.space, job.factory, job.data, self._rows, self._less, self._watcher.note)
        return Population.of(job.space, job.factory, job.data, self._rows, self._less)

    def _less(self, rows: int) -> None:
        self._rows = rows
        self._study.remember("rows", rows)
        trials = max(1, rows // len(self._job.data.folds))
        self._watcher.note(f"Memory ran out: {trials} trials at once from here on; those that were cut short start again.")

    def _conclude(self, best: Outcome, startup: float) -> dict[str, Any]:
        """Selects, touches the test part once, and writes down everything."""
        study, job = self._study, self._job
        # Where the best has nothing to switch off, it is its own ablation.
        ablation = study.outcomes.get(selection.ablation(best.trial).label, best)
        # The ablation may be selected, too: then regularization did not help.
        selected = selection.best([best, ablation], METRICS[job.space.train.metric]) or best
        self._vault.keep(study.worth_keeping())
        baselines = {} if job.space.is_point else {name: study.outcomes[name] for name in ("none", "defaults")}
        compared = baselines | ({"ablation": ablation} if baselines else {})
        everyone = {"selected": selected, **compared}
        logits = {name: self._logits(outcome) for name, outcome in everyone.items() if outcome.valid}
        tests = {name: results.test_scores(job.space, job.data, said) for name, said in logits.items()}
        entries = {name: results.entry(outcome, tests.get(name, {})) for name, outcome in everyone.items()}
        margin = results.margin(job.space, job.data, logits["selected"], logits["defaults"]) if "defaults" in logits else None
        ids = self._recorder.ids
        chosen = entries.pop("selected")
        result = {
            "study": job.space.study,
            "trials": dict(study.counts),
            "selected": chosen.pop("params"),
            **chosen,
            "baselines": entries,
            "margin": margin,
            "metric": job.space.train.metric,
            "task": job.data.task,
            "epochs_trained": sum(o.epochs for o in study.judged()),
            "epochs_possible": len(study.judged()) * job.space.train.epochs,
            "rows": self._rows,
            "workers": max(1, len(self._workers)),
            "notes": list(job.data.notes),
            "fingerprint": job.data.fingerprint,
            "shape": {"inputs": job.data.n_inputs, "outputs": job.data.n_outputs},
            "versions": results.versions(),
            "date": time.strftime("%Y-%m-%d"),
            "tracking_uri": self._uri,
            "run_id": ids["run_id"],
            "experiment_id": ids["experiment_id"],
            "startup_seconds": startup,
        }
        self._write_down(result, selected, compared)
        result["seconds"] = study.elapsed()
        study.remember("result", result)
        return result

    def _network(self, trial: Trial) -> Network:
        job = self._job
        return results.network(job.space, job.factory, job.data.n_inputs, job.data.n_outputs, trial.params)

    def _logits(self, outcome: Outcome) -> Tensor:
        """What a trial's best weights say of the test part, (1, rows, outputs): asked once, at the very end."""
        weights = self._vault.get(outcome.trial.label)
        return self._network(outcome.trial).predict(weights, self._job.data.test_x.unsqueeze(0))

    def _write_down(self, result: dict[str, Any], selected: Outcome, compared: dict[str, Outcome]) -> None:
        folder, space = self._place.folder, self._job.space
        point = export.configuration(result, space, self._job.base, folder)
        best, picture = folder / "best.yaml", folder / "curves.png"
        try:
            best.write_text(export.commented(point, self._network(selected.trial)))
            report.curves({"selected": selected, **compared}, shown(self._job.data.task, space.train.metric), picture)
        except OSError as error:
            raise StoreError(f"The result could not be written to {folder}: {error.strerror}.") from error
        scores = {f"{part}_{name}": v for part in ("valid", "test") for name, v in result[part].items() if v is not None}
        self._recorder.close(
            "FINISHED",
            tags={f"selected.{key}": value for key, value in result["selected"].items()}
            | {"hpo.selected": result["trial"]},
            metrics=scores | {f"trials_{state}": n for state, n in result["trials"].items()},
            artifacts=[str(picture), str(best), str(self._vault.path(selected.trial.label))],
        )

    def _opening(self) -> dict[str, Any]:
        space, study = self._job.space, self._study
        return {
            "study": space.study,
            "search": study.recall("id"),
            "tags": {
                "hpo.role": "study",
                "hpo.data": self._job.data.fingerprint,
                **{f"version.{name}": value for name, value in results.versions().items()},
            },
            "params": flat(self._said),
            "view": view(space, self._job.data.task),
            "space": export.as_yaml(self._said),
        }


def _all_diverged(study: Study) -> str:
    reasons = {o.reason for o in study.judged()}
    return (
        f"All {len(study.judged())} trials diverged ({min(reasons)}): the loss was not finite. "
        f"Lower search.learning_rate, and look for extreme values in the data."
    )
