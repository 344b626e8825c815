"""The array trees: hand-computed values, schedules, and agreement with mctx."""

from __future__ import annotations

import itertools
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


@pytest.mark.filterwarnings("ignore")
def test_every_schedule_is_that_of_mctx():
    theirs = pytest.importorskip("mctx._src.seq_halving").get_sequence_of_considered_visits
    for considered, simulations in itertools.product(range(1, 18), (1, 2, 5, 16, 23, 64)):
        wanted = list(theirs(considered, simulations))
        assert considered_visits(considered, simulations).tolist() == wanted, (considered, simulations)


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


@pytest.mark.filterwarnings("ignore")
def test_gumbel_search_agrees_with_mctx():
    mctx = pytest.importorskip("mctx")
    import jax
    import jax.numpy as jnp

    actions, width, features, simulations, roots = 3, 8, 6, 24, 5
    rng = np.random.default_rng(0)
    parts = {
        "representation": layers(rng, features, 16, width),
        "dynamics": layers(rng, width + actions, 16, width + 1),
        "prediction": layers(rng, width, 16, actions + 1),
    }
    x = rng.normal(size=(roots, features)).astype(np.float32)

    def mlp(name, value):
        for place, (weight, bias) in enumerate(parts[name]):
            value = value @ jnp.asarray(weight, jnp.float32).T + jnp.asarray(bias, jnp.float32)
            value = jax.nn.relu(value) if place == 0 else value
        return value

    def rescale(hidden):
        low, high = hidden.min(-1, keepdims=True), hidden.max(-1, keepdims=True)
        return (hidden - low) / jnp.maximum(high - low, 1e-5)

    def step(_, __, action, hidden):
        out = mlp("dynamics", jnp.concatenate([hidden, jax.nn.one_hot(action, actions)], -1))
        hidden, reward = rescale(out[:, :-1]), out[:, -1]
        said = mlp("prediction", hidden)
        output = mctx.RecurrentFnOutput(
            reward=reward, discount=jnp.ones_like(reward), prior_logits=said[:, :-1], value=said[:, -1]
        )
        return output, hidden

    hidden = rescale(mlp("representation", jnp.asarray(x)))
    said = mlp("prediction", hidden)
    root = mctx.RootFnOutput(prior_logits=said[:, :-1], value=said[:, -1], embedding=hidden)
    theirs = mctx.gumbel_muzero_policy((), jax.random.PRNGKey(1), root, step, simulations)
    noise = np.asarray(theirs.search_tree.extra_data.root_gumbel)
    nets = ModelNets(*(pack_mlp(parts[name]) for name in ("representation", "dynamics", "prediction")))
    search = ModelSearch(make_rule("gumbel", simulations, actions=actions), simulations, actions)
    ours = search.run(nets, x, noise)
    assert ours.actions.tolist() == np.asarray(theirs.action).tolist()
    assert ours.policies == pytest.approx(np.asarray(theirs.action_weights), abs=1e-4)
    assert ours.values == pytest.approx(np.asarray(theirs.search_tree.node_values[:, 0]), abs=1e-4)
