"""Time and memory of the penalty method on data hyper-cleaning, against implicit differentiation and unrolling.

    python benchmarks/bilevel.py [--steps 300] [--json FILE]

All methods take the same outer steps with the same inner steps (20), upper step (20) and lower step (0.5) on the digits
of the family's problem, in turn in chunks of 30 in one process on one thread, in float64. ``jaxopt`` is its
``GradientDescent`` with implicit differentiation, compiled by jax before the clock starts. Times are CPU seconds of the
process: the least of a chunk times the number of chunks. Memory is the peak of a step that NumPy and Python allocate.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np

from optimand.core.projections import Box
from optimand.numerical.bilevel import DoubleLoop, SingleLoop, index_sampler
from optimand.numerical.bilevel.baselines import Implicit, Unrolled
from optimand.numerical.bilevel.cleaning import HyperCleaning, accuracy, area_under_curve, digits_data
from optimand.numerical.bilevel.problems import digits_hyper_cleaning

INNER, ALPHA, GAMMA, CHUNK = 20, 20.0, 0.5, 30
PENALTY, JAXOPT = "penalty, double loop", "jaxopt implicit (CG), jitted"
DATA = digits_data()
Point = Callable[[], tuple[Any, Any]]


def start() -> tuple[Any, Any, Any, Any]:
    """Oracle, starts and the set of the weights."""
    return HyperCleaning(DATA), np.full(800, 0.5), np.zeros((10, 65)), Box(0.0, 1.0)


def ours() -> dict[str, tuple[Callable[[], None], Point, int]]:
    """Our methods: a step, the point, and how many steps stand for one outer step."""
    double = DoubleLoop(*start(), sigma=0.1, alpha=ALPHA, gamma=GAMMA, inner_steps=INNER)
    single = DoubleLoop(*start(), sigma=0.1, alpha=5.0, gamma=GAMMA, inner_steps=1)
    storm = SingleLoop(*start(), sigma=0.3, alpha=5.0, gamma=GAMMA, eta=0.2, rng=0, sample=index_sampler(200, 800, 64))
    implicit = Implicit(digits_hyper_cleaning(splits="fixed").instance(), inner_steps=INNER, cg_steps=20)
    return {
        PENALTY: (double.step, lambda: (double.x, double.z), 1),
        "penalty, single loop": (single.step, lambda: (single.x, single.z), 10),
        "penalty, STORM, batch 64": (storm.step, lambda: (storm.x, storm.z), 20),
        "implicit (CG), NumPy, ours": (implicit.step, lambda: (implicit.x, implicit.z), 1),
    }


def jaxopt_implicit() -> tuple[Callable[[], None], Point, int]:
    """The peer; ImportError where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jax
        import jaxopt
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)
    train, valid = (
        (jnp.array(x), jnp.array(t)) for x, t in ((DATA.train_x, DATA.train_t), (DATA.valid_x, DATA.valid_t))
    )

    def losses(w: Any, x: Any, t: Any) -> Any:
        logits = x @ w.T
        return jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, t[:, None], 1)[:, 0]

    def lower(w: Any, u: Any) -> Any:
        return jnp.mean(u * losses(w, *train)) + 5e-4 * jnp.sum(w**2)

    solver = jaxopt.GradientDescent(
        fun=lower, stepsize=GAMMA, maxiter=INNER, tol=0.0, implicit_diff=True, acceleration=False
    )

    def upper(u: Any, w: Any) -> Any:
        found = solver.run(w, u).params
        return jnp.mean(losses(found, *valid)), found

    @jax.jit
    def move(u: Any, w: Any) -> Any:
        (_, found), slope = jax.value_and_grad(upper, has_aux=True)(u, w)
        return jnp.clip(u - ALPHA * slope, 0, 1), found

    state = [(jnp.full(800, 0.5), jnp.zeros((10, 65)))]
    move(*state[0])[0].block_until_ready()

    def step() -> None:
        state[0] = move(*state[0])
        state[0][0].block_until_ready()

    return step, lambda: tuple(np.asarray(a) for a in state[0]), 1


def times(steps: int) -> dict[str, dict[str, Any]]:
    """CPU seconds of all steps, test accuracy and area under the curve of each method."""
    cases = ours()
    rows: dict[str, dict[str, Any]] = {}
    try:
        cases[JAXOPT] = jaxopt_implicit()
    except ImportError as error:
        rows[JAXOPT] = {"failed": f"not measured: {error}"}
    chunks = max(1, steps // CHUNK)
    least = dict.fromkeys(cases, float("inf"))
    for _ in range(chunks):
        for name, (step, _, many) in cases.items():
            begin = time.process_time()
            for _ in range(CHUNK * many):
                step()
            least[name] = min(least[name], time.process_time() - begin)
    for name, (_, point, _) in cases.items():
        u, w = point()
        rows[name] = {
            "seconds": least[name] * chunks,
            "accuracy": accuracy(w, DATA.test_x, DATA.test_t),
            "auc": area_under_curve(u, ~DATA.corrupt),
        }
    return rows


def peaks() -> dict[str, dict[int, float]]:
    """Peak memory of a step in KiB for 10 and for 1000 inner steps."""
    found: dict[str, dict[int, float]] = {}
    for name in ("penalty", "unrolled"):
        found[name] = {}
        for inner in (10, 1000):
            if name == "penalty":
                solver: Any = DoubleLoop(*start(), alpha=ALPHA, gamma=GAMMA, inner_steps=inner)
            else:
                solver = Unrolled(digits_hyper_cleaning(splits="fixed").instance(), inner_steps=inner)
            solver.step()
            tracemalloc.start()
            solver.step()
            found[name][inner] = tracemalloc.get_traced_memory()[1] / 1024
            tracemalloc.stop()
    return found


def verdict(what: str, value: float, bar: float) -> str:
    return f"{what}: {value:.3f}, bar {bar:g}: {'met' if value <= bar else 'falls short'}"


def report(rows: dict[str, dict[str, Any]], memory: dict[str, dict[int, float]]) -> str:
    """The tables as text."""
    lines = [f"{'method':30s} {'CPU s':>8s} {'to jaxopt':>10s} {'accuracy':>9s} {'AUC':>7s}"]
    peer = rows[JAXOPT].get("seconds")
    for name, row in rows.items():
        if "failed" in row:
            lines.append(f"{name:30s} {row['failed']}")
            continue
        ratio = "" if peer is None else f"{row['seconds'] / peer:.3f}"
        lines.append(f"{name:30s} {row['seconds']:8.2f} {ratio:>10s} {row['accuracy']:9.4f} {row['auc']:7.4f}")
    if peer is not None:
        lines.append(verdict("time of the penalty method over jaxopt's", rows[PENALTY]["seconds"] / peer, 0.5))
    lines += ["", f"{'peak of a step, KiB':30s} {'T = 10':>10s} {'T = 1000':>10s}"]
    lines += [f"{name:30s} {row[10]:10.0f} {row[1000]:10.0f}" for name, row in memory.items()]
    lines.append(verdict("penalty, change of the peak", abs(memory["penalty"][1000] / memory["penalty"][10] - 1), 0.05))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    rows, memory = times(options.steps), peaks()
    print(report(rows, memory))
    if options.json:
        options.json.write_text(json.dumps({"times": rows, "peak_kib": memory}, indent=2))


if __name__ == "__main__":
    main()
