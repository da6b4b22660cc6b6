"""The regularizer of docs/extending.md keeps the contract, is searched, exported and loaded again."""

import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

import hpo
from hpo import testing
from hpo.core.errors import InputError
from hpo.core.samples import Fold
from hpo.core.trial import Fit
from hpo.nn.rng import Noise
from hpo.regularizers import FAMILY, STRENGTHS, registered
from hpo.space import plugins
from tests.helpers.searches import here, outcomes
from tests.helpers.training import step, trial

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
SMALL = "network: {width: 8}\nbudget: {trials: 5}\ntrain: {epochs: 2}\nsampler: random\npruner: none\nfinalists: 1\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write the files of the page into a working directory; the family is restored after the test."""
    for name, text in BLOCKS:
        (tmp_path / name).write_text(text + SMALL if name.endswith(".yaml") else text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "LOADED", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    with registered([]):
        yield tmp_path


@pytest.fixture
def member(folder):
    plugins.load(["my_noise"], folder)
    return FAMILY["gaussian_dropout"]


def test_the_page_names_its_files():
    assert [name for name, _ in BLOCKS] == ["my_noise.py", "mine.yaml", "test_my_noise.py"]


def test_a_plugin_joins_the_family_after_the_built_in_regularizers(folder):
    plugins.load(["my_noise"], folder)
    plugins.load(["my_noise"], folder)  # again, as a second search of one program does
    assert list(FAMILY)[-1] == list(STRENGTHS)[-1] == "gaussian_dropout"
    said = here("regularizers", "gaussian_dropout", "--plugin", "my_noise").stdout
    assert "  gaussian_dropout: {low: 0.01, high: 2.0, log: true, optional: true}\n" in said


@pytest.mark.parametrize("point", testing.CONTRACT)
def test_the_page_s_regularizer_keeps_the_contract(member, point):
    samples = testing.small_data(member)
    point(testing.Case(member, samples, lambda of: testing.mlp(samples, of)))


def test_the_page_s_formula(member):
    noise = {
        "gaussian_dropout": {
            0: Noise([Fit(trial(str(i)), Fold(0, *[torch.arange(1)] * 2)).stream("x") for i in range(2)], torch.float64)
        }
    }
    h = torch.full((2, 100, 100), 3.0, dtype=torch.float64)
    out = member.hidden(torch.tensor([0.0, 0.5], dtype=torch.float64), step(noise=noise), h, h, 0)
    assert torch.equal(out[0], h[0])
    assert torch.allclose(torch.stack([out[1].mean(), out[1].std()]), torch.tensor([3.0, 1.5]).double(), rtol=0.03)


def test_the_page_s_test_passes(folder):
    names = {}
    sys.path.append(str(folder))
    exec((folder / "test_my_noise.py").read_text(), names)
    names["test_the_contract"]()


@pytest.mark.exhaustive
@pytest.mark.usefixtures("unrecorded")
def test_the_page_s_search_runs_in_workers_and_its_study_needs_the_plugin(folder, store, monkeypatch):
    flags = ("--plugin", "my_noise")
    assert here("check", "mine.yaml").exit_code == 2
    assert here("check", "mine.yaml", *flags).exit_code == 0
    assert here("search", "--space", "mine.yaml", "--store", store, "--quiet", *flags).exit_code == 0
    alone = outcomes(store, "mine")
    assert any(one["trial"]["params"]["gaussian_dropout"] for one in alone.values())
    (folder / "two.yaml").write_text((folder / "mine.yaml").read_text().replace("study: mine", "study: two"))
    assert here("search", "--space", "two.yaml", "--store", store, "--quiet", "--workers", 2, *flags).exit_code == 0
    assert [outcomes(store, "two")[label]["valid"] for label in "012"] == [alone[label]["valid"] for label in "012"]
    assert here("export", "--study", "mine", "--store", store, "-o", "best.yaml", *flags).exit_code == 0
    point = yaml.safe_load((folder / "best.yaml").read_text())
    assert "gaussian_dropout" in point["search"] or point["exported"]["trial"] in ("none", "defaults")
    monkeypatch.setattr(plugins, "LOADED", {})  # as in another process
    said = here("export", "--study", "mine", "--store", store)
    assert said.exit_code == 2
    assert (
        said.stderr
        == "The study mine was searched with regularizers of plugins; name their modules again: --plugin my_noise\n"
    )


@pytest.mark.usefixtures("unrecorded")
def test_search_takes_plugins(folder, store):
    space = yaml.safe_load((folder / "mine.yaml").read_text())
    assert "gaussian_dropout" in hpo.search(space, store=store, plugins=["my_noise"]).baselines["none"].params


HEAD = (
    "from hpo.regularizers.base import Regularizer\n"
    "class Own(Regularizer):\n"
    "    name, summary, source = 'own', 'does it', 'a paper'\n"
)
FACTS = "    prior, probe = {'low': 0, 'high': 1}, (0.1, 0.9)\n"
HOOK = "    def decay(self, s): return s\n"
BROKEN = {
    "bad_empty": (
        "x = 3\n",
        " contains no regularizer; define a class that derives from hpo.regularizers.base.Regularizer.",
    ),
    "bad_syntax": ("def\n", ": importing bad_syntax failed with SyntaxError: invalid syntax (bad_syntax.py, line 1)."),
    "bad_facts": (HEAD + HOOK, ".Own lacks prior and probe; see docs/extending.md."),
    "bad_hooks": (
        HEAD + FACTS,
        ".Own overrides no hook, so it does nothing; it may override batch, hidden, extra_parameters, loss, perturb, "
        "gradient, decay, after_step, after_epoch.",
    ),
    "bad_name": (
        HEAD.replace("'own'", "'dropout'") + FACTS + HOOK,
        ".Own.name: dropout is already a key of search; choose another name.",
    ),
    "bad_kind": (
        HEAD + FACTS + HOOK + "    kind = 'structure'\n",
        ".Own.kind: must be strength, the only kind that works by hooks alone, got structure.",
    ),
    "bad_probe": (
        HEAD + FACTS.replace("(0.1", "(-0.1") + HOOK,
        ".Own.probe: must be a number from 0 to inf (allowed), got -0.1.",
    ),
    "bad_prior": (
        HEAD + FACTS.replace("'high': 1", "'high': 0") + HOOK,
        ".Own.prior: low must be below high, got low=0, high=0.",
    ),
    "bad_draws": (
        HEAD + FACTS + HOOK + "    needs_rng = True\n",
        ".Own.needs_rng: must be one of layer, parameter, step, got true.",
    ),
    "bad_needs": (
        HEAD + FACTS + HOOK + "    needs = ('text', 'image')\n",
        ".Own.needs: may contain classes, image, mlp, target, features, auxiliary, got text.",
    ),
    "bad_tuple": (
        HEAD + FACTS + HOOK + "    needs = ('classes')\n",
        '.Own.needs: must be a tuple, such as ("classes",), got classes.',
    ),
    "bad_allowed": (HEAD + FACTS + HOOK + "    allowed = (0,)\n", ".Own.allowed: must be two numbers, got (0,)."),
    "bad_probes": (HEAD + FACTS + HOOK + "    probe = 0.1\n", ".Own.probe: must be two numbers, got 0.1."),
    "bad_range": (
        HEAD + FACTS + HOOK + "    prior = 0.3\n",
        ".Own.prior: must be a range or choices, written as in a space file, got 0.3.",
    ),
    "bad_twins": (
        HEAD + FACTS + HOOK + "class Other(Own):\n    more = 0\n",
        " contains two regularizers named own; rename one, or start the name of a base class with _.",
    ),
    "bad_init": (
        HEAD + FACTS + HOOK + "    def __init__(self): raise ValueError('no')\n",
        ".Own() failed with ValueError: no.",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_reported_and_not_added(folder, name):
    text, end = BROKEN[name]
    (folder / f"{name}.py").write_text(text)
    before = list(FAMILY)
    with pytest.raises(InputError) as caught:
        plugins.load([name], folder)
    assert str(caught.value) == (f"plugin{end}" if end.startswith(":") else f"plugin: {name}{end}")
    assert list(FAMILY) == before


@pytest.mark.parametrize(
    ("module", "hook", "said"),
    [
        ("own_raises", "def after_step(self, s, step): raise RuntimeError('no')", "RuntimeError: no"),
        ("own_shapes", "def hidden(self, s, step, h, h_in, site): return h.sum(-1)", "ValueError: matmul: "),
        (
            "own_lacks",
            "def decay(self, s): return s.nothing",
            "AttributeError: 'Tensor' object has no attribute 'nothing'",
        ),
    ],
)
def test_a_plugin_that_fails_in_a_step_is_reported_before_anything_is_written(folder, module, hook, said):
    (folder / f"{module}.py").write_text(f"{HEAD}{FACTS}    {hook}\n")
    (folder / "fails.yaml").write_text(
        'study: fails\ndata: {source: "sklearn:iris"}\nsearch: {learning_rate: auto, own: auto}\n'
    )
    ran = here("check", "fails.yaml", "--plugin", module)
    assert ran.exit_code == 2
    assert ran.stderr.startswith(f"search.own: {module}.Own fails in a training step with {said}")
    assert ran.stderr.endswith("For details, use hpo.testing.check; see docs/extending.md.\n")
    assert ran.stderr.count("\n") == 1


def test_plugins_act_in_the_order_of_their_names(folder):
    for name in ("own_b", "own_a"):
        (folder / f"{name}.py").write_text(HEAD.replace("'own'", f"'{name}'") + FACTS + HOOK)
    plugins.load(["own_b", "own_a"], folder)
    assert list(FAMILY)[-2:] == list(STRENGTHS)[-2:] == ["own_a", "own_b"]
    assert plugins.needed(["own_b", "dropout"]) == ["own_b"]


def test_a_missing_plugin_is_reported():
    said = here("check", "mine.yaml", "--plugin", "no_such_module")
    assert said.exit_code == 2
    assert said.stderr.startswith("plugin: there is no no_such_module to import; it must be in the space file's folder")


def test_the_contract_detects_random_numbers_from_torch(folder):
    del folder

    class Careless(hpo.regularizers.base.Regularizer):
        name, summary, source, prior, probe = "careless", "noise", "none", {"low": 0, "high": 1}, (0.1, 0.9)

        def hidden(self, s, step, h, h_in, site):
            return h + s[:, None, None] * torch.rand(h.shape, dtype=h.dtype)

    with pytest.raises(
        AssertionError, match=r"^A network with careless 0\.1 depends on the other fits of its stack: .* random numbers"
    ):
        testing.check(Careless())


def test_the_contract_explains_a_loss_whose_rounding_depends_on_the_stack(folder):
    del folder

    class Averaged(hpo.regularizers.base.Regularizer):
        name, summary, source, prior, probe = "averaged", "logits", "none", {"low": 0, "high": 1}, (0.1, 0.9)

        def loss(self, s, step, output):
            return s * output.logits.square().mean((1, 2))

    class Summed(Averaged):
        name = "summed"

        def loss(self, s, step, output):
            return s * output.logits.square().sum((1, 2)) / output.logits[0].numel()

    with pytest.raises(AssertionError, match=r"comes from rounding: .* x\.sum\(\(1, 2\)\) / n in place of x\.mean"):
        testing.check(Averaged())
    testing.check(Summed())
