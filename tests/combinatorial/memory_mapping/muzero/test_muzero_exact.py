"""Search with the exact game: optimum on the tiny program, both ways of evaluation, moves that are counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optimand.combinatorial.memory_mapping import Game, Hardware, MovesSpent, tiny_program
from optimand.combinatorial.memory_mapping.game import arrays as k
from optimand.combinatorial.memory_mapping.game.validation import validate
from optimand.combinatorial.memory_mapping.muzero import PolicyValueNet, Trainer, features
from optimand.combinatorial.memory_mapping.muzero.search.board import begin, decide, make_board, saved
from optimand.combinatorial.memory_mapping.muzero.search.exact import ExactSearch
from optimand.combinatorial.memory_mapping.muzero.search.trees import make_rule
from optimand.combinatorial.memory_mapping.muzero.solvers import SOLVERS
from optimand.combinatorial.memory_mapping.programs.library import RECORDED, hardware_of, recorded

OPTIMA = {0: 0.0, 4: 14.4, 6: 17.6, 8: 25.2, 12: 28.4, 16: 36.6, 100: 36.6}
PLAIN = {
    "model": "none", "guide": "uniform", "simulations": 50, "lanes": 1, "demonstrations": False, "local_share": 0.0,
}  # fmt: skip


def tiny(capacity: int, limit: int | None = None) -> Game:
    return Game(tiny_program(), Hardware(capacity, 1.0, 10.0, 1.0), limit=limit)


@pytest.mark.parametrize("capacity", sorted(OPTIMA))
def test_untrained_search_with_playouts_finds_the_optimum_from_every_seed(capacity):
    found = []
    for seed in range(4):
        trainer = Trainer(tiny(capacity), seed, root="puct", final_temperature=1.0, **PLAIN)
        for _ in range(20):
            trainer.round()
        found.append(50 - trainer.best[0].times["agent"])
    assert found == pytest.approx([OPTIMA[capacity]] * 4)


def test_gumbel_roots_find_the_optimum_too():
    for capacity, best in OPTIMA.items():
        game = tiny(capacity)
        trainer = Trainer(game, 0, root="gumbel", **PLAIN)
        for _ in range(20):
            trainer.round()
        assert 50 - game.best[0] == pytest.approx(best)


def leaves_of_value_0(capacity: int, seed: int) -> float:
    """The best return of 20 episodes where leaves count as 0, the actions drawn at temperature 0.25."""
    game = tiny(capacity)
    board = make_board([(game.P, game.Q)], position=False)
    search = ExactSearch(make_rule("puct", 50), 50, blend=0.0)
    rng = np.random.default_rng(seed)
    best = np.inf
    for _ in range(20):
        ints, floats = board.start_ints[:1].copy(), board.start_floats[:1].copy()
        while ints[0, k.POSITION] < board.p[0, k.R]:
            noise = rng.dirichlet((0.3, 0.3), 1)
            outcome = search.run(
                board, np.zeros(1, np.int64), ints, floats, None, np.zeros(1, np.uint64), noise=noise, share=0.25
            )
            odds = outcome.policies[0] ** 4
            decide(board.p[0], board.q[0], ints[0], floats[0], int(rng.random() < odds[1] / odds.sum()), board.moves)
        best = min(best, floats[0, k.TIME], board.best_time[0])
    return 50 - best


def test_leaves_that_count_as_0_miss_the_optimum_because_kept_outputs_pay_first():
    assert sum(leaves_of_value_0(6, seed) == pytest.approx(OPTIMA[6]) for seed in range(5)) <= 1


def states(board, count: int, rng: np.random.Generator):
    """States after a few random decisions."""
    ints = np.zeros((count, board.start_ints.shape[1]), np.int64)
    floats = np.zeros((count, board.start_floats.shape[1]))
    for r in range(count):
        begin(board, 0, ints[r], floats[r])
        for _ in range(r):
            decide(board.p[0], board.q[0], ints[r], floats[r], int(rng.integers(2)), board.moves)
    return ints, floats


def test_a_root_does_not_depend_on_what_is_searched_beside_it():
    game = Game(recorded("mlp"), hardware_of("mlp"))
    board = make_board([(game.P, game.Q)], position=True)
    ints, floats = states(board, 3, np.random.default_rng(0))
    search = ExactSearch(make_rule("gumbel", 8), 8, blend=1.0)
    together = search.run(board, np.zeros(3, np.int64), ints, floats, None, np.arange(3, dtype=np.uint64))
    alone = search.run(board, np.zeros(1, np.int64), ints[2:], floats[2:], None, np.array([2], np.uint64))
    assert together.policies[2].tolist() == alone.policies[0].tolist()
    assert together.values[2] == alone.values[0]


def test_leaves_are_what_the_network_says_of_the_program_at_hand():
    games = [tiny(12), Game(recorded("mlp"), hardware_of("mlp"))]
    board = make_board([(game.P, game.Q) for game in games], position=True)
    net = PolicyValueNet(features.feature_count(True), (16,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.trunk[-1].weight.normal_(generator=torch.Generator().manual_seed(1))
    which = np.array([1, 0])
    ints, floats = board.start_ints[which].copy(), board.start_floats[which].copy()
    found = ExactSearch(make_rule("puct", 1), 1).run(board, which, ints, floats, net.pack(), np.zeros(2, np.uint64))

    def say(r, g):
        x = np.zeros(features.feature_count(True), np.float32)
        features.write_features(board.p[g], board.q[g], ints[r], floats[r], board.table[g], board.later[g], x)
        logits, value = net(torch.from_numpy(x).unsqueeze(0))
        return logits[0].detach().numpy(), value.item()

    for r, g in enumerate(which):
        logits, first = say(r, g)
        before = saved(board.q[g], floats[r])
        decide(board.p[g], board.q[g], ints[r], floats[r], int(logits.argmax()), board.moves[g : g + 1])
        below = saved(board.q[g], floats[r]) - before + say(r, g)[1]
        assert found.policies[r].argmax() == logits.argmax()
        assert found.values[r] == pytest.approx((first + below) / 2, abs=1e-5)


@pytest.mark.parametrize("method", sorted(SOLVERS))
@pytest.mark.parametrize("limit", [1, 700])  # in the first demonstration, and after the last
def test_solvers_keep_to_the_limit_of_moves(method, limit):
    game = tiny(12, limit=limit)
    with pytest.raises(MovesSpent):
        for _ in SOLVERS[method](game, np.random.default_rng(0), lanes=2, batch=8, updates=1, warmup=2, simulations=8):
            pass
    assert game.moves == limit
    if limit > 100:
        assert game.best is not None


@pytest.mark.parametrize("method", sorted(SOLVERS))
def test_a_game_without_decisions_ends(method):
    game = tiny(0)
    # A unit for each demonstration (four, and two noisy ones), one for the only trajectory that there is.
    units = list(SOLVERS[method](game, np.random.default_rng(0), batch=4, updates=1, warmup=1, demo_repeats=1))
    assert len(units) == 7
    assert game.best[0] == 50


@pytest.mark.parametrize("name", sorted(set(RECORDED) - {"tiny", "transformer"}))
def test_layouts_are_valid_on_recorded_programs(name):
    game = Game(recorded(name), hardware_of(name))
    solver = SOLVERS["mcts"](game, np.random.default_rng(0), lanes=1, simulations=4, demonstrations=False)
    for _ in range(3):
        next(solver)
    validate(game.program, game.hardware, game.layout())
    assert game.best[0] < game.all_slow_time
