"""Min-max training with ``torch.optim``'s interface: extragradient, its anchored forms, and variance reduction.

Parameters are in two camps: one descends the loss, the other ascends it. With the operator
``F = (gradient for the min camp, -gradient for the max camp)`` all methods seek ``F(u) = 0``, or a solution of the
variational inequality where parameters are projected onto convex sets. Following the gradients alternately or at
once, as two ordinary optimizers do, spirals away on bilinear losses; these methods do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from optimand.core.projections import as_projection
from optimand.core.validation import check_choice, check_int, check_number

from .minmax_steps import STEPS, Vector

FINITE_SUM = ("vr-halpern", "vr-halpern-inexact")
_OWN = ("method", "n", "batch", "resolvent", "inner", "_generator", "_k", "_projections")

Params = Iterable[Tensor] | Iterable[dict[str, Any]]


class MinMax(Optimizer):
    """Optimizer of min-max problems ``min_x max_y loss(x, y)``, convex in x and concave in y.

    Args:
        min_params: parameters (or groups of them) that minimize the loss.
        max_params: parameters (or groups) that maximize it.
        lr: step size, > 0, in units of one over the Lipschitz constant L of F: 0.9/L for ``eg``, 0.5/L for ``eag``,
            1/(4L) for the two anchored methods in the middle, 1/L for ``vr-halpern-inexact``. A group may set its own.
        method:
            * ``eg``: extragradient, two gradients a step;
            * ``eag``: extragradient anchored to the start, two gradients a step, gradient norm O(1/k);
            * ``halpern``: one anchored step with one gradient; F must be cocoercive (not so for bilinear losses);
            * ``vr-halpern``: the same with a PAGE estimate of F on a finite sum, L cocoercive on average;
            * ``vr-halpern-inexact``: a step is one Halpern step on the resolvent, found by many cheap steps on
              single summands; for finite sums that are merely monotone and Lipschitz in mean square.
        project: set or projection (see :mod:`optimand.core.projections`) applied to each parameter along its last
            axis; a pair for the two camps; a group may set its own under the key ``project``.
        n: number of summands of the loss, for the two finite-sum methods.
        batch: summands in a batch, at least 1: ⌈√n⌉ for ``vr-halpern``, 1 for ``vr-halpern-inexact`` by default.
        resolvent: resolvent step of ``vr-halpern-inexact``, > 0, in units of √n lr.
        inner: factor of the number of inner steps of ``vr-halpern-inexact``, > 0.
        seed: of the draws of summands, at least 0.

    The closure returns the loss; it may call ``backward`` itself but need not. For the finite-sum methods it takes a
    tensor of indices and returns the mean of these summands. Of the state, ``state_dict`` holds everything
    (anchor, estimate, generator), so a run goes on exactly. Parameters are always at the point to report.

    Raises:
        TypeError, ValueError: an argument is out of range, a camp is empty, or a tensor is in both.

    Reference:
        Cai, Alacaoglu, Diakonikolas (arXiv 2310.02987), Algorithms 1 to 3; Korpelevich (1976) for ``eg``; Yoon, Ryu
        (arXiv 2102.07922) for ``eag``.

    Example:
        >>> x, y = torch.nn.Parameter(torch.tensor([1.0])), torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = MinMax([x], [y], lr=0.5, method="eg")
        >>> for _ in range(100):
        ...     loss = optimizer.step(lambda: (x * y).sum())
        >>> abs(x.item()) < 1e-4 and abs(y.item()) < 1e-4
        True
    """

    def __init__(
        self,
        min_params: Params,
        max_params: Params,
        lr: float,
        method: str = "eg",
        *,
        project: Any = None,
        n: int | None = None,
        batch: int | None = None,
        resolvent: float = 20.0,
        inner: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.method = check_choice("method", method, STEPS)
        if method in FINITE_SUM:
            if n is None:
                raise ValueError(f"n must be the number of summands of the loss for method {method!r}, got None")
            check_int("n", n, low=1)
        elif n is not None or batch is not None:
            raise ValueError(f"n and batch are for {' and '.join(FINITE_SUM)}, got them with method {method!r}")
        self.n = n
        self.batch = 0 if n is None else self._batch_size(n, batch)
        self.resolvent = check_number("resolvent", resolvent, low=0, low_open=True)
        self.inner = check_number("inner", inner, low=0, low_open=True)
        self._generator = torch.Generator().manual_seed(check_int("seed", seed, low=0))
        self._k = 0
        self._projections: list[Callable[[Tensor], Tensor]] = []
        pair = project if isinstance(project, tuple) and len(project) == 2 else (project, project)
        groups = [
            *_camp("min_params", min_params, maximize=False, project=pair[0]),
            *_camp("max_params", max_params, maximize=True, project=pair[1]),
        ]
        super().__init__(groups, {"lr": check_number("lr", lr, low=0, low_open=True), "maximize": False})

    def _batch_size(self, n: int, batch: int | None) -> int:
        if batch is None:
            return math.isqrt(n - 1) + 1 if self.method == "vr-halpern" else 1
        return check_int("batch", batch, low=1, high=n)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its keys are ``params``, ``maximize`` (False by default), ``lr`` and ``project``.

        Added in the middle of a run, its parameters are anchored where they are at the next step.
        """
        group = dict(param_group)
        projection = as_projection(group.pop("project", None))
        check_number("lr", group.get("lr", self.defaults["lr"]), low=0, low_open=True)
        super().add_param_group(group)
        # Not in the group: functions have no place in a checkpoint.
        self._projections.append(projection)

    @torch.no_grad()
    def step(self, closure: Callable[..., Any] | None = None) -> Any:  # type: ignore[override]
        """Take one step.

        Args:
            closure: returns the loss at the present parameters; takes a tensor of indices for the finite-sum methods.

        Returns:
            The loss of the first evaluation.

        Raises:
            TypeError: no closure, or one that does not return a scalar tensor.
            ValueError: the loss is detached, so that no parameter has a gradient.
            FloatingPointError: loss or gradients are not finite.

            After any error, also one of the closure's own, the parameters are back where the step began.
        """
        if not callable(closure):
            raise TypeError(f"step needs a closure that returns the loss, got {closure!r}")
        u = [p.clone() for p in self._params()]
        for p, value in zip(self._params(), u, strict=True):
            self.state[p].setdefault("anchor", value.clone())
        try:
            loss = STEPS[self.method](self, closure, u)
        except BaseException:  # also an interrupt: the methods call the closure at trial points
            self._assign(u)
            raise
        self._k += 1
        return loss

    def restart(self) -> None:
        """Move the anchor to the present parameters and count from 0: helps on sharp problems such as games."""
        self.state.clear()
        self._k = 0

    @torch.no_grad()
    def residual(self, closure: Callable[..., Any]) -> float:
        """The natural residual ``‖u - P(u - F(u))‖_2`` over all parameters: 0 exactly at solutions.

        Args:
            closure: as for :meth:`step`; the finite-sum methods call it with all indices.
        """
        u = [p.clone() for p in self._params()]
        _, F = self._field(closure)
        moved = self._project([a - b for a, b in zip(u, F, strict=True)])
        return math.sqrt(sum(float((a - b).double().square().sum()) for a, b in zip(u, moved, strict=True)))

    def state_dict(self) -> dict[str, Any]:
        """Everything that a run needs to go on: anchors and estimates, the step's number, the generator."""
        own = {"method": self.method, "n": self.n, "k": self._k, "generator": self._generator.get_state()}
        return {**super().state_dict(), "minmax": own}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` gave; ValueError for another optimizer's, method's or ``n``'s."""
        if "minmax" not in state_dict:
            raise ValueError(f"state_dict must come from MinMax, got the keys {', '.join(map(str, state_dict))}")
        own = state_dict["minmax"]
        for name, mine in (("method", self.method), ("n", self.n)):
            if own[name] != mine:
                raise ValueError(f"state_dict must be of {name}={mine!r}, got one of {name}={own[name]!r}")
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "minmax"})
        self._k = int(own["k"])
        self._generator.set_state(own["generator"])

    def __getstate__(self) -> dict[str, Any]:
        # torch's own keeps three attributes only, so that a copy could not step.
        return {**super().__getstate__(), **{name: self.__dict__[name] for name in _OWN}}

    # What the steps are written in: vectors are lists with a tensor for each parameter.

    def _params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _lrs(self) -> list[float]:
        return [float(group["lr"]) for group in self.param_groups for _ in group["params"]]

    def _project(self, u: Vector) -> Vector:
        owners = [self._projections[g] for g, group in enumerate(self.param_groups) for _ in group["params"]]
        return [project(v) for project, v in zip(owners, u, strict=True)]

    def _assign(self, u: Vector) -> None:
        for p, value in zip(self._params(), u, strict=True):
            p.copy_(value)

    def _has(self, key: str) -> bool:
        """Whether all parameters have it: not so in the first step, nor in that after a group was added."""
        return all(key in self.state[p] for p in self._params())

    def _kept(self, key: str) -> Vector:
        return [self.state[p][key] for p in self._params()]

    def _keep(self, key: str, u: Vector) -> None:
        for p, value in zip(self._params(), u, strict=True):
            self.state[p][key] = value

    def _field(self, closure: Callable[..., Any], index: Tensor | None = None) -> tuple[Tensor, Vector]:
        """Loss and F at the present parameters, of all summands where there is no index."""
        self.zero_grad(set_to_none=True)
        with torch.enable_grad():
            if self.n is None:
                loss = closure()
            else:
                loss = closure(torch.arange(self.n) if index is None else index)
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                raise TypeError(f"the closure must return the loss as a scalar tensor, got {loss!r:.80}")
            if all(p.grad is None for p in self._params()):
                if not loss.requires_grad:
                    raise ValueError("the closure's loss must depend on the parameters, got a detached one")
                loss.backward()
        F = []
        for group in self.param_groups:
            sign = -1.0 if group["maximize"] else 1.0
            F += [torch.zeros_like(p) if p.grad is None else sign * p.grad for p in group["params"]]
        if not (bool(torch.isfinite(loss)) and all(bool(torch.isfinite(f).all()) for f in F)):
            raise FloatingPointError(f"loss or gradients are not finite in step {self._k} (loss {loss.item():g})")
        return loss.detach(), F

    def _draw(self) -> Tensor:
        assert self.n is not None
        return torch.randint(self.n, (self.batch,), generator=self._generator)

    def _coin(self, probability: float) -> bool:
        return bool(torch.rand((), generator=self._generator) < probability)


def _camp(name: str, params: Params, *, maximize: bool, project: Any) -> list[dict[str, Any]]:
    """The groups of one camp, each with its sign and its projection."""
    if isinstance(params, torch.nn.Module):
        params = params.parameters()
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise TypeError(f"{name} must be a module or an iterable of tensors or groups, got a {type(params).__name__}")
    listed = list(params)
    if not listed:
        raise ValueError(f"{name} must not be empty")
    groups: list[dict[str, Any]] = listed if isinstance(listed[0], dict) else [{"params": listed}]  # type: ignore[assignment]
    for group in groups:
        if group.get("maximize", maximize) != maximize:
            raise ValueError(f"{name}: a group says maximize={group['maximize']}, the camp says {maximize}")
    return [{"project": project, **group, "maximize": maximize} for group in groups]
