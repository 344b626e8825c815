"""AdaSketch-Newton: inexact Newton on the KKT system, globalized by an exact augmented Lagrangian.

Hong, Na, Mahoney, Kolar, "Constrained Optimization via Exact Augmented Lagrangian and Randomized Iterative
Sketching", ICML 2023, arXiv 2305.18379. ``minimize.minimize_equality`` is the entrance for users.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from optimand.core.validation import check_choice, check_int, check_number
from optimand.numerical.limits import Limits, Status

from .inner import SOLVERS, make_solver
from .kkt import KKT, RELATIVE, assemble, regularized_kkt
from .merit import MeritSlope, merit
from .nlp import EqualityProblem, Evaluations, Point, finite_vector, is_finite, wrong_derivative
from .sketch import check_sketch

DELTA_FLOOR, ETA1_CAP, ETA2_FLOOR = 1e-6, 1e8, 1e-8  # numerical safeguards, no part of the theory
HALVINGS = 60
SLACK_HALVINGS = 20  # smaller steps must show a decrease: any step small enough is within rounding
IDLE_STEPS = 20  # without a better point or a decrease beyond rounding, after which the solve is stalled
UNBOUNDED = -1e20  # times |f| at the start, if that is above 1
EPS = sys.float_info.epsilon


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of AdaSketch-Newton; meanings and ranges in ``minimize_equality``."""

    sketch: str = "gaussian"
    block_size: int = 1
    weighted: bool = False
    tol: float = 1e-4
    theta: float | Callable[[int, float], float] = 1.0
    accuracy: str = "paper"
    maxiter: int = 10_000
    max_inner: int = 100_000
    max_seconds: float | None = None
    singular_tol: float | None = 1e-2
    singular: str = "stop"
    curvature_tol: float = 1e-6
    eta1: float = 1.0
    eta2: float = 0.1
    delta: float = 0.1
    xi_b: float = 0.1
    beta: float = 0.1
    nu: float = 1.5

    def __post_init__(self) -> None:
        check_sketch(self.sketch, self.block_size, self.weighted, SOLVERS)
        check_choice("accuracy", self.accuracy, ("paper", "practical"))
        check_choice("singular", self.singular, ("stop", "regularize"))
        check_int("maxiter", self.maxiter, low=0)
        check_int("max_inner", self.max_inner, low=1)
        check_number("tol", self.tol, low=0)
        if self.singular_tol is not None:
            check_number("singular_tol", self.singular_tol, low=0)
        check_number("curvature_tol", self.curvature_tol)
        for name in ("eta1", "eta2", "delta", "xi_b"):
            check_number(name, getattr(self, name), low=0, low_open=True)
        check_number("beta", self.beta, low=0, high=0.5, low_open=True, high_open=True)
        check_number("nu", self.nu, low=1, low_open=True)
        if not callable(self.theta):
            check_number("theta", self.theta, low=0, low_open=True)


class AdaSketchNewton:
    """One solve, iteration by iteration: ``run`` until an end.

    Args:
        problem: what is solved.
        settings: the options.
        rng: NumPy generator of the sketches.

    Example:
        >>> problem = EqualityProblem(
        ...     fun=lambda x: x @ x, grad=lambda x: 2 * x, cons=lambda x: np.array([x.sum() - 2]),
        ...     jac=lambda x: np.ones((1, 2)), hess=lambda x, lam: 2 * np.eye(2), x0=[3.0, 0.0])
        >>> solver = AdaSketchNewton(problem, Settings(sketch="exact"), np.random.default_rng(0))
        >>> solver.run(Limits(maxiter=10)).name, solver.nit, solver.point.x.round(9).tolist()
        ('CONVERGED', 1, [1.0, 1.0])
    """

    def __init__(self, problem: EqualityProblem, settings: Settings, rng: np.random.Generator) -> None:
        self.settings, self.rng = settings, rng
        self.evals = Evaluations(problem)
        m = self.evals.m
        lam = np.zeros(m) if problem.lam0 is None else finite_vector("lam0", problem.lam0, m)
        with np.errstate(all="ignore"):
            self.point = self.best = self.evals.start(problem.x0, lam)
        self.lowest = UNBOUNDED * max(1.0, abs(self.point.f))
        self.eta1, self.eta2, self.delta = settings.eta1, settings.eta2, settings.delta
        self.nit = self.n_inner = self.idle = 0
        self.detail = self.sentence = ""
        self.step = np.zeros(self.evals.n)
        self.history: dict[str, list[float]] = {name: [] for name in HISTORY}
        self.matrix_free = matrix_free = problem.hess is None or isinstance(self.point.J, LinearOperator)
        if matrix_free and problem.hessp is None:
            raise ValueError("hessp must be given where jac returns a LinearOperator")
        if matrix_free and settings.singular == "regularize":
            raise ValueError("singular must be 'stop' without matrices (hessp, LinearOperator), got 'regularize'")
        if matrix_free and settings.sketch not in ("gaussian", "gmres", "minres"):
            raise ValueError(
                f"sketch must be 'gaussian', 'gmres' or 'minres' without matrices (hessp, LinearOperator), "
                f"got {settings.sketch!r}"
            )
        self._note()

    def run(self, limits: Limits, callback: Callable[[AdaSketchNewton], Any] | None = None) -> Status:
        """Iterate to convergence, a limit, or a failure."""
        with np.errstate(all="ignore"):
            status = self._run(limits, callback)
            if status == Status.STALLED:
                self.detail = "; ".join([self.detail, *self._why_stalled()])
        return status

    def _run(self, limits: Limits, callback: Callable[[AdaSketchNewton], Any] | None) -> Status:
        while True:
            self.detail = f"KKT residual {self.point.kkt:.3g} at iteration {self.nit}"
            if self.point.kkt <= self.settings.tol:
                return Status.CONVERGED
            status = limits.reached(self.nit) or self._iterate(limits)
            if status is not None:
                return status
            self._note()
            if self.point.f < self.lowest:
                return Status.UNBOUNDED
            if self.idle >= IDLE_STEPS and self.point.kkt > self.settings.tol:
                self.detail = f"KKT residual {self.best.kkt:.3g}, {IDLE_STEPS} steps within rounding"
                return Status.STALLED
            if callback is not None and callback(self):
                return Status.STOPPED

    def _iterate(self, limits: Limits) -> Status | None:
        s, point, evals = self.settings, self.point, self.evals
        H = evals.hessian(point)
        if not is_finite(H):
            if self.nit == 0:
                raise ValueError("hess must be finite at the start x0, got NaN or infinity in it")
            self.detail = f"the Hessian at iteration {self.nit}"
            return Status.NOT_FINITE
        kkt = assemble(
            H, point.J, singular_tol=s.singular_tol, curvature_tol=s.curvature_tol, xi_B=s.xi_b, rng=self.rng
        )
        if kkt.A is None and s.singular == "regularize":
            kkt = regularized_kkt(H, point.J, s.curvature_tol, s.xi_b)
        if kkt.A is None:
            self.sentence = self._why_singular(kkt.gram_min)
            return Status.SINGULAR
        if not math.isfinite(kkt.a_norm):
            self.detail = f"the norm of the KKT matrix at iteration {self.nit}"
            return Status.NOT_FINITE
        b = -np.concatenate((point.gL, point.c))
        inner = make_solver(kkt.A, b, s.sketch, s.block_size, s.weighted, self.rng)
        q, status = self._direction(kkt, MeritSlope(point, H), inner, limits)
        self.n_inner += inner.count
        if status is not None:
            self.detail = f"the KKT system at iteration {self.nit}"
            return status
        return self._line_search(inner.x, q, kkt, inner.count)

    def _why_singular(self, gram_min: float) -> str:
        tol = self.settings.singular_tol
        text = f"the gradients of the constraints count as linearly dependent at iteration {self.nit}: "
        if tol is None:
            text += f"scaled to length 1, they have λmin(G Gᵀ) < {RELATIVE:g}"
        else:
            text += f"λmin(G Gᵀ) = {gram_min:.3g} < singular_tol = {tol:g}"
        hints = [] if self.matrix_free else ["singular='regularize' goes on from such points"]
        if tol and gram_min > 0:
            hints.append("a smaller singular_tol passes more of them")
        return "; ".join([text, *hints, *self._why_violated(self.point)])

    def _why_violated(self, point: Point) -> list[str]:
        violation = math.sqrt(point.c2)
        text = f"the constraints may be infeasible or badly scaled, ‖c‖ = {violation:.3g}"
        return [text] if violation > self.settings.tol else []

    def _why_stalled(self) -> list[str]:
        """What may be behind it, in words."""
        try:
            wrong = wrong_derivative(self.evals.problem, self.point, self.step)
        except ArithmeticError:  # of plain Python numbers near the point
            wrong = ""
        if wrong:
            return [wrong]
        hints = []
        if self.settings.sketch != "exact" and max(self.history["n_inner"], default=0) >= self.settings.max_inner:
            hints.append("the linear solves ended at max_inner: sketch='exact' has none")
        best = self.best
        return hints + (self._why_violated(best) if best.c2 > 0.01 * best.kkt2 else [])

    def _direction(self, kkt: KKT, slope: MeritSlope, inner: Any, limits: Limits) -> tuple[float, Status | None]:
        """Solve until the step is accurate and a descent direction; penalties and accuracy move on the way."""
        s, b2 = self.settings, self.point.kkt2
        theta = s.theta
        if callable(theta):
            theta = check_number("theta(k, b_norm)", theta(self.nit, math.sqrt(b2)), low=0, low_open=True)
        scale = theta * math.sqrt(b2)
        floor = 0.0
        if s.accuracy == "paper":
            psi, upsilon = kkt.psi(s.xi_b), kkt.upsilon()
            scale /= kkt.a_norm * psi
            trial = (0.5 - s.beta) * self.eta2 / ((1 + self.eta1 + self.eta2) * (upsilon * psi) * (upsilon * psi))
            floor = DELTA_FLOOR
            self.delta = max(min(self.delta, trial), floor)  # it only falls from here
        while True:
            status = inner.advance(scale * self.delta, s.max_inner, limits)
            if status is not None:
                return math.nan, status
            a, a1, a2 = slope.along(inner.x)
            q = a + self.eta1 * a1 + self.eta2 * a2
            if not math.isfinite(q):
                return q, Status.NOT_FINITE
            if self.eta1 > ETA1_CAP or self.eta2 < ETA2_FLOOR or q <= -0.5 * self.eta2 * b2:
                return q, None
            self.eta1 *= s.nu**2
            self.eta2 /= s.nu
            self.delta = max(self.delta / s.nu**4, floor)

    def _line_search(self, d: np.ndarray, q: float, kkt: KKT, inner: int) -> Status | None:
        """Armijo on the merit function; near the solution its differences drown in rounding, hence the slack."""
        point, n = self.point, self.evals.n
        start = merit(point, self.eta1, self.eta2)
        slack = 10 * EPS * max(1.0, abs(start))
        self.step = dx = d[:n]
        dlam = d[n:]
        for halvings in range(HALVINGS + 1):
            alpha = 0.5**halvings
            try:
                trial = self.evals.at(point.x + alpha * dx, point.lam + alpha * dlam)
                value = merit(trial, self.eta1, self.eta2)
            except ArithmeticError:  # overflow or division by zero in plain Python numbers: as good as NaN
                value = math.nan
            if value <= start + alpha * self.settings.beta * q + (slack if halvings <= SLACK_HALVINGS else 0.0):
                break
        else:
            self.detail = f"no decrease of the merit function in {HALVINGS} halvings at iteration {self.nit}"
            return Status.STALLED
        self.point = trial
        self.nit += 1
        self.idle += 1
        if trial.kkt2 < self.best.kkt2:
            self.best, self.idle = trial, 0
        elif value < start - slack:
            self.idle = 0
        steps = (alpha, halvings, inner, self.eta1, self.eta2, self.delta)
        record = (*steps, kkt.shift, float(kkt.regularized), q, value, start)
        for name, entry in zip(STEP_HISTORY, record, strict=True):
            self.history[name].append(entry)
        return None

    def _note(self) -> None:
        self.history["kkt"].append(self.point.kkt)
        self.history["fun"].append(self.point.f)


STEP_HISTORY = (
    "alpha", "halvings", "n_inner", "eta1", "eta2", "delta", "shift", "regularized", "slope", "merit", "merit_before"
)  # fmt: skip
HISTORY = ("kkt", "fun", *STEP_HISTORY)
