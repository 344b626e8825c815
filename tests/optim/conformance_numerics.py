"""What every optimizer must compute, whatever the dtype, the layout, the path or the number of threads."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from tests.optim.conformance import (
    PATHS,
    Subject,
    assert_equal,
    check,
    make_params,
    run,
    set_grads,
    values,
)
from torch import nn


@check
def loss_goes_down_on_a_convex_problem(subject: Subject) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 8, generator=generator)
    labels = (inputs @ torch.randn(8, generator=generator) > 0).float()

    def final(lr: float) -> float:
        model = nn.Linear(8, 1, bias=False)
        nn.init.constant_(model.weight, 0.1)
        optimizer = subject(model.parameters(), lr=lr)
        for _ in range(200):
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(model(inputs)[:, 0], labels)
            loss.backward()
            optimizer.step()
        return loss.item()

    start = 0.75
    best = min(final(lr) for lr in subject.lrs)
    assert best < 0.75 * start, best


@check
def equal_runs_give_equal_bits(subject: Subject) -> None:
    results = []
    for _ in range(2):
        params = make_params()
        run(subject(params), params, 0, 5)
        results.append(values(params))
    assert_equal(*results)


@check
def results_do_not_depend_on_the_number_of_threads(subject: Subject) -> None:
    threads = torch.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            generator = torch.Generator().manual_seed(0)
            p = nn.Parameter(torch.randn(600, 451, generator=generator))
            p.grad = torch.randn(p.shape, generator=generator)
            optimizer = subject([p])
            optimizer.step()
            optimizer.step()
            results.append(p.detach())
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        # matrix products may sum in another order
        torch.testing.assert_close(other, results[0], rtol=1e-5, atol=1e-6)
    if subject.ours and "nuclear" not in subject.name and "l2" not in subject.name and "group" not in subject.name:
        assert_equal(results[1:], [results[0]] * 2)


@check
def scalars_and_empty_tensors_are_parameters_too(subject: Subject) -> None:
    params = [nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.empty(0, 3)), nn.Parameter(torch.ones(1))]
    optimizer = subject(params)
    for _ in range(3):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    assert params[0].shape == ()
    assert params[0] < 0.5
    assert params[2] < 1.0


@check
def memory_layout_does_not_matter(subject: Subject) -> None:
    plain = make_params()
    for p in plain[2:3]:
        p.data = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(5))
    twins = [nn.Parameter(p.detach().clone()) for p in plain]
    twins[0].data = twins[0].detach().t().contiguous().t()
    twins[2].data = twins[2].detach().contiguous(memory_format=torch.channels_last)
    twins[3].data = torch.zeros(34)[::2].copy_(plain[3].detach())
    assert not twins[3].is_contiguous()
    optimizers = subject(plain), subject(twins)
    for step in range(3):
        set_grads(plain, step)
        for i, (p, q) in enumerate(zip(plain, twins, strict=True)):
            # the third's gradient in the parameter's layout, the others' not
            q.grad = p.grad.clone() if i != 2 else p.grad.contiguous(memory_format=torch.channels_last)
        for optimizer in optimizers:
            optimizer.step()
    for p, q in zip(plain, twins, strict=True):
        torch.testing.assert_close(q.detach(), p.detach(), rtol=1e-6, atol=1e-7)


@check
def dtypes_may_mix_in_a_group(subject: Subject) -> None:
    dtypes = (torch.float32, torch.float64, torch.bfloat16)
    mixed = [make_params(dtype)[0] for dtype in dtypes]
    alone = [make_params(dtype)[0] for dtype in dtypes]
    together, apart = subject(mixed), [subject([p]) for p in alone]
    for step in range(3):
        set_grads(mixed, step)
        for p, q in zip(alone, mixed, strict=True):
            p.grad = q.grad.clone()
        for optimizer in (together, *apart):
            optimizer.step()
    for p, q in zip(mixed, alone, strict=True):
        assert p.dtype == q.dtype
        torch.testing.assert_close(p.detach(), q.detach())


@check
def half_precision_parameters_follow_their_float32_twins(subject: Subject) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        half = make_params(dtype)
        full = [nn.Parameter(p.detach().float()) for p in half]
        lr = subject.lrs[1]
        optimizers = subject(half, lr=lr), subject(full, lr=lr)
        for step in range(3):
            set_grads(half, step)
            for p, q in zip(half, full, strict=True):
                q.grad = p.grad.float()
            for optimizer in optimizers:
                optimizer.step()
        for p, q in zip(half, full, strict=True):
            assert p.dtype == dtype
            spacing = torch.finfo(dtype).eps
            torch.testing.assert_close(p.detach().float(), q.detach(), rtol=4 * spacing, atol=0.2 * lr + spacing)


@check
def maximizing_is_minimizing_the_negative(subject: Subject) -> None:
    if not subject.supports("maximize"):
        return
    up, down = make_params(), make_params()
    optimizers = subject(up, maximize=True), subject(down)
    for step in range(3):
        set_grads(up, step)
        for p, q in zip(up, down, strict=True):
            q.grad = -p.grad
        for optimizer in optimizers:
            optimizer.step()
    assert_equal(values(up), values(down))


@check
def execution_paths_agree(subject: Subject) -> None:
    if not subject.supports("foreach", "fused"):
        return
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        results = []
        for path in PATHS:
            params = make_params(dtype)
            optimizer = subject(params, **path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # where nothing can be compiled
                run(optimizer, params, 0, 20)
            results.append(values(params))
        for other in results[1:]:
            for x, y in zip(other, results[0], strict=True):
                torch.testing.assert_close(x, y, rtol=tolerance, atol=tolerance)


@check
def gradients_accumulate_over_backward_passes(subject: Subject) -> None:
    results = []
    for parts in (1, 2):
        layer = nn.Linear(4, 3)
        # Of full rank: where singular values vanish, their vectors are rounding.
        for p in layer.parameters():
            p.data = torch.linspace(-0.3, 0.4, p.numel()).sin().view_as(p)
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        optimizer = subject(layer.parameters())
        for _ in range(3):
            optimizer.zero_grad(set_to_none=parts == 1)
            for piece in inputs.chunk(parts):
                (layer(piece).square().sum() / 8).backward()
            optimizer.step()
        results.append([p.detach() for p in layer.parameters()])
    for x, y in zip(*results, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)


@check
def a_compiled_training_step_gives_the_same_parameters(subject: Subject) -> None:
    inputs = torch.linspace(-1, 1, 24).view(4, 6)
    results = []
    for compiled in (False, True):
        layer = nn.Linear(6, 5)
        for p in layer.parameters():
            p.data = torch.linspace(-1, 1, p.numel()).view(p.shape)
        optimizer = subject(layer.parameters())

        def train(layer: Any = layer, optimizer: Any = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            loss = layer(inputs).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        with warnings.catch_warnings():
            # torch's own, while it traces
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
            step = torch.compile(train, backend="eager") if compiled else train
            losses = [step().item() for _ in range(3)]
        results.append([*values(list(layer.parameters())), torch.tensor(losses)])
    torch._dynamo.reset()
    for x, y in zip(*results, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)


@check
def replaced_parameter_memory_is_noticed(subject: Subject) -> None:
    params, twins = make_params(), make_params()
    optimizer, other = subject(params), subject(twins)
    run(optimizer, params, 0, 2)
    run(other, twins, 0, 2)
    old = [p.data for p in params]
    kept = [t.clone() for t in old]
    for p in params:
        p.data = p.data.clone()
    run(optimizer, params, 2, 4)
    run(other, twins, 2, 4)
    assert_equal(values(params), values(twins))
    assert_equal(old, kept)


@check
def nan_in_one_parameter_leaves_the_others_alone(subject: Subject) -> None:
    params, twins = make_params(), make_params()
    optimizer, other = subject(params), subject(twins)
    set_grads(params, 0)
    set_grads(twins, 0)
    params[0].grad.fill_(math.nan)
    optimizer.step()
    other.step()
    assert_equal(values(params[1:]), values(twins[1:]))


@check
def complex_parameters_work_or_are_refused(subject: Subject) -> None:
    z = nn.Parameter(torch.tensor([1.0 + 2.0j, -0.5 + 0.25j]))
    z.grad = torch.tensor([1.0 - 1.0j, 2.0 + 3.0j])
    before = z.detach().clone()
    refusal = ""
    try:
        subject([z], **({"weight_decay": 0.0} if subject.supports("weight_decay") else {})).step()
    except (ValueError, RuntimeError, TypeError) as error:
        refusal = str(error)
    if refusal:
        assert "omplex" in refusal
        return
    assert z.is_complex()
    moved = torch.view_as_real(z.detach() - before)
    assert (moved * torch.tensor([[1.0, -1.0], [2.0, 3.0]]) < 0).all()
