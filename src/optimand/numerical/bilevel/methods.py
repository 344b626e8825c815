"""The catalog's entries: the penalty method in its three forms, and baselines.

Every method is built as ``build(instance, **hyper)``. Steps are relative, so that defaults serve every problem:
``alpha`` in the problem's unit of an upper step, ``gamma`` in inverse curvatures of the lower level.
"""

from __future__ import annotations

from ...core.catalog import method
from ...core.space import Dimension, Float
from ...core.validation import check_int, check_number
from .baselines import ALPHA, GAMMA, INNER
from .double_loop import DoubleLoop
from .loop import Instance
from .schedules import Curvature, LowerStep
from .single_loop import SingleLoop

PAPER = "bilevel-penalty"
SPACE: dict[str, Dimension] = {"sigma": Float(0.01, 1.0, log=True), "alpha": ALPHA, "gamma": GAMMA}


@method("bilevel-penalty", family="bilevel", paper=PAPER, space={**SPACE, "inner_steps": INNER})
def double_loop(
    instance: Instance,
    sigma: float = 0.1,
    alpha: float = 1.0,
    gamma: float = 0.8,
    inner_steps: int = 20,
) -> DoubleLoop:
    """Penalty method, double loop: projected gradients of both levels only (Algorithm 1)

    Args:
        instance: the problem.
        sigma: penalty, > 0.
        alpha: upper step in the problem's unit, > 0.
        gamma: lower step times the curvature, in (0, 2).
        inner_steps: lower steps of each upper step.

    Example:
        >>> from optimand.numerical.bilevel.problems import bilevel_quadratic
        >>> solver = double_loop(bilevel_quadratic().instance())
        >>> solver.step()
        >>> solver.k
        1
    """
    return DoubleLoop(
        instance.oracle, instance.x0, instance.y0, instance.project_x, instance.project_y, sigma=sigma,
        alpha=check_number("alpha", alpha, low=0, low_open=True) * instance.upper_unit,
        gamma=LowerStep("auto", share=gamma), inner_steps=inner_steps,
    )  # fmt: skip


@method("bilevel-penalty-single", family="bilevel", paper=PAPER, space=SPACE)
def single_loop(instance: Instance, sigma: float = 0.2, alpha: float = 0.25, gamma: float = 0.8) -> DoubleLoop:
    """Penalty method, fully single loop with exact gradients (Algorithm 1 with one inner step)

    Args:
        instance, sigma, alpha, gamma: see :func:`double_loop`.
    """
    return double_loop(instance, sigma, alpha, gamma, inner_steps=1)


@method(
    "bilevel-penalty-storm", family="bilevel", paper=PAPER, space={**SPACE, "eta": Float(0.05, 1.0, log=True)}
)  # fmt: skip
def storm(
    instance: Instance,
    sigma: float = 0.3,
    alpha: float = 0.25,
    gamma: float = 0.3,
    eta: float = 0.2,
    batch: int = 64,
) -> SingleLoop:
    """Penalty method, stochastic single loop with momentum-assisted estimators (Algorithm 2)

    Args:
        instance, sigma, alpha: see :func:`double_loop`. Where a problem has no samples, gradients are exact.
        gamma: lower step times the curvature at the start.
        eta: rate at which estimates forget, in (0, 1]; 1 for no momentum.
        batch: samples of each level in a step, with replacement.
    """
    check_int("batch", batch, low=1)
    x, y = instance.x0, instance.y0
    curvature = Curvature().look(lambda points: [instance.oracle.lower(x, points[0], points[0], sigma)[0]], [y])
    return SingleLoop(
        instance.oracle, x, y, instance.project_x, instance.project_y, sigma=sigma,
        alpha=check_number("alpha", alpha, low=0, low_open=True) * instance.upper_unit,
        gamma=check_number("gamma", gamma, low=0, low_open=True) / curvature, eta=eta,
        sample=None if instance.sampler is None else instance.sampler(batch), rng=instance.rng,
    )  # fmt: skip
