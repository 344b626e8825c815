"""The penalty method for PyTorch: closures and modules, in the style of ``torch.optim``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ...core.validation import check_choice, check_int, check_number
from ..estimators import storm
from .diagnostics import PenaltyWarning
from .schedules import AUTO, as_schedule
from .torch_pairs import (
    CurvatureStep,
    PairedLosses,
    StepReport,
    Tensors,
    buffers_kept,
    holding,
    move,
    norm,
    optimizer_of,
    parameters,
    projections,
)

Closure = Callable[..., Any]


class PenaltyBilevel:
    """First-order bilevel optimization of torch parameters: no Hessian products, no unrolling.

    The user's ``lower_params`` are z, the solution of the lower level and the answer; a copy of them, ``y``, solves
    the penalized problem. A closure is called as ``closure(upper_params, lower_params, batch)``. While it is evaluated
    at y, the lower parameters themselves hold y, so it may as well use the module that owns them. Both levels' closures
    get the same batch at y and at z, and torch's random generators are set back in between: dropout and draws agree.

    Args:
        upper_params, lower_params: x and z: a module, of which those parameters that require gradients are taken, or
            a tensor or tensors (named ones as well), leaves that require gradients. A module with buffers, such as
            running means, has to be passed as such: then they follow z, and no other evaluation changes them.
        sigma: penalty, a number > 0 or a function of the step k = 1, 2, …
        inner_steps: lower steps in each step.
        momentum: None (Algorithm 1: x moves along the gradient at the updated y and z) or ``"storm"`` (Algorithm 2:
            all three estimated at the same point, then moved together).
        eta: momentum rate of ``"storm"`` in (0, 1], a number or a function of the step.
        prox_upper, prox_lower: a set, or a projection, for every tensor, or a list with one for each.
        rho: parameter of the prox term in the lower steps; infinite for none.
        beta: weight in (0, 1] with which y and z move to the results of the lower steps.
        upper_lr, lower_lr: step sizes, numbers or functions of the step; ``lower_lr="auto"`` measures the curvature by
            differences of gradients, at the start and every tenth step.
        upper_optimizer, lower_optimizer: functions of a list of tensors that return a ``torch.optim.Optimizer``, in
            place of gradient steps; projections follow its step. The lower one is made twice, for y and for z.

    Attributes:
        x, y, z: lists of the tensors.
        k: steps taken.
        upper_optimizer, lower_optimizers: the optimizers of x, and of y and z, such as schedulers ask for, or None.

    Raises:
        TypeError, ValueError: an argument is of a wrong kind or out of range.

    Memory: one copy of the lower parameters, two more within a step; with ``"storm"`` two more for the estimates (the
    previous point is recovered from them; with a lower projection or optimizer it is kept, which takes another two).
    ``lower_lr="auto"`` keeps two directions.

    Reference: Kwon, Kwon, Wright, Nowak, arXiv 2309.01753, Algorithms 1 and 2.

    Example:
        >>> x = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
        >>> z = torch.tensor([0.0], dtype=torch.float64, requires_grad=True)
        >>> solver = PenaltyBilevel(x, z, sigma=0.01, inner_steps=10, upper_lr=0.2, lower_lr=0.9)
        >>> f = lambda xs, ys, batch: 0.5 * (ys[0] - 1).square().sum() + xs[0].square().sum() / 4
        >>> g = lambda xs, ys, batch: 0.5 * (ys[0] - 2 * xs[0]).square().sum()
        >>> for _ in range(60):
        ...     report = solver.step(f, g)
        >>> round(x.item(), 2), round(z.item(), 2)
        (0.44, 0.89)
    """

    def __init__(
        self,
        upper_params: Any,
        lower_params: Any,
        sigma: Any = 0.1,
        inner_steps: int = 1,
        momentum: str | None = None,
        prox_upper: Any = None,
        prox_lower: Any = None,
        rho: float = math.inf,
        beta: float = 1.0,
        *,
        eta: Any = 0.2,
        upper_lr: Any = 0.1,
        lower_lr: Any = 0.1,
        upper_optimizer: Callable[[Tensors], torch.optim.Optimizer] | None = None,
        lower_optimizer: Callable[[Tensors], torch.optim.Optimizer] | None = None,
    ) -> None:
        self.x, self.z = parameters("upper_params", upper_params), parameters("lower_params", lower_params)
        if {id(p) for p in self.x} & {id(p) for p in self.z}:
            raise ValueError("upper_params and lower_params must not share a tensor")
        self.sigma = as_schedule("sigma", sigma)
        self.inner_steps = check_int("inner_steps", inner_steps, low=1)
        self.momentum = check_choice("momentum", momentum, (None, "storm"))
        self.rho = check_number("rho", rho, low=0, low_open=True)
        self.beta = check_number("beta", beta, low=0, low_open=True, high=1)
        if momentum and (inner_steps > 1 or self.rho < math.inf or self.beta < 1):
            raise ValueError("momentum='storm' is a single loop: inner_steps must be 1, rho infinite and beta 1")
        self.eta = as_schedule("eta", eta, high=1.0)
        if lower_lr == AUTO and lower_optimizer is not None:
            raise ValueError("lower_lr must not be 'auto' with a lower_optimizer, which has a step size of its own")
        self.upper_lr = as_schedule("upper_lr", upper_lr)
        self._onto_x = projections("prox_upper", prox_upper, len(self.x))
        self._onto_y = projections("prox_lower", prox_lower, len(self.z))
        # Like the parameters themselves, so that an optimizer takes them.
        self.y: Tensors = [p.detach().clone().requires_grad_() for p in self.z]
        self.upper_optimizer = optimizer_of("upper_optimizer", upper_optimizer, self.x)
        self.lower_optimizers = [optimizer_of("lower_optimizer", lower_optimizer, ps) for ps in (self.y, self.z)]
        self.k = 0
        self._told: set[str] = set()
        modules = [owner for owner in (upper_params, lower_params) if isinstance(owner, nn.Module)]
        self._pair = PairedLosses(self.x, self.y, self.z, modules, self._warn)
        self._lower_schedule = None if lower_lr == AUTO else as_schedule("lower_lr", lower_lr)
        self._curvature = CurvatureStep(self._pair, self.rho)
        self._estimates: tuple[Tensors, Tensors, Tensors] | None = None
        self._previous: dict[str, Tensors | float] = {}

    def step(self, upper_loss: Closure, lower_loss: Closure, batch: Any = None) -> StepReport:
        """One step.

        Args:
            upper_loss: f, a closure that returns a scalar tensor.
            lower_loss: g, likewise.
            batch: the samples of this step, whatever the closures expect; or a function without arguments that draws
                some, called anew for every lower step and for the x-gradient.

        Raises:
            FloatingPointError: a loss or a gradient is not finite.
            TypeError: a closure returns something else than a scalar tensor.
            ValueError: the upper loss depends on neither level's parameters, or the lower loss not on its own.

            After any error x, y and z are where the step began.

        Warns:
            PenaltyWarning: no loss depends on x, or float32 is too short for the penalty.
        """
        k = self.k + 1
        sigma = self.sigma(k)
        self._warn_of_cancellation(sigma)
        draw = batch if callable(batch) else lambda: batch
        take = self._momentum_step if self.momentum else self._plain_step
        begin = [p.detach().clone() for p in (*self.y, *self.z)]  # x moves last, when all is known to be finite
        try:
            report = take(k, sigma, upper_loss, lower_loss, draw)
        except BaseException:  # also an interrupt: the lower variables have moved by then
            with torch.no_grad():
                for p, value in zip((*self.y, *self.z), begin, strict=True):
                    p.copy_(value)
            raise
        self.k = k
        return report

    def hypergradient(self, upper_loss: Closure, lower_loss: Closure, batch: Any = None) -> Tensors:
        """The penalty gradient in x at the current x, y and z; nothing moves.

        Args:
            upper_loss, lower_loss, batch: as in :meth:`step`.
        """
        samples = batch() if callable(batch) else batch
        return self._pair.upper(self.k + 1, self.sigma(self.k + 1), upper_loss, lower_loss, samples)[0]

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on besides the users' parameters: tensors and numbers only."""
        return {
            "k": self.k,
            "sigma": self.sigma(max(self.k, 1)),
            "y": [p.detach().clone() for p in self.y],
            "estimates": None if self._estimates is None else [[e.clone() for e in part] for part in self._estimates],
            "previous": {
                key: value if isinstance(value, float) else [v.clone() for v in value]
                for key, value in self._previous.items()
            },
            "upper_optimizer": self.upper_optimizer and self.upper_optimizer.state_dict(),
            "lower_optimizers": [o and o.state_dict() for o in self.lower_optimizers],
            "lower_step": self._curvature.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state`` exactly; ValueError if it is of other parameters or of a solver of another kind."""
        shapes = [tuple(v.shape) for v in state["y"]], [tuple(p.shape) for p in self.y]
        if shapes[0] != shapes[1]:
            raise ValueError(f"state must be of lower parameters of shapes {shapes[1]}, got {shapes[0]}")
        optimizers = [self.upper_optimizer, *self.lower_optimizers]
        saved = [state["upper_optimizer"], *state["lower_optimizers"]]
        if [o is None for o in optimizers] != [s is None for s in saved]:
            raise ValueError("state must be of a solver with the same optimizers, got one that has others or none")
        if state["estimates"] is not None and not self.momentum:
            raise ValueError("state must be of a solver without momentum, got one with")
        self.k = int(state["k"])
        with torch.no_grad():
            for p, v in zip(self.y, state["y"], strict=True):
                p.copy_(v)

        def like(values: Any, params: Tensors) -> Tensors:
            return [v.detach().clone().to(p) for v, p in zip(values, params, strict=True)]

        owners = {"x": self.x, "y": self.y, "z": self.z}
        self._estimates = None
        if state["estimates"] is not None:
            h, g, e = state["estimates"]
            self._estimates = (like(h, self.y), like(g, self.z), like(e, self.x))
        self._previous = {
            key: value if isinstance(value, float) else like(value, owners[key])
            for key, value in state["previous"].items()
        }
        self._curvature.load_state_dict(state["lower_step"])
        for optimizer, one in zip(optimizers, saved, strict=True):
            if optimizer is not None:
                optimizer.load_state_dict(one)

    def _plain_step(self, k: int, sigma: float, f: Closure, g: Closure, draw: Callable[[], Any]) -> StepReport:
        """Algorithm 1."""
        self._look(k, sigma, f, g, draw)
        anchored = self.rho < math.inf or self.beta < 1
        anchors = [[p.detach().clone() for p in ps] for ps in (self.y, self.z)] if anchored else None
        for _ in range(self.inner_steps):
            h_y, g_z, _, _ = self._pair.lower(k, sigma, f, g, draw())
            self._move_lower(k, h_y, g_z, anchors)
        if anchors is not None and self.beta < 1:
            with torch.no_grad():
                for ps, anchor in zip((self.y, self.z), anchors, strict=True):
                    for p, a in zip(ps, anchor, strict=True):
                        p.lerp_(a, 1 - self.beta)
        gradient, f_y, g_at_z = self._pair.upper(k, sigma, f, g, draw())
        size = norm(gradient)
        move(self.x, gradient, self.upper_lr(k), self.upper_optimizer, self._onto_x)
        return StepReport(f_y, g_at_z, size, norm(h_y), norm(g_z), sigma)

    def _momentum_step(self, k: int, sigma: float, f: Closure, g: Closure, draw: Callable[[], Any]) -> StepReport:
        """Algorithm 2."""
        samples, eta = draw(), self.eta(k)
        self._look(k, sigma, f, g, lambda: samples)
        begin = self._pair.random.get()
        new, f_y, g_at_z = self._pair.joint(k, sigma, f, g, samples)
        if self._estimates is not None and eta < 1:
            end = self._pair.random.get()
            self._pair.random.set(begin)
            before = self._previous_point()
            kept = buffers_kept(self._pair.modules)
            with kept, holding(self.x, before["x"]), holding(self.y, before["y"]), holding(self.z, before["z"]):
                old, _, _ = self._pair.joint(k, sigma, f, g, samples)
            self._pair.random.set(end)
            h, g_, e = (
                [storm(e, n, o, eta) for e, n, o in zip(es, ns, os, strict=True)]
                for es, ns, os in zip(self._estimates, new, old, strict=True)
            )
            new = (h, g_, e)
        h_y, g_z, gradient = new
        self._keep_point(k)
        self._estimates = (h_y, g_z, gradient)
        self._move_lower(k, h_y, g_z, None)
        move(self.x, gradient, self.upper_lr(k), self.upper_optimizer, self._onto_x)
        return StepReport(f_y, g_at_z, norm(gradient), norm(h_y), norm(g_z), sigma)

    # The previous point of a plain gradient step is where the step came from; any other has to be kept.

    def _keep_point(self, k: int) -> None:
        kept: dict[str, Tensors | float] = {"upper_lr": self.upper_lr(k), "lower_lr": self._lower_lr(k)}
        if self._onto_x or self.upper_optimizer:
            kept["x"] = [p.detach().clone() for p in self.x]
        if self._onto_y or self.lower_optimizers[0]:
            kept["y"], kept["z"] = ([p.detach().clone() for p in ps] for ps in (self.y, self.z))
        self._previous = kept

    def _previous_point(self) -> dict[str, Tensors]:
        assert self._estimates is not None
        found = {}
        for key, ps, estimate in zip("yzx", (self.y, self.z, self.x), self._estimates, strict=True):
            kept = self._previous.get(key)
            lr: Any = self._previous["upper_lr" if key == "x" else "lower_lr"]
            with torch.no_grad():
                found[key] = (
                    kept
                    if isinstance(kept, list)
                    else [p.detach().add(e, alpha=lr) for p, e in zip(ps, estimate, strict=True)]
                )
        return found

    def _lower_lr(self, k: int) -> float:
        return self._lower_schedule(k) if self._lower_schedule else self._curvature.value

    def _look(self, k: int, sigma: float, f: Closure, g: Closure, draw: Callable[[], Any]) -> None:
        if self._lower_schedule is None:
            self._curvature.update(k, sigma, f, g, draw)

    def _move_lower(self, k: int, h_y: Tensors, g_z: Tensors, anchors: list[Tensors] | None) -> None:
        lr = self._lower_lr(k)
        for i, (ps, step) in enumerate(((self.y, h_y), (self.z, g_z))):
            if anchors is not None and self.rho < math.inf:
                step = [d + (p.detach() - a) / self.rho for d, p, a in zip(step, ps, anchors[i], strict=True)]
            move(ps, step, lr, self.lower_optimizers[i], self._onto_y)

    def _warn_of_cancellation(self, sigma: float) -> None:
        short = max((p.dtype for p in [*self.x, *self.z]), key=lambda dtype: torch.finfo(dtype).eps)
        least = 1e-3 * torch.finfo(short).eps / torch.finfo(torch.float32).eps
        if sigma < least:
            self._warn(
                "precision", f"sigma = {sigma:g} is below {least:.2g}: {short} loses the difference of gradients"
            )

    def _warn(self, key: str, text: str) -> None:
        if key not in self._told:
            self._told.add(key)
            warnings.warn(text, PenaltyWarning, stacklevel=5)
