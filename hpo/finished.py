"""A study that has its result: read from the store, without searching."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo import data as data_module
from hpo import export, space_file
from hpo.errors import InputError
from hpo.network import Mlp
from hpo.space import Space
from hpo.store import Place
from hpo.study import stored
from hpo.weights import Vault


@dataclass(frozen=True)
class Finished:
    """`base` is where the space's relative paths start."""

    place: Place
    result: Mapping[str, Any]
    space: Space
    base: Path

    def configuration(self, folder: Path, form: str) -> str:
        """The selected configuration as text, for a file in `folder`; `form` is yaml or json."""
        point = export.configuration(self.result, self.space, self.base, folder)
        if form == "json":
            return json.dumps(point, indent=2) + "\n"
        return export.commented(point, self.network())

    def network(self) -> Mlp:
        kind, shape = self.space.network, self.result["shape"]
        depth = int(self.result["selected"]["depth"])
        return Mlp(shape["inputs"], shape["outputs"], depth, kind.width, kind.activation, kind.batch_norm)

    def write_network(self, folder: Path) -> None:
        """Writes all that raw rows need to be predicted. Raises InputError if the data are not those of the search."""
        data = data_module.prepare(self.space.data, self.base)
        if data.fingerprint != self.result["fingerprint"]:
            raise InputError(
                f"The rows of {self.space.data.source} are not those that {self.space.study} was searched on, so its "
                f"preprocessing cannot be exported; bring the file back, or search anew."
            )
        weights = Vault(self.place.weights).get(self.result["trial"])
        export.network_files(folder, self.network(), weights, data, self.result["selected"].get("dropout", 0.0))


def load(place: Place) -> Finished:
    """Raises InputError if the study has no result yet."""
    known = stored(place.journal)
    if not known.get("result"):
        raise InputError(f"The study {place.name} has no result yet; run its search to the end first.")
    source = known["space_source"]
    return Finished(place, known["result"], space_file.parse(source["space"]), Path(source["base"]))


def summary(place: Place) -> list[str]:
    """A line of `hpo studies`: name, state, trials, the best score of the search, the selected test score, the date."""
    known = stored(place.journal)
    if not known:
        return [place.name, "empty", "0", "–", "–", "–"]
    result = known.get("result")
    metric = known["space"]["train"]["metric"]
    values = [o["valid"][metric] for o in known["outcomes"] if o["valid"] and o["state"] == "complete"]
    state = "running" if place.running() else "finished" if result else "stopped"
    trials = sum(o["trial"]["role"] != "ablation" for o in known["outcomes"])
    if not result:
        better = max if metric not in ("loss", "mae") else min
        best = f"{metric} {better(values):.4g}" if values else "–"
        return [place.name, state, str(trials), best, "–", "–"]
    shown = metric if metric != "loss" else ("accuracy" if result["task"] == "classification" else "r2")
    best, test = f"{metric} {result['valid'][metric]:.4g}", f"{shown} {result['test'][shown]:.4g}"
    return [place.name, state, str(trials), best, test, result["date"]]
