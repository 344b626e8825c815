"""Which printed number answers which question: by label, then by shared words, then by asking a model once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimand.language.llm.base import ChatModel

    from ..formulations.formulation import Formulation

LEAST_OVERLAP = 0.5
_STOP_TEXT = (
    "a an and are as at be been by for from have has in is it its of on or per should that the there to was were will "
    "which with what how many much each whether"
)
_GOAL_TEXT = (
    "total max maximum maximal maximized min minimum minimal minimized optimal best least most highest lowest "
    "objective overall"
)
_STOP, GOAL_WORDS = frozenset(_STOP_TEXT.split()), frozenset(_GOAL_TEXT.split())
_OBJECTIVE = frozenset({"objective", "obj", "optimal", "value", "objvar", "model"})


def words(text: str) -> frozenset[str]:
    """The words of a label, without common ones, in small letters and singular; camel case and underscores divide.

    Example:
        >>> sorted(words("The number of GoodA_trucks"))
        ['a', 'good', 'number', 'truck']
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])|_", " ", text)
    found = re.findall(r"[a-z]+|\d+(?:\.\d+)?", spaced.lower())
    # A letter alone is a name, not an article, where the label has no other words like it.
    kept = [word for word in found if word not in _STOP or (word == "a" and not re.search(r"\ba\s+[a-z]{2}", spaced))]
    return frozenset(word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word for word in kept)


def same_label(text: str) -> str:
    """A label without case, punctuation and spacing, for exact comparison."""
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


def overlap(left: frozenset[str], right: frozenset[str]) -> float:
    """Shared words relative to the mean number of words (Dice's coefficient)."""
    return 2 * len(left & right) / (len(left) + len(right)) if left and right else 0.0


def match_values(
    values: Mapping[str, float],
    queries: Iterable[str],
    *,
    meanings: Mapping[str, str] | None = None,
) -> dict[str, float | None]:
    """Assign printed values to queries, one to one; the order of neither matters.

    Args:
        values: number by label.
        queries: sentences that ask for a number each.
        meanings: for labels that are names, what they stand for.

    Returns:
        For each query its number, or None where no label shares half of the words. A value labelled as the objective
        goes to the one query that is left and asks for a total, a most or a least.

    Example:
        >>> match_values({"process_J": 0.0, "P": 250.0, "objective": 2250.0},
        ...              ["The number of Process P", "The number of Process J", "The total metal extracted"])
        {'The number of Process P': 250.0, 'The number of Process J': 0.0, 'The total metal extracted': 2250.0}
    """
    listed = list(dict.fromkeys(queries))
    found: dict[str, float | None] = dict.fromkeys(listed)
    labels = {same_label(label): label for label in values}
    free = set(values)
    for query in listed:
        label = labels.get(same_label(query))
        if label in free:
            found[query] = float(values[label])
            free.discard(label)
    left = sorted(query for query in listed if found[query] is None)
    rest = sorted(free)
    for query, label in _assigned(left, rest, meanings or {}):
        found[query] = float(values[label])
        free.discard(label)
    left = [query for query in left if found[query] is None]
    goals = [label for label in sorted(free) if words(label) and words(label) <= _OBJECTIVE]
    if len(goals) == 1:
        asking = [query for query in left if words(query) & GOAL_WORDS] or left
        if len(asking) == 1:
            found[asking[0]] = float(values[goals[0]])
    return found


def _assigned(queries: Sequence[str], labels: Sequence[str], meanings: Mapping[str, str]) -> list[tuple[str, str]]:
    if not queries or not labels:
        return []
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    asked = [words(query) for query in queries]
    score = np.zeros((len(queries), len(labels)))
    for column, label in enumerate(labels):
        forms = [words(label)] + ([words(meanings[label])] if meanings.get(label) else [])
        for row, query in enumerate(asked):
            score[row, column] = max(overlap(query, form) for form in forms)
    # Only pairs above the bound count, so that a poor pair cannot push a good one away.
    rows, columns = linear_sum_assignment(np.where(score >= LEAST_OVERLAP, score, 0.0), maximize=True)
    return [
        (queries[int(row)], labels[int(column)])
        for row, column in zip(rows, columns, strict=True)
        if score[row, column] >= LEAST_OVERLAP
    ]


def meanings_of(formulation: Formulation | None) -> dict[str, str]:
    """What the names of a formulation stand for."""
    if formulation is None:
        return {}
    return {variable.name: variable.meaning for variable in formulation.variables if variable.meaning}


def read_by_model(output: str, queries: Sequence[str], chat: ChatModel, *, seed: int | None = None) -> Any:
    """Ask a model, in one call, which printed number answers each query.

    Args:
        output: what the program printed.
        queries: the questions; they are the properties of the JSON that is asked for.
        chat: the model; the call's role is ``modeling.read``.
        seed: of the call.

    Returns:
        Number or None by query; all None where no usable reply came.
    """
    from optimand.language.llm.structured import ReplyError, ask

    schema = {
        "type": "object",
        "properties": {query: {"type": ["number", "null"]} for query in queries},
        "required": list(queries),
        "additionalProperties": False,
    }
    prompt = (
        "A program printed the text below. For every key of the JSON object, give the number in the text that answers "
        "it, exactly as printed; null if the text does not hold it. Compute nothing.\n\nKeys:\n"
        + "\n".join(f"- {query}" for query in queries)
        + f"\n\nPrinted text:\n{output[:6000]}"
    )
    try:
        return ask(chat, [{"role": "user", "content": prompt}], schema, role="modeling.read", seed=seed)
    except ReplyError:
        return dict.fromkeys(queries)
