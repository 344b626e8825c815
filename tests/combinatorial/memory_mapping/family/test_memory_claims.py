"""The claims' rules can hold and fail, and count what they say they count."""

import pytest

from optimand.combinatorial.memory_mapping import Hardware, tiny_program
from optimand.core.validation import OptimandError
from optimand.papers.malloc_muzero.agents import found_by_the_agent
from optimand.papers.malloc_muzero.claims import (
    METHODS,
    PROBLEMS,
    SMALL,
    better_than_search_without_learning,
    exact_small_optima,
    faster_than_the_default_solver,
    packing_heuristic,
)


class Table:
    """Outcomes of a study: the same value of a method on every problem, but for some."""

    def __init__(self, values, **agent):
        self.values, self.agent = values, agent

    def mean(self, problem, method):
        return self.agent.get(f"p{PROBLEMS.index(problem)}", self.values[method]) if "muzero" in method else (
            self.values[method]
        )  # fmt: skip


def test_the_small_study_has_what_the_rules_ask_for():
    assert SMALL.problems == PROBLEMS
    assert set(SMALL.methods) <= set(METHODS)


def test_a_method_that_is_slower_once_is_not_faster_than_the_default_solver():
    values = {"xla-like": 1.0, "memory-evolution": 1.2, "malloc-muzero": 1.1}
    assert faster_than_the_default_solver(Table(values)).holds
    assert not faster_than_the_default_solver(Table(values, p3=0.9)).holds
    assert not faster_than_the_default_solver(Table({**values, "malloc-muzero": 1.0})).holds
    found = better_than_search_without_learning(Table(values))
    assert (found.holds, found.value.split(";")[0]) == (False, "faster on 0 of 8 programs, slower on 8")
    assert better_than_search_without_learning(Table({**values, "malloc-muzero": 1.3})).holds


def test_the_agents_own_search_finds_the_optimum_of_the_tiny_program():
    best = found_by_the_agent("muzero", tiny_program(), Hardware.preset("tiny", capacity=12), moves=6000)
    assert best == pytest.approx(50 - 28.4)


def test_the_optima_are_enumerated_and_the_packing_asks_for_its_files(monkeypatch, tmp_path):
    assert exact_small_optima().holds
    monkeypatch.setenv("OPTIMAND_DATA", str(tmp_path))
    with pytest.raises(OptimandError, match=r"\$OPTIMAND_DATA/malloc-muzero"):
        packing_heuristic()
