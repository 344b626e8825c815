"""Halpern's iteration: of a nonexpansive map, and of the resolvent, found to a tolerance (Algorithm 2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import OptimizeResult

from optimand.core.validation import check_choice, check_number
from optimand.numerical.limits import Limits, Status, message

from .base import LONGEST_BLOCK, InclusionMethod
from .operators import Array
from .resolvent import VRForb


def halpern(
    T: Callable[[Array], Any],
    u0: Any,
    *,
    tol: float = 1e-6,
    maxiter: int | None = 10_000,
    max_seconds: float | None = None,
    callback: Callable[[Array], Any] | None = None,
) -> OptimizeResult:
    """A fixed point of a nonexpansive map: ``u <- λ_k u0 + (1 - λ_k) T(u)`` with ``λ_k = 1/(k + 2)``.

    The residual satisfies ``‖u_k - T u_k‖ <= 2 ‖u0 - u*‖ / (k + 1)``.

    Args:
        T: ``u -> T(u)``, nonexpansive, both of shape ``(dim,)``.
        u0: start and anchor, shape ``(dim,)``.
        tol: stop when ``‖u - T u‖ <= tol``, >= 0.
        maxiter, max_seconds: caps.
        callback: called with ``u`` after each iteration; a true result stops.

    Returns:
        OptimizeResult with ``x`` (the last ``u``), ``residual`` there, ``history`` (all residuals), ``nit``,
        ``success``, ``status``, ``message``.

    Reference: Halpern 1967; the rate: Lieder, Optimization Letters 2021, Theorem 2.1.

    Example:
        >>> import numpy as np
        >>> found = halpern(lambda u: 0.5 * np.array([u[0] - u[1], u[0] + u[1]]), [1.0, 0.0], maxiter=9)
        >>> found.x.round(6).tolist(), round(found.residual, 7)
        ([0.103125, 0.096875], 0.1000488)
    """
    start = np.array(u0, dtype=np.float64)
    check_number("tol", tol, low=0)
    limits = Limits(maxiter, max_seconds)
    u, k, history = start.copy(), 0, []
    while True:
        moved = np.asarray(T(u), dtype=np.float64)
        if moved.shape != start.shape:
            raise ValueError(f"T must return shape {start.shape}, the shape of u0, got {moved.shape}")
        residual = float(np.linalg.norm(u - moved))
        history.append(residual)
        reached = limits.reached(k)
        if residual <= tol:
            status = Status.CONVERGED
        elif not math.isfinite(residual):
            status = Status.NOT_FINITE
        elif reached is not None:
            status = reached
        else:
            u = start / (k + 2) + (1 - 1 / (k + 2)) * moved
            k += 1
            if callback is None or not callback(u):
                continue
            status = Status.STOPPED
        break
    return OptimizeResult(  # type: ignore[call-arg]
        x=u, residual=residual, residual_kind="fixed-point", history=np.array(history), nit=k,
        success=status == Status.CONVERGED, status=int(status), message=message(status),
    )  # fmt: skip


def fixed_inner_steps(k: int, n: float, eta_L: float, factor: float = 0.5) -> int:
    """Inner iterations ``⌈factor max(n, √n (eta L + 1)) log((k + 2)²)⌉`` of a fixed schedule.

    Args:
        k: outer iteration, from 0.
        n: number of components.
        eta_L: the resolvent's step times the mean-square Lipschitz constant.
        factor: > 0.

    Example:
        >>> fixed_inner_steps(0, 150, 150**0.5)
        113
    """
    return math.ceil(factor * max(n, math.sqrt(n) * (eta_L + 1)) * math.log((k + 2) ** 2))


def theory_inner_steps(k: int, n: float, eta_L: float) -> int:
    """Inner iterations that the analysis asks for: ``⌈56 max(n, √n (eta L + 1)) log(1.252 (k + 2)⁴)⌉``.

    Example:
        >>> [theory_inner_steps(k, 50, 50**0.5) for k in range(3)]
        [9580, 14763, 18441]
    """
    return math.ceil(56 * max(n, math.sqrt(n) * (eta_L + 1)) * math.log(1.252 * (k + 2) ** 4))


class InexactHalpern(InclusionMethod):
    """Algorithm 2: Halpern's iteration on the resolvent of ``F + G``, each resolvent found by VR-FoRB.

    ``v_k ≈ J_{eta (F + G)}(u_k)``, ``u_{k+1} = u0/(k + 2) + (1 - 1/(k + 2)) v_k``; the point to use is ``v_k``.

    A step is the run of inner iterations to the next evaluation of the whole operator, at ``w``. There the bound
    ``‖w - J(u_k)‖ <= eta ‖A(w) + g‖`` is known without further cost; once it is at most ``‖u_k - w‖/(k + 2)^power``,
    ``v_k = w``.

    Args:
        op, u0, resolvent, rng: as in :class:`~optimand.numerical.monotone.base.InclusionMethod`.
        step: the resolvent's eta > 0; by default ``eta_factor √n / L``.
        eta_factor: > 0; 1 in the paper. Larger ones save outer iterations, which pays.
        inner: when an inner run ends: ``certificate`` (the bound above), ``fixed`` (:func:`fixed_inner_steps`), or
            ``theory`` (:func:`theory_inner_steps`, some hundred times more than needed).
        power: of ``k + 2`` in the tolerance of ``certificate``, > 0. ``‖u_k - w‖`` itself falls as 1/k, so with 1 the
            errors fall as 1/k², which keeps the rate up to a logarithm; the paper has 4, at several times the cost.
        factor: of the ``fixed`` schedule, > 0.
        start: of an inner run: ``warm`` (at ``v_{k-1}``, where ``F`` is often known) or ``anchor`` (at ``u_k``).
        report: the point ``u`` to return: ``snapshot`` (the last ``w``, also within an inner run), or ``outer``
            (the last finished ``v_k``).
        p, c, backtrack: of :class:`~optimand.numerical.monotone.VRForb`.
        deterministic: find the resolvents with all components in each inner iteration: the deterministic baseline.

    Attributes:
        k: outer iterations finished; inner: the inner solver.
        certificate: for the last ``w``: ``distance``, an upper bound on that to the resolvent with step ``eta`` of the
            point ``resolvent_of``.

    Reference: Cai, Alacaoglu, Diakonikolas, arXiv 2310.02987, Algorithm 2.

    Example:
        >>> from optimand.numerical.monotone import FiniteSumOperator
        >>> game = FiniteSumOperator.from_matrix_game([[2.0, 0.0], [0.0, 1.0]])
        >>> method = InexactHalpern(game, np.full(4, 0.5), rng=0)
        >>> while method.k < 60: method.step()
        >>> method.u.round(2).tolist()
        [0.33, 0.67, 0.33, 0.67]
    """

    name = "vr-halpern-inexact"
    _state: ClassVar[tuple[str, ...]] = (
        *InclusionMethod._state, "center", "v", "v_known", "k", "running", "inner",
    )  # fmt: skip

    def __init__(
        self,
        *args: Any,
        step: float | None = None,
        eta_factor: float = 20.0,
        inner: str = "certificate",
        power: float = 1.0,
        factor: float = 0.5,
        start: str = "warm",
        report: str = "snapshot",
        p: float | None = None,
        c: float | None = None,
        backtrack: bool = False,
        deterministic: bool = False,
        **given: Any,
    ) -> None:
        super().__init__(*args, **given)
        op = self.op
        self.inner = VRForb(
            op,
            None if self.own_set else self.resolvent,
            self.rng,
            p=p,
            c=c,
            deterministic=deterministic,
            backtrack=backtrack,
        )
        self.n = 1.0 if deterministic else op.n_effective
        check_number("eta_factor", eta_factor, low=0, low_open=True)
        default = eta_factor * math.sqrt(self.n) / self.inner.L
        self.eta = default if step is None else check_number("step", step, low=0, low_open=True)
        self.stop = check_choice("inner", inner, ("certificate", "fixed", "theory"))
        self.power = check_number("power", power, low=0, low_open=True)
        self.factor = check_number("factor", factor, low=0, low_open=True)
        self.warm = check_choice("start", start, ("warm", "anchor")) == "warm"
        self.snapshots = check_choice("report", report, ("snapshot", "outer")) == "snapshot"
        self.center = self.u0.copy()
        self.v = self.u0.copy()
        self.v_known: Array | None = None
        self.k = 0
        self.running = False
        self.certificate: dict[str, Any] | None = None

    def step(self) -> None:
        """Inner iterations to the next evaluation of the operator, and the outer iteration if the inner run ends."""
        inner = self.inner
        if not self.running:
            start = self.v if self.warm else self.center
            inner.begin(self.center, self.eta, start, self.v_known if self.warm else None)
            self.running = True
        renewed = inner.advance(min(LONGEST_BLOCK, self._most_steps() - inner.steps))
        if renewed and self.snapshots:
            self._move(inner.w, inner.g)
            self._known = inner.at_w
            self._certify()
        else:
            self.nit += 1
        if self._accurate(renewed):
            self._outer(renewed)

    def _outer(self, renewed: bool) -> None:
        inner = self.inner
        self.v, self.v_known = inner.z.copy(), inner.at_w if renewed else None
        self.u, self.g, self._known = self.v, inner.element, self.v_known
        if renewed:
            self._certify()
        weight = 1 / (self.k + 2)
        self.center = weight * self.u0 + (1 - weight) * self.v
        self.k += 1
        self.running = False

    def _certify(self) -> None:
        self.certificate = {"distance": self.inner.bound, "eta": self.eta, "resolvent_of": self.center.copy()}

    def _most_steps(self) -> int:
        eta_L = self.eta * self.inner.L
        if self.stop == "fixed":
            return fixed_inner_steps(self.k, self.n, eta_L, self.factor)
        return theory_inner_steps(self.k, self.n, eta_L)

    def _accurate(self, renewed: bool) -> bool:
        inner = self.inner
        if inner.steps >= self._most_steps():
            return True
        if self.stop != "certificate" or not renewed:
            return False
        # What rounding leaves of the bound; near a solution the distance to the anchor's side may be 0.
        floor = 64 * np.finfo(float).eps * self.eta / inner.tau * (1 + float(np.linalg.norm(inner.w)))
        far = float(np.linalg.norm(self.center - inner.w))
        return inner.bound <= max(far / (self.k + 2) ** self.power, floor)

    def restart(self) -> None:
        """Make the last ``v_k`` the anchor and begin again; within an inner run, the last ``w``."""
        if self.running and self.inner.g is not None:
            self.v, self.v_known = self.inner.w.copy(), self.inner.at_w
        self.u0, self.center = self.v.copy(), self.v.copy()
        self.k, self.running = 0, False


class ResolventHalpern(InexactHalpern):
    """Halpern's iteration on the resolvent with all components in each inner iteration: the deterministic baseline.

    Args:
        op, u0, resolvent, rng, options: as in :class:`InexactHalpern`; ``eta = eta_factor / L``.

    Example:
        >>> from optimand.numerical.monotone import FiniteSumOperator
        >>> rotation = FiniteSumOperator.from_affine([[[0.0, 1.0], [-1.0, 0.0]]], np.zeros((1, 2)))
        >>> method = ResolventHalpern(rotation, np.ones(2), step=1.0)
        >>> while method.k < 20: method.step()
        >>> bool(method.natural_residual() < 0.1)
        True
    """

    name = "halpern"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, deterministic=True, **options)


__all__ = ["InexactHalpern", "ResolventHalpern", "fixed_inner_steps", "halpern", "theory_inner_steps"]
