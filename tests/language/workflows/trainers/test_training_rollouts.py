"""Rollouts: failures as feedback, order independent of threads, async agents, batches as one node."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest

from optimand.core.validation import OptimandError
from optimand.language.llm import BudgetExceeded, Scripted
from optimand.language.workflows import ExecutionError, Module, OptoPrime, Tape, bundle, node
from optimand.language.workflows.tracing.base import ExceptionNode
from optimand.language.workflows.trainers import (
    GuideError,
    Minibatch,
    SampleError,
    batchify,
    exact_match,
    mean_score,
    numeric_tolerance,
    read_dataset,
    roll_out,
)


@bundle()
def inverse(x):
    return 1 / x


SAMPLES = read_dataset("dataset", [(x, 1 / x if x else None) for x in (2, 0, 4, 0, 5)])


def test_a_failure_is_a_node_with_the_marked_source_and_the_least_score():
    found = roll_out(inverse, exact_match(), SAMPLES, min_score=-1.0)
    assert [rollout.score for rollout in found] == [1.0, -1.0, 1.0, -1.0, 1.0]
    failure = found[1]
    assert failure.failed
    assert isinstance(failure.target, ExceptionNode)
    assert "return 1 / x <--- (ZeroDivisionError) division by zero." in failure.feedback
    assert mean_score(found) == pytest.approx(0.2)


def test_failures_without_a_score_are_left_out_of_means():
    found = roll_out(inverse, exact_match(), SAMPLES, min_score=None)
    assert [rollout.score for rollout in found] == [1.0, None, 1.0, None, 1.0]
    assert mean_score(found) == 1.0
    assert mean_score(found[1:2]) is None
    _, told = batchify(found)
    assert told.count("score: 1") == 3


def test_a_score_below_that_of_failures_is_refused():
    def guide(query, response, info):
        return -2.0, ""

    with pytest.raises(GuideError, match=r"score -2 on sample 0 .* below that of a failure"):
        roll_out(inverse, guide, SAMPLES[:1])
    assert roll_out(inverse, guide, SAMPLES[:1], min_score=-2)[0].score == -2


@pytest.mark.parametrize("threads", [1, 4])
def test_what_is_no_execution_error_names_the_first_sample_that_raised(threads):
    def agent(query):
        if not query:
            raise KeyError("x")
        return inverse(query)

    with pytest.raises(SampleError, match=r"the workflow raised on sample 1 \(query 0\): KeyError: 'x'"):
        roll_out(agent, exact_match(), SAMPLES, num_threads=threads)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_spent_budget_inside_a_bundled_function_is_no_feedback(threads):
    @bundle()
    def ask(x):
        raise BudgetExceeded("the limit max_calls=0 is reached")

    with pytest.raises(BudgetExceeded, match="max_calls=0"):
        roll_out(ask, exact_match(), SAMPLES, num_threads=threads)


class Agent(Module):
    def __init__(self):
        self.offset = node(1.0, name="offset", trainable=True)

    @bundle()
    def shifted(self, x, offset):
        # Later samples are done first, so that threads finish in the reverse order.
        time.sleep(0.004 * (5 - x))
        return x + offset

    def forward(self, x):
        return self.shifted(x, self.offset) * 2


class AsyncAgent(Agent):
    running = 0
    most = 0

    async def forward(self, x):
        type(self).running += 1
        type(self).most = max(self.most, self.running)
        await asyncio.sleep(0.004 * (5 - x))
        type(self).running -= 1
        return (self.offset + x) * 2


def prompt_of(agent, threads):
    """The prompt of one OptoPrime step on a batch, the most sensitive to names and order."""
    with Tape():
        made = agent()
        model = Scripted(lambda messages, **options: json.dumps({"suggestion": {}}))
        trainer = Minibatch(made, OptoPrime(made.parameters(), model), batch_size=5, shuffle=False)
        data = [(x, 2 * x) for x in range(5)]
        trainer.train(numeric_tolerance(), data, steps=1, num_threads=threads)
        assert len(model.calls) == 1
        return model.calls[0][0][-1]["content"]


@pytest.mark.parametrize("agent", [Agent, AsyncAgent])
def test_prompts_do_not_depend_on_the_number_of_threads(agent):
    with Tape():
        alone = prompt_of(agent, 1)
        assert "ID [0]: 2.0" in alone
        assert "ID [4]: " in alone
        assert all(prompt_of(agent, threads) == alone for threads in (2, 5, 5))


def test_all_threads_share_the_node_of_an_instance():
    gate = threading.Barrier(4, timeout=5)

    class Waiting(Agent):
        def forward(self, x):
            gate.wait()
            return self.shifted(5, self.offset)

    samples = read_dataset("dataset", [(x, None) for x in range(4)])
    found = roll_out(Waiting(), lambda q, r, i: (r, ""), samples, num_threads=4)
    assert len({id(rollout.target.inputs["self"]) for rollout in found}) == 1


def test_rollouts_run_at_the_same_time_and_come_in_order():
    gate = threading.Barrier(3, timeout=5)

    def agent(x):
        gate.wait()
        return inverse(x)

    samples = read_dataset("dataset", [(x, 1 / x) for x in (1, 2, 4)])
    assert [r.response for r in roll_out(agent, exact_match(), samples, num_threads=3)] == [1.0, 0.5, 0.25]


def test_async_agents_run_up_to_the_number_of_threads_at_once():
    agent = AsyncAgent()
    samples = read_dataset("dataset", [(x, None) for x in range(5)])
    for threads in (1, 3):
        AsyncAgent.most = 0
        found = roll_out(agent, lambda q, r, i: (1.0, ""), samples, num_threads=threads)
        assert AsyncAgent.most == threads
        assert [rollout.response for rollout in found] == [2.0 * (x + 1) for x in range(5)]


def test_async_failures_become_feedback_and_other_errors_name_the_sample():
    @bundle()
    async def risky(x):
        await asyncio.sleep(0)
        return 1 / x

    found = roll_out(risky, exact_match(), SAMPLES, num_threads=2)
    assert [rollout.failed for rollout in found] == [False, True, False, True, False]
    assert "<--- (ZeroDivisionError)" in found[1].feedback

    async def broken(x):
        raise KeyError(x)

    with pytest.raises(SampleError, match="sample 0"):
        roll_out(broken, exact_match(), SAMPLES, num_threads=2)


def test_training_works_inside_a_running_event_loop():
    async def main():
        return roll_out(AsyncAgent(), lambda q, r, i: (r, ""), SAMPLES[:2])

    assert [rollout.score for rollout in asyncio.run(main())] == [6.0, 2.0]


def test_a_function_that_returns_a_coroutine_is_awaited():
    async def later(x):
        return inverse(x)

    assert roll_out(lambda x: later(x), exact_match(), SAMPLES[:1])[0].response == 0.5


def test_containers_and_plain_values_become_nodes():
    x = node(2, name="x", trainable=True)
    first = roll_out(lambda q: [x, q], exact_match(), read_dataset("d", [(1, [2, 1])]))[0]
    assert first.score == 1.0
    assert [parent is x for parent in first.target.parents] == [True]
    assert roll_out(lambda q: 5, exact_match(), read_dataset("d", [(1, 5)]))[0].score == 1.0


def test_a_batch_is_one_node_and_one_feedback_and_can_be_replayed():
    from optimand.language.workflows import replay

    x = node(2, name="x", trainable=True)
    found = roll_out(lambda q: x * q, exact_match(), read_dataset("d", [(1, 2), (3, 7)]))
    target, told = batchify(found)
    assert target.data == "ID [0]: 2\nID [1]: 6"
    assert told.splitlines()[:3] == ["ID [0]: correct", "score: 1", "ID [1]: wrong: 7 was expected, not 6"]
    target.backward(told)
    graph = x.received()
    assert graph.feedback == told
    assert replay(graph, {x: 5}) == "ID [0]: 5\nID [1]: 15"


def test_a_batch_with_a_failure_goes_backward_from_the_exception_too():
    x = node(0, name="x", trainable=True)
    found = roll_out(lambda q: inverse(x * q + q), exact_match(), read_dataset("d", [(1, 1.0), (0, None)]))
    target, told = batchify(found)
    assert target.data == "ID [0]: 1.0\nID [1]: (ZeroDivisionError) division by zero"
    assert "<--- (ZeroDivisionError)" in told
    target.backward(told)
    assert len(x.received()) > 5


def test_a_batch_of_one_is_left_as_it_is():
    x = node(2, name="x", trainable=True)
    found = roll_out(lambda q: x * q, exact_match(), read_dataset("d", [(1, 2)]))
    target, told = batchify(found, show_score=False)
    assert target is found[0].target
    assert told == "correct"


def test_execution_errors_of_operators_are_failures_too():
    x = node(0, name="x", trainable=True)
    found = roll_out(lambda q: q / x, exact_match(), read_dataset("d", [(1, 2)]))
    assert found[0].failed
    assert found[0].score == 0.0
    assert issubclass(ExecutionError, OptimandError)


def test_the_number_of_threads_is_checked():
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        roll_out(inverse, exact_match(), SAMPLES, num_threads=0)


class Pair(Module):
    """The first sample calls the first part late, when others have called the second one."""

    def __init__(self):
        self.parts = [Agent(), Agent()]

    def forward(self, x):
        first, second = self.parts
        if x:
            return second.shifted(5, second.offset)
        time.sleep(0.02)
        return first.shifted(5, first.offset) + second.shifted(5, second.offset)


def test_names_of_modules_do_not_depend_on_who_is_called_first():
    with Tape():
        alone = prompt_of(Pair, 1)
        assert alone.count("shifted(self=self") == 6
        assert all(prompt_of(Pair, 5) == alone for _ in range(2))


def test_a_failure_has_the_least_score_in_every_objective():
    def guide(query, response, info):
        return {"up": 1.0, "down": 2.0}, ""

    found = roll_out(inverse, guide, SAMPLES[:2], min_score=-1.0, objectives=("up", "down"))
    assert [rollout.objectives for rollout in found] == [{"up": 1.0, "down": 2.0}, {"up": -1.0, "down": -1.0}]
    assert roll_out(inverse, guide, SAMPLES[1:2], min_score=None, objectives=("up", "down"))[0].objectives is None
