"""What the run loop charges a method for, where it ends one, and what a method cannot change."""

import pytest

from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.numerical.monotone.family import adopt, describe
from optimand.numerical.monotone.problems import cocoercive_sum, matrix_game


def run(problem, method, budget=30, **hyper):
    recorder = Recorder(budget)
    problem.run(method, hyper, seed=SeedTree(0), budget=budget, recorder=recorder)
    return recorder


def curve(recorder):
    return [(r.at, r.value) for r in recorder.records if r.split == "test" and r.metric == "residual"]


def test_a_residual_or_a_free_value_that_a_method_asks_for_is_paid():
    def curious(task):
        u = task.u0
        while True:
            task.residual(u)
            task.gap(u)
            u = task.project(u - 0.01 * task.op.value(u))
            yield u

    recorder = run(matrix_game(size=10), adopt("curious", curious), budget=30)
    assert recorder.costs["oracle_calls"] == pytest.approx(30 * 5)
    # three passes a step: the point after one step is there from the third pass on
    values = [value for _, value in curve(recorder)]
    assert values[0] == values[1] == values[2] != values[3]


def test_what_a_method_does_to_its_task_does_not_change_what_judges_it():
    def meddle(task):
        task.residual = lambda u: 0.0
        task.project = lambda z: z
        task.op.value = lambda u: 0 * u
        while True:
            task.op.full(task.u0)
            task.u0 *= 0.5
            yield task.u0

    problem = cocoercive_sum(n=5, d=2)
    values = dict(curve(run(problem, adopt("meddle", meddle), budget=3)))
    task = problem.instance(SeedTree(0).child("data").numpy())
    for at, value in values.items():
        assert value == pytest.approx(task.residual(task.u0 * 0.5**at), rel=1e-12)


class Endless:
    """Two ordinary steps, then one that evaluates for ever."""

    def __init__(self, task, kind="full"):
        self.task, self.kind, self.u, self.steps = task, kind, task.u0, 0

    def step(self):
        task = self.task
        self.u = task.project(self.u - 0.05 * task.op.full(self.u))
        self.steps += 1
        while self.steps == 3:
            task.op.batch(self.u, [0]) if self.kind == "batch" else getattr(task.op, self.kind)(self.u)


@pytest.mark.parametrize("kind", ["full", "value", "batch"])
def test_a_step_that_never_ends_is_cut_at_the_budget(kind):
    method = adopt("endless", Endless)
    values = dict(curve(run(cocoercive_sum(n=10, d=3), method, budget=20, kind=kind)))
    # what the third step moved to first was there when the budget ended, but not known as its result before
    assert values[2] == values[19] != values[20]


def test_a_method_whose_first_step_never_ends_is_adopted_and_described():
    def forever(task):
        while True:
            task.op.full(task.u0)
        yield task.u0

    method = adopt("forever", forever)
    assert describe(method)["passes a step, 40 x 40 game"] == "more than 1000.00"
    values = curve(run(cocoercive_sum(n=5, d=2), method, budget=10))
    assert len({value for _, value in values}) == 1
