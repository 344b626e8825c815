"""Alias groups: one side, one address, in-place reuse, and the drop-backup."""

import numpy as np
import pytest
from tests.combinatorial.memory_mapping.game.random_programs import random_hardware, random_program

from optimand.combinatorial.memory_mapping import (
    DROP,
    NOCOPY,
    Buffer,
    Game,
    Hardware,
    Instruction,
    MemoryProgram,
    brute_force,
    validate,
)

UNIT = Hardware(4, 1.0, 10.0, 1.0)


def blocked():
    """A is needed to the end, so B cannot take its place."""
    uses = (Instruction(0, (0,)), Instruction(0, (1,), (0,)), Instruction(0, (2,), (1,)), Instruction(0, (3,), (0, 2)))
    return MemoryProgram(uses, (Buffer(4), Buffer(2), Buffer(4), Buffer(1)), ((0, 2),))


def in_place():
    """B is defined by the last reader of A."""
    uses = (Instruction(0, (0,)), Instruction(0, (1,), (0,)), Instruction(0, (), (1,)))
    return MemoryProgram(uses, (Buffer(4), Buffer(4)), ((0, 1),))


def test_a_member_that_cannot_be_served_takes_the_group_back_once_and_all_are_slow():
    game = Game(blocked(), UNIT)
    total = game.step(NOCOPY)
    total += game.step(DROP) + game.step(NOCOPY)  # X does not fit; A stays
    assert game.backups == 1
    assert game.position == 0
    assert game.time == game.all_slow_time
    while not game.done:
        legal = game.legal()
        if game.program.ref_buffer[game.position] in (0, 2):
            assert legal.tolist() == [True, False, False]
        total += game.step(int(np.flatnonzero(legal)[-1]))
    assert game.backups == 1
    assert not {r.buffer for r in game.residencies} & {0, 2}
    assert total == pytest.approx(game.all_slow_time - game.time, abs=1e-12)
    layout = game.layout(game.decisions)
    assert validate(game.program, UNIT, layout).time == pytest.approx(game.time)


def test_the_layout_of_actions_that_are_taken_back_counts_the_backup():
    game = Game(blocked(), UNIT)
    time = game.play([True] * game.program.references)
    assert game.best[0] == time
    assert game.moves > game.program.references
    assert game.layout().backups == 0  # its decisions drop the group from the start


def test_every_trajectory_of_the_blocked_program_ends_feasible():
    found = brute_force(blocked(), UNIT)
    assert found.leaves > 1
    game = Game(blocked(), UNIT)
    assert game.offer(found.actions) == found.time


def test_in_place_members_share_the_address_and_touch_in_one_instruction():
    game = Game(in_place(), UNIT)
    game.step(NOCOPY)
    assert game.legal().tolist() == [False, True, False]  # B must follow A
    game.step(NOCOPY)
    assert [(r.start, r.end, r.offset) for r in game.residencies] == [(0, 1, 0), (1, 2, 0)]
    game.step(NOCOPY)
    game.step(NOCOPY)
    assert game.time == pytest.approx(0.4 + 0.8 + 0.4)
    assert validate(game.program, UNIT, game.layout()).peak == 4
    game.reset()
    game.step(DROP)
    assert game.legal().tolist() == [True, False, False]  # B must be slow with A


def test_without_the_alias_the_two_do_not_fit():
    program = MemoryProgram(in_place().instructions, in_place().buffers)
    game = Game(program, UNIT)
    game.step(NOCOPY)
    assert game.legal().tolist() == [True, False, False]


def test_parameters_of_a_group_are_copied_to_one_address_or_not_at_all():
    uses = (
        Instruction(9),
        Instruction(0, (), (0,)),
        Instruction(9),
        Instruction(0, (), (1,)),
        Instruction(0, (), (2,)),
    )
    buffers = tuple(Buffer(4, param=True) for _ in range(3))
    program = MemoryProgram(uses, buffers, ((0, 1),))
    game = Game(program, Hardware(8, 1.0, 10.0, 1.0))
    game.step(2)
    assert game.legal().tolist() == [False, False, True]
    game.step(2)
    assert [r.offset for r in game.residencies] == [0, 0]
    game.reset()
    game.step(DROP)
    assert game.legal().tolist() == [True, False, False]
    # Where there is no time for the second copy, the first is taken back.
    game = Game(MemoryProgram((*uses[:2], uses[3]), buffers[:2], ((0, 1),)), Hardware(8, 1.0, 10.0, 0.5))
    game.step(2)
    assert (game.position, game.backups) == (0, 1)


def test_each_group_is_taken_back_at_most_once_and_every_episode_ends():
    most = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        program, hardware = random_program(rng, aliases=True), random_hardware(rng)
        game = Game(program, hardware)
        moves = 0
        while not game.done:
            game.step(int(rng.choice(np.flatnonzero(game.legal()))))
            moves += 1
        assert game.backups <= len(program.aliases)
        assert moves <= program.references * (1 + len(program.aliases))
        most = max(most, game.backups)
    assert most >= 2
