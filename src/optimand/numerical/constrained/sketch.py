"""Sketch-and-project: a linear system solved by projections onto random combinations of its equations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult
from scipy.sparse.linalg import LinearOperator

from optimand.core.validation import check_choice, check_int, check_number
from optimand.numerical.limits import Limits, Status, message, stops

from .nlp import Vector, canonical_csr, finite_vector, is_sparse

SKETCHES = ("gaussian", "kaczmarz", "block")
CHUNK_WORK = 2e7  # multiplications between two looks at the clock


class SketchSolver:
    """Ax = b by x ← x − AᵀS (SᵀA AᵀS)† Sᵀ(Ax − b) for one random S after another; stops and goes on at any time.

    Args:
        A: (M, N) array, sparse matrix, or (gaussian only) LinearOperator with products from both sides.
        b: (M,), in the range of A.
        x0: start, (N,); zeros by default.
        sketch: ``gaussian``: S is one N(0, I) vector; ``kaczmarz``: one equation; ``block``: ``block_size`` equations.
        block_size: for ``block``, at most M are used.
        weighted: for ``kaczmarz``: draw equations with probability ‖A_i‖²/‖A‖_F² instead of uniformly.
        rng: NumPy generator.
        check_every: updates between two residuals; by default what costs as much as one residual.

    After ``advance``: ``x``, ``count`` (updates, a block counting as one), ``residual`` (‖Ax − b‖).

    Reference:
        Hong, Na, Mahoney, Kolar, arXiv 2305.18379, the randomized iterative sketching solver.

    Example:
        >>> solver = SketchSolver(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([3.0, 4.0]), sketch="kaczmarz",
        ...                       rng=np.random.default_rng(0))
        >>> solver.advance(1e-10, cap=10_000)
        >>> solver.x.round(6).tolist()
        [1.0, 1.0]
    """

    def __init__(
        self,
        A: Any,
        b: Vector,
        x0: Vector | None = None,
        *,
        sketch: str,
        rng: np.random.Generator,
        block_size: int = 1,
        weighted: bool = False,
        check_every: int | None = None,
    ) -> None:
        check_sketch(sketch, block_size, weighted, SKETCHES)
        self.rows, self.columns = A.shape
        self.b, self.rng, self.count = b, rng, 0
        self.x = np.zeros(self.columns) if x0 is None else np.array(x0, dtype=np.float64)
        block = min(block_size, self.rows)
        self._run, entries = self._loop(A, sketch, block, weighted)
        by_cost = {"gaussian": 10, "kaczmarz": self.rows, "block": 1}[sketch]
        self.every = by_cost if check_every is None else check_every
        work = (
            entries
            * {"gaussian": 2.0, "kaczmarz": 3.0 / self.rows, "block": block * max(block / self.rows, 1.0)}[sketch]
        )
        # products of an operator cost what they cost, so the clock is looked at with every residual
        looks = 1 if isinstance(A, LinearOperator) else max(1, int(CHUNK_WORK / (work * self.every + entries)))
        self._chunk = self.every * looks
        self.residual = float(np.linalg.norm(A @ self.x - b))

    def _loop(self, A: Any, sketch: str, block: int, weighted: bool) -> tuple[Callable[..., tuple[int, float]], int]:
        """The loop as a function of (steps, every, target), and how many entries the matrix has."""
        from ..rows import Rows
        from . import sweeps

        b, x, rng = self.b, self.x, self.rng
        if isinstance(A, LinearOperator):
            if sketch != "gaussian":
                raise ValueError(
                    f"sketch must be 'gaussian' for a LinearOperator, got {sketch!r}: rows are out of reach"
                )
            return (lambda *call: _gaussian_operator(A, b, x, rng, *call)), A.shape[0] * A.shape[1]
        matrix: Rows
        if is_sparse(A):
            A = canonical_csr(A)
            matrix = (A.data, A.indices.astype(np.int64), A.indptr.astype(np.int64))
            squares = np.asarray(A.multiply(A).sum(axis=1)).ravel()
        else:
            A = np.ascontiguousarray(A, dtype=np.float64)
            matrix, squares = (A, None, None), np.einsum("ij,ij->i", A, A)
        extra: tuple[Any, ...] = ()
        if sketch == "kaczmarz":
            total = float(squares.sum())
            extra = (squares, np.cumsum(squares) / total if weighted and total > 0 else np.empty(0))
        elif sketch == "block":
            extra = (block,)
        loop = getattr(sweeps, sketch)
        return (lambda *call: loop(*matrix, b, x, *extra, rng, *call)), matrix[0].size

    def advance(self, target: float, cap: int, limits: Limits | None = None) -> Status | None:
        """Update until the residual is at most ``target`` or ``count`` is ``cap``; a Status if the time is up."""
        while self.residual > target and self.count < cap:
            done, squared = self._run(min(self._chunk, cap - self.count), self.every, target * target)
            self.count += int(done)
            self.residual = math.sqrt(squared)
            if not math.isfinite(self.residual):
                return Status.NOT_FINITE
            if limits is not None and self.residual > target and limits.reached(-1) is not None:
                return Status.TIME
        return None


def _gaussian_operator(
    A: LinearOperator, b: Vector, x: Vector, rng: np.random.Generator, steps: int, every: int, target: float
) -> tuple[int, float]:
    """The Gaussian loop with products by Aᵀ; products by A only for the residual."""
    done = 0
    while True:
        for _ in range(min(every, steps - done)):
            s = rng.standard_normal(b.size)
            u = A.rmatvec(s)
            uu = float(u @ u)
            if uu > 0:
                x -= (float(u @ x) - float(s @ b)) / uu * u
            done += 1
        r = A.matvec(x) - b
        if done >= steps or float(r @ r) <= target:
            return done, float(r @ r)


def check_sketch(sketch: Any, block_size: Any, weighted: Any, choices: tuple[str, ...]) -> None:
    """Raise unless the three options fit together."""
    check_choice("sketch", sketch, choices)
    check_int("block_size", block_size, low=1)
    if sketch != "block" and block_size != 1:
        raise ValueError(f"block_size must be 1 unless sketch='block', got {block_size} with sketch={sketch!r}")
    if sketch != "kaczmarz" and weighted:
        raise ValueError(f"weighted must be False unless sketch='kaczmarz', got {weighted!r} with sketch={sketch!r}")


def sketch_and_project(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    sketch: str = "kaczmarz",
    block_size: int = 1,
    weighted: bool = False,
    tol: float = 1e-6,
    maxiter: int = 1_000_000,
    max_seconds: float | None = None,
    rng: np.random.Generator | int | None = None,
    callback: Callable[[Vector], Any] | None = None,
) -> OptimizeResult:
    """Solve a consistent linear system by randomized projections.

    Every update projects x orthogonally, so the distance to the solution nearest to ``x0`` never grows; it falls in
    expectation by 1 − γ an update, and γ is about 1/κ(A)² for single equations: for ill-conditioned systems use large
    blocks or another solver.

    Args:
        A: (M, N), any shape and rank: array, sparse matrix (memory O(entries + M + N)), or a LinearOperator with
            ``rmatvec`` for the Gaussian sketch.
        b: (M,), in the range of A; otherwise the residual cannot fall to the tolerance and ``maxiter`` ends the run.
        x0: start, (N,); zeros by default, which lead to the least-norm solution.
        sketch: ``gaussian``, ``kaczmarz`` (single equations) or ``block``.
        block_size: equations in a block, drawn uniformly without replacement and solved exactly.
        weighted: Kaczmarz by squared norms of the rows instead of uniformly.
        tol: success is ‖Ax − b‖ ≤ tol ‖b‖.
        maxiter: updates; a block counts as one.
        max_seconds: wall-clock limit.
        rng: NumPy generator or seed.
        callback: called with x after each look at the residual; a true result, or StopIteration, stops.

    Returns:
        OptimizeResult with ``x``, ``residual`` (‖Ax − b‖), ``nit`` (updates), ``success``, ``status`` (of
        ``optimand.numerical.limits.Status``), ``message``.

    Raises:
        ValueError: shapes do not fit, a number is not finite, or options do not fit together.
        TypeError: ``A`` or ``b`` is not real, or an option is of the wrong kind.

    Reference:
        Hong, Na, Mahoney, Kolar, ICML 2023, arXiv 2305.18379, after Gower and Richtárik, arXiv 1506.03296.

    Example:
        >>> A = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
        >>> found = sketch_and_project(A, A @ [1.0, 1.0, 1.0], tol=1e-10, rng=0)
        >>> found.success, (A @ found.x).round(6).tolist()
        (True, [3.0, 2.0])
    """
    A, scale = _checked_matrix(A)
    right = finite_vector("b", b, A.shape[0])
    unit = _unit(right)  # of residuals; x is in units of unit / scale
    right /= unit
    start = None if x0 is None else finite_vector("x0", x0, A.shape[1]) / unit * scale
    check_number("tol", tol, low=0)
    check_int("maxiter", maxiter, low=0)
    limits = Limits(maxiter=maxiter, max_seconds=max_seconds)
    solver = SketchSolver(
        A, right, start, sketch=sketch, block_size=block_size, weighted=weighted, rng=np.random.default_rng(rng)
    )
    target = tol * float(np.linalg.norm(right))
    status = None
    while status is None and solver.residual > target and solver.count < maxiter:
        step = maxiter if callback is None else min(maxiter, solver.count + solver.every)
        status = solver.advance(target, step, limits)
        if callback is not None and status is None and stops(callback, solver.x / scale * unit):
            status = Status.STOPPED
    if solver.residual <= target:
        status = Status.CONVERGED
    elif status is None:
        status = Status.ITERATIONS
    residual = solver.residual * unit
    return OptimizeResult(  # type: ignore[call-arg]
        x=solver.x / scale * unit,
        residual=residual,
        nit=solver.count,
        success=status == Status.CONVERGED,
        status=int(status),
        message=message(status, f"residual {residual:.3g} after {solver.count} updates"),
    )


def _checked_matrix(A: Any) -> tuple[Any, float]:
    """A in a form that the loops take, divided by a number, and that number."""
    if not isinstance(A, LinearOperator) and not is_sparse(A):
        A = np.asarray(A)
    if len(A.shape) != 2 or 0 in A.shape:
        raise ValueError(f"A must be a non-empty matrix, got shape {A.shape}")
    if isinstance(A, LinearOperator):
        return A, 1.0
    if A.dtype.kind not in "biuf":
        raise TypeError(f"A must hold real numbers, got dtype {A.dtype}")
    A = canonical_csr(A) if is_sparse(A) else A.astype(np.float64, copy=False)
    entries = A.data if is_sparse(A) else A
    if not np.isfinite(entries).all():
        raise ValueError("A must be finite, got NaN or infinity in it")
    scale = _unit(entries)
    return (A if scale == 1.0 else A / scale), scale


def _unit(values: Vector) -> float:
    """1, or a power of two near the largest value where its square would leave the range of numbers."""
    largest = float(np.abs(values).max(initial=0.0))
    return 1.0 if largest == 0.0 or 1e-100 < largest < 1e100 else math.ldexp(1.0, math.frexp(largest)[1] - 1)
