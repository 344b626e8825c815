"""What a node receives in backward passes.

Parameters hold the passes that reached them until ``zero_feedback``. Other roots point to them weakly, since constants
are never asked to forget: a strong reference would keep their graph in a cycle that only the garbage collector frees.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Node
    from .graph import Sweep


class Receiver:
    """The part of a node that feedback comes to."""

    __slots__ = ()

    _extra: dict[str, Any] | None

    @property
    def feedback(self) -> dict[Node, list[Any]]:
        """What each child has sent back, by child; message nodes pass all of theirs on and have none.

        Of a root that is no parameter it lasts as long as a parameter, or the caller, holds the same backward pass.
        """
        found: dict[Node, list[Any]] = {}
        for sweep in self._live_sweeps():
            for child, messages in sweep.feedback_of(self).items():  # type: ignore[arg-type]
                found.setdefault(child, []).extend(messages)
        return found

    def zero_feedback(self) -> None:
        """Forget all feedback."""
        if self._extra is not None:
            self._extra.pop("sweeps", None)

    def backward(self, feedback: Any = "", *, propagator: Any = None, retain_graph: bool = False) -> None:
        """Send feedback to all that the value was computed from; see :func:`graph.backward`."""
        from .graph import backward

        backward(self, feedback, propagator=propagator, retain_graph=retain_graph)  # type: ignore[arg-type]

    def _live_sweeps(self) -> list[Sweep]:
        found = [item() if isinstance(item, weakref.ref) else item for item in (self._extra or {}).get("sweeps", ())]
        return [sweep for sweep in found if sweep is not None]

    def _keep_sweep(self, sweep: Sweep, strong: bool) -> None:
        if self._extra is None:
            self._extra = {}  # type: ignore[misc]
        kept = self._extra.setdefault("sweeps", [])
        if not strong:  # passes that are over leave nothing behind at an input that many runs share
            kept[:] = [item for item in kept if not isinstance(item, weakref.ref) or item() is not None]
        kept.append(sweep if strong else weakref.ref(sweep))
