"""One kappa for a whole network: which kappa a parameter gets is a matter of its shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from optimand.core.validation import check_number

from .base import Kappa
from .combinators import Scaled, as_kappa
from .elementwise import L1, DeadZone
from .matrix import Nuclear
from .norms import L2, GroupL2


def _of_its_kappa(name: str) -> Callable[..., Any]:
    """The method of this name of the kappa that a tensor's shape leads to."""
    return lambda self, x, *args: getattr(self.resolve(x), name)(x, *args)


class Routed(Kappa):
    """A kappa for matrices and another for vectors.

    Tensors of two or more dimensions (the kernels of convolutions too, as first dimension against the rest) have
    the kappa ``matrix``, all others ``vector``.

    With ``rms`` each kappa is scaled so that the entries of an update have about this root mean square, whatever
    the shape: then one learning rate serves all. The scale s multiplies the radius of the constraint set as well,
    which becomes s/weight_decay. It is ``rms`` for ``l1``, rms sqrt(number of entries) for ``l2``,
    rms sqrt(row length) for ``group_l2``, and rms sqrt(max(m, n)) for ``nuclear`` of an m x n matrix of full rank.

    Args:
        matrix: kappa of tensors with two or more dimensions: a Kappa, a name or a config.
        vector: kappa of all others.
        rms: root mean square of the entries of an update, positive; None leaves the kappas as they are.

    Raises:
        ValueError: ``rms`` is given and the size of a kappa's updates is not known (it is for ``l1``,
            ``dead_zone``, ``l2``, ``group_l2`` over ``dim`` and ``nuclear``).

    Example:
        >>> Routed("nuclear", rms=0.5).resolve(torch.zeros(4, 9))
        Scaled(kappa={'name': 'nuclear', 'method': 'svd', 'steps': 5}, s=1.5)
    """

    name = "routed"

    def __init__(self, matrix: Any = "nuclear", vector: Any = "l1", rms: float | None = None) -> None:
        self.matrix, self.vector = as_kappa(matrix), as_kappa(vector)
        self.rms = None if rms is None else check_number("rms", rms, low=0.0, low_open=True, high=1e6)
        self.bounded = self.matrix.bounded and self.vector.bounded
        self.is_norm = self.matrix.is_norm and self.vector.is_norm
        self._resolved: dict[torch.Size, Kappa] = {}
        if self.rms is not None:
            for kappa in (self.matrix, self.vector):
                entry_size(kappa, torch.Size((1, 1)))

    def _kwargs(self) -> dict[str, Any]:
        return {"matrix": self.matrix.config(), "vector": self.vector.config(), "rms": self.rms}

    def resolve(self, m: Tensor) -> Kappa:
        """The kappa of tensors of this shape."""
        found = self._resolved.get(m.shape)
        if found is None:
            found = self.matrix if m.dim() >= 2 else self.vector
            if self.rms is not None and m.numel():
                found = Scaled(found, self.rms / entry_size(found, m.shape))
            self._resolved[m.shape] = found
        return found

    def check(self, m: Tensor) -> None:
        self.resolve(m).check(m)

    _value, _grad, _conj, _conj_grad, _dist, _project = map(  # type: ignore[assignment]
        _of_its_kappa, ("_value", "_grad", "_conj", "_conj_grad", "_dist", "_project")
    )


def entry_size(kappa: Kappa, shape: torch.Size) -> float:
    """Root mean square of the entries of the kappa's subgradient at a generic point of this shape."""
    numel = math.prod(shape)
    if isinstance(kappa, L1 | DeadZone):
        return 1.0
    if isinstance(kappa, L2):
        return 1 / math.sqrt(numel)
    if isinstance(kappa, GroupL2) and kappa.labels is None:
        return math.sqrt((shape[kappa.dim] if shape else 1) / numel)
    if isinstance(kappa, Nuclear):
        rows = shape[0]
        return 1 / math.sqrt(max(rows, numel // rows))
    raise ValueError(f"rms must be None for kappa {kappa!r}: the size of its updates is not known from the shape")
