"""The solvers without learning: published values, budgets, validity, determinism."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from optimand.combinatorial.memory_mapping import (
    Buffer,
    Game,
    Hardware,
    Instruction,
    MemoryProgram,
    MovesSpent,
    brute_force,
    tiny_program,
    validate,
)
from optimand.combinatorial.memory_mapping.heuristics import (
    SOLVERS,
    buffer_priorities,
    get_solver,
    xla_mapping,
)
from optimand.combinatorial.memory_mapping.heuristics.cp_sat import relax
from optimand.combinatorial.memory_mapping.programs import hardware_of, recorded
from optimand.core.validation import OptimandError

MIB = 2**20
CAPACITIES = (0, 4, 6, 8, 12, 16, 100)
OPTIMA = (0, 14.4, 17.6, 25.2, 28.4, 36.6, 36.6)


def played(name: str, game: Game, steps: int | None = None, **hyper: object) -> Game:
    for _ in itertools.islice(get_solver(name)(game, 0, **hyper), steps):
        pass
    return game


def tiny(capacity: int, limit: int | None = None) -> Game:
    return Game(tiny_program(), Hardware.preset("tiny", capacity=capacity), limit=limit)


def large(capacity: int, limit: int | None = None) -> Game:
    return Game(recorded("transformer"), hardware_of("transformer", capacity * MIB), limit=limit)


def returns(name: str, **hyper: object) -> list[float]:
    found = []
    for capacity in CAPACITIES:
        game = played(name, tiny(capacity), **hyper)
        assert game.best is not None
        found.append(round(game.all_slow_time - game.best[0], 9))
    return found


def speedups(name: str, **hyper: object) -> list[float]:
    found = []
    for capacity in (1, 2, 4, 8):
        game = played(name, large(capacity), **hyper)
        assert game.best is not None
        found.append(round(game.all_slow_time / game.best[0], 3))
    return found


def random_program(seed: int, count: int = 5) -> MemoryProgram:
    rng = np.random.default_rng(seed)
    buffers = [Buffer(int(rng.integers(1, 7)), param=True) for _ in range(2)]
    instructions = []
    for _ in range(count):
        inputs = rng.choice(len(buffers), size=min(len(buffers), int(rng.integers(1, 3))), replace=False)
        instructions.append(Instruction(float(rng.integers(0, 5)), (len(buffers),), tuple(map(int, inputs))))
        buffers.append(Buffer(int(rng.integers(1, 7)), live_out=bool(rng.random() < 0.2)))
    return MemoryProgram(tuple(instructions), tuple(buffers))


# --- published values -----------------------------------------------------------------------------


def test_the_tiny_program_has_the_published_columns():
    assert returns("xla") == [0, 10.8, 14.4, 25.2, 25.2, 36.6, 36.6]
    assert returns("greedy") == [0, 10.6, 14.2, 25.0, 27.2, 36.4, 36.4]


def test_the_transformer_has_the_published_greedy_column():
    assert speedups("greedy") == [1.252, 1.525, 3.296, 5.694]


def test_the_transformer_has_the_xla_like_column_of_these_rules():
    # At 1 MiB the order among buffers of equal priority decides; by number it is this.
    assert speedups("xla") == [1.273, 1.811, 4.432, 5.714]


def test_beam_search_has_the_published_values_in_seconds():
    assert speedups("beam", most=128) == [1.23, 1.582, 2.201, 1.525]


def test_a_replayed_xla_like_mapping_has_exactly_its_time():
    for capacity in (1, 2, 4, 8):
        game = large(capacity)
        bits, seconds = xla_mapping(game.program, game.hardware)
        assert game.play(bits) == pytest.approx(seconds, rel=1e-12)


# --- searches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["beam", "evolution"])
def test_searches_find_the_optima_of_the_tiny_program(name):
    options = {"evaluations": 3000} if name == "evolution" else {}
    assert returns(name, **options) == [pytest.approx(x) for x in OPTIMA]


def test_a_beam_that_cuts_nothing_enumerates_and_ends():
    for seed in range(4):
        program, hardware = random_program(seed, 3), Hardware(9, 1.0, 10.0, 1.0)
        game = played("beam", Game(program, hardware))
        assert game.best is not None
        assert game.best[0] == pytest.approx(brute_force(program, hardware).time)


def test_evolution_beats_the_xla_like_heuristic_where_there_is_room():
    for capacity, factor in ((1, 1.02), (2, 1.05)):
        game = large(capacity)
        xla = game.play(xla_mapping(game.program, game.hardware)[0])
        played("evolution", game, evaluations=6000)
        assert game.best is not None
        assert xla / game.best[0] >= factor


def test_evolution_is_never_worse_than_its_starts():
    game = played("evolution", large(2), evaluations=2)
    xla, greedy = (played(name, large(2)).best for name in ("xla", "greedy"))
    assert game.best is not None
    assert xla is not None
    assert greedy is not None
    assert game.best[0] == min(xla[0], greedy[0])


@pytest.mark.parametrize("name", ["evolution", "noisy-greedy", "random"])
def test_the_first_units_of_work_are_single_episodes(name):
    game = large(2)
    solver = get_solver(name)(game, 0)
    spent = []
    for _ in range(4):
        next(solver)
        spent.append(game.moves)
    assert spent[0] == game.program.references
    assert spent[1] <= 20 * game.program.references
    assert spent[3] <= 60 * game.program.references


@pytest.mark.parametrize("name", sorted(set(SOLVERS) - {"cp-sat"}))
def test_solvers_respect_a_budget_and_keep_valid_layouts(name):
    program = recorded("attention")
    limit = 20 * program.references + 7
    game = Game(program, hardware_of("attention"), limit=limit)
    try:
        played(name, game, 10**4)
    except MovesSpent:
        assert game.moves == limit
    assert game.moves <= limit
    if game.best is not None:
        validate(program, game.hardware, game.layout())


@pytest.mark.parametrize("name", ["random", "noisy-greedy", "evolution", "portfolio"])
def test_a_seed_determines_what_is_found(name):
    found = []
    for _ in range(2):
        game = large(2, limit=20_000)
        with pytest.raises(MovesSpent):
            played(name, game)
        assert game.best is not None
        found.append((game.best[0], game.best[1].tolist()))
    assert found[0] == found[1]


def test_residency_baselines_play_whole_lifetimes_or_nothing():
    game = large(2)
    for name in ("first-fit", "best-fit"):
        played(name, game)
    program = game.program
    assert game.best is not None
    for b, buffer in enumerate(program.buffers):
        chosen = game.best[1][program.ref_buffer == b]
        assert not chosen.any() if buffer.param else chosen.all() or not chosen.any()


# --- CP-SAT ---------------------------------------------------------------------------------------


def test_the_relaxation_is_exact_on_the_tiny_program():
    for capacity, optimum in zip(CAPACITIES, OPTIMA, strict=True):
        game = tiny(capacity)
        found = relax(game.program, game.hardware)
        assert found.optimal
        assert found.bound == pytest.approx(50 - optimum, rel=1e-8)
        played("cp-sat", game)
        assert game.best is not None
        assert game.best[0] == pytest.approx(brute_force(game.program, game.hardware).time, rel=1e-12)


def test_the_relaxation_never_exceeds_the_optimum():
    for seed in range(25):
        program = random_program(seed)
        for capacity in (3, 7, 12):
            hardware = Hardware(capacity, 1.0, 10.0, 1.0 + seed % 2)
            optimum = brute_force(program, hardware).time
            bound = relax(program, hardware).bound
            assert bound <= optimum * (1 + 1e-9)
            assert bound >= Game(program, hardware).least_time * (1 - 1e-9)


def test_the_relaxation_counts_an_alias_group_once():
    buffers = (Buffer(4), Buffer(2), Buffer(4), Buffer(1))
    steps = (Instruction(0, (0,)), Instruction(0, (1,), (0,)), Instruction(0, (2,), (1,)), Instruction(0, (3,), (0, 2)))
    program = MemoryProgram(steps, buffers, ((0, 2),))
    for capacity in (4, 6, 8, 11):
        hardware = Hardware(capacity, 1.0, 10.0, 1.0)
        assert relax(program, hardware).bound <= brute_force(program, hardware).time * (1 + 1e-9)


def test_the_relaxation_proves_evolution_optimal_on_the_transformer_at_8_mib():
    game = played("evolution", large(8), evaluations=400)
    assert game.best is not None
    assert game.best[0] == pytest.approx(relax(game.program, game.hardware, seconds=20).bound, rel=1e-6)


# --- priorities and arguments ---------------------------------------------------------------------


def test_priorities_follow_the_formula():
    # i0: 4 in, 4 out, 8 > 2: bound by memory; i1: 4 in, 2 out, 6 < 9: bound by arithmetic
    buffers = (Buffer(4, param=True), Buffer(4), Buffer(2, live_out=True))
    program = MemoryProgram((Instruction(2.0, (1,), (0,)), Instruction(9.0, (2,), (1,))), buffers)
    hardware = Hardware(8, 1.0, 10.0, 1.0)
    expected = [4 - 0.4, 4 - 0.4, 6 - 9]
    np.testing.assert_allclose(buffer_priorities(program, hardware), np.array(expected) / np.sqrt([4, 4, 2]))


@pytest.mark.parametrize(
    ("name", "hyper", "said"),
    [
        ("beam", {"width": 0}, "width must be at least 1"),
        ("noisy-greedy", {"noise": 2}, "noise must be in"),
        ("evolution", {"buffer_probability": -1}, "buffer_probability"),
        ("evolution", {"starts": ("zeros",)}, "starts must be one of"),
        ("cp-sat", {"seconds": 0}, "seconds"),
        ("cp-sat", {"effort": -1}, "effort"),
        ("cp-sat", {"repair": -1}, "repair"),
    ],
)
def test_numbers_out_of_range_are_refused(name, hyper, said):
    with pytest.raises(ValueError, match=said):
        played(name, tiny(6), 1, **hyper)


def test_other_unfit_arguments_are_refused():
    with pytest.raises(ValueError, match="did you mean 'evolution'"):
        get_solver("evolutoin")
    with pytest.raises(OptimandError, match="must not be empty"):
        played("evolution", tiny(6), 1, starts=())
