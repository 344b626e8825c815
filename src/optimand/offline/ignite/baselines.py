"""Regularizers by name, and those that IGNITE is compared to: of the loss, of random moves, of weights.

* SAM: the gradient of the loss at beta + rho grad L / |grad L| (Foret et al., ICLR 2021, arXiv 2010.01412).
* The norm of the loss's gradient as a penalty, by a forward difference (Zhao et al., ICML 2022, arXiv 2202.03599).
* Surrogate sensitivity in the manner of BOSS (Dao et al., ICML 2024, arXiv 2503.04181).
* Weight decay as part of the gradient.

The first three cost what IGNITE costs: one more forward and backward pass or two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from optimand.core.seeds import SeedTree
from optimand.core.validation import OptimandError, check_choice, check_int, check_number

from .base import Loss, Regularizer, added_to
from .perturbation import global_norm, moved
from .sharpness import TINY, SurrogateSharpness

Predict = Callable[[Any], Tensor]


class _OnLoss(Regularizer):
    """The gradient of the loss a step of length ``radius`` up its own gradient."""

    uses_loss = True
    uses_batch = False

    def _ahead(self, loss: Loss | None, radius: float, scale: float) -> tuple[list[Tensor], list[Tensor]] | None:
        """The gradients at hand and those ahead, times ``scale``; None where the gradient is 0."""
        if loss is None:
            raise TypeError(f"{type(self).__name__} needs loss, a function that computes the batch's loss once more")
        params = [p for p in self.params() if p.grad is not None]
        here = [added_to(p) for p in params]
        self.norm = global_norm(here)
        if not math.isfinite(self.norm):
            raise FloatingPointError(f"the norm of the loss's gradient is {self.norm} after {self.steps} steps")
        if self.norm <= TINY:
            return None
        with torch.enable_grad(), moved(params, here, radius / self.norm), self.sealed():
            ahead: Any = loss()
            if isinstance(ahead, Tensor):
                ahead = list(torch.autograd.grad(ahead, params, materialize_grads=True))
        self.averaged(ahead)
        if scale != 1.0:
            torch._foreach_mul_(ahead, scale)
        return here, ahead


class SharpnessAware(_OnLoss):
    """SAM on the loss (arXiv 2010.01412): the gradient is taken at beta + rho grad L / |grad L|.

    Args:
        model: the surrogate.
        predict: not used; there so that regularizers are interchangeable.
        rho: the radius, above 0.
        options: ``params`` of :class:`Regularizer`.
    """

    def __init__(self, model: nn.Module, predict: Predict | None = None, *, rho: float = 0.05, **options: Any) -> None:
        super().__init__(model, predict, **options)
        self.rho = check_number("rho", rho, low=0.0, low_open=True, high_open=True)

    def add_grad_(self, x: Any, loss: Loss | None = None, *, scale: float = 1.0) -> None:
        """Replace the loss's gradient by that ahead; see :meth:`Regularizer.add_grad_`."""
        found = self._ahead(loss, self.rho, scale)
        if found is not None:
            torch._foreach_copy_(*found)
        self.steps += 1


class GradientNorm(_OnLoss):
    """Penalty lam |grad L| on the norm of the loss's gradient (arXiv 2202.03599), by a forward difference.

    Args:
        model: the surrogate.
        predict: not used; there so that regularizers are interchangeable.
        lam: weight of the penalty, at least 0.
        r: length of the difference's step, above 0.
        options: ``params`` of :class:`Regularizer`.
    """

    def __init__(
        self, model: nn.Module, predict: Predict | None = None, *, lam: float = 1e-3, r: float = 0.05, **options: Any
    ) -> None:
        super().__init__(model, predict, **options)
        self.lam = check_number("lam", lam, low=0.0, high_open=True)
        self.r = check_number("r", r, low=0.0, low_open=True, high_open=True)

    def add_grad_(self, x: Any, loss: Loss | None = None, *, scale: float = 1.0) -> None:
        """Add (lam / r) (gradient ahead - gradient here); see :meth:`Regularizer.add_grad_`."""
        found = self._ahead(loss, self.r, scale) if self.lam else None
        if found is not None:
            here, ahead = found
            torch._foreach_sub_(ahead, here)
            torch._foreach_add_(here, ahead, alpha=self.lam / self.r)
        self.steps += 1


class WeightDecay(Regularizer):
    """The gradient of (lam / 2) |beta|^2, added to the loss's (not decoupled).

    Args:
        model: the surrogate.
        predict: not used; there so that regularizers are interchangeable.
        lam: the weight, at least 0.
        options: ``params`` of :class:`Regularizer`.
    """

    uses_batch = False

    def __init__(self, model: nn.Module, predict: Predict | None = None, *, lam: float = 1e-4, **options: Any) -> None:
        super().__init__(model, predict, **options)
        self.lam = check_number("lam", lam, low=0.0, high_open=True)

    def add_grad_(self, x: Any, loss: Loss | None = None, *, scale: float = 1.0) -> None:
        """Add lam beta; see :meth:`Regularizer.add_grad_`."""
        params = [p for p in self.params() if p.grad is not None]
        with torch.no_grad():
            torch._foreach_add_([added_to(p) for p in params], params, alpha=scale * self.lam)
        self.norm = global_norm([p.detach() for p in params])
        self.steps += 1


class Sensitivity(Regularizer):
    """Penalty on the change of the mean prediction under random moves of the parameters, in the manner of BOSS.

    The penalty is lam E min(1, ((G(beta + gamma) - G(beta)) / alpha)^2) with gamma ~ N(mu, sigma^2) in every entry, one
    draw a step; mu and sigma climb the same expression within their bounds, as an adversary. BOSS (arXiv 2503.04181)
    takes the change to first order, measures it relative to G (which is near 0 for standardized targets) and moves mu
    and sigma through a small network that predicts whether the change exceeds alpha; here the change is exact and
    the derivatives are those of the draw.

    Args:
        model: the surrogate.
        predict: from a batch to mean predictions; the default is the model's output, or the first of several.
        lam: weight of the penalty, at least 0.
        alpha: the change that counts as 1, above 0, in units of the predictions.
        sigma: first standard deviation of a move, within ``sigma_bounds``.
        sigma_bounds: its bounds, 0 < least <= greatest.
        mu_bound: bound of |mu|, at least 0; mu begins at 0.
        eta: step size of mu and sigma as a share of their bounds' widths, at least 0; 0 keeps them.
        seed: of the moves, which depend on it and on the number of the step.
        options: further arguments of :class:`Regularizer`.
    """

    def __init__(
        self,
        model: nn.Module,
        predict: Predict | None = None,
        *,
        lam: float = 1e-2,
        alpha: float = 0.1,
        sigma: float = 1e-3,
        sigma_bounds: tuple[float, float] = (1e-4, 1e-2),
        mu_bound: float = 1e-3,
        eta: float = 1e-2,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(model, predict, **options)
        self.lam = check_number("lam", lam, low=0.0, high_open=True)
        self.alpha = check_number("alpha", alpha, low=0.0, low_open=True, high_open=True)
        if not 0.0 < sigma_bounds[0] <= sigma_bounds[1] < math.inf:
            raise ValueError(f"sigma_bounds must be 0 < least <= greatest, got {sigma_bounds}")
        self.sigma = check_number("sigma", sigma, low=sigma_bounds[0], high=sigma_bounds[1])
        self.sigma_bounds = sigma_bounds
        self.mu = 0.0
        self.mu_bound = check_number("mu_bound", mu_bound, low=0.0, high_open=True)
        self.eta = check_number("eta", eta, low=0.0, high_open=True)
        self.seed = check_int("seed", seed, low=0)
        self.change = float("nan")

    def add_grad_(self, x: Any, loss: Loss | None = None, *, scale: float = 1.0) -> None:
        """Add the penalty's gradient and move mu and sigma; see :meth:`Regularizer.add_grad_`."""
        if self.lam == 0.0:
            self.steps += 1
            return
        params = self.params()
        with torch.enable_grad():
            seal = self.sealed()
            with seal:
                start = seal.state()
                value = self.mean(x)
                found = torch.autograd.grad(value, params, allow_unused=True)
            pairs = [(p, g) for p, g in zip(params, found, strict=True) if g is not None]
            if not pairs:
                raise OptimandError("the prediction has no gradient path to the parameters that require one")
            reached, first = [p for p, _ in pairs], [g for _, g in pairs]
            generator = SeedTree(self.seed).child("moves", self.steps).torch()
            draws = [torch.randn(p.shape, generator=generator).to(p) for p in reached]
            moves = [self.mu + self.sigma * z for z in draws]
            with moved(reached, moves, 1.0), self.sealed(start):
                ahead = self.mean(x)
                second = list(torch.autograd.grad(ahead, reached, materialize_grads=True))
        change = (ahead - value).detach().reshape(1)
        self.averaged([*first, *second, change])
        self.norm, self.change = global_norm(first), float(change)
        if not math.isfinite(self.norm + self.change):
            raise FloatingPointError(
                f"the prediction's gradient has norm {self.norm} and its change is {self.change} after {self.steps} "
                "steps: the surrogate diverged"
            )
        self.steps += 1
        if abs(self.change) >= self.alpha:  # beyond the truncation the penalty is flat
            return
        slope = 2.0 * self.change / self.alpha**2
        if self.eta:
            self._climb(slope, second, draws)
        torch._foreach_sub_(second, first)
        torch._foreach_add_([added_to(p) for p in reached], second, alpha=scale * self.lam * slope)

    def _climb(self, slope: float, gradients: list[Tensor], draws: list[Tensor]) -> None:
        """One step of the adversary; its length is that of the bounds, as the derivatives' scale is the network's."""
        to_mu = slope * sum(float(g.sum()) for g in gradients)
        to_sigma = slope * sum(float((g * z).sum()) for g, z in zip(gradients, draws, strict=True))
        length = math.hypot(to_mu, to_sigma)
        if length <= TINY:
            return
        low, high = self.sigma_bounds
        self.mu += self.eta * 2.0 * self.mu_bound * to_mu / length
        self.mu = min(self.mu_bound, max(-self.mu_bound, self.mu))
        self.sigma = min(high, max(low, self.sigma + self.eta * (high - low) * to_sigma / length))

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "mu": self.mu, "sigma": self.sigma}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.mu = check_number("state['mu']", state["mu"])
        self.sigma = check_number("state['sigma']", state["sigma"], low=0.0)


CLASSES: dict[str, type[Regularizer]] = {
    "sam": SharpnessAware,
    "gradient-norm": GradientNorm,
    "sensitivity": Sensitivity,
    "weight-decay": WeightDecay,
}
KINDS = ("adaptive", "fixed", *CLASSES)

FIXED: dict[str, Any] = {"lam": 1e-2, "rho": 0.2, "r": 0.2, "adaptive": False}
"""IGNITE-2 as the authors run it."""


def make_regularizer(
    kind: str | None, model: nn.Module, predict: Predict | None = None, **options: Any
) -> Regularizer | None:
    """The regularizer of a name, with the authors' settings unless others are given.

    Args:
        kind: ``adaptive``: IGNITE; ``fixed``: IGNITE-2; ``sam``: sharpness-aware minimization of the loss;
            ``gradient-norm``: penalty on the norm of the loss's gradient; ``sensitivity``: BOSS, the change of
            predictions under random perturbations of the parameters; ``weight-decay``; None: no regularizer.
        model: the surrogate.
        predict: from a batch to mean predictions; the default is the model's output, or the first of several.
        options: arguments of the regularizer's class.

    Returns:
        A :class:`Regularizer`, or None for None.

    Raises:
        ValueError: an unknown kind, or a number out of range.

    Example:
        >>> import torch
        >>> make_regularizer("fixed", torch.nn.Linear(2, 1)).rho
        0.2
        >>> make_regularizer(None, torch.nn.Linear(2, 1)) is None
        True
    """
    if kind is None or kind == "none":
        return None
    check_choice("kind", kind, KINDS)
    if kind == "adaptive":
        return SurrogateSharpness(model, predict=predict, **options)
    if kind == "fixed":
        return SurrogateSharpness(model, predict=predict, **{**FIXED, **options})
    return CLASSES[kind](model, predict=predict, **options)
