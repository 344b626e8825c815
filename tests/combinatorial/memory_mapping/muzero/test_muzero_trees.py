"""The array trees: hand-computed values, schedules, and agreement with mctx."""

from __future__ import annotations

import hashlib
import itertools
import json
import math

import numpy as np
import pytest

from optimand.combinatorial.memory_mapping.muzero.search import trees as t
from optimand.combinatorial.memory_mapping.muzero.search.inference import pack_mlp, run_mlp
from optimand.combinatorial.memory_mapping.muzero.search.learned import ModelNets, ModelSearch
from optimand.combinatorial.memory_mapping.muzero.search.trees import considered_visits, make_rule


def small_tree(actions: int = 2) -> t.Tree:
    tree = t.one_tree(t.make_trees(1, 8, actions), 0)
    t.reset_tree(tree)
    t.set_prior(tree, 0, np.zeros(actions))
    t.back_up(tree, 0, 0.5)
    return tree


def hang(tree: t.Tree, action: int, reward: float, value: float) -> int:
    node = t.new_node(tree, 0, action)
    tree.edges[0, action, t.REWARD] = reward
    t.set_prior(tree, node, np.zeros(tree.children.shape[1]))
    tree.nodes[node, t.RAW] = value
    t.back_up(tree, node, value)
    return node


def test_backing_up_adds_rewards_and_averages():
    tree = small_tree()
    hang(tree, 0, 0.25, 1.0)
    hang(tree, 1, -0.5, 0.0)
    assert tree.nodes[0, t.VISITS] == 3
    assert tree.nodes[0, t.VALUE] == pytest.approx((0.5 + 1.25 - 0.5) / 3)
    assert (tree.root[t.LOW], tree.root[t.HIGH]) == (-0.5, 1.25)


def test_puct_takes_the_action_of_the_greatest_score():
    tree = small_tree()
    hang(tree, 0, 0.25, 1.0)
    hang(tree, 1, -0.5, 0.0)
    rule = make_rule("puct", 8)
    assert t.puct_choice(tree, 0, rule.c1, rule.c2) == 0
    # With a large exploration constant the less visited action wins.
    tree = small_tree()
    hang(tree, 0, 0.25, 1.0)
    assert t.puct_choice(tree, 0, 50.0, rule.c2) == 1


@pytest.mark.parametrize("c2", [2.0, 19652.0])
def test_puct_is_its_formula_on_random_trees(c2):
    c1, rng, choices = 1.25, np.random.default_rng(0), set()
    for _ in range(200):
        tree = small_tree(4)
        logits = rng.normal(size=4)
        t.set_prior(tree, 0, logits)
        for action in rng.permutation(4)[: rng.integers(1, 4)]:
            child = hang(tree, int(action), rng.normal(), rng.normal())
            for _ in range(rng.integers(0, 6)):
                t.back_up(tree, child, rng.normal())
        prior, total = np.exp(logits) / np.exp(logits).sum(), tree.nodes[0, t.VISITS]
        low, high = tree.root[t.LOW], tree.root[t.HIGH]
        scores = []
        for action, child in enumerate(tree.children[0]):
            visits = tree.nodes[child, t.VISITS] if child >= 0 else 0
            q = tree.edges[0, action, t.REWARD] + tree.nodes[child, t.VALUE] if child >= 0 else tree.nodes[0, t.VALUE]
            explore = prior[action] * math.sqrt(total) / (1 + visits) * (c1 + math.log((total + c2 + 1) / c2))
            scores.append((q - low) / (high - low) + explore if high > low else explore)
        choices.add(int(np.argmax(scores)))
        assert t.puct_choice(tree, 0, c1, c2) == int(np.argmax(scores))
    assert choices == {0, 1, 2, 3}


def test_completed_values_use_the_mixed_value_for_unvisited_actions():
    tree = small_tree(3)
    tree.nodes[0, t.RAW] = 0.5
    hang(tree, 0, 0.0, 1.0)
    rule = make_rule("gumbel", 8, actions=3, value_scale=1.0, visit_init=1.0)
    sigma = np.zeros(3)
    assert t.completed_values(tree, 0, rule, sigma) == 1
    # Scaled by the range from the mixed value, (0.5 + 1 * 1.0) / 2, to 1.
    assert sigma == pytest.approx(np.array([1.0, 0.0, 0.0]) * (1 + 1))


def test_a_search_ends_at_terminal_nodes():
    tree = small_tree()
    node = hang(tree, 0, 1.0, 0.0)
    tree.ups[node, t.TERMINAL] = 1
    hang(tree, 1, 0.0, 0.0)
    rule = make_rule("puct", 8, c1=0.0)
    assert t.descend(tree, rule, np.zeros(2)) == (node, t.NONE)


@pytest.mark.parametrize(("considered", "simulations"), [(2, 16), (4, 16), (16, 50), (3, 7), (5, 4)])
def test_sequential_halving_visits_considered_actions_evenly(considered, simulations):
    schedule = considered_visits(considered, simulations)
    assert len(schedule) == simulations
    visits = np.zeros(considered, int)
    for wanted in schedule:  # there is always an action with so many visits
        candidates = np.flatnonzero(visits == wanted)
        assert len(candidates)
        visits[candidates[0]] += 1
    assert visits.sum() == simulations
    rounds = math.ceil(math.log2(considered))
    assert visits.max() >= simulations // (considered * rounds)


@pytest.mark.parametrize(
    ("considered", "simulations", "schedule"),
    [
        # m = 4, n = 10: ceil(log2 4) = 2 rounds; floor(10 / (2 * 4)) = 1 visit of each of 4, floor(10 / (2 * 2)) = 2 of
        # each of 2; the two simulations that are left go to the last two, which never become one.
        (4, 10, [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]),
        # m = 3, n = 7: 2 rounds; 1 visit of 3, then floor(7 / 4) = 1 of the last two, twice.
        (3, 7, [0, 0, 0, 1, 1, 2, 2]),
        # m = 2, n = 5: 1 round; floor(5 / 2) = 2 visits of both, the fifth simulation begins another round of two.
        (2, 5, [0, 0, 1, 1, 2]),
        # m = 16, n = 22: floor(22 / (4 * 16)) = 0 is raised to one visit of each of 16; then one of 6 of the best 8.
        (16, 22, [0] * 16 + [1] * 6),
        # m = 7, n = 22: 3 rounds; 1 visit of 7, floor(22 / 9) = 2 of floor(7 / 2) = 3, then 3 of 2 until all are given.
        (7, 22, [0] * 7 + [1, 1, 1, 2, 2, 2] + [3, 3, 4, 4, 5, 5, 6, 6, 7]),
    ],
)
def test_the_schedule_is_that_of_sequential_halving(considered, simulations, schedule):
    """Karnin et al. 2013 with the rule of Danihelka et al. 2022: max(1, floor(n / (ceil(log2 m) m_left))) visits."""
    assert considered_visits(considered, simulations).tolist() == schedule


def test_every_schedule_is_that_of_mctx():
    sizes = itertools.product(range(1, 18), (1, 2, 5, 16, 23, 64))
    ours = json.dumps([considered_visits(*size).tolist() for size in sizes])
    # Of the same list by mctx 0.0.71, get_sequence_of_considered_visits.
    assert (
        hashlib.sha256(ours.encode()).hexdigest() == "5768905a74cebb2d6dcb3503ac36298828e69461b2312677911f0803ad2c7cc4"
    )


def test_rules_refuse_bad_arguments():
    with pytest.raises(ValueError, match=r"root must be one of 'puct', 'gumbel'.*'alpha'"):
        make_rule("alpha", 8)
    with pytest.raises(ValueError, match="simulations must be at least 1, got 0"):
        make_rule("puct", 0)


def layers(rng: np.random.Generator, *sizes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = itertools.pairwise(sizes)
    return [(rng.normal(size=(o, i)) / np.sqrt(i), rng.normal(size=o) * 0.3) for i, o in pairs]


@pytest.mark.parametrize("sizes", [(7, 20, 3), (5, 16, 24, 17), (4, 3)])
def test_perceptrons_agree_with_matrix_products(sizes):
    rng = np.random.default_rng(0)
    parts = layers(rng, *sizes)
    x = rng.normal(size=sizes[0]).astype(np.float32)
    wanted = x.astype(float)
    for place, (weight, bias) in enumerate(parts):
        wanted = weight @ wanted + bias
        if place < len(parts) - 1:
            wanted = np.maximum(wanted, 0)
    out = np.zeros(sizes[-1], np.float32)
    run_mlp(pack_mlp(parts), x, np.zeros((2, max(sizes)), np.float32), out)
    assert out == pytest.approx(wanted, abs=1e-5)


def test_gumbel_search_agrees_with_mctx():
    """Against what ``gumbel_muzero_policy`` of mctx 0.0.71 gave for the same model, features and noise."""
    actions, width, features, simulations, roots = 3, 8, 6, 24, 5
    rng = np.random.default_rng(0)
    sizes = (features, 16, width), (width + actions, 16, width + 1), (width, 16, actions + 1)
    nets = ModelNets(*[pack_mlp(layers(rng, *s)) for s in sizes])
    x = rng.normal(size=(roots, features)).astype(np.float32)
    noise = np.array([
        [0.0973745, 0.5110788, -0.4069325], [-0.5526455, 2.0713303, 0.5636541], [-0.8245354, -0.9743427, 0.1372446],
        [1.8847964, 0.9352495, 4.9245944], [2.3190625, 0.2337584, 2.5065820],
    ])  # fmt: skip
    weights = np.array([
        [0.0030582, 0.9946979, 0.0022438], [0.0302174, 0.9686317, 0.0011509], [0.0139161, 0.9847161, 0.0013679],
        [0.2679000, 0.7290028, 0.0030971], [0.1259586, 0.8725891, 0.0014522],
    ])  # fmt: skip
    ours = ModelSearch(make_rule("gumbel", simulations, actions=actions), simulations, actions).run(nets, x, noise)
    assert ours.actions.tolist() == [1, 1, 1, 1, 0]
    assert ours.policies == pytest.approx(weights, abs=1e-4)
    values = np.array([-1.0444680, -1.1192005, -1.1688100, -1.0673202, -1.0759987])
    assert ours.values == pytest.approx(values, abs=1e-4)
