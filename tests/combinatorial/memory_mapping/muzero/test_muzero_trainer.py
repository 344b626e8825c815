"""The trainer: incumbents, checkpoints, several games."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from tests.running import cut_and_resumed

from optimand.combinatorial.memory_mapping import Game, Hardware, tiny_program
from optimand.combinatorial.memory_mapping.game.validation import validate
from optimand.combinatorial.memory_mapping.muzero import Trainer, mcts, muzero
from optimand.combinatorial.memory_mapping.muzero.solvers import SOLVERS
from optimand.combinatorial.memory_mapping.problems import tiny_memory
from optimand.combinatorial.memory_mapping.programs.library import hardware_of, recorded
from optimand.core.contracts import Method
from optimand.core.validation import OptimandError

SMALL = {"simulations": 6, "lanes": 3, "batch": 16, "updates": 2, "warmup": 5, "demo_repeats": 2, "hidden": (16,)}
KINDS = {
    "network": {"model": "exact", "root": "puct", "blend": 0.5},
    "learned": {"model": "learned"},
    "playouts": {"model": "none", "guide": "adaptive"},
}


def tiny(capacity: int = 12, limit: int | None = None) -> Game:
    return Game(tiny_program(), Hardware(capacity, 1.0, 10.0, 1.0), limit=limit)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_resumed_trainer_goes_on_as_if_it_had_not_stopped(kind):
    settings = {**SMALL, **KINDS[kind]}
    whole = Trainer(tiny(), 3, **settings)
    reports = [whole.round() for _ in range(4)]
    first = Trainer(tiny(), 3, **settings)
    for _ in range(2):
        first.round()
    state = pickle.loads(pickle.dumps(first.state_dict()))
    game = tiny()
    resumed = Trainer(game, 0, **settings)
    resumed.load_state_dict(state)
    assert game.best[0] == first.best[0].time
    after = [resumed.round() for _ in range(2)]
    assert [repr(r) for r in after] == [repr(r) for r in reports[2:]]
    assert resumed.best[0].times == whole.best[0].times
    if whole.learner:
        theirs = resumed.learner.net.state_dict()
        assert all((value == theirs[name]).all() for name, value in whole.learner.net.state_dict().items())


def test_a_state_of_other_settings_is_refused():
    state = Trainer(tiny(), 0, **SMALL).state_dict()
    with pytest.raises(OptimandError, match="other settings: simulations"):
        Trainer(tiny(), 0, **{**SMALL, "simulations": 7}).load_state_dict(state)


def test_incumbents_tell_who_found_what():
    game = tiny(16)
    trainer = Trainer(game, 0, **SMALL, local_share=1.0)
    for _ in range(3):
        trainer.round()
    best = trainer.best[0]
    assert best.times["demonstrations"] == pytest.approx(50 - 36.6)  # the XLA-like string
    assert game.best[0] == best.time == min(best.times.values())
    for source, actions in best.actions.items():
        assert game.offer(actions) == pytest.approx(best.times[source])
        validate(game.program, game.hardware, game.layout(actions))


def test_local_search_and_demonstrations_can_be_left_out():
    trainer = Trainer(tiny(), 0, **SMALL, demonstrations=False, local_share=0.0)
    trainer.round()
    assert set(trainer.best[0].actions) == {"agent"}


def test_several_games_share_a_network():
    games = [tiny(6), Game(tiny_program(), Hardware(16, 2.0, 10.0, 1.0))]
    trainer = Trainer(games, 0, **{**SMALL, "position": False, "lanes": 4})
    report = trainer.round()
    assert len(report.times) == 2
    assert all(game.best is not None for game in games)
    returns = trainer.evaluate()
    assert len(returns) == 2
    assert trainer.evaluate() == returns
    other = tiny(8)
    (value,) = trainer.evaluate(other)
    assert 50 * (1 - value) == pytest.approx(other.best[0])


def test_an_evaluation_changes_nothing_of_the_training():
    looked, plain = (Trainer(tiny(), 0, **SMALL, root="puct", local_share=0.0) for _ in range(2))
    looked.evaluate(tiny(8))
    for _ in range(2):
        assert repr(looked.round()) == repr(plain.round())
        looked.evaluate(tiny(8))


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    reports = []
    for seed in (0, 0, 1):
        trainer = Trainer(tiny(), seed, **SMALL, demonstrations=False)
        reports.append([repr(trainer.round()) for _ in range(2)])
    assert reports[0] == reports[1] != reports[2]


def test_a_closed_solver_makes_no_further_units():
    solver = muzero(tiny(), np.random.default_rng(0), **SMALL)
    next(solver)
    solver.close()
    assert list(solver) == []


@pytest.mark.parametrize("method", sorted(SOLVERS))
def test_units_of_a_solver_are_searches_of_a_decision_and_not_episodes(method):
    game = Game(recorded("mlp"), hardware_of("mlp"))
    settings = {**SMALL, "lanes": 2, "updates": 1, "local_share": 0.0}
    solver = SOLVERS[method](game, np.random.default_rng(0), **settings)
    next(solver)  # demonstrations
    moves = []
    while solver.trainer.turn == 0:
        before = game.moves
        next(solver)
        moves.append(game.moves - before)
    longest = game.program.references  # forced moves are played through, and a playout is an episode at most
    most = {"mcts": 2 * (SMALL["simulations"] + 2) * longest, "muzero": 2 * longest, "muzero-learned": 2 * longest}
    assert 0 < max(moves) <= most[method]
    assert len(moves) > 20


BUDGETS = {"mcts": 6000, "muzero": 3000, "muzero-learned": 300}


@pytest.mark.parametrize(
    ("method", "share"), [("mcts", 0.5), ("muzero", 0.01), ("muzero", 0.9), ("muzero-learned", 0.7)]
)
def test_a_run_of_the_family_that_was_cut_off_equals_an_unbroken_one(method, share, tmp_path):
    def build(task):
        return SOLVERS[method](task.game, task.rng, **SMALL)

    made = Method(method, "memory-mapping", build, {}, {})
    _, before, after = cut_and_resumed(tiny_memory(), made, BUDGETS[method], tmp_path / "state", share)
    # The unit during which it was cut off is done again, and no earlier one; after the first there is no checkpoint.
    assert after[0] == before[-1]


def test_a_trainer_goes_on_between_two_demonstrations():
    whole, half = Trainer(tiny(), 1, **SMALL), Trainer(tiny(), 1, **SMALL)
    before = half.games[0].moves
    for done in range(1, 3):
        assert half.step() is None
        assert half.games[0].moves == before + done * 13  # a demonstration is a unit
    assert not half.begun
    other = Trainer(tiny(), 1, **SMALL)
    other.load_state_dict(pickle.loads(pickle.dumps(half.state_dict())))
    assert repr(other.round()) == repr(whole.round())


def test_bad_games_and_settings_are_refused():
    with pytest.raises(TypeError, match="games must be a Game or a sequence"):
        Trainer([])
    with pytest.raises(TypeError, match="'episodes' is no setting"):
        next(mcts(tiny(), np.random.default_rng(0), episodes=3))
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        Trainer(tiny(), -1)
