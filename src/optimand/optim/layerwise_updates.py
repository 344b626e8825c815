"""Updates inside the backward pass: each gradient is used and freed before the next one is there.

The gradients of a network take as much memory as its weights. With :func:`layerwise` a parameter is updated by a hook
as soon as its gradient is complete, so only one gradient is alive at a time; the weights are bit for bit those of
ordinary steps. (Where a projecting method rounds 16-bit weights stochastically and a group mixes matrices and vectors,
the noise is another.) What needs all gradients at once cannot work: clipping by the global norm, gradient scalers (use
bfloat16, which needs none), and DistributedDataParallel, which averages gradients only after the hooks have run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from optimand.core.validation import check_int

from .single import SingleSteps


def layerwise(
    optimizer_factory: Callable[[Any], Optimizer],
    model: nn.Module | Iterable[Any],
    *,
    accumulate: int = 1,
) -> LayerwiseOptimizer:
    """An optimizer that updates each parameter during the backward pass and frees its gradient at once.

    A training loop stays as it is: ``optimizer.step()`` and ``optimizer.zero_grad()`` have nothing left to do.
    Schedulers change the learning rate between backward passes as they do between steps. A frozen parameter takes part
    from the first ``step()`` after ``requires_grad`` is set. Under activation checkpointing with ``use_reentrant=True``
    a weight that several segments share would be updated between them: take ``use_reentrant=False``.

    Args:
        optimizer_factory: makes the optimizer from parameters or groups, such as ``lambda params: APOLLO(params)``.
        model: the network, or parameters or groups of parameters; goes to the factory, a network as its parameters.
        accumulate: update at every ``accumulate``-th backward pass; gradients are kept in between, and memory is
            saved only in the last one. Each parameter counts its own gradients.

    Raises:
        TypeError: the factory made no ``torch.optim`` optimizer.
        ValueError: ``accumulate`` is below 1, the model is wrapped in DistributedDataParallel, or the optimizer needs
            all gradients at once (L-BFGS, BAdam).

    Reference:
        Lv et al., Full Parameter Fine-tuning for Large Language Models with Limited Resources (LOMO),
        arXiv 2306.09782; used with APOLLO in arXiv 2412.05270, section 5.3.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> before = model.weight.detach().clone()
        >>> optimizer = layerwise(lambda params: torch.optim.SGD(params, lr=0.5), model)
        >>> model(torch.tensor([[1.0, 2.0]])).sum().backward()
        >>> model.weight.grad is None, model.weight.detach() - before
        (True, tensor([[-0.5000, -1.0000]]))
    """
    check_int("accumulate", accumulate, low=1)
    if isinstance(model, nn.parallel.DistributedDataParallel):
        raise ValueError(
            "model must not be wrapped in DistributedDataParallel: it averages gradients only after the hooks that "
            "update parameters; torch.distributed.fsdp.fully_shard averages them before"
        )
    if isinstance(optimizer_factory, torch.optim.Optimizer) or not callable(optimizer_factory):
        raise TypeError(
            "optimizer_factory must be a function of the parameters that returns an optimizer, such as "
            f"lambda params: Lion(params), got a {type(optimizer_factory).__name__}"
        )
    optimizer = optimizer_factory(model.parameters() if isinstance(model, nn.Module) else model)
    return LayerwiseOptimizer(optimizer, accumulate=accumulate)


class LayerwiseOptimizer(Optimizer):
    """What :func:`layerwise` returns: hooks on the parameters of ``optimizer``, and its groups and state.

    Args:
        optimizer: updates the parameters; its hooks run around every parameter's update.
        accumulate: update at every ``accumulate``-th backward pass.

    Raises:
        TypeError, ValueError: as for :func:`layerwise`.
    """

    # Whoever acts around an optimizer's step finds nothing to act on here, but in ``optimizer``'s own steps.
    updates_in_backward = True

    def __init__(self, optimizer: Optimizer, accumulate: int = 1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer_factory must make a torch.optim.Optimizer, got {type(optimizer).__name__}")
        self._single = SingleSteps.of(optimizer)
        groups = [{"params": list(group["params"])} for group in optimizer.param_groups]
        super().__init__(groups, {})
        self.optimizer = optimizer
        self.accumulate = accumulate
        self._lock = threading.Lock()
        self._pending: dict[Tensor, int] = {}
        self._handles: dict[Tensor, Any] = {}
        self._removed = False
        self._adopt()
        self._register()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update what has been unfrozen since the last call: all else has been updated in the backward pass. A closure
        is evaluated, and its backward pass updates.

        Args:
            closure: reevaluates the model and returns the loss.

        Returns:
            What ``closure`` returned, or None.
        """
        for update, param in self._register():
            if param.grad is not None:
                update(param)
        self._single.end_round()
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing: gradients are freed when they have been used, and those being accumulated must stay."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters to the optimizer, with hooks."""
        if "optimizer" not in self.__dict__:  # the base class's constructor lists the groups that are there
            super().add_param_group(param_group)
            return
        self.optimizer.add_param_group(param_group)
        self._adopt()
        self._register()

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's own state dict: it can go on with ordinary steps, and the other way round."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state dict of the optimizer, made with or without layer-wise updates."""
        self.optimizer.load_state_dict(state_dict)
        self._adopt()

    def remove(self) -> None:
        """Take the hooks off: from then on gradients stay, and ``self.optimizer`` makes ordinary steps."""
        for handle in self._handles.values():
            handle.remove()
        self._handles.clear()
        self._removed = True
        self._pending.clear()

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(
            "a layer-wise optimizer cannot be copied or pickled, because its hooks sit on the parameters: "
            "keep its state_dict()"
        )

    def __repr__(self) -> str:
        return f"layerwise({self.optimizer!r})"

    def _adopt(self) -> None:
        self.param_groups = self.optimizer.param_groups
        self.state = self.optimizer.state
        self.defaults = self.optimizer.defaults

    def _register(self) -> list[tuple[Callable[[Tensor], None], Tensor]]:
        """Put hooks on the parameters that have none and are not frozen; returns the new ones."""
        new = []
        for number, group in enumerate([] if self._removed else self.param_groups):
            for position, param in enumerate(group["params"]):
                if param.requires_grad and param not in self._handles:
                    update = self._hook(number, position)
                    self._handles[param] = param.register_post_accumulate_grad_hook(update)
                    new.append((update, param))
        return new

    def _hook(self, number: int, position: int) -> Callable[[Tensor], None]:
        def update(param: Tensor) -> None:
            with self._lock:  # several devices have a thread each
                seen = self._pending.get(param, 0) + 1
                self._pending[param] = seen % self.accumulate
                if seen == self.accumulate:
                    self._single.step(number, position)
                    param.grad = None

        return update
