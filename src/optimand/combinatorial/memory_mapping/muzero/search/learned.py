"""Search with a learned model (MuZero, arXiv 1911.08265): the tree never asks the game.

A hidden state is rescaled to [0, 1] after each application of the dynamics, as there. The whole search is one compiled
call: dynamics and prediction are small perceptrons (see ``inference``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimand.core.compiled import compiled

from . import trees as t
from .inference import Mlp, mlp_width, run_mlp
from .trees import Rule, Tree


class ModelNets(NamedTuple):
    """The three functions of MuZero as perceptrons."""

    representation: Mlp  # features -> hidden
    dynamics: Mlp  # hidden and one-hot action -> hidden and reward
    prediction: Mlp  # hidden -> logits and value


class Outcome(NamedTuple):
    """What a search says about each of B roots."""

    actions: NDArray[np.int64]  # (B,), proposed
    policies: NDArray[np.float64]  # (B, A), improved, the target of training
    values: NDArray[np.float64]  # (B,), mean of the values backed up to the root


@compiled(error_model="numpy")
def rescale(hidden: NDArray) -> None:
    """Move and scale a hidden state to [0, 1] in place."""
    low, high = hidden[0], hidden[0]
    for value in hidden:
        low, high = min(low, value), max(high, value)
    scale = np.float32(1.0) / max(high - low, np.float32(1e-5))
    for i in range(hidden.shape[0]):
        hidden[i] = (hidden[i] - low) * scale


@compiled(error_model="numpy")
def predict(nets: ModelNets, tree: Tree, node: int, hidden: NDArray, work: NDArray, out: NDArray) -> float:
    """Set the priors of a node and return its value; ``out`` is room for logits and value."""
    actions = tree.children.shape[1]
    head = out[: actions + 1]
    run_mlp(nets.prediction, hidden, work, head)
    t.set_prior(tree, node, head[:actions])
    tree.nodes[node, t.RAW] = head[actions]
    return float(head[actions])


@compiled(error_model="numpy")
def search_model(
    nets: ModelNets,
    trees: Tree,
    rule: Rule,
    features: NDArray,
    simulations: int,
    hidden: NDArray,
    work: NDArray,
    noise: NDArray,
    share: float,
    policies: NDArray,
    proposed: NDArray,
) -> None:
    """Search from each row of ``features``."""
    actions = trees.children.shape[2]
    width = hidden.shape[2]
    joined = np.zeros(width + actions, np.float32)
    out = np.zeros(max(width, actions) + 1, np.float32)
    sigma = np.zeros(actions)
    for r in range(features.shape[0]):
        tree = t.one_tree(trees, r)
        t.reset_tree(tree)
        run_mlp(nets.representation, features[r], work, hidden[r, 0])
        rescale(hidden[r, 0])
        value = predict(nets, tree, 0, hidden[r, 0], work, out)
        if share > 0.0:
            t.add_noise(tree, noise[r], share)
        t.back_up(tree, 0, value)
        for _ in range(simulations):
            parent, action = t.descend(tree, rule, sigma)
            for i in range(width):
                joined[i] = hidden[r, parent, i]
            for a in range(actions):
                joined[width + a] = np.float32(a == action)
            run_mlp(nets.dynamics, joined, work, out[: width + 1])
            node = t.new_node(tree, parent, action)
            tree.edges[parent, action, t.REWARD] = out[width]
            for i in range(width):
                hidden[r, node, i] = out[i]
            rescale(hidden[r, node])
            t.back_up(tree, node, predict(nets, tree, node, hidden[r, node], work, out))
        proposed[r] = t.root_result(tree, rule, policies[r])


class ModelSearch:
    """Searches over a learned model for batches of observations.

    Args:
        rule: from ``make_rule`` for the same number of simulations.
        simulations: per search.
        actions: of the game.
    """

    def __init__(self, rule: Rule, simulations: int, actions: int = 2) -> None:
        self.rule, self.simulations, self.actions = rule, simulations, actions
        self._room: tuple[Tree, NDArray, NDArray] | None = None

    def run(
        self, nets: ModelNets, features: NDArray, gumbel: NDArray, *, noise: NDArray | None = None, share: float = 0.0
    ) -> Outcome:
        """Search from observations.

        Args:
            nets: the model.
            features: (B, F), float32.
            gumbel: (B, A), noise of the roots; zero for none. Only Gumbel search reads it.
            noise: (B, A), mixed into the priors of the roots; None: none.
            share: weight of ``noise``.
        """
        roots, width = features.shape[0], int(nets.representation.sizes[-1])
        widest = mlp_width(*nets)
        room = self._room
        if room is None or room[0].root.shape[0] < roots or room[1].shape[2] != width or room[2].shape[1] < widest:
            trees = t.make_trees(roots, self.simulations + 1, self.actions)
            hidden = np.zeros((roots, self.simulations + 1, width), np.float32)
            room = self._room = (trees, hidden, np.zeros((2, widest), np.float32))
        trees, hidden, work = room
        trees.root[:roots, t.GUMBEL_AT :] = gumbel
        policies, proposed = np.zeros((roots, self.actions)), np.full(roots, t.NONE, np.int64)
        if noise is None:
            noise, share = np.zeros((roots, self.actions)), 0.0
        search_model(nets, trees, self.rule, features, self.simulations, hidden, work, noise, share, policies, proposed)
        return Outcome(proposed, policies, trees.nodes[:roots, 0, t.VALUE].copy())
