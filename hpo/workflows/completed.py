"""A study that has its result: read from the store, without searching."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.core.errors import InputError, StoreError
from hpo.core.trial import Outcome
from hpo.data import dataset as data_module
from hpo.data.dataset import Dataset
from hpo.export import files, pretrained
from hpo.nn.combination import Combination
from hpo.nn.network import BatchedNetwork
from hpo.space import loader, plugins
from hpo.space.space import Space
from hpo.study.directory import StudyDirectory, write_atomic
from hpo.study.ledger import read_attrs
from hpo.study.weights import WeightStore
from hpo.training.builder import NetworkBuilder, factory
from hpo.workflows.prepare import run_fetcher


@dataclass(frozen=True)
class CompletedStudy:
    """`base` is where the space's relative paths start."""

    place: StudyDirectory
    result: Mapping[str, Any]
    space: Space
    base: Path
    outcomes: Mapping[str, Outcome]

    def configuration(self, folder: Path, form: str) -> str:
        """The selected configuration as text, for a file in `folder`; `form` is yaml or json."""
        made = self.network()
        point = files.configuration(self.result, self.space, made, self.base, folder)
        return json.dumps(point, indent=2) + "\n" if form == "json" else files.commented(point, made)

    def write_front(self, folder: Path) -> list[str]:
        """Writes every configuration of the Pareto front as a file of its own, a space of one point; returns their names. Raises
        InputError if the search had a single objective."""
        if not self.result["front"]:
            raise InputError(
                f"The study {self.place.name} had one objective; name several in its space: objectives: [valid_loss, nonzero_share]"
            )
        written = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for one in self.result["front"]:
                own = {
                    **self.result,
                    **one,
                    "selected": one["params"],
                    "fresh": {},
                    "test": {},
                    "refit": {"kind": "scaled"},
                }
                made, name = self._networks().network_for(one["params"]), f"trial-{one['trial']}"
                point = files.configuration(own, self.space, made, self.base, folder, name)
                written.append(f"{name}.yaml")
                write_atomic(folder / written[-1], files.commented(point, made).encode())
        except (OSError, StoreError) as error:
            raise InputError(f"{folder} cannot be written; name another folder with -o.") from error
        return written

    def _networks(self) -> NetworkBuilder:
        shape = self.result["shape"]
        return NetworkBuilder(self.space, factory(self.space, self.base), shape["inputs"], shape["outputs"])

    def network(self) -> BatchedNetwork:
        return self._networks().network_for(self.result["selected"])

    def _data(self) -> Dataset:
        """Raises InputError if the data are not those of the search."""
        uri = self.place.mlflow(required=False).get("tracking_uri", self.place.tracking_uri)
        begins = pretrained.load_from(self.space, self.base, run_fetcher(uri))
        if begins is not None and begins.content != self.result["first_weights"]:
            raise InputError(
                f"The weights of {begins.name} are not those that {self.space.study} began with; bring them back, or search anew."
            )
        encoder = begins.encoder if begins else None
        data = data_module.prepare(self.space.data, self.base, image=self.space.network.image or (), encoder=encoder)
        if data.fingerprint != self.result["fingerprint"]:
            raise InputError(
                f"The rows of {self.space.data.files} are not those that {self.space.study} was searched on; "
                f"bring the file back, or search anew."
            )
        return data

    def write_report(self, path: Path) -> None:
        """Writes the page on the search; one whose rows are gone or changed has no predictions. Raises InputError if `path` cannot be
        written."""
        from hpo import report  # with plotly, which `hpo export` can do without

        data: Dataset | None = None
        lost = ""
        try:
            data = self._data()
        except InputError as error:
            lost = str(error)
        try:
            report.write(
                report.ReportInputs.of(
                    self.result, self.space, self.outcomes, self._networks(), data, self.place, lost
                ),
                path,
            )
        except StoreError as error:
            raise InputError(f"{path} cannot be written; name another file with -o.") from error

    def write_ensemble(self, folder: Path, kind: str) -> None:
        """Writes all that an ensemble needs to predict raw rows. Raises InputError if there is no such one, or if the data are not
        those of the search."""
        entry = self.result["ensembles"].get(kind)
        if entry is None:
            raise InputError(
                f"{self.place.name} has no ensemble of that kind; make it with: hpo ensemble --study {self.place.name} --kind {kind}"
            )
        kept, networks = WeightStore(self.place.weights).load(entry["weights"]), self._networks()
        members = []
        for number, member in enumerate(entry["members"]):
            own = {
                name.partition(".")[2]: tensor for name, tensor in kept.items() if name.partition(".")[0] == str(number)
            }
            members.append((networks.network_for(member["params"]), own, member["params"].get("dropout", 0.0)))
        rule = Combination(entry["rule"], kept["combine.weight"], kept["combine.bias"], entry["each"])
        files.ensemble_files(folder, members, rule, self._data().whole())

    def write_network(self, folder: Path) -> None:
        """Writes all that raw rows need to be predicted. Raises InputError if the data are not those of the search."""
        data = self._data()
        made = self.result["refit"]
        if made["weights"] is None:
            why = "it was searched with refit: none" if made["kind"] == "none" else "its final one diverged"
            other = "scaled" if made["kind"] in ("none", "average") else "average"
            raise InputError(f"{self.space.study} has no network, because {why}; search it again with --refit {other}.")
        weights = WeightStore(self.place.weights).load(made["weights"])
        encoded = data if made["kind"] == "keep" else data.whole()
        files.network_files(folder, self.network(), weights, encoded, self.result["selected"].get("dropout", 0.0))


def load(place: StudyDirectory, named: Sequence[str] = ()) -> CompletedStudy:
    """`named` are the modules of regularizers from outside. Raises InputError if the study has no result yet, needs another of
    these, or is of a time when results said less."""
    known = read_attrs(place.journal)
    if not known.get("result"):
        raise InputError(f"The study {place.name} has no result yet; run its search to the end first.")
    if "ensembles" not in known["result"]:
        raise InputError(
            f"The study {place.name} was searched by an older hpo, whose result says too little; search it anew under another name."
        )
    source = known["space_source"]
    plugins.load(named, Path(source["base"]))
    plugins.require(source["plugins"], place.name)
    outcomes = {o.trial.label: o for o in map(Outcome.from_json, known["outcomes"])}
    return CompletedStudy(place, known["result"], loader.parse(source["space"]), Path(source["base"]), outcomes)
