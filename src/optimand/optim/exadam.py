"""EXAdam: Adam with cross-moment debiasing and a gradient acceleration term (Adly, arXiv 2412.20302).

    m = beta1 m + (1 - beta1) g                     v = beta2 v + (1 - beta2) g^2
    d1 = 1 + beta2^t v / (v + eps)                  d2 = 1 + beta1^t m^2 / (m^2 + eps)
    theta = theta (1 - lr weight_decay) - step (m + g) d1 / (1 - beta1^t) / (sqrt(v d2 / (1 - beta2^t)) + eps)

``step`` is ``lr`` in the paper's second version and ``lr ln(sqrt(2 (t + 1)))`` in its first (``dynamic_lr=True``).
With a constant gradient the first step is 16 times Adam's and the later ones twice as large: comparisons at the
same ``lr`` flatter the method, so compare at tuned ones or with ``match_adam_step=True``. Weight decay is from the
author's code; the paper's algorithm has none.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .base import ElementwiseOptimizer, Params
from .checks import arguments
from .kernels import Kernel, like, ratio, sqrt


def exadam(  # type: ignore[no-untyped-def]
    p, g, exp_avg, exp_avg_sq, decay, step, beta1, one_minus_beta1, beta2, one_minus_beta2,
    debias1, debias2, weight1, weight2, eps, acceleration,
):  # fmt: skip
    """One element of a step of EXAdam.

    ``debias1`` is ``1 / (1 - beta1^t)``, ``weight1`` is ``beta1^t``, likewise for 2; a weight of 0 switches its
    cross-moment factor off, ``acceleration`` is 1 or 0. 0/0 counts as 0, so that ``eps = 0`` is possible.
    """
    m = beta1 * exp_avg + one_minus_beta1 * g
    v = beta2 * exp_avg_sq + one_minus_beta2 * g * g
    q = m * m
    one = like(p, 1)
    d1 = one + weight2 * ratio(v, v + eps, eps)
    d2 = one + weight1 * ratio(q, q + eps, eps)
    numerator = (m + acceleration * g) * debias1 * d1
    denominator = sqrt(v * debias2 * d2) + eps
    return p * decay - step * ratio(numerator, denominator, eps), m, v


class EXAdam(ElementwiseOptimizer):
    """EXAdam: Adam with cross-moment debiasing and gradient acceleration (arXiv 2412.20302).

    Args:
        params: parameters, or groups of parameters.
        lr: learning rate, at least 0; a number or a 0-d tensor. The best one is about a third of Adam's.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the denominator, to ``v`` in d1 and to ``m^2`` in d2, at least 0; with 0, 0/0 counts as 0.
        weight_decay: decoupled weight decay, at least 0, always with the base ``lr``.
        dynamic_lr: the growing step of the paper's first version.
        cross_moments: False sets d1 = d2 = 1 (ablation).
        acceleration: False leaves the gradient out of the numerator (ablation).
        match_adam_step: divide ``lr`` by the factor by which a constant gradient's step exceeds Adam's, so that
            Adam's ``lr`` carries over.
        maximize: whether to maximize the objective.
        foreach: update many tensors at once by torch operations.
        fused: update by compiled CPU code; default where it can serve.
        capturable: keep step counts on the parameters' device and the step free of host reads.
        differentiable: let autograd see through the step.
        stochastic_rounding: round 16-bit parameters stochastically instead of to the nearest.

    Raises:
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient.

    Reference:
        Adly, EXAdam: The Power of Adaptive Cross-Moments, arXiv 2412.20302, algorithm 1 (v1 and v2 of the paper).

    Example:
        >>> p = torch.nn.Parameter(torch.tensor([0.5, -0.25, 1.0]))
        >>> optimizer = EXAdam([p], lr=0.01, weight_decay=0.1)
        >>> p.grad = torch.tensor([0.3, -0.2, 0.0])
        >>> optimizer.step()
        >>> p.data
        tensor([ 0.3400, -0.0902,  0.9990])
    """

    kernel = Kernel(exadam, states=("exp_avg", "exp_avg_sq"))
    counts_steps = True
    wide_states = True

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        dynamic_lr: bool = False,
        cross_moments: bool = True,
        acceleration: bool = True,
        match_adam_step: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        stochastic_rounding: bool = False,
    ) -> None:
        super().__init__(params, arguments(locals()))

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        lr, (beta1, beta2), eps = group["lr"], group["betas"], group["eps"]
        power1, power2 = beta1**step, beta2**step
        size = lr * step_growth(step) if group["dynamic_lr"] else lr
        if group["match_adam_step"]:
            switches = {name: group[name] for name in ("cross_moments", "acceleration", "dynamic_lr")}
            size = size / step_factor(step, (beta1, beta2), **switches)
        cross = 1.0 if group["cross_moments"] else 0.0
        rates = beta1, 1.0 - beta1, beta2, 1.0 - beta2
        debias = 1.0 / (1.0 - power1), 1.0 / (1.0 - power2), cross * power1, cross * power2
        acceleration = 1.0 if group["acceleration"] else 0.0
        return 1.0 - lr * group["weight_decay"], size, *rates, *debias, eps, acceleration

    def translate_state_dict(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """Accept states of Adam and AdamW, of the author's code (``m``, ``v``) and a step count per group.

        Raises:
            ValueError: the state was made with another kind of weight decay (coupled, as of Adam, or
                ``fixed_decay=True``).
        """
        renamed = {"m": "exp_avg", "v": "exp_avg_sq"}
        states: dict[Any, dict[str, Any]] = {}
        groups = []
        for group in state_dict["param_groups"]:
            coupled = not group.get("weight_decouple", True) or group.get("decoupled_weight_decay") is False
            if group.get("weight_decay") and (coupled or group.get("fixed_decay")):
                raise ValueError("the state dict's weight decay is not decoupled, or not scaled by lr")
            foreign = ("step", "amsgrad", "decoupled_weight_decay", "weight_decouple", "fixed_decay")
            groups.append({name: value for name, value in group.items() if name not in foreign})
            for key in group["params"]:
                if key not in state_dict["state"]:
                    continue
                saved = state_dict["state"][key]
                state = {renamed.get(n, n): value for n, value in saved.items() if n != "max_exp_avg_sq"}
                step = state.get("step", group.get("step"))
                if step is None:
                    raise ValueError(f"the state dict has no step count for parameter {key}")
                state["step"] = step if isinstance(step, Tensor) else torch.tensor(float(step), dtype=torch.float32)
                states[key] = state
        return {**state_dict, "state": states, "param_groups": groups}


def step_growth(step: Any) -> Any:
    """ln(sqrt(2 (t + 1))), the factor of ``lr`` in the paper's first version, in update ``step`` = 1, 2, …"""
    inside = 2.0 * (step + 1.0)
    return 0.5 * (torch.log(inside) if isinstance(inside, Tensor) else math.log(inside))


def step_factor(
    step: Any,
    betas: tuple[float, float] = (0.9, 0.999),
    *,
    cross_moments: bool = True,
    acceleration: bool = True,
    dynamic_lr: bool = False,
) -> Any:
    """How far a constant gradient far above ``eps`` moves a parameter in update ``step``, in units of ``lr``.

    Adam's factor is 1 throughout.

    Args:
        step: the update, from 1; a number or a tensor.
        betas: decay rates of the two moments.
        cross_moments: as in :class:`EXAdam`.
        acceleration: as in :class:`EXAdam`.
        dynamic_lr: as in :class:`EXAdam`.

    Example:
        >>> round(step_factor(1), 10), round(step_factor(10000), 10)
        (15.9524972637, 2.0000903467)
    """
    power1, power2 = betas[0] ** step, betas[1] ** step
    factor = 1.0 + 1.0 / (1.0 - power1) if acceleration else 1.0
    if cross_moments:
        factor = factor * (1.0 + power2) / (1.0 + power1) ** 0.5
    return factor * step_growth(step) if dynamic_lr else factor
