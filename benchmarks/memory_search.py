"""Speed of the batched tree search against mctx, the same learned model, side by side in one process.

Usage: python benchmarks/memory_search.py [--roots 1,16,128] [--simulations 50]

The model has layers of 64 units and 3 actions. Ours runs on one core; mctx is compiled by XLA for the processor.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from optimand.combinatorial.memory_mapping.game.simulator import Game
from optimand.combinatorial.memory_mapping.muzero import PolicyValueNet
from optimand.combinatorial.memory_mapping.muzero.features import feature_count
from optimand.combinatorial.memory_mapping.muzero.search.board import make_board
from optimand.combinatorial.memory_mapping.muzero.search.exact import ExactSearch
from optimand.combinatorial.memory_mapping.muzero.search.inference import pack_mlp
from optimand.combinatorial.memory_mapping.muzero.search.learned import ModelNets, ModelSearch
from optimand.combinatorial.memory_mapping.muzero.search.trees import make_rule
from optimand.combinatorial.memory_mapping.programs.library import hardware_of, recorded

ACTIONS, WIDTH, FEATURES, UNITS = 3, 64, 32, 64
Layers = list[tuple[np.ndarray, np.ndarray]]


def layers(rng: np.random.Generator, *sizes: int) -> Layers:
    """Random layers, weights of shape (outputs, inputs)."""
    return [(rng.normal(size=(o, i)) / np.sqrt(i), rng.normal(size=o) * 0.3) for i, o in itertools.pairwise(sizes)]


def least(calls: list[Callable[[], Any]], rounds: int = 40) -> list[float]:
    """Least seconds of each call, called in turn: on a busy machine a median measures the others."""
    for call in calls:
        call()
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, seconds in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    return [min(seconds) for seconds in taken]


def their_search(parts: list[Layers], x: np.ndarray, simulations: int, policy: str) -> Callable[[], Any] | None:
    """A search of mctx, None where it is not installed."""
    try:
        import jax
        import jax.numpy as jnp
        import mctx
    except ImportError:
        return None

    def mlp(net: Layers, value: Any) -> Any:
        for place, (weight, bias) in enumerate(net):
            value = value @ jnp.asarray(weight, jnp.float32).T + jnp.asarray(bias, jnp.float32)
            value = jax.nn.relu(value) if place < len(net) - 1 else value
        return value

    def rescale(hidden: Any) -> Any:
        low, high = hidden.min(-1, keepdims=True), hidden.max(-1, keepdims=True)
        return (hidden - low) / jnp.maximum(high - low, 1e-5)

    def step(_: Any, __: Any, action: Any, hidden: Any) -> Any:
        out = mlp(parts[1], jnp.concatenate([hidden, jax.nn.one_hot(action, ACTIONS)], -1))
        hidden, reward = rescale(out[:, :-1]), out[:, -1]
        said = mlp(parts[2], hidden)
        output = mctx.RecurrentFnOutput(
            reward=reward, discount=jnp.ones_like(reward), prior_logits=said[:, :-1], value=said[:, -1]
        )
        return output, hidden

    def run(key: Any, features: Any) -> Any:
        hidden = rescale(mlp(parts[0], features))
        said = mlp(parts[2], hidden)
        root = mctx.RootFnOutput(prior_logits=said[:, :-1], value=said[:, -1], embedding=hidden)
        return getattr(mctx, f"{policy}_policy")((), key, root, step, simulations)

    compiled, key = jax.jit(run), jax.random.PRNGKey(0)
    return lambda: jax.block_until_ready(compiled(key, x).action_weights)


def measure_models(roots: int, simulations: int) -> None:
    """Our learned-model search and mctx's two policies."""
    rng = np.random.default_rng(0)
    sizes = (FEATURES, UNITS, WIDTH), (WIDTH + ACTIONS, UNITS, WIDTH + 1), (WIDTH, UNITS, ACTIONS + 1)
    parts = [layers(rng, *s) for s in sizes]
    x = rng.normal(size=(roots, FEATURES)).astype(np.float32)
    nets = ModelNets(*map(pack_mlp, parts))
    gumbel = rng.gumbel(size=(roots, ACTIONS))
    calls: dict[str, Callable[[], Any]] = {}
    for name in ("gumbel", "puct"):
        search = ModelSearch(make_rule(name, simulations, actions=ACTIONS), simulations, ACTIONS)
        calls[f"ours {name}"] = lambda search=search: search.run(nets, x, gumbel)  # type: ignore[misc]
    for policy in ("gumbel_muzero", "muzero"):
        theirs = their_search(parts, x, simulations, policy)
        if theirs is not None:
            calls[f"mctx {policy}"] = theirs
    seconds = dict(zip(calls, least(list(calls.values())), strict=True))
    peer = seconds.get("mctx gumbel_muzero")
    for name, taken in seconds.items():
        rate = roots * simulations / taken
        ratio = f"{peer / taken:6.2f} x mctx gumbel" if peer else ""
        print(f"{roots:4d} roots  {name:20s} {1e3 * taken:9.2f} ms {rate / 1e3:9.0f} k simulations/s  {ratio}")


def measure_exact(roots: int, simulations: int) -> None:
    """Search over the real game, leaves valued by a network and by playouts."""
    game = Game(recorded("transformer"), hardware_of("transformer"))
    board = make_board([(game.P, game.Q)], position=True)
    net = PolicyValueNet(feature_count(True)).pack()
    which = np.zeros(roots, np.int64)
    ints, floats = np.repeat(board.start_ints, roots, 0), np.repeat(board.start_floats, roots, 0)
    rng = np.arange(roots, dtype=np.uint64)
    rule = make_rule("gumbel", simulations)
    value, playout = ExactSearch(rule, simulations), ExactSearch(rule, simulations, blend=1.0)
    calls = [
        lambda: value.run(board, which, ints, floats, net, rng),
        lambda: playout.run(board, which, ints, floats, None, rng),
    ]
    for name, taken in zip(("network 2 x 64", "playouts"), least(calls, 10), strict=True):
        rate = roots * simulations / taken
        print(f"{roots:4d} roots  exact, {name:14s} {1e3 * taken:8.2f} ms {rate / 1e3:9.0f} k simulations/s")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--roots", default="1,16,128")
    parser.add_argument("--simulations", type=int, default=50)
    options = parser.parse_args()
    for roots in map(int, options.roots.split(",")):
        measure_models(roots, options.simulations)
        measure_exact(roots, options.simulations)


if __name__ == "__main__":
    main()
