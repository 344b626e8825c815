"""Sequences of linear systems and the omegas of an oracle: shifted Laplacians, a heat equation, smoothing of images."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_choice, check_int, check_number

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Array = NDArray[np.float64]

VARIANCES = {"high": (0.5, 1.5), "low": (2.0, 6.0)}  # of the beta distribution of the shifts
LOWEST_SHIFT, SHIFT_RANGE = -0.15, 0.6
SHIFT_BOUNDS = (-0.15, 0.65)  # the learners' interval is wider than the shifts, which end at 0.45


@dataclass(frozen=True)
class System:
    """One system of a sequence: matrix, right-hand side, start, and what is known before solving."""

    matrix: Any
    b: Array
    x0: Array
    context: float


class Sequence(Protocol):
    """A sequence of systems, of which each may depend on the solution of the one before."""

    context_bounds: tuple[float, float]

    def next(self) -> System:
        """The next system."""

    def solved(self, x: Array) -> None:
        """Take in the solution of the system that :meth:`next` gave; nothing where the systems are independent."""
        return

    def best_omega(self, system: System, count: Callable[[float], int]) -> float:
        """The omega of an oracle; ``count(omega)`` solves the system and says how many iterations that took.

        By default the omega with the fewest iterations in 12 tries.
        """
        return fewest(count)


def laplacian(side: int) -> csr_array:
    """The five-point Laplacian on ``side x side`` interior points: 4 on the diagonal, -1 for neighbors, no 1/h².

    Args:
        side: points along a side, at least 1.

    Example:
        >>> laplacian(2).toarray().astype(int).tolist()
        [[4, -1, -1, 0], [-1, 4, 0, -1], [-1, 0, 4, -1], [0, -1, -1, 4]]
    """
    from scipy import sparse

    n = check_int("side", side, low=1)
    beside: Any = np.full(n - 1, -1.0)
    line = sparse.diags_array([beside, np.full(n, 2.0), beside], offsets=[-1, 0, 1], shape=(n, n))
    eye = sparse.eye_array(n)
    matrix = sparse.csr_array(sparse.kron(line, eye) + sparse.kron(eye, line))
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


class ShiftedLaplacians(Sequence):
    """A + c_t I with the five-point Laplacian A and random shifts c_t, which are the context.

    The shifts are -0.15 + 0.6 Beta(a, b): (a, b) = (0.5, 1.5) for the high, (2, 6) for the low variance. The
    right-hand sides are standard normal, drawn again until their norm is at most sqrt(n); the start is 0.

    Args:
        variance: ``high`` or ``low``.
        side: points along a side of the grid; n = side².
        rng: a NumPy generator or an integer seed.

    Reference:
        The experiment of Khodak et al. (arXiv 2310.02246) has side 10. There the smallest shift leaves the matrix
        just positive definite; on grids finer than that it would not, so shifts are scaled by the smallest
        eigenvalue relative to the one at side 10.

    Example:
        >>> system = ShiftedLaplacians("high", rng=0).next()
        >>> system.b.shape, -0.15 <= system.context <= 0.45
        ((100,), True)
    """

    def __init__(self, variance: str = "high", *, side: int = 10, rng: np.random.Generator | int | None = None) -> None:
        from .matrices import prepare

        self.shape = VARIANCES[check_choice("variance", variance, VARIANCES)]
        self.side = check_int("side", side, low=2)
        self.rng = np.random.default_rng(rng)
        self.scale = (1 - math.cos(math.pi / (side + 1))) / (1 - math.cos(math.pi / 11))
        self.context_bounds = (SHIFT_BOUNDS[0] * self.scale, SHIFT_BOUNDS[1] * self.scale)
        self._base = prepare(laplacian(side))
        self._zero = np.zeros(side * side)

    def next(self) -> System:
        """The next system; its context is the shift."""
        shift = self.scale * (LOWEST_SHIFT + SHIFT_RANGE * float(self.rng.beta(*self.shape)))
        n = self._zero.size
        while True:
            b = self.rng.standard_normal(n)
            if b @ b <= n:
                break
        return System(self._base.shifted(shift), b, self._zero, shift)

    def best_omega(self, system: System, count: Callable[[float], int]) -> float:
        """The omega with the least spectral radius of SOR's iteration matrix."""
        from .theory import laplacian_jacobi_radius, optimal_omega

        return optimal_omega(laplacian_jacobi_radius(self.side, system.context))


def bump(x: Array, y: Array, center: tuple[float, float], radius: float) -> Array:
    """The smooth bump exp(1 - 1/(1 - r²)) with r the distance to ``center`` over ``radius``; 0 from r = 1 on.

    Example:
        >>> bump(np.array([0.5, 0.9]), np.array([0.5, 0.5]), (0.5, 0.5), 0.25).tolist()
        [1.0, 0.0]
    """
    squared = ((x - center[0]) ** 2 + (y - center[1]) ** 2) / radius**2
    inside = squared < 1
    return np.where(inside, np.exp(1 - 1 / np.where(inside, 1 - squared, 1.0)), 0.0)


def diffusion(t: Any) -> Any:
    """The diffusion coefficient max(0.1 sin 2πt, -10 sin 2πt): weak for half a period, strong for the other half.

    Args:
        t: time, a number or an array.

    Example:
        >>> [round(float(diffusion(t)), 6) for t in (0.25, 0.75)]
        [0.1, 10.0]
    """
    wave = np.sin(2 * np.pi * np.asarray(t))
    return np.maximum(0.1 * wave, -10 * wave)


class HeatEquation(Sequence):
    """Implicit time steps of the heat equation on the unit square, with a diffusion that changes in time.

    Crank-Nicolson at half steps: (I - ½κ dt Δ) u⁺ = (I + ½κ dt Δ) u + dt f with κ and f at the half step, zero on
    the boundary, a source that circles around the center. Both sides are divided by ½κ dt/h², so that all
    matrices are the five-point Laplacian plus a multiple of I. The start of a solve is the last step's solution,
    the context is κ.

    Args:
        nx: cells along a side, n = (nx - 1)².
        dt: time step.

    Reference:
        The experiment of Khodak et al. (arXiv 2310.02246): nx = 25 to 400, 5000 steps of 1e-3.

    Example:
        >>> heat = HeatEquation(25)
        >>> heat.next().b.shape, [round(bound, 6) for bound in heat.context_bounds]
        ((576,), [0.000314, 9.999951])
    """

    STEPS = 5000  # whose diffusion coefficients span the context's bounds

    def __init__(self, nx: int = 50, *, dt: float = 1e-3) -> None:
        from .matrices import prepare

        self.nx = check_int("nx", nx, low=3)
        self.dt = check_number("dt", dt, low=0, low_open=True, high=1)
        points = np.arange(1, nx) / nx
        x, y = np.meshgrid(points, points, indexing="ij")
        self._x, self._y = x.ravel(), y.ravel()
        self._sparse = laplacian(nx - 1)
        self._base = prepare(self._sparse)
        coefficients = diffusion((np.arange(self.STEPS) + 0.5) * self.dt)
        self.context_bounds = (float(coefficients.min()), float(coefficients.max()))
        self.u = bump(self._x, self._y, (0.5, 0.5), 0.25)
        self.step = 0

    def next(self) -> System:
        """The system of the next time step."""
        t = (self.step + 0.5) * self.dt
        coefficient = float(diffusion(t))
        angle = 16 * math.pi * t
        center = (0.5 + math.cos(angle) / 4, 0.5 + math.sin(angle) / 4)
        source = 32 * bump(self._x, self._y, center, 1 / 8)
        shift = 2 / (coefficient * self.dt * self.nx**2)
        b = shift * (self.u + self.dt * source) - self._sparse @ self.u
        return System(self._base.shifted(shift), b, self.u, coefficient)

    def solved(self, x: Array) -> None:
        """Take the time step."""
        self.u = np.array(x)
        self.step += 1


class DigitsSmoothing(Sequence):
    """Edge-preserving smoothing of noisy images of handwritten digits: (L + c_t I) x = c_t y_t.

    L is the Laplacian of the pixels' grid, whose edges weigh exp(-10 d²) with d the difference of two pixels in the
    clean picture, a mosaic of 36 scans; y_t is that picture with noise. A small c_t, log-uniform in [1e-3, 10],
    smooths strongly. The context is log10 c_t.

    Args:
        rng: a NumPy generator or an integer seed.

    Example:
        >>> DigitsSmoothing(rng=0).next().b.shape
        (2304,)
    """

    SIDE, NOISE = 6, 0.5  # digits along a side of the mosaic, standard deviation where pixels are in [0, 1]

    def __init__(self, *, rng: np.random.Generator | int | None = None) -> None:
        from .matrices import prepare

        self.rng = np.random.default_rng(rng)
        self.context_bounds = (-3.0, 1.0)
        images = _digit_images()
        chosen = images[self.rng.choice(len(images), self.SIDE**2, replace=False)]
        picture = chosen.reshape(self.SIDE, self.SIDE, 8, 8).swapaxes(1, 2).reshape(8 * self.SIDE, 8 * self.SIDE)
        self._picture = picture.ravel()
        self._base = prepare(_pixel_graph(picture))

    def next(self) -> System:
        """The next system."""
        exponent = float(self.rng.uniform(*self.context_bounds))
        shift = 10.0**exponent
        noisy = self._picture + self.NOISE * self.rng.standard_normal(self._picture.size)
        return System(self._base.shifted(shift), shift * noisy, np.zeros(noisy.size), exponent)


@functools.cache
def _digit_images() -> Array:
    from sklearn.datasets import load_digits

    return load_digits().images / 16.0


def _pixel_graph(picture: Array) -> Any:
    from scipy import sparse
    from scipy.sparse.csgraph import laplacian as graph_laplacian

    index = np.arange(picture.size).reshape(picture.shape)
    pairs = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:])]
    left, right = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in (0, 1))
    weights = np.exp(-10.0 * (picture.ravel()[left] - picture.ravel()[right]) ** 2)
    graph = sparse.coo_array((weights, (left, right)), shape=(picture.size, picture.size))
    return graph_laplacian(sparse.csr_array(graph + graph.T))


COARSE = (1.0, 1.3, 1.5, 1.75, 1.95)


def fewest(count: Callable[[float], int], tries: int = 12) -> float:
    """The omega with the fewest iterations: a coarse grid, then golden sections around its best point.

    Args:
        count: ``count(omega)`` solves and returns the number of iterations.
        tries: solves in all, at least 5.

    Example:
        >>> 1.55 < fewest(lambda omega: round(1e4 * (omega - 1.6) ** 2)) < 1.65
        True
    """
    counts = {omega: count(omega) for omega in COARSE}
    best = COARSE.index(min(COARSE, key=counts.__getitem__))
    low, high = COARSE[max(best - 1, 0)], COARSE[min(best + 1, len(COARSE) - 1)]
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    while len(counts) < tries:
        for omega in (left, right):
            if omega not in counts and len(counts) < tries:
                counts[omega] = count(omega)
        if right not in counts:
            break
        if counts[left] <= counts[right]:
            high, right = right, left
            left = high - ratio * (high - low)
        else:
            low, left = left, right
            right = low + ratio * (high - low)
    return min(counts, key=counts.__getitem__)
