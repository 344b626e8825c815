"""Programs from scheduled HLO text."""

from __future__ import annotations

import importlib.util

import pytest

from optimand.combinatorial.memory_mapping import Hardware
from optimand.combinatorial.memory_mapping.programs import from_hlo_text
from optimand.core.validation import OptimandError

HARDWARE = Hardware(2**20, 1e9, 8e9, 1e9, flops=1e12)

TEXT = """HloModule some, is_scheduled=true, entry_computation_layout={(f32[4,8])->f32[4,16]}

FileNames
1 "x.py"

%inner (p.0: f32[4,8], p.1: f32[8,16]) -> f32[4,16] {
  %p.0 = f32[4,8]{1,0} parameter(0)
  %p.1 = f32[8,16]{1,0} parameter(1)
  ROOT %dot.0 = f32[4,16]{1,0} dot(%p.0, %p.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%body (t: (s32[], f32[8,16], f32[4,8])) -> (s32[], f32[8,16], f32[4,8]) {
  %t = (s32[], f32[8,16]{1,0}, f32[4,8]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%t), index=0
  %w = f32[8,16]{1,0} get-tuple-element(%t), index=1
  %x = f32[4,8]{1,0} get-tuple-element(%t), index=2
  %y = f32[4,16]{1,0} fusion(%x, %w), kind=kLoop, calls=%inner
  %j = s32[] add(%i, %i)
  %z = f32[4,8]{1,0} slice(%y), slice={[0:4], [0:8]}
  ROOT %out = (s32[], f32[8,16]{1,0}, f32[4,8]{1,0}) tuple(%j, %w, %z)
}

%check (t.1: (s32[], f32[8,16], f32[4,8])) -> pred[] {
  %t.1 = (s32[], f32[8,16]{1,0}, f32[4,8]{1,0}) parameter(0)
  ROOT %c = pred[] constant(true)
}

ENTRY %main (a: f32[4,8], b: bf16[8,16]) -> (f32[4,16], s32[]) {
  %a = f32[4,8]{1,0} parameter(0), metadata={op_name="a(b, c)"}
  %b = bf16[8,16]{1,0} parameter(1)
  %zero = s32[] constant(0)
  %wide = f32[8,16]{1,0} convert(bf16[8,16]{1,0} %b)
  %start = s32[] copy(%zero)
  %pack = (s32[], f32[8,16]{1,0}, /*index=2*/f32[4,8]{1,0}) tuple(%start, %wide, %a)
  %loop = (s32[], f32[8,16], f32[4,8]) while(%pack), body=%body, backend_config={"known_trip_count":{"n":"10"}}
  %last = f32[4,8]{1,0} get-tuple-element(%loop), index=2
  %count = s32[] get-tuple-element(%loop), index=0
  %same = f32[8,16]{1,0} get-tuple-element(%loop), index=1
  %flat = f32[4,8]{1,0} bitcast(%last)
  %result = f32[4,16]{1,0} fusion(%flat, %same), kind=kLoop, calls=%inner
  %pair = (pred[4]{0}, u8[3]{0}) custom-call(%result), custom_call_target="two"
  ROOT %done = (f32[4,16]{1,0}, s32[]) tuple(%result, %count)
}
"""


def test_a_module_becomes_a_program():
    program = from_hlo_text(TEXT, HARDWARE)
    assert program.name == "some"
    names = [b.name for b in program.buffers]
    assert names == ["a", "b", "zero", "wide", "start", "loop.0", "loop.2", "result", "pair.0", "pair.1"]
    sizes = dict(zip(names, (b.size for b in program.buffers), strict=True))
    assert (sizes["b"], sizes["wide"], sizes["zero"], sizes["pair.0"], sizes["pair.1"]) == (256, 512, 4, 4, 3)
    assert [b.name for b in program.buffers if b.param] == ["a", "b", "zero"]
    assert [b.name for b in program.buffers if b.live_out] == ["loop.0", "result"]
    assert [i.name for i in program.instructions] == ["wide", "start", "loop", "result", "pair"]


def test_a_loop_keeps_what_its_body_hands_on_and_multiplies_its_arithmetic():
    program = from_hlo_text(TEXT, HARDWARE)
    names = [b.name for b in program.buffers]
    loop, result = program.instructions[2], program.instructions[3]
    assert [names[b] for b in loop.inputs] == ["start", "wide", "a"]
    assert [names[b] for b in loop.outputs] == ["loop.0", "loop.2"]
    assert [names[b] for b in result.inputs] == ["loop.2", "wide"]
    assert result.compute == 2 * 4 * 16 * 8 / 1e12
    assert loop.compute == 10 * result.compute


def test_convolutions_are_counted():
    text = """HloModule c, is_scheduled=true
ENTRY %main (x: f32[2,16,16,3], w: f32[3,3,3,8]) -> f32[2,16,16,8] {
  %x = f32[2,16,16,3]{3,2,1,0} parameter(0)
  %w = f32[3,3,3,8]{3,2,1,0} parameter(1)
  ROOT %y = f32[2,16,16,8]{3,2,1,0} convolution(%x, %w), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f
}
"""
    assert from_hlo_text(text, HARDWARE).instructions[0].compute == 2 * (2 * 16 * 16 * 8) * 27 / 1e12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(): pass", "must be an HLO module"),
        (TEXT.replace(", is_scheduled=true", ""), "is_scheduled=true"),
        (TEXT.replace("ENTRY %main", "%main"), "no ENTRY computation"),
        (TEXT.replace("copy(%zero)", "copy(%nought)"), "uses 'nought', which no line before defines"),
        (TEXT.replace("%start = s32[] copy(%zero)", "start the engine"), "line 33 of the module is no operation"),
    ],
)
def test_unfit_text_is_refused(text, said):
    with pytest.raises(OptimandError, match=said):
        from_hlo_text(text, HARDWARE)


def test_a_machine_without_a_rate_is_refused():
    with pytest.raises(OptimandError, match="hardware must have flops"):
        from_hlo_text(TEXT, Hardware(1, 1.0, 1.0, 1.0))


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")
def test_what_jax_compiles_is_read():
    import jax
    import jax.numpy as jnp

    def two(w, x):
        return jnp.tanh(x @ w) @ w.T, x.sum()

    text = jax.jit(two).lower(jnp.ones((16, 32)), jnp.ones((8, 16))).compile().as_text()
    program = from_hlo_text(text, HARDWARE)
    assert [b.size for b in program.buffers if b.param][:2] == [16 * 32 * 4, 8 * 16 * 4]
    assert sum(i.compute for i in program.instructions) == pytest.approx(2 * (2 * 8 * 16 * 32) / 1e12)
    assert sum(b.live_out for b in program.buffers) == 2
