"""One repetition of a stream of arms, and the handles that learners get.

A handle holds nothing but a stream's token and the arm's number. Means, counts, liveness and the budget stay with the
stream, so a learner can neither read them nor pull an arm that it has let go.
"""

from __future__ import annotations

import copy
import secrets
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

from optimand.core.validation import OptimandError, check_int

from .accounts import Accounts, copy_rows, restore_rows
from .errors import ArmDiscardedError, BudgetExceededError, MemoryExceededError

_STREAMS: weakref.WeakValueDictionary[str, ArmStream] = weakref.WeakValueDictionary()
_REBIND = "optimand.online.streaming"


class ArmHandle:
    """An arm that can be pulled until it is released.

    Attributes:
        number: the arm's place in the stream, from 0.

    Example:
        >>> from optimand.online.streaming import StreamingBandit
        >>> stream = StreamingBandit([1.0, 0.0]).open(horizon=10)
        >>> arm = next(stream)
        >>> arm.pull(4), arm.number
        (1.0, 0)
        >>> arm.release()
        >>> arm.pull()
        Traceback (most recent call last):
            ...
        optimand.online.streaming.errors.ArmDiscardedError: arm 0 was released and cannot come back
    """

    __slots__ = ("_token", "number")

    def __init__(self, token: str, number: int) -> None:
        self._token, self.number = token, number

    def pull(self, n: int = 1) -> float:
        """Mean reward of ``n`` fresh trials, at least 1.

        Raises:
            ArmDiscardedError: the arm was released.
            BudgetExceededError: fewer than ``n`` trials are left; none was made.
            TypeError, ValueError: ``n`` is no positive integer.
        """
        return _stream_of(self)._pull(self.number, n)

    def release(self) -> None:
        """Give the arm up for good; ArmDiscardedError if that was done before."""
        _stream_of(self)._release(self.number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArmHandle) and (self._token, self.number) == (other._token, other.number)

    def __hash__(self) -> int:
        return hash((self._token, self.number))

    def __deepcopy__(self, memo: dict[Any, Any]) -> ArmHandle:
        return ArmHandle(memo.get(_REBIND, self._token), self.number)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArmHandle, (self._token, self.number)

    def __repr__(self) -> str:
        return f"<arm {self.number}>"


def _stream_of(handle: ArmHandle) -> ArmStream:
    try:
        return _STREAMS[handle._token]
    except KeyError:
        raise OptimandError(
            f"arm {handle.number} belongs to a stream that is gone; a learner's stored state is bound to another "
            "stream with stream.rebind(state)"
        ) from None


class ArmStream:
    """The arms of one repetition in the order of arrival: an iterator of handles, once.

    Made by :meth:`StreamingBandit.open <optimand.online.streaming.environment.StreamingBandit.open>`.

    Args:
        accounts: accounts, of which the stream keeps one row.
        row: that row.
        memory: largest number of arms that may be alive at once, the arriving one included; None for any.
        keep_curve: whether to note time and regret after every batch.
    """

    def __init__(
        self, accounts: Accounts, row: int = 0, *, memory: int | None = None, keep_curve: bool = False
    ) -> None:
        from . import kernels

        self._kernels, self._accounts, self._row, self._memory = kernels, accounts, row, memory
        self._account = accounts.rows[row]
        self._used: dict[int, int] = {}
        self._curve: list[tuple[int, float]] | None = [(0, 0.0)] if keep_curve else None
        self._token = secrets.token_hex(8)
        _STREAMS[self._token] = self

    def __iter__(self) -> Iterator[ArmHandle]:
        return self

    def __next__(self) -> ArmHandle:
        """The next arm; it is alive until it is released.

        Raises:
            MemoryExceededError: as many arms are alive as may be.
        """
        if self.committed or self.arrived == self.arms:
            raise StopIteration
        if self._memory is not None and len(self._used) >= self._memory:
            kept = len(self._used)
            raise MemoryExceededError(
                f"arm {self.arrived} arrives while {kept} {'arm is' if kept == 1 else 'arms are'} alive; "
                f"memory={self._memory} is the most that may be alive at once, the arriving one included"
            )
        arm = int(self._kernels.arrive(self._accounts, self._account, self._row))
        self._used[arm] = 0
        return ArmHandle(self._token, arm)

    @property
    def arms(self) -> int:
        """Arms of the stream."""
        return int(self._accounts.means.shape[1])

    @property
    def arrived(self) -> int:
        """Arms that have arrived."""
        return int(self._account["arrived"])

    @property
    def time(self) -> int:
        """Trials used."""
        return int(self._account["time"])

    @property
    def left(self) -> int:
        """Trials left."""
        return self._accounts.terms.horizon - self.time

    @property
    def committed(self) -> bool:
        """Whether an arm was committed to."""
        return bool(self._account["committed"] >= 0)

    def _alive(self, number: int) -> int:
        if number not in self._used:
            raise ArmDiscardedError(f"arm {number} was released and cannot come back")
        return self._used[number]

    def _pull(self, number: int, n: int) -> float:
        used = self._alive(number)
        n = check_int("n", n, low=1)
        if n > self.left:
            raise BudgetExceededError(n, self.left)
        mean = float(self._kernels.draw(self._accounts, self._account, self._row, number, used, n))
        self._used[number] = used + n
        self._note(n)
        return mean

    def _release(self, number: int) -> None:
        self._alive(number)
        del self._used[number]
        self._account["live"] -= 1

    def _note(self, n: int) -> None:
        if self._curve is not None and n:
            self._curve.append((self.time, float(self._account["regret"])))

    def commit(self, arm: ArmHandle) -> None:
        """Give all trials that are left to ``arm``; the stream ends.

        Raises:
            ArmDiscardedError: the arm was released.
            OptimandError: ``arm`` is no arm of this stream, or one was committed to before.
        """
        if not isinstance(arm, ArmHandle) or arm._token != self._token:
            raise OptimandError(f"commit takes the handle of an arm of this stream, got {arm!r:.80}")
        if self.committed:
            raise OptimandError("an arm was committed to before")
        self._alive(arm.number)
        left = self.left
        self._kernels.commit(self._accounts, self._account, self._row, arm.number)
        self._used.clear()
        self._note(left)

    def rebind(self, state: Any) -> Any:
        """A deep copy of ``state`` (of a learner) whose handles are those of this stream."""
        memo: dict[Any, Any] = {_REBIND: self._token}
        return copy.deepcopy(state, memo)

    def state_dict(self) -> dict[str, Any]:
        """All that changes; the means come from the environment and its seed."""
        own = copy.deepcopy({"used": self._used, "curve": self._curve})
        return {"accounts": copy_rows(self._accounts, self._row), **own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a stored state; a learner's state then goes through :meth:`rebind`."""
        restore_rows(self._accounts, state["accounts"], self._row)
        own = copy.deepcopy({name: state[name] for name in ("used", "curve")})
        self._used, self._curve = own["used"], own["curve"]
