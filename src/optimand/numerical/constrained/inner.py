"""Solvers of the Newton-KKT system with one interface: refine d until its residual is small, go on later.

Each has ``x`` (the step d), ``count`` (inner iterations so far), ``residual`` (‖A d − b‖) and
``advance(target, cap, limits)``, as ``sketch.SketchSolver``. The Krylov solvers give up, with what they have, where
rounding lets the residual fall no further: AdaSketch-Newton's accuracy test can ask for less than that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg.lapack import dgesv
from scipy.sparse import csc_array
from scipy.sparse.linalg import gmres, minres, splu

from optimand.numerical.limits import Limits, Status

from .nlp import Vector, is_sparse
from .sketch import SKETCHES, SketchSolver

SOLVERS = (*SKETCHES, "exact", "gmres", "minres")


def make_solver(A: Any, b: Vector, sketch: str, block_size: int, weighted: bool, rng: np.random.Generator) -> Any:
    """The solver of A d = b that ``sketch`` names, at d = 0."""
    if sketch == "exact":
        return ExactSolver(A, b)
    if sketch in ("gmres", "minres"):
        return KrylovSolver(A, b, sketch)
    return SketchSolver(A, b, sketch=sketch, block_size=block_size, weighted=weighted, rng=rng)


class ExactSolver:
    """LU factors, dense or sparse; one inner iteration, and the residual then counts as 0."""

    def __init__(self, A: Any, b: Vector) -> None:
        self.A, self.b, self.count, self.residual = A, b, 0, np.inf
        self.x = np.zeros(0)

    def advance(self, target: float, cap: int, limits: Limits | None = None) -> Status | None:
        if self.count:
            return None
        self.count, self.residual = 1, 0.0
        if is_sparse(self.A):
            try:
                self.x = splu(csc_array(self.A)).solve(self.b)
            except RuntimeError:  # "Factor is exactly singular"
                return Status.SINGULAR
            return None
        _, _, self.x, info = dgesv(self.A, self.b)
        return Status.SINGULAR if info else None


class _Enough(Exception):  # noqa: N818 (ends a library's loop, never seen outside)
    """The residual is small enough, or the time is up."""


class KrylovSolver:
    """SciPy's MINRES or restarted GMRES, the true residual looked at every 10 iterations or at each restart."""

    restart = 100

    def __init__(self, A: Any, b: Vector, name: str) -> None:
        self.A, self.b, self.name, self.count = A, b, name, 0
        self.x = np.zeros(b.size)
        self.residual = float(np.linalg.norm(b))
        self.stalled = False

    def advance(self, target: float, cap: int, limits: Limits | None = None) -> Status | None:
        while self.residual > target and self.count < cap and not self.stalled:
            before = self.residual
            if self.name == "minres":
                self._minres(target, cap, limits)
            else:
                self._gmres(target, cap)
            # a fresh start that does not gain a thousandth has met rounding
            self.stalled = not self.residual < 0.999 * before
            if not np.isfinite(self.residual):
                return Status.NOT_FINITE
            if limits is not None and self.residual > target and limits.reached(-1) is not None:
                return Status.TIME
        return None

    def _keep(self, x: Vector) -> None:
        residual = float(np.linalg.norm(self.A @ x - self.b))
        if residual < self.residual or not np.isfinite(residual):
            self.x, self.residual = x.copy(), residual

    def _minres(self, target: float, cap: int, limits: Limits | None) -> None:
        done = 0

        def look(x: Vector) -> None:
            nonlocal done
            done += 1
            if done % 10 == 0 or done >= cap - self.count:
                self._keep(x)
                if self.residual <= target or (limits is not None and limits.reached(-1) is not None):
                    raise _Enough

        try:
            x, _ = minres(self.A, self.b, x0=self.x, rtol=1e-16, maxiter=cap - self.count, callback=look)
            self._keep(x)
        except _Enough:
            pass
        self.count += done

    def _gmres(self, target: float, cap: int) -> None:
        done = 0

        def tick(_: float) -> None:
            nonlocal done
            done += 1

        restart = min(self.b.size, self.restart, cap - self.count)
        x, _ = gmres(
            self.A, self.b, x0=self.x, rtol=0.0, atol=target, restart=restart, maxiter=1, callback=tick,
            callback_type="pr_norm",
        )  # fmt: skip
        self.count += max(done, 1)
        self._keep(x)
