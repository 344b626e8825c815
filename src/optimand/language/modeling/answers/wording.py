"""Numbers in a text, in digits and in words, and what the text says about them: a share, a limit, whose they are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .tables import cell_at

_UNIT_TEXT = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_UNITS = _UNIT_TEXT.split()
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = {"hundred": 100.0, "thousand": 1e3, "million": 1e6, "billion": 1e9}
_SPECIAL = {
    "dozen": 12.0, "dozens": 12.0, "half": 0.5, "twice": 2.0, "double": 2.0, "doubled": 2.0, "triple": 3.0,
    "thrice": 3.0, "quarter": 0.25, "third": 1 / 3, "thirds": 1 / 3, "quarters": 0.25, "couple": 2.0, "single": 1.0,
    "once": 1.0,
    "both": 2.0, "pair": 2.0, "quadruple": 4.0, "halves": 0.5, "fifth": 0.2, "tenth": 0.1,
}  # fmt: skip
_SMALL = {word: float(value) for value, word in enumerate(_UNITS)} | {
    word: 10.0 * value for value, word in enumerate(_TENS, 2)
}
# Words that count things more often than they are data.
_COUNTS = frozenset({"both", "single", "once", "couple", "pair"})
_DIGITS = re.compile(
    r"(?<![\w.])(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\d+|\.\d+)(?:(?:\s*)(?P<suffix>%|percent\b|per cent\b|"
    r"hundred\b|thousand\b|million\b|billion\b|dozen\b|[kKmM](?=\b)(?!\s*[gmlL]\b))|\s*/\s*(?P<below>\d+)(?![\d/]))?"
)
_WORDS = re.compile(rf"\b(?:{'|'.join([*_SMALL, *_SCALES, *_SPECIAL])})\b(?:[-\s](?:and\s+)?)?", re.IGNORECASE)
_LABELS = re.compile(
    r"\b(?:table|figure|section|question|part|type|kind|city|cities|day|week|month|year|quarter|product|machine|plant|"
    r"process|item|step|constraint|option|model|grade|class|warehouse|store|factory|zone|region|node|task|job|project|"
    r"site|team|route|crop|food|period|no\.?|number|#)\s*#?\s*(?:\d+\s*(?:[-–,]|to|and|or)\s*)*$",
    re.IGNORECASE,
)
_UPPER = re.compile(
    r"(?:at most|no more than|not more than|up to|maximum(?: \w+)?(?: of| is)?|max|cannot exceed|not exceed\w*|"
    r"exceed(?! by)|below|under|less than|fewer than|within|limited to|limit(?: \w+)?(?: of| is| to)?|"
    r"there (?:are|is)(?: only)?|only|available|budget(?: of| is)?(?: at most)?|"
    r"capacity(?: \w+)? (?:of|is)|total of)\W*(?:\w+\W+){0,1}$",
    re.IGNORECASE,
)
_LOWER = re.compile(
    r"(?:at least|no less than|not less than|no fewer than|minimum(?: \w+)?(?: of| is)?|a minimum|more than|over|"
    r"exceeds?|above|must (?:make|produce|use|have|be)|ordered|required?)\W*(?:\w+\W+){0,1}$",
    re.IGNORECASE,
)
_NEGATION = r"\b(?:no|not|nor|cannot|never|none|nobody|nothing|\w+n't)\b[^.;,]{0,40}\b"
_NOT_ABOVE = re.compile(_NEGATION + r"(?:more than|over|exceed\w*|above|beyond)\W*(?:\w+\W+){0,1}$", re.IGNORECASE)
_NOT_BELOW = re.compile(_NEGATION + r"(?:less than|fewer than|under|below)\W*(?:\w+\W+){0,1}$", re.IGNORECASE)
_AFTER_UPPER = re.compile(
    r"^\W*(?:\w+\W+){0,4}?(?:available|at most|or less|or fewer|in stock|on hand|at hand|in store|"
    r"can be (?:used|spent|had|sold)|to (?:give|spend|use))\b",
    re.IGNORECASE,
)
_AFTER_LOWER = re.compile(
    r"^\W*(?:\w+\W+){0,3}?(?:at least|or more|are (?:already )?ordered|is required|are required)\b", re.IGNORECASE
)

# What speaks of supply or of need without comparing; it counts where no comparison does.
_SUPPLY = re.compile(
    r"\bcan(?: \w+)? (?:send|hold|carry|bear|spend|use|produce|process|supply|store|handle|give|work|fit|offer|afford|"
    r"provide|ship|deliver|take in)\b|\b(?:bears|allows|holds|funds?|stock|budget|suppl(?:y|ies)|capacity|offers?|owns|"
    r"allowed|limits?|amounts to|numbers)\b",
    re.IGNORECASE,
)
_NEED = re.compile(
    r"\b(?:needs?|requires?|wants?|wanted|orders?|ordered|promised|quota|contract\w*|commit\w*|owes?|"
    r"must (?:be )?(?:supply|supplied|deliver\w*|receive|get|reach|cover\w*|hold|contain|provide))\b",
    re.IGNORECASE,
)
_MOST = re.compile(r"\b(?:greatest|largest|most|maxim\w+|max|upper|places)\b", re.IGNORECASE)
_LEAST = re.compile(r"\b(?:least|smallest|fewest|minim\w+|min|lower)\b", re.IGNORECASE)
_AFTER_SUPPLY = re.compile(r"^\W*(?:\w+\W+){0,5}?(?:can be|may (?:go|be)|to (?:give|spend|use|work))\b", re.IGNORECASE)
_AFTER_NEED = re.compile(
    r"^\W*(?:\w+\W+){0,5}?(?:(?:is|are|have been|has been) (?:needed|required|wanted|ordered|promised))\b",
    re.IGNORECASE,
)

Limit = Literal["upper", "lower", ""]


@dataclass(frozen=True)
class Mention:
    """A number in a text.

    Attributes:
        value: as it counts: ``1,000`` is 1000, ``30%`` is 0.3, ``two dozen`` is 24.
        text: as it stands.
        start: position.
        share: it is a percentage.
        data: written in digits, or a word such as "dozen", and no label or list number ("Table 6", "cities 1-6").
        limit: what the words around it say: ``upper``, ``lower``, or nothing certain.
        raw: the number before a word such as "thousand".
    """

    value: float
    text: str
    start: int
    share: bool = False
    data: bool = True
    limit: Limit = ""
    raw: float | None = None

    @property
    def forms(self) -> tuple[float, ...]:
        """Values that stand for it in a formula: a share also as a percentage, its complement and a growth; a fraction
        also as a divisor; ``120 thousand`` also as 120."""
        if self.share:
            return (self.value, 100 * self.value, 1 - self.value, 1 + self.value)
        more = () if self.raw is None or self.raw == self.value else (self.raw,)
        return (self.value, *more, 1 / self.value) if 0 < self.value < 1 else (self.value, *more)


def mentions(text: str) -> tuple[Mention, ...]:
    """The numbers of a text in order.

    Args:
        text: any.

    Example:
        >>> [found.value for found in mentions("Twice as many, 1,000 at 30%, two dozen and 2.5 million; 3/4 of it")]
        [2.0, 1000.0, 0.3, 24.0, 2500000.0, 0.75]
        >>> mentions("at most 100 kg")[0].limit
        'upper'
    """
    found: list[Mention] = []
    for match in _DIGITS.finditer(text):
        found.append(_from_digits(match, text))
    taken = [(m.start, m.start + len(m.text)) for m in found]
    for start, end, value, plain in _from_words(text):
        if not any(start < b and a < end for a, b in taken):
            found.append(Mention(value, text[start:end].strip(), start, data=not plain, limit=_limit(text, start, end)))
    return tuple(sorted(found, key=lambda mention: mention.start))


def _from_digits(match: re.Match[str], text: str) -> Mention:
    value = raw = float(match["number"].replace(",", ""))
    suffix = (match["suffix"] or "").lower()
    share = suffix in ("%", "percent", "per cent")
    if share:
        value /= 100
    elif suffix in _SCALES:
        value *= _SCALES[suffix]
    elif suffix:
        value *= {"dozen": 12.0, "k": 1e3, "m": 1e6}[suffix]
    elif match["below"] and float(match["below"]):
        value /= float(match["below"])
    label = _LABELS.search(text[max(0, match.start() - 40) : match.start()]) is not None
    label = label or (
        re.match(r"\s*[.)]\s+\w", text[match.end() : match.end() + 4]) is not None and _starts(text, match)
    )
    limit = _limit(text, match.start(), match.end())
    return Mention(round(value, 12), match.group(), match.start(), share, not label, limit, None if share else raw)


def _starts(text: str, match: re.Match[str]) -> bool:
    """Whether a number begins a line or a sentence, as the number of an item of a list does."""
    return re.search(r"(?:^|[.:;\n])\s*\(?$", text[: match.start()]) is not None


def _from_words(text: str) -> Iterable[tuple[int, int, float, bool]]:
    """Runs of number words: start, end, value, and whether it is a small count such as "three"."""
    run: list[re.Match[str]] = []
    for match in [*_WORDS.finditer(text), None]:
        if match is not None and run and match.start() == run[-1].end() and _goes_on(run, match):
            run.append(match)
            continue
        if run:
            parts = [part.group().lower().replace(" and", "").strip(" -\n\t") for part in run]
            if all(part in _SCALES for part in parts) and not re.search(r"\ba\s+$", text[: run[0].start()]):
                run = [match] if match is not None else []  # a unit, as in "cost (thousand)"
                continue
            plain = all(part in _SMALL or part in _COUNTS for part in parts) or _is_place(text, run, parts)
            yield run[0].start(), run[-1].end(), _value(parts), plain
        run = [match] if match is not None else []


def _is_place(text: str, run: list[re.Match[str]], parts: list[str]) -> bool:
    """Whether "third" or "quarter" is a place in an order or a time of the year, as in "the third of the machines"."""
    ordinal = len(parts) == 1 and parts[0] in ("third", "quarter", "fifth", "tenth")
    return ordinal and not re.search(r"\b(?:an?|one)\s+$", text[: run[0].start()])


def _goes_on(run: list[re.Match[str]], match: re.Match[str]) -> bool:
    before, now = (part.group().lower().replace(" and", "").strip(" -\n\t") for part in (run[-1], match))
    if now in _SCALES or now in ("dozen", "dozens", "thirds", "quarters", "halves", "third", "quarter"):
        return True
    return now in _SMALL and (before in _SCALES or (before in _TENS and _SMALL[now] < 10))


def _value(parts: list[str]) -> float:
    total = current = 0.0
    for part in parts:
        if part in _SMALL:
            current += _SMALL[part]
        elif part == "hundred":
            current = (current or 1.0) * 100
        elif part in _SCALES:
            total, current = total + (current or 1.0) * _SCALES[part], 0.0
        else:
            current = (current or 1.0) * _SPECIAL[part]
    return total + current


def _limit(text: str, start: int, end: int) -> Limit:
    cell = cell_at(text, start)
    if cell is not None:
        return _headed(cell.column)
    # Only what stands in the same sentence tells.
    sentence = re.split(r"[.;?!\n](?=\s)", text[max(0, start - 400) : start])[-1]
    before = sentence[-60:].rstrip("$€£ ") + " "
    after = re.split(r"[.;,\n](?=\s|$)", text[end : end + 60])[0]
    clause = re.split(r",\s|\sand\s|\sbut\s|\swhile\s", before)[-1]
    # "By capacity: A 5 and B 6", "As to the capacity, …", "The capacity is 5 for A and 6 for B".
    heading = re.match(r"\s*(?:By|As to|The|Its|Their) ([^,:\d]{3,60}?)(?::|,| is | are )", sentence)
    return (
        _compared(before, after[:40])
        or _said(clause, re.split(r"\sand\s|\sbut\s|\swhile\s", after)[0])
        or (_headed(heading[1]) if heading else "")
    )


def _headed(heading: str) -> Limit:
    """What a heading says of the numbers under it."""
    return _compared(f"{heading} ", "") or _either(_MOST.search(heading), _LEAST.search(heading)) or _said(heading, "")


def _compared(before: str, after: str) -> Limit:
    """A comparison beside a number."""
    if _NOT_ABOVE.search(before) or _NOT_BELOW.search(before):
        return "upper" if _NOT_ABOVE.search(before) else "lower"
    return _either(_UPPER.search(before), _LOWER.search(before)) or _either(
        _AFTER_UPPER.search(after), _AFTER_LOWER.search(after)
    )


def _said(before: str, after: str) -> Limit:
    """Supply or need beside a number."""
    return _either(
        _SUPPLY.search(before) or _AFTER_SUPPLY.search(after), _NEED.search(before) or _AFTER_NEED.search(after)
    )


def _either(upper: object, lower: object) -> Limit:
    return "upper" if upper and not lower else "lower" if lower and not upper else ""


# Factors that shapes bring: sides and faces that a text does not count.
_SHAPES = re.compile(
    r"\b(?:square|rectang\w+|box\w*|tank|cylind\w+|circ\w+|round|fence\w*|perimeter|triang\w+)\b", re.I
)
_SHAPE_FACTORS = (2.0, 4.0, 6.0, 3.14, 3.1416, 3.14159, 3.141593, 3.1415926536, 3.141592653589793)


_UNIT_PAIRS: tuple[tuple[float, str, str], ...] = (
    (60, r"hour|hr", r"minute|min"), (60, r"minute|min", r"second|sec"), (24, r"day|daily", r"hour|hr"),
    (7, r"week", r"day"), (12, r"year|annual", r"month"), (52, r"year|annual", r"week"), (365, r"year|annual", r"day"),
    (30, r"month", r"day"), (4, r"month", r"week"), (1000, r"kg|kilogram|ton|tonne", r"g|gram|kg|kilogram"),
    (1000, r"l|liter|litre|km|kilometer|kilometre", r"ml|milliliter|millilitre|m|meter|metre"),
    (100, r"m|meter|metre|dollar|euro", r"cm|centimeter|centimetre|cent"), (16, r"pound|lb", r"ounce|oz"),
    (12, r"dozen|foot|feet", r"\w+|inch|inche"),
)  # fmt: skip


def conversions(text: str) -> frozenset[float]:
    """Factors that a formula may bring: between units that a text names both of, such as 60 for hours and minutes, and
    of shapes.

    Example:
        >>> conversions("It takes 20 minutes; there are 8 hours.")
        frozenset({60.0})
    """
    found = set()
    for factor, big, small in _UNIT_PAIRS:
        if all(re.search(rf"\b(?:{unit})s?\b", text, re.IGNORECASE) for unit in (big, small)):
            found.add(float(factor))
    if _SHAPES.search(text):
        found.update(_SHAPE_FACTORS)
    return frozenset(found)


_GAINS = (
    r"(?:profits?|revenues?|earnings?|income|returns?|yields?|values?|reach|outputs?|benefits?|gains?|scores?|sales|"
    r"production|areas?|volumes?|people|responses?|coverage|efficiency|rate|space)"
)
_EXPENSES = r"(?:costs?|times?|pay|wages|expenses?|distances?|lengths?|waste|surface|material|bill|spending|minutes)"
_WANTS_MOST = re.compile(
    r"\b(?:earns?|make|gains?|gets?|as) (?:the )?(?:most|much)\b"
    rf"|\b(?:highest|largest|greatest|biggest|most) (?:\w+ ){{0,2}}{_GAINS}\b"
    rf"|\b{_GAINS}\b[^.;,:\d]{{0,24}}\b(?:largest|highest|greatest|biggest|(?<!at )most)\b"
    r"|\bas (?:large|high|great|big|many|much)\b[^.;]{0,30} as possible",
    re.IGNORECASE,
)
_WANTS_LEAST = re.compile(
    r"\b(?:cheapest|as cheaply|how soon\b"
    r"|(?<!at )(?:lowest|least|smallest|fewest|shortest) (?:possible |total )?[a-z]+)"
    rf"|\b{_EXPENSES}\b[^.;,:\d]{{0,24}}\b(?:lowest|(?<!at )least|smallest|shortest)\b"
    r"|\bas (?:small|low|little|short|cheap|few)\b[^.;]{0,30} as possible",
    re.IGNORECASE,
)


def goal(text: str) -> Literal["maximize", "minimize", ""]:
    """Which way a text wants its objective, where its words leave no doubt.

    Example:
        >>> goal("How many should it bake to earn the most?"), goal("at the lowest cost"), goal("How many?")
        ('maximize', 'minimize', '')
    """
    up = re.search(r"\bmaximi[sz]\w*|\bmaximum (?:profit|revenue|return|income|yield)\b", text, re.IGNORECASE)
    down = re.search(r"\bminimi[sz]\w*|\bminimum (?:cost|expense|time|distance)\b", text, re.IGNORECASE)
    if bool(up) != bool(down):
        return "maximize" if up else "minimize"
    if up and down:
        return ""
    up = _WANTS_MOST.search(text)
    down = _WANTS_LEAST.search(text)
    return "" if bool(up) == bool(down) else "maximize" if up else "minimize"
