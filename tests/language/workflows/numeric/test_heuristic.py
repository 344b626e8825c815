"""HeuristicProposer: bisection with signs, hints, scores, options, exceptions, replays, states."""

import json
import math

import numpy as np
import pytest

from optimand.core.running import BudgetSpent
from optimand.core.validation import OptimandError
from optimand.language.workflows.heuristic.brackets import Bracketing, Range, Seen, between
from optimand.language.workflows.heuristic.feedback_parsing import ParsedFeedback
from optimand.language.workflows.heuristic.hints import Hints
from optimand.language.workflows.heuristic.proposer import HeuristicProposer
from optimand.language.workflows.heuristic.trials import Trials
from optimand.language.workflows.tracing.bundles import bundle
from optimand.language.workflows.tracing.nodes import ExecutionError, ParameterNode


def number(value, name="x", low=-1.0, high=1.0):
    return ParameterNode(value, name=name, minimum=low, maximum=high)


def search(optimizer, forward, guide, steps):
    """The values of all outputs."""
    outputs = []
    for _ in range(steps):
        try:
            y = forward()
            feedback = guide(y.data)
        except ExecutionError as error:
            y, feedback = error.exception_node, error.exception_node.create_feedback("full")
        outputs.append(y.data)
        optimizer.zero_feedback()
        optimizer.backward(y, feedback)
        optimizer.step()
    return outputs


def towards(target):
    return lambda y: "right" if y == target else f"should be {'larger' if y < target else 'smaller'}"


def test_one_number_is_bisected_whatever_the_sign():
    for slope in (2.0, -2.0):
        x = number(0.1)
        outputs = search(HeuristicProposer([x]), lambda x=x, s=slope: s * x + 1, towards(1.9), 14)
        assert abs(outputs[-1] - 1.9) < 1e-3
        errors = [abs(y - 1.9) for y in outputs]
        assert errors[-1] < errors[0]


def test_several_numbers_move_together():
    xs = [number(v) for v in (0.3, -0.2, 0.9)]
    outputs = search(HeuristicProposer(xs), lambda: xs[0] - 3 * xs[1] + 0.1 * xs[2], towards(3.7), 14)
    assert abs(outputs[-1] - 3.7) < 1e-2


def test_numbers_without_bounds_are_looked_for_by_doubling():
    x = ParameterNode(0.0, name="x")
    outputs = search(HeuristicProposer([x]), lambda: 1 - x, towards(1000.0), 45)
    assert abs(outputs[-1] - 1000) < 1e-6


def test_whole_numbers_stay_whole_and_settle():
    x = ParameterNode(3, name="x", minimum=0, maximum=1000)
    optimizer = HeuristicProposer([x])
    outputs = search(optimizer, lambda: x * 2, towards(777), 20)
    assert all(isinstance(y, int) for y in outputs)
    assert {776, 778} <= set(outputs)
    assert "nothing is left to try" in optimizer.report.notes[0]


def test_the_mask_hides_signs_and_costs_evaluations():
    def spent(mask):
        x = number(0.0)
        outputs = search(HeuristicProposer([x], mask=mask, seed=1), lambda: -x, towards(0.3), 20)
        return next(i for i, y in enumerate(outputs) if abs(y - 0.3) < 0.01)

    assert spent(True) > spent(False)


def test_masked_search_finds_a_bracket_among_corners():
    for seed in range(6):
        xs = [number(0.1 * i, f"x{i}") for i in range(3)]
        outputs = search(
            HeuristicProposer(xs, mask=True, seed=seed), lambda xs=xs: xs[0] - xs[1] + xs[2] * -1.0, towards(1.3), 30
        )
        assert min(abs(y - 1.3) for y in outputs) < 1e-3


def test_a_function_that_turns_round_is_searched_honestly():
    x = number(0.05)
    outputs = search(HeuristicProposer([x]), lambda: x * x, towards(0.49), 25)
    assert min(abs(y - 0.49) for y in outputs) < 1e-3


def test_a_target_out_of_reach_ends_at_the_corner():
    x = number(0.0)
    optimizer = HeuristicProposer([x])
    search(optimizer, lambda: 2 * x, towards(5.0), 70)
    assert x.data == 1.0
    assert "nothing is left to try" in optimizer.report.notes[0]


@bundle(description="[mystery] Nobody knows.")
def mystery(x, y):
    return 2 * y - 3 * x


def test_replays_find_signs_and_are_counted():
    xs = [number(0.2), number(0.1, "y")]
    asked = []
    optimizer = HeuristicProposer(xs, on_replay=lambda: asked.append(1))
    outputs = search(optimizer, lambda: mystery(*xs), towards(3.3), 14)
    assert min(abs(y - 3.3) for y in outputs) < 0.01
    assert len(asked) == optimizer.replayed == 2

    told = HeuristicProposer(xs, operators={"mystery": (-1, 1)})
    search(told, lambda: mystery(*xs), towards(-1.0), 10)
    assert told.replayed == 0


def test_a_replay_can_be_forbidden():
    def forbid():
        raise BudgetSpent

    xs = [number(0.2), number(0.1, "y")]
    with pytest.raises(BudgetSpent):
        search(HeuristicProposer(xs, on_replay=forbid), lambda: mystery(*xs), towards(3.3), 3)
    without = HeuristicProposer(xs, replays=False, on_replay=forbid)
    search(without, lambda: mystery(*xs), towards(3.3), 10)


def test_one_unknown_number_learns_its_sign_from_two_outputs():
    x = number(0.0)

    @bundle(description="[hidden] Falls.")
    def hidden(x):
        return -x

    outputs = search(HeuristicProposer([x]), lambda: hidden(x), towards(0.3), 16)
    assert min(abs(y - 0.3) for y in outputs) < 0.01


def test_hints_bisect_the_parameter_that_they_name():
    a, b = number(0.0, "green_a", 0.0, 16.0), ParameterNode(8, name="green_b", minimum=0, maximum=16)
    optimizer = HeuristicProposer([a, b])

    def guide(_):
        return (
            f"{'increase' if a.data < 11.3 else 'decrease'} green_a; green_b is too {'long' if b.data > 3 else 'short'}"
        )

    search(optimizer, lambda: a + b, guide, 25)
    assert abs(a.data - 11.3) < 1e-3
    assert b.data in (3, 4)


def test_a_hint_voids_those_that_it_contradicts():
    hints = Hints([Range(0.0, 16.0)])
    hints.tell((4.0,), {0: -1})
    hints.tell((8.0,), {0: 1})  # so 4 is not too much any more
    assert hints.state_dict() == {"told": [[[8.0, 1]]]}


def test_scores_are_climbed():
    xs = [number(0.9), number(-0.7, "y")]
    outputs = search(HeuristicProposer(xs), lambda: -(xs[0] * xs[0] + xs[1] * xs[1]), lambda y: y, 120)
    assert max(outputs) > -1e-3


def test_scores_of_proposals_that_were_compared_elsewhere_count():
    x, mode = number(0.9), ParameterNode("a", name="mode", choices=("a", "b"))

    @bundle(description="[score] A score.")
    def score(x, mode):
        return -abs(x) - (mode == "a")

    optimizer = HeuristicProposer([x, mode])
    optimizer.observe({x: 0.5, mode: "b"}, 7.0)  # nothing was scored before: directions may be what leads
    assert optimizer.state_dict()["trials"]["best"] is None
    search(optimizer, lambda: score(x, mode), lambda y: f"score: {y}", 1)
    optimizer.observe({x: 0.01, mode: "b"}, -0.01)
    assert optimizer.state_dict()["trials"]["best"] == [(0.01,), (1,), -0.01]
    optimizer.observe({x: 0.2, mode: "a"}, -1.2)
    assert optimizer.state_dict()["trials"]["best"] == [(0.01,), (1,), -0.01]
    state = optimizer.state_dict()["trials"]
    for _ in range(3):  # what was told before is no step
        optimizer.observe({x: 0.01, mode: "b"}, -0.01)
        optimizer.observe({x: 0.2, mode: "a"}, -1.2)
    assert optimizer.state_dict()["trials"]["step"] == state["step"]
    outputs = search(optimizer, lambda: score(x, mode), lambda y: f"score: {y}", 2)[1:]
    assert max(outputs) > -0.9


def test_options_and_truth_values_are_each_tried():
    mode = ParameterNode("a", name="mode", choices=("a", "b", "c"))
    fast = ParameterNode(False, name="fast")
    worth = {"a": 0.0, "b": 2.0, "c": 1.0}

    @bundle(description="[score] A score.")
    def score(mode, fast):
        return worth[mode] + (0.5 if fast else 0.0)

    optimizer = HeuristicProposer([mode, fast])
    outputs = search(optimizer, lambda: score(mode, fast), lambda y: f"score: {y}", 10)
    assert max(outputs) == 2.5
    assert "everything that can be listed was tried" in optimizer.report.notes[0]


def test_options_wait_until_the_numbers_are_settled():
    x = ParameterNode(0, name="x", minimum=0, maximum=3)
    times = ParameterNode(1, name="times", choices=(1, 10))
    outputs = search(HeuristicProposer([x, times]), lambda: x * times, towards(30), 12)
    assert 30 in outputs


def test_texts_and_code_are_left_as_they_are_and_named():
    x, prompt = number(0.0), ParameterNode("Be brief.", name="prompt")

    @bundle(description="[add] x.")
    def use(x, prompt):
        return x

    optimizer = HeuristicProposer([x, prompt])
    search(optimizer, lambda: use(x, prompt), towards(0.5), 3)
    assert prompt.data == "Be brief."
    assert optimizer.frozen == ("prompt:0",) or "prompt" in optimizer.frozen[0]
    assert "left unchanged" in str(optimizer.report)


def test_an_exception_is_stepped_back_from():
    x = number(0.5, low=-4.0)

    @bundle(description="[root] The square root.")
    def root(x):
        if x < 0:
            raise ValueError("no root")
        return math.sqrt(x)

    outputs = search(HeuristicProposer([x]), lambda: root(x), towards(0.3), 25)
    assert any("ValueError" in str(y) for y in outputs)
    assert min(abs(y - 0.3) for y in outputs if not isinstance(y, str)) < 0.01


def test_exceptions_count_as_the_worst_score():
    x = number(0.5)

    @bundle(description="[inverse] One over x, near zero not.")
    def inverse(x):
        if abs(x) < 0.2:
            raise ZeroDivisionError("too near")
        return 1 / x

    outputs = search(HeuristicProposer([x]), lambda: inverse(x), lambda y: y, 60)
    assert max(y for y in outputs if not isinstance(y, str)) > 4.5


def test_what_is_right_stays():
    x = number(0.25)
    optimizer = HeuristicProposer([x])
    assert search(optimizer, lambda: x + 0, towards(0.25), 3) == [0.25] * 3
    assert optimizer.report.terminated


def test_feedback_that_says_nothing_changes_nothing():
    x = number(0.25)
    optimizer = HeuristicProposer([x])
    search(optimizer, lambda: x + 0, lambda y: "a fine day", 2)
    assert x.data == 0.25
    assert "nothing to read" in optimizer.report.notes[0]


def test_the_parser_is_the_users():
    x = number(0.25)
    optimizer = HeuristicProposer([x], parser=lambda feedback, names: ParsedFeedback(direction=len(feedback)))
    search(optimizer, lambda: x + 0, lambda y: "+", 2)
    assert x.data > 0.25


def test_proposals_on_the_same_feedback_differ():
    x = number(0.0)
    optimizer = HeuristicProposer([x])
    y = 2 * x
    optimizer.zero_feedback()
    optimizer.backward(y, "larger")
    found = {optimizer.propose()[x] for _ in range(4)}
    assert len(found) == 4
    assert all(0 < value <= 1 for value in found)
    assert x.data == 0.0


def test_a_target_that_moves_voids_what_was_said():
    x = number(0.0)
    target = [0.5]
    optimizer = HeuristicProposer([x])
    search(optimizer, lambda: x + 0, lambda y: towards(target[0])(y), 20)
    target[0] = -0.7
    outputs = search(optimizer, lambda: x + 0, lambda y: towards(target[0])(y), 60)
    assert min(abs(y + 0.7) for y in outputs) < 0.01


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("scored", [True, False])
def test_a_state_goes_through_json_and_goes_on_alike(mask, scored):
    def run(cut):
        xs = [number(0.3), ParameterNode(2, name="n", minimum=0, maximum=9), ParameterNode(True, name="b")]

        def forward():
            return xs[0] * 2 - xs[1] + (xs[2] * 1)

        guide = (lambda y: -abs(y - 0.4)) if scored else towards(0.437)
        optimizer = HeuristicProposer(xs, seed=3, mask=mask)
        outputs = search(optimizer, forward, guide, 7)
        if cut:
            state = json.loads(json.dumps(optimizer.state_dict()))
            optimizer = HeuristicProposer(xs, seed=99, mask=mask)
            optimizer.load_state_dict(state)
        return outputs + search(optimizer, forward, guide, 12)

    assert run(True) == run(False)


def test_bad_arguments_are_named():
    x = number(0.0)
    with pytest.raises(ValueError, match="step"):
        HeuristicProposer([x], step=0.0)
    with pytest.raises(ValueError, match="seed"):
        HeuristicProposer([x], seed=-1)
    with pytest.raises(TypeError, match="parser"):
        HeuristicProposer([x], parser=3)
    with pytest.raises(ValueError, match="operators"):
        HeuristicProposer([x], operators={"f": (2,)})
    with pytest.raises(OptimandError, match="feedback"):
        HeuristicProposer([x]).step()
    with pytest.raises(TypeError, match="no options"):
        HeuristicProposer([x]).propose(count=3)


def test_parameters_that_are_held_fixed_stay():
    x, y = number(0.0), number(0.0, "y")
    optimizer = HeuristicProposer([x, y])
    y.trainable = False
    outputs = search(optimizer, lambda: x + y, towards(0.5), 12)
    assert y.data == 0.0
    assert abs(outputs[-1] - 0.5) < 1e-3


def test_a_bracket_is_halved_on_the_segment():
    search = Bracketing([Range(-1, 1)] * 2, np.random.default_rng(0))
    seen = [Seen((0.0, 0.0), 1), Seen((1.0, -1.0), -1)]
    assert search.next(seen, [None, None]) == (0.5, -0.5)
    assert between((0.0,), (1.0,), [Range(0, 1, True)], {(0.0,), (1.0,)}) is None
    assert between((0.0, 0.0), (1.0, 1.0), [Range(0, 1, True)] * 2, {(0.0, 0.0), (1.0, 1.0)}) in [(0, 1), (1, 0)]


def test_many_dimensions_have_corners_in_pairs():
    search = Bracketing([Range(-1, 1)] * 12, np.random.default_rng(0))
    assert len(search.corners) == 32
    assert all(tuple(-s for s in a) == b for a, b in zip(search.corners[::2], search.corners[1::2], strict=True))


def test_steps_grow_on_a_plateau():
    search = Trials([Range(-1, 1)], [], np.random.default_rng(0), step=0.1)
    search.tell((0.0,), (), 1.0)
    for _ in range(4):
        point, options = search.ask()
        search.tell(point, options, 1.0)
    assert search.step > 0.4


@pytest.mark.parametrize(("often", "chosen"), [(0.8, 2), (1.0, 1)])
def test_options_are_tried_by_the_upper_confidence_bound_of_their_mean_score(often, chosen):
    # Of six scores in [0, 1] option 2 has a single 0, bound sqrt(2 log 6) = 1.89; option 1 has four equal scores and
    # the bound of their value plus half of that: 1.75, or 1.95.
    search = Trials([Range(0, 1)], [3], np.random.default_rng(0))
    for i, (option, score) in enumerate([(2, 0.0), *[(1, often)] * 4, (0, 1.0)]):
        search.tell((i / 10,), (option,), score)
    assert search.ask() == ((0.5,), (chosen,))
