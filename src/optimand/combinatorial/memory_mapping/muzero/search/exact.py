"""Search with the exact game as its model: every node of a tree holds a snapshot of the game.

A leaf's value is what a network says, the return of a random playout, or a blend of both. A whole batch of searches is
one compiled call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optimand.core.compiled import compiled

from ..features import DYNAMIC, write_features
from . import trees as t
from .board import Board, copy_state, decide, is_over, keep_best, play_out, saved
from .inference import Mlp, mlp_width, run_mlp
from .learned import Outcome
from .trees import Rule, Tree

ACTIONS = 2


class Room(NamedTuple):
    """Snapshots of all nodes and scratch."""

    ints: NDArray[np.int64]  # (B, M, …)
    floats: NDArray[np.float64]  # (B, M, …)
    spare_ints: NDArray[np.int64]
    spare_floats: NDArray[np.float64]
    x: NDArray[np.float32]  # (features,)
    work: NDArray[np.float32]  # (2, widest layer)
    out: NDArray[np.float32]  # (ACTIONS + 1,)
    sigma: NDArray[np.float64]  # (ACTIONS,)


@compiled(error_model="numpy")
def grow(board: Board, g: int, tree: Tree, rule: Rule, room: Room, r: int) -> int:
    """Select an edge, play it, and return the node below it; a terminal node is backed up; NONE: moves ran out."""
    parent, action = t.descend(tree, rule, room.sigma)
    if action == t.NONE:
        t.back_up(tree, parent, 0.0)
        return parent
    node = int(tree.root[t.SIZE])
    P, Q = board.p[g], board.q[g]
    S, F = room.ints[r, node], room.floats[r, node]
    copy_state(room.ints[r, parent], room.floats[r, parent], S, F)
    before = saved(Q, F)
    if not decide(P, Q, S, F, action, board.moves[g : g + 1]):
        return t.NONE
    t.new_node(tree, parent, action)
    tree.edges[parent, action, t.REWARD] = saved(Q, F) - before
    if is_over(P, S):
        tree.ups[node, t.TERMINAL] = 1
        keep_best(board, g, S, F)
        t.back_up(tree, node, 0.0)
    return node


@compiled(error_model="numpy")
def roll(board: Board, g: int, room: Room, r: int, node: int, rng: NDArray) -> float:
    """The return of one playout from a node, NaN where the moves ran out."""
    copy_state(room.ints[r, node], room.floats[r, node], room.spare_ints, room.spare_floats)
    before = saved(board.q[g], room.spare_floats)
    if not play_out(board, g, room.spare_ints, room.spare_floats, rng):
        return np.nan
    return saved(board.q[g], room.spare_floats) - before


@compiled(error_model="numpy")
def search_fused(
    board: Board,
    which: NDArray,
    trees: Tree,
    rule: Rule,
    room: Room,
    net: Mlp,
    simulations: int,
    blend: float,
    noise: NDArray,
    share: float,
    rng: NDArray,
    policies: NDArray,
    proposed: NDArray,
) -> bool:
    """All searches of a batch, leaves evaluated on the spot; False where the moves ran out."""
    for r in range(which.shape[0]):
        g = which[r]
        tree = t.one_tree(trees, r)
        t.reset_tree(tree)
        for simulation in range(simulations + 1):
            node = 0
            if simulation > 0:
                node = grow(board, g, tree, rule, room, r)
                if node == t.NONE:
                    return False
                if tree.ups[node, t.TERMINAL]:
                    continue
            value = 0.0
            for a in range(ACTIONS + 1):
                room.out[a] = 0.0
            if net.sizes.shape[0] > 1:
                S, F = room.ints[r, node], room.floats[r, node]
                write_features(board.p[g], board.q[g], S, F, board.table[g], board.later[g], room.x)
                run_mlp(net, room.x, room.work, room.out)
                value = float(room.out[ACTIONS])
            if blend > 0.0:
                drawn = roll(board, g, room, r, node, rng[r : r + 1])
                if np.isnan(drawn):
                    return False
                value = (1.0 - blend) * value + blend * drawn
            t.set_prior(tree, node, room.out[:ACTIONS])
            if node == 0 and share > 0.0:
                t.add_noise(tree, noise[r], share)
            tree.nodes[node, t.RAW] = value
            t.back_up(tree, node, value)
        proposed[r] = t.root_result(tree, rule, policies[r])
    return True


NO_NET = Mlp(np.zeros(0, np.float32), np.zeros(1, np.int64))


class ExactSearch:
    """Searches over the real game for batches of states.

    Args:
        rule: from ``make_rule`` for the same number of simulations and two actions.
        simulations: per search.
        blend: weight of a playout's return in the value of a leaf, in [0, 1]; the rest is the network's value.
    """

    def __init__(self, rule: Rule, simulations: int, *, blend: float = 0.0) -> None:
        self.rule, self.simulations, self.blend = rule, simulations, blend
        self._room: Room | None = None
        self._trees = t.make_trees(0, 1, ACTIONS)

    def run(
        self,
        board: Board,
        which: NDArray[np.int64],
        ints: NDArray[np.int64],
        floats: NDArray[np.float64],
        net: Mlp | None,
        rng: NDArray[np.uint64],
        *,
        gumbel: NDArray | None = None,
        noise: NDArray | None = None,
        share: float = 0.0,
    ) -> Outcome | None:
        """Search from states that are decisions.

        Args:
            board: the programs.
            which: (B,), program of each state.
            ints: (B, …), integers of the states.
            floats: (B, …), their numbers.
            net: a packed perceptron, or None for uniform priors and value 0.
            rng: (B,), states of the playouts' generators, which move on.
            gumbel: (B, 2), noise of Gumbel roots; None: none.
            noise: (B, 2), mixed into the priors of the roots; None: none.
            share: weight of ``noise``.

        Returns:
            What the searches propose, or None where the moves of a program ran out.
        """
        roots = len(which)
        net = NO_NET if net is None else net
        room, trees = self._make_room(board, roots, net)
        room.ints[:roots, 0], room.floats[:roots, 0] = ints, floats
        trees.root[:roots, t.GUMBEL_AT :] = 0.0 if gumbel is None else gumbel
        if noise is None:
            noise, share = np.zeros((roots, ACTIONS)), 0.0
        policies, proposed = np.zeros((roots, ACTIONS)), np.zeros(roots, np.int64)
        if not search_fused(
            board, which, trees, self.rule, room, net, self.simulations, self.blend, noise, share, rng, policies,
            proposed,
        ):  # fmt: skip
            return None
        return Outcome(proposed, policies, trees.nodes[:roots, 0, t.VALUE].copy())

    def _make_room(self, board: Board, roots: int, net: Mlp) -> tuple[Room, Tree]:
        features, widest = board.table.shape[2] + DYNAMIC, mlp_width(net)
        needed = board.start_ints.shape[1], features, widest
        room = self._room
        if room is None or len(room.ints) < roots or (room.ints.shape[2], len(room.x), room.work.shape[1]) != needed:
            nodes = self.simulations + 1
            self._trees = t.make_trees(roots, nodes, ACTIONS)
            room = self._room = Room(
                ints=np.zeros((roots, nodes, board.start_ints.shape[1]), np.int64),
                floats=np.zeros((roots, nodes, board.start_floats.shape[1])),
                spare_ints=np.zeros(board.start_ints.shape[1], np.int64),
                spare_floats=np.zeros(board.start_floats.shape[1]),
                x=np.zeros(features, np.float32),
                work=np.zeros((2, widest), np.float32),
                out=np.zeros(ACTIONS + 1, np.float32),
                sigma=np.zeros(ACTIONS),
            )
        return room, self._trees
