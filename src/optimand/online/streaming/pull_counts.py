"""How often to pull: the exact integer counts of every learner for K arms and T trials.

From the paper (arXiv 2306.02208) and its published code: everything is a multiple of ``(T/K)^(2/3) = 1/eps^2`` with
``eps = (K/T)^(1/3)``. A number that is within 1e-9 (relative) of an integer counts as that integer before it is rounded
up, so that ``1000^(2/3)`` is 100 however floating point takes it; counts are at least 1 and at most ``2^60``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from optimand.core.validation import check_choice, check_int, check_number

LARGEST = 2**60
SCHEDULES = ("log", "loglog", "logstar", "theory")
# r_l = 2^r_(l-1) is not followed beyond this: 2^65536 is no count.
_TALLEST = 64


@dataclass(frozen=True)
class Tower:
    """Counts of a tower of levels, each with one champion.

    Attributes:
        pulls: of an arm that enters a level, by level.
        arms: after how many arms a level hands its champion up, by level; the last never does.
        final: pulls of each champion in the play-off at the end.
    """

    pulls: tuple[int, ...]
    arms: tuple[int, ...]
    final: int

    @property
    def levels(self) -> int:
        """Number of levels: with the arriving arm, one less than the arms that may be alive at once."""
        return len(self.pulls)


@dataclass(frozen=True)
class King:
    """Counts of the game of a king and challengers.

    Attributes:
        first: pulls that a king's estimate rests on; his budget when he is crowned.
        income: what each challenger adds to the budget.
        pulls: of a challenger, by round; one who survives all rounds is king.
        margin: by how much a challenger may fall short of the king's estimate.
        chance: of an arm to enter the fractional stream.
        fraction: pulls of an arm there.
        most: pulls of the main part beyond which the fractional stream decides.
    """

    first: int
    income: int
    pulls: tuple[int, ...]
    margin: float
    chance: float
    fraction: int
    most: int


def whole(x: float) -> int:
    """The least count that is at least ``x``, by the rule above.

    Example:
        >>> 1000 ** (2 / 3), whole(1000 ** (2 / 3)), whole(100.0 + 1e-12), whole(100.1), whole(0.0)
        (99.99999999999997, 100, 100, 101, 1)
    """
    if x >= LARGEST:
        return LARGEST
    near = round(x)
    return max(1, near if abs(x - near) <= 1e-9 * max(1.0, abs(x)) else math.ceil(x))


def check_sizes(K: int, T: int) -> tuple[int, int]:
    """``(K, T)`` if both are integers of at least 1; ``T`` below ``2^62``."""
    return check_int("K", K, low=1), check_int("T", T, low=1, high=2**62)


def _unit(K: int, T: int, explore: float) -> float:
    return check_number("explore", explore, low=0, low_open=True) * (T / K) ** (2 / 3)


def uniform_pulls(K: int, T: int, explore: float = 1.0) -> Tower:
    """Uniform exploration: one level, ``(T/K)^(2/3) (ln T)^(1/3)`` pulls of each arm."""
    K, T = check_sizes(K, T)
    return Tower((whole(_unit(K, T, explore) * math.log(T) ** (1 / 3)),), (LARGEST,), 1)


def naive_pulls(K: int, T: int, explore: float = 1.0) -> Tower:
    """The naive search of an eps-best arm: one level, ``ln K / eps^2`` pulls of each arm."""
    K, T = check_sizes(K, T)
    return Tower((whole(math.log(max(K, 2)) * _unit(K, T, explore)),), (LARGEST,), 1)


def tower_pulls(schedule: str, K: int, T: int, explore: float = 1.0, delta: float = 0.1) -> Tower:
    """The counts of a tower.

    Args:
        schedule: ``log``, ``loglog`` and ``logstar`` are named after their number of levels; ``theory`` has the
            constants of Assadi and Wang (2020), for which the bounds are proven.
        K, T: arms and trials, at least 1.
        explore: factor of all counts, > 0.
        delta: of ``theory`` alone: probability of failure, in (0, 1).

    Example:
        >>> tower_pulls("loglog", 200, 8_000_000)
        Tower(pulls=(1170, 6197), arms=(11, 1152921504606846976), final=4679)
    """
    K, T = check_sizes(K, T)
    check_choice("schedule", schedule, SCHEDULES)
    check_number("delta", delta, low=0, high=1, low_open=True, high_open=True)
    unit = _unit(K, T, explore)
    if schedule == "theory":
        return _theory(K, unit, delta)
    log = math.log(K)
    if schedule == "log":
        levels = max(1, math.floor(log))
        pulls, arms = [1.2**level * unit for level in range(levels)], [7] * levels
    elif schedule == "loglog":
        levels = max(1, math.floor(math.log(log)) + 1) if K > 1 else 1
        pulls = [1.2**level * unit for level in range(levels - 1)] + [max(log, math.log(2)) * unit]
        arms = [11] * levels
    else:
        pulls, arms = _log_star(K, unit)
    return Tower(tuple(map(whole, pulls)), (*arms[:-1], LARGEST), whole(4 * unit))


def _power_of_two(exponent: float) -> int:
    return LARGEST if exponent >= 60 else math.ceil(2.0**exponent)


def _log_star(K: int, unit: float) -> tuple[list[float], list[int]]:
    levels, x = 1, float(K)
    while x >= 1:
        levels, x = levels + 1, math.log(x)
    pulls, arms, r, before = [unit], [5], 2, 0
    for _ in range(1, levels):
        before, r = r, 2**r if r <= _TALLEST else r
        pulls.append(r * unit)
        arms.append(_power_of_two(r - before) if r != before else LARGEST)
    return pulls, arms


def _theory(K: int, unit: float, delta: float) -> Tower:
    # Levels until they can take all K arms; the last count of arms is then never reached.
    pulls: list[float] = []
    arms: list[int] = []
    r = 4
    while not arms or math.prod(arms) < K:
        level = len(pulls)
        accuracy = unit * 100.0 * 4.0**level  # 1/eps_l^2 with eps_l = eps/(10 2^l), l from 0
        pulls.append(4 * accuracy * (math.log(1 / delta) + 3 * r))
        arms.append(_power_of_two(r - level))
        r = 2**r if r <= _TALLEST else r
    return Tower(tuple(map(whole, pulls)), (*arms[:-1], LARGEST), whole(pulls[0]))


def king_pulls(K: int, T: int, explore: float = 1.0) -> King:
    """The counts of the king with a budget.

    Args:
        K, T: arms and trials, at least 1.
        explore: factor of all counts, > 0.
    """
    K, T = check_sizes(K, T)
    unit, log = _unit(K, T, explore), math.log(max(K, 2))
    rounds = max(1, math.floor(10 * math.log(log))) if K > 2 else 1
    return King(
        first=whole(1.2 * unit),
        income=whole(unit),
        pulls=tuple(whole(unit * 2.0**i) for i in range(rounds)),
        margin=(K / T) ** (1 / 3) / 5,
        chance=min(1.0, 1.5 / log),
        fraction=whole(log * unit),
        most=whole(10 * K * unit),
    )


def schedules(K: int, T: int) -> dict[str, Tower | King]:
    """The counts of all learners, by name.

    Args:
        K: arms, at least 1.
        T: trials, at least 1.

    Example:
        >>> counts = schedules(27, 27_000)
        >>> counts["uniform"].pulls, counts["log"].pulls, counts["logstar"].pulls[:3], counts["king"].first
        ((217,), (100, 120, 144), (100, 400, 1600), 120)
    """
    return {
        "uniform": uniform_pulls(K, T),
        "naive": naive_pulls(K, T),
        **{name: tower_pulls(name, K, T) for name in SCHEDULES},
        "king": king_pulls(K, T),
    }
