"""The one training loop: mini-batches, schedule, evaluation, divergence, checkpoints, costs.

Everything random hangs on the run's seed: the order of the data (``data``), the initial weights (``model``)
and whatever else draws numbers, such as dropout (``noise``). Two methods at the same seed meet the same
weights and the same batches. The caller's random state is left as it was.
"""

from __future__ import annotations

import copy
import functools
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from optimand.optim.memory import state_bytes, tensor_bytes

from ..core import running
from ..core.catalog import Method
from ..core.recorder import Diverged, Recorder
from ..core.seeds import SeedTree
from ..core.validation import OptimandError, check_int
from .building import build_optimizer
from .memory import peak_allocation
from .objective import Forward, evaluate
from .settings import Settings, base_learning_rates, set_learning_rates
from .stepper import Stepper

if TYPE_CHECKING:
    from .problem import TrainingProblem

# The losses of a few steps are looked at together, because looking at one makes a GPU wait; the step
# at which a run diverged is exact all the same.
CHUNK_STEPS, CHUNK_SECONDS = 10, 0.1
POINTS = 200  # of the training loss that are recorded

# A run has diverged when its loss is not finite, or BLOWN_UP times its first value, or HIGH times that for
# HIGH_STEPS steps on end. First values below 1 count as 1.
BLOWN_UP, HIGH, HIGH_STEPS = 1000.0, 10.0, 100

# What a factorization inside an optimizer raises when its input is no longer finite.
BREAKDOWNS = (torch.linalg.LinAlgError, FloatingPointError)  # type: ignore[attr-defined]


def train(
    problem: TrainingProblem,
    method: Method,
    hyper: Mapping[str, Any],
    *,
    seed: SeedTree,
    budget: int,
    recorder: Recorder,
) -> nn.Module:
    """Train a fresh model for ``budget`` steps and write what happens to ``recorder``.

    Args:
        problem: data, model, objective and settings.
        method: makes the optimizer, see :func:`optimand.training.building.build_optimizer`.
        hyper: hyperparameters that differ from the method's defaults.
        seed: where everything random comes from.
        budget: steps.
        recorder: takes the records; where it holds a checkpoint, the run goes on from there and ends
            bit for bit as if it had never stopped.

    Returns:
        The trained model.

    Raises:
        Diverged: see the constants above; also for parameters that are not finite at an evaluation.
        OptimandError: a setting that does not fit the machine or the method.
    """
    check_int("budget", budget, low=1)
    device = resolve_device(problem.settings.device)
    with torch.random.fork_rng(devices=_cuda_indices(device)):
        loop = _Loop(problem, method, method.hyper(hyper), seed, budget, recorder, device)
        loop.run()
        return loop.model


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; OptimandError where this machine has none."""
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise OptimandError(f"device {name!r} was asked for, but torch finds no CUDA device here")
    return device


def _cuda_indices(device: torch.device) -> list[int]:
    if device.type == "cpu":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]


# What rehearsals measured in this process, by kind of run.
_rehearsed: dict[str, dict[str, float]] = {}


class _Loop:
    def __init__(
        self,
        problem: TrainingProblem,
        method: Method,
        hyper: Mapping[str, Any],
        seed: SeedTree,
        budget: int,
        recorder: Recorder,
        device: torch.device,
    ) -> None:
        settings: Settings = problem.settings
        self.problem, self.method, self.hyper = problem, method, hyper
        self.settings, self.objective = settings, problem.objective
        self.budget, self.recorder, self.device = budget, recorder, device
        self.data = problem.loaded.to(device)
        torch.manual_seed(seed.child("model").integer())
        self.model = problem.model().to(device).train()
        torch.manual_seed(seed.child("noise").integer())
        self._rehearse(seed)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.memory_before = torch.cuda.memory_allocated(device) - tensor_bytes(self.model.parameters())
        self.stepper = self._stepper(self.model)
        self.optimizer: Any = self.stepper.optimizer
        self.base = base_learning_rates(self.optimizer.param_groups)
        self.sampler = self.data.sampler(settings.batch_size, seed.child("data").torch())
        self.step, self.high = 0, 0
        self.first: float | None = None
        self.pending: list[float] = []
        self.stride = math.ceil(budget / POINTS)
        self.evaluate_at = {math.ceil(k * budget / settings.evaluations) for k in range(1, settings.evaluations + 1)}

    def _stepper(self, model: nn.Module) -> Stepper:
        forward: Forward = torch.compile(model) if self.settings.compile else model
        optimizer, closure = build_optimizer(self.method, model, self.hyper), bool(self.method.options.get("closure"))
        return Stepper(model, forward, optimizer, self.objective, self.settings, closure=closure)

    def _rehearse(self, seed: SeedTree) -> None:
        """Two steps on a copy: compiled code is loaded before the clock runs, and memory is measured.

        Once in a process for each kind of run: neither depends on the seed or on the size of a number.
        """
        shapes = [(tuple(p.shape), p.dtype) for p in self.model.parameters()]
        kinds = {k: v != 0 if isinstance(v, float) else v for k, v in self.hyper.items()}
        key = repr((self.problem.name, self.settings, shapes, self.method.name, self.method.origin, kinds))
        if key not in _rehearsed or self.settings.compile:
            _rehearsed[key] = self._rehearsal(seed)
        self.recorder.cost(**_rehearsed[key])

    def _rehearsal(self, seed: SeedTree) -> dict[str, float]:
        with torch.random.fork_rng(devices=_cuda_indices(self.device)):
            model = copy.deepcopy(self.model)
            stepper = self._stepper(model)
            sampler = self.data.sampler(self.settings.batch_size, seed.child("rehearsal").torch())
            try:
                stepper.step(sampler.next())
                stepper.optimizer.zero_grad()
                if self.device.type == "cpu":
                    lasting = tensor_bytes([*model.parameters(), *model.buffers()]) + state_bytes(stepper.optimizer)
                    batch = sampler.next()
                    peak = peak_allocation(functools.partial(stepper.step, batch))
                    return {"peak_memory_bytes": float(lasting + peak)}
            except BREAKDOWNS:
                pass  # a method that breaks down at once does so in the run too, and is recorded there
        return {}

    def run(self) -> None:
        recorder = self.recorder
        running.resume(recorder, self)
        recorder.note(
            device=str(self.device),
            threads=str(torch.get_num_threads()),
            dtype=str(next(self.model.parameters()).dtype).removeprefix("torch."),
            amp=self.settings.amp or "none",
        )
        while self.step < self.budget:
            start, losses = self._chunk()
            self._check(start, losses)
            if self.step in self.evaluate_at:
                self._evaluate("valid")
            if self.step < self.budget:
                running.save(recorder, self)
            recorder.progress(self.step)
        self._finish()

    def _chunk(self) -> tuple[int, list[Tensor]]:
        """A few steps; returns the position before them and their losses."""
        start, losses = self.step, []
        stop = min(self.budget, start + CHUNK_STEPS, min(s for s in self.evaluate_at if s > start))
        stepper, sampler, settings, budget = self.stepper, self.sampler, self.settings, self.budget
        with self.recorder.timed():
            begun = time.perf_counter()
            while self.step < stop and (self.step == start or time.perf_counter() - begun < CHUNK_SECONDS):
                set_learning_rates(self.optimizer.param_groups, self.base, settings.factor(self.step, budget))
                try:
                    losses.append(stepper.step(sampler.next()))
                except BREAKDOWNS as error:
                    self._check(start, losses)
                    raise Diverged(self.step + 1, f"{type(error).__name__} in the optimizer: {error}") from error
                self.step += 1
            stepper.synchronize()
        return start, losses

    def _check(self, start: int, losses: list[Tensor]) -> None:
        """Look at the losses of the steps after ``start``: raise if they diverge, else record them thinned."""
        if not losses:
            return
        for at, loss in enumerate(torch.stack(losses).tolist(), start + 1):
            if not math.isfinite(loss):
                raise Diverged(at, f"training loss is {loss}")
            if self.first is None:
                self.first = loss
            reference = max(self.first, 1.0)
            if loss > BLOWN_UP * reference:
                raise Diverged(at, f"training loss is {loss:.4g}, {BLOWN_UP:g} times its first value {self.first:.4g}")
            self.high = self.high + 1 if loss > HIGH * reference else 0
            if self.high >= HIGH_STEPS:
                raise Diverged(at, f"training loss above {HIGH:g} times its first value for {HIGH_STEPS} steps")
            self.pending.append(loss)
            # the last point is the loss on the whole training split, see _finish
            if at % self.stride == 0 and at < self.budget:
                mean = math.fsum(self.pending) / len(self.pending)
                self.recorder.record(at, "train", **{n: mean * f for n, f in self.objective.of_loss.items()})
                self.pending.clear()

    @contextmanager
    def _evaluation_mode(self) -> Iterator[None]:
        # schedule-free optimizers keep other weights for evaluation, by this convention of theirs
        switch = hasattr(self.optimizer, "eval") and hasattr(self.optimizer, "train")
        if switch:
            self.optimizer.eval()
        try:
            with self.stepper.autocast():
                yield
        finally:
            if switch:
                self.optimizer.train()

    def _evaluate(self, split: str) -> None:
        # of the state dict, because quantized layers have only placeholders for parameters
        for name, parameter in self.model.state_dict().items():
            if parameter.is_floating_point() and not bool(torch.isfinite(parameter).all()):
                raise Diverged(self.step, f"parameter {name} is not finite")
        with self._evaluation_mode():
            values = evaluate(self.model, self.stepper.forward, self.objective.metrics, self.data.batches(split))
        for name, value in values.items():
            if not math.isfinite(value):
                raise Diverged(self.step, f"{name} on {split} is {value}")
        self.recorder.record(self.step, split, **values)

    def _finish(self) -> None:
        self._evaluate("test")
        self._evaluate("train")
        recorder, steps = self.recorder, self.budget
        recorder.cost(
            state_bytes=state_bytes(self.optimizer),
            parameter_bytes=tensor_bytes(self.model.parameters()),
            seconds_per_unit=recorder.seconds / steps,
            optimizer_seconds_per_unit=self.stepper.optimizer_seconds / steps,
        )
        if self.stepper.closure:
            recorder.cost(gradients_per_unit=self.stepper.closure_calls / steps)
        if self.device.type == "cuda":
            recorder.cost(peak_memory_bytes=torch.cuda.max_memory_allocated(self.device) - self.memory_before)

    def state_dict(self) -> dict[str, Any]:
        scaler = self.stepper.scaler
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sampler": self.sampler.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            "check": (self.first, self.high, self.pending),
            "clock": (self.stepper.optimizer_seconds, self.stepper.closure_calls),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.load_state_dict(state["sampler"])
        if self.stepper.scaler is not None:
            self.stepper.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"], self.device)
        self.first, self.high, self.pending = state["check"]
        self.stepper.optimizer_seconds, self.stepper.closure_calls = state["clock"]
