"""The family's problems: sequences of linear systems to solve with few iterations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from optimand.core.catalog import Method, problem
from optimand.core.recorder import Recorder
from optimand.core.seeds import SeedTree
from optimand.core.validation import check_choice, check_int

from .systems import VARIANCES, DigitsSmoothing, HeatEquation, Sequence, ShiftedLaplacians


@dataclass(frozen=True, kw_only=True)
class SequenceProblem:
    """A sequence of systems to solve one after the other with as few iterations as possible.

    Attributes:
        name: what users type.
        sequence: ``sequence(rng)`` makes the sequence from its start.
        solver: ``sor`` or ``ssor-cg``.
        budget: systems of a run.
        summary: one line.
    """

    name: str
    sequence: Callable[[np.random.Generator], Sequence]
    solver: str
    budget: int
    summary: str
    target: float | None = None

    family: ClassVar[str] = "linear-systems"
    unit: ClassVar[str] = "systems"
    metric: ClassVar[str] = "iterations"
    direction: ClassVar[Literal["min", "max"]] = "min"

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Solve ``budget`` systems; see :func:`optimand.numerical.linear_systems.loop.solve_sequence`."""
        from .loop import solve_sequence

        solve_sequence(self, method, hyper, seed=seed, budget=budget, recorder=recorder)


# Named functions, because problems travel to worker processes.
def _shifted_laplacians(variance: str, side: int, rng: np.random.Generator) -> Sequence:
    return ShiftedLaplacians(variance, side=side, rng=rng)


def _heat_equation(nx: int, rng: np.random.Generator) -> Sequence:
    return HeatEquation(nx)


def _digits_smoothing(rng: np.random.Generator) -> Sequence:
    return DigitsSmoothing(rng=rng)


@problem("shifted-laplacians", family="linear-systems")
def shifted_laplacians(variance: str = "high", side: int = 10) -> SequenceProblem:
    """SOR on the five-point Laplacian plus random shifts, the learners seeing the shift."""
    check_choice("variance", variance, VARIANCES)
    check_int("side", side, low=2)
    return SequenceProblem(
        name=f"shifted-laplacians:variance={variance},side={side}",
        sequence=functools.partial(_shifted_laplacians, variance, side),
        solver="sor",
        budget=5000,
        summary=f"SOR on {side}x{side} Laplacians with shifts of {variance} variance; context: the shift",
    )


@problem("heat-equation", family="linear-systems")
def heat_equation(nx: int = 50) -> SequenceProblem:
    """SSOR-preconditioned CG on the time steps of a heat equation whose diffusion varies by four decades."""
    check_int("nx", nx, low=3)
    return SequenceProblem(
        name=f"heat-equation:nx={nx}",
        sequence=functools.partial(_heat_equation, nx),
        solver="ssor-cg",
        budget=HeatEquation.STEPS,
        summary=f"SSOR-CG in Crank-Nicolson steps with {(nx - 1) ** 2} unknowns; context: the diffusion coefficient",
    )


@problem("digits-smoothing", family="linear-systems")
def digits_smoothing() -> SequenceProblem:
    """SSOR-preconditioned CG for edge-preserving smoothing of noisy images of handwritten digits."""
    return SequenceProblem(
        name="digits-smoothing",
        sequence=_digits_smoothing,
        solver="ssor-cg",
        budget=2000,
        summary="SSOR-CG on a weighted grid of 2304 pixels plus shifts from 1e-3 to 10; context: log10 of the shift",
    )
