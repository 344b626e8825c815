import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optimand.core.seeds import SeedTree


@given(st.integers(0, 2**40), st.lists(st.text(max_size=5), max_size=3))
def test_a_branch_gives_the_same_numbers_each_time(root, path):
    a, b = SeedTree(root).child(*path), SeedTree(root).child(*path)
    assert a.integer() == b.integer()
    assert 0 <= a.integer() < 2**63
    np.testing.assert_array_equal(a.numpy().normal(size=3), b.numpy().normal(size=3))


def test_branches_do_not_depend_on_the_order_in_which_they_are_made():
    tree = SeedTree(1)
    first = tree.child("model").integer()
    tree.child("data").numpy().normal(size=100)
    assert tree.child("model").integer() == first


def test_all_branches_differ():
    seeds = [
        SeedTree(r).child(*p).integer() for r in range(20) for p in [(), ("a",), ("b",), ("a", "b"), ("ab",), (0,)]
    ]
    assert len(set(seeds)) == len(seeds)


def test_nested_children_are_the_same_as_a_path():
    assert SeedTree(5).child("a").child("b").integer() == SeedTree(5).child("a", "b").integer()


def test_torch_generator_is_seeded():
    draws = [torch.rand(3, generator=SeedTree(2).child("x").torch()) for _ in range(2)]
    assert torch.equal(*draws)


@pytest.mark.parametrize("root", [-1, 1.5, "3"])
def test_bad_roots_are_refused(root):
    with pytest.raises((ValueError, TypeError), match="root must be"):
        SeedTree(root)


def test_golden_numbers_stay_as_they_are():
    # Stored studies rest on these: a change here makes every stored run another run.
    assert SeedTree(0).child("final", 0).child("data").integer() == GOLDEN


GOLDEN = 2808871358391452100
