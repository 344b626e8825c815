"""What our optimizers share: fallbacks, odd tensors, and the measure of their memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from optimand.optim import EXAdam, Lion, state_bytes
from optimand.optim.kernels import Kernel

OURS = (Lion, EXAdam)


class Sub(torch.Tensor):
    """A subclass that a raw pointer would betray."""


@pytest.mark.parametrize("optimizer_class", OURS)
def test_tensor_subclasses_take_the_path_of_tensor_operations(optimizer_class):
    results = []
    for kind in (torch.Tensor, Sub):
        data = torch.linspace(-1, 1, 8).as_subclass(kind)
        p = nn.Parameter(data)
        optimizer = optimizer_class([p], lr=0.01)
        for _ in range(3):
            p.grad = torch.cos(p.detach())
            optimizer.step()
        results.append(p.detach().as_subclass(torch.Tensor))
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("optimizer_class", OURS)
def test_without_a_compiler_the_results_are_the_same(optimizer_class, monkeypatch):
    def run():
        params = [nn.Parameter(torch.linspace(-1, 1, n, dtype=torch.float32)) for n in (7, 1000)]
        optimizer = optimizer_class(params, lr=0.01, weight_decay=0.1)
        for _ in range(10):
            for p in params:
                p.grad = torch.cos(3 * p.detach())
            optimizer.step()
        return [p.detach() for p in params]

    compiled = run()
    kernel = Kernel(optimizer_class.kernel.update, optimizer_class.kernel.states)
    kernel.failure = ImportError("No module named 'numba'")
    monkeypatch.setattr(optimizer_class, "kernel", kernel)
    assert all(torch.equal(a, b) for a, b in zip(run(), compiled, strict=True))
    p = nn.Parameter(torch.ones(1))
    p.grad = torch.ones(1)
    optimizer = optimizer_class([p], fused=True)
    with pytest.warns(RuntimeWarning, match="no compiled kernel: No module named 'numba'"):
        optimizer.step()


DTENSOR = """
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from optimand.online import OptimisticSGD
from optimand.optim import EXAdam, Lion

dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
for optimizer_class in (Lion, EXAdam):
    plain = nn.Parameter(torch.linspace(-1, 1, 12).view(4, 3))
    spread = nn.Parameter(distribute_tensor(plain.detach().clone(), mesh, [Shard(0)]))
    optimizers = [optimizer_class([p], lr=0.01, weight_decay=0.1) for p in (plain, spread)]
    for _ in range(3):
        for p, optimizer in zip((plain, spread), optimizers):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()
    assert type(optimizers[1].state[spread]["exp_avg"]) is type(spread.data), "state is sharded like the parameter"
    torch.testing.assert_close(spread.full_tensor().detach(), plain.detach(), rtol=1e-6, atol=1e-7)
plain = nn.Parameter(torch.linspace(-1, 1, 12).view(4, 3))
spread = nn.Parameter(distribute_tensor(plain.detach().clone(), mesh, [Shard(0)]))
for p in (plain, spread):
    optimizer = OptimisticSGD([p], radius=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
torch.testing.assert_close(spread.full_tensor().detach(), plain.detach())
dist.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_distributed_tensors_are_updated_like_plain_ones():
    done = subprocess.run([sys.executable, "-c", DTENSOR], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_state_bytes_counts_tensors_once():
    p = nn.Parameter(torch.zeros(10, 10))
    assert state_bytes(Lion([p])) == 0
    p.grad = torch.ones_like(p)
    lion, exadam = Lion([p]), EXAdam([p])
    lion.step()
    exadam.step()
    assert state_bytes(lion) == 400
    assert state_bytes(exadam) == 804  # two moments and a step count
    adamw = torch.optim.AdamW([p])
    adamw.step()
    assert state_bytes(adamw) == 804


LAZY = """
import sys, optimand.optim
assert "torch" not in sys.modules
from optimand.optim import Lion
assert "torch" in sys.modules
assert not any(name.startswith("optimand.lab") for name in sys.modules)
import torch
p = torch.nn.Parameter(torch.ones(3))
optimizer = Lion([p])
optimizer.zero_grad()
p.sum().backward()
optimizer.step()
assert "torch._dynamo" not in sys.modules
"""


def test_the_package_is_lazy_and_needs_neither_the_lab_nor_a_compiler():
    subprocess.run([sys.executable, "-c", LAZY], check=True, timeout=120)


def test_unknown_names_are_attribute_errors():
    import optimand.optim

    with pytest.raises(AttributeError, match="Adamax2"):
        _ = optimand.optim.Adamax2
    for name in optimand.optim.__all__:
        assert getattr(optimand.optim, name) is not None


def test_older_state_dicts_get_the_options_they_lack():
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    old = Lion([p], lr=0.5)
    old.step()
    state = old.state_dict()
    for name in ("cautious", "fused", "stochastic_rounding"):
        del state["param_groups"][0][name]
    new = Lion([p])
    new.load_state_dict(state)
    assert new.param_groups[0]["cautious"] is False
    new.step()
    assert new.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("optimizer_class", OURS)
def test_inductor_compiles_the_step(optimizer_class):
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler for torch.compile")
    results = []
    for compiled in (False, True):
        p = nn.Parameter(torch.linspace(-1, 1, 16))
        optimizer = optimizer_class([p], lr=torch.tensor(0.01))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, while it traces
            step = torch.compile(optimizer.step) if compiled else optimizer.step
            for _ in range(3):
                p.grad = torch.cos(p.detach())
                step()
        results.append(p.detach())
    torch._dynamo.reset()
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer_class", OURS)
def test_stochastic_rounding_has_new_noise_in_each_step_also_with_a_tensor_learning_rate(optimizer_class):
    p = torch.nn.Parameter(torch.ones(1000, dtype=torch.bfloat16))
    optimizer = optimizer_class([p], lr=torch.tensor(2.0**-13), stochastic_rounding=True)
    moved = []
    for _ in range(2):
        p.data.fill_(1.0)
        p.grad = torch.ones_like(p)
        optimizer.step()
        moved.append(p.detach() != 1.0)
    assert not torch.equal(*moved)
