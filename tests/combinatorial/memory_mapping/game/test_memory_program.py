"""Programs and machines: what they derive, and which of them are refused."""

import pickle

import numpy as np
import pytest

from optimand.combinatorial.memory_mapping import Buffer, Hardware, Instruction, MemoryProgram, tiny_program
from optimand.core.validation import OptimandError

PARAM, TEMP = Buffer(4, param=True), Buffer(4)


def one(*instructions, buffers=(PARAM, TEMP, TEMP), aliases=()):
    return MemoryProgram(instructions, buffers, aliases)


def test_references_are_numbered_outputs_first_and_linked():
    program = tiny_program()
    assert program.ref_instruction.tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4]
    assert program.ref_buffer.tolist() == [2, 0, 3, 2, 1, 4, 3, 5, 2, 4, 6, 5, 1]
    assert program.ref_is_output.sum() == 5
    for k in range(program.references):
        later = [j for j in range(k + 1, 13) if program.ref_buffer[j] == program.ref_buffer[k]]
        assert program.next_ref[k] == (later[0] if later else 13)
        if later:
            assert program.previous_ref[later[0]] == k
    assert program.buffer_uses.tolist() == [1, 2, 2, 1, 1, 1, 0]
    assert program.definition.tolist() == [-1, -1, 0, 1, 2, 3, 4]
    assert program.first_ref.tolist() == [0, 2, 5, 7, 10, 13]


def test_a_program_is_frozen_compares_by_content_and_can_be_pickled():
    program = tiny_program()
    again = pickle.loads(pickle.dumps(program))
    assert again == program == tiny_program()
    assert np.array_equal(again.next_ref, program.next_ref)
    with pytest.raises(AttributeError):
        program.name = "other"
    with pytest.raises(ValueError, match="read-only"):
        program.next_ref[0] = 5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: one(Instruction(1, (1,)), Instruction(1, (1,)), Instruction(1, (2,))), "defines buffer 1 again"),
        (lambda: one(Instruction(1, (2,), (1,)), Instruction(1, (1,))), "uses buffer 1 before its definition"),
        (lambda: one(Instruction(1, (1, 2), (1,))), "buffer 1 twice"),
        (lambda: one(Instruction(1, (1, 2), (0, 0))), "buffer 0 twice"),
        (lambda: one(Instruction(1, (0, 1, 2))), "buffer 0, which is a parameter"),
        (lambda: one(Instruction(1, (1, 2, 3))), "buffer 3; the program has 3"),
        (lambda: one(Instruction(1, (1,), (0,))), "buffer 2 is no parameter, and no instruction defines it"),
        (lambda: MemoryProgram((), ()), "at least one instruction"),
        (lambda: MemoryProgram((Instruction(1),), ()), "at least one buffer"),
    ],
)
def test_unfit_programs_are_refused_by_name(make, words):
    with pytest.raises(OptimandError, match=words):
        make()


@pytest.mark.parametrize(
    ("aliases", "words"),
    [
        (((1, 2),), r"equal size, got \[4, 8\]"),
        (((0, 1),), "parameters only or none"),
        (((1, 3), (3, 1)), r"aliases\[1\] holds buffer 3, which is in aliases\[0\]"),
        (((1,),), "at least two"),
        (((1, 7),), "holds 7; the program has 4"),
        (((1, 1),), "which is in"),
    ],
)
def test_unfit_alias_groups_are_refused_by_name(aliases, words):
    buffers = (PARAM, TEMP, Buffer(8), TEMP)
    with pytest.raises(OptimandError, match=words):
        MemoryProgram((Instruction(1, (1, 2, 3), (0,)),), buffers, aliases)


def test_unfit_sizes_and_times_are_refused():
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"size of a buffer must be at least 1, got {size}"):
            Buffer(size)
    with pytest.raises(TypeError, match="size of a buffer must be an integer"):
        Buffer(1.5)
    for compute in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="compute of an instruction"):
            Instruction(compute)
    with pytest.raises(ValueError, match="inputs of an instruction must be at least 0"):
        Instruction(1.0, (), (-1,))
    with pytest.raises(TypeError, match=r"buffers\[0\] must be of Buffer"):
        MemoryProgram((Instruction(1, (0,)),), (4,))


def test_unfit_machines_are_refused():
    with pytest.raises(ValueError, match="capacity must be at least 0, got -1"):
        Hardware(-1, 1, 1, 1)
    for name in ("slow_bw", "fast_bw", "copy_bw", "flops"):
        for value in (0, -2.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=name):
                Hardware(**{"capacity": 1, "slow_bw": 1, "fast_bw": 1, "copy_bw": 1, name: value})
    with pytest.raises(ValueError, match="did you mean 'tpuv4i'"):
        Hardware.preset("tpu4i")


def test_fast_memory_slower_than_slow_memory_is_refused():
    with pytest.raises(OptimandError, match="fast_bw must be at least slow_bw, got fast_bw=1 below slow_bw=2"):
        Hardware(1, 2, 1, 1)
    assert Hardware(1, 2, 2, 1).fast_bw == 2


def test_a_program_is_shown_in_one_line():
    assert repr(tiny_program()) == "<MemoryProgram 'tiny': 5 instructions, 7 buffers of 26 bytes, 13 references>"


def test_presets_take_another_capacity():
    assert Hardware.preset("tpuv4i", "1.5MiB").capacity == Hardware.preset("tpuv4i").with_capacity("1536k").capacity
    with pytest.raises(OptimandError, match="capacity must be a number of bytes"):
        Hardware.preset("tpuv4i", "much")
    assert Hardware.preset("tpuv4i").capacity == 128 * 2**20
    assert Hardware.preset("tpuv4i").fast_bw == 8 * 614e9
    assert Hardware.preset("tpuv4i", 5) == Hardware.preset("tpuv4i").with_capacity(5)
