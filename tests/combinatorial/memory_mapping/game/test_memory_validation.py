"""The validator finds every way in which a layout can be wrong, and how far copies stick out."""

from dataclasses import replace

import numpy as np
import pytest

from optimand.combinatorial.memory_mapping import (
    Buffer,
    Copy,
    Game,
    Hardware,
    Instruction,
    InvalidLayout,
    MemoryProgram,
    Residency,
    brute_force,
    tiny_program,
    validate,
)

PROGRAM, MACHINE = tiny_program(), Hardware(16, 1.0, 10.0, 1.0)


@pytest.fixture(scope="module")
def layout():
    return Game(PROGRAM, MACHINE).layout(brute_force(PROGRAM, MACHINE).actions)


def changed(layout, at, **fields):
    stays = list(layout.residencies)
    stays[at] = replace(stays[at], **fields)
    return replace(layout, residencies=stays)


def refuse(layout, words, program=PROGRAM, machine=MACHINE):
    with pytest.raises(InvalidLayout, match=words):
        validate(program, machine, layout)


def test_the_optimum_is_valid_with_its_copies_and_without(layout):
    assert layout.copies
    assert validate(PROGRAM, MACHINE, layout).time == pytest.approx(50 - 36.6)
    assert validate(PROGRAM, MACHINE, replace(layout, copies=None, actions=None)).time == pytest.approx(50 - 36.6)


def test_wrong_residencies_are_refused(layout):
    first = layout.residencies[0]
    copied = next(k for k, r in enumerate(layout.residencies) if PROGRAM.buffers[r.buffer].param)
    refuse(changed(layout, 0, offset=16 - first.size + 1), "does not fit into 16 bytes")
    refuse(changed(layout, 0, offset=-1), "does not fit")
    refuse(changed(layout, 1, offset=first.offset), "overlap")
    refuse(changed(layout, 0, buffer=9), "of no buffer")
    refuse(changed(layout, 0, end=5), "outside of the 5 instructions")
    refuse(changed(layout, 0, start=3, end=1), "ends before it starts")
    refuse(changed(layout, 0, size=first.size + 1), f"should have the buffer's {first.size} bytes")
    refuse(replace(layout, residencies=(*layout.residencies, Residency(0, 3, 4, 12, 4))), "covers no use")
    refuse(replace(layout, residencies=(*layout.residencies, first)), "same buffer at the same time")
    refuse(changed(layout, copied, start=1), "a copy must come before it|overlap")
    defined = next(k for k, r in enumerate(layout.residencies) if r.start > 0 and k != copied)
    refuse(changed(layout, defined, start=layout.residencies[defined].start - 1), "before the buffer's definition")


def test_wrong_times_and_actions_are_refused(layout):
    refuse(replace(layout, time=layout.time * 1.001), "its residencies give")
    refuse(replace(layout, actions=(0, *layout.actions[1:])), "first at reference 0")
    refuse(replace(layout, actions=layout.actions[:-1]), "first at reference 12")


def test_wrong_copies_are_refused(layout):
    copy = layout.copies[0]
    at = next(iter(copy.seconds))
    refuse(replace(layout, copies=()), "copies are missing")
    refuse(replace(layout, copies=(*layout.copies, copy)), "belongs to no residency")
    less = {**copy.seconds, at: copy.seconds[at] / 2}
    refuse(replace(layout, copies=(replace(copy, seconds=less), *layout.copies[1:])), "seconds, expected")
    moved = {4: sum(copy.seconds.values())}
    refuse(replace(layout, copies=(replace(copy, seconds=moved), *layout.copies[1:])), "outside of instructions")


def copied_twice():
    """Two parameters of 4 bytes read by the last instruction, after 9 seconds of arithmetic."""
    uses = (Instruction(5), Instruction(4), Instruction(0, (), (0, 1)))
    return MemoryProgram(uses, (Buffer(4, param=True), Buffer(4, param=True)))


def test_copies_that_share_time_are_refused_with_a_schedule_and_without():
    program, machine = copied_twice(), Hardware(8, 1.0, 10.0, 1.0)
    game = Game(program, machine)
    game.play([True, True])
    fine = game.layout()
    assert validate(program, machine, fine).exposed == 0
    twice = (Copy(0, 2, {1: 4.0}), Copy(1, 2, {1: 4.0}))
    stays = [replace(r, start=1) for r in fine.residencies]
    refuse(replace(fine, residencies=stays, copies=twice), "copies take 8.0 seconds behind instruction 1", program)
    refuse(replace(fine, residencies=stays, copies=None), r"for the uses at instructions \[2\]", program)
    slower = Hardware(8, 1.0, 10.0, 0.5)
    stays = [replace(r, start=0) for r in fine.residencies]
    refuse(replace(fine, residencies=stays, copies=None), "no time to hide", program, slower)


def test_copies_stick_out_where_the_hiding_instruction_becomes_faster():
    # Instruction 1 takes 10 seconds when all is slow, and 1 when its operand lies in fast memory.
    uses = (Instruction(0, (0,)), Instruction(0, (), (0,)), Instruction(0, (), (1,)))
    program = MemoryProgram(uses, (Buffer(10), Buffer(10, param=True)))
    machine = Hardware(20, 1.0, 10.0, 1.0)
    game = Game(program, machine)
    time = game.play([True] * 3)
    assert time == pytest.approx(3.0)
    layout = game.layout()
    found = validate(program, machine, layout)
    assert (found.time, found.exposed, found.late) == (pytest.approx(3.0), pytest.approx(9.0), (2,))
    strict = validate(program, machine, layout, strict=True)
    assert strict.time == pytest.approx(12.0)
    free = validate(program, machine, replace(layout, copies=None), strict=True)
    assert free.time == pytest.approx(12.0)


def test_members_of_a_group_must_agree():
    uses = (Instruction(0, (0,)), Instruction(0, (1,), (0,)), Instruction(0, (), (1,)))
    program = MemoryProgram(uses, (Buffer(4), Buffer(4)), ((0, 1),))
    machine = Hardware(8, 1.0, 10.0, 1.0)
    game = Game(program, machine)
    game.play(np.ones(4))
    good = game.layout()
    assert validate(program, machine, good).served_fast == 4
    apart = replace(good, residencies=(good.residencies[0], replace(good.residencies[1], offset=4)))
    refuse(apart, "differ in side or address", program, machine)
    single = replace(good, residencies=good.residencies[:1], actions=None)
    refuse(single, "differ in side or address", program, machine)
    longer = (Residency(0, 0, 2, 0, 4), good.residencies[1])
    refuse(replace(good, residencies=longer), "overlap", program, machine)


def test_strangers_must_not_touch():
    uses = (Instruction(0, (0,)), Instruction(0, (1,), (0,)), Instruction(0, (), (1,)))
    program = MemoryProgram(uses, (Buffer(4), Buffer(4)))
    machine = Hardware(4, 1.0, 10.0, 1.0)
    game = Game(program, machine)
    game.play(np.ones(4))
    stays = (Residency(0, 0, 1, 0, 4), Residency(1, 1, 2, 0, 4))
    refuse(replace(game.layout(), residencies=stays), "overlap", program, machine)
