"""Read a completed study from the store, without searching, and export from it."""

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
from hpo.export import configuration, network_files, pretrained
from hpo.nn.combination import Combination
from hpo.nn.network import BatchedNetwork
from hpo.regularizers.configs import make_config
from hpo.selection.result import SearchResult
from hpo.selection.result_parts import EnsembleResult
from hpo.space import loader, plugins
from hpo.space.space import Space
from hpo.study import resume
from hpo.study.directory import StudyDirectory, write_atomic
from hpo.study.storage import read_attrs
from hpo.study.weights import WeightStore
from hpo.training.builder import NetworkBuilder, factory
from hpo.workflows import single_trial
from hpo.workflows.prepare import run_fetcher
from hpo.workflows.single_trial import SingleTrial


@dataclass(frozen=True)
class CompletedStudy:
    """A study that has a result. Relative paths in its space start at `base`; `outcomes` are by trial label."""

    directory: StudyDirectory
    result: SearchResult
    space: Space
    base: Path
    outcomes: Mapping[str, Outcome]

    def configuration(self, folder: Path, form: str) -> str:
        """Return the selected configuration as text, for a file in `folder`; `form` is yaml or json."""
        network = self.network()
        point = configuration.single_point(self.result, self.space, network, self.base, folder)
        return _as_text(point, network, form)

    def trial(self, label: str) -> SingleTrial:
        """Return any trial of the study by its label. Raises InputError if it does not exist or diverged."""
        return single_trial.find(label, self.result, self.space, self.outcomes)

    def trial_configuration(self, label: str, folder: Path, form: str, suffix: str | None = None) -> str:
        """Return the configuration of any trial as text, as `configuration` does for the selected one.

        The name of its study ends with `suffix` (default: a name for the trial).
        """
        found, suffix = self.trial(label), suffix or single_trial.description(label)
        network = self._networks().network_for(make_config(found.result.selected))
        point = configuration.single_point(found.result, self.space, network, self.base, folder, suffix, found.evidence)
        return _as_text(point, network, form)

    def write_front(self, folder: Path) -> list[str]:
        """Write every configuration of the Pareto front as a space with a single point, and return the file names.

        Raises InputError if the search had a single objective or `folder` cannot be written.
        """
        if not self.result.front:
            raise InputError(
                f"The study {self.directory.name} had one objective; "
                f"name several in its space: objectives: [valid_loss, nonzero_share]"
            )
        written = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for trial in self.result.front:
                written.append(f"trial-{trial.trial}.yaml")
                text = self.trial_configuration(trial.trial, folder, "yaml", f"trial-{trial.trial}")
                write_atomic(folder / written[-1], text.encode())
        except (OSError, StoreError) as error:
            raise InputError(f"{folder} cannot be written; name another folder with -o.") from error
        return written

    def write_report(self, path: Path) -> None:
        """Write the report; it has no predictions if the rows are missing or have changed. Raises InputError if `path`
        cannot be written."""
        from hpo import report  # imports plotly, which `hpo export` does not need

        data: Dataset | None = None
        reason = ""
        try:
            data = self._data()
        except InputError as error:
            reason = str(error)
        try:
            inputs = report.ReportInputs.from_study(
                self.result, self.space, self.outcomes, self._networks(), data, self.directory, reason
            )
            report.write(inputs, path)
        except StoreError as error:
            raise InputError(f"{path} cannot be written; name another file with -o.") from error

    def write_ensemble(self, folder: Path, kind: str) -> None:
        """Write the files with which an ensemble predicts raw rows. Raises InputError if the study has no ensemble of
        this kind, or if the data are not those of the search."""
        ensemble = self.result.ensembles.get(kind)
        if ensemble is None:
            raise InputError(
                f"{self.directory.name} has no ensemble of that kind; "
                f"make it with: hpo ensemble --study {self.directory.name} --kind {kind}"
            )
        weights = WeightStore(self.directory.weights).load(ensemble.weights)
        rule = Combination(
            ensemble.rule,
            weights["combine.weight"],
            weights["combine.bias"],
            ensemble.networks_per_member,
            ensemble.temperature or 1.0,
        )
        members = self._members(ensemble, weights)
        network_files.write_ensemble(folder, members, rule, self._data().without_validation())

    def write_network(self, folder: Path, label: str | None = None, store_option: str = "") -> None:
        """Write the files with which the final networks predict raw rows: of the trial `label`, or the selected one.

        `store_option` names the store in the commands of an error message. Raises InputError if these networks were not
        trained, or if the data are not those of the search.
        """
        if label is not None and label != self.result.trial:
            found, final = self.trial(label), single_trial.final_weights(label, self.result)
            if final is None:
                raise single_trial.no_networks(label, store_option, self.result)
            self._write_network(folder, found.result.selected, *final)
            return
        refit = self.result.refit
        if refit.weights is None:
            reason = "it was searched with refit: none" if refit.kind == "none" else "its final network diverged"
            other = "scaled" if refit.kind in ("none", "average") else "average"
            raise InputError(
                f"{self.space.study} has no network, because {reason}; search it again with --refit {other}."
            )
        self._write_network(folder, self.result.selected, refit.weights, refit.temperature or 1.0)

    def _write_network(self, folder: Path, params: Mapping[str, Any], weights: str, temperature: float) -> None:
        data, refit, network = self._data(), self.result.refit, self._networks().network_for(make_config(params))
        tensors = WeightStore(self.directory.weights).load(weights, refit.networks)
        encoded = data if refit.kind == "keep" else data.without_validation()
        network_files.write_network(folder, network, tensors, encoded, params.get("dropout", 0.0), temperature)

    def network(self) -> BatchedNetwork:
        """Return the network of the selected configuration."""
        return self._networks().network_for(make_config(self.result.selected))

    def _networks(self) -> NetworkBuilder:
        shape = self.result.shape
        return NetworkBuilder(self.space, factory(self.space, self.base), shape["inputs"], shape["outputs"])

    def _members(
        self, ensemble: EnsembleResult, weights: network_files.Weights
    ) -> list[tuple[BatchedNetwork, network_files.Weights, float]]:
        """Return the network, weights and dropout rate of every member; the weights of member N are named "N.…"."""
        networks = self._networks()
        members: list[tuple[BatchedNetwork, network_files.Weights, float]] = []
        for number, member in enumerate(ensemble.members):
            parts = {name: name.partition(".") for name in weights}
            state = {parts[name][2]: tensor for name, tensor in weights.items() if parts[name][0] == str(number)}
            config = make_config(member.params)
            members.append((networks.network_for(config), state, config.strengths.get("dropout", 0.0)))
        return members

    def _data(self) -> Dataset:
        """Load the data. Raises InputError if they, or the initial weights, are not those of the search."""
        uri = self.directory.mlflow(required=False).get("tracking_uri", self.directory.tracking_uri)
        initial = pretrained.load_from(self.space, self.base, run_fetcher(uri))
        if initial is not None and initial.content != self.result.init_digest:
            raise InputError(
                f"The weights of {initial.name} have changed since the search of {self.space.study}; "
                f"restore them, or search again under another name."
            )
        encoder = initial.encoder if initial else None
        data = data_module.prepare(self.space.data, self.base, image=self.space.network.image or (), encoder=encoder)
        if data.fingerprint != self.result.fingerprint:
            raise InputError(
                f"The rows of {self.space.data.all_sources} are not those that {self.space.study} was searched on; "
                f"restore the file, or search again under another name."
            )
        return data


def load(directory: StudyDirectory, plugin_modules: Sequence[str] = ()) -> CompletedStudy:
    """Load a study, whose regularizers may come from `plugin_modules`.

    Raises InputError if the study has no result yet, needs other plugins, or was stored by another version of hpo.
    """
    attrs = read_attrs(directory.journal)
    if attrs:
        resume.check_schema(directory.name, attrs.get("schema"))
    if not attrs.get("result"):
        raise InputError(f"The study {directory.name} has no result yet; run its search to the end first.")
    source: Mapping[str, Any] = attrs["space_source"]
    plugins.load(plugin_modules, Path(source["base"]))
    plugins.require(source["plugins"], directory.name)
    outcomes = {o.trial.label: o for o in map(Outcome.from_json, attrs["outcomes"])}
    result = SearchResult.from_json(attrs["result"])
    return CompletedStudy(directory, result, loader.parse(source["space"]), Path(source["base"]), outcomes)


def _as_text(point: Mapping[str, Any], network: BatchedNetwork, form: str) -> str:
    return json.dumps(point, indent=2) + "\n" if form == "json" else configuration.commented_yaml(point, network)
