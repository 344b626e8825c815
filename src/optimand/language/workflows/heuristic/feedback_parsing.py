"""What a guide's feedback says to an optimizer that understands no language: a direction, a score, or that it is right.

Feedback in Trace (arXiv 2406.16218) may be a score, a hint or the text of an exception. :func:`parse_feedback` looks
for words of direction ("should be larger", "too low"), for a number after words such as "score", and for words of
approval.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

_UP = (
    "larger", "higher", "greater", "bigger", "longer", "more", "increase", "increased", "raise", "raised", "up",
    "upward", "upwards", "lengthen", "grow", "high", "large", "big", "long", "great", "much", "many",
)  # fmt: skip
_DOWN = (
    "smaller", "lower", "less", "fewer", "shorter", "decrease", "decreased", "reduce", "reduced", "down", "downward",
    "downwards", "shorten", "shrink", "low", "small", "short", "little", "few",
)  # fmt: skip
# Words that tell a direction by themselves; the others, such as "high", only after "too" or before "enough".
_BARE = {*_UP[:15], *_DOWN[:14]}
_SIGN = {**dict.fromkeys(_UP, 1), **dict.fromkeys(_DOWN, -1)}
_WORDS = "|".join(sorted(_SIGN, key=len, reverse=True))
_CLAUSE = re.compile(r"[;\n]|[.!?](?=\s|$)|,?\s(?:but|while|whereas)\s", re.IGNORECASE)
_TOO = re.compile(rf"\btoo\s+(?:\w+ly\s+)?({_WORDS})\b", re.IGNORECASE)
_NOT_ENOUGH = re.compile(rf"\bnot\s+({_WORDS})\s+enough\b", re.IGNORECASE)
_STATED = re.compile(rf"\b(?:is|was|are|were|lies)\s+(?:still\s+|\w+ly\s+)?({_WORDS})\s+than\b", re.IGNORECASE)
_BARE_WORD = re.compile(rf"\b({'|'.join(sorted(_BARE, key=len, reverse=True))})\b", re.IGNORECASE)
_DENIED = re.compile(r"\b(?:not|never|don't|cannot|no)\s+(?:be\s+|get\s+|become\s+|make\s+it\s+)?$", re.IGNORECASE)
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(%)?"
_LINK = r"\s*(?:is|was|of|=|:)?\s*"
_GAIN = re.compile(rf"\b(?:score|reward|accuracy|success rate)\b{_LINK}{_NUMBER}", re.IGNORECASE)
_LOSS = re.compile(rf"\b(?:loss|error|cost|penalty|delay|regret)\b{_LINK}{_NUMBER}", re.IGNORECASE)
_END = r"(?:\s*(?:$|[.!?:;,\n])|\s+[-–—(])"
_GOOD = r"(?:correct|right|perfect|solved|success|well done)"
# The verdict: at the start of a text or sentence, after "is", or a phrase that says nothing else.
_RIGHT = re.compile(
    rf"(?:^|[.!?;\n])\s*(?:(?:that|this|it)(?:'s|\s+is|\s+was)\s+|all\s+)?{_GOOD}{_END}"
    rf"|\b(?:is|was|are|were)\s+(?:now\s+|all\s+|\w+ly\s+)?(?:correct|right|perfect|solved|a\s+success){_END}"
    r"|\b(?:matches the target|no change (?:is )?needed)\b",
    re.IGNORECASE,
)
_WRONG = re.compile(
    r"\b(?:not|in|isn't|never|hardly)\s*(?:quite\s+)?(?:correct|right|perfect|solved|a success)|\bwrong\b",
    re.IGNORECASE,
)
_PART = re.compile(r"^ID \[\d+\]:[ \t]*", re.MULTILINE)  # of a batch, see trainers.rollouts.batchify
_ERROR = re.compile(r"\([A-Za-z_]*(?:Error|Exception|Interrupt|Exit|Warning)\)")


@dataclass(frozen=True)
class ParsedFeedback:
    """What a feedback says.

    Attributes:
        direction: how the output should change: 1 larger, -1 smaller, 0 where nothing is said.
        hints: the same for parameters that the feedback names.
        score: a number of which more is better, or None.
        done: the output is right.
        failed: the feedback is the text of an exception.
    """

    direction: int = 0
    hints: Mapping[str, int] = field(default_factory=dict)
    score: float | None = None
    done: bool = False
    failed: bool = False


def parse_feedback(feedback: Any, names: Collection[str] = ()) -> ParsedFeedback:
    """Read a feedback.

    Args:
        feedback: a number (a score, more is better), a truth value (right or not), None (nothing), a mapping with a
            ``score`` and a ``feedback``, or a text.
        names: of parameters; a clause that holds one tells how that parameter should change, not the output.

    Returns:
        What was found. A text of parts ``ID [i]: …`` is right only if each part is. Clauses that contradict one another
        cancel; numbers of several instances are averaged. After
        "score", "reward", "accuracy", "success rate" a number is better when larger; after "loss", "error", "cost",
        "penalty", "delay", "regret" when smaller.

    Example:
        >>> parse_feedback("The output should be larger.").direction, parse_feedback("far too high").direction
        (1, -1)
        >>> parse_feedback("the result is larger than wanted").direction
        -1
        >>> parse_feedback("score: 0.25; increase green_a", names=["green_a"])
        ParsedFeedback(direction=0, hints={'green_a': 1}, score=0.25, done=False, failed=False)
    """
    if feedback is None:
        return ParsedFeedback()
    if isinstance(feedback, bool):
        return ParsedFeedback(score=float(feedback), done=feedback)
    if isinstance(feedback, Mapping):
        text = parse_feedback(feedback.get("feedback", ""), names)
        score = feedback.get("score")
        value = text.score if score is None else float(score)
        below = value is not None and 0.0 <= value < 1.0
        return ParsedFeedback(text.direction, text.hints, value, text.done and not below, text.failed)
    if not isinstance(feedback, str):
        score = float(feedback)
        return ParsedFeedback(score=score if math.isfinite(score) else -math.inf)
    if _ERROR.search(feedback):
        return ParsedFeedback(failed=True)
    direction, hints = _directions(feedback, names)
    texts = _PART.split(feedback)
    parts = [feedback] if len(texts) == 1 else texts[1:]
    verdicts = [_is_right(part) for part in parts]
    scores = [_score(part) for part in parts]
    done = all(verdicts) and not direction and not hints
    known = [score for score in scores if score is not None]
    mean = sum(known) / len(known) if known else None
    if not known and len(parts) > 1 and any(verdicts):  # a batch without scores: the share that is right
        mean = sum(verdicts) / len(parts)
    return ParsedFeedback(direction, hints, mean, done)


def _is_right(text: str) -> bool:
    """Whether a text says that the output is right, and no score in it is below 1, the top of a share."""
    below = any(0.0 <= float(number) / (100.0 if percent else 1.0) < 1.0 for number, percent in _GAIN.findall(text))
    return bool(_RIGHT.search(text)) and not _WRONG.search(text) and not below


def _directions(text: str, names: Collection[str]) -> tuple[int, dict[str, int]]:
    votes: dict[str | None, int] = {}
    for clause in _CLAUSE.split(text):
        sign = _clause_direction(clause)
        if not sign:
            continue
        named = [name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", clause)]
        keys: list[str | None] = [*named] or [None]
        for name in keys:
            votes[name] = votes.get(name, 0) + sign
    signs = {name: (vote > 0) - (vote < 0) for name, vote in votes.items()}
    return signs.pop(None, 0), {str(name): sign for name, sign in signs.items() if sign}


def _clause_direction(clause: str) -> int:
    """1, -1, or 0 for a clause that says neither, or both."""
    votes = 0
    for pattern, sense in ((_TOO, -1), (_NOT_ENOUGH, 1), (_STATED, -1)):
        for match in pattern.finditer(clause):
            votes += sense * _SIGN[match.group(1).lower()]
        clause = pattern.sub(" ", clause)
    for match in _BARE_WORD.finditer(clause):
        sign = _SIGN[match.group(1).lower()]
        votes += -sign if _DENIED.search(clause[: match.start()]) else sign
    return (votes > 0) - (votes < 0)


def _score(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    for pattern, sense in ((_GAIN, 1.0), (_LOSS, -1.0)):
        found = [float(number) / (100.0 if percent else 1.0) for number, percent in pattern.findall(text)]
        if found:
            return sense * sum(found) / len(found)
    return None
