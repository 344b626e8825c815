"""Search for a good action when rewards are linear in few of the features, up to a uniform error (arXiv 2303.16998).

Dong and Yang show that with an ``s``-sparse parameter ``O(eps^-s d^s)`` queries find an ``O(eps)``-optimal action,
where without sparsity ``Omega(exp(d))`` are needed. The constructions here are reconstructions that reach this rate:
the constants and the elimination are ours, with proofs of a few lines in the documentation.

Three ways, each for every support of ``s`` features: ``net`` queries the greedy actions of a net of parameters,
``cover`` the centres of a cover of the actions, and ``eliminate`` asks adaptively.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from optimand.core.validation import check_choice, check_int, check_number

from . import sweeps
from .nets import HYPOTHESES, ball_net, count_net, sphere_net
from .queries import Array, Query, ask_means, check_features, check_levels, repeats_needed

METHODS = ("eliminate", "net", "cover")
# Pairs of an action and a support that a cover looks at, by default.
PAIRS = 5 * 10**8


class UnsuitedError(ValueError):
    """Features that a search over all supports cannot take: ``what`` is wrong, and advice for who calls the search."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}; {advice}")
        self.what = what


class SparseSearch:
    """A search prepared for features: what depends on them alone is computed once, then many rewards are searched.

    Args:
        Phi, s, eps and all others: of :func:`sparse_net_search`.

    Attributes:
        bound: suboptimality of what is returned, in units of ``eps``.
        n_hypotheses: supports times points of the net; for a cover its cells over all supports.

    Example:
        >>> search = SparseSearch(np.vstack([np.eye(3), -np.eye(3)]), 1, 0.1, method="net")
        >>> search.n_hypotheses, search.actions.tolist()
        (6, [0, 1, 2, 3, 4, 5])
        >>> int(search(lambda indices: np.array([0.0, 0.1, 0.0, 0.9, 0.0, 0.0])[indices]).x)
        3
    """

    def __init__(
        self, Phi: Any, s: int, eps: float, *, radius: float = 1.0, norm: str = "bounded", noise: float = 0.0,
        delta: float = 0.05, method: str = "eliminate", tolerance: float = 0.0, on_norm: str = "raise",
        allow_large: bool = False,
    ) -> None:  # fmt: skip
        Phi = check_features(Phi)
        self.s = check_int("s", s, low=1, high=Phi.shape[1])
        self.eps, self.noise, self.delta = check_levels(eps, noise, delta)
        self.radius = check_number("radius", radius, low=0, low_open=True, high=math.inf, high_open=True)
        self.norm = check_choice("norm", norm, ("bounded", "equal"))
        self.method = check_choice("method", method, METHODS)
        self.tolerance = check_number("tolerance", tolerance, low=0)
        check_choice("on_norm", on_norm, ("raise", "rescale"))
        if method != "cover":  # a cover measures the actions as they are
            Phi = self._in_unit_ball(Phi, on_norm)
        self.Phi = Phi
        self._check_cost(allow_large)
        noisy = noise > 0
        self.bound = {
            "net": 6.0 if noisy else 4.0,
            "cover": 5.0 if noisy else 3.0,
            "eliminate": max(6.0, 3 + self.tolerance) if noisy else max(4.0, 2 + self.tolerance),
        }[method]
        getattr(self, f"_prepare_{method}")()
        # Elimination may come to ask any of its greedy actions.
        queries = min(len(Phi), self.n_hypotheses) if method == "eliminate" else len(self.actions)
        self.repeats = repeats_needed(self.noise, self.eps, self.delta, queries)

    def __call__(self, query: Query) -> Any:
        """Search the rewards that ``query`` gives; an OptimizeResult as of :func:`sparse_net_search`."""
        if self.method == "eliminate":
            return self._eliminate(query)
        means = ask_means(query, self.actions, self.repeats)
        return self._result(self.actions, means, True, f"best of {len(self.actions)} actions that were queried")

    def _in_unit_ball(self, Phi: Array, on_norm: str) -> Array:
        longest = float(np.linalg.norm(Phi, axis=1).max())
        if longest <= 1 + 1e-9:
            return Phi
        if on_norm == "raise":
            raise UnsuitedError(
                f"Phi must have rows of length at most 1, got one of length {longest:.6g}",
                "on_norm='rescale' divides by that and multiplies radius instead",
            )
        self.radius *= longest
        warnings.warn(
            f"rows of Phi were divided by {longest:.6g}, the largest length; radius is {self.radius:.6g} now",
            stacklevel=5,
        )
        return Phi / longest

    def _check_cost(self, allow_large: bool) -> None:
        if allow_large:
            return
        N, d = self.Phi.shape
        supports, fine = math.comb(d, self.s), self.eps / self.radius
        if self.method == "cover":
            log, most, what = math.log(supports) + math.log(N), PAIRS, "pairs of an action and a support"
        else:
            # No net has fewer points than this; counting those of one that is far too large would take too long.
            exponent = self.s if self._ball() else self.s - 1
            log = math.log(supports) - exponent * math.log(min(fine, 1.0))
            most, what = HYPOTHESES, "hypotheses or more"
        count = math.exp(min(log, 700.0))
        if self.method != "cover" and self.s <= 3 and count <= most:
            count, what = float(supports * count_net(self.s, fine, self._ball())), "hypotheses"
        advice = "use sparse_regression_search, or allow_large=True"
        if self.s >= 4:
            raise UnsuitedError(f"s must be at most 3, got {self.s} ({count:.3g} {what})", advice)
        if count > most:
            made = f"s = {self.s}, eps/radius = {fine:.3g} and d = {d} make {count:.3g} {what}"
            raise UnsuitedError(f"{made}, while at most {most:.0e} are allowed", advice)

    def _ball(self) -> bool:
        # The greedy action depends on the direction alone, the value that elimination compares does not.
        return self.method == "eliminate" and self.norm == "bounded"

    def _greedy_of_net(self, rows: int) -> tuple[Array, Array, Array]:
        """Which actions are greedy for some hypothesis; for ``rows`` supports also which ones, and their values."""
        make = ball_net if self._ball() else sphere_net
        self.net = np.ascontiguousarray(self.radius * make(self.s, self.eps / self.radius))
        self._columns = np.ascontiguousarray(self.Phi.T)
        self.n_hypotheses = math.comb(self.Phi.shape[1], self.s) * len(self.net)
        chosen, shape = np.zeros(len(self.Phi), dtype=np.bool_), (rows, len(self.net))
        actions, predicted = np.empty(shape, dtype=np.int32), np.empty(shape)
        lengths = np.linalg.norm(self.net, axis=1)
        sweeps.greedy(self._columns, self.net, lengths, self.s, chosen, actions, predicted)
        return np.flatnonzero(chosen), actions.ravel(), predicted.ravel()

    def _prepare_net(self) -> None:
        self.actions = self._greedy_of_net(0)[0]

    def _prepare_cover(self) -> None:
        chosen, centres = np.zeros(len(self.Phi), dtype=np.bool_), np.empty(len(self.Phi), dtype=np.int64)
        count, cells = sweeps.cover(np.ascontiguousarray(self.Phi.T), self.eps / self.radius, self.s, chosen, centres)
        self.actions, self.n_hypotheses = centres[:count].copy(), int(cells)

    def _prepare_eliminate(self) -> None:
        _, self._greedy, self._predicted = self._greedy_of_net(math.comb(self.Phi.shape[1], self.s))

    def _eliminate(self, query: Query) -> Any:
        live = np.arange(self.n_hypotheses, dtype=np.int32 if self.n_hypotheses < 2**31 else np.int64)
        asked = np.zeros(len(self.Phi), dtype=np.bool_)
        # The parameter is within eps of a hypothesis, the reward within eps of the model, the mean within eps of it.
        width = (3 if self.noise else 2) * self.eps * (1 + 1e-9)
        actions: list[int] = []
        means: list[float] = []
        while True:
            h = int(sweeps.best_open(live, self._greedy, self._predicted, asked))
            if h < 0:
                message = "all hypotheses that are left had their greedy actions queried"
                break
            if means and max(means) >= self._predicted[h] - self.tolerance * self.eps:
                slack = f"{self.tolerance:g} eps " if self.tolerance else ""
                message = f"no hypothesis that is left promises {slack}more than the best answer"
                break
            a = int(self._greedy[h])
            mean = float(ask_means(query, np.array([a]), self.repeats)[0])
            actions.append(a)
            means.append(mean)
            asked[a] = True
            kept = np.empty(len(live), dtype=np.bool_)
            sweeps.eliminate(self._columns[:, a].copy(), self.net, self.s, live, mean, width, kept)
            live = live[kept]
        success = len(live) > 0
        if not success:
            message = (
                f"no parameter with {self.s} nonzero entries and norm {'of' if self.norm == 'equal' else 'up to'} "
                f"{self.radius:g} explains the rewards up to eps = {self.eps:g}: one of the three is too small"
            )
        return self._result(np.array(actions), np.array(means), success, message, len(live))

    def _result(self, actions: Array, means: Array, success: bool, message: str, left: int | None = None) -> Any:
        from scipy.optimize import OptimizeResult

        best = int(np.argmax(means))
        found = OptimizeResult(  # type: ignore[call-arg]
            x=int(actions[best]), fun=float(means[best]), nfev=len(actions) * self.repeats,
            n_hypotheses=self.n_hypotheses, bound=self.bound if success else math.inf, success=success,
            message=message, actions=actions, means=means,
        )  # fmt: skip
        if left is not None:
            found["n_left"] = left
        return found


def sparse_net_search(
    query: Query, Phi: Any, s: int, eps: float, *, radius: float = 1.0, norm: str = "bounded", noise: float = 0.0,
    delta: float = 0.05, method: str = "eliminate", tolerance: float = 0.0, on_norm: str = "raise",
    allow_large: bool = False,
) -> Any:  # fmt: skip
    """Find an action whose reward is within a few ``eps`` of the best one, for a parameter with few nonzero entries.

    Rewards are ``<phi(a), theta>`` up to ``eps``, with ``theta`` of norm at most ``radius`` and at most ``s`` nonzero
    entries, and ``phi(a)`` of length at most 1.

    Args:
        query: takes an array of action indices (repeats allowed with noise) and returns their rewards.
        Phi: features, shape ``(N, d)``.
        s: nonzero entries at most; 4 and more only with ``allow_large``.
        eps: bound of the error, > 0.
        radius: bound of the norm of ``theta``, > 0.
        norm: whether the norm is ``bounded`` by ``radius`` or ``equal`` to it; matters to ``eliminate`` only, which
            then has fewer hypotheses.
        noise: sub-Gaussian level of the answers' noise; every action is repeated until its mean is within ``eps``.
        delta: probability with which the noise may break the guarantee.
        method: ``eliminate`` asks one action after another, mostly few: the greedy action of the hypothesis that
            promises most, then drops what the answer contradicts. ``net`` and ``cover`` ask all their actions at once:
            the greedy actions of a net of parameters, or centres of a cover of the actions (any length of rows).
        tolerance: ``eliminate`` ends when no hypothesis promises more than the best answer and ``tolerance eps``; up
            to 2 the guarantee is the same, and fewer queries are made.
        on_norm: whether rows longer than 1 ``raise`` or ``rescale`` features and radius, with a warning.
        allow_large: lifts the limits on ``s`` and on hypotheses (5e7) or, of a cover, on pairs of an action and a
            support (5e8). Time grows with the hypotheses, and ``eliminate`` keeps 16 bytes of each.

    Returns:
        OptimizeResult with ``x`` (action), ``fun`` (its mean reward), ``nfev`` (queries), ``n_hypotheses``, ``bound``
        (guaranteed suboptimality in units of eps: 4, 3 and ``max(4, 2 + tolerance)`` for net, cover and eliminate,
        with noise 6, 5 and ``max(6, 3 + tolerance)``), ``success``, ``message``, ``actions`` and ``means`` of what was
        queried. ``success=False`` where the answers contradict all hypotheses.

    Raises:
        ValueError: an argument is out of its range, or the search would be too large.
        OptimandError: ``query`` returns something else than one finite number for each index.

    Reference: arXiv 2303.16998 for the rate of queries; B1 to B3 are reconstructions.

    Example:
        >>> Phi = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0], [0, 0, -1]])
        >>> found = sparse_net_search(lambda a: (Phi @ [0.6, 0.8, 0])[a], Phi, s=2, eps=0.1)
        >>> found.x, found.bound, found.nfev
        (2, 4.0, 2)
    """
    return SparseSearch(
        Phi, s, eps, radius=radius, norm=norm, noise=noise, delta=delta, method=method, tolerance=tolerance,
        on_norm=on_norm, allow_large=allow_large,
    )(query)  # fmt: skip
