"""Lion-K: momentum through a subgradient of any convex function K (Chen et al. 2023, arXiv 2310.05898).

    c     = -(beta1 m + (1 - beta1) g)
    theta = theta + lr (dK(c) - weight_decay theta)
    m     = beta2 m + (1 - beta2) g

With weight decay lambda it minimizes f(theta) + K*(lambda theta)/lambda: the choice of K is the choice of a
constraint or penalty on the weights. K = l1 is Lion (and equal to it bit for bit), the nuclear norm is Muon. As in
Lion, the state ``exp_avg`` averages gradients; the paper's momentum is its negative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from optimand.core.validation import check_choice

from ..base import Params, Part
from ..checks import arguments, warn_of_decay
from ..kappa import L1, L2, GroupL2, Kappa, Routed, Scaled
from ..kernels import Kernel
from ..stochastic import advance_key
from .diagnostics import Diagnostics
from .directions import as_kappa, config_of, update_by_norms, update_by_tensors
from .kernels import KERNELS, formula_of, scalars, unscale


class LionK(Diagnostics):
    """Lion-K: momentum through a subgradient of a convex function K (arXiv 2310.05898).

    Args:
        params: parameters, or groups of parameters; each group may have a ``kappa`` (and ``kappa_kwargs``) of its own.
        lr: learning rate, at least 0; a number or a 0-d tensor. Keep ``lr * weight_decay`` below 1.
        betas: decay rates for the update's direction and for the momentum, each in [0, 1).
        weight_decay: lambda, at least 0. The constraint set is the domain of K* divided by it: a box of half-width
            1/lambda for ``l1``, a ball of that radius for ``l2``, that spectral norm for ``nuclear``.
        kappa: K by name (see :mod:`optimand.optim.kappa`), a :class:`~optimand.optim.kappa.Kappa`, or a callable
            that maps a tensor c to dK(c); with a callable the diagnostics are not available.
        kappa_kwargs: arguments of a kappa given by name.
        decay: ``explicit`` (decay at the old point) or ``implicit`` (at the new one, as in the discrete theorem).
        maximize: whether to maximize the objective.
        foreach: update many tensors at once by torch operations.
        fused: update by compiled CPU code; default where it can serve.
        differentiable: let autograd see through the step.
        momentum_dtype: dtype of the momentum, such as ``torch.bfloat16``; the parameter's by default.
        capturable: keep the step free of host reads, for CUDA graphs.
        stochastic_rounding: round 16-bit parameters stochastically instead of to the nearest.

    Raises:
        ValueError: a hyperparameter is NaN or out of range, a kappa does not fit a parameter's shape, or there
            are no parameters.
        RuntimeError: in ``step``, for a sparse gradient.

    Example:
        >>> p = torch.nn.Parameter(torch.tensor([0.5, -0.25]))
        >>> optimizer = LionK([p], lr=0.1, weight_decay=1.0, kappa="huber", kappa_kwargs={"e": 0.5})
        >>> p.grad = torch.tensor([1.0, -20.0])
        >>> optimizer.step()
        >>> p.data
        tensor([ 0.4300, -0.1250])
        >>> round(optimizer.constraint_violation(), 6)
        0.0
    """

    kernel = KERNELS["l1"]

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        kappa: str | Kappa | Mapping[str, Any] | Callable[[Tensor], Tensor] = "l1",
        kappa_kwargs: Mapping[str, Any] | None = None,
        *,
        decay: str = "explicit",
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        differentiable: bool = False,
        momentum_dtype: torch.dtype | None = None,
        capturable: bool = False,
        stochastic_rounding: bool = False,
    ) -> None:
        defaults = arguments(locals(), "kappa_kwargs")
        super().__init__(params, {**defaults, "kappa": as_kappa(kappa, kappa_kwargs)})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; ValueError if its hyperparameters are bad or its kappa does not fit a shape."""
        if isinstance(param_group, dict):
            param_group = dict(param_group)
            kwargs = param_group.pop("kappa_kwargs", None)
            if kwargs is not None or "kappa" in param_group:
                param_group["kappa"] = as_kappa(param_group.get("kappa", self.defaults["kappa"]), kwargs)
        super().add_param_group(param_group)
        try:
            self._check_shapes(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_choice("decay", group["decay"], ("explicit", "implicit"))
        if group["decay"] == "explicit":
            warn_of_decay(group, "; lower it or take decay='implicit'")

    def _check_shapes(self, group: dict[str, Any]) -> None:
        kappa, params = group["kappa"], group["params"]
        names = group.get("param_names", [f"parameter {i}" for i in range(len(params))])
        for name, p in zip(names, params, strict=True):
            try:
                kappa.check(p)
            except ValueError as error:
                raise ValueError(f"{name} of group {len(self.param_groups) - 1}: {error}") from error
            if p.is_complex() and not (kappa.elementwise or isinstance(unscale(kappa.resolve(p))[0], L1 | L2)):
                raise ValueError(f"{name} is complex: kappa must be element-wise or 'l2' there, got {kappa!r}")

    def state_dict(self) -> dict[str, Any]:
        """The state in plain values, safe to load with ``weights_only=True``; a kappa is its name and arguments."""
        saved = super().state_dict()
        groups = [{**group, "kappa": config_of(group["kappa"])} for group in saved["param_groups"]]
        return {**saved, "param_groups": groups}

    def translate_state_dict(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Turn stored kappas into kappas again; a state of Lion is accepted and keeps this optimizer's kappas.

        Raises:
            ValueError: the checkpoint was made with a callable, or a Kappa of one's own, that is not at hand here.
        """
        if len(state_dict["param_groups"]) != len(self.param_groups):
            return state_dict
        groups = [
            {**saved, "kappa": as_kappa(saved["kappa"], None, here["kappa"]) if "kappa" in saved else here["kappa"]}
            for saved, here in zip(state_dict["param_groups"], self.param_groups, strict=True)
        ]
        return {**state_dict, "param_groups": groups}

    def kernel_of(self, group: dict[str, Any]) -> Kernel:
        found = formula_of(unscale(group["kappa"])[0])
        if found is None:
            return self.kernel
        wide = any(p.dtype in (torch.float64, torch.complex128) for p in group["params"])
        return KERNELS["log_cosh_float32" if found[0] == "log_cosh" and not wide else found[0]]

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        kappa, factor = unscale(group["kappa"])
        return scalars(group, factor, (formula_of(kappa) or ("", 1.0))[1])

    def _update_group(self, group: dict[str, Any], part: Part) -> None:
        if not isinstance(group["kappa"], Routed):
            self._update_kind(group, part, [unscale(group["kappa"])[1]] * len(part.params))
            return
        plans = [unscale(group["kappa"].resolve(p)) for p in part.params]
        # Found by identity, which torch.compile can follow, and not by hash, which it cannot.
        kinds: list[Kappa] = []
        for kappa, _ in plans:
            if not any(kappa is kind for kind in kinds):
                kinds.append(kappa)
        for kappa in kinds:
            indices = [i for i in range(len(plans)) if plans[i][0] is kappa]
            factors = [plans[i][1] for i in indices]
            alone = {**group, "kappa": kappa if factors[0] == 1 else Scaled(kappa, factors[0])}
            self._update_kind(alone, part.take(indices), factors)
            if "rounding_key" in alone:
                group["rounding_key"] = alone["rounding_key"]

    def _update_kind(self, group: dict[str, Any], part: Part, factors: list[float]) -> None:
        """A step with one kappa, of which each tensor has its own factor unless it is element-wise."""
        kappa = unscale(group["kappa"])[0]
        if formula_of(kappa) is not None:
            super()._update_group(group, part)
            return
        rest = list(range(len(part.params)))
        compiled = group["fused"] or (group["fused"] is None and group["foreach"] is None)
        traced = torch.compiler.is_compiling() or group["capturable"] or group["differentiable"]
        if compiled and not traced and isinstance(kappa, L2 | GroupL2):
            rest = update_by_norms(group, kappa, part, factors)
        if rest:
            update_by_tensors(group, kappa, part, factors, rest)
        advance_key(group)
