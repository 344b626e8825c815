"""How a search chooses edges: PUCT with its constants, or Gumbel search with the schedule of sequential halving."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from optimand.core.validation import check_choice, check_int, check_number

from .trees import RULES, Rule


def make_rule(
    root: str,
    simulations: int,
    *,
    actions: int = 2,
    c1: float = 1.25,
    c2: float = 19652.0,
    value_scale: float = 0.1,
    visit_init: float = 50.0,
) -> Rule:
    """A checked rule for ``descend`` and ``root_result``.

    Args:
        root: "puct" or "gumbel".
        simulations: per search, at least 1.
        actions: of the game.
        c1: PUCT's first constant.
        c2: PUCT's second constant.
        value_scale: of Gumbel's sigma.
        visit_init: of Gumbel's sigma, added to the most visits.

    Raises:
        ValueError: a choice that there is not, or a number outside its range.
    """
    kind = RULES[check_choice("root", root, RULES)]
    check_int("simulations", simulations, low=1)
    check_int("actions", actions, low=1)
    c1 = check_number("c1", c1, low=0.0)
    c2 = check_number("c2", c2, low=0.0, low_open=True)
    value_scale = check_number("value_scale", value_scale, low=0.0)
    visit_init = check_number("visit_init", visit_init, low=0.0)
    return Rule(kind, c1, c2, value_scale, visit_init, considered_visits(actions, simulations))


def considered_visits(considered: int, simulations: int) -> NDArray[np.int64]:
    """Sequential halving: at each simulation, how many visits the actions have that may be taken.

    Each of the ceil(log2(considered)) rounds shares its part of the simulations evenly among the actions left; after
    a round the better half stays, at least two.

    Reference:
        Karnin et al., Almost optimal exploration in multi-armed bandits (ICML 2013); Danihelka et al., figure 1.

    Example:
        >>> considered_visits(4, 8).tolist()
        [0, 0, 0, 0, 1, 1, 2, 2]
        >>> considered_visits(2, 6).tolist()
        [0, 0, 1, 1, 2, 2]
    """
    if considered <= 1:
        return np.arange(simulations, dtype=np.int64)
    rounds = math.ceil(math.log2(considered))
    given: list[int] = []
    left, visits = considered, 0
    while len(given) < simulations:
        for _ in range(max(1, int(simulations / (rounds * left)))):
            given.extend([visits] * left)
            visits += 1
        left = max(2, left // 2)
    return np.array(given[:simulations], np.int64)
