"""The rules of the mallocGame on small programs that can be worked out by hand, and the tiny one by enumeration."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from optimand.combinatorial.memory_mapping import (
    COPY,
    DROP,
    NOCOPY,
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
from optimand.core.validation import OptimandError

# Capacity: best return, trajectories, return of the greedy policy.
TINY = {
    0: (0.0, 1, 0.0), 4: (14.4, 34, 10.6), 6: (17.6, 114, 14.2), 8: (25.2, 252, 25.0),
    12: (28.4, 677, 27.2), 16: (36.6, 1220, 36.4), 100: (36.6, 1296, 36.4),
}  # fmt: skip


def unit(capacity):
    return Hardware(capacity, 1.0, 10.0, 1.0)


def string(text):
    return ["DNC".index(letter) for letter in text]


def play(game, text):
    game.reset()
    return [game.step(action) for action in string(text)]


@pytest.mark.parametrize("capacity", TINY)
def test_tiny_program_has_the_known_optimum_trajectories_and_greedy_return(capacity):
    best, leaves, greedy = TINY[capacity]
    hardware = unit(capacity)
    found = brute_force(tiny_program(), hardware)
    assert found.time == pytest.approx(50 - best, abs=1e-9)
    assert found.leaves == leaves
    game = Game(tiny_program(), hardware)
    assert game.all_slow_time == 50.0
    assert game.play(np.ones(13)) == pytest.approx(50 - greedy, abs=1e-9)
    assert game.offer(found.actions) == found.time
    assert validate(tiny_program(), hardware, game.layout()).time == pytest.approx(found.time, rel=1e-12)


def test_tiny_program_at_six_bytes_has_the_known_optimal_string():
    game = Game(tiny_program(), unit(6))
    assert sum(play(game, "DDNDDNNNDNDND")) == pytest.approx(17.6, abs=1e-9)
    assert game.best[1].tolist() == string("DDNDDNNNDNDND")


def test_the_optimum_does_not_fall_with_the_capacity():
    times = [brute_force(tiny_program(), unit(c)).time for c in range(20)]
    assert all(after <= before + 1e-12 for before, after in pairwise(times))
    assert times[-1] >= Game(tiny_program(), unit(20)).least_time


def test_without_capacity_only_drop_is_legal():
    game = Game(tiny_program(), unit(0))
    while not game.done:
        assert game.legal().tolist() == [True, False, False]
        assert game.step(DROP) == 0.0
    assert game.legal().tolist() == [False, False, False]
    assert game.time == game.all_slow_time


def chain(*sizes, live=(), compute=0.0):
    """Buffer j is defined by instruction j and read by instruction j + 1."""
    n = len(sizes)
    instructions = [Instruction(compute, (j,), (j - 1,) if j else ()) for j in range(n)]
    return MemoryProgram(
        (*instructions, Instruction(compute, (), (n - 1,))),
        tuple(Buffer(size, live_out=j in live) for j, size in enumerate(sizes)),
    )


def test_an_output_costs_its_slow_write_until_all_readers_find_it_fast():
    buffers = (Buffer(10),)
    program = MemoryProgram((Instruction(0, (0,)), Instruction(0, (), (0,)), Instruction(0, (), (0,))), buffers)
    game = Game(program, unit(10))
    # Written to both memories at first; the second reader makes the slow write superfluous.
    assert play(game, "NNN") == pytest.approx([-1.0, 9.0, 9.0 + 10.0])
    assert play(game, "NND") == pytest.approx([-1.0, 9.0, 0.0])
    assert play(game, "NDD") == pytest.approx([-1.0, 0.0, 0.0])
    # A later copy reads slow memory, so the write stays.
    program = MemoryProgram((*program.instructions[:2], Instruction(50, (), ()), *program.instructions[2:]), buffers)
    assert play(Game(program, unit(10)), "NDC") == pytest.approx([-1.0, 0.0, 9.0])


def test_a_live_output_always_costs_its_slow_write_and_one_that_nobody_reads_none():
    read = MemoryProgram((Instruction(0, (0,)), Instruction(0, (), (0,))), (Buffer(10, live_out=True),))
    assert play(Game(read, unit(10)), "NN") == pytest.approx([-1.0, 9.0])
    unread = MemoryProgram((Instruction(0, (0,)),), (Buffer(10),))
    assert play(Game(unread, unit(10)), "N") == pytest.approx([9.0])


def test_a_reward_is_limited_by_the_arithmetic():
    program = MemoryProgram((Instruction(8, (0,)),), (Buffer(10),))
    assert play(Game(program, unit(10)), "N") == pytest.approx([2.0])


def test_two_buffers_of_one_instruction_cannot_share_an_address():
    game = Game(chain(4, 4, 4), unit(7))
    game.step(NOCOPY)
    assert game.legal().tolist() == [True, False, False]  # the first ends where the second begins
    game = Game(chain(4, 4, 4), unit(8))
    game.play([True] * 6)
    assert [(r.start, r.end, r.offset) for r in game.layout().residencies] == [(0, 1, 0), (1, 2, 4), (2, 3, 0)]


def stays(game):
    return [(r.buffer, r.start, r.end, r.offset) for r in game.residencies]


def test_room_is_reserved_to_the_last_use_and_a_drop_gives_it_back():
    uses = (Instruction(0, (0,)), Instruction(0, (1,), (0,)), Instruction(0, (2,), (0,)), Instruction(0, (), (0, 1, 2)))
    game = Game(MemoryProgram(uses, (Buffer(4), Buffer(4), Buffer(4))), unit(8))
    game.step(NOCOPY)
    assert stays(game) == [(0, 0, 3, 0)]
    game.step(NOCOPY)
    assert stays(game) == [(0, 0, 3, 0), (1, 1, 3, 4)]
    game.step(DROP)  # 0 was last used by 0; its bytes are free from 1 on, and it is only to be had by a copy
    assert stays(game) == [(0, 0, 0, 0), (1, 1, 3, 4)]
    game.step(NOCOPY)
    assert stays(game) == [(0, 0, 0, 0), (1, 1, 3, 4), (2, 2, 3, 0)]
    assert game.legal().tolist() == [True, False, False]
    kept = Game(game.program, unit(8))
    play(kept, "NNN")
    assert kept.position == 3
    assert kept.legal().tolist() == [True, False, False]  # both addresses are reserved to the end


def test_an_output_takes_the_lowest_address_that_is_free_over_its_whole_time():
    sizes = (2, 3, 2, 2, 4)
    uses = [Instruction(0, (b,)) for b in range(4)]
    uses += [Instruction(0, (), (0, 2)), Instruction(0, (4,)), Instruction(0, (), (1, 3)), Instruction(0, (), (4,))]
    game = Game(MemoryProgram(tuple(uses), tuple(Buffer(size) for size in sizes)), unit(100))
    play(game, "NNNNNNN")
    assert stays(game)[-1] == (4, 5, 7, 9)  # [0, 2) and [5, 7) are too small for it
    play(game, "NNNNNDN")
    assert stays(game)[-1][3] == 9  # the buffer at [5, 7) keeps its past: it is cut at 2, which frees [5, 7) alone
    small = Game(MemoryProgram(tuple(uses), tuple(Buffer(size) for size in (2, 3, 2, 2, 2))), unit(100))
    play(small, "NNNNNNN")
    assert stays(small)[-1] == (4, 5, 7, 0)


def copying(computes, size, capacity=100, copy_bw=1.0):
    """A parameter that is read by the last instruction."""
    instructions = [Instruction(c) for c in computes[:-1]] + [Instruction(computes[-1], (), (0,))]
    program = MemoryProgram(tuple(instructions), (Buffer(size, param=True),))
    return Game(program, Hardware(capacity, 1.0, 10.0, copy_bw))


def test_a_copy_is_hidden_behind_the_instructions_before_it_as_late_as_possible():
    game = copying([5, 2, 3, 4, 0], size=8)
    assert game.legal().tolist() == [True, False, True]
    game.step(COPY)
    layout = game.layout()
    assert layout.residencies[0].start == 1
    assert layout.copies[0].seconds == {3: 4.0, 2: 3.0, 1: 1.0}
    assert not copying([5, 2, 3, 4, 0], size=15).legal()[COPY]  # 14 seconds in all
    assert copying([5, 2, 3, 4, 0], size=14).legal()[COPY]
    assert not copying([5, 2, 3, 4, 0], size=14, capacity=13).legal()[COPY]


def test_a_parameter_of_the_first_instruction_is_never_copied_for_it():
    game = copying([5], size=1)
    assert game.legal().tolist() == [True, False, False]


def test_copy_time_is_used_once_and_spent_instructions_are_skipped():
    instructions = (
        Instruction(3), Instruction(2), Instruction(3), Instruction(0, (), (0,)), Instruction(0, (), (1,)),
    )  # fmt: skip
    program = MemoryProgram(instructions, (Buffer(4, param=True), Buffer(4, param=True)))
    game = Game(program, unit(100))
    play(game, "CC")
    first, second = game.layout().copies
    assert first.seconds == {2: 3.0, 1: 1.0}
    assert second.seconds == {3: 4.0}  # behind the reading of the first, which takes 4 seconds in the all-slow state
    narrow = MemoryProgram((*instructions[:3], Instruction(0, (), (0, 1))), program.buffers)
    game = Game(narrow, unit(100))
    play(game, "CC")
    assert game.layout().copies[1].seconds == {1: 1.0, 0: 3.0}
    assert [r.start for r in game.layout().residencies] == [1, 0]
    game = Game(MemoryProgram((Instruction(7), Instruction(0, (), (0, 1))), program.buffers), unit(100))
    game.step(COPY)
    assert not game.legal()[COPY]  # 3 of the 4 seconds are left


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-13, 1e9])
def test_copy_times_are_compared_relative_to_themselves(scale):
    def game(*computes, sizes=(4,)):
        instructions = [*(Instruction(c * scale) for c in computes), Instruction(0, (), tuple(range(len(sizes))))]
        program = MemoryProgram(tuple(instructions), tuple(Buffer(size, param=True) for size in sizes))
        return Game(program, Hardware(100, 1 / scale, 10 / scale, 1 / scale))

    late = game(9, 3)
    late.step(COPY)
    assert stays(late) == [(0, 0, 2, 0)]  # 3 of its 4 seconds are hidden by instruction 1
    assert not game(1, 2.999).legal()[COPY]
    # What is left of an instruction is used, however small a share of it, but not if it is rounding.
    small = game(3.9999, 4.0001, sizes=(4, 4))
    play(small, "CC")
    assert small.layout().copies[1].seconds == pytest.approx({1: 0.0001 * scale, 0: 3.9999 * scale})
    third = game(9, 3 * (1 + 1e-15), sizes=(1, 2, 4))
    play(third, "CCC")
    assert list(third.layout().copies[2].seconds) == [0]


def test_a_buffer_is_not_copied_before_its_previous_use():
    uses = (Instruction(9, (0,)), Instruction(9, (), (0,)), Instruction(9), Instruction(9, (), (0,)))
    game = Game(MemoryProgram(uses, (Buffer(10),)), unit(10))
    game.step(DROP)
    game.step(DROP)
    assert not game.legal()[COPY]
    game = Game(MemoryProgram(uses, (Buffer(9),)), unit(10))
    game.step(DROP)
    assert not game.legal()[COPY]  # nothing lies between the definition and the first use
    game.step(DROP)
    game.step(COPY)
    assert game.layout().residencies[0].start == 2


def test_where_a_reservation_has_ended_copy_is_the_fast_option():
    # X is copied for the instruction that defines Y in its place, so it cannot stay beyond.
    uses = (
        Instruction(0, (0,)), Instruction(9, (), (0,)), Instruction(9), Instruction(0, (1,), (0,)),
        Instruction(0, (), (1,)), Instruction(9), Instruction(0, (), (0,)),
    )  # fmt: skip
    game = Game(MemoryProgram(uses, (Buffer(4), Buffer(4)), ((0, 1),)), unit(4))
    play(game, "NDNCN")
    assert stays(game) == [(0, 0, 0, 0), (1, 3, 4, 0), (0, 2, 3, 0)]
    assert game.legal().tolist() == [True, False, True]
    game.step(COPY)
    assert stays(game)[-1] == (0, 5, 6, 0)
    assert validate(game.program, game.hardware, game.layout()).served_fast == 5


def test_decisions_do_not_depend_on_the_unit_of_time():
    program, texts = tiny_program(), []
    for scale in (1.0, 1e-6, 1e-13, 1e9):
        scaled = MemoryProgram(
            tuple(Instruction(i.compute * scale, i.outputs, i.inputs) for i in program.instructions), program.buffers
        )
        game = Game(scaled, Hardware(12, 1 / scale, 10 / scale, 1 / scale))
        game.play(np.ones(13))
        texts.append(game.best[1].tolist())
        assert game.best[0] / scale == pytest.approx(50 - 27.2, rel=1e-12)
    assert all(text == texts[0] for text in texts)


def test_illegal_actions_name_what_is_legal_and_change_nothing():
    game = Game(tiny_program(), unit(6))
    before = game.snapshot()
    with pytest.raises(ValueError, match=r"one of 0 \(DROP\), 1 \(NOCOPY\) at reference 0 .* got 2"):
        game.step(COPY)
    for action in (-1, 3, 99):
        with pytest.raises(ValueError, match="action must be"):
            game.step(action)
    assert game.moves == 0
    assert np.array_equal(before.ints, game.S)
    assert np.array_equal(before.floats, game.F)
    play(game, "D" * 13)
    with pytest.raises(ValueError, match="the episode is over"):
        game.step(DROP)


def test_the_limit_counts_every_move_of_the_game_and_its_copies():
    game = Game(tiny_program(), unit(6), limit=13 * 4 + 5)
    twin = game.copy()
    game.play(np.ones(13))
    twin.play_random(3, count=2)
    for _ in range(13):
        twin.step(DROP)
    assert game.moves == twin.moves == 52
    assert game.remaining == 5
    assert game.best[0] == twin.best[0]
    with pytest.raises(MovesSpent, match="57 moves"):
        game.play(np.zeros(13))
    assert game.moves == 57
    for spend in (lambda: game.step(DROP), lambda: game.play_random(0), lambda: game.charge(1)):
        with pytest.raises(MovesSpent):
            spend()
    assert game.moves == 57
    with pytest.raises(ValueError, match="limit must be at least 0"):
        Game(tiny_program(), unit(6), limit=-1)


def test_the_best_trajectory_is_kept_whoever_plays_it():
    game = Game(tiny_program(), unit(6))
    assert game.best is None
    with pytest.raises(OptimandError, match="layout needs actions"):
        game.layout()
    play(game, "D" * 13)
    assert game.best[0] == 50.0
    game.play(np.ones(13))
    assert game.best[0] == pytest.approx(35.8)
    game.offer(string("DDNDDNNNDNDND"))
    assert game.best[0] == pytest.approx(32.4)
    game.play_random(0, count=500)
    assert game.best[0] == pytest.approx(32.4)
    assert game.layout().speedup == pytest.approx(50 / 32.4)
    with pytest.raises(ValueError, match=r"actions\[0\] is illegal there, got 2"):
        game.offer([2] * 13)
    with pytest.raises(ValueError, match="one entry for each of 13"):
        game.play([True])


def test_random_playouts_depend_on_the_seed_alone_and_leave_the_state():
    game = Game(tiny_program(), unit(12))
    game.step(DROP)
    before = game.snapshot()
    times = [game.play_random(seed, 0.5, 50) for seed in range(4)]
    assert [game.play_random(seed, 0.5, 50) for seed in range(4)] == times
    assert len(set(times)) == 4
    assert np.array_equal(before.ints, game.S)
    assert game.best[1][0] == DROP
    assert game.play_random(5, 0.0) == 50.0
    whole = Game(tiny_program(), unit(12))
    assert whole.play_random(5, 1.0, 3) == pytest.approx(50 - 27.2)
    with pytest.raises(ValueError, match="fast_probability"):
        game.play_random(0, 1.5)


def test_uniform_playouts_reach_the_mean_over_fair_choices():
    def expected(game):
        if game.done:
            return game.time
        values = []
        for action in np.flatnonzero(game.legal()):
            child = game.copy()
            child.step(int(action))
            values.append(expected(child))
        return float(np.mean(values))

    game = Game(tiny_program(), unit(4))
    assert game.play_random(0, 0.5, 40_000) == pytest.approx(expected(game), abs=0.1)


def test_too_many_trajectories_are_refused():
    with pytest.raises(OptimandError, match="more than max_leaves=100"):
        brute_force(tiny_program(), unit(100), max_leaves=100)


def test_a_game_can_be_sent_to_another_process():
    game = Game(tiny_program(), unit(12))
    game.play(np.ones(13))
    game.step(NOCOPY)
    again = pickle.loads(pickle.dumps(game))
    # Read-only arrays are another type, for which the kernels would be compiled once more.
    assert again.P.flags.writeable == game.P.flags.writeable
    assert again.Q.flags.writeable == game.Q.flags.writeable
    assert again.best[0] == game.best[0]
    assert again.step(DROP) == game.step(DROP)
    assert again.moves == game.moves
