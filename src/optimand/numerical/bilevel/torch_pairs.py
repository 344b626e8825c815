"""Tensors in groups, evaluations at two points with the same random numbers, and the automatic lower step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .diagnostics import NO_DEPENDENCE
from .oracle import checked_projection
from .schedules import REFRESH, step_of

Tensors = list[Tensor]
ZEROS = 5  # so many x-gradients in a row that are exactly zero are taken for a missing dependence
NO_UPPER = "upper_loss must depend on upper_params or lower_params, got a detached loss or a constant"
NO_LOWER = "lower_loss does not depend on lower_params: the closure has to use these tensors, or the module of theirs"
Closure = Callable[..., Any]


def parameters(name: str, value: Any) -> Tensors:
    """The tensors of a module (those that require gradients), an iterable of tensors, also named, or one tensor.

    Raises:
        TypeError: something else, or an integer tensor. ValueError: none at all, one twice, or not a leaf that
        requires a gradient.
    """
    if isinstance(value, nn.Module):
        value = [p for p in value.parameters() if p.requires_grad]
    elif isinstance(value, Tensor):
        value = [value]
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a module, a tensor or tensors, got {value!r:.60} ({type(value).__name__})")
    found = [p[1] if isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) else p for p in value]
    if not found:
        raise ValueError(f"{name} must hold at least one tensor, got none")
    for p in found:
        if isinstance(p, Mapping):
            raise TypeError(
                f"{name} must hold tensors, got a parameter group: an optimizer's options go to {name[:5]}_optimizer"
            )
        if not isinstance(p, Tensor):
            raise TypeError(f"{name} must hold tensors, got {p!r:.60} ({type(p).__name__})")
        if not (p.requires_grad and p.is_leaf):
            raise ValueError(
                f"{name} must hold leaf tensors with requires_grad=True, got one of shape {tuple(p.shape)}"
            )
    if len({id(p) for p in found}) != len(found):
        raise ValueError(f"{name} must hold each tensor once")
    return found


def projections(name: str, value: Any, count: int) -> list[Callable[[Tensor], Tensor]] | None:
    """A projection for each of ``count`` tensors: one for all, or a sequence; None for no constraint."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        if len(value) != count:
            raise ValueError(f"{name} must have one entry for each of the {count} tensors, got {len(value)}")
        return [checked_projection(f"{name}[{i}]", part) for i, part in enumerate(value)]
    return [checked_projection(name, value)] * count


def norm(tensors: Sequence[Tensor]) -> float:
    """The Euclidean norm of all tensors together."""
    return float(sum(float(t.detach().double().square().sum()) for t in tensors) ** 0.5)


@contextmanager
def holding(params: Sequence[Tensor], values: Sequence[Tensor]) -> Iterator[None]:
    """Within the block ``params`` hold the data of ``values``: nothing is copied."""
    kept = [p.data for p in params]
    try:
        for p, v in zip(params, values, strict=True):
            p.data = v.data
        yield
    finally:
        for p, data in zip(params, kept, strict=True):
            p.data = data


class Randomness:
    """The state of torch's generators of the devices in use: kept and put back, so that y and z meet the same draws."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._devices = sorted({t.device.index or 0 for t in tensors if t.device.type == "cuda"})

    def get(self) -> tuple[Tensor, list[Tensor]]:
        """The states now."""
        return torch.get_rng_state(), [torch.cuda.get_rng_state(d) for d in self._devices]

    def set(self, state: tuple[Tensor, list[Tensor]]) -> None:
        """Go back to ``state``."""
        torch.set_rng_state(state[0])
        for device, one in zip(self._devices, state[1], strict=True):
            torch.cuda.set_rng_state(one, device)


def scalar_loss(name: str, closure: Callable[..., Any], k: int, *arguments: Any) -> Tensor:
    """The closure's loss; TypeError if it is no scalar tensor, FloatingPointError if it is not finite."""
    loss = closure(*arguments)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        kind = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TypeError(f"{name} must return a scalar tensor, got {kind}")
    if not bool(torch.isfinite(loss.detach()).all()):
        raise FloatingPointError(f"{name} returned {float(loss.detach())} at step {k}")
    return loss.reshape(())


def gradients(loss: Tensor, wrt: Sequence[Tensor], keep: bool = False) -> tuple[Tensors, bool]:
    """Gradients of a loss, zero where it does not depend on a tensor; and whether it depends on any."""
    if not loss.requires_grad:
        return [torch.zeros_like(p) for p in wrt], False
    found = torch.autograd.grad(loss, list(wrt), allow_unused=True, retain_graph=keep)
    filled = [torch.zeros_like(p) if d is None else d for p, d in zip(wrt, found, strict=True)]
    return filled, any(d is not None for d in found)


class StepReport(NamedTuple):
    """What a step of :class:`PenaltyBilevel` saw.

    Attributes:
        upper_loss: f at (x, y).
        lower_loss: g at (x, z).
        hypergrad_norm: norm of the penalty gradient in x, or of its estimate.
        gap_y, gap_z: norms of the gradients that moved y and z last.
        sigma: the penalty.
    """

    upper_loss: float
    lower_loss: float
    hypergrad_norm: float
    gap_y: float
    gap_z: float
    sigma: float


@contextmanager
def buffers_kept(modules: Sequence[nn.Module]) -> Iterator[None]:
    """After the block the modules' buffers, such as running means, are what they were before."""
    kept = [
        (part, name, buffer, None if buffer is None else buffer.detach().clone())
        for module in modules
        for part in module.modules()
        for name, buffer in part._buffers.items()
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for part, name, buffer, values in kept:
                part._buffers[name] = buffer
                if buffer is not None and values is not None:
                    buffer.copy_(values)


class PairedLosses:
    """The gradients that the penalty method needs from two closures, y and z always with the same samples and draws.

    Args:
        x, y, z: the parameters; closures see x and z, and z holds y while they are evaluated there.
        modules: owners of buffers, which belong to z: only :meth:`lower` at z may change them.
        warn: called with a key and a text when no loss depends on x.
    """

    def __init__(
        self, x: Tensors, y: Tensors, z: Tensors, modules: Sequence[nn.Module], warn: Callable[[str, str], None]
    ) -> None:
        self.x, self.y, self.z, self.modules, self.warn = x, y, z, modules, warn
        self.random = Randomness([*x, *z])
        self._zero = 0
        self._checked = False

    def _check_upper(self, loss: Tensor) -> None:
        """ValueError where the upper loss depends on neither x nor z; at the first loss this takes a backward pass."""
        self._checked = loss.requires_grad and (self._checked or gradients(loss, [*self.x, *self.z], keep=True)[1])
        if not self._checked:
            raise ValueError(NO_UPPER)

    def lower(
        self, k: int, sigma: float, f: Closure, g: Closure, samples: Any
    ) -> tuple[Tensors, Tensors, float, float]:
        """``sigma ∇_y f + ∇_y g`` at y and ``∇_y g`` at z, with the losses f at y and g at z."""
        begin = self.random.get()
        with torch.enable_grad(), holding(self.z, self.y), buffers_kept(self.modules):
            lower = scalar_loss("lower_loss", g, k, self.x, self.z, samples)
            upper = scalar_loss("upper_loss", f, k, self.x, self.z, samples)
            self._check_upper(upper)
            h_y, _ = gradients(sigma * upper + lower, self.z)
        end = self.random.get()
        self.random.set(begin)
        with torch.enable_grad():
            at_z = scalar_loss("lower_loss", g, k, self.x, self.z, samples)
            g_z, depends = gradients(at_z, self.z)
        self.random.set(end)
        if not depends:
            raise ValueError(NO_LOWER)
        _check_finite("lower gradient", k, [*h_y, *g_z])
        return h_y, g_z, float(upper.detach()), float(at_z.detach())

    def upper(self, k: int, sigma: float, f: Closure, g: Closure, samples: Any) -> tuple[Tensors, float, float]:
        """The penalty gradient in x, with the losses f at y and g at z."""
        begin = self.random.get()
        with torch.enable_grad(), holding(self.z, self.y), buffers_kept(self.modules):
            g_y, lower_depends = gradients(scalar_loss("lower_loss", g, k, self.x, self.z, samples), self.x)
            upper = scalar_loss("upper_loss", f, k, self.x, self.z, samples)
            self._check_upper(upper)
            f_x, upper_depends = gradients(upper, self.x)
        end = self.random.get()
        self.random.set(begin)
        with torch.enable_grad(), buffers_kept(self.modules):
            at_z = scalar_loss("lower_loss", g, k, self.x, self.z, samples)
            g_z, _ = gradients(at_z, self.x)
        self.random.set(end)
        # The difference comes before the division, so that what y and z have in common cancels.
        found = [a + (b - c) / sigma for a, b, c in zip(f_x, g_y, g_z, strict=True)]
        _check_finite("x-gradient", k, found)
        # At one point the gradients may all be zero by chance, such as where y and z start.
        self._zero = 0 if any(bool(t.any()) for t in (*f_x, *g_y, *g_z)) else self._zero + 1
        if self._zero >= ZEROS or not (lower_depends or upper_depends):
            self.warn("dependence", NO_DEPENDENCE)
        return found, float(upper.detach()), float(at_z.detach())

    def joint(
        self, k: int, sigma: float, f: Closure, g: Closure, samples: Any
    ) -> tuple[tuple[Tensors, Tensors, Tensors], float, float]:
        """The three gradients of Algorithm 2 at the same point, with the losses f at y and g at z."""
        begin = self.random.get()
        h_y, g_z, _, _ = self.lower(k, sigma, f, g, samples)
        self.random.set(begin)
        gradient, f_y, g_at_z = self.upper(k, sigma, f, g, samples)
        return (h_y, g_z, gradient), f_y, g_at_z


def _check_finite(what: str, k: int, tensors: Tensors) -> None:
    if not all(bool(torch.isfinite(t).all()) for t in tensors):
        raise FloatingPointError(f"the {what} is not finite at step {k}")


def optimizer_of(name: str, make: Any, params: Tensors) -> torch.optim.Optimizer | None:
    """The optimizer that ``make`` builds for the parameters; TypeError if it builds none, None for None."""
    if make is None:
        return None
    if not callable(make):
        raise TypeError(f"{name} must be a function of a list of tensors, got {make!r:.60} ({type(make).__name__})")
    found = make(params)
    if not isinstance(found, torch.optim.Optimizer):
        raise TypeError(f"{name} must return a torch.optim.Optimizer, got {type(found).__name__}")
    if isinstance(found, torch.optim.LBFGS):
        raise TypeError(f"{name} must return an optimizer that steps without a closure, got LBFGS")
    if {id(p) for group in found.param_groups for p in group["params"]} != {id(p) for p in params}:
        raise ValueError(f"{name} must return an optimizer of the tensors that it was given, got one of others")
    return found


def move(ps: Tensors, step: Tensors, lr: float, optimizer: torch.optim.Optimizer | None, onto: Any) -> None:
    """Move tensors along ``-step``, or as an optimizer takes it for a gradient, and project; ``grad`` is kept."""
    with torch.no_grad():
        if optimizer is None:
            for p, d in zip(ps, step, strict=True):
                p.sub_(d, alpha=lr)
        else:
            users = [p.grad for p in ps]
            try:
                for p, d in zip(ps, step, strict=True):
                    p.grad = d.clone()  # optimizers may change it in place, and estimates are kept
                optimizer.step()
            finally:
                for p, grad in zip(ps, users, strict=True):
                    p.grad = grad
        if onto is not None:
            for p, project in zip(ps, onto, strict=True):
                p.copy_(project(p.detach()))


class CurvatureStep:
    """A step of 0.8 over the largest curvature of both lower objectives seen so far.

    Power iteration on differences of gradients at y and at z: ten rounds at the start, one with the last directions
    every tenth call from then on. The first directions come from a generator of its own.

    Args:
        pair: evaluates gradients.
        rho: prox parameter, whose curvature 1/rho is added.
    """

    def __init__(self, pair: PairedLosses, rho: float = math.inf) -> None:
        self.pair, self.rho = pair, rho
        self.value, self.curvature, self.calls = math.nan, 0.0, 0
        self.directions: tuple[Tensors, Tensors] | None = None

    def update(self, k: int, sigma: float, f: Closure, g: Closure, draw: Callable[[], Any]) -> float:
        """The step size; where it is time for a look at the curvature, with samples that are drawn for it."""
        self.calls += 1
        if self.directions is None or (self.calls - 1) % REFRESH == 0:
            with buffers_kept(self.pair.modules):
                self._look(k, sigma, f, g, draw())
            self.value = step_of(self.curvature, rho=self.rho)
        return self.value

    def _look(self, k: int, sigma: float, f: Closure, g: Closure, samples: Any) -> None:
        pair, rounds = self.pair, 10 if self.directions is None else 1
        generator = torch.Generator().manual_seed(self.calls)
        # An objective that was flat so far may be curved here: its direction is drawn anew.
        v, w = (
            ds if ds and 0 < norm(ds) < math.inf else [torch.randn(p.shape, generator=generator).to(p) for p in ps]
            for ds, ps in zip(self.directions or (None, None), (pair.y, pair.z), strict=True)
        )
        random = pair.random.get()
        base = pair.lower(k, sigma, f, g, samples)[:2]
        # Long enough for float32.
        length = 1e-3 * max(1.0, norm(pair.y), norm(pair.z))
        for _ in range(rounds):
            sizes = norm(v), norm(w)
            if not max(sizes) > 0:
                break
            ahead = [
                [p.detach().add(d, alpha=length / size if size > 0 else 0.0) for p, d in zip(ps, ds, strict=True)]
                for ps, ds, size in ((pair.y, v, sizes[0]), (pair.z, w, sizes[1]))
            ]
            pair.random.set(random)
            with holding(pair.y, ahead[0]), holding(pair.z, ahead[1]):
                moved = pair.lower(k, sigma, f, g, samples)[:2]
            v, w = (
                [(a - b) / length for a, b in zip(new, old, strict=True)] for new, old in zip(moved, base, strict=True)
            )
        pair.random.set(random)
        self.directions = (v, w)
        self.curvature = max(self.curvature, norm(v), norm(w))

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and numbers."""
        directions = None if self.directions is None else [[d.clone() for d in ds] for ds in self.directions]
        return {"value": self.value, "curvature": self.curvature, "calls": self.calls, "directions": directions}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.value, self.curvature, self.calls = state["value"], state["curvature"], state["calls"]
        saved = state["directions"]
        self.directions = None
        if saved is not None:
            v, w = ([d.clone().to(p) for d, p in zip(ds, self.pair.z, strict=True)] for ds in saved)
            self.directions = (v, w)
