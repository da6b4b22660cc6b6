"""An ensemble of a study that was searched before."""

from __future__ import annotations

from typing import Any

import torch

from hpo.core.errors import InputError
from hpo.nn.linear import one_thread
from hpo.selection import result as results
from hpo.selection.ensemble import build
from hpo.selection.ensemble.context import EnsembleContext
from hpo.space.settings import EnsembleConfig, RefitConfig
from hpo.space.space import ensemble_mistake
from hpo.study import ledger
from hpo.study.study import Study
from hpo.study.weights import WeightStore
from hpo.tracking.recorder import Recorder
from hpo.workflows import completed, publish
from hpo.workflows import prepare as jobs
from hpo.workflows import search as searching
from hpo.workflows.completed import CompletedStudy


def add(
    search: CompletedStudy, wish: EnsembleConfig, device: torch.device, watcher: searching.Watcher
) -> dict[str, Any]:
    """Makes an ensemble of a study that has its result, and returns its entry of that; one of the same kind gives way to it. If it is
    cut off, nothing has changed but perhaps the count of looks at the test part, and it starts from the beginning. Raises
    InputError if it cannot be made of this study, SearchFailedError if all its networks diverge."""
    place = search.place
    space = search.space.model_copy(
        update={"refit": RefitConfig.model_validate({"kind": search.result["refit"]["kind"]})}
    )
    if text := ensemble_mistake(space, wish):
        raise InputError(f"The study {place.name}: ensemble {text}")
    uri = place.mlflow(required=False).get("tracking_uri", place.tracking_uri)
    job = jobs.prepare(space, search.base, device=device, tracking_uri=uri)
    deterministic = bool(ledger.read_attrs(place.journal)["deterministic"])
    with place.locked(), one_thread():
        known = completed.load(place).result  # another ensemble may have been made since `search` was read
        study = Study(job.space, place.journal, job.data.fingerprint, deterministic, job.init_digest)
        recorder = Recorder(uri, place.folder, publish.run_header(job, study))
        try:
            vault, result = WeightStore(place.weights), dict(known)
            entry = build.build_ensemble(EnsembleContext(job, study, result, wish, watcher), vault)
            result |= {"ensembles": {**result["ensembles"], wish.kind: entry}, "looks": study.get_attr("looks")}
            numbers = results.metrics(result) | build.metrics(result["ensembles"])
            recorder.close("FINISHED", metrics=numbers, artifacts=[str(vault.path(entry["weights"]))])
            study.set_attr("result", result)
            if (before := known["ensembles"].get(wish.kind)) and before["weights"] != entry["weights"]:
                vault.path(before["weights"]).unlink(missing_ok=True)
        except BaseException:
            recorder.abandon("FINISHED")  # the search's own run, which it still is
            raise
        finally:
            study.close()
            watcher.end()
    return entry
