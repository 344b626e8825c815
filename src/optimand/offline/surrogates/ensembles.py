"""Ensembles of surrogates: separate networks, each with its own regularizer and multiplier."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from optimand.core.validation import check_choice

from ..ignite.base import Regularizer, first_output
from .fitting import FitReport, checked, fit

HOW: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda stacked: stacked.mean(dim=0),
    "min": lambda stacked: stacked.amin(dim=0),
    "max": lambda stacked: stacked.amax(dim=0),
    "all": lambda stacked: stacked,
}


class Ensemble(nn.Module):
    """Surrogates whose predictions are combined.

    Args:
        members: modules that give the mean, or the mean first; at least one.

    Example:
        >>> from optimand.offline.surrogates import GaussianMLP
        >>> ensemble = Ensemble(GaussianMLP(2, width=4) for _ in range(3))
        >>> x = torch.zeros(5, 2)
        >>> ensemble.predict(x, how="all").shape, bool((ensemble.predict(x, "min") <= ensemble.predict(x)).all())
        (torch.Size([3, 5]), True)
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        if len(self.members) == 0:
            raise ValueError("members must hold at least one surrogate, got none")

    def __len__(self) -> int:
        return len(self.members)

    def predict(self, x: Tensor, how: str = "mean") -> Tensor:
        """Predictions (n,) combined by ``mean``, ``min`` or ``max`` over the members, or ``all`` (members, n)."""
        check_choice("how", how, HOW)
        return HOW[how](torch.stack([first_output(member(x)) for member in self.members]))


def fit_ensemble(
    ensemble: Ensemble,
    x: Any,
    y: Any,
    *,
    generator: torch.Generator | None = None,
    bootstrap: bool = False,
    ignite: Any = None,
    **options: Any,
) -> list[FitReport]:
    """Fit every member of an ensemble by :func:`fit`; each has its own regularizer, order of rows and held-out rows.

    Args:
        ensemble: the members.
        x: inputs (n, ...), standardized.
        y: targets (n,), standardized.
        generator: draws a seed for every member; one with seed 0 if None.
        bootstrap: whether every member sees rows drawn with replacement.
        ignite: a kind, or a function that makes a regularizer from a model; not a regularizer, which has one model.
        options: those of :func:`fit`.

    Returns:
        A report for each member.
    """
    if isinstance(ignite, Regularizer):
        raise TypeError("ignite must be a kind or a function that makes a regularizer: each member needs its own")
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    x, y = checked("x", x), checked("y", y)
    reports = []
    for member in ensemble.members:
        own = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        rows = torch.randint(len(y), (len(y),), generator=own) if bootstrap else slice(None)
        reports.append(fit(member, x[rows], y[rows], generator=own, ignite=ignite, **options))
    return reports
