"""ReSocratic (arXiv 2407.09887): pairs of question and program, made backwards from formal scenarios.

A model writes a scenario in steps after one or two demonstrations; it is cut to its valid prefix, told apart from those
before, and split into problems; each gets a program, which is run, and two questions. Ours differs in what it keeps: a
program must end optimal (the published code keeps time-outs) with the objective that the formal lines have when they
are solved by other means, and a question must hold all their numbers. Every reply is kept by key, so that a run goes on
where it ended; what was dropped is counted by reason.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from optimand.core.validation import OptimandError, check_choice, check_int, check_number
from optimand.language.llm.base import ChatModel, Message
from optimand.language.modeling.execution import Execution, Sandbox, extract_code, run_program

from .duplicates import dedupe
from .filters import CrossCheck, cross_check, leaks_formula, missing_numbers, printed_objective
from .formal import read_formal
from .journal import Journal
from .pools import Demonstration, own_pool
from .prompts import code_messages, question_messages, scenario_messages
from .scenarios import Scenario, ScenarioError, explode, parse_scenario

SINGLES, PAIRS = 100, 50


@dataclass(frozen=True)
class Prompt:
    """One request for a scenario.

    Attributes:
        kind: ``linear`` or ``nonlinear``.
        shown: positions in the pool of the demonstrations shown.
        sample: which of the samples of this set.
    """

    kind: str
    shown: tuple[int, ...]
    sample: int

    @property
    def key(self) -> str:
        """Names the request."""
        return f"{self.kind}:{'+'.join(map(str, self.shown))}:{self.sample}"


@dataclass(frozen=True)
class SyntheticPair:
    """A question and a program that answers it.

    Attributes:
        key: names the pair: request, level and form.
        type: one of the benchmark's four types.
        question: the text.
        code: the program.
        objective: what it prints.
        values: all that it prints.
        checked: the formal lines, solved by other means, have the same objective; False where they cannot be read.
        how: what solved them.
        scenario: what the pair was made from.
    """

    key: str
    type: str
    question: str
    code: str
    objective: float
    values: Mapping[str, float]
    checked: bool
    how: str
    scenario: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def sampling_plan(
    sizes: Mapping[str, int], *, singles: int = SINGLES, pairs: int = PAIRS, seed: int | None = None
) -> list[Prompt]:
    """All requests: each demonstration ``singles`` times, each two of them ``pairs`` times.

    Args:
        sizes: demonstrations in each pool.
        singles, pairs: samples of each set of one or two.
        seed: of a shuffle, so that a part of the plan is a sample of it; None leaves the order of the sets.

    Example:
        >>> len(sampling_plan({"linear": 13})), len(sampling_plan({"nonlinear": 14}))
        (5200, 5950)
    """
    plan = [
        Prompt(kind, shown, sample)
        for kind, size in sizes.items()
        for shown, samples in _sets(check_int(f"size of {kind}", size, low=1), singles, pairs)
        for sample in range(samples)
    ]
    if seed is not None:
        plan.sort(key=lambda prompt: _hash(seed, prompt.key))
    return plan


def _sets(size: int, singles: int, pairs: int) -> Iterator[tuple[tuple[int, ...], int]]:
    yield from (((i,), singles) for i in range(size))
    yield from ((pair, pairs) for pair in itertools.combinations(range(size), 2))


def _hash(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest(), "big")


@dataclass
class _Item:
    """A prefix of an accepted scenario on its way to pairs."""

    key: str
    kind: str
    scenario: Scenario
    code: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    check: CrossCheck = field(default_factory=lambda: CrossCheck("unread"))
    objective: float = 0.0

    @property
    def run_key(self) -> str:
        """Names the item with its program."""
        return f"{self.key}/{hashlib.blake2b(self.code.encode(), digest_size=8).hexdigest()}"


class ReSocratic:
    """Makes pairs of question and program with a language model.

    Args:
        chat: the model. Roles: ``resocratic.scenario``, ``resocratic.code``, ``resocratic.question``.
        pool: demonstrations; by default those of the package.
        sandbox: runs the programs; by default one with a limit of 1.5 s of processor, as in the paper.
        seed: of the order of requests and of the calls.
        singles, pairs: samples of each set of one or two demonstrations.
        threshold: of similarity, above which a scenario is a duplicate.
        temperature: of the scenarios; programs and questions are written at 0.
        wave: scenarios asked for before duplicates are looked for; None asks for all of the plan first, as the paper.
        unread: ``keep`` or ``drop`` pairs whose formal lines cannot be read, and so not checked.
        folder: keeps all replies and runs; a second run with it asks only for what is missing.
        progress: called with a sentence's worth of plain data: ``(event, counters)``.
        max_tokens: of each reply.

    ``counters`` says what was made and what was dropped why.

    Raises:
        OptimandError: no demonstration is valid, or the folder belongs to another run.

    Reference:
        arXiv 2407.09887, section on ReSocratic.
    """

    def __init__(
        self,
        chat: ChatModel,
        pool: Sequence[Demonstration] | None = None,
        *,
        sandbox: Sandbox | None = None,
        seed: int = 0,
        singles: int = SINGLES,
        pairs: int = PAIRS,
        threshold: float = 0.7,
        temperature: float = 0.7,
        wave: int | None = 32,
        unread: str = "keep",
        folder: str | os.PathLike[str] | None = None,
        progress: Callable[[str, Mapping[str, int]], None] | None = None,
        max_tokens: int = 2048,
    ) -> None:
        self.chat = chat
        given = (*own_pool("linear"), *own_pool("nonlinear")) if pool is None else tuple(pool)
        # A demonstration that breaks the grammar would teach to break it.
        sound = {kind: [one for one in given if one.kind == kind and one.valid] for kind in ("linear", "nonlinear")}
        self.pool = {kind: ones for kind, ones in sound.items() if ones}
        if not self.pool:
            raise OptimandError(f"pool must hold a valid demonstration, got {len(given)} without one")
        self.seed = check_int("seed", seed, low=0)
        self.threshold = check_number("threshold", threshold, low=0, high=1)
        self.temperature = check_number("temperature", temperature, low=0)
        self.wave = None if wave is None else check_int("wave", wave, low=1)
        self.unread = check_choice("unread", unread, ("keep", "drop"))
        self.max_tokens = check_int("max_tokens", max_tokens, low=1)
        self.counters: Counter[str] = Counter()
        self.plan = sampling_plan(
            {kind: len(ones) for kind, ones in self.pool.items()},
            singles=check_int("singles", singles, low=0),
            pairs=check_int("pairs", pairs, low=0),
            seed=self.seed,
        )
        self._progress = progress
        self._sandbox = sandbox
        texts = "\x00".join(one.text for ones in self.pool.values() for one in ones)
        self._journal = Journal(
            folder,
            {"seed": self.seed, "temperature": self.temperature, "max_tokens": self.max_tokens, "model": chat.name,
             "pool": hashlib.blake2b(texts.encode(), digest_size=8).hexdigest()},
        )  # fmt: skip

    def synthesize(self, n: int) -> Iterator[SyntheticPair]:
        """Make pairs.

        Args:
            n: at most so many; fewer where the plan is used up.

        Yields:
            Pairs, in an order that depends on the seed and on the replies; a program near its limit of time may be
            dropped on one machine and kept on another.
        """
        check_int("n", n, low=0)
        self.counters.clear()
        sandbox, own = self._sandbox, None
        if sandbox is None:
            from optimand.language.modeling.execution import open_sandbox

            sandbox = own = open_sandbox(cpu_s=1.5, wall_s=6.0, workers=1)
        try:
            yield from itertools.islice(self._pairs(sandbox), n)
        finally:
            if own is not None:
                own.close()

    def _pairs(self, sandbox: Sandbox) -> Iterator[SyntheticPair]:
        accepted: dict[str, list[str]] = {kind: [] for kind in self.pool}
        size = self.wave or max(1, len(self.plan))
        for begin in range(0, len(self.plan), size):
            raw = [(prompt, self._scenario(prompt)) for prompt in self.plan[begin : begin + size]]
            for kind, before in accepted.items():
                sound = [(prompt, found) for prompt, found in raw if prompt.kind == kind and found is not None]
                kept = dedupe([found.opening for _, found in sound], self.threshold, accepted=before)
                self._count("dropped: duplicate", len(sound) - len(kept))
                for k in kept:
                    prompt, found = sound[k]
                    before.append(found.opening)
                    self._count("scenarios")
                    yield from self._from_scenario(prompt, found, sandbox)

    def _from_scenario(self, prompt: Prompt, found: Scenario, sandbox: Sandbox) -> Iterator[SyntheticPair]:
        geometry = any(self.pool[prompt.kind][k].geometry for k in prompt.shown)
        for scenario in explode(found, geometry=geometry):
            item = _Item(f"{prompt.key}:{scenario.level}", prompt.kind, scenario)
            self._count("items")
            if reason := self._program(item, sandbox):
                self._count(f"dropped: {reason}")
                continue
            for table in (True, False):
                pair = self._question(item, table)
                if pair is not None:
                    self._count("pairs")
                    yield pair

    def _scenario(self, prompt: Prompt) -> Scenario | None:
        shown = [self.pool[prompt.kind][k].text for k in prompt.shown]
        text = self._ask(prompt.key, "scenario", scenario_messages(shown, prompt.kind), self.temperature)
        self._count("replies")
        try:
            return parse_scenario(text, longest_prefix=True)
        except ScenarioError as error:
            self._count(f"dropped: scenario {error.faults[0].name}")
            return None

    def _program(self, item: _Item, sandbox: Sandbox) -> str:
        """Write, run and check the program; the reason to drop the item, or nothing."""
        item.code = extract_code(self._ask(item.key, "code", code_messages(item.scenario), 0.0))
        ran = self._run(item, sandbox)
        if ran.status != "optimal":
            return f"program {ran.status}"
        objective = printed_objective(ran.values)
        if objective is None:
            return "no objective printed"
        item.values, item.objective = ran.values, objective
        item.check = self._check(item, sandbox)
        if item.check.verdict in ("differs", "unsolved"):
            return f"objective {item.check.verdict}"
        if item.check.verdict == "unread":
            self._count("unread")
            if self.unread == "drop":
                return "formal lines unread"
        return ""

    def _run(self, item: _Item, sandbox: Sandbox) -> Execution:
        def run() -> dict[str, Any]:
            ran = run_program(item.code, sandbox)
            return {"status": ran.status, "values": dict(ran.values)}

        return Execution(**self._kept("run", item.run_key, run))

    def _check(self, item: _Item, sandbox: Sandbox) -> CrossCheck:
        """The verdict of the second solve, which has limits of time and so is kept as the runs are."""
        formulation = read_formal(item.scenario).formulation
        judged = partial(cross_check, formulation, item.objective, sandbox, seed=self.seed)
        return CrossCheck(**self._kept("check", item.run_key, lambda: asdict(judged())))

    def _question(self, item: _Item, table: bool) -> SyntheticPair | None:
        form = "table" if table else "notable"
        messages = question_messages(item.scenario, table=table)
        text = self._ask(f"{item.key}:{form}", "question", messages, 0.0).strip()
        if reason := self._fault(item.scenario, text, table):
            self._count(f"dropped: question {reason}")
            return None
        return SyntheticPair(
            f"{item.key}:{form}", f"{item.kind}-{form}", text, item.code, item.objective, dict(item.values),
            item.check.verdict == "agrees", item.check.how, item.scenario.render(),
        )  # fmt: skip

    def _fault(self, scenario: Scenario, text: str, table: bool) -> str:
        if not text:
            return "empty"
        if missing_numbers(scenario, text):
            return "lost a number"
        if leaks_formula(scenario, text):
            return "shows formal lines"
        if table and text.count("|") < 4:
            return "without its table"
        return ""

    def _ask(self, key: str, role: str, messages: Sequence[Message], temperature: float) -> str:
        def ask() -> str:
            seed = _hash(self.seed, f"{role}/{key}") % 2**31
            return self.chat.chat(
                messages, temperature=temperature, max_tokens=self.max_tokens, seed=seed, role=f"resocratic.{role}"
            ).text

        return str(self._kept(role, key, ask))

    def _kept(self, stage: str, key: str, make: Callable[[], Any]) -> Any:
        """What the journal has, or else what is made, which it keeps."""
        found = self._journal.get(stage, key)
        if found is None:
            found = make()
            self._journal.put(stage, key, found)
        return found

    def _count(self, event: str, number: int = 1) -> None:
        if number:
            self.counters[event] += number
            if self._progress is not None:
                self._progress(event, dict(self.counters))
