"""Search trees as arrays, for PUCT (arXiv 1911.08265, appendix B) and Gumbel search (Danihelka et al., ICLR 2022).

A batch of trees shares arrays of shape (roots, nodes, actions, …), so that one compiled call works on all of them and
the leaves of all roots are evaluated together; ``one_tree`` is a view of one root's part. The functions know nothing of
a game: they select an edge to expand, hang a node below it, and back its value up. One player, no discount: the value
of an edge is its reward plus the mean value of its child. Rules, in integers because compiled code reads them: ``PUCT``
and ``GUMBEL``.

Where ours differs from mctx: unvisited edges of PUCT count as their parent's mean and Q is scaled by the range seen in
the whole tree (the original MuZero's), no edge is illegal, and nodes may be terminal. The original's pseudocode gives
unvisited edges the scaled value 0, the least in the tree, instead of the mean: visits then stay with the edge that was
tried first, which matters where leaves have no value (see the tests of the exact search).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimand.core.compiled import compiled
from optimand.core.validation import check_choice, check_int, check_number

PUCT, GUMBEL = 0, 1
RULES = {"puct": PUCT, "gumbel": GUMBEL}
NONE = -1


# Columns of the arrays of a tree. Few arrays, because each costs a count of references at every compiled call.
LOGIT, PRIOR, REWARD = 0, 1, 2
VISITS, VALUE, RAW = 0, 1, 2
PARENT, ACTION, TERMINAL = 0, 1, 2
SIZE, LOW, HIGH, GUMBEL_AT = 0, 1, 2, 3


class Rule(NamedTuple):
    """How edges are chosen, in numbers only; ``make_rule`` checks and fills it."""

    kind: int
    c1: float
    c2: float
    value_scale: float
    visit_init: float
    schedule: NDArray[np.int64]  # (simulations,): visits of the root's actions that are considered, by simulation


class Tree(NamedTuple):
    """A tree of at most M nodes with A actions, node 0 the root; or a batch of B, with one more axis in front."""

    children: NDArray[np.int32]  # (M, A), NONE where nothing was expanded
    edges: NDArray[np.float64]  # (M, A, 3): logit, its softmax, reward
    nodes: NDArray[np.float64]  # (M, 3): visits with the node's own evaluation, mean of what was backed up, evaluation
    ups: NDArray[np.int32]  # (M, 3): parent, the edge from it, 1 if terminal
    root: NDArray[np.float64]  # (3 + A,): nodes in use, least and greatest Q in the tree, Gumbel noise of the root


def make_trees(roots: int, nodes: int, actions: int) -> Tree:
    """Arrays for a batch of trees; ``reset_tree`` makes each ready for a search."""
    return Tree(
        children=np.full((roots, nodes, actions), NONE, np.int32),
        edges=np.zeros((roots, nodes, actions, 3)),
        nodes=np.zeros((roots, nodes, 3)),
        ups=np.zeros((roots, nodes, 3), np.int32),
        root=np.zeros((roots, 3 + actions)),
    )


@compiled(error_model="numpy")
def one_tree(trees: Tree, r: int) -> Tree:
    """The tree of root ``r`` of a batch, as views."""
    return Tree(trees.children[r], trees.edges[r], trees.nodes[r], trees.ups[r], trees.root[r])


@compiled(error_model="numpy")
def reset_tree(tree: Tree) -> None:
    """Empty the tree down to an unevaluated root."""
    tree.root[SIZE] = 0
    tree.root[LOW], tree.root[HIGH] = np.inf, -np.inf
    new_node(tree, NONE, NONE)


@compiled(error_model="numpy")
def new_node(tree: Tree, parent: int, action: int) -> int:
    """Hang a node below an edge and return its number."""
    node = int(tree.root[SIZE])
    tree.root[SIZE] = node + 1
    for a in range(tree.children.shape[1]):
        tree.children[node, a] = NONE
        tree.edges[node, a, REWARD] = 0.0
    tree.nodes[node, VISITS] = tree.nodes[node, VALUE] = tree.nodes[node, RAW] = 0.0
    tree.ups[node, PARENT], tree.ups[node, ACTION], tree.ups[node, TERMINAL] = parent, action, 0
    if parent >= 0:
        tree.children[parent, action] = node
    return node


@compiled(error_model="numpy")
def set_prior(tree: Tree, node: int, logits: NDArray) -> None:
    """Store logits and their softmax."""
    edges = tree.edges[node]
    top, total = -np.inf, 0.0
    for a in range(logits.shape[0]):
        edges[a, LOGIT] = logits[a]
        top = max(top, edges[a, LOGIT])
    for a in range(logits.shape[0]):
        edges[a, PRIOR] = math.exp(edges[a, LOGIT] - top)
        total += edges[a, PRIOR]
    for a in range(logits.shape[0]):
        edges[a, PRIOR] /= total


@compiled(error_model="numpy")
def add_noise(tree: Tree, noise: NDArray, share: float) -> None:
    """Mix noise into the priors of the root."""
    for a in range(noise.shape[0]):
        tree.edges[0, a, PRIOR] = (1.0 - share) * tree.edges[0, a, PRIOR] + share * noise[a]


@compiled(error_model="numpy")
def back_up(tree: Tree, node: int, value: float) -> None:
    """Add one visit with this value to the node and, with rewards added, to all nodes above it."""
    nodes, ups, root = tree.nodes, tree.ups, tree.root
    while True:
        count = nodes[node, VISITS]
        nodes[node, VALUE] = (nodes[node, VALUE] * count + value) / (count + 1.0)
        nodes[node, VISITS] = count + 1.0
        parent = ups[node, PARENT]
        if parent < 0:
            return
        reward = tree.edges[parent, ups[node, ACTION], REWARD]
        q = reward + nodes[node, VALUE]
        root[LOW] = min(root[LOW], q)
        root[HIGH] = max(root[HIGH], q)
        value += reward
        node = parent


@compiled(error_model="numpy")
def puct_choice(tree: Tree, node: int, c1: float, c2: float) -> int:
    """The action of greatest Q + P sqrt(N) / (1 + n) (c1 + log((N + c2 + 1) / c2)); ties to the first."""
    low, high = tree.root[LOW], tree.root[HIGH]
    scale = 1.0 / (high - low) if high > low else 0.0
    nodes, edges, children = tree.nodes, tree.edges[node], tree.children[node]
    total = nodes[node, VISITS]
    weight = math.sqrt(total) * (c1 + math.log((total + c2 + 1.0) / c2))
    best, best_score = -1, -np.inf
    for a in range(children.shape[0]):
        child = children[a]
        visits, q = 0.0, nodes[node, VALUE]
        if child >= 0:
            visits, q = nodes[child, VISITS], edges[a, REWARD] + nodes[child, VALUE]
        score = (q - low) * scale if scale > 0.0 else 0.0
        score += edges[a, PRIOR] * weight / (1.0 + visits)
        if score > best_score:
            best, best_score = a, score
    return best


@compiled(error_model="numpy")
def completed_values(tree: Tree, node: int, rule: Rule, sigma: NDArray) -> float:
    """Write sigma(completed Q) of each action to ``sigma`` and return the greatest number of visits.

    Unvisited actions get the mixed value (appendix D of the Gumbel paper). Values are scaled to [0, 1] by their range
    among the siblings, and then by (visit_init + most visits) * value_scale.
    """
    nodes, edges, children = tree.nodes, tree.edges[node], tree.children[node]
    total, most, mass, weighted = 0.0, 0.0, 0.0, 0.0
    for a in range(children.shape[0]):
        child = children[a]
        if child >= 0:
            total += nodes[child, VISITS]
            most = max(most, nodes[child, VISITS])
            prior = max(edges[a, PRIOR], 1e-300)
            mass += prior
            weighted += prior * (edges[a, REWARD] + nodes[child, VALUE])
    mixed = nodes[node, RAW]
    if total > 0.0:
        mixed = (mixed + total * weighted / mass) / (total + 1.0)
    low, high = np.inf, -np.inf
    for a in range(children.shape[0]):
        sigma[a] = edges[a, REWARD] + nodes[children[a], VALUE] if children[a] >= 0 else mixed
        low, high = min(low, sigma[a]), max(high, sigma[a])
    scale = (rule.visit_init + most) * rule.value_scale / max(high - low, 1e-8)
    for a in range(children.shape[0]):
        sigma[a] = (sigma[a] - low) * scale
    return most


@compiled(error_model="numpy")
def halving_choice(tree: Tree, considered: float, sigma: NDArray) -> int:
    """At the root: of the actions with ``considered`` visits, the greatest gumbel + logit + sigma(Q)."""
    nodes, edges, children = tree.nodes, tree.edges[0], tree.children[0]
    top = -np.inf
    for a in range(sigma.shape[0]):
        top = max(top, edges[a, LOGIT])
    best, best_score = -1, -np.inf
    for a in range(sigma.shape[0]):
        visits = nodes[children[a], VISITS] if children[a] >= 0 else 0.0
        if visits != considered:
            continue
        score = max(-1e9, tree.root[GUMBEL_AT + a] + edges[a, LOGIT] - top + sigma[a])
        if score > best_score:
            best, best_score = a, score
    return best


@compiled(error_model="numpy")
def improve(tree: Tree, node: int, sigma: NDArray) -> None:
    """Replace sigma(Q) by the improved policy, softmax of logits + sigma(Q)."""
    edges = tree.edges[node]
    top, mass = -np.inf, 0.0
    for a in range(sigma.shape[0]):
        sigma[a] += edges[a, LOGIT]
        top = max(top, sigma[a])
    for a in range(sigma.shape[0]):
        sigma[a] = math.exp(sigma[a] - top)
        mass += sigma[a]
    for a in range(sigma.shape[0]):
        sigma[a] /= mass


@compiled(error_model="numpy")
def interior_choice(tree: Tree, node: int, sigma: NDArray) -> int:
    """Below the root: the greatest improved probability less n / (1 + sum n), which makes visits follow the policy."""
    improve(tree, node, sigma)
    nodes, children = tree.nodes, tree.children[node]
    share = 1.0 / nodes[node, VISITS]  # a node's visits are those of its edges and its own evaluation
    best, best_score = -1, -np.inf
    for a in range(sigma.shape[0]):
        visits = nodes[children[a], VISITS] if children[a] >= 0 else 0.0
        score = sigma[a] - visits * share
        if score > best_score:
            best, best_score = a, score
    return best


@compiled(error_model="numpy")
def descend(tree: Tree, rule: Rule, sigma: NDArray) -> tuple[int, int]:
    """Walk from the root to an edge that nothing hangs below: (node, action), or (terminal node, NONE)."""
    node = 0
    while True:
        if tree.ups[node, TERMINAL]:
            return node, NONE
        if rule.kind == PUCT:
            action = puct_choice(tree, node, rule.c1, rule.c2)
        else:
            completed_values(tree, node, rule, sigma)
            if node == 0:
                considered = rule.schedule[int(tree.nodes[0, VISITS]) - 1]
                action = halving_choice(tree, float(considered), sigma)
            else:
                action = interior_choice(tree, node, sigma)
        child = tree.children[node, action]
        if child < 0:
            return node, action
        node = child


@compiled(error_model="numpy")
def root_result(tree: Tree, rule: Rule, policy: NDArray) -> int:
    """Write the improved policy of the root to ``policy`` and return the action that the search proposes.

    PUCT: the shares of visits, and the most visited action (ties to the greater Q). Gumbel: softmax of
    logits + sigma(completed Q), and the best of the most visited by gumbel + logit + sigma(Q).
    """
    nodes, edges, children = tree.nodes, tree.edges[0], tree.children[0]
    if rule.kind == GUMBEL:
        most = completed_values(tree, 0, rule, policy)
        best = halving_choice(tree, most, policy)
        improve(tree, 0, policy)
        return best
    best, most, best_q, total = 0, -1.0, -np.inf, nodes[0, VISITS] - 1.0
    for a in range(policy.shape[0]):
        visits, q = 0.0, -np.inf
        if children[a] >= 0:
            visits, q = nodes[children[a], VISITS], edges[a, REWARD] + nodes[children[a], VALUE]
        if visits > most or (visits == most and q > best_q):
            best, most, best_q = a, visits, q
        policy[a] = visits / total if total > 0.0 else edges[a, PRIOR]
    return best


def make_rule(
    root: str,
    simulations: int,
    *,
    actions: int = 2,
    c1: float = 1.25,
    c2: float = 19652.0,
    value_scale: float = 0.1,
    visit_init: float = 50.0,
) -> Rule:
    """A checked rule for ``descend`` and ``root_result``.

    Args:
        root: "puct" or "gumbel".
        simulations: per search, at least 1.
        actions: of the game.
        c1: PUCT's first constant.
        c2: PUCT's second constant.
        value_scale: of Gumbel's sigma.
        visit_init: of Gumbel's sigma, added to the most visits.

    Raises:
        ValueError: a choice that there is not, or a number outside its range.
    """
    kind = RULES[check_choice("root", root, RULES)]
    check_int("simulations", simulations, low=1)
    check_int("actions", actions, low=1)
    c1 = check_number("c1", c1, low=0.0)
    c2 = check_number("c2", c2, low=0.0, low_open=True)
    value_scale = check_number("value_scale", value_scale, low=0.0)
    visit_init = check_number("visit_init", visit_init, low=0.0)
    return Rule(kind, c1, c2, value_scale, visit_init, considered_visits(actions, simulations))


def considered_visits(considered: int, simulations: int) -> NDArray[np.int64]:
    """Sequential halving: at each simulation, how many visits the actions have that may be taken.

    Each of the ceil(log2(considered)) rounds shares its part of the simulations evenly among the actions left; after
    a round the better half stays, at least two.

    Reference:
        Karnin et al., Almost optimal exploration in multi-armed bandits (ICML 2013); Danihelka et al., figure 1.

    Example:
        >>> considered_visits(4, 8).tolist()
        [0, 0, 0, 0, 1, 1, 2, 2]
        >>> considered_visits(2, 6).tolist()
        [0, 0, 1, 1, 2, 2]
    """
    if considered <= 1:
        return np.arange(simulations, dtype=np.int64)
    rounds = math.ceil(math.log2(considered))
    given: list[int] = []
    left, visits = considered, 0
    while len(given) < simulations:
        for _ in range(max(1, int(simulations / (rounds * left)))):
            given.extend([visits] * left)
            visits += 1
        left = max(2, left // 2)
    return np.array(given[:simulations], np.int64)
