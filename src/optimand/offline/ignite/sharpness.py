"""IGNITE: a penalty on the sharpness of a surrogate's mean prediction (Dao et al., NeurIPS 2024, arXiv 2503.04242).

With G(beta) the mean prediction over a batch, the sharpness max over |d| <= rho of G(beta + d) - G(beta) is to first
order rho |grad G|, and its gradient rho H grad G / |grad G| a forward difference of gradients:

    g1 = grad G(beta);  n = |g1|;  g2 = grad G(beta + r g1 / n)
    gradient = grad loss + lam (rho / r) (g2 - g1)
    lam = lam + eta (rho n - eps)           (adaptive; IGNITE-2 keeps lam)

Unlike the authors' code the multiplier of the constraint rho n <= eps stays at 0 or above (``project=True``): below, it
would reward sharpness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from optimand.core.validation import OptimandError, check_number

from .base import Loss, LossOf, Regularizer, added_to, first_output
from .perturbation import global_norm, moved

TINY = 1e-12
"""Norms up to this count as zero: there the direction of steepest ascent is undefined and the penalty is left out."""


class SurrogateSharpness(Regularizer):
    """Sharpness of a surrogate's mean prediction as a penalty: IGNITE (arXiv 2503.04242), for any torch module.

    Args:
        model: the surrogate.
        lam: the multiplier, at first or, with ``adaptive=False``, for good; at least 0 when ``project`` is set.
        rho: radius of the sharpness in the space of parameters, at least 0.
        r: length of the finite difference's step, above 0.
        eps: the sharpness rho |grad G| that is allowed, at least 0; in units of the predictions.
        eta: step size of the multiplier, at least 0.
        adaptive: whether the multiplier follows the constraint (IGNITE) or is fixed (IGNITE-2).
        project: keep an adaptive multiplier at least 0; False as the authors' code does.
        predict: from a batch to mean predictions; the default is the model's output, or the first of several.
        params: the parameters that are perturbed and penalized; by default all that require a gradient.

    Raises:
        ValueError: a number is NaN or out of range.
        FloatingPointError: in use, the norm of grad G is not finite.
        OptimandError: in use, the prediction has no gradient path to the parameters.

    Reference:
        Dao, Nguyen, Truong, Hoang, Incorporating Surrogate Gradient Norm to Improve Offline Optimization Techniques,
        NeurIPS 2024, arXiv 2503.04242.

    Example:
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(model.weight, 2.0)
        >>> penalty = SurrogateSharpness(model, predict=lambda x: model.weight**2 * x)
        >>> x = torch.tensor([[3.0]])
        >>> penalty.add_grad_(x)
        >>> penalty.norm, round(penalty.lam, 6), round(model.weight.grad.item(), 6)
        (12.0, 0.0015, 0.0003)
    """

    def __init__(
        self,
        model: nn.Module,
        lam: float = 1e-3,
        rho: float = 0.05,
        r: float = 0.05,
        eps: float = 0.1,
        eta: float = 1e-3,
        adaptive: bool = True,
        project: bool = True,
        predict: Callable[[Any], Tensor] | None = None,
        *,
        params: Iterable[Tensor] | None = None,
    ) -> None:
        super().__init__(model, predict, params=params)
        self.rho = check_number("rho", rho, low=0.0, high_open=True)
        self.r = check_number("r", r, low=0.0, low_open=True, high_open=True)
        self.eps = check_number("eps", eps, low=0.0, high_open=True)
        self.eta = check_number("eta", eta, low=0.0, high_open=True)
        self.adaptive = bool(adaptive)
        self.project = bool(project)
        self.lam = check_number(
            "lam", lam, low=0.0 if self.project else -math.inf, low_open=not project, high_open=True
        )

    @property
    def idle(self) -> bool:
        """Whether the penalty does nothing at all: a multiplier fixed at 0, or radius 0 without a moving multiplier."""
        return not self.adaptive and (self.lam == 0.0 or self.rho == 0.0)

    def add_grad_(self, x: Any, loss: Loss | None = None, *, scale: float = 1.0) -> None:
        """Add lam (rho / r) (g2 - g1) to ``.grad`` and move the multiplier; see :meth:`Regularizer.add_grad_`."""
        if self.idle:
            self.steps += 1
            return
        params = self.params()
        with torch.enable_grad():
            seal = self.sealed()
            with seal:
                start = seal.state()
                gradients: list[Tensor | None] = list(torch.autograd.grad(self.mean(x), params, allow_unused=True))
            self._apply(x, params, gradients, start, scale)

    def backward(self, x: Any, loss_of: LossOf, inputs: Any = None) -> Tensor:
        """The backward pass of the loss and of the penalty; one forward pass serves both where the inputs are equal.

        See :meth:`Regularizer.backward`.
        """
        shared = (inputs is None or inputs is x) and self.predict is None
        if self.idle or not shared:
            return super().backward(x, loss_of, inputs)
        params = self.params()
        start = self.sealed().state()
        output = self.forward(x)
        loss = loss_of(output)
        mean = self._scalar(first_output(output))
        gradients: list[Tensor | None] = list(torch.autograd.grad(mean, params, retain_graph=True, allow_unused=True))
        loss.backward()
        del output, mean
        self._apply(x, params, gradients, start, 1.0)
        return loss.detach()

    def _apply(
        self, x: Any, params: list[Tensor], found: list[Tensor | None], start: list[Tensor], scale: float
    ) -> None:
        """Second pass, sum and multiplier, from the gradients of G at the present parameters; empties ``found``."""
        reached = [p for p, g in zip(params, found, strict=True) if g is not None]
        first = [g for g in found if g is not None]
        found.clear()
        if not reached:
            raise OptimandError(
                "the prediction has no gradient path to the parameters that require one: check predict and params"
            )
        self.averaged(first)
        norm = global_norm(first)
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"the norm of the prediction's gradient is {norm} after {self.steps} steps: the surrogate diverged; "
                "lower its learning rate, or check x and y for values that are not finite"
            )
        weight = scale * self.lam * self.rho / self.r
        if weight != 0.0 and norm > TINY:
            targets = [added_to(p) for p in reached]
            # -g1 goes into the gradients at once, so that at most two copies of the parameters are held at a time.
            # Half-precision gradients would lose the difference in that.
            half = any(t.dtype in (torch.float16, torch.bfloat16) for t in targets)
            if not half:
                torch._foreach_add_(targets, first, alpha=-weight)
            with moved(reached, first, self.r / (norm + TINY)):
                if not half:
                    first.clear()
                with self.sealed(start):
                    second = list(torch.autograd.grad(self.mean(x), reached, materialize_grads=True))
            self.averaged(second)
            if half:
                torch._foreach_sub_(second, first)
            torch._foreach_add_(targets, second, alpha=weight)
        self.norm = norm
        self.steps += 1
        if self.adaptive:
            lam = self.lam + self.eta * (self.rho * norm - self.eps)
            self.lam = max(0.0, lam) if self.project else lam
