"""One parameter's update by itself, with the optimizer that holds it among others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from .stochastic import MASK, advance_key

OF_PARAMETERS = ("params", "param_names")


@dataclass
class _Round:
    """What belongs to one step of a group.

    Attributes:
        done: parameters that have been updated.
        before: options that the updates change, as they were before the first one.
        after: the same, as the updates leave them.
    """

    done: set[Tensor] = field(default_factory=set)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


class SingleSteps:
    """Updates parameters of an optimizer one at a time, with the results of updating them together.

    For the time of an update, the optimizer's only group is a copy of the parameter's own with this parameter alone.
    Options that steps change, such as a count of them, count a round of updates as one step: every parameter of the
    round sees them as they were before it. A round ends where a parameter comes again, or with :meth:`end_round`.

    Args:
        optimizer: any ``torch.optim`` optimizer whose updates of different parameters do not depend on each other.

    Raises:
        ValueError: the optimizer needs all gradients at once (L-BFGS, BAdam).

    Example:
        >>> a, b = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = torch.optim.SGD([a, b], lr=1.0)
        >>> a.grad, b.grad = torch.ones(1), torch.ones(1)
        >>> SingleSteps.of(optimizer).step(0, 1)
        >>> a.item(), b.item()
        (0.0, -1.0)
    """

    def __init__(self, optimizer: Optimizer) -> None:
        _check_separable(optimizer)
        self.optimizer = optimizer
        # The same list in every step: optimizers may remember what belongs to it.
        self._alone: dict[Tensor, list[Tensor]] = {}
        self._rounds: dict[int, _Round] = {}
        self._inside = False

    @classmethod
    def of(cls, optimizer: Optimizer) -> SingleSteps:
        """The one that belongs to ``optimizer``."""
        own = optimizer.__dict__.get("_single_steps")
        if own is None:
            own = optimizer.__dict__["_single_steps"] = cls(optimizer)
        return own

    @property
    def inside(self) -> bool:
        """Whether an update is under way, so that the optimizer's only group holds one parameter."""
        return self._inside

    def step(self, number: int, position: int, *, hooks: bool = True) -> None:
        """Update the parameter at ``position`` in group ``number``.

        Args:
            number: of the group.
            position: of the parameter in the group.
            hooks: whether the optimizer's hooks run around the step.
        """
        optimizer, groups = self.optimizer, self.optimizer.param_groups
        group = groups[number]
        param = group["params"][position]
        if self._inside:
            _plain_step(optimizer)
            return
        if param in self._rounds.setdefault(number, _Round()).done:
            self._rounds[number] = _Round()
        current = self._rounds[number]
        shown = {**group, **current.before}
        alone = {**shown, "params": self._alone.setdefault(param, [param])}
        if "param_names" in group:
            alone["param_names"] = [group["param_names"][position]]
        if "rounding_key" in shown:
            alone["rounding_key"] = _key_at(shown["rounding_key"], position)
        optimizer.param_groups, self._inside = [alone], True
        try:
            optimizer.step() if hooks else _plain_step(optimizer)
        finally:
            optimizer.param_groups, self._inside = groups, False
        current.done.add(param)
        if "rounding_key" in shown:
            alone["rounding_key"] = shown["rounding_key"]
            advance_key(alone)
        for name, value in alone.items():
            if name not in OF_PARAMETERS and value is not shown.get(name):
                current.before.setdefault(name, shown.get(name))
                group[name] = value

    def end_round(self) -> None:
        """The next update belongs to another step."""
        self._rounds.clear()

    def rewind(self) -> None:
        """Put the options back to what they were before the round: a step of the other parameters follows."""
        for number, current in self._rounds.items():
            group = self.optimizer.param_groups[number]
            current.after = {name: group[name] for name in current.before}
            group.update(current.before)

    def settle(self) -> None:
        """End the round after :meth:`rewind`: where that step has not moved the options on, the round does."""
        for number, current in self._rounds.items():
            group = self.optimizer.param_groups[number]
            group.update((n, value) for n, value in current.after.items() if group[n] is current.before[n])
        self.end_round()


def _check_separable(optimizer: Optimizer) -> None:
    """ValueError if updates of different parameters depend on each other."""
    if isinstance(optimizer, torch.optim.LBFGS) or not getattr(optimizer, "separable", True):
        raise ValueError(
            f"optimizer must update each parameter from its own gradient alone, got {type(optimizer).__name__}, "
            "which needs all gradients at once"
        )


def _plain_step(optimizer: Optimizer) -> Any:
    """The step of the optimizer's class, without hooks and without what a scheduler has put around it."""
    step: Any = type(optimizer).step
    if getattr(step, "hooked", False):
        step = step.__wrapped__
    return step(optimizer)


def _key_at(key: int, position: int) -> int:
    """The group's rounding key whose first parameter has the noise of the parameter at ``position``."""
    return (((key >> 32) + position * 0x85EBCA6B) & MASK) << 32 | (key & MASK)
