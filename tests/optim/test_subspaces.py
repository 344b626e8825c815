"""Subspaces of matrices: their maps, their draws, and states that change from one to another."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optimand.optim.projection import Shard2d, gaussian_projection
from optimand.optim.projection.selection import (
    active_blocks,
    draw_subset,
    entries_within,
    entry_limit,
    side_of,
    singular_vectors,
    subset_size,
)
from optimand.optim.projection.subspaces import Basis, Coordinates, Entries, basis_in, carry, draw_basis

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def random_matrix(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def basis(grad: torch.Tensor, kind: str, rank: int, side: str, *key: int) -> Basis:
    state: dict[str, torch.Tensor] = {}
    shard = Shard2d(tuple(grad.shape))
    draw_basis(state, grad, kind, rank, side, key, shard)
    found = basis_in(state, grad, shard)
    assert found is not None
    return found


def up(space: Basis, low: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    return space.add_up_(torch.zeros(shape), low)


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.data())
def test_coordinates_can_be_taken_and_put_back(shape, data) -> None:
    dim = data.draw(st.integers(0, 1))
    size = data.draw(st.integers(0, shape[dim]))
    space = Coordinates(dim, draw_subset(shape[dim], size, (1, 2)))
    x = random_matrix(*shape)
    part = space.down(x)
    assert part.shape == torch.Size(space.size(shape))
    assert part.shape[dim] == size
    cleared = space.put_(x.clone(), torch.zeros_like(part))
    assert not space.down(cleared).any()
    assert torch.equal(space.put_(cleared, part), x)


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.floats(0, 1))
def test_random_entries_are_as_many_as_asked_and_found_again(shape, density) -> None:
    total = shape[0] * shape[1]
    size = subset_size(total, density)
    limit = entry_limit(total, size, (3, 4))
    flat = entries_within(total, limit, (3, 4))
    assert len(flat) == size == len(flat.unique())
    assert torch.equal(flat, flat.sort().values)
    x = random_matrix(*shape)
    space = Entries(flat)
    assert torch.equal(space.down(x), x.view(-1)[flat])
    assert torch.equal(space.put_(x.clone(), space.down(x)), x)
    assert torch.equal(space.down(x.t().contiguous().t()), space.down(x))  # whatever the memory layout


def test_random_entries_cover_every_place_equally_and_without_order() -> None:
    total, size, draws = 96, 24, 1500
    counts = torch.zeros(total)
    pairs = 0
    for draw in range(draws):
        flat = entries_within(total, entry_limit(total, size, (0, draw)), (0, draw))
        counts[flat] += 1
        pairs += int((flat[1:] - flat[:-1] == 1).sum())
    spread = (draws * 0.25 * 0.75) ** 0.5
    assert (counts - draws * 0.25).abs().max() < 4.5 * spread
    # neighbours are both chosen with probability 24/96 * 23/95
    expected = draws * 95 * (24 / 96) * (23 / 95)
    assert abs(pairs - expected) < 5 * expected**0.5


def test_pieces_of_the_search_for_entries_join() -> None:
    total = (1 << 16) * 2 + 5
    flat = entries_within(total, entry_limit(total, 50_000, (9,)), (9,))
    assert len(flat) == len(flat.unique()) == 50_000
    assert flat.max() > 1 << 17


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["svd", "random"])
def test_bases_are_orthonormal_and_up_inverts_down(kind, side) -> None:
    grad = random_matrix(7, 5)
    space = basis(grad, kind, 3, side, 0, 1)
    vectors = space.vectors if side == "left" else space.vectors.T
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(3), rtol=0, atol=1e-5)
    assert vectors.untyped_storage().nbytes() == vectors.nbytes  # no factor of a decomposition is kept alive
    low = space.down(grad)
    assert low.shape == torch.Size(space.size(grad.shape))
    torch.testing.assert_close(space.down(up(space, low, (7, 5))), low, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (30, 30)])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_singular_vectors_span_what_a_decomposition_in_float64_finds(shape, side, dtype) -> None:
    decay = torch.logspace(0, -2, min(shape), dtype=torch.float64)
    u = torch.linalg.qr(random_matrix(shape[0], len(decay), seed=1, dtype=torch.float64)).Q
    v = torch.linalg.qr(random_matrix(shape[1], len(decay), seed=2, dtype=torch.float64)).Q
    matrix = (u * decay @ v.T).to(dtype)
    expected = torch.linalg.svd(matrix.double())
    exact = expected.U[:, :4] if side == "left" else expected.Vh[:4].T
    found = singular_vectors(matrix, 4, side)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    vectors = (found if side == "left" else found.T).double()
    overlap = (exact.T @ vectors).abs()
    torch.testing.assert_close(overlap, torch.eye(4, dtype=torch.float64), rtol=0, atol=2e-5)
    extremes = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    assert (extremes > 0).all()


@pytest.mark.parametrize("shape", [(4, 6), (64, 64), (512, 1376)])
def test_two_singular_vectors_catch_a_matrix_of_rank_two(shape) -> None:
    grad = random_matrix(shape[0], 2, seed=1) @ random_matrix(2, shape[1], seed=2)
    space = basis(grad, "svd", 2, "std")
    rest = (grad - up(space, space.down(grad), shape)).abs().max() / grad.abs().max()
    assert rest < 3e-6


def test_singular_vectors_of_bad_gradients_are_finite() -> None:
    for value in (float("nan"), float("inf"), 0.0):
        found = singular_vectors(torch.full((4, 3), value), 2, "right")
        assert torch.isfinite(found).all()


def test_draws_are_functions_of_their_key_alone() -> None:
    torch.manual_seed(1)
    first = [draw_subset(50, 9, (0, 3, 7)), gaussian_projection(2, 5, (1, 2))]
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = [draw_subset(50, 9, (0, 3, 7)), gaussian_projection(2, 5, (1, 2))]
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], draw_subset(50, 9, (0, 3, 8)))
    assert not torch.equal(first[0], draw_subset(50, 9, (1, 3, 7)))


def test_sizes_and_sides() -> None:
    assert [subset_size(n, 0.25) for n in (3, 4, 11)] == [0, 1, 2]
    assert [subset_size(n, 0.5, rounding="nearest") for n in (1, 3, 4)] == [0, 2, 2]  # ties to even
    assert subset_size(768, 8 / 768) == 8
    assert [side_of((3, 3), side) for side in ("std", "reverse_std")] == ["right", "left"]
    assert side_of((2, 5), "reverse_std") == "right"
    with pytest.raises(ValueError, match="proj_side must be one of"):
        side_of((2, 5), "up")
    with pytest.raises(ValueError, match="fewer than 4294967296"):
        entry_limit(1 << 32, 1, ())


def test_block_orders_go_round() -> None:
    assert [active_blocks(5, 2, "ascending", r, ()) for r in range(3)] == [[0, 1], [2, 3], [4, 0]]
    assert [active_blocks(5, 2, "descending", r, ()) for r in range(3)] == [[4, 3], [2, 1], [0, 4]]
    with pytest.raises(ValueError, match="block_order must be one of"):
        active_blocks(6, 3, "sideways", 0, ())
    assert active_blocks(6, 0, "random", 0, ()) == active_blocks(0, 0, "ascending", 0, ()) == []


def test_random_and_shuffled_blocks() -> None:
    drawn = [active_blocks(8, 2, "random", r, (0,)) for r in range(400)]
    assert all(len(set(blocks)) == 2 for blocks in drawn)
    counts = torch.bincount(torch.tensor(drawn).flatten(), minlength=8)
    assert (counts - 100).abs().max() < 4 * (400 * 0.25 * 0.75) ** 0.5
    turns = [active_blocks(8, 1, "shuffled", r, (0,))[0] for r in range(24)]
    assert [sorted(turns[i : i + 8]) for i in (0, 8, 16)] == [list(range(8))] * 3
    assert turns[:8] != turns[8:16]
    assert all(len(set(active_blocks(5, 2, "shuffled", r, (0,)))) in (1, 2) for r in range(20))


def test_states_change_from_subspace_to_subspace() -> None:
    state = random_matrix(3, 2)
    old, new = Coordinates(1, torch.tensor([1, 4])), Coordinates(1, torch.tensor([0, 4, 5]))
    moved = carry(old, new, state)
    assert torch.equal(moved, torch.stack([torch.zeros(3), state[:, 1], torch.zeros(3)], 1))
    assert torch.equal(moved, new.down(old.put_(torch.zeros(3, 6), state)))
    rows = Coordinates(0, torch.tensor([0, 2])), Coordinates(0, torch.tensor([2]))
    assert torch.equal(carry(*rows, state[:2]), state[1:2])
    entries = Entries(torch.tensor([0, 3, 7])), Entries(torch.tensor([3, 4]))
    assert carry(*entries, torch.tensor([1.0, 2.0, 3.0])).tolist() == [2.0, 0.0]
    assert carry(entries[0], Entries(torch.tensor([], dtype=torch.int64)), torch.ones(3)).shape == (0,)


@pytest.mark.parametrize("side", ["left", "right"])
def test_states_along_a_basis_change_with_it(side) -> None:
    grad = random_matrix(6, 5)
    old, new = (basis(grad, "random", 3, side, key) for key in (1, 2))
    state = random_matrix(*old.size(grad.shape), seed=3)
    torch.testing.assert_close(carry(old, new, state), new.down(up(old, state, (6, 5))))
    assert (carry(old, new, state.square(), squares=True) >= 0).all()
    # the same basis in another order: squares move with their vectors
    order = torch.tensor([2, 0, 1])
    vectors = old.vectors.index_select(old.kept, order)
    turned = Basis(old.dim, vectors, vectors, old.shard)
    expected = state.square().index_select(old.dim, order)
    torch.testing.assert_close(carry(old, turned, state.square(), squares=True), expected, rtol=1e-4, atol=1e-5)


def test_a_basis_in_a_state() -> None:
    state: dict[str, torch.Tensor] = {}
    grad, shard = random_matrix(6, 4), Shard2d((6, 4))
    assert basis_in(state, grad, shard) is None
    draw_basis(state, grad, "random", 2, "left", (0,), shard)
    draw_basis(state, grad, "svd", 2, "std", (0,), shard)
    assert set(state) == {"right"}
    space = basis_in(state, grad, shard)
    assert space is not None
    assert space.kept == 0
    torch.testing.assert_close(up(space, space.down(grad), (6, 4)), grad @ state["right"].T @ state["right"])
