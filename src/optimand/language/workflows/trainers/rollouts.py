"""Rollouts: a workflow run on samples and judged, several at the same time, with results that do not depend on it.

The step on one sample is that of the run loop (``loop.evaluate``): an exception of the workflow becomes its node, with
the marked source as feedback. Each sample runs inside a tape of its own, so names do not depend on the order of
execution, and nodes made in other threads are numbered anew in the order of the samples, so graphs and prompts do not.

Reference: arXiv 2406.16218; trainers of the maintained fork of its implementation.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from optimand.core.validation import OptimandError, check_int, check_number
from optimand.language.llm.base import BudgetExceeded, ChatError

from ..loop import Workflow, evaluate
from ..tracing.base import ExecutionError, Node, wrap
from ..tracing.bundles import self_node
from ..tracing.calls import run_coroutine
from ..tracing.graph import ancestors
from ..tracing.modules import Module
from ..tracing.tape import SERIAL, Operator, Tape
from .guides import Guide, GuideError, Judgement, SampleError, judge
from .samples import Sample

Agent = Callable[[Any], Any]


@dataclass(frozen=True)
class Rollout:
    """What a workflow did on a sample.

    Attributes:
        sample: which.
        target: the node that feedback is on: the output, or the exception.
        score: None where the guide gave none, gave several, or the workflow failed and failures have no score.
        feedback: of the guide, or the exception with the source's failing line marked.
        failed: the workflow raised an ExecutionError.
        objectives: several scores by name, if the guide gives such.
    """

    sample: Sample
    target: Node
    score: float | None
    feedback: Any
    failed: bool = False
    objectives: Mapping[str, float] | None = None

    @property
    def response(self) -> Any:
        """The answer as a plain value; of a failure the exception's text."""
        return self.target.data


def roll_out(
    agent: Agent,
    guide: Guide,
    samples: Sequence[Sample],
    *,
    num_threads: int = 1,
    min_score: float | None = 0.0,
    objectives: Sequence[str] = (),
) -> list[Rollout]:
    """Run a workflow on samples and judge what it answers.

    Args:
        agent: called with a query; a module, a function on nodes, or a coroutine function.
        guide: judges the answers.
        samples: what to run on.
        num_threads: how many at the same time, >= 1: threads, or tasks of an event loop where the agent is async.
        min_score: score of a failure; None for none.
        objectives: names of scores that the guide must give; then each is ``min_score`` for a failure.

    Returns:
        Rollouts in the order of the samples.

    Raises:
        GuideError: the guide raised or returned what is no judgement, or a score below ``min_score``.
        SampleError: the workflow raised what is no ExecutionError.
        ChatError: a model could not be asked, or its budget is spent.
    """
    check_int("num_threads", num_threads, low=1)
    if min_score is not None:
        check_number("min_score", min_score)
    settings = _Settings(guide, min_score, tuple(objectives))
    # Instances get their nodes, and so their names, here: else these hang on which sample calls which one first.
    held = [self_node(module) for module in _modules(agent)]
    start = next(SERIAL)
    if is_async(agent):
        found = run_coroutine(_all_tasks(agent, samples, settings, num_threads))
    elif num_threads == 1 or len(samples) == 1:
        found = [_one(agent, sample, settings) for sample in samples]
    else:
        found = _all_threads(agent, samples, settings, num_threads)
    if num_threads > 1:
        _renumber(found, start)
    del held
    return found


@dataclass(frozen=True)
class _Settings:
    guide: Guide
    min_score: float | None
    objectives: tuple[str, ...]


def _one(agent: Agent, sample: Sample, settings: _Settings) -> Rollout:
    with Tape():
        return _standard_step(lambda: _checked(agent, sample), sample, settings)


def _checked(agent: Agent, sample: Sample) -> Any:
    try:
        output = agent(sample.query)
        return run_coroutine(output) if inspect.isawaitable(output) else output
    except Exception as error:
        raise _to_raise(error, sample) from error


def _to_raise(error: Exception, sample: Sample) -> Exception:
    """What a workflow's exception is to be: feedback, a spent budget, or an error that names the sample."""
    if isinstance(error, ExecutionError):
        cause: BaseException | None = error
        while cause is not None:  # a bundled function makes a node of every exception
            if isinstance(cause, BudgetExceeded):
                return cause
            cause = cause.__cause__
        return error
    if isinstance(error, ChatError):
        return error
    return SampleError(f"the workflow raised on {sample}: {type(error).__name__}: {error}")


def _standard_step(forward: Callable[[], Any], sample: Sample, settings: _Settings) -> Rollout:
    said: list[Judgement] = []

    def measure(value: Any) -> float:
        said.append(judge(settings.guide, sample, value))
        score = said[0].score
        _check_objectives(said[0], sample, settings)
        return math.nan if score is None else score

    workflow = Workflow(
        parameters=(),
        forward=lambda: wrap(forward()),
        guide=lambda value: said[0].feedback,
        measure=measure,
        worst=math.nan,
    )
    target, feedback, score = evaluate(workflow)
    if said:
        return Rollout(sample, target, None if math.isnan(score) else score, feedback, False, said[0].objectives)
    several = None
    if settings.objectives and settings.min_score is not None:
        several = dict.fromkeys(settings.objectives, settings.min_score)
    return Rollout(sample, target, settings.min_score, feedback, True, several)


def _check_objectives(said: Judgement, sample: Sample, settings: _Settings) -> None:
    if settings.objectives and (said.objectives is None or set(said.objectives) != set(settings.objectives)):
        got = "one score" if said.objectives is None else ", ".join(map(repr, said.objectives))
        raise GuideError(f"the guide must score {', '.join(map(repr, settings.objectives))} on {sample}, it gave {got}")
    if not settings.objectives and said.objectives is not None:
        raise GuideError(
            f"the guide gave several scores ({', '.join(map(repr, said.objectives))}) on {sample}: use ParetoSearch, "
            "or one score by weighted(guide, weights)"
        )
    scores = [said.score] if said.objectives is None else list(said.objectives.values())
    low = settings.min_score
    for score in scores:
        if score is not None and low is not None and score < low:
            raise GuideError(
                f"the guide gave the score {score:g} on {sample}, which is below that of a failure: give min_score="
                f"a number that is no larger, or None"
            )


def _all_threads(agent: Agent, samples: Sequence[Sample], settings: _Settings, count: int) -> list[Rollout]:
    with ThreadPoolExecutor(min(count, len(samples))) as pool:
        futures = [pool.submit(contextvars.copy_context().run, _one, agent, sample, settings) for sample in samples]
        try:
            return [future.result() for future in futures]  # of several errors that of the first sample
        except BaseException:
            for future in futures:
                future.cancel()
            raise


async def _all_tasks(agent: Agent, samples: Sequence[Sample], settings: _Settings, count: int) -> list[Rollout]:
    gate = asyncio.Semaphore(count)

    async def one(sample: Sample) -> Rollout:
        async with gate:
            with Tape():
                try:
                    output = agent(sample.query)
                    output = await output if inspect.isawaitable(output) else output
                except Exception as error:
                    failure = _to_raise(error, sample)
                    if not isinstance(failure, ExecutionError):
                        raise failure from error
                    return _standard_step(lambda: _raise(failure), sample, settings)
                return _standard_step(lambda: output, sample, settings)

    tasks = [asyncio.ensure_future(one(sample)) for sample in samples]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _raise(error: Exception) -> Any:
    raise error


def is_async(agent: Any) -> bool:
    """Whether calling it gives a coroutine, as far as can be told before."""
    if getattr(agent, "is_async", False):  # a bundled coroutine function
        return True
    forward = getattr(agent, "forward", None) if isinstance(agent, Module) else None
    candidates = (agent, forward, type(agent).__call__)
    return any(inspect.iscoroutinefunction(one) or getattr(one, "is_async", False) is True for one in candidates)


def _modules(value: Any, around: frozenset[int] = frozenset()) -> Iterable[Module]:
    """A module and those in its attributes, lists, tuples and dicts."""
    if id(value) in around:
        return
    inside = around | {id(value)}
    if isinstance(value, Module):
        yield value
        for item in list(vars(value).values()):
            yield from _modules(item, inside)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _modules(item, inside)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _modules(item, inside)


def _renumber(rollouts: Sequence[Rollout], start: int) -> None:
    """Number the nodes made since ``start`` anew, rollout by rollout, each in its own order of creation."""
    done: set[int] = set()
    for rollout in rollouts:
        fresh = [item for item in ancestors(rollout.target) if item._serial > start and id(item) not in done]
        for item in sorted(fresh, key=lambda item: item._serial):
            done.add(id(item))
        for item, serial in [(item, next(SERIAL)) for item in sorted(fresh, key=lambda item: item._serial)]:
            item._serial = serial


def check_traced(rollouts: Sequence[Rollout]) -> None:
    """Raise unless some answer was computed from nodes.

    Raises:
        OptimandError: the workflow gave plain values only, from which no feedback reaches a parameter.
    """
    targets = [rollout.target for rollout in rollouts]
    if any(target.parents or target.trainable or target.hidden for target in targets):
        return
    value = targets[0].data
    raise OptimandError(
        f"the workflow gave {value!r:.60} ({type(value).__name__}), which is no node that depends on a parameter: "
        "return the node, not its .data"
    )


def mean_score(rollouts: Iterable[Rollout]) -> float | None:
    """The mean of the scores there are; None if there is none. A failure without a score is left out."""
    scores = [rollout.score for rollout in rollouts if rollout.score is not None]
    return math.fsum(scores) / len(scores) if scores else None


def feedback_text(rollout: Rollout, *, show_score: bool = True) -> str:
    """The feedback on a rollout as text, with its score."""
    told = "" if rollout.feedback is None else str(rollout.feedback)
    if not show_score or rollout.score is None:
        return told
    return f"{told}\nscore: {rollout.score:.10g}" if told else f"score: {rollout.score:.10g}"


def _batched(*values: Any) -> str:
    return "\n".join(f"ID [{i}]: {value}" for i, value in enumerate(values))


BATCHIFY = Operator(
    "batchify", "[batchify] The outputs of several runs of the workflow, each after its number.", _batched
)


def batchify(rollouts: Sequence[Rollout], *, show_score: bool = True, extra: str = "") -> tuple[Node, str]:
    """Several rollouts as one node and one feedback, ``ID [i]: text`` each; a single one as it is.

    Args:
        rollouts: at least one.
        show_score: say the scores in the feedback.
        extra: a text after the feedback.

    Returns:
        The node to go backward from, and the feedback on it.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import node
        >>> x = node(2, name="x", trainable=True)
        >>> runs = [Rollout(Sample(i, i), x + i, score, "more") for i, score in enumerate((0.5, 1.0))]
        >>> target, told = batchify(runs)
        >>> print(target.data)
        ID [0]: 2
        ID [1]: 3
        >>> print(told)
        ID [0]: more
        score: 0.5
        ID [1]: more
        score: 1
    """
    if not rollouts:
        raise ValueError("rollouts must not be empty")
    texts = [feedback_text(rollout, show_score=show_score) for rollout in rollouts]
    if len(rollouts) == 1:
        target, told = rollouts[0].target, texts[0]
    else:
        target = Node._run(BATCHIFY, {f"item_{i}": rollout.target for i, rollout in enumerate(rollouts)})
        told = _batched(*texts)
    return target, f"{told}\n{extra}" if extra else told
