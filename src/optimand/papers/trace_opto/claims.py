"""Claims of Trace (arXiv 2406.16218)."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.core.claims import Claim, Finding
from optimand.language.llm import endpoint_configured

from .model_claims import (
    CLOSE,
    battleship_with_a_model,
    embedded_guesses,
    numeric_runs,
    numeric_with_a_model,
    textgrad_with_a_model,
    told,
    traffic_with_a_model,
)

PAPER = "trace-opto"


def one_number() -> Finding:
    """Random graphs of one parameter: how many are solved in 12 evaluations, with the graph and without."""
    return _heuristic(1, 12, 27)


def three_numbers() -> Finding:
    """Random separable graphs of three parameters, in 30 evaluations."""
    return _heuristic(3, 30, 24)


def _heuristic(params: int, budget: int, wanted: int) -> Finding:
    spent = numeric_runs(params, budget, ("heuristic", "heuristic-masked", "random-values"))
    ours, masked = spent["heuristic"], spent["heuristic-masked"]
    more = float(np.median(masked)) > float(np.median(ours))
    return Finding(
        told(spent),
        int(np.isfinite(ours).sum()) >= wanted and more,
        f"30 graphs of at most 10 operations, feedback larger/smaller, solved within {budget} evaluations to 1e-2 of "
        f"the range; no language model; without the graph the median is {'larger' if more else 'not larger'}",
    )


def linear_backward(short: int = 1600) -> Finding:
    """Time of a backward pass and of a parameter's subgraph over a chain, at ten times the length."""
    times = {}
    for length in (short, 10 * short):
        samples = []
        for _ in range(5):
            x, y = _chain(length)
            gc.collect()
            gc.disable()
            try:
                start = time.process_time()
                y.backward("larger")
                graph = x.received()
                samples.append(time.process_time() - start)
            finally:
                gc.enable()
            assert len(graph) == 2 * length + 1
        times[length] = float(np.median(samples))
    growth = times[10 * short] / times[short]
    return Finding(
        f"{1e3 * times[short]:.1f} ms for {short} additions, {growth:.1f} times that for {10 * short}",
        growth < 15,
        "backward and the parameter's subgraph, median of 5 of processor time, garbage collector off; the official "
        "package's time grows with the square",
    )


def _chain(length: int) -> tuple[Any, Any]:
    from optimand.language.workflows.tracing.nodes import ParameterNode

    x: Any = ParameterNode(0.0, name="x")
    y = x
    for _ in range(length):
        y = y + 1.0
    return x, y


def minimal_subgraphs() -> Finding:
    """Subgraphs of random graphs against paths enumerated from their definition."""
    from optimand.language.workflows.tracing.nodes import ParameterNode

    rng = np.random.default_rng(0)
    wrong = checked = 0
    for _ in range(200):
        nodes: list[Any] = [ParameterNode(1.0, name="x") for _ in range(3)]
        for _ in range(int(rng.integers(3, 40))):
            a, b = (nodes[int(i)] for i in rng.integers(len(nodes), size=2))
            nodes.append(a + b)
        output = nodes[-1]
        output.backward("larger")
        for parameter in nodes[:3]:
            graph = parameter.received()
            expected = _on_paths(parameter, output)
            ids = set() if graph is None else {id(item) for item in graph}
            place = {} if graph is None else {id(item): i for i, item in enumerate(graph)}
            ordered = all(
                place[id(parent)] < place[id(item)]
                for item in graph or ()
                for parent in item.parents
                if id(parent) in place
            )
            checked += 1
            wrong += ids != expected or not ordered
    return Finding(
        f"{checked - wrong} of {checked} subgraphs",
        wrong == 0,
        "200 random graphs of 3 parameters and up to 39 additions: the nodes on ways from the parameter to the output, "
        "with their parents, in topological order",
    )


def _on_paths(parameter: Any, output: Any) -> set[int]:
    """Nodes on ways from the parameter to the output and the parents of these, by definition."""
    depends: dict[int, bool] = {}

    def on_path(item: Any) -> bool:
        if id(item) not in depends:
            depends[id(item)] = item is parameter or any(on_path(parent) for parent in item.parents)
        return depends[id(item)]

    if not on_path(output):
        return set()
    found, stack = set(), [output]
    while stack:
        item = stack.pop()
        if id(item) not in found:
            found.add(id(item))
            stack += [parent for parent in item.parents if on_path(parent)]
            found |= {id(parent) for parent in item.parents if not on_path(parent)}
    return found


def calls_of_a_step() -> Finding:
    """Language-model calls of one step on the same graph, counted by a scripted model."""
    from optimand.language.llm import Scripted
    from optimand.language.workflows.optimizers.optoprime import OptoPrime
    from optimand.language.workflows.optimizers.textgrad import TextGrad

    spent = {}
    for name, make in (
        ("OptoPrime", lambda x, chat: OptoPrime([x], chat)),
        ("TextGrad", lambda x, chat: TextGrad([x], chat, every_edge=True)),
    ):
        chat = Scripted(lambda messages, **options: '{"suggestion": {"x0": 4}} <improved>4</improved>')
        x, d, edges, merges = _diamond()
        optimizer = make(x, chat)
        optimizer.zero_feedback()
        optimizer.backward(d, "should be larger")
        optimizer.step()
        spent[name] = len(chat.calls)
    expected = edges + merges + 1
    return Finding(
        ", ".join(f"{name} {calls}" for name, calls in spent.items()),
        spent == {"OptoPrime": 1, "TextGrad": expected},
        f"a graph of {edges} edges with {merges} nodes that get two criticisms, one parameter: {expected} = edges + "
        "merges + parameters",
    )


def _diamond() -> tuple[Any, Any, int, int]:
    from optimand.language.workflows.tracing.nodes import ParameterNode

    x: Any = ParameterNode(3, name="x")
    a = x + 1
    b = x * 2
    d = a * b + a
    return x, d, 8, 2


def feedback_from_exceptions() -> Finding:
    """A workflow that fails for some values: the exception is feedback, and the search goes on from it."""
    from optimand.language.workflows.loop import Workflow
    from optimand.language.workflows.problems import WorkflowProblem
    from optimand.language.workflows.tracing.bundles import bundle
    from optimand.language.workflows.tracing.nodes import ParameterNode

    from .small_searches import method_of, run_once

    @bundle(description="[root] The square root of x.")
    def root(x: Any) -> Any:
        if x < 0:
            raise ValueError(f"{x:.3f} has no root")
        return x**0.5

    def make(rng: np.random.Generator) -> Workflow:
        target = float(rng.uniform(0.2, 0.9))
        x = ParameterNode(float(rng.uniform(0.0, 1.0)), name="x", minimum=-4.0, maximum=1.0)
        return Workflow(
            parameters=(x,),
            forward=lambda: root(x),
            guide=lambda y: f"should be {'larger' if y < target else 'smaller'}",
            measure=lambda y: abs(y - target),
        )

    problem = WorkflowProblem(name="root", make=make, summary="a square root", budget=20)
    errors = [run_once(problem, method_of("heuristic"), seed).last("test", "error") for seed in range(20)]
    return Finding(
        f"{sum(error < CLOSE for error in errors)} of 20 solved",
        sum(error < CLOSE for error in errors) >= 18,
        "hit the square root of x in [-4, 1], which fails below 0, within 20 evaluations; no language model",
    )


def _where_a_model_is(check: Callable[[], Finding]) -> dict[str, Any]:
    if endpoint_configured():
        return {"check": check}
    return {
        "untestable": "needs a strong language model at an endpoint (OPTIMAND_LLM); without one its mechanics are "
        "tested with scripted replies"
    }


def _where_embedded(check: Callable[[], Finding]) -> dict[str, Any]:
    from optimand.language.llm.embedded import INSTALL_RUNTIME, INSTALL_WEIGHTS, EmbeddedModel

    if EmbeddedModel.available():
        return {"check": check}
    return {"untestable": f"the embedded model is not installed: {INSTALL_RUNTIME}; {INSTALL_WEIGHTS}"}


CLAIMS = (
    Claim(
        PAPER, "numeric", "With the trace, a model finds inputs of random arithmetic from larger/smaller alone, as "
        "well as the best-tuned Adam; with the trace masked it struggles.",
        "curves over 30 trials, GPT-4", **_where_a_model_is(numeric_with_a_model),
    ),
    Claim(
        PAPER, "numeric-one", "What the trace tells is enough: interval search that reads signs from the graph solves "
        "one-parameter graphs in few evaluations, and needs more without it.",
        "no number; our bar: at least 27 of 30 within 12 evaluations", one_number,
    ),
    Claim(
        PAPER, "numeric-three", "The same with three parameters, each monotone.",
        "no number; our bar: at least 24 of 30 within 30 evaluations", three_numbers,
    ),
    Claim(
        PAPER, "subgraphs", "A parameter's minimal subgraph holds the ways from it to the output, and their inputs.",
        "Algorithm 2", minimal_subgraphs,
    ),
    Claim(
        PAPER, "backward-cost", "A backward pass is cheap: the paper's bound is O(W N² log N), here it is linear.",
        "Theorem 1: O(W N² log N) time", linear_backward,
        reference="trace-opt 0.1.3.8: 2.7, 22.7, 280 ms on chains of 100, 400, 1600",
    ),
    Claim(
        PAPER, "exceptions", "Exceptions are feedback like any other, so a workflow that fails can be optimized.",
        "no number", feedback_from_exceptions,
    ),
    Claim(
        PAPER, "one-call", "OptoPrime asks the model once a step, TextGrad once for each edge, merge and parameter.",
        "1 against edges + reductions + parameters", calls_of_a_step,
    ),
    Claim(
        PAPER, "textgrad-time", "At equal success OptoPrime takes about a third of TextGrad's time.",
        "about 3 times faster, GPT-4o", **_where_a_model_is(textgrad_with_a_model),
    ),
    Claim(
        PAPER, "traffic", "On traffic lights OptoPrime is soon on a par with SCATS, OPRO is not; memory is crucial.",
        "curves", **_where_a_model_is(traffic_with_a_model),
    ),
    Claim(
        PAPER, "battleship", "A policy for Battleship is written whose reward rises to about 60 %.",
        "about 60 %", **_where_a_model_is(battleship_with_a_model),
    ),
    Claim(
        PAPER, "embedded-model", "A model must be strong: the embedded one does not even bisect, interval search does.",
        "not studied", **_where_embedded(embedded_guesses),
        reference="a prototype, 12 targets, 10 guesses: model 0, with the interval told 5, bisection 12",
    ),
    Claim(
        PAPER, "big-bench-hard", "Tuning prompt template, prompt builder and answer extractor beats DSPy on 23 tasks.",
        "59.5 against 55.3 (DSPy + COPRO) and 41.6 (DSPy); with chain of thought 78.6 against 71.6",
        untestable="needs BIG-Bench Hard, DSPy and GPT-4: thousands of calls of a strong model",
    ),
    Claim(
        PAPER, "robot", "On Meta-World's Reach, Pick-place and Push OptoPrime with memory is best.",
        "curves over 30 iterations, 10 seeds",
        untestable="needs the Meta-World simulator and a strong language model at an endpoint",
    ),
    Claim(
        PAPER, "message-length", "In the worst case no message of fixed size tells a direction of improvement.",
        "Theorem 2: Ω(N)", untestable="a lower bound over all messages is a theorem; no run can show it",
    ),
)  # fmt: skip
