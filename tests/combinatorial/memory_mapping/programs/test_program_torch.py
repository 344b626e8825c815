"""Programs from exported PyTorch graphs."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from optimand.combinatorial.memory_mapping import Hardware
from optimand.combinatorial.memory_mapping.programs import from_torch_export
from optimand.core.validation import OptimandError

HARDWARE = Hardware(2**20, 1e9, 8e9, 1e9, flops=1e12)


def program_of(model, *inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(model.eval(), inputs).run_decompositions()
    return from_torch_export(exported, HARDWARE, "some")


class Views(nn.Module):
    def forward(self, x, y):
        z = x.t().reshape(-1)[:4].expand(2, 4)  # views of x
        return torch.logical_not(z), (z + y).unsqueeze(0)


def test_views_are_no_buffers_and_names_match_exactly():
    program = program_of(Views(), torch.zeros(2, 4), torch.zeros(2, 4))
    names = [x.name for x in program.instructions]
    assert any("logical_not" in name for name in names)
    assert not any(name.startswith(("permute", "slice", "expand", "unsqueeze")) for name in names)
    x, y = 0, 1
    reading_x = [i for i in program.instructions if x in i.inputs]
    assert reading_x
    add = next(i for i in program.instructions if y in i.inputs)
    assert program.buffers[add.outputs[0]].live_out  # the view of it is an output
    assert sum(b.live_out for b in program.buffers) == 2
    logical = next(i for i in program.instructions if "logical_not" in i.name)
    assert program.buffers[logical.outputs[0]].size == 8  # a byte per bool


class Products(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 16)
        self.conv = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(4, 6, 2, stride=2)
        self.norm = nn.LayerNorm(8)

    def forward(self, x, image):
        return self.linear(x), self.conv(image), self.up(image), self.norm(x), x * x


@pytest.fixture(scope="module")
def products():
    return program_of(Products(), torch.zeros(4, 8), torch.zeros(1, 4, 5, 5))


def test_matrix_products_and_convolutions_are_counted(products):
    seconds = sorted(i.compute for i in products.instructions)
    expected = [
        2 * 4 * 8 * 16,
        2 * (6 * 25) * (2 * 9),
        2 * (4 * 25) * (6 * 4),
    ]  # up: every input to every output channel
    assert seconds == pytest.approx([0, 0, *(x / 1e12 for x in sorted(expected))])
    linear = next(i for i in products.instructions if i.compute == pytest.approx(expected[0] / 1e12))
    assert sorted(products.buffers[b].size for b in linear.inputs) == [64, 128, 512]
    assert all(products.buffers[b].param for b in linear.inputs)
    assert [(products.buffers[b].size, products.buffers[b].param) for b in linear.outputs] == [(256, False)]


class Halves(nn.Module):
    def forward(self, x):
        left, right = torch.split(x, [2, 6], dim=1)
        values, places = torch.topk(left * right.sum(), 2)
        return values + places


def test_tuples_have_the_bytes_that_are_used_and_splits_are_views(products):
    program = program_of(Halves(), torch.zeros(4, 8))
    assert not any("split" in i.name for i in program.instructions)
    top = next(i for i in program.instructions if "topk" in i.name)
    assert program.buffers[top.outputs[0]].size == 4 * 2 * (4 + 8)
    norm = next(i for i in products.instructions if "norm" in i.name)
    assert products.buffers[norm.outputs[0]].size == 4 * 8 * 4  # its means and deviations are not used


def test_the_same_argument_twice_is_read_once(products):
    square = next(i for i in products.instructions if "mul" in i.name)
    assert len(square.inputs) == 1


def test_unfit_arguments_are_refused():
    with pytest.raises(OptimandError, match=r"exported must be what torch\.export\.export returns, got Linear"):
        from_torch_export(nn.Linear(2, 2), HARDWARE)
    exported = SimpleNamespace(graph=torch.fx.Graph())
    with pytest.raises(OptimandError, match="hardware must have flops"):
        from_torch_export(exported, Hardware(1, 1.0, 1.0, 1.0))


def exported_whole(model, *inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(model.eval(), inputs)


class Attention(nn.Module):
    def forward(self, x):
        return nn.functional.scaled_dot_product_attention(x, x, x)


class Matmul(nn.Module):
    def forward(self, x):
        return x @ x


@pytest.mark.parametrize("model", [Attention(), Matmul()])
def test_composite_operators_are_refused_until_they_are_split(model):
    exported = exported_whole(model, torch.zeros(2, 3, 4, 4))
    with pytest.raises(OptimandError, match=r"composite operator .* call exported\.run_decompositions\(\)"):
        from_torch_export(exported, HARDWARE)
    program = program_of(model, torch.zeros(2, 3, 4, 4))
    assert sum(i.compute for i in program.instructions) >= 2 * 6 * 4**3 / 1e12


class Contiguous(nn.Module):
    def forward(self, x):
        return x.unflatten(0, (2, 2)).contiguous() + 1, x.t().contiguous()


def test_unflatten_and_contiguous_are_views_where_nothing_moves():
    program = from_torch_export(exported_whole(Contiguous(), torch.zeros(4, 3)), HARDWARE)
    assert [i.name.split("_")[0] for i in program.instructions] == ["add", "contiguous"]
    assert [i.inputs for i in program.instructions] == [(0,), (0,)]


class Fillers(nn.Module):
    def forward(self, x):
        return torch.full_like(x, 2.0), torch.zeros_like(x), torch.ones_like(x), x + 1


def test_fillers_do_not_read_their_argument():
    program = program_of(Fillers(), torch.zeros(4, 8))
    assert [i.inputs for i in program.instructions] == [(), (), (), (0,)]
    assert all(program.buffers[i.outputs[0]].size == 128 for i in program.instructions)
