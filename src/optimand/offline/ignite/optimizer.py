"""IGNITE around a torch optimizer: its steps see the gradient of the loss and of the penalty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from optimand.core.validation import check_choice

from .base import Regularizer
from .baselines import KINDS, make_regularizer


class IGNITE(torch.optim.Optimizer):
    """A torch optimizer whose every step adds a surrogate's sharpness penalty to the gradient (arXiv 2503.04242).

    The optimizer's parameters that require a gradient are perturbed and penalized, except those of groups that say
    ``"penalize": False``; the norm is taken over all of the others together. The groups are the optimizer's own, so
    that learning rate schedules work on either.

    Args:
        optimizer: the optimizer that makes the steps.
        model: the surrogate.
        predict: from a batch to mean predictions; the default is the model's output, or the first of several.
        kind: of :func:`make_regularizer`: ``adaptive`` (IGNITE), ``fixed`` (IGNITE-2) or one of the others.
        options: further arguments of the regularizer, e.g. ``lam``, ``rho``, ``r``, ``eps``, ``eta``, ``project``.

    Raises:
        TypeError: ``optimizer`` is no torch optimizer; in ``step``, no batch was given.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        >>> optimizer = IGNITE(torch.optim.Adam(model.parameters()), model)
        >>> x, y = torch.randn(16, 2), torch.randn(16, 1)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = torch.nn.functional.mse_loss(model(x), y)
        ...     loss.backward()
        ...     return loss
        >>> loss = optimizer.step(closure, x)
        >>> optimizer.regularizer.steps
        1
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module,
        predict: Callable[[Any], Tensor] | None = None,
        *,
        kind: str = "adaptive",
        **options: Any,
    ) -> None:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be a torch optimizer, got {type(optimizer).__name__}")
        check_choice("kind", kind, KINDS)
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self.optimizer = optimizer
        self._share()
        made = make_regularizer(kind, model, predict, params=(), **options)
        assert made is not None
        self.regularizer: Regularizer = made

    def _share(self) -> None:
        """Groups and states are the inner optimizer's."""
        self.param_groups = self.optimizer.param_groups
        self.state = self.optimizer.state
        self.defaults = self.optimizer.defaults

    @property
    def lam(self) -> float:
        """The regularizer's multiplier."""
        return self.regularizer.lam

    @property
    def norm(self) -> float:
        """The norm that the regularizer saw last."""
        return self.regularizer.norm

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the inner optimizer."""
        if hasattr(self, "optimizer"):
            self.optimizer.add_param_group(param_group)
        else:
            super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None, x: Any = None) -> Any:  # type: ignore[override]
        """One step.

        Args:
            closure: clears the gradients, computes the loss, calls its ``backward`` and returns it; without it the
                gradients at hand are taken for the loss's. Regularizers of the loss (``sam``, ``gradient-norm``) need
                it, and call it once more.
            x: the clean batch, as ``predict`` takes it; ``predict`` is called with None where there is none, so that
                a function that knows its batch may serve.

        Returns:
            The loss, None without a closure.
        """
        regularizer = self.regularizer
        if x is None and regularizer.predict is None and regularizer.uses_batch:
            raise TypeError("step needs x, the batch whose mean prediction is penalized: step(closure, x)")
        regularizer.restrict(p for group in self.param_groups if group.get("penalize", True) for p in group["params"])
        if closure is None:
            regularizer.add_grad_(x)
            return self.optimizer.step()
        # An optimizer that evaluates its closure often within a step (L-BFGS) gets the penalty each time, and a
        # multiplier that stays the same until the step is made.
        before: dict[str, Any] | None = None
        after: dict[str, Any] | None = None

        def penalized() -> Any:
            nonlocal before, after
            if before is None:
                before = regularizer.state_dict()
            else:
                regularizer.load_state_dict(before)
            with torch.enable_grad():
                start = regularizer.sealed().state()
                loss = closure()
                regularizer.add_grad_(x, self._again(closure, start) if regularizer.uses_loss else None)
            if after is None:
                after = regularizer.state_dict()
            return loss

        loss = self.optimizer.step(penalized)
        if after is not None:
            regularizer.load_state_dict(after)
        return loss

    def _again(self, closure: Callable[[], Any], start: list[Tensor]) -> Callable[[], list[Tensor]]:
        """The closure's gradients once more, with the same dropout masks; gradients at hand stay."""
        params = [p for group in self.param_groups for p in group["params"]]

        def gradients() -> list[Tensor]:
            kept = [p.grad for p in params]
            for p in params:
                p.grad = None
            try:
                self.regularizer.sealed().replay(start)
                closure()
                found = {id(p): p.grad for p in params if p.grad is not None}
            finally:
                for p, grad in zip(params, kept, strict=True):
                    p.grad = grad
            seen = [p for p in self.regularizer.params() if p.grad is not None]
            return [found[id(p)] if id(p) in found else torch.zeros_like(p) for p in seen]

        return gradients

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's state, with the regularizer's under ``ignite``."""
        return {**self.optimizer.state_dict(), "ignite": self.regularizer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`; the state of a bare inner optimizer leaves the multiplier alone."""
        inner = dict(state_dict)
        penalty = inner.pop("ignite", None)
        self.optimizer.load_state_dict(inner)
        self._share()
        if penalty is not None:
            self.regularizer.load_state_dict(penalty)
