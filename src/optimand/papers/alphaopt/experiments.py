"""Learning and evolution measured on generated tasks, with the scripted stand-in for a model and the real solver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from optimand.language.modeling.alphaopt.insights import STAGES, Insight
from optimand.language.modeling.alphaopt.learner import AlphaOPT
from optimand.language.modeling.alphaopt.library import ExperienceLibrary
from optimand.language.modeling.alphaopt.progress import Round
from optimand.language.modeling.alphaopt.running import Runner
from optimand.language.modeling.alphaopt.simulated import SimulatedOracle, taught, too_broad, too_narrow
from optimand.language.modeling.alphaopt.simulated_tasks import PITFALLS, SETTINGS, SimulatedTask, make_tasks
from optimand.language.modeling.alphaopt.solving import evaluate


@dataclass(frozen=True)
class Learned:
    """What a run of learning gave.

    Attributes:
        before, after: share of the training tasks solved.
        held_out_before, held_out: share of other tasks solved, with no library and with what was learnt.
        library: what was learnt.
        wrong: insights in it that teach no pitfall, or teach it under another's label.
        refused: extracted insights that were refused, by reason.
        rounds: what each iteration did.
        runs: programs run.
    """

    before: float
    after: float
    held_out_before: float
    held_out: float
    library: ExperienceLibrary
    wrong: tuple[Insight, ...]
    refused: dict[str, int]
    rounds: tuple[Round, ...]
    runs: int


@dataclass(frozen=True)
class Recovered:
    """What evolution made of a damaged library.

    Attributes:
        before, damaged, after: share of the training tasks solved.
        recovered: share of the tasks lost by the damage that are solved again.
        rounds: of evolution.
    """

    before: float
    damaged: float
    after: float
    recovered: float
    rounds: int


def wrong_insights(library: ExperienceLibrary) -> tuple[Insight, ...]:
    """Insights that teach no pitfall, or teach it under another's label."""
    found = []
    for insight in library:
        pitfall = taught(insight.to_dict())
        if pitfall is None or pitfall.label not in insight.triples:
            found.append(insight)
    return tuple(found)


def solved(learner: AlphaOPT, tasks: Iterable[SimulatedTask]) -> set[str]:
    """Ids of the tasks that are solved with the learner's library."""
    report = evaluate(learner, [made.task for made in tasks])
    return {name for name, statuses in report.statuses.items() if statuses[0] == "optimal"}


def learn(
    count: int = 60,
    held_out: int = 30,
    *,
    seed: int = 0,
    right: float = 0.8,
    runner: Runner | None = None,
    workers: int = 2,
    **options: Any,
) -> Learned:
    """Learn on generated tasks.

    Args:
        count: training tasks.
        held_out: further tasks.
        seed: of tasks, stand-in and learner.
        right: probability that the extractor is right.
        runner: runs the programs; a sandbox is made when None.
        workers: of the learner.
        options: of :class:`AlphaOPT`.
    """
    train, test = make_tasks(count, seed, prefix="train"), make_tasks(held_out, seed, prefix="test")
    oracle = SimulatedOracle([*train, *test], right=right, seed=seed)
    with AlphaOPT(oracle, seed=seed, workers=workers, runner=runner, **options) as learner:
        before, other_before = len(solved(learner, train)) / count, len(solved(learner, test)) / held_out
        rounds = learner.fit([made.task for made in train])
        after, other = len(solved(learner, train)) / count, len(solved(learner, test)) / held_out
        refused: dict[str, int] = {}
        for entry in rounds:
            for name, number in entry.refused.items():
                refused[name] = refused.get(name, 0) + number
        library = learner.library
        return Learned(
            before,
            after,
            other_before,
            other,
            library,
            wrong_insights(library),
            refused,
            tuple(rounds),
            learner.runner.runs,
        )


def recover(
    count: int = 60,
    *,
    seed: int = 0,
    broad: int = 3,
    narrow: int = 3,
    runner: Runner | None = None,
    workers: int = 2,
    **options: Any,
) -> Recovered:
    """Damage the conditions of a learnt library and let evolution mend them.

    Args:
        count: tasks.
        seed: of tasks, stand-in and learner.
        broad, narrow: number of conditions made to hold for all tasks, and for those of one setting only.
        runner, workers, options: see :func:`learn`.
    """
    tasks = make_tasks(count, seed, prefix="train")
    oracle = SimulatedOracle(tasks, seed=seed)
    with AlphaOPT(oracle, seed=seed, workers=workers, runner=runner, **options) as learner:
        learner.learn([made.task for made in tasks])
        before = solved(learner, tasks)
        pool = list(learner.library)
        for insight in pool[:broad]:
            learner.library.replace(too_broad(insight))
        for insight in pool[broad : broad + narrow]:
            learner.library.replace(too_narrow(insight, SETTINGS[0]))
        damaged = solved(learner, tasks)
        rounds = learner.evolve([made.task for made in tasks])
        after = solved(learner, tasks)
    lost = before - damaged
    return Recovered(
        len(before) / count,
        len(damaged) / count,
        len(after) / count,
        len(lost & after) / len(lost) if lost else 1.0,
        len(rounds),
    )


def many_insights(count: int) -> list[Insight]:
    """Insights under labels of their own making, to measure retrieval: 40 labels of level 1, 25 of level 2 each."""
    made = []
    for number in range(count):
        stage = STAGES[number % len(STAGES)]
        labels = {f"area {number % 40}": (f"label {number // 40 % 25}",)}
        made.append(
            Insight(
                {stage: labels}, f"This insight applies when {number}.", "When the problem …", insight_id=number + 1
            )
        )
    return made


def scan(entries: Sequence[dict[str, Any]], taxonomy: dict[str, dict[str, list[str]]]) -> list[int]:
    """Ids that share a label exactly, by reading every nested table again, as the released program does."""
    wanted = {(stage, a, b) for stage, areas in taxonomy.items() for a, labels in areas.items() for b in labels}
    found = []
    for entry in entries:
        for stage, areas in entry["taxonomy"].items():
            for a, labels in areas.items():
                if any((stage, a, b) in wanted for b in labels):
                    found.append(entry["insight_id"])
    return sorted(set(found))


def library_of(insights: Iterable[Insight]) -> ExperienceLibrary:
    """A library of insights under labels of their own making."""
    library, label = ExperienceLibrary(), {"definition": "made up", "condition": "made up"}
    for insight in insights:
        library.add(insight, dict.fromkeys(insight.triples, label))
    return library


__all__ = [
    "PITFALLS",
    "Learned",
    "Recovered",
    "learn",
    "library_of",
    "many_insights",
    "recover",
    "scan",
    "solved",
    "wrong_insights",
]
