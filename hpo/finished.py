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
from hpo.ledger import stored
from hpo.network import Network
from hpo.networks import Networks, factory
from hpo.space import Space
from hpo.store import Place
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

    def network(self) -> Network:
        shape = self.result["shape"]
        networks = Networks(self.space, factory(self.space, self.base), shape["inputs"], shape["outputs"])
        return networks.of(self.result["selected"])

    def write_network(self, folder: Path) -> None:
        """Writes all that raw rows need to be predicted. Raises InputError if the data are not those of the search."""
        data = data_module.prepare(self.space.data, self.base)
        if data.fingerprint != self.result["fingerprint"]:
            raise InputError(
                f"The rows of {self.space.data.source} are not those that {self.space.study} was searched on, so its "
                f"preprocessing cannot be exported; bring the file back, or search anew."
            )
        made = self.result["refit"]
        if made["weights"] is None:
            raise InputError(f"{self.space.study} was searched with refit: none, so it has no network; search it again with --refit scaled.")
        weights = Vault(self.place.weights).get(made["weights"])
        encoded = data if made["kind"] == "keep" else data.whole()
        export.network_files(folder, self.network(), weights, encoded, self.result["selected"].get("dropout", 0.0))


def load(place: Place) -> Finished:
    """Raises InputError if the study has no result yet."""
    known = stored(place.journal)
    if not known.get("result"):
        raise InputError(f"The study {place.name} has no result yet; run its search to the end first.")
    source = known["space_source"]
    return Finished(place, known["result"], space_file.parse(source["space"]), Path(source["base"]))
