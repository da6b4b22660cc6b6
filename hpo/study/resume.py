"""Open a stored study: create it, or check that it belongs to the same search and read its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hpo.core.errors import InputError, truncate
from hpo.core.trial import Outcome
from hpo.space.formatting import flat
from hpo.space.space import Space
from hpo.study.storage import SCHEMA, StudyStorage


@dataclass(frozen=True)
class StoredStudy:
    """The content of a study in its storage."""

    outcomes: list[Outcome]
    start_rounds: dict[str, int]  # by trial label
    trials: list[FrozenTrial]  # the proposals, by number
    sampler_attrs: dict[str, Any]  # set by the sampler, for the study
    trial_attrs: dict[str, dict[str, Any]]  # set by sampler and pruner after the proposal, by trial label
    elapsed: float  # seconds of earlier sessions


def refuse_time(space: Space) -> None:
    """Raise InputError if the result of a search of this space would depend on speed."""
    if space.budget.seconds is not None:
        raise InputError(
            "budget.seconds: a deterministic search must not depend on speed; remove it, and set budget.trials."
        )
    if "seconds" in space.objective_names:
        raise InputError("objectives: a deterministic search must not depend on speed; remove seconds.")


def study_identity(space: Space, fingerprint: str, init_digest: str) -> dict[str, Any]:
    """The values that identify a study: the space, the content of its data, and its initial weights."""
    return space.identity() | {"data_content": fingerprint} | ({"init_digest": init_digest} if init_digest else {})


def open_study(
    storage: StudyStorage, identity: Mapping[str, Any], directions: Sequence[StudyDirection], deterministic: bool
) -> StoredStudy:
    """Create the study in `storage`, or read it.

    Raises InputError if its identity or its setting of `deterministic` differs, or if it has another schema.
    """
    name = identity["study"]
    if not storage.exists():
        storage.create(name, directions, {"schema": SCHEMA, "space": identity, "deterministic": deterministic})
    else:
        check_schema(name, storage.get_attr("schema"))
        _check_identity(name, storage.get_attr("space"), identity)
        _check_deterministic(name, storage.get_attr("deterministic"), deterministic)
    return _read(storage)


def _read(storage: StudyStorage) -> StoredStudy:
    attrs, trials = storage.attrs(), storage.trials()
    outcomes = [data for key, data in attrs.items() if key.startswith("outcome:")]
    outcomes += [trial.user_attrs["outcome"] for trial in trials if "outcome" in trial.user_attrs]
    prefix = "start_round:"
    start_rounds = {key.removeprefix(prefix): value for key, value in attrs.items() if key.startswith(prefix)}
    start_rounds |= {str(trial.number): trial.user_attrs["start_round"] for trial in trials}
    return StoredStudy(
        outcomes=[Outcome.from_json(data) for data in outcomes],
        start_rounds=start_rounds,
        trials=trials,
        sampler_attrs=storage.sampler_attrs(),
        trial_attrs={str(trial.number): trial.user_attrs.get("sampler_attrs", {}) for trial in trials},
        elapsed=attrs.get("elapsed") or 0.0,
    )


def check_schema(name: str, stored: int | None) -> None:
    """Raise InputError if a study was stored with a schema that this version of hpo cannot read."""
    if stored != SCHEMA:
        raise InputError(
            f"The study {name} was stored by another version of hpo (schema {stored or 'none'}, this one reads "
            f"{SCHEMA}). Set study to another name, or remove it with: hpo delete {name}"
        )


def _check_identity(name: str, stored: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    if difference := _difference(stored, _as_json(current)):
        raise InputError(
            f"The study {name} was started with another space ({difference}). Set study to another name, "
            f"or remove it with: hpo delete {name}"
        )


def _check_deterministic(name: str, stored: bool, current: bool) -> None:
    if stored != current:
        mode, action = ("with", "add it again") if stored else ("without", "leave it out")
        raise InputError(
            f"The study {name} was started {mode} deterministic: {action}, set study to another name, "
            f"or remove it with: hpo delete {name}"
        )


def _as_json(value: Any) -> Any:
    """Return the value as it is after a round trip through JSON: tuples become lists."""
    if isinstance(value, Mapping):
        return {key: _as_json(v) for key, v in value.items()}
    return [_as_json(v) for v in value] if isinstance(value, list | tuple) else value


def _difference(stored: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Describe the differences between two spaces in words; "" if there are none."""
    a, b = flat(stored), flat(current)
    keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
    if keys == ["data_content"]:
        return "the rows of its data differ"
    if keys == ["init_digest"]:
        return "the weights of network.init differ"
    one_sided = [(key, "stored") for key in stored["search"] if key not in current["search"]]
    one_sided += [(key, "new") for key in current["search"] if key not in stored["search"]]
    differences = [f"search.{key} is only in the {side} space" for key, side in one_sided]
    described = ("data_content", "init_digest", *(f"search.{key}." for key, _ in one_sided))
    differences += [
        f"{key}: stored {truncate(a.get(key), 30)}, now {truncate(b.get(key), 30)}"
        for key in keys
        if not key.startswith(described)
    ]
    more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
    return "; ".join(differences[:3]) + more
