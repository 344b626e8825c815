"""``solve_inclusion``: any of the methods, run to a residual, with caps, a history and an exact resume."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from optimand.core.validation import check_choice, check_int, check_number, suggest
from optimand.numerical.limits import Limits, Status, message

from .base import InclusionMethod, checked_start
from .cocoercive import CocoerciveHalpern, OneStepHalpern
from .constants import choose_method, estimate_constants
from .extragradient import AnchoredExtragradient, Extragradient, OptimisticWeights, VarianceReducedExtragradient
from .halpern import InexactHalpern, ResolventHalpern
from .operators import Array, FiniteSumOperator

METHODS: dict[str, type[InclusionMethod]] = {
    cls.name: cls
    for cls in (
        CocoerciveHalpern, InexactHalpern, Extragradient, AnchoredExtragradient, ResolventHalpern, OneStepHalpern,
        VarianceReducedExtragradient, OptimisticWeights,
    )
}  # fmt: skip
# The constant that a method's default step needs.
_NEEDS = {
    "vr-halpern": "L_cocoercive",
    "vr-halpern-inexact": "L_mean",
    "eag": "L",
    "halpern": "L",
    "halpern-one-step": "L_cocoercive",
    "svrg-eg": "L_mean",
}
_BACKTRACKING = ("eg", "vr-halpern", "vr-halpern-inexact")
_KINDS = {"residual": "natural", "operator": "operator", "gap": "natural"}
MOST_STEPS = 100_000


def make_method(
    name: str, op: FiniteSumOperator, u0: Any, project: Any = None, rng: Any = None, **options: Any
) -> InclusionMethod:
    """A method ready to step.

    Constants that its default step needs and the operator does not know are estimated around ``u0`` first; those are
    lower bounds, so the method then checks and doubles them as it goes, where it can.

    Args:
        name: ``vr-halpern`` (Algorithm 1), ``vr-halpern-inexact`` (Algorithm 2), ``eg``, ``eag``, ``halpern``,
            ``halpern-one-step``, ``svrg-eg``, ``omwu``, or ``auto``.
        op: the operator ``F``.
        u0: start, shape ``(dim,)``.
        project: the resolvent of ``G``: a set, a function of ``z`` or of ``(z, step)``, or None for the operator's own.
        rng: seed or generator.
        options: of the method's class, such as ``step``.

    Returns:
        An object with ``step()``, ``u``, ``calls``, ``natural_residual()``, ``state_dict()``, ``load_state_dict()``.

    Example:
        >>> import numpy as np
        >>> op = FiniteSumOperator.from_matrix_game([[2.0, 0.0], [0.0, 1.0]])
        >>> method = make_method("eg", op, np.full(4, 0.5))
        >>> method.step()
        >>> method.nit, method.calls
        (1, 2.0)
    """
    check_choice("method", name, ("auto", *METHODS))
    checked_start(op, u0)
    if name == "auto":
        name = choose_method(op, u0, rng=rng)
    needed = _NEEDS.get(name)
    if name == "eg" and options.get("step") is None and op.L is None:
        options = {"backtrack": True, **options}
    elif needed is not None and getattr(op, needed) is None:
        found = estimate_constants(op, u0, rng=0)
        op.set_constants(L=found.L_full, L_mean=found.L_mean, L_cocoercive=found.L_cocoercive, L_own=found.L_own)
        if name in _BACKTRACKING:
            options = {"backtrack": True, **options}
    cls = METHODS[name]
    signatures = [inspect.signature(vars(base)["__init__"]) for base in cls.__mro__[:-1] if "__init__" in vars(base)]
    parameters = [p for signature in signatures for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    known = list(dict.fromkeys(p.name for p in parameters))
    for option in options:
        if option not in known:
            near = suggest(option, known)
            raise TypeError(f"method {name!r} has no option {option!r}; it has {', '.join(known)}{near}")
    return cls(op, u0, project, rng, **options)


def solve_inclusion(
    op: FiniteSumOperator, u0: Any, resolvent: Any = None, method: str = "auto", *,
    tol: float = 1e-3, criterion: str = "residual", max_oracle_calls: float | None = None,
    maxiter: int | None = None, max_seconds: float | None = None, step: float | None = None, rng: Any = 0,
    callback: Callable[[Array], Any] | None = None, state: Mapping[str, Any] | None = None,
    restart: float | None = None, check_every: int | None = None, **options: Any,
) -> OptimizeResult:  # fmt: skip
    """Find u with ``0 in F(u) + G(u)`` for monotone ``F``: variational inequalities, saddle points, games.

    Args:
        op: the operator ``F``, a mean of components.
        u0: start and anchor, shape ``(dim,)``, finite; projected with a warning if outside the set.
        resolvent: of ``G``: a set with ``project``, a function of ``z`` (a projection) or of ``(z, step)``, None for
            the operator's own (simplices for a game, else the whole space).
        method: as in :func:`make_method`; ``auto`` chooses by the operator's constants.
        tol: what the criterion must fall to, >= 0.
        criterion: ``residual``, the natural residual ``‖u - J(u - F(u))‖`` at step 1; ``operator``, ``‖F(u) + g‖``
            with the method's ``g`` in ``G(u)``; ``gap``, the duality gap of a matrix game.
        max_oracle_calls, maxiter, max_seconds: caps; steps are capped at 100 000 unless given. Tests of the criterion
            are not charged where no step uses their evaluation; ``n_check_evals`` counts those.
        step: the method's step > 0 (for ``vr-halpern-inexact`` the resolvent's); by default from the constants.
        rng: seed or generator.
        callback: called with ``u`` after each step; a true result stops.
        state: the ``state`` of an earlier result, to go on from exactly; then ``max_oracle_calls`` counts from the
            first start, ``maxiter`` and ``max_seconds`` count from here.
        restart: None; a whole number, make the current point the anchor every so many steps; or a number in (0, 1),
            do so whenever the criterion has fallen by that factor. Helps in games; beyond the paper.
        check_every: steps between tests of the criterion; by default the method's.
        options: further arguments of the method's class.

    Returns:
        OptimizeResult with ``x`` (the tested point with the smallest criterion), ``residual`` there, ``residual_kind``,
        ``gap`` (games), ``n_component_evals``, ``n_check_evals``, ``passes``, ``nit``, ``success``, ``status``,
        ``message``, ``method``, ``history`` (arrays ``calls``, ``residual``, ``gap``, ``nit``), ``certificate``
        (``vr-halpern-inexact``: ``distance`` bounds that of ``x`` from the resolvent, with step ``eta``, of
        ``resolvent_of``) and ``state``.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    Reference: Cai, Alacaoglu, Diakonikolas, arXiv 2310.02987.

    Example:
        >>> import numpy as np
        >>> from optimand.core.projections import Box
        >>> op = FiniteSumOperator.from_affine(np.stack([np.eye(2), 3 * np.eye(2)]), np.array([[1.0, 0.0], [3.0, 0.0]]))
        >>> found = solve_inclusion(op, np.zeros(2), Box(-0.5, 0.5), tol=1e-8)
        >>> found.success, found.x.round(6).tolist(), found.residual_kind
        (True, [0.5, 0.0], 'natural')
    """
    checked_start(op, u0)
    check_number("tol", tol, low=0)
    check_choice("criterion", criterion, _KINDS)
    if criterion == "gap" and op.structure != "game":
        raise ValueError("criterion 'gap' needs the operator of a matrix game, got another operator")
    if restart is not None:
        check_number("restart", restart, low=0, low_open=True)
    limits = Limits(MOST_STEPS if maxiter is None else maxiter, max_seconds, max_oracle_calls)
    if step is not None:
        options = {**options, "step": step}
    rng = np.random.default_rng(rng)
    before = op.calls
    run = make_method(method, op, u0, resolvent, rng, **options)
    watch = _Watch(run, criterion, tol, restart, run._calls_before - before)
    if state is not None:
        run.load_state_dict(state)
        watch.load_state_dict(state.get("watch", {}))
    every = run.check_every if check_every is None else check_int("check_every", check_every, low=1)
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging run ends with a status, not with warnings
        status = _iterate(run, watch, limits, every, callback)
    return watch.result(status)


def _iterate(
    run: InclusionMethod, watch: _Watch, limits: Limits, every: int, callback: Callable[[Array], Any] | None
) -> Status:
    first = run.nit
    while True:
        reached = limits.reached(run.nit - first, run.calls + watch.estimating)
        due = run.nit % every == 0
        if reached is not None or due:
            # where a cap ends the run between two tests, going on must find the anchor that it would have had
            status = watch.test(restart=due)
            if status is not None:
                return status
        if reached is not None:
            return reached
        run.step()
        if callback is not None and callback(run.u.copy()):
            watch.test(restart=False)
            return Status.STOPPED


class _Watch:
    """Tests the criterion, keeps the best point and the history, and restarts the anchor where that is asked for."""

    def __init__(
        self, run: InclusionMethod, criterion: str, tol: float, restart: float | None, estimating: float
    ) -> None:
        self.run, self.criterion, self.tol, self.restart = run, criterion, tol, restart
        self.estimating = estimating
        self.check_evals = 0.0
        self.history: dict[str, list[float]] = {"calls": [], "residual": [], "gap": [], "nit": []}
        self.best: tuple[float, Array, float, float, Any] = (math.inf, run.u.copy(), math.nan, math.nan, None)
        self.since, self.started = run.nit, math.inf

    def test(self, *, restart: bool) -> Status | None:
        run = self.run
        if not np.isfinite(run.u).all():
            return Status.NOT_FINITE
        if run._known is None and not run.shares_tests:
            self.check_evals += run.op.full_cost
        here = run.operator_value()
        if not np.isfinite(here).all():
            return Status.NOT_FINITE
        operator = self.criterion == "operator"
        residual = run.operator_residual() if operator else run.natural_residual()
        if math.isinf(residual):
            return Status.NOT_FINITE
        gap = run.op.gap(run.u, here) if run.op.structure == "game" else math.nan  # type: ignore[attr-defined]
        for name, value in (("calls", run.calls), ("residual", residual), ("gap", gap), ("nit", run.nit)):
            self.history[name].append(float(value))
        measure = gap if self.criterion == "gap" else residual
        if measure < self.best[0]:
            self.best = (measure, run.u.copy(), residual, gap, getattr(run, "certificate", None))
        if measure <= self.tol:
            return Status.CONVERGED
        if restart:
            self._restart(measure)
        return None

    def _restart(self, measure: float) -> None:
        if self.restart is None or math.isnan(measure):
            return
        if math.isinf(self.started):
            self.started = measure
        due = measure <= self.restart * self.started if self.restart < 1 else self.run.nit - self.since >= self.restart
        if due:
            self.run.restart()
            self.since, self.started = self.run.nit, measure

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.since = state.get("since", self.run.nit)
        self.started = state.get("started", math.inf)
        self.estimating = state.get("estimating", 0.0)

    def _advice(self, status: Status) -> str:
        """What may be wrong with an operator on which a method diverges."""
        if status != Status.NOT_FINITE:
            return ""
        op, why = self.run.op, "the step or the constant L is too large for it, or G's resolvent is none"
        if op.structure != "game":
            try:
                with np.errstate(all="ignore"):
                    if not estimate_constants(op, self.best[1], rng=0).monotone:
                        why = "the operator is not monotone between points near the start"
            except ValueError:
                why = "the operator is not finite between points near the start"
        return f"the iterates diverge: {why}"

    def result(self, status: Status) -> OptimizeResult:
        run = self.run
        _, u, residual, gap, certificate = self.best
        calls = run.calls + self.estimating
        watch = {"since": self.since, "started": self.started, "estimating": self.estimating}
        return OptimizeResult(  # type: ignore[call-arg]
            x=u, residual=residual, residual_kind=_KINDS[self.criterion], gap=gap, n_component_evals=calls,
            n_check_evals=self.check_evals, passes=calls / run.op.full_cost, nit=run.nit,
            success=status == Status.CONVERGED, status=int(status), message=message(status, self._advice(status)),
            method=run.name,
            history={name: np.array(values) for name, values in self.history.items()},
            certificate=certificate, state={**run.state_dict(), "watch": watch},
        )  # fmt: skip
