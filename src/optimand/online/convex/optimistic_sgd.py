"""Optimistic gradient descent without a learning rate, as a ``torch.optim.Optimizer`` (arXiv 2302.04552).

The iterates are those of :class:`~optimand.online.convex.OptimisticOMD` with ``curvature="convex"``: all parameters of
a group are one vector. Between two steps parameters hold the point ``x_t`` that gradients are taken at; the point
``xhat_t`` that steps begin from is in the state.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from optimand.core.validation import check_number

HALF = (torch.float16, torch.bfloat16)


class OptimisticSGD(Optimizer):
    """``xhat <- P(xhat - eta_t g_t)``, then parameters at ``P(xhat - eta_{t+1} g_t)``.

    ``eta_t = D / sqrt(delta + 4 G^2 + V_{t-1})`` with ``V_t = sum_{s<=t} |g_s - g_{s-1}|^2`` over the group, summed in
    double precision. A parameter without gradient is left out of a step.

    Args:
        params: parameters, or groups of parameters.
        lr: None for ``eta_t`` as above; a number >= 0 is the step size of all rounds instead.
        D: how far apart two points of interest are, > 0; by default ``2 radius``, and 1 without a radius. The one
            number to tune for a network: about twice the length of the way from the start to a solution.
        G: bound on the norm of the group's gradient, > 0; None for the longest one so far.
        delta: at least 0; by default the square of ``G``.
        radius: > 0: the group's parameters stay within this distance of where they started, jointly; None for no limit.
        maximize: whether to go up.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        >>> optimizer = OptimisticSGD([p], D=2.0, G=1.0, delta=0.0, radius=1.0)
        >>> points = []
        >>> for g in (1.0, 1.0, -1.0, 0.5):
        ...     points.append(round(p.item(), 4))
        ...     p.grad = torch.tensor([g], dtype=torch.float64)
        ...     optimizer.step()
        >>> points, optimizer.param_groups[0]["V"]
        ([0.0, -1.0, -1.0, 0.5611], 7.25)
    """

    # Updates of different parameters depend on each other, through the group's step size.
    separable = False
    # Parameters hold a point ahead of the one that steps begin from: at a learning rate of 0 they go back to that.
    plays_ahead = True

    def __init__(
        self, params: Iterable[Any], lr: float | None = None, *, D: float | None = None, G: float | None = None,
        delta: float | None = None, radius: float | None = None, maximize: bool = False,
    ) -> None:  # fmt: skip
        defaults: dict[str, Any] = {
            "lr": lr, "D": D, "G": G, "delta": delta, "radius": radius, "maximize": maximize,
            "step": 0, "V": 0.0, "longest": 0.0, "exceeded": 0,
        }  # fmt: skip
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, which is a vector of its own.

        Raises:
            ValueError: an option is out of its range.
        """
        if isinstance(param_group, dict):
            given = {**self.defaults, **param_group}
            # As plain floats: a checkpoint holds nothing that only its writer can read.
            param_group = {**param_group, **{name: _checked(name, given[name]) for name in _POSITIVE}}
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what ``state_dict()`` gave; the steps that follow are the same bit for bit."""
        super().load_state_dict(state_dict)
        saved_ids = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        params = chain.from_iterable(group["params"] for group in self.param_groups)
        for saved_id, param in zip(saved_ids, params, strict=True):
            # torch casts states to the parameter's dtype, which loses digits of those kept in single precision.
            for name, saved in state_dict["state"].get(saved_id, {}).items():
                self.state[param][name] = saved.to(device=param.device, copy=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take the gradients in ``.grad`` as those of the round, and move to the point of the next one.

        Args:
            closure: reevaluates the model and returns the loss; not needed.

        Returns:
            What ``closure`` returned, or None.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        found = None
        if closure is not None:
            with torch.enable_grad():
                found = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if any(p.grad.is_sparse for p in params):  # type: ignore[union-attr]
                raise RuntimeError("OptimisticSGD does not support sparse gradients; use embeddings with sparse=False")
            if params:
                self._step_group(group, params)
        return found

    def _step_group(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            if not self.state[p]:
                self._init_state(p, group)
        states = [self.state[p] for p in params]
        grads: Any = [p.grad for p in params]
        if group["maximize"]:
            grads = list(torch._foreach_neg(grads))
        hats, lasts = [s["xhat"] for s in states], [s["last"] for s in states]
        starts = [s["start"] for s in states] if group["radius"] is not None else []
        wrong = _square(list(torch._foreach_sub(grads, lasts)))
        if group["lr"] is None:
            # An adaptive bound knows this gradient, as long as the sum of errors does not.
            self._bound(group, _square(grads))
        eta = _step_size(group)
        torch._foreach_add_(hats, grads, alpha=-eta)
        _project(hats, starts, group["radius"])
        group["V"] += wrong
        group["step"] += 1
        eta = _step_size(group)
        points = [hat.clone() for hat in hats]
        torch._foreach_add_(points, grads, alpha=-eta)
        _project(points, starts, group["radius"])
        _copy(params, points)
        _copy(lasts, grads)

    def _init_state(self, p: Tensor, group: dict[str, Any]) -> None:
        dtype = torch.float32 if p.dtype in HALF else p.dtype
        state = self.state[p]
        state["xhat"] = p.detach().to(dtype, copy=True, memory_format=torch.preserve_format)
        state["last"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        if group["radius"] is not None:
            state["start"] = state["xhat"].clone()

    def _bound(self, group: dict[str, Any], square: float) -> None:
        norm = math.sqrt(square) if square >= 0 else square
        if not norm <= group["longest"]:
            group["longest"] = norm
        if group["G"] is not None and norm > group["G"] * (1 + 1e-9):
            if not group["exceeded"]:
                warnings.warn(
                    f"OptimisticSGD: a gradient of norm {norm:.6g} is longer than G = {group['G']:.6g}; such gradients "
                    "are counted in the group's 'exceeded'",
                    RuntimeWarning,
                    stacklevel=5,
                )
            group["exceeded"] += 1


# Options that are numbers or None, and whether they must be above 0.
_POSITIVE = {"lr": False, "D": True, "G": True, "delta": False, "radius": True}


def _checked(name: str, value: Any) -> Any:
    """None, a tensor of one element (a learning rate that others change), or a float in the option's range."""
    if value is None:
        return None
    number = value
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"{name} must be a number or a tensor of one element, got shape {tuple(value.shape)}")
        number = value.item()
    number = check_number(name, number, low=0, low_open=_POSITIVE[name], high=math.inf, high_open=True)
    return value if isinstance(value, Tensor) else number


def _step_size(group: dict[str, Any]) -> float:
    if group["lr"] is not None:
        return float(group["lr"])
    bound = group["longest"] if group["G"] is None else group["G"]
    delta = bound**2 if group["delta"] is None else group["delta"]
    D = group["D"]
    if D is None:
        D = 1.0 if group["radius"] is None else 2.0 * group["radius"]
    total = delta + 4 * bound**2 + group["V"]
    # All gradients were 0 so far: nothing to step along.
    return float(D / math.sqrt(total)) if total != 0 else 0.0


def _square(xs: list[Any]) -> float:
    """The sum of the squares of all entries, in double precision."""
    double = torch.float32 if xs[0].device.type == "mps" else torch.float64
    norms = torch._foreach_norm([torch.view_as_real(x) if x.is_complex() else x for x in xs], 2, dtype=double)
    return float(sum((norm.to(norms[0].device) ** 2 for norm in norms[1:]), norms[0] ** 2))


def _copy(xs: list[Tensor], ys: list[Any]) -> None:
    # One by one, because torch._foreach_copy_ does not take sharded tensors
    for x, y in zip(xs, ys, strict=True):
        x.copy_(y)


def _project(xs: list[Tensor], starts: list[Tensor], radius: float | None) -> None:
    """Pull the points back, along the line to where they started, to within ``radius`` of it jointly."""
    if radius is None:
        return
    ways = list(torch._foreach_sub(xs, starts))
    distance = math.sqrt(_square(ways))
    if distance > radius:
        torch._foreach_mul_(ways, radius / distance)
        _copy(xs, starts)
        torch._foreach_add_(xs, ways)
