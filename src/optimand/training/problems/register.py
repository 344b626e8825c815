"""How a built-in problem enters the catalog: its own parameters, and the loop's settings as parameters too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from ...core.catalog import problem
from ..batches import Data
from ..objective import Objective, classification
from ..problem import TrainingProblem
from ..settings import Settings


@dataclass(frozen=True)
class Parts:
    """What distinguishes one training problem from another.

    Attributes:
        data: returns the data; called when a run or a summary needs it.
        model: returns a fresh model.
        description: data and model in a few words.
        budget: steps by default; None for the registered number.
        target: target on the validation split; None for the registered one, NaN for none.
        objective: makes the objective; None for the registered one.
    """

    data: Callable[[], Data]
    model: Callable[[], nn.Module]
    description: str
    budget: int | None = None
    target: float | None = None
    objective: Callable[[], Objective] | None = None


def training_problem(
    name: str,
    *,
    budget: int,
    target: float | None,
    objective: Callable[[], Objective] = classification,
    needs: str = "",
    **defaults: Any,
) -> Callable[[Callable[..., Parts]], Callable[..., TrainingProblem]]:
    """Register a function that returns :class:`Parts` as a training problem.

    The problem's parameters are the function's keyword parameters, the fields of :class:`Settings` (with
    ``defaults`` in place of theirs) and ``target``.

    Args:
        name: what users type.
        budget: steps of a run by default.
        target: value of the metric on the validation split that counts for time-to-target.
        objective: makes the objective.
        needs: files or packages that must be there besides this package.
        defaults: settings whose default differs from that of :class:`Settings`.
    """
    known = {f.name: f.default for f in fields(Settings)}
    general: dict[str, Any] = {"target": target, **known, **defaults}

    def register(build: Callable[..., Parts]) -> Callable[..., TrainingProblem]:
        own = inspect.signature(build).parameters

        @functools.wraps(build)
        def factory(**given: Any) -> TrainingProblem:
            parts = build(**{k: v for k, v in given.items() if k in own})
            rest = {**general, **{k: v for k, v in given.items() if k not in own}}
            reached = rest.pop("target")
            if "target" not in given and parts.target is not None:
                reached = None if parts.target != parts.target else parts.target
            return TrainingProblem(
                name=spec(name, {k: v for k, v in given.items() if v != signature.parameters[k].default}),
                data=parts.data,
                model=parts.model,
                objective=(parts.objective or objective)(),
                settings=Settings(**rest),
                budget=parts.budget or budget,
                target=reached,
                description=parts.description,
            )

        extra = [inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=v) for k, v in general.items()]
        signature = inspect.Signature([*own.values(), *extra])
        factory.__signature__ = signature  # type: ignore[attr-defined]
        del factory.__wrapped__  # type: ignore[attr-defined]
        return problem(name, family="training", needs=needs)(factory)

    return register


def spec(name: str, params: Mapping[str, Any]) -> str:
    """A problem's name with its parameters, as typed: ``byte-lm:size=3m,context=128``."""
    return name + (":" + ",".join(f"{k}={v}" for k, v in params.items()) if params else "")
