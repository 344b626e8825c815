"""One training step: forward, backward, clipping, optimizer; with mixed precision and micro-batches when asked for."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..core.validation import OptimandError
from .batches import Batch
from .objective import Forward, Objective
from .settings import Settings

_AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Stepper:
    """Takes optimizer steps on mini-batches.

    Args:
        model: the module that holds the parameters.
        forward: what computes its output; the module itself or its compiled form.
        optimizer: steps the parameters.
        objective: gives the loss.
        settings: clipping, precision, micro-batches.
        closure: whether ``optimizer.step`` takes a closure.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Forward,
        optimizer: torch.optim.Optimizer,
        objective: Objective,
        settings: Settings,
        *,
        closure: bool = False,
    ) -> None:
        self.forward, self.optimizer, self.loss = forward, optimizer, objective.loss
        if hasattr(optimizer, "eval") and hasattr(optimizer, "train"):
            optimizer.train()  # schedule-free optimizers step only in this mode of theirs
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.clip, self.accumulate, self.closure = settings.clip, settings.accumulate, closure
        self.device = torch.device(settings.device)
        self.cuda = self.device.type == "cuda"
        self.amp = None if settings.amp is None else _AMP[settings.amp]
        self.scaler: torch.amp.GradScaler | None = None
        if settings.amp == "fp16":
            if not self.cuda:
                raise OptimandError("amp='fp16' needs device='cuda'; on the CPU use amp='bf16'")
            if closure:
                raise OptimandError("amp='fp16' scales gradients, which an optimizer that calls a closure cannot undo")
            self.scaler = torch.amp.GradScaler("cuda")
        self.optimizer_seconds = 0.0
        self.closure_calls = 0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision that the forward pass runs in."""
        if self.amp is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.amp)

    def gradients(self, batch: Batch) -> Tensor:
        """Fill the gradients with those of the mean loss on ``batch``; return that loss."""
        self.optimizer.zero_grad()
        if self.accumulate == 1:
            loss = self._backward(batch, 1.0)
        else:
            pieces = list(zip(*(t.chunk(self.accumulate) for t in batch), strict=True))
            n = len(batch[0])
            loss = torch.stack([self._backward(piece, len(piece[0]) / n) for piece in pieces]).sum()
        if self.clip is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        return loss

    def _backward(self, batch: Batch, share: float) -> Tensor:
        with self.autocast():
            loss = self.loss(self.forward, batch)
        if share != 1.0:
            loss = loss * share
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        return loss.detach()

    def step(self, batch: Batch) -> Tensor:
        """One step on ``batch``; returns its loss before the step, not yet synchronized."""
        if self.closure:
            return self._step_with_closure(batch)
        loss = self.gradients(batch)
        started = self._start()
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self._stop(started)
        return loss

    def _step_with_closure(self, batch: Batch) -> Tensor:
        losses: list[Tensor] = []
        inside = 0.0

        def closure() -> Tensor:
            nonlocal inside
            begun = time.perf_counter()
            with torch.enable_grad():
                losses.append(self.gradients(batch))
            inside += time.perf_counter() - begun
            self.closure_calls += 1
            return losses[-1]

        begun = time.perf_counter()
        self.optimizer.step(closure)  # type: ignore[arg-type]
        # the gradients that the method asks for are not the optimizer's own time
        self.optimizer_seconds += time.perf_counter() - begun - inside
        if not losses:
            raise OptimandError(f"{type(self.optimizer).__name__}.step took a closure and never called it")
        return losses[0]

    def _start(self) -> Any:
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _stop(self, started: Any) -> None:
        if not self.cuda:
            self.optimizer_seconds += time.perf_counter() - started
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._events.append((started, event))

    def synchronize(self) -> None:
        """Wait for the device and collect the optimizer's time there."""
        if self.cuda:
            torch.cuda.synchronize(self.device)
            self.optimizer_seconds += sum(a.elapsed_time(b) for a, b in self._events) / 1000
            self._events.clear()
