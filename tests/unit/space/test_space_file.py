"""Invalid space files: every mistake is reported at once, with file, line and key."""

import pytest

from hpo.core.errors import SpaceError
from hpo.space import loader
from tests.helpers.space_files import HEAD, NINES, SEARCH, SEARCH_KEYS

SPACE_KEYS = (
    "Known: study, data, network, search, train, budget, sampler, pruner, objectives, finalists, select, refit, "
    "ensemble, seed, exported."
)
NOT_A_RANGE = "must be a number, auto, {low: …, high: …} or {choices: […]}, got"
NO_POINT = "search: needs at least one range or choices (or budget.trials: 1, to train this one point)."
MAPPING = "search: must be a mapping of keys to numbers or ranges, got"
EMPTY = "the file is empty; it needs study, data and search."
NAME = "study: may contain only letters, digits and . _ -, at most 100 of them, got"
ALIASES = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in ("ab", "bc", "cd", "de"))
TOO_LARGE = "a space holds at most 10,000 values, 50 levels deep; write it without aliases."

# The whole file → its error messages, each with its line.
FILES = [
    ("", [f"1: {EMPTY}"]),
    ("# a comment\n\n", [f"1: {EMPTY}"]),
    ("---\n", [f"1: {EMPTY}"]),
    ("null\n", [f"1: {EMPTY}"]),
    ("- a\n- b\n", ['1: a space must be a mapping with study, data and search, got ["a", "b"].']),
    ("digits", ["1: a space must be a mapping with study, data and search, got digits."]),
    (
        "foo: 1\n",
        [
            "1: study is missing; a space file needs it.",
            "1: data is missing; a space file needs it.",
            "1: search is missing; a space file needs it.",
            f"1: foo is not a key of a space file. {SPACE_KEYS}",
        ],
    ),
    ("study: s\nsearch: {}\n", ["1: data is missing; a space file needs it.", f"2: {NO_POINT}"]),
    ("a: b: c\n", ["1: this is not YAML: mapping values are not allowed here."]),
    ("study: [\n", ["2: this is not YAML: expected the node content, but found '<stream end>'."]),
    ('study: "s\ndata: 3\n', ["3: this is not YAML: found unexpected end of stream (in what begins in line 1)."]),
    ("study: s\n\tdata: 3\n", ["2: this is not YAML: a tab stands where only spaces may."]),
    (
        "study: s\ndata: {source: x\nsearch: 3\n",
        [
            "3: this is not YAML: expected ',' or '}', but got ':' (in what begins in line 2).",
        ],
    ),
    ("study: *x\n", ["1: this is not YAML: found undefined alias 'x'."]),
    (
        HEAD + SEARCH + "---\n" + HEAD,
        [
            "4: this is not YAML: expected a single document in the stream, but found another document.",
        ],
    ),
    ("study: s\nx: \x1b[31m\n", ["2: the control character 0x1b is not allowed in YAML."]),
    ("study: \x00", ["1: the control character 0x00 is not allowed in YAML."]),
    (ALIASES, [f"1: {TOO_LARGE}"]),
    ("[" * 5000, ["1: a space is at most 50 levels deep."]),
    (HEAD + "search: &a\n  l1: *a\n", [f"1: {TOO_LARGE}"]),
    (HEAD + SEARCH + "? [a, b]\n: 3\n", ["4: a key must be plain text, not a list or a mapping."]),
    (HEAD + SEARCH + "study: t\n", ["4: study is a duplicate key: it is already set in line 1."]),
    (
        HEAD + "search:\n  l1: {low: 0, high: 1}\n  l1: 3\n",
        [
            "5: search.l1 is a duplicate key: it is already set in line 4.",
        ],
    ),
    (
        HEAD + SEARCH + "ensemble: {kind: greedy, sise: 3}\n",
        ["4: ensemble.sise is not a key of ensemble. Did you mean size?"],
    ),
    (
        HEAD + "search: !!python/object/apply:os.system ['true']\n",
        [
            "3: search: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed; write plain values.",
        ],
    ),
]
# The value of `study` in line 1.
STUDIES = [
    ("007", ["study: must be text, got 7; put it in quotes."]),
    ("", ["study: must be text, got nothing."]),
    ("[a]", ['study: must be text, got ["a"].']),
    ("a b", [f"{NAME} a b."]),
    ("''", [f'{NAME} "".']),
    ("x" * 101, [f"{NAME} {'x' * 79}…."]),
    ("..", ["study: must contain more than dots."]),
]
# The value of `data` in line 2.
DATA = [
    ("sklearn:iris", ["data: must be a mapping, got sklearn:iris."]),
    ("{}", ["data.source is missing; data needs it."]),
    ("{source: sklearn:irs}", ["data.source is not a data set of hpo: sklearn:irs. Did you mean iris?"]),
    (
        "{source: openml:iris}",
        ["data.source: must be a .csv, .parquet, .svmlight or .libsvm file, or sklearn:NAME, got openml:iris."],
    ),
    (
        "{source: a.xlsx}",
        ["data.source: must be a .csv, .parquet, .svmlight or .libsvm file, or sklearn:NAME, got a.xlsx."],
    ),
    ("{source: a.csv, target: 3}", ["data.target: must be text, got 3; put it in quotes."]),
    ("{source: a.csv, drop: id}", ["data.drop: must be a list, got id."]),
    ("{source: a.csv, drop: [1]}", ["data.drop[0]: must be text, got 1; put it in quotes."]),
    ("{source: a.csv, task: classify}", ["data.task: classify is not known. Did you mean classification?"]),
    ("{source: a.csv, class_weight: on}", ["data.class_weight: on is not known. Known: balanced."]),
    (
        "{source: a.csv, split: {test: 1, valid: 0}}",
        [
            "data.split.test: must be below 1, got 1.",
            "data.split.valid: must be above 0, got 0.",
        ],
    ),
    (
        "{source: a.csv, split: {test: 0.5, valid: 0.5}}",
        [
            "data.split: test and valid must leave rows to train on, got test=0.5, valid=0.5.",
        ],
    ),
    (
        "{source: a.csv, split: {test: 0.1, folds: 1, repeats: 21}}",
        [
            "data.split.folds: must be at least 2, got 1.",
            "data.split.repeats: must be at most 20, got 21.",
        ],
    ),
    (
        "{source: a.csv, split: {valid: 0.1, folds: 5}}",
        [
            "data.split: takes valid or folds, got valid=0.1, folds=5; leave one of them out.",
        ],
    ),
    (
        "{source: a.csv, split: {repeats: 2}}",
        [
            "data.split: repeats needs folds, got repeats=2 without folds; add folds, or leave repeats out.",
        ],
    ),
    (
        "{source: a.csv, split: {groups: who, time: when}}",
        [
            "data.split: takes groups or time, got groups=who, time=when; leave one of them out.",
        ],
    ),
    (
        "{source: a.csv, split: {test: '0.2', tset: 1}}",
        [
            'data.split.test: must be a number, got "0.2".',
            "data.split.tset is not a key of data.split. Did you mean test?",
        ],
    ),
]
# The value of `search` in line 3.
SEARCHES = [
    ("", [f"{MAPPING} nothing."]),
    ("[dropout]", [f'{MAPPING} ["dropout"].']),
    ("{}", [NO_POINT]),
    ("{l1: 0.1, dropout: {choices: [0.5]}}", [NO_POINT]),
    ("{dropuot: 0.1}", ["search.dropuot is not a search key. Did you mean dropout?"]),
    ("{5: 2}", [f"search.5 is not a search key. {SEARCH_KEYS}"]),
    ("{<<: {a: 1}}", [f"search.<< is not a search key. {SEARCH_KEYS}"]),
    (
        "{learning_rate: {low: 0.1, high: 0.0001}}",
        [
            "search.learning_rate: low must be below high, got low=0.1, high=0.0001.",
        ],
    ),
    ("{dropout: {low: 0.5, high: 0.5}}", ["search.dropout: low must be below high, got low=0.5, high=0.5."]),
    (
        "{l1: {low: 0, high: 1, log: true}}",
        [
            'search.l1: a log range must start above 0, got low=0 (optional: true adds "off").',
        ],
    ),
    ("{learning_rate: {low: 0, high: 1, log: true}}", ["search.learning_rate.low: must be above 0, got 0."]),
    ("{l1: {low: -1, high: 1}}", ["search.l1.low: must be at least 0, got -1."]),
    ("{dropout: {low: 0, high: 1}}", ["search.dropout.high: must be at least 0 and below 1, got 1."]),
    (
        "{depth: {low: 0, high: 33}}",
        [
            "search.depth.low: must be at least 1 and at most 32, got 0.",
            "search.depth.high: must be at least 1 and at most 32, got 33.",
        ],
    ),
    ("{depth: {choices: [1, 2.0]}}", ["search.depth.choices[1]: must be a whole number, got 2.0."]),
    ("{dropout: yes}", [f"search.dropout: {NOT_A_RANGE} yes."]),
    ("{dropout: off}", [f"search.dropout: {NOT_A_RANGE} off. To switch it off, remove the key."]),
    ("{dropout: '0.1'}", [f'search.dropout: {NOT_A_RANGE} "0.1".']),
    ("{dropout: [0.1, true]}", [f"search.dropout: {NOT_A_RANGE} [0.1, true]."]),
    ("{dropout: .nan}", ["search.dropout: must be finite, got nan."]),
    (
        "{l1: {low: -.inf, high: .inf}}",
        [
            "search.l1.low: must be finite, got -inf.",
            "search.l1.high: must be finite, got inf.",
        ],
    ),
    (f"{{l1: {NINES}}}", [f"search.l1: a number has at most 200 digits, got {NINES[:79]}…."]),
    ("{l1: 1e301}", ["search.l1: must be at most 1e+300, got 1e+301."]),
    ("{l1: {}}", ["search.l1: needs choices, or low and high; low and high are missing."]),
    (
        "{l1: {lo: 0, high: 1}}",
        [
            "search.l1.lo is not a key of a range. Did you mean low?",
            "search.l1: needs choices, or low and high; low is missing.",
        ],
    ),
    ("{l1: {low: 0, high: a}}", ["search.l1.high: must be a number, got a."]),
    ("{l1: {low: 0, high: 1, log: 1}}", ["search.l1.log: must be true or false, got 1."]),
    (
        "{depth: {low: 1, high: 3, optional: true}}",
        [
            "search.depth.optional: must be left out: depth cannot be off.",
        ],
    ),
    ("{l1: {low: 1, high: 2, log: true, step: 1}}", ["search.l1: must have either log: true or step, got both."]),
    ("{l1: {low: 1, high: 2, step: 0}}", ["search.l1.step: must be a number above 0, got 0."]),
    ("{l1: {low: 1, high: 2, step: 3}}", ["search.l1.step: must fit between low and high, got step=3, low=1, high=2."]),
    (
        "{l1: {low: 0, high: 1, step: 1e-12}}",
        [
            "search.l1.step: must be at least a billionth of the range, got step=1e-12, low=0, high=1.",
        ],
    ),
    ("{depth: {low: 1, high: 3, step: 1.5}}", ["search.depth.step: must be a whole number, got 1.5."]),
    (
        "{l1: {choices: [1, 2], low: 0, step: 1}}",
        [
            "search.l1: must have either choices or low and high, got choices and low, step.",
        ],
    ),
    ("{l1: {choices: []}}", ["search.l1.choices: must be a list with at least one number, got []."]),
    ("{l1: {choices: [1, 1.0]}}", ["search.l1.choices: must all be different, got [1, 1.0]."]),
    ("{l1: {choices: [1, null]}}", ["search.l1.choices[1]: must be a number, got nothing."]),
    ("{l1: !!int 1.5}", ['search.l1: "1.5" is not what its tag !!int says; write it without the tag.']),
    ("{l1: !!binary aGk=}", ["search.l1: the tag tag:yaml.org,2002:binary is not allowed; write plain values."]),
]
# A further section in line 4, after a valid search.
SECTIONS = [
    ("class_weigth: 3", [f"class_weigth is not a key of a space file. {SPACE_KEYS}"]),
    ("true: 3", ["true is not a key of a space file. Did you mean pruner?"]),
    ("'': 3", [f'"" is not a key of a space file. {SPACE_KEYS}']),
    ("is: 3", [f"is is not a key of a space file. {SPACE_KEYS}"]),
    ("k" * 99 + ": 3", [f"{'k' * 79}… is not a key of a space file. {SPACE_KEYS}"]),
    ("seed: -1", ["seed: must be at least 0, got -1."]),
    ("seed: 4294967296", ["seed: must be below 4,294,967,296, got 4294967296."]),
    ("seed: 1.0", ["seed: must be a whole number, got 1.0."]),
    ("network: mlp", ["network: must be a mapping, got mlp."]),
    (
        "network: {kind: cnm, widht: 8}",
        [
            "network.kind: cnm is not known. Did you mean cnn?",
            "network.widht is not a key of network. Did you mean width?",
        ],
    ),
    (
        "network: {width: 65537, activation: rleu, batch_norm: 1}",
        [
            "network.width: must be at most 65,536, got 65537.",
            "network.activation: rleu is not known. Did you mean relu?",
            "network.batch_norm: must be true or false, got 1.",
        ],
    ),
    ("network: {width: true}", ["network.width: must be a whole number, got true."]),
    (
        "network: {factory: nets:build, image: [1, 8, 8], search: {size: 3}}",
        [
            "network.factory: needs kind: module, got kind: mlp.",
            "network.search.size is not available with kind: mlp, whose keys are searched under search.",
        ],
    ),
    (
        "network: {kind: module, factory: nets.build}",
        ["network.factory: must be package.module:function, got nets.build."],
    ),
    (
        "network: {kind: module, factory: a:b, activation: relu}",
        ["network.activation: needs kind: mlp, got kind: module."],
    ),
    ("network: {kind: cnn, image: [8, 8]}", ["network.image: must be [channels, height, width], got [8, 8]."]),
    (
        "network: {kind: module, factory: a:b, search: {width: 8}}",
        [
            "network.search.width is a key of search, not of the network: write search.width.",
        ],
    ),
    (
        "network: {kind: module, factory: a:b, search: {batch_norm: true}}",
        [
            "network.search.batch_norm is reserved for kind: mlp (search.batch_norm); "
            "give the factory's argument another name.",
        ],
    ),
    (
        "network: {skip: shake_drop, layer_norm: 0}",
        [
            "network.skip: shake_drop is not known. Did you mean shake-drop?",
            "network.layer_norm: must be true or false, got 0.",
        ],
    ),
    (
        "network: {kind: resnet, skip: residual, layer_norm: true}",
        [
            "network.skip: needs kind: mlp, got kind: resnet.",
            "network.layer_norm: needs kind: mlp, got kind: resnet.",
        ],
    ),
    ("network: {search: 3}", ["network.search: must be a mapping of keys to numbers or ranges, got 3."]),
    (
        "network: {kind: module, search: {depth: 1, a-b: 2, n_inputs: 3, c: {choices: [[1]]}, d: {low: a, high: 2}}}",
        [
            "network.search.depth is a key of search, not of the network: write search.depth.",
            "network.search.a-b: must be the name of an argument of the factory.",
            "network.search.n_inputs: cannot be searched: it comes from the data or from the section network.",
            "network.search.c.choices[0]: must be a number, got [1].",
            "network.search.d.low: must be a number, got a.",
        ],
    ),
    (
        "network: {kind: module, search: {c: {low: 1, high: 2, optional: true}}}",
        [
            "network.search.c.optional: must be left out: c cannot be off.",
        ],
    ),
    (
        "train: {epochs: 0, batch_size: 1e2, patience: no}",
        [
            "train.epochs: must be at least 1, got 0.",
            "train.batch_size: must be a whole number, got 100.0.",
            "train.patience: must be a whole number, got no.",
        ],
    ),
    (
        "train: {schedule: cos, metric: acuracy}",
        [
            "train.schedule: cos is not known. Did you mean cosine?",
            "train.metric: acuracy is not known. Did you mean accuracy?",
        ],
    ),
    ("budget: {trials: 2}", ["budget.trials: must be at least 3 (two of them are the baselines), got 2."]),
    ("budget: {}", ["budget: needs trials, seconds or both."]),
    (
        "budget: {seconds: .inf, trails: 5}",
        [
            "budget.seconds: must be finite, got inf.",
            "budget.trails is not a key of budget. Did you mean trials?",
        ],
    ),
    ("sampler: tpee", ["sampler: tpee is not a sampler. Did you mean tpe?"]),
    ("sampler: {n_startup_trials: 3}", ['sampler: needs its kind, such as {kind: tpe}, got {"n_startup_trials": 3}.']),
    ("sampler: {kind: random, x: 1}", ["sampler.x is not an option of the sampler random. It has none."]),
    (
        "sampler: {kind: tpe, n_startup_trails: 3, multivariate: 1}",
        [
            "sampler.n_startup_trails is not an option of the sampler tpe. Did you mean n_startup_trials?",
            "sampler.multivariate: must be true or false, got 1.",
        ],
    ),
    ("sampler: {kind: cmaes, popsize: 0}", ["sampler.popsize: must be from 4 to 10,000, got 0."]),
    ("sampler: {kind: qmc, qmc_type: sobel}", ["sampler.qmc_type: sobel is not known. Did you mean sobol?"]),
    ("pruner: medain", ["pruner: medain is not a pruner. Did you mean median?"]),
    ("pruner: {kind: percentile, percentile: 300}", ["pruner.percentile: must be from 0 to 100, got 300."]),
    ("pruner: {kind: patient, min_delta: .nan}", ["pruner.min_delta: must be from 0 to 1,000,000, got nan."]),
    ("finalists: -1", ["finalists: must be at least 0, got -1."]),
    ("finalists: 101", ["finalists: must be at most 100, got 101."]),
    ("finalists: 1.5", ["finalists: must be a whole number, got 1.5."]),
    ("select: x", ["select: x is not known. Known: expected, best, safe, one_se, fastest, sparsest."]),
    ("select: bset", ["select: bset is not known. Did you mean best?"]),
    ("ensemble: forest", ["ensemble.kind: forest is not known. Known: bagging, greedy, stacking, snapshot, boosting."]),
    ("ensemble: {kind: greedy, size: 1}", ["ensemble.size: must be at least 2, got 1."]),
    ("ensemble: {size: 3}", ["ensemble.kind is missing; ensemble needs it."]),
    (
        "ensemble: {kind: bagging, pool: 3}",
        ["ensemble: pool needs kind: greedy or stacking, got kind: bagging; remove pool."],
    ),
    (
        "ensemble: greedy\nrefit: none",
        ["ensemble: needs a final network to be compared with; set refit to another value than none."],
    ),
    ("refit: kept", ["refit.kind: kept is not known. Did you mean keep?"]),
    ("refit: 3", ["refit: must be a mapping, got 3."]),
    ("refit: {kind: scaled, epochs: 0}", ["refit.epochs: must be at least 1, got 0."]),
    ("refit: {epoch: 3}", ["refit.epoch is not a key of refit. Did you mean epochs?"]),
    ("refit: {kind: keep, epochs: 3}", ["refit: epochs needs kind: scaled, got kind: keep; remove epochs."]),
    (
        "refit: {kind: keep, networks: 5}",
        ["refit: networks needs kind: scaled, because kind: keep trains one network; remove networks."],
    ),
    (
        "refit: {kind: average, networks: 1}",
        ["refit: networks needs kind: scaled, because kind: average trains one network per fold; remove networks."],
    ),
    ("exported: 3", ["exported: must be a mapping, got 3."]),
]
BROKEN = [
    *FILES,
    *((f"study: {text}\n{HEAD[9:]}{SEARCH}", [f"1: {s}" for s in said]) for text, said in STUDIES),
    *((f"study: s\ndata: {text}\n{SEARCH}", [f"2: {s}" for s in said]) for text, said in DATA),
    *((f"{HEAD}search: {text}\n", [f"3: {s}" for s in said]) for text, said in SEARCHES),
    *((f"{HEAD}{SEARCH}{text}\n", [f"4: {s}" for s in said]) for text, said in SECTIONS),
    # All mistakes at once, in the order of the file; also those between sections that are valid on their own.
    (
        HEAD + "budget: {trials: 2}\nsampler: grid\nsearch:\n  l1: {low: 0, high: 1}\n  depth: {low: 1, high: 3}\nx: 3",
        [
            "3: budget.trials: must be at least 3 (two of them are the baselines), got 2.",
            "6: search.l1: needs choices, a step or points for the sampler grid.",
            f"8: x is not a key of a space file. {SPACE_KEYS}",
        ],
    ),
    (
        HEAD + "sampler: grid\nsearch: {l1: {low: 0, high: 1, step: 1e-3}, dropout: {low: 0, high: .5, step: 1e-3}}",
        [
            "3: sampler: a grid has at most 100,000 points, got 501,501; use larger steps.",
        ],
    ),
    (
        "study: a b\nsearch:\n  dropuot: 1\n  l1:\n    low: x\nnetwork:\n  width: 0\n",
        [
            f"1: {NAME} a b.",
            "1: data is missing; a space file needs it.",
            "3: search.dropuot is not a search key. Did you mean dropout?",
            "4: search.l1: needs choices, or low and high; high is missing.",
            "5: search.l1.low: must be a number, got x.",
            "7: network.width: must be at least 1, got 0.",
        ],
    ),
]


@pytest.mark.parametrize(("text", "sentences"), BROKEN, ids=[sentences[0][:60] for _, sentences in BROKEN])
def test_every_mistake_is_reported_with_file_line_and_key(tmp_path, text, sentences):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError) as caught:
        loader.load(path)
    assert list(caught.value.mistakes) == [f"space.yaml:{sentence}" for sentence in sentences]
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    assert caught.value.exit_code == 2
