"""Valid space files and their meaning; and that any other text leads to error messages, never to another failure."""

from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hpo
from hpo.core.errors import InputError, SpaceError
from hpo.space import loader
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.settings import TrainConfig
from tests.helpers.space_files import HEAD, NINES, SEARCH, SEARCH_KEYS

OURS = sorted(Path(hpo.__file__).parents[1].glob("search_spaces/*.yaml"))
# A further section, or another search → a part of the space, and its value.
LEGAL = [
    ("", lambda s: (s.budget.trials, s.train.epochs, s.train.batch_size, s.train.patience), (100, 60, None, 10)),
    ("train: {batch_size: auto}", lambda s: s.train, TrainConfig()),
    ("train: {batch_size: 64}", lambda s: s.train.minibatch, 64),
    ("", lambda s: (s.sampler.kind, s.pruner.kind, s.seed, s.train.metric), ("tpe", "median", 0, "loss")),
    ("", lambda s: (s.network.kind, s.network.width, s.network.activation), ("mlp", 128, "relu")),
    ("", lambda s: (s.data.split.test, s.data.split.valid, s.data.split.seed), (0.2, 0.2, 0)),
    ("", lambda s: (s.refit.kind, s.refit.networks, s.refit.temperature), ("scaled", 5, None)),
    ("refit: {networks: 1}", lambda s: (s.refit.kind, s.refit.networks), ("scaled", 1)),
    ("refit: {epochs: 3, temperature: 1.5}", lambda s: (s.refit.epochs, s.refit.temperature), (3, 1.5)),
    ("ensemble: greedy", lambda s: s.ensemble.model_dump(), {"kind": "greedy", "size": 10, "pool": 30}),
    ("ensemble: {kind: bagging, size: 2}", lambda s: (s.ensemble.kind, s.ensemble.size), ("bagging", 2)),
    ("seed: 0x10", lambda s: s.seed, 16),
    ("seed: 0o17", lambda s: s.seed, 15),
    ("seed: 010", lambda s: s.seed, 10),
    ("train: {metric: r2, schedule: cosine, seed: 9223372036854775807}", lambda s: s.train.seed, 2**63 - 1),
    ("budget: {seconds: 1}", lambda s: (s.budget.trials, s.budget.seconds), (None, 1.0)),
    ("budget: {trials: 3, seconds: 0.5}", lambda s: (s.budget.trials, s.budget.seconds), (3, 0.5)),
    ("sampler: {kind: tpe, multivariate: true}", lambda s: s.sampler.options, {"multivariate": True}),
    ("sampler: {kind: qmc, qmc_type: halton}", lambda s: s.sampler.kind, "qmc"),
    ("pruner: {kind: patient, min_delta: 1, patience: 3}", lambda s: s.pruner.options["min_delta"], 1),
    ("pruner: none", lambda s: s.pruner.kind, "none"),
    ("network: {width: 65536, batch_norm: true}", lambda s: s.network.width, 65_536),
    (
        "search: {width: {choices: [8, 16]}}",
        lambda s: (s.network.width, s.hyperparameters["width"].choices),
        (None, (8, 16)),
    ),
    (
        "search: {width: 8, skip: residual}\nnetwork: {image: [1, 2, 2]}\nbudget: {trials: 1}",
        lambda s: (s.is_point, s.params({})["width"], s.params({})["skip"], s.network.width),
        (True, 8, "residual", None),
    ),
    ("network: {kind: resnet}", lambda s: (s.network.width, s.params({})["depth"]), (128, 2)),
    ("network: {kind: module, factory: a.b:c.d}", lambda s: ("depth" in s.params({}), s.network.width), (False, None)),
    (
        "network: {kind: module, search: {n: {low: 1, high: 8, log: true}}}",
        lambda s: s.hyperparameters["n"].integer,
        True,
    ),
    (
        "network: {kind: module, search: {n: {low: 8, high: 17, points: 3}}}",
        lambda s: list(map(repr, s.hyperparameters["n"].choices)),
        ["8", "12", "17"],
    ),
    (
        "network: {kind: module, search: {n: {low: 0.0, high: 2, points: 2}}}",
        lambda s: list(map(repr, s.hyperparameters["n"].choices)),
        ["0.0", "2.0"],
    ),
    ("network: {kind: module, search: {n: {low: 1, high: 8.0}}}", lambda s: s.hyperparameters["n"].integer, False),
    (
        "network: {kind: module, search: {n: {choices: [a, true, 3]}, m: b}}",
        lambda s: [(key, s.hyperparameters[key].middle()) for key in s.network.search],
        [("m", "b"), ("n", "a")],
    ),
    ("search: {l1: 0}\nnetwork: {kind: module, search: {n: {low: 1, high: 2}}}", lambda s: s.is_point, False),
    ("exported: {study: old, versions: {torch: 2.13.0}}", lambda s: s.exported["versions"]["torch"], "2.13.0"),
    ("...\n# the end", lambda s: s.study, "s"),
    ("search: {l1: 1e-4, dropout: {low: 0, high: .5}}", lambda s: s.search["l1"], Hyperparameter(choices=(1e-4,))),
    ("search: {dropout: 0, depth: 1}\nbudget: {trials: 1}", lambda s: (s.is_point, s.params({})["dropout"]), (True, 0)),
    ("search: {learning_rate: 1E-2, l1: {choices: [0, 1]}}", lambda s: s.search["learning_rate"].choices, (0.01,)),
    ("search: {l1: {choices: [0.1], optional: true}}", lambda s: s.is_point, False),
    ("search: {depth: {low: 1, high: 32, log: true}}", lambda s: s.search["depth"].integer, True),
    ("search: {l1: {low: 0.1, high: 0.3, step: 0.2}}", lambda s: s.search["l1"].high, 0.3),
    ("search: {depth: {low: 1, high: 4, step: 2}}", lambda s: s.search["depth"].high, 3),
    ("search: {l1: {low: 0, high: 1, step: 0.3}}", lambda s: s.search["l1"].high, 0.9),
    ("search: {l1: &a {low: 0, high: 0.5}, dropout: *a}", lambda s: s.search["dropout"].high, 0.5),
    ("search: {dropout: {low: 0, high: !!float 0.5}}", lambda s: s.search["dropout"].high, 0.5),
    ("search: {l1: {low: 0, high: 1, step: 0.5}}\nsampler: grid", lambda s: s.search["l1"].count, 3),
    ("search: {dropout: {low: 0, high: 0.5}, l1: 0, depth: 3}", lambda s: [*s.search], ["depth", "dropout", "l1"]),
]


@pytest.mark.parametrize(("text", "meaning", "value"), LEGAL, ids=[text for text, *_ in LEGAL])
def test_a_valid_file_is_parsed(tmp_path, text, meaning, value):
    path = tmp_path / "space.yaml"
    path.write_text(HEAD + (text if text.startswith("search:") else SEARCH + text))
    assert meaning(loader.load(path)) == value


def test_keys_that_are_not_named_are_off_or_have_their_defaults(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(HEAD + SEARCH)
    assert loader.load(path).params({"l1": 0.5}) == {"learning_rate": 1e-3, "depth": 2, "l1": 0.5}


@pytest.mark.parametrize("name", ["off", "yes", "null-1", "2024.csv", "1_000", "0b1", "x" * 100])
def test_names_that_look_like_other_types_are_text(tmp_path, name):
    path = tmp_path / "space.yaml"
    path.write_text(f"study: {name}\ndata: {{source: sklearn:iris}}\n{SEARCH}")
    assert loader.load(path).study == name


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: b"%YAML 1.2\n---\n" + text.encode(),
    ],
)
def test_encodings_and_line_ends_of_all_editors_are_read(tmp_path, encode):
    path = tmp_path / "space.yaml"
    path.write_bytes(encode(HEAD + SEARCH))
    assert loader.load(path).search["l1"].high == 1


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_the_shipped_spaces_are_valid(path):
    assert not loader.load(path).is_point


def test_a_mapping_is_checked_like_a_file():
    raw = yaml.safe_load(HEAD + SEARCH)
    assert loader.parse(raw).search == {"l1": Hyperparameter(low=0, high=1)}
    with pytest.raises(SpaceError) as caught:
        loader.parse(raw | {"search": {5: 2, "l1": 10**400}, "seed": None})
    assert caught.value.mistakes == (
        f"search[5] is not a search key. {SEARCH_KEYS}",
        f"search.l1: must be at most 1e+300, got 1{'0' * 78}….",
        "seed: must be a whole number, got nothing.",
    )


def test_a_space_never_runs_code(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(f"{HEAD}{SEARCH}exported: !!python/object/apply:pathlib.Path.touch [{tmp_path}/ran]\n")
    with pytest.raises(SpaceError, match="is not allowed; write plain values"):
        loader.load(path)
    assert [p.name for p in tmp_path.iterdir()] == ["space.yaml"]


PIECES = [*" \n\t:,-?&*!|>'\"%@`#[]{}<=~\0\u2028é😀", "\n  ", ": ", "- ", "1", "-1", "1e-4", ".nan", ".inf", "0x1"]
PIECES += ["true", "null", "off", "!!int ", "!!float ", "!!binary ", "!x ", "&a ", "*a", "<<: ", "---\n", "study", "l1"]
PIECES += ["{low: 0, high: 1}", "grid", "search", "sampler", NINES]
KEYS = st.sampled_from(["low", "high", "step", "choices", "kind", "l1"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["", "grid", "tpe", "1"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=6,
)


@st.composite
def damaged(draw):
    """A valid file with some of its text replaced."""
    text = HEAD + SEARCH + "train: {epochs: 3}\nsampler: {kind: tpe}\n"
    for _ in range(draw(st.integers(0, 4))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 8))
        text = text[:at] + "".join(draw(st.lists(st.sampled_from(PIECES), max_size=4))) + text[at + length :]
    return text.encode()


FUZZ = settings(max_examples=250, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
SECTIONS = st.sampled_from(["study", "data", "network", "search", "train", "budget", "sampler", "pruner", "seed"])


def outcome_of(path: Path) -> str:
    """Load a file: the result is a space or error messages, never another exception."""
    try:
        return type(loader.load(path)).__name__
    except InputError as error:
        return type(error).__name__


def test_any_file_is_a_space_or_gets_error_messages(tmp_path):
    path, seen = tmp_path / "space.yaml", Counter()

    @FUZZ
    @given(damaged() | st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
    def check(content):
        path.write_bytes(content)
        seen[outcome_of(path)] += 1

    check()
    assert all(seen[kind] for kind in ("Space", "SpaceError", "InputError")), seen


def test_any_section_is_valid_or_gets_error_messages(tmp_path):
    path, seen = tmp_path / "space.yaml", Counter()

    @FUZZ
    @given(SECTIONS, VALUES)
    def check(section, value):
        path.write_text(yaml.safe_dump(yaml.safe_load(HEAD + SEARCH) | {section: value}))
        seen[outcome_of(path)] += 1

    check()
    assert set(seen) == {"Space", "SpaceError"}, seen
