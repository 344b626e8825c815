"""What our optimizers share: a ``torch.optim.Optimizer`` around one element-wise formula.

A method brings a kernel (its formula) and the scalars of a step. From these follow the execution paths, all with
the same results: the compiled kernel on the CPU (``fused``), blocks of tensors by torch operations (``foreach``),
and one tensor after another (neither), which is also what ``torch.compile``, ``differentiable`` and tensor
subclasses such as DTensor use.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from itertools import chain
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from optimand.core.validation import check_number

from .checks import check_betas, check_lr
from .kernels import Kernel
from .kernels.blocks import update_in_blocks
from .kernels.gather import Memo
from .kernels.steps import StepCounter
from .startup import QuickStartOptimizer, grad_only_if_differentiable
from .stochastic import HALF, advance_key, keys_of, rounding_of

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
T = TypeVar("T")
# Hyperparameters that every group has.
COMMON: dict[str, Any] = {
    **dict.fromkeys(("maximize", "differentiable", "capturable", "stochastic_rounding"), False),
    **dict.fromkeys(("foreach", "fused")),
}


class Part(NamedTuple):
    """Parameters of a group that have a gradient, and what a step needs of each.

    Attributes:
        params: the parameters.
        grads: their gradients.
        steps: their step counts; empty where the optimizer has none.
        states: for each state of the formula, one tensor for each parameter.
    """

    params: list[Tensor]
    grads: list[Tensor]
    steps: list[Tensor]
    states: list[list[Any]]

    def take(self, indices: list[int]) -> Part:
        """The part of these parameters."""
        params, grads, steps, *states = ([ts[i] for i in indices if ts] for ts in (*self[:3], *self.states))
        return Part(params, grads, steps, states)


class ElementwiseOptimizer(QuickStartOptimizer):
    """An optimizer whose update is an element-wise formula.

    A subclass sets :attr:`kernel` (or overrides :meth:`kernel_of` where groups differ) and implements
    :meth:`scalars`; it may override :meth:`check_group`, :meth:`state_dtype` and :meth:`translate_state_dict`.

    Args:
        params: parameters, or groups of parameters, as for every ``torch.optim`` optimizer.
        defaults: hyperparameters; the ones that every group also has are added if absent: ``maximize``,
            ``foreach``, ``fused``, ``differentiable``, ``capturable``, ``stochastic_rounding``.

    Raises:
        ValueError: from :meth:`check_group`, for the defaults or for a group; or there are no parameters.
    """

    kernel: ClassVar[Kernel]
    counts_steps: ClassVar[bool] = False
    count_of_betas: ClassVar[int] = 2
    # Whether 16-bit parameters have float32 states: squares of small gradients underflow in 16 bits, and steps of
    # 0.001 of an average vanish.
    wide_states: ClassVar[bool] = False
    step_counter: ClassVar[StepCounter] = StepCounter()

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        super().__init__(params, {**COMMON, **defaults})  # type: ignore[arg-type]

    def kernel_of(self, group: dict[str, Any]) -> Kernel:
        """The kernel that updates this group."""
        return self.kernel

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        """The scalars of the kernel, in its order.

        Args:
            group: the group's hyperparameters; ``lr`` is a float, or a 0-d tensor where it must stay one.
            step: number of updates of the parameter, this one included (float, or a 0-d float64 tensor under
                ``torch.compile`` and ``capturable``); None unless ``counts_steps``.
        """
        raise NotImplementedError

    def adapts_to_tensors(self, group: dict[str, Any]) -> bool:
        """Whether the scalars depend on the tensors themselves: then :meth:`adapted` is asked for each one."""
        return False

    def adapted(
        self, group: dict[str, Any], scalars: tuple[Any, ...], param: Tensor, grad: Tensor, states: list[Any]
    ) -> tuple[Any, ...]:
        """The kernel's scalars for this parameter, from those of the step; 0-d tensors are welcome."""
        return scalars

    def state_dtype(self, group: dict[str, Any], name: str, param: Tensor) -> torch.dtype:
        """The dtype of state ``name`` of ``param``: the group's ``momentum_dtype``, else by that of ``param``."""
        chosen: torch.dtype | None = group.get("momentum_dtype")
        if chosen is not None and param.is_complex():
            raise ValueError(f"momentum_dtype must be None for complex parameters, got {chosen}")
        return chosen or (torch.float32 if self.wide_states and param.dtype in HALF else param.dtype)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise ValueError or TypeError if a hyperparameter of the group is bad."""
        check_lr(group["lr"])
        if "betas" in group:
            check_betas(group["betas"], self.count_of_betas)
        for name in ("eps", "weight_decay"):
            if name in group:
                check_number(name, group[name], low=0.0)
        dtype = group.get("momentum_dtype")
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise ValueError(f"momentum_dtype must be a floating-point torch.dtype or None, got {dtype!r}")
        if group["foreach"] and group["fused"]:
            raise ValueError("foreach and fused cannot both be True: choose one, or leave both None")
        if group["fused"] and group["differentiable"]:
            raise ValueError("fused must not be True with differentiable=True: compiled kernels have no gradient")

    def translate_state_dict(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """A state dict in this optimizer's own names, from one in a form that it also accepts."""
        return state_dict

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; ValueError if its hyperparameters are bad."""
        if isinstance(param_group, dict):
            self.check_group({**self.defaults, **param_group})
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        # A state dict with NumPy's scalars could not be read by torch.load(weights_only=True).
        group.update({name: value.item() for name, value in group.items() if isinstance(value, np.generic)})
        if group["stochastic_rounding"]:
            group.setdefault("rounding_key", len(self.param_groups))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for number, group in enumerate(self.param_groups):
            for name, value in self.defaults.items():
                group.setdefault(name, value)
            if group["stochastic_rounding"]:
                group.setdefault("rounding_key", number + 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave, bit for bit; states keep their own dtype where it is not the parameter's.

        Args:
            state_dict: of this optimizer, or in a form that :meth:`translate_state_dict` accepts.
        """
        state_dict = self.translate_state_dict(state_dict)
        super().load_state_dict(state_dict)
        saved_ids = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        params = [(p, group) for group in self.param_groups for p in group["params"]]
        for saved_id, (param, group) in zip(saved_ids, params, strict=True):
            saved = state_dict["state"].get(saved_id, {})
            for name in self.kernel_of(group).states:
                if name in saved:
                    # torch casts every state to the parameter's dtype, which loses digits.
                    dtype = self.state_dtype(group, name, param)
                    self.state[param][name] = saved[name].to(device=param.device, dtype=dtype)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], T]) -> T: ...

    @grad_only_if_differentiable
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have a gradient.

        Args:
            closure: reevaluates the model and returns the loss.

        Returns:
            What ``closure`` returned, or None.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        self._check_graph_capture()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            part = Part([], [], [], [[] for _ in self.kernel_of(group).states])
            has_complex = self._init_group(group, *part[:3], *part.states)
            if has_complex:
                params, grads, *states = map(_as_real, (part.params, part.grads, *part.states))
                part = Part(params, grads, part.steps, states)
            if part.params:
                self._update_group(group, part)
        return loss

    def _check_graph_capture(self) -> None:
        # The method's name changed between versions of torch.
        for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
            if hasattr(self, name):
                getattr(self, name)()
                return

    # Named and called as in torch.optim, because torch.compile knows this method and does not trace into it.
    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> bool:
        """Append what has a gradient to the lists, with fresh states where there are none yet.

        Args:
            group: of parameters.
            lists: parameters, gradients, step counts, and each state of the kernel.

        Returns:
            Whether a parameter is complex.
        """
        params, grads, steps, *states = lists
        params.extend([p for p in group["params"] if p.grad is not None])
        grads.extend([p.grad for p in params])  # type: ignore[misc]
        if any(map(attrgetter("is_sparse"), grads)):
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients; use torch.optim.SparseAdam")
        of_param = [self.state[p] for p in params]
        if not all(of_param):
            for p, state in zip(params, of_param, strict=True):
                if not state:
                    self._init_state(group, p, state)
        for name, tensors in zip(self.kernel_of(group).states, states, strict=True):
            tensors.extend([state[name] for state in of_param])
        if self.counts_steps:
            steps.extend([state["step"] for state in of_param])
        return any(map(torch.is_complex, params))

    def _init_state(self, group: dict[str, Any], param: Tensor, state: dict[str, Any]) -> None:
        for name in self.kernel_of(group).states:
            dtype = self.state_dtype(group, name, param)
            state[name] = torch.zeros_like(param, dtype=dtype, memory_format=torch.preserve_format)
        if self.counts_steps:
            device = param.device if group["capturable"] else torch.device("cpu")
            state["step"] = torch.zeros((), dtype=torch.float32, device=device)

    def _update_group(self, group: dict[str, Any], part: Part) -> None:
        lazy = _is_symbolic(group) or group["differentiable"]
        table, rows = self._table(group, part, lazy=lazy)
        params, grads, _, states = part
        rest = list(range(len(params)))
        if lazy:
            self._update_singly(group, part, table, rows, rest)
            return
        kernel, maximize = self.kernel_of(group), group["maximize"]
        if group["fused"] or (group["fused"] is None and group["foreach"] is None):
            memo = self.__dict__.setdefault("_memos", {}).setdefault(id(group["params"]), Memo())
            keys = keys_of(group, params)
            rest = kernel.launch(params, grads, states, table, rows, maximize=maximize, keys=keys, memo=memo)
            if kernel.failure is not None and group["fused"]:
                message = f"fused=True but there is no compiled kernel: {kernel.failure}"
                warnings.warn(message, RuntimeWarning, stacklevel=4)
        if rest and group["foreach"] is not False and not group["stochastic_rounding"]:
            plain = [i for i in rest if _is_plain(params[i]) and _is_plain(grads[i])]
            update_in_blocks(kernel, params, grads, states, table, rows, plain, maximize=maximize)
            rest = sorted(set(rest) - set(plain))
        self._update_singly(group, part, table, rows, rest)
        advance_key(group)

    def _table(self, group: dict[str, Any], part: Part, *, lazy: bool) -> tuple[list[tuple[Any, ...]], list[int]]:
        """Rows of scalars, and each parameter's row, once the step counts have been advanced.

        Args:
            group: the hyperparameters.
            part: the parameters.
            lazy: leave scalars that are tensors as they are; otherwise they are read.
        """
        params, grads, steps, states = part
        rows = list(range(len(params)))
        if lazy:
            if steps:
                torch._foreach_add_(steps, 1.0)
            symbolic = _is_symbolic(group)
            table = [self.scalars(group, _exact(step) if symbolic else step.item()) for step in steps]
            table = table or [self.scalars(group, None)] * len(params)
        else:
            if isinstance(group["lr"], Tensor):
                group = {**group, "lr": group["lr"].item()}
            counts: list[Any] = [None] * len(params)
            if steps:
                counts = self.step_counter.advance(steps, compiled=group["fused"] is not False)
            row_of = {count: row for row, count in enumerate(dict.fromkeys(counts))}
            table, rows = [self.scalars(group, count) for count in row_of], [row_of[count] for count in counts]
        if self.adapts_to_tensors(group):
            signed = map(torch.neg, grads) if group["maximize"] else grads  # one at a time: each is a copy
            table = [
                self.adapted(group, table[row], param, grad, [tensors[i] for tensors in states])
                for i, (row, param, grad) in enumerate(zip(rows, params, signed, strict=True))
            ]
            table = table if lazy else [tuple(map(float, row)) for row in table]
            rows = list(range(len(params)))
        return table, rows

    def _update_singly(
        self, group: dict[str, Any], part: Part, table: list[tuple[Any, ...]], rows: list[int], indices: list[int]
    ) -> None:
        params, grads, _, states = part
        kernel = self.kernel_of(group)
        keys = None if torch.compiler.is_compiling() else keys_of(group, params)
        for i in indices:
            rounded = group["stochastic_rounding"] and params[i].dtype in HALF
            key = None if keys is None else keys[i]
            rounding = rounding_of(params[i], key) if rounded else None
            here = [tensors[i] for tensors in states]
            kernel.apply(params[i], grads[i], here, table[rows[i]], maximize=group["maximize"], round_param=rounding)


def _as_real(tensors: list[Tensor]) -> list[Tensor]:
    return [torch.view_as_real(t.resolve_conj()) if t.is_complex() else t for t in tensors]


def _is_plain(t: Tensor) -> bool:
    return type(t) in (Tensor, torch.nn.Parameter) and t.layout is torch.strided


def _is_symbolic(group: dict[str, Any]) -> bool:
    """Whether nothing may be read from tensors: a step is traced, or will be captured in a graph."""
    return torch.compiler.is_compiling() or group["capturable"]


def _exact(step: Tensor) -> Tensor:
    """The step count in the precision that powers of beta need (float32 would lose digits)."""
    return step.to(torch.float32 if step.device.type == "mps" else torch.float64)
