"""GaLore and Fira against plain float64 references, BAdam against Adam, and all of them as optimizers of torch."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from tests.optim.conformance import Subject
from tests.optim.frugal.common import gradient, matrix, run, state_bytes_of
from tests.optim.matrix_subjects import CHECKS, exception, low_rank_subjects
from torch import Tensor, nn

from optimand.optim.badam import BAdam
from optimand.optim.fira import Fira
from optimand.optim.galore import GaLore
from optimand.optim.memory import state_bytes, tensors_in

SHAPES = [(12, 8), (8, 12), (9, 9)]
SIDES = ["std", "reverse_std", "left", "right"]


def leading(grad: Tensor, rank: int, side: str) -> tuple[Tensor | None, Tensor | None]:
    """Leading singular vectors, left as columns and right as rows, the largest entry of each positive."""
    u, _, vh = torch.linalg.svd(grad, full_matrices=False)
    tall = grad.shape[0] >= grad.shape[1]
    kind = {"std": "right" if tall else "left", "reverse_std": "left" if tall else "right"}.get(side, side)

    def turned(columns: Tensor) -> Tensor:
        extreme = columns.gather(0, columns.abs().argmax(0, keepdim=True))
        return columns * extreme.sign()

    left = turned(u[:, :rank]) if kind == "left" else None
    right = turned(vh[:rank].T).T if kind == "right" else None
    return left, right


def reference(
    p: Tensor, grads: list[Tensor], *, rank: int, gap: int, scale: float, side: str, lr: float, weight_decay: float,
    fira: bool = False, growth: float | None = 1.01,
) -> Tensor:  # fmt: skip
    """GaLore and Fira, line by line, in float64."""
    m: Any = 0
    v: Any = 0
    record = 0.0
    for t, g in enumerate(grads):
        if t % gap == 0:
            left, right = leading(g, rank, side)
        low = g if left is None else left.T @ g
        low = low if right is None else low @ right.T

        def up(x: Tensor, left: Tensor | None = left, right: Tensor | None = right) -> Tensor:
            x = x if left is None else left @ x
            return x if right is None else x @ right

        m = 0.9 * m + 0.1 * low
        v = 0.999 * v + 0.001 * low**2
        psi = m / (v.sqrt() + 1e-6)
        update = scale * up(psi)
        if fira:
            dim = 1 if left is None else 0
            s = (g - up(low)) * (psi.norm(dim=dim, keepdim=True) / (low.norm(dim=dim, keepdim=True) + 1e-8))
            norm = s.norm().item()
            if growth is not None and record:
                factor = max(norm / (record + 1e-8), growth) / growth
                s, norm = s / factor, norm / factor
            record = norm
            update = update + s
        p = p - lr * (1 - 0.999 ** (t + 1)) ** 0.5 / (1 - 0.9 ** (t + 1)) * update
        p = p * (1 - lr * weight_decay)
    return p


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_galore_follows_its_algorithm_across_new_projections(shape, side, dtype) -> None:
    p = nn.Parameter(matrix(*shape).detach().to(dtype))
    start = p.detach().clone().double()
    optimizer = GaLore([p], lr=0.01, weight_decay=0.1, rank=3, update_proj_gap=4, proj_type=side)
    run(optimizer, [p], 0, 10)
    grads = [gradient(shape, step).double() for step in range(10)]
    options = {"rank": 3, "gap": 4, "scale": 0.25, "side": side, "lr": 0.01, "weight_decay": 0.1}
    expected = reference(start, grads, **options)
    tolerance = 1e-9 if dtype == torch.float64 else 2e-5
    torch.testing.assert_close(p.detach().double(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("growth", [1.01, None])
def test_fira_follows_its_algorithm(shape, side, growth) -> None:
    p = nn.Parameter(matrix(*shape).detach().double())
    start = p.detach().clone()
    optimizer = Fira(
        [p], lr=0.01, weight_decay=0.1, rank=3, update_proj_gap=4, scale=0.5, proj_type=side, norm_growth=growth
    )
    grads = [gradient(shape, step).double() * (1 + step) ** 2 for step in range(10)]
    for g in grads:
        p.grad = g.clone()
        optimizer.step()
    options = {"rank": 3, "gap": 4, "scale": 0.5, "side": side, "lr": 0.01, "weight_decay": 0.1}
    expected = reference(start, grads, **options, fira=True, growth=growth)
    torch.testing.assert_close(p.detach(), expected, rtol=0, atol=1e-9)


def test_fira_with_the_authors_residual_keeps_a_part_of_the_projected_gradient() -> None:
    moved = []
    for scaled in (False, True):
        p = matrix(12, 8)
        before = p.detach().clone()
        optimizer = Fira([p], lr=0.01, rank=3, scale=0.25, scaled_residual=scaled)
        run(optimizer, [p], 0, 1)
        moved.append((before - p.detach()) @ optimizer.state[p]["right"].T)
    low = gradient((12, 8), 0) @ optimizer.state[p]["right"].T
    extra = low * (low.sign().norm(dim=1, keepdim=True) / low.norm(dim=1, keepdim=True))
    torch.testing.assert_close(moved[1] - moved[0], 0.01 * 0.75 * extra, rtol=1e-3, atol=1e-5)


def test_fira_forgets_zero_norms() -> None:
    p, twin = matrix(6, 4), matrix(6, 4)
    optimizers = Fira([p], lr=0.01, rank=2), Fira([twin], lr=0.01, rank=2, norm_growth=None)
    p.grad, twin.grad = torch.zeros(6, 4), torch.zeros(6, 4)
    for optimizer in optimizers:
        optimizer.step()
    p.grad = twin.grad = gradient((6, 4), 1)
    for optimizer in optimizers:
        optimizer.step()
    assert torch.equal(p, twin)


@pytest.mark.parametrize("build", [GaLore, Fira])
def test_states_are_those_of_the_paper(build) -> None:
    params = [matrix(30, 50), matrix(50, 30)]
    optimizer = build(params, rank=8)
    run(optimizer, params, 0, 2)
    numbers = 2 * (2 * 50 * 8 + 30 * 8) + (2 if build is Fira else 0)
    assert state_bytes_of(optimizer, params) == 4 * numbers
    quantized = build(params, rank=8, state_dtype=torch.uint8)
    run(quantized, params, 0, 2)
    assert quantized.state[params[0]]["exp_avg"].codes.nbytes == 400


@pytest.mark.parametrize("build", [GaLore, Fira])
@pytest.mark.parametrize("options", [{}, {"proj": "random"}, {"state_dtype": torch.uint8}], ids=str)
def test_resuming_across_a_new_projection_is_exact(build, options) -> None:
    def new() -> tuple[list[nn.Parameter], Any]:
        params = [matrix(9, 14), matrix(14, 9, seed=1), matrix(5, seed=2)]
        return params, build(params, rank=4, update_proj_gap=5, **options)

    params, optimizer = new()
    run(optimizer, params, 0, 7)
    buffer = io.BytesIO()
    torch.save({"params": [p.detach() for p in params], "optimizer": optimizer.state_dict()}, buffer)
    run(optimizer, params, 7, 14)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    fresh, resumed = new()
    for p, value in zip(fresh, saved["params"], strict=True):
        p.data.copy_(value)
    resumed.load_state_dict(saved["optimizer"])
    run(resumed, fresh, 7, 14)
    assert all(map(torch.equal, params, fresh))


def test_groups_of_galore_torch_carry_over() -> None:
    p, q = matrix(6, 8), matrix(6, 8)
    group = {"params": [p], "rank": 2, "update_proj_gap": 10, "scale": 0.25, "proj_type": "std"}
    optimizer = GaLore([{"params": [q]}, group], lr=0.01)
    run(optimizer, [p, q], 0, 2)
    assert optimizer.state[p]["exp_avg"].shape == (2, 8)
    assert optimizer.state[q]["exp_avg"].shape == (6, 8)


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (GaLore, {"rank": 0}, "rank must be at least 1, got 0"),
        (GaLore, {"update_proj_gap": 0}, "update_proj_gap must be at least 1, got 0"),
        (GaLore, {"scale": 0.0}, "scale must be in .* got 0.0"),
        (GaLore, {"proj": "qr"}, "proj must be one of 'svd', 'random', got 'qr'"),
        (GaLore, {"proj_type": "up"}, "proj_type must be one of"),
        (GaLore, {"oversize": "ignore"}, "oversize must be one of"),
        (Fira, {"norm_growth": 0.5}, "norm_growth must be in .* got 0.5"),
        (BAdam, {"switch_every": 0}, "switch_every must be at least 1, got 0"),
        (BAdam, {"order": "mirror"}, "order must be one of 'random'"),
    ],
)
def test_bad_values_are_named(build, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        build([matrix(6, 8)], **options)


def test_a_rank_above_the_smaller_side_is_clamped_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="the smaller side is taken there"):
        optimizer = GaLore([p := matrix(6, 8)], rank=9)
    run(optimizer, [p], 0, 1)
    assert optimizer.state[p]["exp_avg"].shape == (6, 8)


# BAdam


def layers() -> list[tuple[str, nn.Parameter]]:
    return [(f"layers.{i // 2}.{'wb'[i % 2]}", matrix(*((4, 3) if i % 2 == 0 else (4,)), seed=i)) for i in range(6)]


def test_badam_is_adam_on_one_block_after_another() -> None:
    named, twins = layers(), [p for _, p in layers()]
    params = [p for _, p in named]
    optimizer = BAdam(named, lr=0.01, weight_decay=0.1, switch_every=3, order="ascending")
    assert optimizer.blocks == ["layers.0", "layers.1", "layers.2"]
    for turn in range(4):
        block = turn % 3
        assert optimizer.active_block == f"layers.{block}"
        adam = torch.optim.AdamW(twins[2 * block : 2 * block + 2], lr=0.01, weight_decay=0.1)
        run(optimizer, params, 3 * turn, 3 * turn + 3)
        run(adam, twins, 3 * turn, 3 * turn + 3)
        for p, q in zip(params, twins, strict=True):
            torch.testing.assert_close(p, q, rtol=0, atol=1e-6)
        assert [bool(optimizer.state.get(p)) for p in params] == [i // 2 == block for i in range(6)]
        assert state_bytes(optimizer) == 2 * 4 * (12 + 4) + 2 * 4


def test_badams_random_order_visits_every_block_once_a_round() -> None:
    named = layers()
    params = [p for _, p in named]

    def turns(seed: int) -> list[str | None]:
        optimizer = BAdam(named, switch_every=1, seed=seed)
        seen = []
        for step in range(9):
            seen.append(optimizer.active_block)
            run(optimizer, params, step, step + 1)
        return seen

    seen = turns(0)
    assert [sorted(seen[i : i + 3]) for i in (0, 3, 6)] == [["layers.0", "layers.1", "layers.2"]] * 3
    assert turns(0) == seen
    assert any(turns(seed) != seen for seed in range(1, 4))


def test_badam_resumes_within_and_across_turns() -> None:
    def new() -> tuple[list[nn.Parameter], BAdam]:
        named = layers()
        return [p for _, p in named], BAdam(named, lr=0.01, switch_every=3)

    for cut in (4, 6):
        params, optimizer = new()
        run(optimizer, params, 0, cut)
        buffer = io.BytesIO()
        torch.save({"params": [p.detach() for p in params], "optimizer": optimizer.state_dict()}, buffer)
        run(optimizer, params, cut, 12)
        buffer.seek(0)
        saved = torch.load(buffer, weights_only=True)
        fresh, resumed = new()
        for p, value in zip(fresh, saved["params"], strict=True):
            p.data.copy_(value)
        resumed.load_state_dict(saved["optimizer"])
        run(resumed, fresh, cut, 12)
        assert all(map(torch.equal, params, fresh))


def test_badams_blocks_come_from_labels_names_or_groups() -> None:
    def group(*shapes: tuple[int, ...], **keys: Any) -> dict[str, Any]:
        return {"params": [matrix(*shape) for shape in shapes], **keys}

    assert BAdam([matrix(2, 2), matrix(3)]).blocks == ["0", "1"]
    assert BAdam([group((2, 2), (2,)), group((2,))]).blocks == ["group 0", "group 1"]
    assert BAdam([group((2, 2), (2,), lr=0.1)]).blocks == ["group 0"]
    assert BAdam([group((2, 2), block="a"), group((2,), block="b"), group((3,), block="a")]).blocks == ["a", "b"]
    named = [group((2, 2), name="layers.0.matrices"), group((2,), name="layers.0.norms"), group((2,), name="head")]
    assert BAdam(named).blocks == ["layers.0", "head"]
    assert BAdam(layers()).blocks == ["layers.0", "layers.1", "layers.2"]


def test_badam_moves_always_active_groups_in_every_step() -> None:
    head, blocks = matrix(3, 2), [matrix(2, 2), matrix(2, 2, seed=1)]
    groups = [{"params": [head], "always_active": True}, *({"params": [p], "block": i} for i, p in enumerate(blocks))]
    optimizer, twin = BAdam(groups, lr=0.01, switch_every=1), matrix(3, 2)
    run(optimizer, [head, *blocks], 0, 5)
    run(torch.optim.AdamW([twin], lr=0.01, weight_decay=0.0), [twin], 0, 5)
    torch.testing.assert_close(head, twin, rtol=0, atol=1e-6)
    assert BAdam([head], always_active=True).active_block is None


def test_badam_can_freeze_what_is_not_active() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1))
    model[1].bias.requires_grad_(False)
    optimizer = BAdam(model.named_parameters(), switch_every=1, order="descending", freeze=True)
    for turn in range(4):
        active = 2 - turn % 3
        expected = [i == active and name != "1.bias" for name in dict(model.named_parameters()) for i in [int(name[0])]]
        assert [p.requires_grad for p in model.parameters()] == expected
        optimizer.zero_grad()
        model(torch.ones(2, 3)).sum().backward()
        assert [p.grad is not None for p in model.parameters()] == expected
        optimizer.step()
    left_alone = BAdam((other := nn.Linear(2, 2)).parameters())
    left_alone.step()
    assert all(p.requires_grad for p in other.parameters())


def test_badam_keeps_float32_moments_of_bf16_weights() -> None:
    p = matrix(4, 3, dtype=torch.bfloat16)
    optimizer = BAdam([p])
    run(optimizer, [p], 0, 1)
    assert {t.dtype for t in tensors_in(optimizer.state[p])} == {torch.float32}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("subject", low_rank_subjects(), ids=lambda subject: subject.name)
def test_conforms(subject: Subject, check) -> None:
    if reason := exception(subject, check.__name__):
        pytest.skip(reason)
    check(subject)
