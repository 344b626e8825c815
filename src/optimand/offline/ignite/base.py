"""What regularizers that act on gradients share: which parameters they see, predictions, averages over processes.

A regularizer is called where the gradient of the loss is known and adds its own part to it:

    loss.backward()
    regularizer.add_grad_(x)
    optimizer.step()

:meth:`Regularizer.backward` does the first two lines, and lets the regularizer share the loss's forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from optimand.core.validation import OptimandError, check_number

from .perturbation import Sealed

LossOf = Callable[[Any], Tensor]
Loss = Callable[[], Tensor | list[Tensor]]
"""Computes a batch's loss once more, or its gradients for those parameters of a regularizer that have one."""


def first_output(output: Any) -> Tensor:
    """The mean prediction in a model's output: the first of several tensors, or the only one."""
    return output[0] if isinstance(output, tuple | list) else output


class Regularizer:
    """The base of regularizers that add to gradients.

    Args:
        model: a torch module, also within DistributedDataParallel.
        predict: from inputs to mean predictions, any shape; the default is the model's output, or the first of several.
        params: the parameters that are perturbed and penalized; by default all that require a gradient.

    Gradients are averaged over the processes of a model within DistributedDataParallel.
    """

    uses_loss = False
    """Whether :meth:`add_grad_` needs ``loss``, a function that computes the loss of the same batch once more."""

    uses_batch = True
    """Whether :meth:`add_grad_` looks at ``x``."""

    def __init__(
        self,
        model: nn.Module,
        predict: Callable[[Any], Tensor] | None = None,
        *,
        params: Iterable[Tensor] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        if predict is not None and not callable(predict):
            raise TypeError(f"predict must be callable, got {predict!r}")
        # Extra forward passes of the parallel wrappers would start a synchronization that no backward pass ends.
        self.model = model.module if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel) else model
        self.forward = model
        self.predict = predict
        self.process_group = model.process_group if isinstance(model, nn.parallel.DistributedDataParallel) else None
        self._chosen = None if params is None else list(params)
        self.lam = 0.0
        self.norm = float("nan")
        self.steps = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lam={self.lam:.4g}, norm={self.norm:.4g}, steps={self.steps})"

    def params(self) -> list[Tensor]:
        """The parameters that the regularizer sees at present: those that require a gradient."""
        chosen = self.model.parameters() if self._chosen is None else self._chosen
        found = [p for p in chosen if p.requires_grad]
        if not found:
            raise OptimandError("model has no parameter that requires a gradient, so there is nothing to regularize")
        if any(hasattr(p, "placements") for p in found):
            raise OptimandError(
                "model has sharded parameters (FSDP): their gradients exist only within backward(); "
                "use DistributedDataParallel or one process"
            )
        return found

    def restrict(self, params: Iterable[Tensor]) -> None:
        """Perturb and penalize these parameters from here on."""
        self._chosen = list(params)

    def sealed(self, start: list[Tensor] | None = None) -> Sealed:
        """A context for passes that leave no trace in the model and the generators."""
        first = next(self.model.parameters(), None)
        return Sealed(self.model, None if first is None else first.device, start)

    def mean(self, x: Any) -> Tensor:
        """The mean prediction averaged over the batch, a scalar: G in the paper."""
        predicted = self.predict(x) if self.predict is not None else first_output(self.model(x))
        return self._scalar(predicted)

    def _scalar(self, predicted: Tensor) -> Tensor:
        if not isinstance(predicted, Tensor):
            raise TypeError(f"predict must return a tensor, got {type(predicted).__name__}")
        if not predicted.requires_grad:
            raise OptimandError(
                "the prediction has no gradient path to the parameters: predict must not detach, round, leave torch, "
                "or run without gradients"
            )
        return predicted.mean()

    def averaged(self, gradients: Sequence[Tensor]) -> None:
        """Replace gradients by their average over the processes."""
        if self.process_group is None:
            return
        import torch.distributed as dist

        work = [dist.all_reduce(g, group=self.process_group, async_op=True) for g in gradients]
        for each in work:
            each.wait()
        torch._foreach_div_(list(gradients), float(dist.get_world_size(self.process_group)))

    def add_grad_(self, x: Any, loss: Loss | None = None, *, scale: float = 1.0) -> None:
        """Add the regularizer's gradient to ``.grad`` of the parameters, which hold that of the loss.

        Args:
            x: the clean batch, as ``predict`` takes it.
            loss: computes the loss of the same batch once more, for regularizers with ``uses_loss``; what it changes
                in the model's statistics and the random number generators is undone.
            scale: the factor of a gradient scaler, or one over the number of accumulated micro-batches.
        """
        raise NotImplementedError

    def backward(self, x: Any, loss_of: LossOf, inputs: Any = None) -> Tensor:
        """The backward pass of a loss with the regularizer's part; returns the loss, detached.

        Args:
            x: the clean batch.
            loss_of: from the output ``model(inputs)`` to the loss, a scalar.
            inputs: what the loss sees, where that is not ``x`` itself (noised inputs, say).
        """
        given = x if inputs is None else inputs
        seal = self.sealed()
        start = seal.state() if self.uses_loss else []
        loss = loss_of(self.forward(given))
        loss.backward()

        def again() -> Tensor:
            seal.replay(start)  # the same dropout masks as in the first pass
            return loss_of(self.model(given))

        self.add_grad_(x, again if self.uses_loss else None)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """What continues the regularizer elsewhere: the multiplier, the last norm, the number of steps."""
        return {"lam": self.lam, "norm": self.norm, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            ValueError: an entry is missing or not a number.
        """
        missing = {"lam", "norm", "steps"} - set(state)
        if missing:
            raise ValueError(f"state must hold lam, norm and steps, and lacks {', '.join(sorted(missing))}")
        self.lam = check_number("state['lam']", state["lam"])
        self.norm = float(state["norm"])
        self.steps = int(state["steps"])


def added_to(p: Tensor) -> Tensor:
    """``p.grad``, made of zeros where the loss gave none."""
    if p.grad is None:
        p.grad = torch.zeros_like(p)
    return p.grad
