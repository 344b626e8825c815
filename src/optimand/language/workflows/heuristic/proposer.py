"""HeuristicProposer: an optimizer of workflows that needs no language model.

It stands where OptoPrime stands in Trace (arXiv 2406.16218): the same graph and feedback, the same ``zero_feedback``,
``backward``, ``step``. Words of direction lead to bisection, where the signs of influence are read from the recorded
graph, so that several numbers move together; hints that name a parameter bisect that one; scores lead to local
perturbation with an adaptive step and to systematic trial of enumerations. Texts and code stay as they are. It is not
in the paper: it is what can be done with the oracle's information by interval search alone, and the default where no
language model is at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from optimand.core.validation import check_int, check_number

from ..optimizers.kinds import kind_of
from ..optimizers.optimizer import Optimizer, Proposal
from ..optimizers.reports import StepReport
from ..optimizers.values import name_of
from .brackets import Bracketing, Point, Seen, bracket, secant, went_wrong
from .comparisons import Comparisons, leads_ahead
from .coordinates import Coordinates
from .feedback_parsing import ParsedFeedback, parse_feedback
from .hints import Hints
from .influence import Signs, checked_signs, influence
from .trials import Trials

if TYPE_CHECKING:
    from ..tracing.graph import TraceGraph
    from ..tracing.nodes import ParameterNode

Parser = Callable[[Any, Collection[str]], ParsedFeedback]
NUDGE = 0.05  # of a range's width: how far a replay moves a number to see the sign of its influence
STAY = 3  # steps without anything left to try, before the bracket's other end is looked at again


class HeuristicProposer(Optimizer):
    """Proposes numbers and options by bisection, adaptive perturbation and trial.

    Args:
        parameters: trainable parameters; ``minimum`` and ``maximum`` bound the search where they are given.
        seed: of the random choices, >= 0.
        mask: do not look at the graph, nor at the output: only the parameters' values and the feedback.
        parser: reads a feedback, ``parser(feedback, names of parameters) -> ParsedFeedback``; see
            :func:`parse_feedback <optimand.language.workflows.heuristic.feedback_parsing.parse_feedback>`.
        step: first step in units of a range's width, in (0, 1]; of a number without bounds the first step itself.
        operators: signs of influence of operators that the graph's analysis does not know, by the name in their
            description: ``{"demand": (-1, 1)}`` for one that falls with its first argument and grows with its second.
        replays: recompute the recorded graph on other values to find a sign that nothing else tells.
        on_replay: called before each such recomputation, so that it can be counted; it may raise to forbid it.

    Attributes:
        replayed: recomputations made.
        frozen: names of parameters that are left as they are: texts, code, and what is neither number nor option.

    Raises:
        OptimandError: see :class:`Optimizer <optimand.language.workflows.optimizers.optimizer.Optimizer>`.

    Example:
        >>> from optimand.language.workflows.tracing.nodes import ParameterNode
        >>> x = ParameterNode(0.0, name="x", minimum=-8.0, maximum=8.0)
        >>> optimizer = HeuristicProposer([x])
        >>> for _ in range(20):
        ...     y = 3 - 2 * x
        ...     optimizer.zero_feedback()
        ...     optimizer.backward(y, "should be larger" if y.data < 5.5 else "should be smaller")
        ...     _ = optimizer.step()
        >>> round(x.data, 3)
        -1.25
    """

    def __init__(
        self,
        parameters: Iterable[ParameterNode] | Mapping[str, ParameterNode],
        *,
        seed: int = 0,
        mask: bool = False,
        parser: Parser = parse_feedback,
        step: float = 0.25,
        operators: Mapping[str, Sequence[int | None]] | None = None,
        replays: bool = True,
        on_replay: Callable[[], None] | None = None,
        policy: str = "reject",
        log_size: int = 100,
    ) -> None:
        super().__init__(parameters, policy=policy, log_size=log_size)
        check_int("seed", seed, low=0)
        check_number("step", step, low=0.0, high=1.0, low_open=True)
        if not callable(parser):
            raise TypeError(f"parser must be a function of feedback and names, got {parser!r:.60}")
        self.mask, self.parser, self.replays, self.on_replay = bool(mask), parser, bool(replays), on_replay
        self.operators = checked_signs(operators or {})
        self.replayed = 0
        self._rng = np.random.default_rng(seed)
        self._coordinates = Coordinates(self.parameters)
        ranges = self._coordinates.ranges
        self.frozen = tuple(self._coordinates.frozen)
        self._brackets = Bracketing(ranges, self._rng, step=step)
        self._hints = Hints(ranges, step=step)
        self._trials = Trials(ranges, [len(choices) for choices in self._coordinates.choices], self._rng, step=step)
        self._seen: list[Seen] = []
        self._stayed = 0
        self._learned: Signs | None = None
        self._output: Any = None
        self._offered: set[Point] = set()
        self._compared = Comparisons()

    def zero_feedback(self) -> None:
        """Forget the feedback that the parameters have received; what was learned from it stays."""
        super().zero_feedback()
        self._output = None

    def propose(self, **options: Any) -> Proposal:
        """The next values to evaluate; called again on the same feedback, other ones where there are any.

        Returns:
            Values that differ from the present ones; empty when the output is right, when the feedback says nothing
            that can be read, or when nothing is left to try. ``report.notes`` says which.

        Raises:
            OptimandError: there is no feedback.
        """
        if options:
            raise TypeError(f"propose takes no options here, got {', '.join(options)}")
        graph = self.feedback_graph()
        parsed = self.parser(graph.feedback, self._names())
        fresh = self._output is not graph.output
        self._output = graph.output
        point, listed = self._coordinates.read()
        if fresh:
            self._offered = set()
        found, note = self._next(graph, parsed, point, listed, fresh)
        proposal: Proposal = {}
        if found is not None:
            self._offered.add(found[0])
            movable = set(map(id, self.trainable))
            proposal = {
                parameter: value
                for parameter, value in self._coordinates.values(*found).items()
                if id(parameter) in movable and not _equal(value, parameter.data)
            }
        self._log(proposal, parsed, note)
        return proposal

    def observe(self, values: Mapping[ParameterNode, Any], score: float) -> None:
        """What values are worth that were tried elsewhere, such as proposals compared by a trainer.

        Where scores lead the search they count as such. Where directions do, a point that was compared is not proposed
        again, and one that is worse than where it was proposed lies too far.

        Args:
            values: by parameter, of all parameters.
            score: more is better.
        """
        place = self._coordinates.read(values)
        self._compared.tell(place, float(score))
        if self._trials.best is not None:
            self._trials.tell(*place, float(score))

    def _next(
        self, graph: TraceGraph, parsed: ParsedFeedback, point: Point, listed: tuple[int, ...], fresh: bool
    ) -> tuple[tuple[Point, tuple[int, ...]] | None, str]:
        if parsed.done:
            return None, "the feedback says that the output is right"
        hints = self._by_axis(parsed.hints)
        scored = parsed.score is not None or (parsed.failed and self._trials.best is not None)
        if hints:
            if fresh:
                self._hints.tell(point, hints)
            return (self._hints.next(point), listed), ""
        if parsed.direction or (parsed.failed and not scored):
            return self._by_direction(graph, parsed, point, listed, fresh)
        if scored:
            if fresh:
                self._trials.tell(point, listed, -np.inf if parsed.score is None else parsed.score)
            found = self._trials.ask()
            return found, "" if found is not None else "everything that can be listed was tried"
        return None, f"nothing to read in the feedback {graph.feedback!r:.80}"

    def _by_direction(
        self, graph: TraceGraph, parsed: ParsedFeedback, point: Point, listed: tuple[int, ...], fresh: bool
    ) -> tuple[tuple[Point, tuple[int, ...]] | None, str]:
        if fresh:
            self._remember(graph, parsed, point, listed)
        seen = [s for s in self._seen if s.options == listed]
        seen = self._compared.beyond(seen, listed) + seen
        signs, certain = self._signs(graph, seen, point)
        offered = self._offered | self._compared.points(listed)
        found = self._brackets.next(seen, signs, certain=certain, offered=offered) if point else None
        if found is not None:
            if leads_ahead(seen, self._coordinates.ranges, signs, point, found):
                self._compared.moved((point, listed), (found, listed), parsed.direction, parsed.score)
            self._stayed = 0
            return (found, listed), ""
        combination = self._other_options(listed)
        if combination is not None:
            return (point, combination), "the numbers are settled: other options"
        self._stayed += fresh
        ends = bracket(seen, self._brackets.ranges)
        if ends is not None and self._stayed % STAY == 0 and ends[1] not in self._compared.points(listed):
            return (ends[1], listed), "nothing is left to try: the bracket's other end once more"
        return None, "nothing is left to try: the numbers are settled"

    def _remember(self, graph: TraceGraph, parsed: ParsedFeedback, point: Point, listed: tuple[int, ...]) -> None:
        output = None if self.mask or parsed.failed else _output_of(graph)
        now = Seen(point, parsed.direction, parsed.failed, output, listed)
        against = [i for i, s in enumerate(self._seen) if (s.point, s.options) == (point, listed)]
        if any(self._seen[i].direction != parsed.direction for i in against):
            # The same values were wanted the other way before: the target moves, so earlier feedback is void.
            self._seen = self._seen[max(against) + 1 :]
            self._compared.forget()
        self._seen.append(now)

    def _signs(self, graph: TraceGraph, seen: Sequence[Seen], point: Point) -> tuple[Signs, bool]:
        """Signs of influence, and whether they hold in the whole box."""
        ranges = self._coordinates.ranges
        unknown: Signs = [None] * len(ranges)
        if self.mask or not point or seen[-1].failed or bracket(seen, ranges) is not None:
            return unknown, False  # not to be looked at, or not needed
        signs = influence(graph, self._coordinates, declared=self.operators)
        if None not in signs:
            return signs, True
        local = influence(graph, self._coordinates, everywhere=False, declared=self.operators)
        signs = [b if a is None else a for a, b in zip(signs, local, strict=True)]
        if None in signs and self.replays and len(ranges) > 1:
            if self._learned is None or went_wrong(seen):
                self._learned = self._look_by_replay(graph, signs, point)
            signs = [b if a is None else a for a, b in zip(signs, self._learned, strict=True)]
        elif None in signs:
            signs = [secant(seen, axis) if sign is None else sign for axis, sign in enumerate(signs)]
        return signs, False

    def _look_by_replay(self, graph: TraceGraph, signs: Signs, point: Point) -> Signs:
        """Signs at ``point`` of the coordinates that have none, one recomputation of the graph each."""
        from ..tracing.replaying import replay

        found: Signs = [None] * len(signs)
        here = _output_of(graph)
        for axis, sign in enumerate(signs):
            if sign is not None or here is None:
                continue
            range_ = self._coordinates.ranges[axis]
            width = range_.width if np.isfinite(range_.width) else 1.0 + abs(point[axis])
            nudge = max(NUDGE * width, 1.0 if range_.integer else 0.0)
            moved = range_.clip(point[axis] + (nudge if point[axis] + nudge <= range_.high else -nudge))
            if moved == point[axis]:
                continue
            owner = self._coordinates.owners[axis]
            there = (*point[:axis], moved, *point[axis + 1 :])
            value = self._coordinates.values(there, self._coordinates.read()[1])[owner]
            if self.on_replay is not None:
                self.on_replay()
            self.replayed += 1
            try:
                change = (float(replay(graph, {owner: value})) - here) * (moved - point[axis])
            except Exception:  # whatever the workflow's functions raise on such a value: then it tells no sign
                continue
            found[axis] = int(np.sign(change))
        return found

    def _other_options(self, listed: tuple[int, ...]) -> tuple[int, ...] | None:
        """The first combination of options, in order, that was not tried."""
        sizes = [len(choices) for choices in self._coordinates.choices]
        if not sizes:
            return None
        tried = {s.options for s in self._seen} | {listed}
        return next((combination for combination in np.ndindex(*sizes) if combination not in tried), None)

    def _names(self) -> list[str]:
        names: list[str] = []
        for parameter in self.parameters:
            names += [name_of(parameter), str(parameter.name), _base(parameter)]
        return list(dict.fromkeys(names))

    def _by_axis(self, hints: Mapping[str, int]) -> dict[int, int]:
        found: dict[int, int] = {}
        for axis, owner in enumerate(self._coordinates.owners):
            for name in (name_of(owner), str(owner.name), _base(owner)):
                if hints.get(name):
                    found[axis] = hints[name]
        return found

    def _log(self, proposal: Proposal, parsed: ParsedFeedback, note: str) -> None:
        self.steps += 1
        notes = [note] if note else []
        if self.frozen:
            notes.append(f"left unchanged, as no number, truth value or enumeration: {', '.join(self.frozen)}")
        self.log.append(
            StepReport(
                self.steps,
                proposed={name_of(parameter): value for parameter, value in proposal.items()},
                notes=tuple(notes),
                terminated=parsed.done,
            )
        )

    def state_dict(self) -> dict[str, Any]:
        """All that later steps depend on besides the parameters' values and the arguments, as JSON can hold it."""
        return {
            **super().state_dict(),
            "seen": [[list(s.point), s.direction, s.failed, s.output, list(s.options)] for s in self._seen],
            "corners": [list(signs) for signs in self._brackets.corners],
            "hints": self._hints.state_dict(),
            "trials": self._trials.state_dict(),
            "rng": self._rng.bit_generator.state,
            "stayed": self._stayed,
            "learned": self._learned,
            "replayed": self.replayed,
            "compared": self._compared.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken.

        Raises:
            OptimandError: the state is of another optimizer, or of other parameters.
        """
        super().load_state_dict(state)
        self._seen = [Seen(tuple(p), d, failed, out, tuple(o)) for p, d, failed, out, o in state["seen"]]
        self._brackets.corners = [tuple(signs) for signs in state["corners"]]
        self._hints.load_state_dict(state["hints"])
        self._trials.load_state_dict(state["trials"])
        self._rng.bit_generator.state = state["rng"]
        self._stayed, self._learned, self.replayed = state["stayed"], state["learned"], state["replayed"]
        self._compared.load_state_dict(state.get("compared", {}))
        self._output, self._offered = None, set()


def _base(parameter: Any) -> str:
    """The name that the user gave, without the index that tells equal names apart."""
    return str(parameter.name).rpartition(":")[0] or str(parameter.name)


def _output_of(graph: TraceGraph) -> float | None:
    """The output where it is a number."""
    if graph.output is None or kind_of(graph.output.data) not in ("int", "float"):
        return None
    return float(graph.output.data)


def _equal(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(np.all(value == other))
