"""What a user's bare object becomes: a method with defaults and ranges, or a message that says what to change."""

from __future__ import annotations

import pytest
import torch

from optimand.core.space import Float
from optimand.core.validation import OptimandError
from optimand.training.family import adopt, describe

from .conftest import method, problem, run


def test_class_becomes_a_method_with_its_defaults_and_a_space():
    adopted = adopt("rmsprop", torch.optim.RMSprop)
    assert adopted.family == "training"
    assert adopted.defaults["lr"] == 0.01
    assert adopted.defaults["momentum"] == 0
    assert adopted.space == {"lr": Float(0.01 / 30, 0.3, log=True), "weight_decay": Float(1e-5, 1e-1, log=True)}
    assert "name" not in adopted.defaults


def test_positive_weight_decay_is_tuned_around_its_default():
    assert adopt("adamw", torch.optim.AdamW).space["weight_decay"] == Float(1e-2 / 30, 0.3, log=True)


def test_factory_becomes_a_method_that_runs():
    def heavy_ball(params, lr=0.1, momentum=0.9):
        """SGD with momentum."""
        return torch.optim.SGD(params, lr=lr, momentum=momentum)

    adopted = adopt("heavy-ball", heavy_ball)
    assert adopted.defaults == {"lr": 0.1, "momentum": 0.9}
    assert adopted.summary == "SGD with momentum."
    assert run(problem(), adopted, momentum=0.5).last("test", "accuracy") > 0.9


def needs_lr(params, lr):
    return torch.optim.SGD(params, lr=lr)


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (needs_lr, r"has no default for lr: give it one in its signature \(such as lr=…\)"),
        (torch.optim.SGD([torch.zeros(1)], lr=0.1), "is a SGD object that already holds parameters"),
        (torch.nn.Linear, "is the class Linear; expected a torch.optim.Optimizer class"),
        (3, r"is 3 \(int\); expected"),
        (lambda: None, "takes no parameters to optimize"),
        (lambda *, params=None: None, "takes no parameters to optimize"),
        (lambda params: [], "returns a list; expected"),
        (lambda params, lr=-1.0: torch.optim.SGD(params, lr=lr), "does not work on two parameters: ValueError"),
        (
            lambda params, lr=0.1: torch.optim.SGD(params, learning_rate=lr),
            "on two parameters: TypeError",
        ),
    ],
)
def test_anything_else_is_refused_with_a_reason(obj, message):
    with pytest.raises(OptimandError, match=message):
        adopt("mine", obj)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (method(torch.optim.AdamW, lr=1e-3, foreach=None, fused=None), ("8.00", "yes", "yes")),
        (method(torch.optim.SGD, lr=1e-3), ("0.00", "none", "none")),
        (method(torch.optim.SGD, lr=1e-3, momentum=0.9, foreach=None), ("4.00", "yes", "none")),
    ],
)
def test_description_is_measured(chosen, expected):
    facts = describe(chosen)
    assert (facts["state bytes per parameter"], facts["foreach path"], facts["fused path"]) == expected


def test_description_of_factored_state_is_far_below_one_value_a_parameter():
    facts = describe(method(torch.optim.Adafactor, lr=1e-2))
    # row and column sums of a 256x256 matrix, one value for each of the 256 biases
    assert float(facts["state bytes per parameter"]) == pytest.approx(4 * 3 * 256 / (256 * 257), abs=0.02)


def test_path_that_fails_says_why():
    facts = describe(method(lambda params, lr, fused: torch.optim.SGD(params, lr=lr, fused=fused, foreach=fused),
                            lr=1e-3, fused=None))  # fmt: skip
    assert facts["fused path"].startswith("not here: ")


def test_method_that_cannot_be_built_is_described_by_its_failure():
    with pytest.raises(ValueError, match="Invalid learning rate"):
        describe(method(torch.optim.SGD, lr=-1.0))


def test_description_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    describe(method(torch.optim.SGD, lr=0.1))
    assert torch.equal(torch.get_rng_state(), before)
