"""Surrogates of a search: made, fitted with the regularizer that was asked for, and asked for predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from optimand.core.validation import OptimandError, check_choice

from ...ignite.base import Regularizer
from ...ignite.baselines import KINDS, make_regularizer
from ...surrogates.ensembles import Ensemble
from ...surrogates.fitting import KERAS_EPS, fit
from ...surrogates.mlp import GaussianMLP
from .space import Designs, Space

if TYPE_CHECKING:
    from .search import Job

# Rows that are scored at a time: bounds the memory of hidden layers.
AT_ONCE = 16_384
# Rows that are held out of a fit, at most a fifth of all.
VALIDATION = 200


def check_ignite(ignite: Any) -> tuple[str | None, dict[str, Any]]:
    """The kind and the options of the regularizer that ``ignite`` stands for.

    Args:
        ignite: None, a kind of :func:`~optimand.offline.ignite.make_regularizer`, or a mapping with ``kind`` and
            arguments of its class.

    Raises:
        TypeError, ValueError: it is none of these, or an argument is out of range.

    Example:
        >>> check_ignite({"kind": "adaptive", "eps": 0.2})
        ('adaptive', {'eps': 0.2})
    """
    if ignite is None or ignite == "none":
        return None, {}
    if isinstance(ignite, Mapping):
        options = dict(ignite)
        kind = options.pop("kind", "adaptive")
    elif isinstance(ignite, str):
        kind, options = ignite, {}
    else:
        raise TypeError(f"ignite must be None, a kind or a mapping with one, got {ignite!r} ({type(ignite).__name__})")
    check_choice("ignite", kind, KINDS)
    # Made once for nothing, so that a wrong argument is an error before any fit.
    try:
        make_regularizer(kind, nn.Linear(1, 1), **options)
    except TypeError as error:
        raise TypeError(f"ignite={ignite!r}: {error}") from error
    return kind, options


def regularizer(job: Job, model: nn.Module) -> Regularizer | None:
    """A regularizer of ``model``, as the job asks for it; every surrogate has its own."""
    kind, options = check_ignite(job.ignite)
    return make_regularizer(kind, model, **options)


def new_model(job: Job, member: int, activation: str | list[str] = "leaky_relu:0.3") -> GaussianMLP:
    """A network with the job's width and depth and weights of its own.

    Args:
        job: has ``width`` and ``depth``, perhaps ``activations``: ``"mixed"`` for another combination of LeakyReLU and
            cosine in the hidden layers of each member.
        member: number of the network.
        activation: of the hidden layers where they are not mixed.
    """
    if getattr(job.s, "activations", "same") == "mixed":
        activation = [("leaky_relu:0.3", "cos")[member >> layer & 1] for layer in range(job.s.depth)]
    generator = job.torch("weights", member)
    return GaussianMLP(job.space.dim, job.s.width, job.s.depth, activation, generator=generator)


class Predictor:
    """Fitted surrogates as one function of points.

    Args:
        space: where they were fitted.
        models: one or more.
        how: what is made of their predictions, ``"mean"`` or ``"min"``.
    """

    def __init__(self, space: Space, models: list[GaussianMLP], how: str = "mean") -> None:
        self.space, self.models, self.how = space, models, how
        self.ensemble = Ensemble(models)

    def __call__(self, z: Tensor) -> Tensor:
        """Standardised predictions of points, (m,), differentiable by them."""
        if len(self.models) == 1:
            return self.models[0].mean(z)
        return self.ensemble.predict(z, how=self.how)

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions (m,) and the gradient of each with respect to its point (m, D)."""
        z = z.detach().requires_grad_()
        value = self(z)
        (slope,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), slope

    @torch.no_grad()
    def score(self, designs: Designs) -> NDArray[np.float64]:
        """Predictions of designs, in the units of the data."""
        if not len(designs):
            return np.zeros(0)
        parts = [self(self.space.encode(designs[i : i + AT_ONCE])) for i in range(0, len(designs), AT_ONCE)]
        return self.space.raw(torch.cat(parts))

    @torch.no_grad()
    def exceeds(self, z: Tensor, level: float) -> Tensor:
        """Probability, under the mixture of the surrogates, that a point's standardised value exceeds ``level``."""
        found = []
        for model in self.models:
            mean, log_spread = model(z)
            found.append(torch.special.ndtr((mean - level) / log_spread.exp()))
        return torch.stack(found).mean(dim=0)


def fit_predictor(job: Job, *, how: str = "mean", bootstrap: bool = False) -> Predictor:
    """Fit the surrogates that ``job.s`` describes, one after the other.

    Args:
        job: the search's run, of which this is the method ``fit``.
        how: what is made of several predictions, ``"mean"`` or ``"min"``.
        bootstrap: whether each member is fitted to rows drawn with replacement.
    """
    space, s = job.space, job.s
    models = []
    for member in range(s.members):
        model = new_model(job, member)
        x, y = space.x, space.y
        generator = job.torch("fit", member)
        if bootstrap:
            rows = torch.randint(len(y), (len(y),), generator=generator)
            x, y = x[rows], y[rows]

        def tell(epoch: int, before: int = member * s.epochs) -> None:
            job.hook("fit", before + epoch, s.members * s.epochs)

        try:
            report = fit(
                model, x, y, epochs=s.epochs, batch=s.batch, generator=generator, ignite=regularizer(job, model),
                noise=s.noise, validation=VALIDATION, on_epoch=tell,
                optimizer=lambda params: torch.optim.Adam(params, lr=s.lr, eps=KERAS_EPS),
            )  # fmt: skip
        except FloatingPointError as error:
            raise OptimandError(f"{job.name}: the fit of the surrogate diverged: {error}") from error
        for record in report.history:
            measured = {name: value for name, value in record.items() if name != "epoch"}
            job.history.append({"stage": "fit", "member": member, "step": record["epoch"], **measured})
        job.reports.append(report)
        models.append(model.eval().requires_grad_(False))
    return Predictor(space, models, how)
