"""Scenarios: problems written step by step, each step in words and in formal lines (arXiv 2407.09887).

A scenario has the sections ``## Define Variables:``, ``## Define Objective Function:`` and
``## Generate Constraint-1:`` to ``-5``; a section is one or more lines of words followed by lines that begin with
``//``. What a model writes is checked against this grammar and cut to its longest valid prefix; each prefix with
enough sections is a problem of its own. Ours differs in naming every fault and its line.
"""

from __future__ import annotations

from dataclasses import dataclass

from optimand.core.validation import OptimandError, check_int

MARK = "[New Scenario]:"
MAX_LEVEL = 7
PREFIXES = (
    "Define Variables:",
    "Define Objective Function:",
    *(f"Generate Constraint-{k}:" for k in range(1, MAX_LEVEL - 1)),
)
FAULTS = {
    "empty": "no section",
    "several-scenarios": f"{MARK!r} occurs more than once",
    "leading-text": "text before the first section",
    "wrong-section": "another section was expected here",
    "too-many-sections": f"more than {MAX_LEVEL} sections",
    "too-few-sections": "fewer sections than wanted",
    "no-text": "a section without a line of words",
    "no-formal": "a section without a line that begins with //",
    "text-after-formal": "words after the lines that begin with //",
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a scenario.

    Attributes:
        name: a key of ``FAULTS``.
        section: 0-based position of the section, None where it concerns the whole.
        message: what came and what was expected.
    """

    name: str
    section: int | None
    message: str


class ScenarioError(OptimandError):
    """A text is no valid scenario; ``faults`` says why."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("not a valid scenario: " + "; ".join(fault.message for fault in faults))


@dataclass(frozen=True)
class Section:
    """One step: words, and the same formally.

    Attributes:
        title: the heading without ``##``, one of ``PREFIXES``.
        text: the lines of words.
        formal: the formal lines, without ``//``.
    """

    title: str
    text: str
    formal: tuple[str, ...]

    def render(self) -> str:
        """The section as it stands in a scenario."""
        return "\n".join([f"## {self.title}", self.text, *(f"// {line}" for line in self.formal)])


@dataclass(frozen=True)
class Scenario:
    """A valid scenario.

    Attributes:
        sections: variables, objective, then constraints.
    """

    sections: tuple[Section, ...]

    @property
    def level(self) -> int:
        """Number of sections, 1 to 7."""
        return len(self.sections)

    @property
    def constraints(self) -> tuple[Section, ...]:
        """The sections after the objective."""
        return self.sections[2:]

    @property
    def opening(self) -> str:
        """The text before the first constraint, by which scenarios are told apart."""
        return "\n\n".join(section.render() for section in self.sections[:2])

    def prefix(self, level: int) -> Scenario:
        """The scenario of the first ``level`` sections."""
        check_int("level", level, low=1, high=self.level)
        return Scenario(self.sections[:level])

    def render(self) -> str:
        """The whole scenario as text; ``parse_scenario`` gives it back."""
        return "\n\n".join(section.render() for section in self.sections)

    def words(self) -> str:
        """The skeleton of a question: the variables' words, the constraints', and the objective's last."""
        order = (*self.sections[:1], *self.sections[2:], *self.sections[1:2])
        return "\n".join(section.text for section in order)

    def formal_lines(self) -> list[str]:
        """All formal lines in order."""
        return [line for section in self.sections for line in section.formal]


def check_scenario(text: str, *, minimum: int = 2) -> list[Fault]:
    """Everything that is wrong with a scenario; an empty list if nothing is.

    Args:
        text: what a model wrote, or a demonstration.
        minimum: sections wanted, in [1, 7].

    Raises:
        TypeError: ``text`` is no text.

    Example:
        >>> [fault.name for fault in check_scenario("## Define Variables:\\nHow many loaves?")]
        ['no-formal', 'too-few-sections']
    """
    return _read(text, minimum)[1]


def parse_scenario(text: str, *, minimum: int = 2, longest_prefix: bool = False) -> Scenario:
    """Read a scenario.

    Args:
        text: the sections; one mark ``[New Scenario]:`` before them is skipped.
        minimum: sections wanted, in [1, 7].
        longest_prefix: take the valid sections before the first fault, as the paper's cleaning does.

    Returns:
        The scenario.

    Raises:
        ScenarioError: the text has a fault; with ``longest_prefix``: fewer than ``minimum`` sections before it, or
            the mark more than once.

    Example:
        >>> text = "## Define Variables:\\nHow much bread?\\n// {\\"loaves\\": \\"x\\"}\\n## Define Objective:"
        >>> parse_scenario(text, minimum=1, longest_prefix=True).level
        1
    """
    sections, faults = _read(text, minimum)
    fatal = {"several-scenarios", "leading-text", "empty", "too-few-sections"}
    if faults and not (longest_prefix and not any(fault.name in fatal for fault in faults)):
        raise ScenarioError(faults)
    return Scenario(tuple(sections))


def explode(scenario: Scenario, *, geometry: bool = False) -> list[Scenario]:
    """Every prefix that is a problem of its own, shortest first.

    Args:
        scenario: with k constraints.
        geometry: prefixes without any constraint count too, as shapes have enough of their own.

    Returns:
        k items of levels 3 to k + 2; with ``geometry`` k + 1, from level 2 on.
    """
    return [scenario.prefix(level) for level in range(2 if geometry else 3, scenario.level + 1)]


def _read(text: str, minimum: int) -> tuple[list[Section], list[Fault]]:
    """The valid sections before the first fault, and all faults found."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a scenario's text, got {text!r:.60} ({type(text).__name__})")
    check_int("minimum", minimum, low=1, high=MAX_LEVEL)
    faults: list[Fault] = []
    marks = text.count(MARK)
    if marks > 1:
        faults.append(Fault("several-scenarios", None, f"{MARK!r} occurs {marks} times, expected at most once"))
    lead, *units = text.split(MARK, 1)[-1].split("## ")
    if marks == 1:
        lead = text.split(MARK, 1)[0] + lead
    if not units:
        return [], [*faults, Fault("empty", None, f"no section; the first must begin with '## {PREFIXES[0]}'")]
    if lead.strip():
        faults.append(Fault("leading-text", None, f"text before the first section: {lead.strip()!r:.60}"))
    sections: list[Section] = []
    sound = True
    for k, unit in enumerate(units):
        if k >= MAX_LEVEL:
            faults.append(Fault("too-many-sections", k, f"{len(units)} sections, expected at most {MAX_LEVEL}"))
            break
        section, wrong = _read_section(unit, k)
        faults += wrong
        sound = sound and not wrong
        if sound and section is not None:
            sections.append(section)
    if len(sections) < minimum:
        faults.append(
            Fault("too-few-sections", None, f"{len(sections)} valid sections from the start, expected {minimum}")
        )
    return sections, faults


def _read_section(unit: str, k: int) -> tuple[Section | None, list[Fault]]:
    prefix = PREFIXES[k]
    if not unit.startswith(prefix):
        begin = unit.split("\n", 1)[0]
        return None, [Fault("wrong-section", k, f"section {k + 1} begins '## {begin:.50}', expected '## {prefix}'")]
    words: list[str] = []
    formal: list[str] = []
    for line in unit[len(prefix) :].splitlines():
        bare = line.strip()
        if bare.startswith("//"):
            formal.append(bare[2:].strip())
        elif bare and formal:
            message = f"section {k + 1} has words after its // lines: {bare!r:.60}"
            return None, [Fault("text-after-formal", k, message)]
        elif bare:
            words.append(bare)
    faults = []
    if not words:
        faults.append(Fault("no-text", k, f"section {k + 1} ({prefix}) has no line of words"))
    if not any(formal):
        faults.append(Fault("no-formal", k, f"section {k + 1} ({prefix}) has no // line"))
    return Section(prefix, "\n".join(words), tuple(formal)), faults
