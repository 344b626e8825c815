"""What methods, problems and families are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .space import Dimension
from .validation import OptimandError, UnknownNameError, suggest

if TYPE_CHECKING:
    from .recorder import Recorder
    from .seeds import SeedTree


@dataclass(frozen=True)
class Method:
    """An algorithm with its hyperparameters.

    Attributes:
        name: what users type.
        family: the family whose problems can run it.
        build: the family's factory; in ``training``: ``build(params, **hyper) -> torch.optim.Optimizer``.
        defaults: every hyperparameter with its default value.
        space: the ranges that ``--tune`` searches.
        paper: slug of the paper in the catalogue of papers, if any.
        summary: one line.
        options: facts that the family's run loop needs to know, such as ``{"closure": True}``.
        origin: where it comes from, ``module:name`` or ``path.py:name``.
    """

    name: str
    family: str
    build: Callable[..., Any]
    defaults: Mapping[str, Any]
    space: Mapping[str, Dimension]
    paper: str | None = None
    summary: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""

    def hyper(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults with ``overrides``; UnknownNameError for a hyperparameter it does not have."""
        for key in overrides:
            if key not in self.defaults:
                raise UnknownNameError(
                    f"method {self.name!r} has no hyperparameter {key!r}; it has "
                    f"{', '.join(self.defaults) or 'none'}{suggest(key, self.defaults)}"
                )
            default, value = self.defaults[key], overrides[key]
            if isinstance(default, int | float) and not isinstance(default, bool) and isinstance(value, str):
                raise OptimandError(f"method {self.name!r}: {key} must be a number, got {value!r}")
        return {**self.defaults, **overrides}


class Problem(Protocol):
    """What is optimized. A problem owns its run loop; the lab owns everything around it.

    Attributes:
        name: what users type, with parameters, e.g. ``byte-lm:size=3m``.
        family: the family it belongs to.
        summary: one line: data, model, split.
        unit: what the budget counts, in the plural, e.g. ``steps``.
        budget: the default amount of it.
        metric: the metric that ranks methods (recorded on the splits ``valid`` and ``test``).
        direction: whether ``metric`` is better when lower (``min``) or higher (``max``).
        target: value of ``metric`` on ``valid`` that counts for time-to-target, or None.

    A problem may also have ``solved``: a value of ``metric`` from which on it counts as solved. Methods beyond it are
    level, whatever their last digits say, and the first at the target comes first. And it may have ``methods``: those
    compared by default, where they are not the family's.
    """

    name: str
    family: str
    summary: str
    unit: str
    budget: int
    metric: str
    direction: Literal["min", "max"]
    target: float | None

    def run(self, method: Method, hyper: Mapping[str, Any], *, seed: SeedTree, budget: int, recorder: Recorder) -> None:
        """Run ``method`` once; write the stream to ``recorder``; raise ``Diverged`` when it diverges."""


@dataclass(frozen=True)
class Family:
    """Problems of one kind, sharing one run loop and one contract for methods.

    Attributes:
        name: its name.
        summary: one line.
        adopt: turns a user's bare object (a ``torch.optim.Optimizer`` class, say) into a Method;
            raises OptimandError when the object does not fit.
        describe: facts about a method with given hyperparameters, such as state bytes per parameter.
        methods: the methods compared by default.
        memory: predicts the memory that methods need on a model, or None where a family has no such thing:
            ``memory(model, methods, **options)`` with both as typed (no methods: those that save memory) gives
            ``{"model": facts, "plans": [facts of a method, …]}`` in plain values, bytes as integers.
        solve: answers a problem put in words, or None where a family takes none: ``solve(text, **options)`` gives
            formulation, program, values, checks and the verdict in plain values.
        takes: what ``adopt`` takes, in a line of Markdown.
        guide: the page of the documentation on it, such as ``bandits.md``.
    """

    name: str
    summary: str
    adopt: Callable[[str, Any], Method]
    describe: Callable[[Method], Mapping[str, str]]
    methods: tuple[str, ...] = ()
    memory: Callable[..., Mapping[str, Any]] | None = None
    solve: Callable[..., Mapping[str, Any]] | None = None
    takes: str = ""
    guide: str = ""


@dataclass(frozen=True)
class ProblemFactory:
    """A registered problem: ``build(**params)`` makes it; ``needs`` says what must be there besides this package."""

    name: str
    family: str
    summary: str
    build: Callable[..., Problem]
    params: Mapping[str, Any]
    origin: str = ""
    needs: str = ""
