"""The family's methods in the catalog: learners of omega, fixed omegas, an oracle, and plain CG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimand.core.catalog import method
from optimand.core.space import Float, Int
from optimand.core.validation import check_number

if TYPE_CHECKING:
    from .loop import Setting
    from .tuners import BinnedBandit, ChebCB, FixedOmega, TsallisINF

PAPER = "learning-to-relax"


@method("omega-tsallis-inf", family="linear-systems", paper=PAPER)
def tsallis_inf(setting: Setting) -> TsallisINF:
    """Tsallis-INF: a bandit over a grid of omegas, towards the best fixed omega."""
    from .tuners import TsallisINF

    return TsallisINF(setting.arms, rng=setting.rng)


@method("omega-tsallis-inf-cb", family="linear-systems", paper=PAPER, space={"bins": Int(2, 20, log=True)})
def tsallis_inf_cb(setting: Setting, bins: int = 5) -> BinnedBandit:
    """Tsallis-INF-CB: contexts in equal bins, a bandit for each."""
    from .tuners import BinnedBandit

    return BinnedBandit(setting.arms, context_bounds=setting.context_bounds, bins=bins, rng=setting.rng)


@method("omega-cheb-cb", family="linear-systems", paper=PAPER, space={"coefficients": Int(3, 10)})
def cheb_cb(setting: Setting, coefficients: int = 6) -> ChebCB:
    """ChebCB: cost as a Chebyshev series of the context for each omega, towards the best omega for each system."""
    from .tuners import ChebCB

    return ChebCB(setting.arms, context_bounds=setting.context_bounds, coefficients=coefficients, rng=setting.rng)


@method("omega-fixed", family="linear-systems", space={"omega": Float(1.0, 1.95)})
def fixed_omega(setting: Setting, omega: float = 1.5) -> FixedOmega:
    """The same omega for all systems."""
    from .tuners import FixedOmega

    return FixedOmega(check_number("omega", omega, low=0, high=2, low_open=True, high_open=True))


class Oracle:
    """A tuner that looks at the system first.

    Args:
        setting: its ``oracle`` gives the omega.
    """

    def __init__(self, setting: Setting) -> None:
        self.oracle = setting.oracle

    def ask(self, context: float | None = None) -> float:
        """The best omega for the current system."""
        return self.oracle()

    def tell(self, cost: float) -> None:
        """Nothing to learn."""


@method("omega-optimal", family="linear-systems", options={"oracle": True})
def optimal_omega(setting: Setting) -> Oracle:
    """An oracle, no method: the asymptotically best omega of each system, or its best of 12 tries."""
    return Oracle(setting)


@method("plain-cg", family="linear-systems")
def plain_cg(setting: Setting) -> None:
    """Conjugate gradients without a preconditioner, in place of the problem's own solver."""
    return
