"""The base of optimizers that treat weight matrices apart: APOLLO, FRUGAL, GaLore, Fira.

A group that names a rank (or a density) has projected matrices: its parameters of two or more dimensions, those of
more flattened to ``(out, rest)``. All other parameters run AdamW. A method says how a matrix's state begins
(:meth:`MatrixOptimizer.init_matrix`) and how a step changes it (:meth:`MatrixOptimizer.update_matrix`, or
:meth:`MatrixOptimizer.update_matrices` for many at once); from these follow groups, closures, checkpoints, step
counts, sharded weights, bf16 weights with float32 states, and states in 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor
from torch._compile import _disable_dynamo

from ..base import ElementwiseOptimizer, Params
from ..formulas import ADAM, adam_scalars
from ..startup import grad_only_if_differentiable, unmarked
from ..stochastic import HALF, advance_key, keys_of, rounding_of
from .buffers import EIGHT_BIT, check_state_dtype, pack, to_device, unpack
from .sharding import Shard2d, local_gradient, local_of, shard_of


@dataclass(frozen=True)
class Place:
    """Where a parameter stands: numbers that stay the same whichever parameters have a gradient.

    Attributes:
        index: position over all groups.
        group: number of its group.
        position: position in its group.
    """

    index: int
    group: int
    position: int


class MatrixOptimizer(ElementwiseOptimizer):
    """AdamW, with a rule of its own for the matrices of groups that have :attr:`matrix_key`.

    A group has projected matrices where its value under :attr:`matrix_key` is not None. The constructor's value holds
    for all groups, unless some group names one itself: then it holds only for those that do, so that configurations
    with one plain and one projected group carry over.

    Args:
        params: parameters, or groups of parameters.
        defaults: hyperparameters; ``lr, betas, eps, weight_decay, correct_bias, state_dtype, seed`` and
            :attr:`matrix_key` among them.

    Raises:
        ValueError: a hyperparameter is bad, a parameter is a flat shard of FSDP1, or there are no parameters.
    """

    kernel = ADAM
    counts_steps = True
    wide_states = True
    matrix_key: ClassVar[str] = "rank"
    # What steps count in groups: a state dict without these belongs to another optimizer.
    group_counts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        given: Any = params
        if not isinstance(params, Tensor):
            given = list(params)
            if any(isinstance(group, dict) and self.matrix_key in group for group in given):
                defaults = {**defaults, self.matrix_key: None}
        super().__init__(given, defaults)

    # What a method brings

    def init_matrix(self, group: dict[str, Any], matrix: Tensor, state: dict[str, Any], shard: Shard2d) -> None:
        """Put the first state of a matrix, if any, into ``state``, which holds ``step`` (0) and ``index`` already.

        Args:
            group: the group's hyperparameters.
            matrix: the parameter as a matrix: this process's block of it.
            state: plain values and tensors; tensors of a sharded parameter's size through :meth:`Shard2d.wrap`.
            shard: where the block lies in the whole matrix.
        """

    def update_matrix(
        self, group: dict[str, Any], matrix: Tensor, grad: Tensor, state: dict[str, Any], shard: Shard2d
    ) -> None:
        """Change ``matrix`` in place by one step.

        Args:
            group: the group's hyperparameters, ``lr`` a float.
            matrix: the parameter as a matrix, in float32 if its own dtype has 16 bits.
            grad: its gradient, in its own dtype, which must not be changed.
            state: ``state["step"]`` counts this step already, so it is 1 in the first.
            shard: where the block lies in the whole matrix.
        """
        raise NotImplementedError

    def update_matrices(
        self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], states: list[dict[str, Any]]
    ) -> None:
        """One step for all projected matrices of a group that have a gradient: :meth:`update_matrix` for each."""
        keys = keys_of(group, params)
        for i, (param, state) in enumerate(zip(params, states, strict=True)):
            target, shard = local_of(param), shard_of(param)
            matrix = as_matrix(target)
            work = matrix.float() if matrix.dtype in HALF else matrix
            self.update_matrix(group, work, as_matrix(local_gradient(param)), state, shard)
            write_back(work, matrix, target, None if keys is None else keys[i])
        advance_key(group)

    def transient_states(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Names of states that are left out of :meth:`state_dict`, because a step makes them again."""
        return ()

    def shared_dim(self, group: dict[str, Any], shard: Shard2d) -> int | None:
        """The dimension (0 or 1) that a matrix's moments share with it; None if none."""
        return None

    # What a method may use

    def is_matrix(self, group: dict[str, Any], param: Tensor) -> bool:
        """Whether the method's own rule updates this parameter; AdamW does if not."""
        return group[self.matrix_key] is not None and param.ndim > 1 and param.numel() > 0 and not param.is_complex()

    def matrices(self, group: dict[str, Any]) -> list[Tensor]:
        """The projected matrices of a group, with or without a gradient, and though a step takes them one by one."""
        first = next(iter(group["params"]), None)
        members = [] if first is None else self._members[self.place_of(first).group]
        return [p for p in members if self.is_matrix(group, p)]

    def place_of(self, param: Tensor) -> Place:
        """Where a parameter stands among all; the same under :func:`optimand.optim.layerwise_updates.layerwise`."""
        return self._places[param]

    def zeros(self, group: dict[str, Any], shape: Iterable[int], like: Tensor, name: str = "exp_avg") -> Any:
        """A state of zeros in the group's ``state_dtype``: a tensor, or a block-wise quantized one.

        Args:
            group: its ``state_dtype`` is a floating-point dtype (at least the parameter's precision is kept for
                float64), or ``"8bit"``.
            shape: of the state.
            like: a tensor on the state's device, of the parameter's dtype.
            name: names that end in ``_sq`` hold no negative numbers, which 8-bit states make use of.
        """
        return pack(shape, like, group["state_dtype"], unsigned=name.endswith("_sq"))

    # What all methods share

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_state_dtype(group["state_dtype"])
        for name in ("differentiable", "capturable"):
            if group[name] and group[self.matrix_key] is not None:
                raise ValueError(f"{name} must be False in a group with {self.matrix_key}, got {group[name]!r}")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if any(getattr(p, "_is_flat_param", False) for p in group["params"]):
            self.param_groups.pop()
            raise ValueError(
                "params must keep their shapes, got a flat parameter of FSDP1, which holds no matrix: take "
                "torch.distributed.fsdp.fully_shard (FSDP2), or use_orig_params=True to run AdamW"
            )
        self._note_places()

    def _note_places(self) -> None:
        self._places: dict[Tensor, Place] = {}
        self._members = [list(group["params"]) for group in self.param_groups]
        for number, params in enumerate(self._members):
            for position, param in enumerate(params):
                self._places[param] = Place(len(self._places), number, position)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._note_places()

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        lr, betas, eps, weight_decay = (group[name] for name in ("lr", "betas", "eps", "weight_decay"))
        return adam_scalars(lr, betas, eps, weight_decay, step, correct_bias=group.get("correct_bias", True))

    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> bool:
        plain = [p for p in group["params"] if not self.is_matrix(group, p)]
        return super()._init_group({**group, "params": plain}, *lists)

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
        return unmarked(MatrixOptimizer._step)(self, closure)

    # torch.compile cannot trace the generators that projections are drawn from.
    @_disable_dynamo
    def _step(self, closure: Callable[[], Any] | None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None and self.is_matrix(group, p)]
            if not params:
                continue
            grads: list[Tensor] = [p.grad for p in params]  # type: ignore[misc]
            if any(grad.is_sparse for grad in grads):
                raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
            states = [self.state[p] for p in params]
            for param, state in zip(params, states, strict=True):
                if not state:
                    state.update(step=0, index=self.place_of(param).index)
                    self.init_matrix(group, as_matrix(local_of(param)), state, shard_of(param))
                state["step"] += 1
            shown = {**group, "lr": float(group["lr"])}
            self.update_matrices(shown, params, grads, states)
            group.update((name, value) for name, value in shown.items() if name != "lr")
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The state in tensors, numbers and strings only, safe to load with ``weights_only=True``.

        8-bit states of sharded parameters come as float32 DTensors, which distributed checkpoints can shard anew.
        """
        saved = super().state_dict()
        states = dict(saved["state"])
        for group, key, param in self._numbered(saved):
            if key in states and self.is_matrix(group, param):
                shard, dropped = shard_of(param), self.transient_states(group)
                kept = None if shard.whole else self.shared_dim(group, shard)
                state = {name: unpack(value, shard, kept) for name, value in states[key].items()}
                states[key] = {name: value for name, value in state.items() if name not in dropped}
        return {**saved, "state": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave, bit for bit: states keep the dtype they were saved in.

        Args:
            state_dict: of this optimizer.

        Raises:
            ValueError: it is of another optimizer, or of other groups.
        """
        # torch would cast every tensor to the parameter's dtype, which loses digits and codes.
        held = {
            key: state_dict["state"][key]
            for saved, group in zip(state_dict["param_groups"], self.param_groups, strict=False)
            for key, param in zip(saved["params"], group["params"], strict=False)
            if key in state_dict["state"] and self.is_matrix({**group, **saved}, param)
        }
        absent = [n for group in state_dict["param_groups"] for n in self.group_counts if n not in group]
        absent += ["index" for state in held.values() if state and "index" not in state]
        if absent:
            raise ValueError(f"state_dict must be of {type(self).__name__}, got one without {absent[0]!r}")
        rest = {key: value for key, value in state_dict["state"].items() if key not in held}
        super().load_state_dict({**state_dict, "state": rest})
        for group, key, param in self._numbered(state_dict):
            if key in held:
                state = held[key]
                self.state[param] = {name: self._loaded(group, param, name, state[name]) for name in state}
        self._note_places()

    def _loaded(self, group: dict[str, Any], param: Tensor, name: str, value: Any) -> Any:
        value = to_device(value, param.device)
        if group["state_dtype"] in EIGHT_BIT and name.startswith("exp_avg") and isinstance(value, Tensor):
            local = local_of(value)
            return self.zeros(group, local.shape, local, name).copy_(local)
        return value

    def _numbered(self, state_dict: dict[str, Any]) -> list[tuple[dict[str, Any], Any, Tensor]]:
        """Every parameter with its group and its number in a state dict."""
        return [
            (group, key, param)
            for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True)
            for param, key in zip(group["params"], saved["params"], strict=True)
        ]


def as_matrix(tensor: Tensor) -> Tensor:
    """A tensor of two or more dimensions as ``(out, rest)``: a view where its layout allows one.

    Example:
        >>> import torch
        >>> as_matrix(torch.zeros(4, 3, 2, 2)).shape
        torch.Size([4, 12])
    """
    # Not -1 for the rest: an empty shard has no entries to infer it from.
    return tensor if tensor.ndim == 2 else tensor.reshape(tensor.shape[0], math.prod(tensor.shape[1:]))


def shares_memory(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are views of the same memory, so that a change of one is seen in the other."""
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def write_back(work: Tensor, matrix: Tensor, target: Tensor, key: int | None) -> None:
    """Put a changed working copy of a matrix (or itself) into its parameter, rounded stochastically with a key."""
    if work is not matrix and key is not None:
        work = rounding_of(matrix, key)(work)
    if not shares_memory(work, target):
        target.copy_(work.view_as(target))
