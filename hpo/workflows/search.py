"""The main job, from a space to a result that is stored, recorded and ready to be exported."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo.core.errors import InputError, SearchFailedError
from hpo.core.importing import is_importable, qualified_name
from hpo.core.samples import Samples
from hpo.core.trial import Outcome, Score, Trial
from hpo.export import files as export
from hpo.nn import device as devices
from hpo.nn.linear import one_thread
from hpo.regularizers import active
from hpo.selection import finals
from hpo.selection import result as results
from hpo.selection.ensemble import build
from hpo.selection.ensemble.context import EnsembleContext
from hpo.selection.finals import Finalist, Finals
from hpo.selection.refit import FinalNetwork, Refit
from hpo.selection.refit_comparison import RefitComparison
from hpo.space import plugins
from hpo.space.formatting import trial_name
from hpo.study import ranking
from hpo.study.directory import StudyDirectory
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.tracking.recorder import Recorder
from hpo.training.capacity import free_memory, rows_for
from hpo.training.experiment import Experiment
from hpo.training.population import Population
from hpo.training.worker import Worker
from hpo.training.worker_pool import WorkerPool
from hpo.workflows import loop, publish


class Watcher:
    """Is told how a search goes on. The terminal overrides these; by itself it says nothing."""

    def begin(self, job: Experiment, study: Study, rows: int, workers: int) -> None: ...
    def phase(self, sentence: str, trials: int) -> None: ...
    def epoch(self, score: Score) -> None: ...
    def note(self, sentence: str) -> None: ...
    def selected(self, finals: Finals) -> None: ...
    def end(self) -> None: ...


def search(
    job: Experiment,
    place: StudyDirectory,
    tracking_uri: str | None = None,
    watcher: Watcher | None = None,
    clock: float | None = None,
    workers: Sequence[Worker] = (),
    deterministic: bool = False,
) -> dict[str, Any]:
    """Searches until the budget is spent, selects on fresh splits, and returns the result; on a finished study, the stored one.

    `workers` are processes to train in (see `hpo.training.worker.started`); without any, this one trains. `deterministic`: the same
    trials come of any number of rows and workers (see `hpo.study`).
    `clock` is when the process began, for `startup_seconds`. Raises InputError if the study is another's, StoreError if
    the store is lost, SearchFailedError if every trial diverged; KeyboardInterrupt leaves a study that can be continued.
    """
    watcher = watcher or Watcher()
    if len(workers) > 1 and job.factory and not is_importable(job.factory):
        raise InputError(
            f"workers: another process cannot import {qualified_name(job.factory)}; put it into a module, or use one worker."
        )
    with place.locked(), one_thread():
        study = Study(job.space, place.journal, job.data.fingerprint, deterministic, job.init_digest)
        try:
            stored = study.get_attr("result")
            if (
                stored
                and not study.has_next()
                and (stored["asked"], stored["trials"]) == (_result_options(job), study.counts)
            ):
                return dict(stored)
            startup = 0.0 if clock is None else time.time() - clock
            return _Search(job, place, study, tracking_uri or place.tracking_uri, watcher, workers).run(startup)
        finally:
            study.close()


def _result_options(job: Experiment) -> dict[str, Any]:
    """What of a space concerns the result alone: another wish needs no other search."""
    space = job.space
    wished = None if space.ensemble is None else space.ensemble.model_dump()
    return {"finalists": space.finalists, "select": space.select, "refit": space.refit.model_dump(), "ensemble": wished}


class _Search:
    def __init__(
        self,
        job: Experiment,
        place: StudyDirectory,
        study: Study,
        tracking_uri: str,
        watcher: Watcher,
        workers: Sequence[Worker],
    ) -> None:
        self._job, self._place, self._study, self._uri, self._watcher = job, place, study, tracking_uri, watcher
        self._vault = WeightStore(place.weights)
        self._rows = study.get_attr("rows") or job.rows(max(1, len(workers)))
        study.set_attr("rows", self._rows)
        self._workers = [] if job.space.is_point else list(workers[: max(1, self._rows // len(job.data.folds))])
        if not study.get_attr("id"):
            study.set_attr("id", uuid.uuid4().hex)
        self._refit = Refit(job.space, job.data, job.networks, study, self._vault, self._train_fixed)
        self._ways = RefitComparison(
            job.space,
            job.data,
            job.networks,
            study,
            self._vault,
            WeightStore(place.oof_predictions),
            self._train_fixed,
            job.device,
        )

    def run(self, startup: float) -> dict[str, Any]:
        before = self._place.mlflow(required=False).get("tracking_uri", self._uri)
        if before != self._uri:
            self._watcher.note(
                f"Runs go to {self._uri} from now on. Those at {before} stay there, and hpo delete will not remove them."
            )
        self._recorder = Recorder(self._uri, self._place.folder, publish.run_header(self._job, self._study))
        try:
            if self._uri != self._place.tracking_uri:
                _ = self._recorder.ids  # somebody else's server is better asked before hours of training than after
            for outcome in list(self._study.outcomes.values()):
                self._recorder.record(outcome)  # what MLflow has already is left as it is
            self._watcher.begin(self._job, self._study, self._rows, max(1, len(self._workers)))
            self._train(self._job.data, self._rows, self._on_row_budget)
            self._study.stop_clock()
            return self._select(startup)
        except BaseException as error:
            self._recorder.abandon("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        finally:
            self._watcher.end()

    # ---- training

    def _train(self, samples: Samples, rows: int, less: Callable[[int], None]) -> None:
        """Trains whatever the study has open."""
        population = self._population(samples.samples(), rows, less)
        loop.run(self._study, population, self._vault, self._recorder, self._watcher.epoch)
        if isinstance(population, WorkerPool):
            self._workers = population.workers  # one may have been lost

    def _train_fixed(self, trials: Sequence[Trial], samples: Callable[[], Samples]) -> None:
        """Trains what is fixed, after the search. It is not proposed, so as many rows as fit may be in flight."""
        for trial in trials:
            self._study.enqueue(trial, anew=trial.keep_weights and not self._vault.path(trial.label).exists())
        if self._study.has_pending:
            self._watcher.phase(_phase_title(trials), len(trials))
            workers, device, made = max(1, len(self._workers)), self._job.device, samples()
            rows = rows_for(
                None,
                self._job.max_parameters,
                workers,
                free_memory(device),
                len(made.folds),
                device,
                self._job.weight_copies,
            )
            self._train(made, rows, self._note_row_budget)

    def _population(self, samples: Samples, rows: int, less: Callable[[int], None]) -> loop.Trainer:
        job = self._job
        if len(self._workers) > 1:
            return WorkerPool(
                self._workers, job.space, job.factory, samples, rows, job.networks.state, less, self._watcher.note
            )
        return Population.from_space(job.space, job.factory, samples.to(job.device), rows, job.networks.state, less)

    def _on_row_budget(self, rows: int) -> None:
        self._rows = rows
        self._study.set_attr("rows", rows)
        self._note_row_budget(rows)

    def _note_row_budget(self, rows: int) -> None:
        self._watcher.note(
            f"Memory ran out: {rows} networks at once from here on; those that were cut short start again."
        )

    # ---- selecting

    def _select(self, startup: float) -> dict[str, Any]:
        """Selects, touches the test part once, and writes down everything."""
        study, job = self._study, self._job
        best = study.best()
        if best is None or not best.valid:
            raise SearchFailedError(_all_diverged(study))
        if job.space.is_point or not job.space.finalists:
            return self._store_result(None, self._without_finals(best), startup)
        final = Finals(job.space, job.data, job.networks, study, self._train_fixed)
        final.run(finals.select_finalists(study, job.space))
        verdict = results.Verdict.of(final, job.space.select)
        self._watcher.selected(final)
        selected = final.finalists[verdict.selected]
        baselines = {name: final.finalists[name] for name in ("defaults", "none")}
        compared = {"selected": selected, "ablation": self._reference(selected, final, ranking.ablation), **baselines}
        if _adapts_besides(selected.searched.trial):
            compared["unadapted"] = self._reference(selected, final, ranking.without_adaptation)
        return self._store_result((final, verdict), compared, startup)

    def _reference(self, selected: Finalist, final: Finals, less: Callable[[Trial], Trial]) -> Finalist:
        """The selection with `less`, on the draws that it had; a finalist, where one is just that."""
        twin = less(selected.searched.trial)
        for other in final.finalists.values():
            if active(other.searched.trial.params) == active(twin.params) and len(other.fresh) >= len(selected.fresh):
                return other
        return final.evaluate_like(self._trained(twin), selected)

    def _without_finals(self, best: Outcome) -> dict[str, Finalist]:
        """What the search alone says: its best, and beside a whole search what that is compared with."""
        selected = Finalist(best, self._job.space)
        if self._job.space.is_point:
            return {"selected": selected}
        others = {
            "ablation": self._trained(ranking.ablation(best.trial)) if ranking.regularized(best.trial.params) else best
        }
        others |= {name: self._study.outcomes[name] for name in ("defaults", "none")}
        if _adapts_besides(best.trial):
            others["unadapted"] = self._trained(ranking.without_adaptation(best.trial))
        return {"selected": selected} | {name: Finalist(outcome, self._job.space) for name, outcome in others.items()}

    def _trained(self, twin: Trial) -> Outcome:
        """A configuration beside the selected one, on the rows of the search."""
        self._train_fixed([twin], lambda: self._job.data)
        return self._study.outcomes[twin.label]

    # ---- writing down

    def _store_result(
        self, final: tuple[Finals, results.Verdict] | None, compared: dict[str, Finalist], startup: float
    ) -> dict[str, Any]:
        job, study, way = self._job, self._study, self._job.space.refit.kind
        selected = compared["selected"]
        ways = self._compare_refits(selected) if selected.fresh and way != "none" else {}
        networks = (
            self._refit.final(way, list({f.label: f for f in compared.values()}.values())) if way != "none" else {}
        )
        said = {
            name: self._refit.logits(networks[f.label], f.searched.trial.params)
            for name, f in compared.items()
            if f.label in networks
        }
        tests = {
            name: results.test_scores(job.space, networks[compared[name].label].data, logits)
            for name, logits in said.items()
        }
        looks = self._count_test_evaluations({network.label for network in networks.values()})
        ids = self._recorder.ids
        result = {
            "study": job.space.study,
            "asked": _result_options(job),
            "trials": dict(study.counts),
            **results.table(job, final, compared, tests),
            "networks": {name: networks[f.label].label for name, f in compared.items() if f.label in networks},
            "looks": looks,  # how often the test part has been scored
            "front": results.front(study, job.space),
            "criteria": results.criteria(study, job),
            "adaptation": results.adaptation(compared, networks, said),
            "unpromised": job.data.test_domain_differs,  # nothing before the test tells of its domain
            "refit": results.refit(way, networks.get(selected.label), ways),
            "metric": job.space.train.metric,
            "task": job.data.task,
            "epochs_trained": sum(o.epochs for o in study.budget_outcomes()),
            "epochs_possible": len(study.budget_outcomes()) * job.space.most_epochs,
            "fit_epochs": results.fit_epochs(study),
            "rows": self._rows,
            "workers": max(1, len(self._workers)),
            "device": devices.device_name(job.device),
            "notes": list(job.data.notes),
            "fingerprint": job.data.fingerprint,
            "first_weights": job.init_digest,
            "shape": {"inputs": job.data.n_inputs, "outputs": job.data.n_outputs},
            "versions": results.versions(),
            "date": time.strftime("%Y-%m-%d"),
            "tracking_uri": self._uri,
            "run_id": ids["run_id"],
            "experiment_id": ids["experiment_id"],
            "startup_seconds": startup,
        }
        result |= self._with_ensemble(result)
        if lost := set((study.get_attr("result") or {}).get("ensembles", ())) - set(result["ensembles"]):
            self._watcher.note(
                f"Ensembles of the earlier result, which this one replaces, are gone: {', '.join(sorted(lost))}; hpo ensemble makes them again."
            )
        kept = [entry["weights"] for entry in (result["refit"], *result["ensembles"].values()) if entry["weights"]]
        files = [*map(self._vault.path, kept), *self._exported(selected, networks)]
        publish.publish(result, job, study, self._place, self._recorder, files, self._watcher.note)
        result["seconds"] = study.seconds()
        source = {
            "base": str(job.base_dir.resolve()),
            "space": export.space_dict(job.space),
            "plugins": plugins.needed(job.space.search),
        }
        with study.batch():  # until here an earlier result stands, with its space and its weights
            study.set_attr("space_source", source)
            study.set_attr("result", result)
        self._vault.retain_only({*kept, *(network.label for network in networks.values())})
        return result

    def _count_test_evaluations(self, labels: set[str]) -> int:
        """How often the test part has been scored, when the networks of `labels` are; those that were before tell nothing new."""
        study = self._study
        scored = set(study.get_attr("scored") or ())
        looks = (study.get_attr("looks") or 0) + bool(labels - scored)
        with study.batch():
            study.set_attr("looks", looks)
            study.set_attr("scored", sorted(labels | scored))
        return looks

    def _exported(self, selected: Finalist, networks: Mapping[str, FinalNetwork]) -> list[Path]:
        """The folder of the final network as other programs read it, if there is one: what another search can begin with."""
        if selected.label not in networks:
            return []
        final, params = networks[selected.label], selected.searched.trial.params
        made, weights = self._job.networks.network_for(params), self._vault.load(final.label)
        export.network_files(self._place.network, made, weights, final.data, params.get("dropout", 0.0))
        return [self._place.network]

    def _compare_refits(self, selected: Finalist) -> dict[str, dict[str, float]]:
        """What the ways to a final network are worth beside each other, if there are folds within folds and room for them: hours of
        training must not end in vain for want of these."""
        try:
            return self._ways.compare(selected)
        except (InputError, SearchFailedError, MemoryError) as error:
            self._study.cancel_pending()  # else the loop would wait for it for ever
            self._watcher.note(f"The ways to train the final network are not compared. {error}")
            return {}

    def _with_ensemble(self, result: dict[str, Any]) -> dict[str, Any]:
        """The ensemble that the space wishes, if it can be made, and how often the test part has been scored by then."""
        wish, study = self._job.space.ensemble, self._study
        made: dict[str, Any] = {}
        if wish is not None:
            try:
                made[wish.kind] = build.build_ensemble(
                    EnsembleContext(self._job, study, result, wish, self._watcher), self._vault
                )
            except (InputError, SearchFailedError, MemoryError) as error:
                self._watcher.note(f"There is no ensemble. {error}")
        return {"ensembles": made, "looks": study.get_attr("looks")}


def _adapts_besides(trial: Trial) -> bool:
    """Whether a configuration takes another domain into account, and regularizes besides: else its ablation tells what that gained."""
    return 0 < len(ranking.adapting(trial.params)) < len(ranking.regularizing(trial.params))


def _phase_title(trials: Sequence[Trial]) -> str:
    """What is trained after the search, in words."""
    if trials[0].role == "ablation":
        return trial_name(trials[0].label)
    return {
        "finalist": "finalists on fresh splits, from fresh seeds",
        "nested": "what the last training gains, by folds within folds",
        "refit": "the final networks",
    }[trials[0].role]


def _all_diverged(study: Study) -> str:
    reasons = {o.reason for o in study.budget_outcomes()}
    return (
        f"All {len(study.budget_outcomes())} trials diverged ({min(reasons)}): the loss was not finite. "
        f"Lower search.learning_rate, and look for extreme values in the data."
    )
