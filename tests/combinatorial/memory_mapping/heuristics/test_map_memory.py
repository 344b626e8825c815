"""map_memory and the portfolio."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optimand.combinatorial.memory_mapping import Hardware, brute_force, tiny_program, validate
from optimand.combinatorial.memory_mapping.heuristics.portfolio import BASELINES
from optimand.combinatorial.memory_mapping.mapping import map_memory
from optimand.combinatorial.memory_mapping.programs import hardware_of, recorded

TINY = Hardware.preset("tiny", capacity=6)


@pytest.mark.parametrize("name", ["transformer", "attention", "jax-mlp-training"])
def test_the_portfolio_is_below_no_baseline(name):
    program, hardware = recorded(name), hardware_of(name)
    found = map_memory(program, hardware, budget=800 * program.references, seed=5)
    for method, options in BASELINES.items():
        assert found.fun <= map_memory(program, hardware, method, seed=5, **options).fun, method


def test_a_result_says_what_it_is_worth():
    found = map_memory(tiny_program(), TINY, "evolution", budget=10_000, bound_seconds=5.0)
    assert validate(tiny_program(), TINY, found.x).time == pytest.approx(found.fun)
    assert found.fun == pytest.approx(brute_force(tiny_program(), TINY).time)
    assert found.speedup == pytest.approx(50 / found.fun)
    assert found.gap == pytest.approx(0, abs=1e-7)
    assert found.moves == 10_000
    assert found.message == "the budget of 10000 moves is spent"
    assert found.success


def test_without_a_complete_episode_everything_is_slow():
    found = map_memory(tiny_program(), TINY, "greedy", budget=5)
    assert (found.fun, found.speedup, found.actions.any()) == (50.0, 1.0, False)
    assert "no episode was completed" in found.message


def test_a_limit_of_seconds_ends_an_endless_method():
    found = map_memory(tiny_program(), TINY, "random", seconds=0.05)
    assert found.message == "the limit of 0.05 seconds is reached"


def test_cp_sat_is_told_the_limit_of_seconds(monkeypatch):
    from optimand.combinatorial.memory_mapping.heuristics import cp_sat

    asked = []

    def relax(program, hardware, **options):
        asked.append((options["seconds"], options["effort"]))
        return cp_sat.Relaxed(0.0, math.inf, None, False, (np.ones(13, bool),))

    monkeypatch.setattr(cp_sat, "relax", relax)
    # What it found is played even where the solver took all the time.
    assert map_memory(tiny_program(), TINY, "cp-sat", seconds=0.5, repair=0).fun == pytest.approx(35.6)
    assert map_memory(tiny_program(), TINY, "cp-sat", seconds=1e-9).fun == pytest.approx(35.6)
    map_memory(tiny_program(), TINY, "cp-sat", seconds=0.5, effort=2.0)
    assert asked == [(0.5, None), (1e-9, None), (30.0, 2.0)]


def test_cp_sat_is_below_no_heuristic_and_says_how_the_relaxation_ended(monkeypatch):
    from optimand.combinatorial.memory_mapping.heuristics import cp_sat

    found = map_memory(tiny_program(), TINY, "cp-sat")
    assert "the relaxation was solved to its optimum" in found.message
    program, hardware = recorded("transformer"), hardware_of("transformer", 2**20)
    for optimal, fast, said in ((False, np.ones(140, bool), "not to a proven optimum"), (False, None, "not solved")):
        answer = cp_sat.Relaxed(0.0, math.inf, fast, optimal, () if fast is None else (np.zeros(140, bool), fast))
        monkeypatch.setattr(cp_sat, "relax", lambda *given, _answer=answer, **options: _answer)
        found = map_memory(program, hardware, "cp-sat")
        assert said in found.message
        assert found.speedup > 1.28  # the XLA-like heuristic alone: 1.273, greedy alone: 1.252
        again = map_memory(program, hardware, "cp-sat")
        assert (again.fun, again.actions.tolist()) == (found.fun, found.actions.tolist())


def test_a_bound_says_what_it_is():
    assert map_memory(tiny_program(), TINY, "greedy").bound_kind == "without capacity"
    assert map_memory(tiny_program(), TINY, "greedy", bound_seconds=1.0).bound_kind == "cp-sat"


def test_a_beam_without_enough_moves_says_how_many_it_takes():
    program, hardware = recorded("transformer"), hardware_of("transformer")
    found = map_memory(program, hardware, "beam", width=8, budget=500)
    assert found.message.endswith("a beam search of width 8 takes up to 2240 moves")
    assert map_memory(program, hardware, "beam", width=8, budget=2240).speedup > 1


def test_a_beam_ends_before_it_takes_all_memory(monkeypatch):
    from optimand.combinatorial.memory_mapping.heuristics import beam

    monkeypatch.setattr(beam, "_ROOM", 2**22)
    program, hardware = recorded("transformer"), hardware_of("transformer")
    found = map_memory(program, hardware, "beam", width=16, seconds=60)
    assert found.message == "the method has nothing more to try"


def test_an_agent_can_share_the_moves_of_the_portfolio():
    seen = []

    def agent(game, rng):
        try:
            while True:
                seen.append(game.moves)
                game.play(rng.random(game.program.references) < 0.7)
                yield
        finally:
            seen.append("closed")

    found = map_memory(tiny_program(), TINY, agent=agent, budget=200_000)
    assert len(seen) > 100
    assert seen[-1] == "closed"
    assert found.moves == 200_000
    seen.clear()
    assert map_memory(tiny_program(), TINY, agent=agent, seconds=0.3).success
    assert seen[-1] == "closed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"method": "muzer"}, "did you mean 'muzero'"),
        ({"budget": 0}, "budget must be at least 1"),
        ({"seconds": 0}, "seconds must be in"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"agent": "someone"}, "agent must be one of"),
    ],
)
def test_unfit_arguments_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        map_memory(tiny_program(), TINY, **arguments)


def test_arguments_that_a_method_does_not_have_are_refused():
    with pytest.raises(TypeError, match="method 'greedy' has no option 'width'; it has no options"):
        map_memory(tiny_program(), TINY, "greedy", width=3)
    with pytest.raises(TypeError, match="its options are width, most; did you mean 'width'"):
        map_memory(tiny_program(), TINY, "beam", widht=3)
    with pytest.raises(TypeError, match=r"has no option 'simulatoins'.* did you mean 'simulations'"):
        map_memory(tiny_program(), TINY, "mcts", simulatoins=3)
    with pytest.raises(TypeError, match="program must be a MemoryProgram"):
        map_memory("tiny", TINY)
