"""The authors' choices where ours differ, each by a name, so that each can be brought back and measured alone."""

from __future__ import annotations

from collections.abc import Iterable

from optimand.core.validation import check_choice

DEVIATIONS = {
    "tolerance": "a value within 0.1 of the truth is right",
    "deletion": "a verified merge with the library deletes all insights under a shared label, pinned ones excepted",
    "candidates": "for that merge the library's insights are shown without explanation and example",
    "malformed": "a batch of conditions without a readable reply is kept whole, after five retries",
    "positives": "tasks that a round of evolution solves do not count for the insights they were given",
    "distributions": "what insights did in earlier rounds is not forgotten when their conditions change",
    "replay": "insights are not tried on tasks that are solved already",
    "leaks": "the texts of an insight may hold the answer of its task, and explored programs too",
    "conditions": "the condition of an insight need not hold for its own task",
    "freeloaders": "insights without which the task comes out right too are kept",
    "repeats": "each failed attempt is studied, those that fail alike too",
    "ties": "of conditions that score alike the first is taken",
    "judged": "a combination of insights counts only if all issues are judged solved too",
}


def read_official(value: bool | str | Iterable[str]) -> tuple[str, ...]:
    """Names of the authors' choices that are wanted, in the order of :data:`DEVIATIONS`.

    Args:
        value: all with True, none with False, else their names.

    Raises:
        TypeError: it is neither a flag nor names.
        ValueError: an unknown name.

    Example:
        >>> read_official(["replay", "leaks"]), len(read_official(True)), read_official(False)
        (('replay', 'leaks'), 13, ())
    """
    if isinstance(value, bool):
        return tuple(DEVIATIONS) if value else ()
    if not isinstance(value, Iterable):
        raise TypeError(f"official must be True, False or names, got {value!r} ({type(value).__name__})")
    names = [value] if isinstance(value, str) else value
    wanted = {check_choice("official", name, tuple(DEVIATIONS)) for name in names}
    return tuple(name for name in DEVIATIONS if name in wanted)
