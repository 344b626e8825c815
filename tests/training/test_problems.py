"""The built-in problems: registered lazily, described truly, and every one learns."""

from __future__ import annotations

import os
import pickle

import pytest
import torch

from optimand.core import catalog
from optimand.core.catalog import Problem
from optimand.core.userfiles import split_spec
from optimand.core.validation import OptimandError, UnknownNameError
from optimand.training import TrainingProblem

from .conftest import method, run

NO_DOWNLOAD = ["breast-cancer-logistic", "byte-lm", "digits-cnn", "digits-mlp", "digits-vit", "llama-lm", "mnist1d-cnn"]
FROM_FILES = ["cifar10-cnn", "fashion-mlp", "mnist-cnn", "mnist10k-cnn", "mnist10k-mlp", "notmnist10k-mlp"]
ADAMW = method(torch.optim.AdamW, lr=1e-3, fused=True)


@pytest.fixture(autouse=True, scope="module")
def _registered():
    import optimand.training.problems  # noqa: F401


def build(name, **params):
    return catalog.problems()[name].build(**params)


def test_all_problems_are_registered_with_a_summary():
    ours = {n: p for n, p in catalog.problems().items() if p.origin.startswith("optimand.training.problems")}
    assert sorted(ours) == sorted(NO_DOWNLOAD + FROM_FILES)
    assert all(p.family == "training" and p.summary.endswith(".") for p in ours.values())


@pytest.mark.parametrize("name", NO_DOWNLOAD)
def test_problem_fits_the_contract_and_its_summary_counts(name):
    problem = build(name)
    assert Problem.__annotations__.keys() <= set(dir(problem))
    assert problem.name == name
    assert (problem.family, problem.unit) == ("training", "steps")
    assert problem.target is not None
    parameters = sum(p.numel() for p in problem.model().parameters())
    assert f"{parameters} parameters" in problem.summary
    assert f"{problem.loaded.size('test')} test" in problem.summary


@pytest.mark.parametrize("name", NO_DOWNLOAD)
def test_problem_learns_within_a_few_steps(name):
    problem = build(name, warmup=0.0, schedule="constant", evaluations=2)
    recorder = run(problem, ADAMW, budget=24, lr=3e-3)
    first, last = [r.value for r in recorder.records if (r.split, r.metric) == ("valid", problem.metric)]
    assert last < first if problem.direction == "min" else last > first
    assert recorder.last("test", problem.metric) == recorder.last("test", problem.metric)


def test_default_run_of_digits_reaches_its_target_and_learns_digits():
    problem = build("digits-mlp")
    recorder = run(problem, ADAMW)
    reached = [
        r.at for r in recorder.records if r.split == "valid" and r.metric == "loss" and r.value <= problem.target
    ]
    assert reached
    assert 0.3 < reached[0] / problem.budget < 0.95
    # a linear classifier on the same split reaches about 0.96
    assert recorder.last("test", "accuracy") > 0.95


def test_logistic_regression_approaches_scikit_learns_optimum():
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    problem = build("breast-cancer-logistic", batch_size=341, warmup=0.0)
    x, y = (t.numpy() for t in problem.loaded.train)
    # an L2 penalty makes the optimum finite; it is added here as weight decay of the difference of the two columns
    strength = 0.05
    model = LogisticRegression(C=1 / (strength * len(x)), tol=1e-10, max_iter=10_000).fit(x, y)
    sgd = method(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=2 * strength)
    recorder = run(problem, sgd, budget=3000)
    assert recorder.last("train", "loss") == pytest.approx(log_loss(y, model.predict_proba(x)), rel=2e-2)


def test_parameters_are_in_the_name_in_the_form_that_is_typed():
    problem = build("byte-lm", size="0.5m", context=32, device="cpu")
    assert problem.name == "byte-lm:size=0.5m,context=32"
    name, attribute, params = split_spec(problem.name)
    assert (name, attribute) == ("byte-lm", None)
    assert build(name, **params).name == problem.name


def test_settings_are_parameters_of_every_problem():
    params = catalog.problems()["digits-mlp"].params
    assert params["hidden"] == 64
    assert params["batch_size"] == 64
    assert params["device"] == "cpu"
    problem = build("digits-mlp", batch_size=32, clip=1.0, target=0.2)
    assert (problem.settings.batch_size, problem.settings.clip, problem.target) == (32, 1.0, 0.2)


def test_other_sizes_and_texts_have_no_measured_target():
    assert build("byte-lm", size="1m").target is None
    assert build("byte-lm", corpus="pystdlib").target is None
    assert build("byte-lm", size="1m").budget > build("byte-lm").budget


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("byte-lm", {"size": "2m"}, "size must be one of"),
        ("byte-lm", {"corpus": "bible"}, "corpus must be one of"),
        ("byte-lm", {"context": 0}, "context must be at least 2"),
        ("digits-mlp", {"hidden": 0}, "hidden must be at least 1"),
        ("digits-mlp", {"batch_size": -1}, "batch_size must be at least 1"),
    ],
)
def test_bad_parameter_is_named(name, params, message):
    with pytest.raises(ValueError, match=message):
        build(name, **params)


def test_unknown_parameter_is_refused_by_the_catalog():
    with pytest.raises(UnknownNameError, match=r"has no parameter 'hiden'.*did you mean 'hidden'"):
        catalog.get_problem("digits-mlp:hiden=3")


def test_problem_whose_files_are_missing_says_what_to_set(monkeypatch):
    monkeypatch.delenv("OPTIMAND_DATA", raising=False)
    with pytest.raises(OptimandError, match="set OPTIMAND_DATA"):
        run(build("mnist10k-mlp"), ADAMW, budget=1)


def test_problem_can_be_sent_to_another_process():
    problem = build("digits-mlp")
    assert problem.summary
    copy = pickle.loads(pickle.dumps(problem))
    assert isinstance(copy, TrainingProblem)
    assert "loaded" not in vars(copy)
    assert copy.summary == problem.summary


@pytest.mark.parametrize("name", ["mnist10k-mlp", "mnist10k-cnn", "notmnist10k-mlp", "byte-lm"])
def test_problems_from_files_learn(name):
    from optimand import data

    if not os.environ.get("OPTIMAND_DATA") or not data.available(name.split("-")[0].replace("byte", "tinyshakespeare")):
        pytest.skip("OPTIMAND_DATA does not hold the files")
    params = {"corpus": "shakespeare"} if name == "byte-lm" else {}
    problem = build(name, warmup=0.0, evaluations=2, **params)
    recorder = run(problem, ADAMW, budget=30)
    first, last = [r.value for r in recorder.records if (r.split, r.metric) == ("valid", problem.metric)]
    assert last < first if problem.direction == "min" else last > first
