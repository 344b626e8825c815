"""Instances of monotone inclusions: payoff matrices of games, and data of finite sums.

Everything is drawn from the generator that is handed in. A game is ``min_x max_y yᵀ A x`` with ``x`` and ``y`` on
simplices: the rows of ``A`` belong to the player who maximizes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_choice, check_int, check_number

if TYPE_CHECKING:
    import scipy.sparse as sp

Array = NDArray[np.float64]


def uniform(size: int, rng: np.random.Generator) -> Array:
    """Entries uniform on [0, 1): one singular value carries nearly all, so the mean-square constant is near ‖A‖₂."""
    return rng.random((size, size))


def signed(size: int, rng: np.random.Generator) -> Array:
    """Entries uniform on [-1, 1): all singular values alike, the worst case for sampling rows and columns."""
    return rng.uniform(-1.0, 1.0, (size, size))


def burglar(size: int, rng: np.random.Generator) -> Array:
    """Policeman and burglar: ``w_i (1 - exp(-0.8 |i - j|))`` with ``w = |N(0, 1)|`` (Nemirovski 2013).

    The burglar robs house i of wealth w_i, the policeman stands at house j; the nearer he is, the likelier the arrest.
    """
    wealth = np.abs(rng.standard_normal(size))
    house = np.arange(size)
    return wealth[:, None] * (1.0 - np.exp(-0.8 * np.abs(house[:, None] - house[None, :])))


def blotto(size: int, rng: np.random.Generator | None = None) -> Array:
    """Colonel Blotto: ``size`` soldiers each on three fields, payoff the fields won less those lost; value 0.

    Example:
        >>> blotto(5).shape
        (21, 21)
    """
    plans = np.array([(a, b, size - a - b) for a in range(size + 1) for b in range(size + 1 - a)])
    return np.sign(plans[:, None, :] - plans[None, :, :]).sum(-1).astype(float)


def kuhn(size: int = 3, rng: np.random.Generator | None = None) -> Array:
    """Kuhn poker with ``size`` cards in normal form, what the first player wins on average; 3 cards: value -1/18.

    Rows: for each card bet, check and fold, or check and call. Columns: for each card what to do after a bet (fold,
    call) and after a check (check, bet).

    Example:
        >>> kuhn().shape
        (27, 64)
    """
    deals = list(itertools.permutations(range(size), 2))
    # won[a, b, s, t]: winnings of the first player with card a against b, the players following s and t on them
    won = np.zeros((size, size, 3, 4))
    for mine, theirs in deals:
        sign = 1.0 if mine > theirs else -1.0
        for first, second in itertools.product(range(3), range(4)):
            calls, bets = second % 2, second // 2
            if first == 0:
                value = 2 * sign if calls else 1.0
            elif bets:
                value = -1.0 if first == 1 else 2 * sign
            else:
                value = sign
            won[mine, theirs, first, second] = value
    rows = list(itertools.product(range(3), repeat=size))
    columns = list(itertools.product(range(4), repeat=size))
    table = np.zeros((len(rows), len(columns)))
    for mine, theirs in deals:
        table += won[mine, theirs][np.ix_([s[mine] for s in rows], [t[theirs] for t in columns])]
    return table / len(deals)


GAMES: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "uniform": uniform,
    "signed": signed,
    "burglar": burglar,
    "blotto": blotto,
    "kuhn": kuhn,
}
# Strategies grow as 12^size for the pair of players in Kuhn poker, as size^2 in Blotto.
LARGEST = {"blotto": 60, "kuhn": 5}


def payoff_matrix(
    kind: str, size: int, rng: np.random.Generator | int | None = None, *, norm: float | None = 10.0
) -> Array:
    """A payoff matrix of a named kind.

    Args:
        kind: ``uniform``, ``signed``, ``burglar``, ``blotto`` or ``kuhn``.
        size: strategies of each player; soldiers for ``blotto`` (at most 60), cards for ``kuhn`` (2 to 5).
        rng: generator or seed; ``blotto`` and ``kuhn`` draw nothing.
        norm: largest singular value to scale to, > 0; None to leave the payoffs as they are.

    Returns:
        Shape ``(m, n)``.

    Raises:
        ValueError: an unknown kind, or a number out of range.

    Example:
        >>> A = payoff_matrix("burglar", 20, 0)
        >>> A.shape, round(float(np.linalg.norm(A, 2)), 6)
        ((20, 20), 10.0)
    """
    check_choice("kind", kind, GAMES)
    check_int("size", size, low=2, high=LARGEST.get(kind))
    matrix = GAMES[kind](size, np.random.default_rng(rng))
    if norm is None:
        return matrix
    return matrix * (check_number("norm", norm, low=0, low_open=True) / float(np.linalg.norm(matrix, 2)))


def sparse_payoff(
    size: int, nonzeros: int, rng: np.random.Generator | int | None = None, *, norm: float | None = 10.0
) -> sp.csr_matrix:
    """A random sparse payoff matrix with entries uniform on [0, 1) at random places.

    Args:
        size: strategies of each player.
        nonzeros: entries drawn; places that are drawn twice are added up.
        rng: generator or seed.
        norm: estimate of the largest singular value to scale to, > 0; None to leave the entries as they are.

    Example:
        >>> sparse_payoff(50, 200, 0).shape
        (50, 50)
    """
    import scipy.sparse as sp

    check_int("size", size, low=2)
    check_int("nonzeros", nonzeros, low=1)
    rng = np.random.default_rng(rng)
    rows, columns = rng.integers(0, size, nonzeros), rng.integers(0, size, nonzeros)
    matrix = sp.csr_matrix((rng.random(nonzeros), (rows, columns)), shape=(size, size))
    if norm is None:
        return matrix
    return matrix * (check_number("norm", norm, low=0, low_open=True) / _top_singular_value(matrix))


def _top_singular_value(matrix: Any) -> float:
    """By the power method: entries are not negative, so the leading vectors are positive and the gap is wide."""
    x = np.full(matrix.shape[1], matrix.shape[1] ** -0.5)
    value = 0.0
    for _ in range(100):
        x = matrix.T @ (matrix @ x)
        new = float(np.linalg.norm(x)) ** 0.5
        x /= np.linalg.norm(x)
        if abs(new - value) <= 1e-10 * new:
            break
        value = new
    return value


def wave_sum(n: int = 64, d: int = 8) -> tuple[Array, Array]:
    """A cocoercive finite sum without random numbers: ``F_i(u) = B_i u - q_i``, made of sines and cosines.

    ``B_i = a aᵀ + c cᵀ + ½ (a cᵀ - c aᵀ)`` with ``a_ij = sin(i j)``, ``c_ij = cos(i j + 0.3)`` and
    ``q_i = cos(0.7 i) a_i + 0.2 c_i``, i and j from 1.

    Returns:
        ``B`` of shape ``(n, d, d)`` and ``q`` of shape ``(n, d)``.

    Example:
        >>> B, q = wave_sum()
        >>> round(float(np.linalg.norm(B.mean(0), 2)), 6)
        1.051658
    """
    i = np.arange(1, check_int("n", n, low=1) + 1)[:, None]
    j = np.arange(1, check_int("d", d, low=1) + 1)[None, :]
    a, c = np.sin(i * j), np.cos(i * j + 0.3)
    return _matrices(a, c), np.cos(0.7 * i) * a + 0.2 * c


def random_sum(n: int, d: int, rng: np.random.Generator | int | None = None) -> tuple[Array, Array]:
    """The form of :func:`wave_sum` with ``a`` and ``c`` drawn from N(0, 1/d), ``q_i = a_i z_i + 0.2 c_i``, z normal.

    Example:
        >>> B, q = random_sum(100, 20, 0)
        >>> B.shape, q.shape
        ((100, 20, 20), (100, 20))
    """
    rng = np.random.default_rng(rng)
    shape = (check_int("n", n, low=1), check_int("d", d, low=1))
    a, c = rng.standard_normal(shape) / d**0.5, rng.standard_normal(shape) / d**0.5
    return _matrices(a, c), rng.standard_normal((n, 1)) * a + 0.2 * c


def _matrices(a: Array, c: Array) -> Array:
    def outer(u: Array, v: Array) -> Array:
        return u[:, :, None] * v[:, None, :]

    return outer(a, a) + outer(c, c) + 0.5 * (outer(a, c) - outer(c, a))


def standardized(name: str) -> tuple[Array, Array]:
    """Measurements and target of a data set inside scikit-learn, each column with mean 0 and variance 1.

    Args:
        name: ``breast_cancer`` (569 x 30, target -1 or 1) or ``diabetes`` (442 x 10, target with mean 0, variance 1).

    Example:
        >>> x, y = standardized("diabetes")
        >>> x.shape, y.shape
        ((442, 10), (442,))
    """
    from sklearn import datasets

    check_choice("name", name, ("breast_cancer", "diabetes"))
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    return x, 2.0 * y - 1.0 if name == "breast_cancer" else (y - y.mean()) / y.std()
