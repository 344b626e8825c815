"""A step with quantized states: which path updates which parameter, clipping, and blocks that are left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from optimand.optim.base import ElementwiseOptimizer, _exact
from optimand.optim.blockwise import QuantizedKernel, QuantizedTensor
from optimand.optim.kernels import Kernel
from optimand.optim.stochastic import advance_key, keys_of

from .clipping import clip_factor, new_history
from .norms import squared_norm
from .storage import local, local_grad, sum_over_shards

HISTORY = "grad_norms"
_KERNELS: dict[Kernel, QuantizedKernel] = {}


def quantized_kernel(kernel: Kernel) -> QuantizedKernel:
    """The kernel on quantized states, the same one at every call."""
    if kernel not in _KERNELS:
        _KERNELS[kernel] = QuantizedKernel(kernel)
    return _KERNELS[kernel]


class QuantizedUpdates(ElementwiseOptimizer):
    """An element-wise optimizer some of whose parameters have states that are :class:`QuantizedTensor`.

    Its groups have ``percentile_clipping`` and ``nonfinite`` besides the common keys.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient.

        Args:
            closure: reevaluates the model and returns the loss.

        Returns:
            What ``closure`` returned, or None.

        Raises:
            RuntimeError: a gradient is sparse; or (``nonfinite="raise"``) new quantized states were not finite: the
                blocks concerned are as they were, everything else is updated. Within ``torch.compile`` and with
                ``capturable``, nothing is raised.
        """
        self.__dict__.pop("_skipped", None)  # of a step that another error has ended
        loss = super().step(closure)
        skipped = self.__dict__.pop("_skipped", None)
        if skipped:
            raise RuntimeError(
                f"gradient of {', '.join(skipped)} has values that make states NaN or infinite: the blocks of these "
                "values were left as they were, all others are updated; nonfinite='skip' accepts that"
            )
        return loss

    def _update_group(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        steps: list[Tensor],
        states: list[list[Any]],
    ) -> None:
        symbolic = torch.compiler.is_compiling() or group["capturable"]
        factors: list[Any] = [1.0] * len(params)
        if group["percentile_clipping"] < 100:
            factors = self._clip_factors(group, params, grads, steps)
            if not symbolic:
                factors = [float(factor) for factor in factors]
        low = [i for i, state in enumerate(states[0]) if isinstance(state, QuantizedTensor)]
        full = [i for i, state in enumerate(states[0]) if not isinstance(state, QuantizedTensor)]
        if low:
            chosen = [[values[i] for i in low] for values in (params, grads, steps, factors, *states)]
            p, g, t, f, *quantized = chosen
            self._update_quantized(group, p, g, t, f, quantized, symbolic)
        if full:
            scaled = [_times(grads[i], factors[i]) for i in full]
            chosen = [[values[i] for i in full] for values in (params, steps, *states)]
            super()._update_group(group, chosen[0], scaled, chosen[1], chosen[2:])
        elif not symbolic:
            advance_key(group)

    def _update_quantized(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        steps: list[Tensor],
        factors: list[Any],
        states: list[list[QuantizedTensor]],
        symbolic: bool,
    ) -> None:
        keys = None if torch.compiler.is_compiling() else keys_of(group, params)
        rows = list(range(len(params)))
        if symbolic:
            torch._foreach_add_(steps, 1.0)
            table = [self.scalars(group, _exact(step)) for step in steps]
        else:
            if isinstance(group["lr"], Tensor):
                group = {**group, "lr": group["lr"].item()}
            table, rows = self._table(group, steps, len(params))
        if group["maximize"]:
            factors = [-factor for factor in factors]
        if self.adapts_to_tensors(group):
            table = [
                self.scaled(group, table[row], p, g, list(of_param), factor)
                for p, g, row, factor, *of_param in zip(params, grads, rows, factors, *states, strict=True)
            ]
            rows = list(range(len(params)))
            if not symbolic:
                table = [tuple(float(x) for x in row) for row in table]
        here = [local(p) for p in params]
        grads = [local_grad(g, p) for g, p in zip(grads, params, strict=True)]
        kernel = quantized_kernel(self.kernel_of(group))
        if symbolic:
            for i, (p, g) in enumerate(zip(here, grads, strict=True)):
                key = None if keys is None else keys[i]
                options = {"factor": factors[i], "key": key, "stochastic": group["stochastic_rounding"]}
                kernel.apply(p, g, [of_state[i] for of_state in states], table[rows[i]], **options)
            return
        skipped: list[int] = []
        fused = group["fused"] is not False and not group["foreach"]
        kernel.launch(here, grads, states, table, rows, factors=factors, keys=keys, skipped=skipped, fused=fused)
        if skipped and group["nonfinite"] == "raise":
            names = [_name(group, params[i]) for i in sorted(set(skipped))]
            self.__dict__.setdefault("_skipped", []).extend(names)

    def scaled(
        self,
        group: dict[str, Any],
        scalars: tuple[Any, ...],
        param: Tensor,
        grad: Tensor,
        states: list[Any],
        factor: Any,
    ) -> tuple[Any, ...]:
        """The kernel's scalars for this parameter, where they depend on its values; see ``adapts_to_tensors``.

        Args:
            group: the group's hyperparameters.
            scalars: of the step, in the kernel's order.
            param: the parameter.
            grad: its gradient.
            states: its states, quantized or not.
            factor: of the gradient; a number or a 0-d tensor.
        """
        return scalars

    def adapted(
        self, group: dict[str, Any], scalars: tuple[Any, ...], param: Tensor, grad: Tensor, states: list[Tensor]
    ) -> tuple[Any, ...]:
        return self.scaled(group, scalars, param, grad, states, 1.0)

    def _clip_factors(
        self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], steps: list[Tensor]
    ) -> list[Tensor]:
        factors = []
        for p, g, step in zip(params, grads, steps, strict=True):
            state = self.state[p]
            if HISTORY not in state:
                state[HISTORY] = new_history(local(p).device)
            norm = sum_over_shards(squared_norm(local_grad(g, p)), p)
            factors.append(clip_factor(state[HISTORY], norm, step + 1.0, group["percentile_clipping"]))
        return factors


def _times(grad: Tensor, factor: Any) -> Tensor:
    """The gradient times the factor, not rounded to 16 bits."""
    if not isinstance(factor, Tensor) and factor == 1.0:
        return grad
    return grad.to(torch.promote_types(grad.dtype, torch.float32)) * factor


def _name(group: dict[str, Any], param: Tensor) -> str:
    at = next(i for i, p in enumerate(group["params"]) if p is param)
    names = group.get("param_names")
    return repr(names[at]) if names else f"parameter {at} of its group (shape {tuple(param.shape)})"
