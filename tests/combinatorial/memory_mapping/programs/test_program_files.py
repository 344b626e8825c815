"""Programs as CSV files, and the recorded ones."""

from __future__ import annotations

import pytest

from optimand.combinatorial.memory_mapping import Buffer, Game, Instruction, MemoryProgram, tiny_program
from optimand.combinatorial.memory_mapping.programs import RECORDED, hardware_of, read_program, recorded, write_program
from optimand.combinatorial.memory_mapping.programs.files import format_program, parse_program
from optimand.core.validation import OptimandError


def test_a_program_survives_its_file(tmp_path):
    buffers = (Buffer(4, param=True, name="in put"), Buffer(2, name="x"), Buffer(2, live_out=True, name="x"))
    program = MemoryProgram(
        (Instruction(0.1, (1,), (0,), "first, with comma"), Instruction(1 / 3, (2,), (1, 0))),
        buffers,
        ((1, 2),),
        "some",
    )
    path = tmp_path / "some.csv"
    write_program(path, program)
    again = read_program(path)
    assert again.name == "some"
    assert again.instructions == program.instructions
    assert again.aliases == program.aliases
    assert [(b.size, b.param, b.live_out) for b in again.buffers] == [
        (b.size, b.param, b.live_out) for b in program.buffers
    ]
    assert [b.name for b in again.buffers] == ["in_put", "x", "x_2"]


def test_swapped_arguments_are_refused(tmp_path):
    with pytest.raises(TypeError, match=r"call write_program\(path, program\)"):
        write_program(tiny_program(), tmp_path / "some.csv")
    with pytest.raises(TypeError, match="program must be a MemoryProgram, got 3"):
        write_program(tmp_path / "some.csv", 3)


def test_capacities_of_recorded_programs_are_read_as_people_write_them():
    assert hardware_of("transformer", "1MiB") == hardware_of("transformer", 2**20)
    with pytest.raises(OptimandError, match="capacity must be a number of bytes"):
        hardware_of("transformer", "large")


def test_the_recorded_tiny_program_is_the_built_in_one():
    assert recorded("tiny") == tiny_program()


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_programs_can_be_played_at_all_their_capacities(name):
    program = recorded(name)
    assert any(b.live_out for b in program.buffers)
    assert sum(b.param for b in program.buffers) > 0
    for capacity in RECORDED[name].capacities:
        game = Game(program, hardware_of(name, capacity))
        assert game.play([True] * program.references) < game.all_slow_time
    assert parse_program(format_program(program), name) == program


def test_the_recorded_transformer_has_the_published_numbers():
    program = recorded("transformer")
    assert (len(program.instructions), len(program.buffers), program.references) == (52, 77, 140)
    game = Game(program, hardware_of("transformer"))
    assert game.all_slow_time * 1e6 == pytest.approx(174.263, abs=1e-3)
    assert game.all_slow_time / game.least_time == pytest.approx(6.060, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("buffer,A,4", "buffer,A,x"), "line 4: bytes must be an integer"),
        (("buffer,A,4,,,", "buffer,A,4,,hot,"), "line 4: flags must be among param, live_out, got 'hot'"),
        (("buffer,A,4", "buffer,P0,4"), "line 4: name must be one word that no other buffer has"),
        (("instruction,i0,,2.0", "instruction,i0,,soon"), "line 9: seconds must be a number"),
        (
            ("instruction,i0,,2.0,,A,P0", "instruction,i0,,2.0,,A,P9"),
            "line 9: inputs must be names of buffers, got 'P9'",
        ),
        (("instruction,i0", "step,i0"), "line 9: kind must be buffer, instruction or alias"),
        (("kind,name", "sort,name"), "lacks kind"),
        (("2.0,,A,P0", "2.0,,A,B"), "before its definition"),
    ],
)
def test_unfit_files_are_refused_with_the_line(change, said):
    text = format_program(tiny_program())
    assert change[0] in text
    with pytest.raises(OptimandError, match=said):
        parse_program(text.replace(*change, 1))


def test_unknown_names_and_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'transformer'"):
        recorded("transfromer")
    with pytest.raises(OptimandError, match=r"nothing\.csv"):
        read_program(tmp_path / "nothing.csv")
