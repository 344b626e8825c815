"""The contract of a kappa: a convex function K with its subgradient, conjugate and constraint set.

Lion-K minimizes f(x) + K*(lambda x) / lambda, so the domain of the conjugate K*, shrunk by lambda, is the
set that the iterates are driven into (Chen, Liu, Liang, Liu, "Lion Secretly Solves Constrained
Optimization: As Lyapunov Predicts", arXiv 2310.05898).
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from optimand.core.validation import check_number


class Kappa(ABC):
    """A convex function K of one tensor.

    Every method takes a floating-point tensor of any shape and computes in at least float32 (bfloat16 and
    float16 are promoted). Scalars come back as 0-d tensors, tensors in the shape and dtype of the input.
    Subclasses implement ``_value``, ``_grad``, ``_conj``, ``_conj_grad`` and ``_project`` on non-empty tensors.

    Attributes:
        name: the name under which the registry knows the class.
        elementwise: whether K(m) is a sum over coordinates of one scalar function.
        is_norm: whether K is a norm, so that K* is 0 on its domain and infinite elsewhere.
        bounded: whether the domain of K* is bounded, i.e. whether K constrains anything.
    """

    name: ClassVar[str] = ""
    elementwise: bool = False
    is_norm: bool = False
    bounded: bool = True

    def value(self, m: Tensor) -> Tensor:
        """K(m); differentiable by autograd where K is smooth."""
        m = _promote("m", m)
        return self._value(m) if m.numel() else m.sum()

    def grad(self, m: Tensor) -> Tensor:
        """A subgradient of K at m, in the shape of m: the direction in which Lion-K moves the parameters."""
        wide = _promote("m", m)
        return self._grad(wide).to(m.dtype) if m.numel() else torch.zeros_like(m)

    def conj(self, z: Tensor, tol: float | None = None) -> Tensor:
        """The convex conjugate K*(z) = sup_m <z, m> - K(m); infinity outside its domain.

        Args:
            z: any point.
            tol: how far outside the domain a point still counts as inside; by default a few hundred
                units of rounding, so that K* is finite at every ``grad(m)``.
        """
        z = _promote("z", z)
        if not z.numel():
            return z.sum()
        return self._conj(z) if self.in_domain(z, tol) else z.new_tensor(math.inf)

    def conj_grad(self, z: Tensor) -> Tensor:
        """A subgradient of K* at z, the inverse of ``grad``; NaN outside the domain, where there is none.

        It is infinite on the edge of the domain where K* has a vertical tangent there.
        """
        wide = _promote("z", z)
        if not z.numel():
            return torch.zeros_like(z)
        found = self._conj_grad(wide) if self.in_domain(wide) else torch.full_like(wide, math.nan)
        return found.to(z.dtype)

    def in_domain(self, z: Tensor, tol: float | None = None) -> bool:
        """Whether z is within ``tol`` (Euclidean distance; by default rounding) of the domain of K*."""
        z = _promote("z", z)
        if tol is None:
            tol = 100 * torch.finfo(z.dtype).eps * math.sqrt(max(z.numel(), 1))
        return bool(self.dist_domain(z) <= tol)

    def dist_domain(self, z: Tensor) -> Tensor:
        """Euclidean (Frobenius) distance from z to the closure of the domain of K*."""
        z = _promote("z", z)
        return self._dist(z) if z.numel() else z.sum()

    def project(self, x: Tensor, radius: float = 1.0) -> Tensor:
        """The nearest point to x of ``radius`` times the closure of the domain of K*.

        With ``radius = 1 / weight_decay`` that is the constraint set of Lion-K.

        Raises:
            ValueError: ``radius`` is not positive and finite.
        """
        check_number("radius", radius, low=0.0, low_open=True, high=math.inf, high_open=True)
        wide = _promote("x", x)
        return self._project(wide, float(radius)).to(x.dtype) if x.numel() else x.clone()

    def config(self) -> dict[str, Any]:
        """``{"name": …, **kwargs}`` made of plain values only: what ``get_kappa`` rebuilds this kappa from."""
        return {"name": self.name, **self._kwargs()}

    def resolve(self, m: Tensor) -> Kappa:
        """The kappa that this one is for tensors of the shape of ``m``: itself, but for ``Routed``."""
        return self

    def check(self, m: Tensor) -> None:  # noqa: B027  # most kappas take every shape
        """Raise ValueError if K is not defined on tensors of this shape."""

    def _kwargs(self) -> dict[str, Any]:
        """The constructor's arguments: attributes of their names, unless a class says otherwise."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters if hasattr(self, name)}

    def _dist(self, z: Tensor) -> Tensor:
        return safe_norm(z - self._project(z, 1.0))

    @abstractmethod
    def _value(self, m: Tensor) -> Tensor: ...

    @abstractmethod
    def _grad(self, m: Tensor) -> Tensor: ...

    @abstractmethod
    def _conj(self, z: Tensor) -> Tensor: ...

    @abstractmethod
    def _conj_grad(self, z: Tensor) -> Tensor: ...

    @abstractmethod
    def _project(self, x: Tensor, radius: float) -> Tensor: ...

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._kwargs().items())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kappa) and self.config() == other.config()

    def __hash__(self) -> int:
        return hash(repr(self))


class Norm(Kappa):
    """A kappa that is a norm: K* is the indicator of the unit ball of the dual norm."""

    is_norm = True

    def _conj(self, z: Tensor) -> Tensor:
        return z.new_zeros(())

    def _conj_grad(self, z: Tensor) -> Tensor:
        return torch.zeros_like(z)


def scale_of(x: Tensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """max |x| (along ``dim``) where it is positive and finite, else 1: what to divide by before taking powers."""
    largest = x.detach().abs().amax() if dim is None else x.detach().abs().amax(dim, keepdim=keepdim)
    return torch.where((largest > 0) & (largest < math.inf), largest, torch.ones_like(largest))


def safe_norm(x: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm of x as one vector, free of overflow and underflow of the powers."""
    scale = scale_of(x)
    return scale * torch.linalg.vector_norm(x / scale, p)


def as_matrix(x: Tensor) -> Tensor:
    """x as a matrix: its first dimension against all the others, as for the kernels of a convolution."""
    return x if x.dim() == 2 else x.flatten(1)


def as_labels(index: Sequence[Any] | Tensor) -> Tensor:
    """One group label (0, 1, …) per flat element, from groups of flat indices or from labels.

    Args:
        index: ``[[0, 1], [2]]`` (groups that together hold 0, …, n-1 once each) or ``[0, 0, 1]`` (labels).

    Raises:
        ValueError: an element is in no group or in two, or the labels are not 0, …, number of groups - 1.

    Example:
        >>> as_labels([[0, 2], [1]]).tolist()
        [0, 1, 0]
    """
    if isinstance(index, Tensor):
        index = index.flatten().tolist()
    if not len(index):
        raise ValueError("index must hold at least one group, got none")
    if not isinstance(index[0], int):
        groups = [[int(i) for i in group] for group in index]
        members = [i for group in groups for i in group]
        if not members:
            raise ValueError("index must hold at least one element, got empty groups")
        lost = sorted(set(range(max(members) + 1)) - set(members))
        twice = sorted({i for i in members if members.count(i) > 1}) if len(set(members)) < len(members) else []
        if lost or twice or min(members) < 0:
            raise ValueError(
                f"index must hold every flat element exactly once; missing {lost[:5]}, repeated {twice[:5]}, "
                f"smallest {min(members)}"
            )
        labels = torch.empty(len(members), dtype=torch.int64)
        for label, group in enumerate(groups):
            labels[group] = label
        return labels
    labels = torch.tensor([int(i) for i in index], dtype=torch.int64)
    if labels.min() < 0 or len(labels.unique()) != int(labels.max()) + 1:
        raise ValueError(f"index must hold the labels 0, …, number of groups - 1, got {labels.unique().tolist()[:10]}")
    return labels


def _promote(name: str, x: Tensor) -> Tensor:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name} must be a floating-point tensor, got {kind}")
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
