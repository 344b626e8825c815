"""A step with quantized states: which path updates which parameter, clipping, and blocks that are left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from optimand.optim.base import ElementwiseOptimizer, _exact
from optimand.optim.blockwise import QuantizedTensor
from optimand.optim.blockwise.kernel import quantized_kernel
from optimand.optim.kernels.gather import Memo
from optimand.optim.projection.sharding import local_as, local_of
from optimand.optim.stochastic import advance_key, keys_of


class QuantizedUpdates(ElementwiseOptimizer):
    """An element-wise optimizer some of whose parameters have states that are :class:`QuantizedTensor`.

    Its groups have ``nonfinite`` besides the common keys.
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
        low = [i for i, state in enumerate(states[0]) if isinstance(state, QuantizedTensor)]
        full = [i for i, state in enumerate(states[0]) if not isinstance(state, QuantizedTensor)]
        if low:
            p, g, t, *quantized = [[values[i] for i in low] for values in (params, grads, steps, *states)]
            self._update_quantized(group, p, g, t, quantized, symbolic)
        if full:
            p, g, t, *plain = [[values[i] for i in full] for values in (params, grads, steps, *states)]
            super()._update_group(group, p, g, t, plain)
        elif not symbolic:
            advance_key(group)

    def _update_quantized(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        steps: list[Tensor],
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
        if self.adapts_to_tensors(group):
            table = self._adapted_table(group, params, grads, states, table, rows)
            rows = list(range(len(params)))
            if not symbolic:
                table = [tuple(float(x) for x in row) for row in table]
        here = [local_of(p) for p in params]
        grads = [local_as(g, p) for g, p in zip(grads, params, strict=True)]
        kernel, maximize = quantized_kernel(self.kernel_of(group)), group["maximize"]
        if symbolic:
            for i, (p, g) in enumerate(zip(here, grads, strict=True)):
                key = None if keys is None else keys[i]
                options = {"maximize": maximize, "key": key, "stochastic": group["stochastic_rounding"]}
                kernel.apply(p, g, [of_state[i] for of_state in states], table[rows[i]], **options)
            return
        skipped: list[int] = []
        fused = group["fused"] is not False and not group["foreach"]
        memo = self.__dict__.setdefault("_quantized_memos", {}).setdefault(id(group["params"]), Memo())
        options = {"maximize": maximize, "keys": keys, "skipped": skipped, "fused": fused, "memo": memo}
        kernel.launch(here, grads, states, table, rows, **options)
        if skipped and group["nonfinite"] == "raise":
            names = [_name(group, params[i]) for i in sorted(set(skipped))]
            self.__dict__.setdefault("_skipped", []).extend(names)


def _name(group: dict[str, Any], param: Tensor) -> str:
    at = next(i for i, p in enumerate(group["params"]) if p is param)
    names = group.get("param_names")
    return repr(names[at]) if names else f"parameter {at} of its group (shape {tuple(param.shape)})"
