"""BAdam: block coordinate descent with Adam as the solver of each block (Luo et al., NeurIPS 2024, arXiv 2404.02827).

    for each block in turn (a layer of the network, say):
        m = v = 0
        for K steps: Adam on the block, every other parameter stands still

The states are those of one block, 1/D of Adam's for D equal blocks. Unlike the authors' code every block has K steps,
the first one too, and 16-bit weights have no float32 copy while they are active (``stochastic_rounding`` serves
instead).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from optimand.core.validation import check_choice, check_int

from .base import ElementwiseOptimizer, Params
from .checks import arguments
from .formulas import ADAM, adam_scalars
from .projection.selection import active_blocks
from .routing import block_of as layer_of

ORDERS = {"random": "shuffled", "ascending": "ascending", "descending": "descending"}


class BAdam(ElementwiseOptimizer):
    """BAdam: Adam on one block of parameters at a time (arXiv 2404.02827).

    What forms a block: a group's ``block`` (a label; groups of equal labels form one); else, for named parameters,
    their layer (:func:`optimand.optim.routing.block_of`), and for groups named by
    :func:`optimand.optim.routing.param_groups_for` that of their names; else each group, or each tensor where no
    groups are given.

    Which parameters have states changes with the block, so torch.distributed.checkpoint, which loads into the states
    of a fresh optimizer, cannot restore them; ``torch.save`` of each process's state dict can.

    Args:
        params: parameters, or groups of parameters; named ones (``model.named_parameters()``) where their layers
            are the blocks.
        lr: learning rate, at least 0; a number or a 0-d tensor.
        betas: decay rates of the two moments, each in [0, 1).
        eps: added to the denominator, at least 0.
        weight_decay: decoupled weight decay of the active block, at least 0.
        switch_every: steps K of a block, at least 1.
        order: ``random``: all blocks in a random order, then in another one; ``ascending``, ``descending``.
        always_active: parameters of a group that says True belong to no block and move in every step.
        freeze: set ``requires_grad`` of inactive blocks to False, so that the backward pass leaves them out; False
            leaves it alone and passes over their gradients.
        seed: of the random order.
        maximize: whether to maximize the objective.
        foreach: update many tensors at once by torch operations.
        fused: update by compiled CPU code; default where it can serve.
        stochastic_rounding: round 16-bit parameters stochastically instead of to the nearest.

    Raises:
        ValueError: a hyperparameter is NaN or out of range, or there are no parameters.
        RuntimeError: in ``step``, for a sparse gradient.

    Reference:
        Luo, Yu, Li, BAdam: A Memory Efficient Full Parameter Optimization Method for Large Language Models, NeurIPS
        2024, arXiv 2404.02827, algorithm 1.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
        >>> optimizer = BAdam(model.named_parameters(), lr=0.1, switch_every=2, order="descending")
        >>> for _ in range(3):
        ...     print("layer", optimizer.active_block)
        ...     model(torch.ones(1, 2)).sum().backward()
        ...     optimizer.step()
        layer 1
        layer 1
        layer 0
    """

    kernel = ADAM
    counts_steps = True
    wide_states = True
    # Which parameters a step moves depends on all of them.
    separable = False

    def __init__(
        self,
        params: Params,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        switch_every: int = 50,
        order: str = "random",
        always_active: bool = False,
        freeze: bool = False,
        seed: int = 0,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        stochastic_rounding: bool = False,
    ) -> None:
        defaults = arguments(locals())
        given: Any = params
        if not isinstance(params, Tensor):  # torch refuses a tensor with a message of its own
            given = list(params)
            self._ungrouped = not any(isinstance(group, dict) for group in given)
        super().__init__(given, defaults)
        self._freeze()

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_int("switch_every", group["switch_every"], low=1)
        check_choice("order", group["order"], ORDERS)
        check_int("seed", group["seed"])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        alone = self.__dict__.pop("_ungrouped", False)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group["blocks"] = _labels(group, len(self.param_groups) - 1, alone)
        group["trainable"] = [p.requires_grad for p in group["params"]]
        group.setdefault("steps", self.param_groups[0].get("steps", 0))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave, bit for bit.

        Args:
            state_dict: of this optimizer.

        Raises:
            ValueError: it is of another optimizer, or of other groups.
        """
        if any("blocks" not in group for group in state_dict["param_groups"]):
            raise ValueError("state_dict must be of BAdam, got one without 'blocks'")
        super().load_state_dict(state_dict)
        self._freeze()

    def scalars(self, group: dict[str, Any], step: Any) -> tuple[Any, ...]:
        return adam_scalars(group["lr"], group["betas"], group["eps"], group["weight_decay"], step)

    @property
    def blocks(self) -> list[str]:
        """The labels of all blocks, in their order."""
        groups = [group for group in self.param_groups if not group["always_active"]]
        return list(dict.fromkeys(label for group in groups for label in group["blocks"]))

    @property
    def active_block(self) -> str | None:
        """The label of the block that the next step moves, None where all parameters are always active."""
        return next((self._active(g) for g in self.param_groups if not g["always_active"]), None)

    def _active(self, group: dict[str, Any]) -> str:
        blocks = self.blocks
        turn = group["steps"] // group["switch_every"]
        return blocks[active_blocks(len(blocks), 1, ORDERS[group["order"]], turn, (group["seed"],))[0]]

    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> bool:
        active = group["params"]
        if not group["always_active"]:
            label = self._active(group)
            active = [p for p, block in zip(group["params"], group["blocks"], strict=True) if block == label]
            if group["steps"] % group["switch_every"] == 0:
                # Also where there is one block only: its moments begin anew with each turn.
                for param in group["params"]:
                    self.state.pop(param, None)
        group["steps"] += 1
        return super()._init_group({**group, "params": active}, *lists)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the active block.

        Args:
            closure: reevaluates the model and returns the loss.

        Returns:
            What ``closure`` returned, or None.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        loss = super().step(closure)
        self._freeze()
        return loss

    def _freeze(self) -> None:
        """Let only the block of the next step require gradients, in groups with ``freeze``."""
        for group in self.param_groups:
            if not group["freeze"] or group["always_active"]:
                continue
            label = self._active(group)
            for param, block, trainable in zip(group["params"], group["blocks"], group["trainable"], strict=True):
                active = trainable and block == label
                if param.requires_grad != active:
                    param.requires_grad_(active)
                    param.grad = None


def _labels(group: dict[str, Any], number: int, alone: bool) -> list[str]:
    """The label of each parameter's block."""
    count, names = len(group["params"]), group.get("param_names")
    if group.get("block") is not None:
        return [str(group["block"])] * count
    if names is not None:
        return [layer_of(name) for name in names]
    if "name" in group:
        return [layer_of(str(group["name"]))] * count
    return [str(i) for i in range(count)] if alone else [f"group {number}"] * count
