"""What a step of an optimizer did: what changed, what was turned down and why, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optimand.language.llm.base import Message, Usage


@dataclass(frozen=True)
class StepReport:
    """One proposal, by parameter names as in prompts.

    Attributes:
        step: its number, from 1.
        proposed: accepted values that differ from the present ones.
        rejected: reasons for those that were not accepted.
        unknown: names in the reply that belong to no parameter.
        notes: changes of form that were made to accept a value, and whatever else a person should know.
        reasoning: the model's own words.
        answer: its answer to the problem.
        terminated: the model, or the feedback, said that nothing should change.
        fault: why a reply held no suggestion; empty if it did.
        usage: what the model's calls cost.
        messages: the last call's prompt.
        replies: all replies, in order.
        applied: whether the parameters were given the values; False after ``propose()`` alone.

    Example:
        >>> print(StepReport(3, proposed={"x0": 2}, rejected={"y0": "y0 must be in [0, 9], got 12"}))
        step 3: proposed x0 = 2; rejected: y0 must be in [0, 9], got 12
    """

    step: int
    proposed: Mapping[str, Any] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reasoning: str = ""
    answer: str = ""
    terminated: bool = False
    fault: str = ""
    usage: Usage = field(default_factory=Usage)
    messages: tuple[Message, ...] = ()
    replies: tuple[str, ...] = ()
    applied: bool = False

    def __str__(self) -> str:
        parts = []
        if self.proposed:
            values = ", ".join(f"{name} = {_short(value)}" for name, value in self.proposed.items())
            parts.append(f"{'changed' if self.applied else 'proposed'} {values}")
        elif self.terminated:
            parts.append("the model wants no change" if self.replies else "no change is wanted")
        else:
            parts.append("nothing changed")
        if self.fault:
            parts.append(self.fault)
        if self.rejected:
            parts.append("rejected: " + "; ".join(self.rejected.values()))
        if self.unknown:
            parts.append("unknown names: " + ", ".join(self.unknown))
        parts.extend(self.notes)
        return f"step {self.step}: " + "; ".join(parts)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
